//! Applying, on a database: what is written, what is recorded, what is refused.

use std::sync::Arc;

use async_trait::async_trait;

use super::*;
use crate::{
    audit::{FactsOfNow, Log},
    base::{Ambient, Name, ProblemKind, Timestamp},
    policy::{Action, FactVersions, Permit, Principal, Resource},
    store::{Database, WriteTx, sql},
};

/// The facts of these tests do not move.
struct Still;

#[async_trait]
impl FactsOfNow for Still {
    async fn confirm(&self, _: &mut WriteTx, _: &Permit, _: Timestamp) -> Result<()> {
        Ok(())
    }
}

struct House {
    _folder: tempfile::TempDir,
    database: Database,
    ambient: Ambient,
    log: Log,
    catalog: Catalog,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        let database = Database::open(&url).await.unwrap();
        database.migrate().await.unwrap();
        let ambient = Ambient::system(Timestamp::EPOCH);
        let log = Log::open(database.clone(), ambient.clone(), Arc::new(Still)).await.unwrap();
        let catalog = Catalog::new(database.clone(), vec!["dev/it".parse().unwrap()]);
        Self { _folder: folder, database, ambient, log, catalog }
    }

    /// A permit of Ada's, as policy would give it.
    async fn permit(&self, action: Action) -> Permit {
        let catalog = self.catalog.snapshot().await.unwrap().version;
        let rests_on = FactVersions { catalog, ..FactVersions::default() };
        let ada = Principal::Person(self.ambient.id());
        Permit::for_tests(ada, action, Resource::Catalog, rests_on, self.ambient.now())
    }

    async fn apply(&self, set: DocumentSet, conditions: Conditions) -> Result<Applied> {
        let permit = self.permit(Action::Apply).await;
        self.catalog.apply(&self.log, permit, set, conditions).await
    }

    async fn plan(&self, set: DocumentSet) -> Plan {
        let permit = self.permit(Action::Plan).await;
        self.catalog.plan(permit, set).await.unwrap()
    }

    /// The payload of the newest entry.
    async fn payload(&self) -> serde_json::Value {
        let (body,): (String,) = self
            .database
            .fetch_optional(sql("SELECT body FROM openings ORDER BY entry DESC LIMIT 1"))
            .await
            .unwrap()
            .unwrap();
        let openings: serde_json::Value = serde_json::from_str(&body).unwrap();
        serde_json::from_str(openings["payload"]["value"].as_str().unwrap()).unwrap()
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_plan_that_was_looked_at_is_what_is_applied() {
    let house = House::new().await;
    let plan = house.plan(set(example())).await;
    let conditions = Conditions {
        expect_version: Some(plan.base_version),
        expect_digest: Some(plan.digest),
        ..Conditions::default()
    };
    let applied = house.apply(set(example()), conditions).await.unwrap();
    assert_eq!((applied.version, &applied.changes), (1, &plan.changes));
    let snapshot = house.catalog.snapshot().await.unwrap();
    assert_eq!((snapshot.version, snapshot.scopes.len()), (1, 6));
    assert_eq!(snapshot.team_of(&name("reports")), Some(&name("supa-team")));
    let payload = house.payload().await;
    assert_eq!((&payload["version"], &payload["count"]), (&1.into(), &plan.changes.len().into()));
    let bodies = payload["bodies"].as_array().unwrap();
    let scope = bodies.iter().find(|it| it["name"] == "production-access").unwrap();
    assert_eq!(scope["body"]["by-request"]["longest"], "1h");
}

#[tokio::test]
async fn applying_twice_changes_nothing_and_is_recorded() {
    let house = House::new().await;
    house.apply(set(example()), Conditions::default()).await.unwrap();
    let before = house.log.head().size;
    let again = house.apply(set(example()), Conditions::default()).await.unwrap();
    assert_eq!((again.version, again.changes), (1, vec![]));
    assert_eq!(house.log.head().size, before + 1);
    assert_eq!(house.payload().await["count"], 0);
    assert_eq!(house.catalog.snapshot().await.unwrap().version, 1);
}

#[tokio::test]
async fn a_plan_is_refused_once_the_world_has_moved() {
    let house = House::new().await;
    let plan = house.plan(set(example())).await;
    house
        .apply(one("{kind: Group, name: other, provider: dev, id: other}"), Conditions::default())
        .await
        .unwrap();
    let by_version = Conditions { expect_version: Some(plan.base_version), ..Conditions::default() };
    let by_digest = Conditions { expect_digest: Some(plan.digest), ..Conditions::default() };
    for conditions in [by_version, by_digest] {
        let problem = house.apply(set(example()), conditions).await.unwrap_err();
        assert!(problem.is(ProblemKind::PlanIsStale), "{problem}");
    }
    assert_eq!(house.catalog.snapshot().await.unwrap().version, 1);
}

#[tokio::test]
async fn removals_are_done_only_where_that_is_said_and_only_of_what_is_owned() {
    let house = House::new().await;
    house.apply(set(example()), Conditions::default()).await.unwrap();
    house
        .apply(one("{kind: Group, name: other, provider: dev, id: other}"), Conditions::default())
        .await
        .unwrap();
    let fewer = || set(example().into_iter().filter(|it| it.file != "deliveries.yaml").collect());
    let size = house.log.head().size;
    let problem = house.apply(fewer(), Conditions::default()).await.unwrap_err();
    assert!(problem.is(ProblemKind::Conflict) && problem.remedy.unwrap().contains("--allow-delete"));
    assert_eq!(house.log.head().size, size, "a refused apply leaves no trace");
    let allowed = Conditions { allow_delete: true, ..Conditions::default() };
    house.apply(fewer(), allowed).await.unwrap();
    let snapshot = house.catalog.snapshot().await.unwrap();
    assert!(snapshot.deliveries.is_empty());
    assert!(snapshot.groups.contains_key(&name("other")));
}

#[tokio::test]
async fn invariant_1_a_permit_for_something_else_applies_nothing() {
    let house = House::new().await;
    let permit = house.permit(Action::Plan).await;
    let problem =
        house.catalog.apply(&house.log, permit, set(example()), Conditions::default()).await.unwrap_err();
    assert!(problem.is(ProblemKind::Internal));
    assert_eq!(house.catalog.snapshot().await.unwrap().version, 0);
}

#[tokio::test]
async fn what_is_refused_is_refused_whole() {
    let house = House::new().await;
    let mut files = example();
    files.push(Document {
        file: "z.yaml".to_owned(),
        text: "{kind: Team, name: z, groups: [nobody]}".to_owned(),
    });
    let problem = house.apply(set(files), Conditions::default()).await.unwrap_err();
    assert_eq!(told(&problem), ["z.yaml:1:32: there is no Group 'nobody'"]);
    assert_eq!(house.catalog.snapshot().await.unwrap().version, 0);
    assert!(house.catalog.snapshot().await.unwrap().groups.is_empty());
}

#[tokio::test]
async fn what_no_entry_can_hold_is_refused() {
    let house = House::new().await;
    let file = |first: usize| Document {
        file: format!("{first}.yaml"),
        text: (first..first + 2000)
            .map(|n| {
                [
                    "---\n{kind: Group, name: g",
                    &n.to_string(),
                    ", provider: dev, id: '",
                    &n.to_string(),
                    "-",
                    &"x".repeat(300),
                    "'}\n",
                ]
                .concat()
            })
            .collect(),
    };
    let large = || DocumentSet { source: Some(name("large")), documents: vec![file(0), file(2000)] };
    let problem = house.apply(large(), Conditions::default()).await.unwrap_err();
    assert!(problem.is(ProblemKind::TooLarge) && problem.remedy.is_some());
    assert_eq!(house.catalog.snapshot().await.unwrap().version, 0);
}
