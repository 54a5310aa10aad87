//! Asking a cluster that is simulated: whom, how often, and what is noted of it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt as _, stream::BoxStream};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Mind;
use crate::{
    access::house::House,
    base::{
        EnvironmentRef, Name, Result,
        ids::{PersonId, SecretId, VersionId},
    },
    broker::{
        Broker, CheckFinding, CurrentValue, Found, Mac, Manifest, Mode, Reader, Seen, Spot, Surroundings,
        Target, TargetError, Values,
    },
    policy::Permit,
    store::sql,
};

/// A cluster that only says who may read.
#[derive(Default)]
struct Rbac {
    users: Mutex<BTreeSet<String>>,
    groups: Mutex<BTreeSet<String>>,
    asked: Mutex<Vec<Reader>>,
    /// What it answers instead.
    error: Mutex<Option<TargetError>>,
    /// After so many answers it hangs for ever.
    fuel: AtomicI64,
}

#[async_trait]
impl Target for Rbac {
    async fn read(&self, _: &Spot) -> Result<Option<Found>, TargetError> {
        Ok(None)
    }

    async fn create(&self, _: &Spot, _: &Manifest, _: Mode) -> Result<(), TargetError> {
        Err(TargetError::Conflict)
    }

    async fn replace(&self, _: &Spot, _: &Seen, _: &Manifest, _: Mode) -> Result<(), TargetError> {
        Err(TargetError::Conflict)
    }

    async fn delete(&self, _: &Spot, _: &Seen, _: Mode) -> Result<(), TargetError> {
        Err(TargetError::Conflict)
    }

    fn changes(&self, _: &Name) -> BoxStream<'static, Spot> {
        futures::stream::pending().boxed()
    }

    async fn check(&self, _: &[Name]) -> Vec<CheckFinding> {
        Vec::new()
    }

    fn knows_people(&self) -> bool {
        true
    }

    async fn may_read(&self, _: &Spot, reader: &Reader) -> Result<bool, TargetError> {
        if self.fuel.fetch_sub(1, Ordering::SeqCst) == 0 {
            std::future::pending::<()>().await;
        }
        if let Some(error) = self.error.lock().unwrap().clone() {
            return Err(error);
        }
        self.asked.lock().unwrap().push(reader.clone());
        let groups = self.groups.lock().unwrap();
        Ok(self.users.lock().unwrap().contains(&reader.user)
            || reader.groups.iter().any(|it| groups.contains(it)))
    }
}

/// Nothing is delivered by this broker itself.
struct Nothing;

#[async_trait]
impl Values for Nothing {
    async fn current(&self, _: &EnvironmentRef, _: Permit) -> Result<Vec<CurrentValue>> {
        Ok(Vec::new())
    }
}

impl Mac for Nothing {
    fn mac(&self, _: &str, _: &[&[u8]]) -> [u8; 32] {
        [0; 32]
    }
}

struct World {
    house: House,
    rbac: Arc<Rbac>,
    broker: Broker,
    mind: Mind,
    secret: SecretId,
}

impl World {
    async fn new() -> Self {
        let house = House::new().await;
        let rbac = Arc::new(Rbac { fuel: AtomicI64::new(i64::MAX), ..Rbac::default() });
        let broker = Broker::new(Surroundings {
            database: house.database.clone(),
            log: house.log.clone(),
            ambient: house.ambient.clone(),
            catalog: house.catalog.clone(),
            values: Arc::new(Nothing),
            mac: Arc::new(Nothing),
            permits: Arc::clone(&house.services) as _,
            targets: [("main".parse().unwrap(), Arc::clone(&rbac) as Arc<dyn Target>)].into(),
        });
        let secret = house.ambient.id();
        let world = Self { house, rbac, broker, mind: Mind::default(), secret };
        let cluster = json!({"name": "main", "namespaces": [{"name": "apps", "teams": ["supa-team"]}],
            "people": {"provider": "idp", "user-claim": "subject", "user-prefix": "oidc:",
                "groups": [{"group": "engineering", "as": "oidc:platform"}]}});
        let declared =
            sql("INSERT INTO declared (kind, name, source, body) VALUES ('Cluster', 'main', 'test', $1)");
        world
            .house
            .seed(vec![
                declared.bind(cluster.to_string()),
                sql("UPDATE catalog SET version = version + 1"),
                sql("INSERT INTO secrets (id, application, environment, team, name, engine, latest_number, \
                     changed_at) VALUES ($1, 'reports', 'production', '', 'A', 'embedded', 1, 0)")
                .bind(secret),
                sql("INSERT INTO delivery_places (delivery, cluster, namespace, secret, environment) \
                     VALUES ('reports-env', 'main', 'apps', 'reports-env', 'reports/production')"),
                sql("INSERT INTO delivery_states (delivery, state, detail, generation, delivered_at, changed_at) \
                     VALUES ('reports-env', 'delivered', '', 1, $1, 0)")
                .bind(world.house.ambient.now()),
            ])
            .await;
        world.put(1).await;
        world
    }

    /// Another version lies there now.
    async fn put(&self, number: i64) {
        let version: VersionId = self.house.ambient.id();
        let made = sql(
            "INSERT INTO versions (id, secret, number, fingerprint, state, origin, created_at, created_by) \
                        VALUES ($1, $2, $3, $4, 'live', 'entered', 0, 'test')",
        );
        let lies = sql("INSERT INTO delivered_versions (delivery, place, secret, version) \
                        VALUES ('reports-env', 'main/apps/reports-env', $1, $2)");
        self.house
            .seed(vec![
                made.bind(version).bind(self.secret).bind(number).bind([u8::try_from(number).unwrap(); 32]),
                sql("DELETE FROM delivered_versions"),
                lies.bind(self.secret).bind(version),
            ])
            .await;
    }

    async fn person(&self, name: &str, groups: &[&str]) -> PersonId {
        let id = self.house.person(name, groups).await;
        let account = sql("INSERT INTO accounts (issuer, subject, person, provider, created_at) \
                           VALUES ('idp', $1, $2, 'idp', 0)");
        self.house.seed(vec![account.bind(name.to_lowercase()).bind(id)]).await;
        id
    }

    /// Leaves a group, as identity has it.
    async fn leave(&self, person: PersonId, group: &str) {
        let left = sql("INSERT INTO past_memberships (person, source, group_id, left_at) \
             VALUES ($1, 'idp', $2, $3)");
        self.house.seed(vec![left.bind(person).bind(group).bind(self.house.ambient.now())]).await;
        self.house.leave_group(person, group).await;
    }

    async fn look(&mut self) {
        self.broker.look_for_readers(&mut self.mind, &CancellationToken::new()).await.unwrap();
    }

    /// Who is known to be able to read how many versions.
    async fn known(&self, person: PersonId) -> i64 {
        let query =
            sql("SELECT CAST(count(*) AS BIGINT) FROM exposures WHERE principal = $1 AND how = 'delivery'");
        self.house.count(query.bind(person.to_string())).await
    }

    fn asked(&self) -> usize {
        std::mem::take(&mut *self.rbac.asked.lock().unwrap()).len()
    }
}

#[tokio::test]
async fn groups_are_asked_about_before_people_and_nothing_twice() {
    let mut world = World::new().await;
    let (dana, omar) = (world.person("Dana", &["engineering"]).await, world.person("Omar", &["leads"]).await);
    let (mia, eve) = (world.person("Mia", &["engineering"]).await, world.person("Eve", &[]).await);
    world.rbac.groups.lock().unwrap().insert("oidc:platform".to_owned());
    world.rbac.users.lock().unwrap().insert("oidc:omar".to_owned());
    world.look().await;
    let known =
        [world.known(dana).await, world.known(omar).await, world.known(mia).await, world.known(eve).await];
    assert_eq!(known, [1, 1, 1, 0]);
    assert_eq!(world.house.entries("secret.readable").await, 3);
    // One group, those of no group once, Omar and Eve by name.
    assert_eq!(world.asked(), 4);
    world.look().await;
    assert_eq!(world.asked(), 0, "nothing has changed");
    world.house.clock.advance(Duration::from_mins(11));
    world.look().await;
    assert_eq!(world.asked(), 2, "only of Eve it is not known");
    world.put(2).await;
    world.look().await;
    assert_eq!((world.known(dana).await, world.known(eve).await), (2, 0));
}

#[tokio::test]
async fn who_had_left_before_a_value_came_is_not_asked_about() {
    let mut world = World::new().await;
    let (dana, omar) =
        (world.person("Dana", &["engineering"]).await, world.person("Omar", &["engineering"]).await);
    world.rbac.groups.lock().unwrap().insert("system:authenticated".to_owned());
    world.house.set_status(dana, "deactivated").await;
    world.look().await;
    assert_eq!((world.known(dana).await, world.known(omar).await), (1, 1), "she was there when it came");
    world.house.clock.advance(Duration::from_mins(1));
    world.put(2).await;
    let delivered = sql("UPDATE delivery_states SET delivered_at = $1").bind(world.house.ambient.now());
    world.house.seed(vec![delivered]).await;
    world.look().await;
    assert_eq!((world.known(dana).await, world.known(omar).await), (1, 2));
}

#[tokio::test]
async fn what_cannot_be_asked_is_unknown_until_it_can() {
    let mut world = World::new().await;
    world.person("Dana", &["engineering"]).await;
    let unasked = world.broker.unknown_readers(None).await.unwrap();
    assert!(unasked[0].because.contains("not asked yet"), "{unasked:?}");
    *world.rbac.error.lock().unwrap() = Some(TargetError::Refused("we may not ask".to_owned()));
    for _ in 0..2 {
        world.look().await;
        world.house.clock.advance(Duration::from_mins(2));
    }
    assert_eq!(world.house.entries("delivery.readers-unknown").await, 1, "it is noted once");
    assert_eq!(world.broker.unknown_readers(None).await.unwrap()[0].because, "we may not ask");
    *world.rbac.error.lock().unwrap() = None;
    world.look().await;
    assert!(world.broker.unknown_readers(None).await.unwrap().is_empty());
    assert_eq!(world.house.entries("delivery.readers-known").await, 1);
}

/// Invariant 6: killed at any question, the next one to look comes to the same.
#[tokio::test]
async fn killed_at_any_question_it_converges() {
    for fuel in 0..5 {
        let mut world = World::new().await;
        let mut people = Vec::new();
        for name in ["Dana", "Omar", "Mia"] {
            people.push(world.person(name, &[]).await);
            world.rbac.users.lock().unwrap().insert(format!("oidc:{}", name.to_lowercase()));
        }
        world.rbac.fuel.store(fuel, Ordering::SeqCst);
        let killed = tokio::time::timeout(Duration::from_millis(400), world.look()).await;
        assert_eq!(killed.is_err(), fuel < 4, "one question about no group, one about each of three");
        world.rbac.fuel.store(i64::MAX, Ordering::SeqCst);
        world.mind = Mind::default();
        world.look().await;
        for person in &people {
            assert_eq!(world.known(*person).await, 1, "killed at {fuel}");
        }
        assert_eq!(world.house.entries("secret.readable").await, 3, "killed at {fuel}");
    }
}

#[tokio::test]
async fn who_came_into_a_group_and_left_it_between_two_looks_could_read() {
    let mut world = World::new().await;
    world.rbac.groups.lock().unwrap().insert("oidc:platform".to_owned());
    let (dana, eve) = (world.person("Dana", &["leads"]).await, world.person("Eve", &["leads"]).await);
    world.look().await;
    assert_eq!((world.known(dana).await, world.known(eve).await), (0, 0));
    let _ = world.asked();
    world.house.clock.advance(Duration::from_mins(1));
    let joined = sql("INSERT INTO memberships (person, source, group_id, asserted_at) \
         VALUES ($1, 'idp', 'engineering', 0)");
    world.house.seed(vec![joined.bind(dana)]).await;
    world.leave(dana, "engineering").await;
    world.look().await;
    assert_eq!((world.known(dana).await, world.known(eve).await), (1, 0), "long before everybody's turn");
    assert_eq!(world.asked(), 1, "about nobody else");
    world.house.clock.advance(Duration::from_mins(10));
    world.look().await;
    assert!(world.asked() > 0, "everybody's turn comes when it would have");
    // What is put there after she has left, she could not read.
    world.put(2).await;
    let delivered = sql("UPDATE delivery_states SET delivered_at = $1").bind(world.house.ambient.now());
    world.house.seed(vec![delivered]).await;
    world.look().await;
    assert_eq!(world.known(dana).await, 1);
}

#[tokio::test]
async fn a_server_that_was_away_asks_about_the_groups_of_then() {
    let mut world = World::new().await;
    world.rbac.groups.lock().unwrap().insert("oidc:platform".to_owned());
    let dana = world.person("Dana", &["engineering"]).await;
    world.house.clock.advance(Duration::from_mins(1));
    world.leave(dana, "engineering").await;
    world.look().await;
    assert_eq!(world.known(dana).await, 1, "she was in it while the value lay there");
}
