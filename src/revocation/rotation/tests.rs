//! What makes tasks open and lets them wait, and rotators that are stopped and fail anywhere.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Obstacle, Rotation, RotationParts, Standing, Task};
use crate::{
    access::house::House,
    base::{
        Problem, ProblemKind, Result, SecretRef, SecretValue, Timestamp,
        ids::{PersonId, WaiverId},
    },
    keys::{Keys, MasterKey},
    notify::{Outbox, Webhook},
    policy::{Action, Permit, Resource},
    revocation::Revocation,
    secrets::{Parts, Recipe, Secrets, StaticCredentials, StaticRoles},
    store::sql,
};

const A: &str = "reports/production/A";
const B: &str = "reports/production/B";

/// An engine with static roles in small: every call may fail, before or after it was done.
#[derive(Default)]
struct Engine {
    roles: Mutex<BTreeMap<String, u32>>,
    /// What becomes of the next rotations: whether each is done, and whether it is answered.
    fate: Mutex<Vec<(bool, bool)>>,
    rotations: Mutex<u32>,
}

impl Engine {
    fn password(&self, role: &str) -> u32 {
        *self.roles.lock().unwrap().entry(role.to_owned()).or_insert(1)
    }
}

#[async_trait]
impl StaticRoles for Engine {
    async fn credentials(&self, _: &str, role: &str) -> Result<StaticCredentials> {
        let password = SecretValue::from(format!("{role}-{}", self.password(role)));
        Ok(StaticCredentials { username: format!("user-{role}"), password })
    }

    async fn rotate(&self, _: &str, role: &str) -> Result<()> {
        let (done, answered) = self.fate.lock().unwrap().pop().unwrap_or((true, true));
        if done {
            *self.rotations.lock().unwrap() += 1;
            *self.roles.lock().unwrap().entry(role.to_owned()).or_insert(1) += 1;
        }
        if answered { Ok(()) } else { Err(Problem::new(ProblemKind::EngineUnavailable, "no answer")) }
    }
}

struct Stage {
    house: House,
    secrets: Secrets,
    rotation: Rotation,
    revocation: Revocation,
    engine: Arc<Engine>,
    lena: PersonId,
    omar: PersonId,
    ada: PersonId,
}

impl Stage {
    async fn new() -> Self {
        let house = House::new().await;
        let master = MasterKey::Raw(zeroize::Zeroizing::new([7; 32]));
        let keys = Keys::open(&house.database, master, house.ambient.clone()).await.unwrap();
        let secrets = Secrets::new(Parts {
            database: house.database.clone(),
            log: house.log.clone(),
            catalog: house.catalog.clone(),
            keys: keys.clone(),
            ambient: house.ambient.clone(),
            remote: None,
            permits: Arc::clone(&house.services) as _,
        });
        let engine = Arc::new(Engine::default());
        let webhook = |path: &str| {
            let secret = SecretValue::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
            Webhook::new(format!("https://example.com/{path}").parse().unwrap(), &secret).unwrap()
        };
        let rotation = Rotation::new(RotationParts {
            database: house.database.clone(),
            log: house.log.clone(),
            catalog: house.catalog.clone(),
            ambient: house.ambient.clone(),
            keys,
            secrets: secrets.clone(),
            permits: Arc::clone(&house.services) as _,
            roles: Some(Arc::clone(&engine) as _),
            outbox: Outbox::new(&[webhook("told")]),
            rotators: BTreeMap::from([("crm".parse().unwrap(), Outbox::new(&[webhook("asked")]))]),
        });
        let revocation = Revocation::new(
            house.database.clone(),
            house.log.clone(),
            house.catalog.clone(),
            Arc::clone(&house.services) as _,
            house.ambient.clone(),
            house.outbox(),
        );
        let lena = house.person("Lena", &["engineering"]).await;
        let omar = house.person("Omar", &["leads"]).await;
        let ada = house.person("Ada", &["leads"]).await;
        Self { house, secrets, rotation, revocation, engine, lena, omar, ada }
    }

    /// Declares something more of one thing.
    async fn declare(&self, kind: &str, name: &str, more: Value) {
        let found: Option<(String,)> = self
            .house
            .database
            .fetch_optional(
                sql("SELECT body FROM declared WHERE kind = $1 AND name = $2").bind(kind).bind(name),
            )
            .await
            .unwrap();
        let mut body: Value = serde_json::from_str(&found.unwrap().0).unwrap();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let update = sql("UPDATE declared SET body = $3 WHERE kind = $1 AND name = $2")
            .bind(kind)
            .bind(name)
            .bind(body.to_string());
        self.house.seed(vec![update, sql("UPDATE catalog SET version = version + 1")]).await;
    }

    /// Declares how `A` gets new values, and takes its delivery away.
    async fn rotated(&self, rotation: Value) {
        let mut rotation = rotation;
        let here = json!({ "environment": "production", "secret": "A" });
        rotation.as_object_mut().unwrap().extend(here.as_object().unwrap().clone());
        self.declare("Application", "reports", json!({ "rotation": [rotation] })).await;
    }

    /// Nothing is delivered anywhere.
    async fn undelivered(&self) {
        let gone = sql("DELETE FROM declared WHERE kind = 'Delivery'");
        self.house.seed(vec![gone, sql("UPDATE catalog SET version = version + 1")]).await;
    }

    async fn permit(&self, person: PersonId, at: &str, action: Action) -> Permit {
        let at: SecretRef = at.parse().unwrap();
        let facts = self.house.catalog.snapshot().await.unwrap().environment(&at.environment).unwrap();
        self.house.permit(person, action, Resource::Secret(facts, at.name)).await
    }

    async fn set(&self, person: PersonId, at: &str, value: &str) {
        let permit = self.permit(person, at, Action::Set).await;
        self.secrets.set(permit, SecretValue::from(value.to_owned()), None).await.unwrap();
    }

    async fn generate(&self, at: &str) {
        let permit = self.permit(self.omar, at, Action::Set).await;
        self.secrets.generate(permit, &Recipe::new(None, None).unwrap(), None).await.unwrap();
    }

    /// Lena sees a value.
    async fn see(&self, at: &str) -> String {
        self.told(self.lena, at).await
    }

    /// The value, as somebody sees it who stays.
    async fn value(&self, at: &str) -> String {
        self.told(self.ada, at).await
    }

    async fn told(&self, person: PersonId, at: &str) -> String {
        let permit = self.permit(person, at, Action::Reveal).await;
        let told = self.secrets.reveal(permit, None).await.unwrap();
        told.value.expose_text().unwrap().to_owned()
    }

    async fn leave(&self, person: PersonId) {
        self.house.clock.advance(Duration::from_millis(1));
        self.house.set_status(person, "deactivated").await;
        self.look().await;
    }

    async fn look(&self) {
        self.revocation.look().await.unwrap();
        self.rotation.look().await;
        self.revocation.look().await.unwrap();
    }

    async fn open(&self) -> Vec<Task> {
        let declared = self.house.catalog.snapshot().await.unwrap();
        super::list(&self.house.database, &declared, Some("open"), None).await.unwrap()
    }

    async fn only(&self) -> Task {
        let mut open = self.open().await;
        assert_eq!(open.len(), 1, "{open:?}");
        open.remove(0)
    }

    async fn left(&self) -> crate::revocation::LeaverRow {
        let permit = self.house.permit(self.ada, Action::SeePeople, Resource::People).await;
        self.revocation.leaver(permit, self.lena).await.unwrap().row
    }

    async fn sent(&self, topic: &str) -> i64 {
        let query = sql("SELECT CAST(count(*) AS BIGINT) FROM outbox WHERE topic = $1").bind(topic);
        self.house.count(query).await
    }

    async fn waive_permit(&self, person: PersonId, task: &Task, confirming: bool) -> Permit {
        let resource = self.rotation.waiver(task.id, confirming).await.unwrap();
        self.house.permit(person, Action::WaiveRotation, resource).await
    }

    async fn ask(&self, task: &Task, until: Timestamp) -> Result<Task> {
        let permit = self.waive_permit(self.omar, task, false).await;
        self.rotation.waive(permit, "a contract until then", until).await
    }

    async fn confirm(&self, person: PersonId, task: &Task) -> Result<Task> {
        let waiver: WaiverId = task.waiver.as_ref().unwrap().id.parse().unwrap();
        let permit = self.waive_permit(person, task, true).await;
        self.rotation.confirm(permit, waiver).await
    }

    fn days(&self, days: u64) -> Timestamp {
        self.house.ambient.now().after(Duration::from_hours(24 * days))
    }

    fn wait_days(&self, days: u64) {
        self.house.clock.advance(Duration::from_hours(24 * days));
    }
}

async fn scope_of(stage: &Stage, scope: Option<&str>) {
    let query = sql("UPDATE exposures SET scope = $1").bind(scope);
    stage.house.seed(vec![query]).await;
}

#[tokio::test]
async fn a_scope_says_whether_exposure_requires_suggests_or_ignores_rotation() {
    let stage = Stage::new().await;
    stage.undelivered().await;
    stage.declare("TrustScope", "production-run", json!({"rotation": {"after-leaving": "ignores"}})).await;
    let suggests = json!({"rotation": {"after-leaving": "suggests", "within": "30d"}});
    stage.declare("TrustScope", "production-access", suggests).await;
    stage.set(stage.omar, A, "one").await;
    stage.see(A).await;
    scope_of(&stage, Some("production-run")).await;
    stage.leave(stage.lena).await;
    assert!(stage.open().await.is_empty(), "what is ignored opens nothing");
    assert_eq!(stage.sent("leaver.opened").await, 0, "and nobody is told of work");
    assert!(stage.left().await.closed_at.is_some() && stage.left().await.left.total() == 0);
    // Known by a second exposure that only suggests.
    scope_of(&stage, Some("production-access")).await;
    stage.look().await;
    let task = stage.only().await;
    assert_eq!(task.standing, Standing::Suggested);
    assert_eq!(task.due_at, task.opened_at.after(Duration::from_hours(30 * 24)));
    assert_eq!(stage.left().await.left.total(), 0);
    assert!(stage.left().await.closed_at.is_some(), "what is only suggested holds nobody up");
    // A scope that is gone, or none: the usual.
    for scope in [None, Some("gone")] {
        scope_of(&stage, scope).await;
        let task = stage.only().await;
        assert_eq!(task.standing, Standing::Required);
        assert_eq!(task.due_at, task.opened_at.after(Duration::from_hours(7 * 24)));
        assert_eq!(stage.left().await.left.rotation_tasks, 1);
    }
}

#[tokio::test]
async fn a_leaver_who_was_through_is_not_any_more_where_files_require_what_they_suggested() {
    let stage = Stage::new().await;
    stage.undelivered().await;
    let rule = |after: &str| json!({"rotation": {"after-leaving": after}});
    stage.declare("TrustScope", "production-access", rule("suggests")).await;
    stage.set(stage.omar, A, "one").await;
    stage.see(A).await;
    scope_of(&stage, Some("production-access")).await;
    stage.leave(stage.lena).await;
    stage.look().await;
    assert!(stage.left().await.closed_at.is_some(), "nothing holds her up");
    let task = stage.only().await;
    stage.declare("TrustScope", "production-access", rule("requires")).await;
    stage.look().await;
    assert!(stage.left().await.closed_at.is_none(), "it has to be done now");
    assert_eq!(stage.only().await.id, task.id, "it is the task that was there");
    assert_eq!(stage.house.entries("leaver.reopened").await, 1);
    stage.look().await;
    assert_eq!(stage.house.entries("leaver.reopened").await, 1, "once");
    stage.set(stage.omar, A, "two").await;
    stage.look().await;
    assert!(stage.left().await.closed_at.is_some());
    // And what was ignored opens a task, long after she was through.
    stage.declare("TrustScope", "production-access", rule("ignores")).await;
    stage.set(stage.omar, A, "one").await;
    stage.look().await;
    assert!(stage.open().await.is_empty() && stage.left().await.closed_at.is_some());
    stage.declare("TrustScope", "production-access", rule("requires")).await;
    stage.look().await;
    assert_eq!(stage.only().await.standing, Standing::Required);
    assert!(stage.left().await.closed_at.is_none());
}

#[tokio::test]
async fn knowing_a_value_under_two_scopes_is_as_strict_as_can_be() {
    let stage = Stage::new().await;
    stage.set(stage.omar, A, "one").await;
    stage.see(A).await;
    scope_of(&stage, Some("production-run")).await;
    stage.see(A).await;
    let scopes: Vec<(Option<String>,)> = stage
        .house
        .database
        .fetch_all(sql("SELECT scope FROM exposures WHERE how = 'revealed'"))
        .await
        .unwrap();
    assert_eq!(scopes, [(None,)]);
}

#[tokio::test]
async fn equal_values_in_several_places_are_one_task() {
    let stage = Stage::new().await;
    stage.undelivered().await;
    stage.set(stage.omar, A, "same").await;
    stage.set(stage.omar, B, "same").await;
    stage.see(A).await;
    stage.leave(stage.lena).await;
    let task = stage.only().await;
    let places: Vec<String> = task.places.iter().map(|place| place.secret.to_string()).collect();
    assert_eq!(places, [A, B]);
    assert_eq!(stage.left().await.left.rotation_tasks, 1);
    stage.set(stage.omar, B, "other").await;
    stage.look().await;
    let waits: Vec<usize> = stage.only().await.places.iter().map(|place| place.waits_for.len()).collect();
    assert_eq!(waits, [1, 0], "one of the two is changed");
    stage.set(stage.omar, A, "another").await;
    stage.look().await;
    assert!(stage.open().await.is_empty());
    assert_eq!(stage.house.entries("rotation.closed").await, 2, "each secret's log has it");
    assert!(stage.left().await.closed_at.is_some());
}

#[tokio::test]
async fn a_waiver_takes_two_people_and_ends_by_itself() {
    let stage = Stage::new().await;
    stage.undelivered().await;
    stage.set(stage.omar, A, "one").await;
    stage.see(A).await;
    stage.leave(stage.lena).await;
    let task = stage.only().await;
    for (reason, until) in [("", stage.days(9)), ("why", stage.house.ambient.now()), ("why", stage.days(400))]
    {
        let permit = stage.waive_permit(stage.omar, &task, false).await;
        assert!(
            stage.rotation.waive(permit, reason, until).await.unwrap_err().is(ProblemKind::InvalidRequest)
        );
    }
    let asked = stage.ask(&task, stage.days(9)).await.unwrap();
    assert_eq!(asked.standing, Standing::Required, "one person agrees with nobody");
    assert_eq!(stage.left().await.left.rotation_tasks, 1);
    assert!(stage.ask(&task, stage.days(9)).await.unwrap_err().is(ProblemKind::Conflict));
    assert!(stage.confirm(stage.omar, &asked).await.unwrap_err().is(ProblemKind::Conflict));
    let waived = stage.confirm(stage.ada, &asked).await.unwrap();
    assert_eq!(waived.standing, Standing::Waived);
    stage.look().await;
    let left = stage.left().await;
    assert_eq!((left.left.total(), left.left.waived), (0, 1));
    assert!(left.closed_at.is_some(), "what may wait holds nobody up");
    stage.wait_days(9);
    stage.look().await;
    let left = stage.left().await;
    assert_eq!((left.left.total(), left.left.waived), (1, 0));
    assert!(left.closed_at.is_none() && stage.only().await.waiver.is_none());
    assert_eq!(stage.house.entries("rotation.waiver-ended").await, 1);
}

#[tokio::test]
async fn a_waiver_is_not_for_whoever_leaves_later_and_can_be_taken_back() {
    let stage = Stage::new().await;
    stage.undelivered().await;
    let dana = stage.house.person("Dana", &["engineering"]).await;
    stage.set(dana, A, "one").await;
    stage.see(A).await;
    stage.leave(stage.lena).await;
    let asked = stage.ask(&stage.only().await, stage.days(9)).await.unwrap();
    stage.confirm(stage.ada, &asked).await.unwrap();
    stage.look().await;
    assert!(stage.left().await.closed_at.is_some());
    stage.leave(dana).await;
    let task = stage.only().await;
    assert!(task.waiver.is_none() && task.standing == Standing::Required);
    assert!(stage.left().await.closed_at.is_none(), "it holds Lena up again, too");
    let asked = stage.ask(&task, stage.days(9)).await.unwrap();
    stage.confirm(stage.ada, &asked).await.unwrap();
    let permit = stage.waive_permit(stage.omar, &task, false).await;
    let again = stage.rotation.unwaive(permit, "the contract has ended").await.unwrap();
    assert_eq!((again.standing, again.waiver.is_none()), (Standing::Required, true));
}

#[tokio::test]
async fn a_value_that_is_too_old_has_the_same_task() {
    let stage = Stage::new().await;
    stage.undelivered().await;
    stage.rotated(json!({ "every": "90d" })).await;
    stage.set(stage.omar, A, "one").await;
    stage.set(stage.omar, B, "two").await;
    stage.wait_days(89);
    stage.set(stage.omar, A, "one").await;
    stage.look().await;
    assert!(stage.open().await.is_empty());
    stage.wait_days(1);
    stage.look().await;
    let task = stage.only().await;
    assert!(task.is_aged && task.people.is_empty(), "an equal value makes it no younger");
    assert_eq!(task.places[0].waits_for, [Obstacle::Current]);
    stage.generate(A).await;
    stage.look().await;
    assert!(stage.open().await.is_empty());
    stage.wait_days(89);
    stage.look().await;
    assert!(stage.open().await.is_empty(), "a new value is young");
}

#[tokio::test]
async fn what_cannot_be_seen_is_said_and_what_can_be_seen_is_not() {
    let stage = Stage::new().await;
    stage.undelivered().await;
    stage.rotated(json!({ "by": { "hand": "ask the vendor" }, "until-said": true })).await;
    stage.set(stage.omar, A, "one").await;
    stage.see(A).await;
    stage.leave(stage.lena).await;
    let task = stage.only().await;
    let say = async |reason: &str| {
        let permit = stage.permit(stage.omar, A, Action::Set).await;
        stage.rotation.say_done(permit, task.id, reason).await
    };
    assert!(say("it is").await.unwrap_err().is(ProblemKind::Conflict), "it plainly is not");
    stage.generate(A).await;
    stage.look().await;
    assert_eq!(stage.only().await.places[0].waits_for, [Obstacle::StillValid]);
    assert!(say(" ").await.unwrap_err().is(ProblemKind::InvalidRequest));
    say("revoked at the vendor's, ticket 7").await.unwrap();
    // Said of another value than the current one: worth nothing.
    stage.generate(A).await;
    stage.look().await;
    assert_eq!(stage.only().await.places[0].waits_for, [Obstacle::StillValid]);
    say("revoked at the vendor's, ticket 7").await.unwrap();
    stage.look().await;
    assert!(stage.open().await.is_empty());
}

#[tokio::test]
async fn reminders_are_sent_once_each_and_never_while_it_may_wait() {
    let stage = Stage::new().await;
    stage.undelivered().await;
    stage.set(stage.omar, A, "one").await;
    stage.see(A).await;
    stage.leave(stage.lena).await;
    assert_eq!(stage.sent("rotation.reminder").await, 0);
    for (days, expected) in [(6, 1), (0, 1), (1, 2), (1, 2), (6, 3)] {
        stage.wait_days(days);
        stage.house.clock.advance(Duration::from_mins(2));
        stage.look().await;
        assert_eq!(stage.sent("rotation.reminder").await, expected, "after {days} more days");
    }
    let asked = stage.ask(&stage.only().await, stage.days(30)).await.unwrap();
    stage.confirm(stage.ada, &asked).await.unwrap();
    stage.wait_days(20);
    stage.look().await;
    assert_eq!(stage.sent("rotation.reminder").await, 3);
    let body: (String,) = stage
        .house
        .database
        .fetch_optional(sql("SELECT body FROM outbox WHERE topic = 'rotation.reminder' LIMIT 1"))
        .await
        .unwrap()
        .unwrap();
    assert!(body.0.contains(A) && !body.0.contains("Lena") && !body.0.contains("\"one\""), "{}", body.0);
}

#[tokio::test]
async fn a_rotator_outside_is_asked_once_for_each_value_that_should_go() {
    let stage = Stage::new().await;
    stage.undelivered().await;
    stage.rotated(json!({ "by": { "webhook": "crm" } })).await;
    stage.set(stage.omar, A, "one").await;
    stage.see(A).await;
    stage.leave(stage.lena).await;
    stage.look().await;
    assert_eq!(stage.sent("rotation.wanted").await, 1);
    stage.set(stage.omar, A, "one").await;
    stage.look().await;
    stage.look().await;
    assert_eq!(stage.sent("rotation.wanted").await, 2, "an equal value is no answer");
    stage.generate(A).await;
    stage.look().await;
    assert!(stage.open().await.is_empty());
    assert_eq!(stage.sent("rotation.wanted").await, 2);
}

const ROLE: &str = "vault-static-role";

#[tokio::test]
async fn a_static_role_is_followed_and_rotated_when_somebody_leaves() {
    let stage = Stage::new().await;
    stage.undelivered().await;
    let template = "postgres://{username}:{password}@db/reports";
    stage.rotated(json!({"by": {ROLE: {"mount": "database", "role": "r", "template": template}}})).await;
    stage.look().await;
    assert_eq!(stage.see(A).await, "postgres://user-r:r-1@db/reports");
    stage.leave(stage.lena).await;
    assert!(stage.open().await.is_empty());
    assert_eq!(stage.value(A).await, "postgres://user-r:r-2@db/reports");
    assert_eq!(stage.house.entries("secret.rotated").await, 2);
    let exposed = sql("SELECT CAST(count(*) AS BIGINT) FROM exposures WHERE principal LIKE 'service/%'");
    assert_eq!(stage.house.count(exposed).await, 0, "nobody came to know it");
    // Changed by the engine itself: the secret follows, and nobody's doing is undone.
    stage.engine.roles.lock().unwrap().insert("r".to_owned(), 7);
    stage.house.clock.advance(Duration::from_mins(2));
    stage.look().await;
    assert_eq!(stage.value(A).await, "postgres://user-r:r-7@db/reports");
}

#[tokio::test]
async fn of_two_roles_the_old_password_dies_after_the_new_one_is_delivered() {
    let stage = Stage::new().await;
    stage.rotated(json!({"by": {ROLE: {"mount": "database", "role": "a", "other-role": "b"}}})).await;
    stage.look().await;
    assert_eq!(stage.see(A).await, "a-1");
    stage.leave(stage.lena).await;
    assert_eq!(stage.value(A).await, "b-1");
    assert_eq!(*stage.engine.rotations.lock().unwrap(), 0, "what is delivered still works");
    let delivery = "reports-env".parse().unwrap();
    assert_eq!(
        stage.only().await.places[0].waits_for,
        [Obstacle::NotDelivered(delivery), Obstacle::StillValid]
    );
    let deliver = sql("INSERT INTO delivered_versions (delivery, secret, version) \
         SELECT 'reports-env', s.id, v.id FROM secrets s JOIN versions v ON v.secret = s.id AND v.number = s.current_number");
    stage.house.seed(vec![deliver]).await;
    stage.look().await;
    assert!(stage.open().await.is_empty());
    assert_eq!((stage.engine.password("a"), stage.engine.password("b")), (2, 1));
    assert_eq!(stage.house.entries("rotation.old-value-ended").await, 1);
}

/// Whether it was done or not, and whether that was told: in the end there is one value that she does not
/// know, and every intent has an outcome.
#[tokio::test]
async fn a_rotation_whose_answer_is_lost_is_looked_into() {
    for fate in [(true, false), (false, false)] {
        let stage = Stage::new().await;
        stage.undelivered().await;
        stage.rotated(json!({"by": {ROLE: {"mount": "database", "role": "r"}}})).await;
        stage.look().await;
        stage.see(A).await;
        stage.engine.fate.lock().unwrap().push(fate);
        stage.leave(stage.lena).await;
        let failed = stage.only().await.places[0].failed.clone();
        assert!(failed.is_some_and(|it| it.starts_with("no answer (failed 1 times")), "{fate:?}");
        stage.house.clock.advance(Duration::from_mins(1));
        stage.look().await;
        assert!(stage.open().await.is_empty(), "{fate:?}");
        assert_eq!(stage.value(A).await, "r-2", "{fate:?}");
        let open = sql("SELECT CAST(count(*) AS BIGINT) FROM intents WHERE state IN ('open', 'unknown')");
        assert_eq!(stage.house.count(open).await, 0);
        let failures = sql("SELECT CAST(count(*) AS BIGINT) FROM rotator_failures");
        assert_eq!(stage.house.count(failures).await, 0);
    }
}
