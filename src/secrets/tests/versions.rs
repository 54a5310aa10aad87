//! The embedded engine: versions, exposures, and what is never found in the database.

use std::time::Duration;

use super::{A, Room};
use crate::{
    access::house::production,
    base::{EnvironmentRef, ProblemKind},
    policy::{Action, Resource, Service, ServicePermits as _},
    secrets::{Recipe, Removal, Whose},
    store::sql,
};

const CANARY: &str = "canary-7f3e-value";

#[tokio::test]
async fn a_value_is_set_and_revealed_and_both_are_known_of_whoever_did_it() {
    let room = Room::new().await;
    let made = room.set(A, CANARY, Some(0)).await.unwrap();
    assert_eq!((made.number, made.equal_to_previous), (1, false));
    let revealed = room.reveal(A, None).await.unwrap();
    assert_eq!((revealed.version, revealed.value.expose()), (1, CANARY.as_bytes()));
    assert_eq!((room.exposures("entered").await, room.exposures("revealed").await), (1, 1));
    assert_eq!((room.house.entries("secret.set").await, room.house.entries("secret.revealed").await), (1, 1));
}

#[tokio::test]
async fn only_who_knows_the_newest_version_sets_the_next_and_equal_values_are_said_to_be() {
    let room = Room::new().await;
    assert!(room.set(A, "x", Some(1)).await.unwrap_err().is(ProblemKind::PreconditionFailed));
    assert_eq!(room.set(A, "x", Some(0)).await.unwrap().number, 1);
    let stale = room.set(A, "y", Some(0)).await.unwrap_err();
    assert!(stale.is(ProblemKind::PreconditionFailed), "{stale}");
    let equal = room.set(A, "x", Some(1)).await.unwrap();
    assert_eq!((equal.number, equal.equal_to_previous), (2, true));
    assert!(!room.set(A, "y", None).await.unwrap().equal_to_previous);
    assert_eq!(room.house.entries("secret.set").await, 3);
}

#[tokio::test]
async fn a_generated_value_is_known_to_nobody_and_going_back_makes_a_version() {
    let room = Room::new().await;
    room.set(A, CANARY, None).await.unwrap();
    let permit = room.permit(A, Action::Set).await;
    room.secrets.generate(permit, &Recipe::new(None, None).unwrap(), Some(1)).await.unwrap();
    assert_eq!(room.exposures("entered").await, 1);
    let made = room.secrets.rollback(room.permit(A, Action::Set).await, 1, None).await.unwrap();
    assert_eq!(made.number, 3);
    assert_eq!(room.exposures("entered").await, 1);
    assert_eq!(room.reveal(A, None).await.unwrap().value.expose(), CANARY.as_bytes());
    assert_eq!(room.reveal(A, Some(2)).await.unwrap().value.len(), 32);
}

#[tokio::test]
async fn what_is_deleted_comes_back_and_what_is_destroyed_does_not() {
    let room = Room::new().await;
    room.set(A, CANARY, None).await.unwrap();
    for (removal, readable) in
        [(Removal::Delete, false), (Removal::Undelete, true), (Removal::Destroy, false)]
    {
        room.secrets.remove(room.permit(A, removal.action()).await, removal, None).await.unwrap();
        assert_eq!(room.reveal(A, None).await.is_ok(), readable, "{removal:?}");
    }
    let again = room.secrets.remove(room.permit(A, Action::Set).await, Removal::Undelete, Some(1)).await;
    assert!(again.unwrap_err().is(ProblemKind::Conflict));
    let back = room.secrets.rollback(room.permit(A, Action::Set).await, 1, None).await;
    assert!(back.unwrap_err().is(ProblemKind::NotFound));
    let kept = sql("SELECT CAST(count(*) AS BIGINT) FROM versions WHERE sealed IS NOT NULL");
    assert_eq!(room.house.count(kept).await, 0);
}

#[tokio::test]
async fn nobody_gets_a_value_by_a_permit_from_before_she_left() {
    let room = Room::new().await;
    room.set(A, CANARY, None).await.unwrap();
    let permit = room.permit(A, Action::Reveal).await;
    let setting = room.permit(A, Action::Set).await;
    room.house.set_status(room.dana, "deactivated").await;
    assert!(room.secrets.reveal(permit, None).await.unwrap_err().is(ProblemKind::FactsChanged));
    let set = room.secrets.set(setting, "x".to_owned().into(), None).await;
    assert!(set.unwrap_err().is(ProblemKind::FactsChanged));
    assert_eq!((room.exposures("revealed").await, room.exposures("entered").await), (0, 1));
}

#[tokio::test]
async fn a_shared_secret_is_one_version_for_all_and_only_its_owner_changes_it() {
    let room = Room::new().await;
    let made = room.set("reports/production/B", CANARY, None).await.unwrap();
    let shared = "billing/production/B";
    assert_eq!(room.reveal(shared, None).await.unwrap().value.expose(), CANARY.as_bytes());
    let at: EnvironmentRef = "billing/production".parse().unwrap();
    let facts = room.house.catalog.snapshot().await.unwrap().environment(&at).unwrap();
    let permit = room.house.permit(room.dana, Action::Run, Resource::Environment(facts.clone())).await;
    assert_eq!(room.secrets.run_values(permit).await.unwrap().len(), 1);
    assert_eq!(room.exposures("run").await, 1);
    let deliver =
        || room.house.services.permit(Service::Broker, Action::Deliver, Resource::Environment(facts.clone()));
    let current = room.secrets.current(&at, deliver().unwrap()).await.unwrap();
    assert_eq!(current.iter().map(|it| it.version).collect::<Vec<_>>(), [made.id]);
    let elsewhere = room.secrets.current(&production(), deliver().unwrap()).await;
    assert!(elsewhere.unwrap_err().is(ProblemKind::Internal));
    let versions = sql("SELECT CAST(count(DISTINCT version) AS BIGINT) FROM exposures");
    assert_eq!(room.house.count(versions).await, 1);
}

#[tokio::test]
async fn a_permit_for_something_else_opens_nothing() {
    let room = Room::new().await;
    room.set(A, CANARY, None).await.unwrap();
    let permit = room.permit(A, Action::List).await;
    assert!(room.secrets.reveal(permit, None).await.unwrap_err().is(ProblemKind::Internal));
    assert_eq!(room.exposures("revealed").await, 0);
}

#[tokio::test]
async fn a_sealed_value_opens_nowhere_but_in_its_own_version() {
    let room = Room::new().await;
    room.set(A, "one", None).await.unwrap();
    room.set("reports/production/C", "other", None).await.unwrap();
    room.set(A, "two", None).await.unwrap();
    room.set("billing/production/A", "elsewhere", None).await.unwrap();
    // Another number, another name, another application.
    for (name, application, number) in [("A", "reports", 1), ("C", "reports", 1), ("A", "billing", 1)] {
        let moved = "UPDATE versions SET (sealed, wrapped_key) = (SELECT v.sealed, v.wrapped_key FROM versions v \
             JOIN secrets s ON s.id = v.secret WHERE s.name = $1 AND s.application = $2 AND v.number = $3) \
             WHERE number = 2";
        room.house.seed(vec![sql(moved).bind(name).bind(application).bind(i64::from(number))]).await;
        assert!(room.reveal(A, None).await.is_err(), "{application} {name} {number}");
    }
    assert_eq!(room.exposures("revealed").await, 0);
}

#[tokio::test]
async fn a_new_key_wraps_every_version_and_every_value_stays_readable() {
    let room = Room::new().await;
    // More than one batch.
    for number in 1..=205 {
        room.set(A, &format!("value {number}"), Some(number - 1)).await.unwrap();
    }
    let before = room.keys.wrapping_in_use();
    room.house.clock.advance(Duration::from_secs(1));
    assert_eq!(room.secrets.rotate_key().await.unwrap(), 205);
    assert_ne!(room.keys.wrapping_in_use(), before);
    let old = sql("SELECT CAST(count(*) AS BIGINT) FROM versions WHERE master_key = $1").bind(before);
    assert_eq!(room.house.count(old).await, 0);
    for number in [1, 100, 204, 205] {
        let value = room.reveal(A, Some(number)).await.unwrap().value;
        assert_eq!(value.expose(), format!("value {number}").as_bytes());
    }
}

#[tokio::test]
async fn no_value_is_in_the_database_nor_in_problems_nor_in_debug() {
    let room = Room::new().await;
    room.set(A, CANARY, None).await.unwrap();
    let revealed = room.reveal(A, None).await.unwrap();
    let made = room.set(A, CANARY, None).await.unwrap();
    let problem = room.set(A, CANARY, Some(7)).await.unwrap_err();
    let printed = format!("{revealed:?} {made:?} {problem:?} {problem}");
    assert!(!printed.contains(CANARY), "{printed}");
    assert!(room.house.folder().join("test.db-wal").exists());
    for file in std::fs::read_dir(room.house.folder()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(CANARY.len()).any(|it| it == CANARY.as_bytes()), "{}", path.display());
    }
}

/// What she knows, and who knows a secret, with what each line has to say.
#[tokio::test]
async fn exposures_say_who_knows_what_and_whether_it_matters_still() {
    let room = Room::new().await;
    room.set(A, "one", None).await.unwrap();
    room.house.clock.advance(Duration::from_millis(1));
    room.reveal(A, None).await.unwrap();
    room.house.clock.advance(Duration::from_millis(1));
    room.set(A, "two", None).await.unwrap();
    let own = room.house.own(room.dana).await;
    let hers = Whose::Principal(room.dana.to_string());
    let found = room.secrets.exposures(&own, &hers, None).await.unwrap();
    let lines: Vec<_> =
        found.items.iter().map(|it| (it.version.unwrap(), it.how.as_str(), it.is_current)).collect();
    assert_eq!(lines, [(2, "entered", true), (1, "revealed", false), (1, "entered", false)]);
    for it in &found.items {
        let (first, last) = it.entries.unwrap();
        assert_eq!(first, last);
        let action = if it.how == "entered" { "secret.set" } else { "secret.revealed" };
        let query = sql("SELECT CAST(count(*) AS BIGINT) FROM entries WHERE idx = $1 AND action = $2");
        assert_eq!(room.house.count(query.bind(first).bind(action)).await, 1, "{it:?}");
    }
    let permit = room.permit(A, Action::SeeExposure).await;
    let of_it = room.secrets.exposures(&permit, &Whose::Secret(A.parse().unwrap()), None).await.unwrap();
    assert_eq!((of_it.items, of_it.secret), (found.items, Some(A.parse().unwrap())));
}

/// A permit for one's own opens nobody else's, and one for a secret no other one's.
#[tokio::test]
async fn exposures_are_told_to_whom_the_permit_says() {
    let room = Room::new().await;
    let lena = room.house.person("Lena", &["engineering"]).await;
    let own = room.house.own(room.dana).await;
    assert!(room.secrets.exposures(&own, &Whose::Principal(lena.to_string()), None).await.is_err());
    let permit = room.permit(A, Action::SeeExposure).await;
    for whose in [
        Whose::Secret("reports/production/B".parse().unwrap()),
        Whose::Secret("billing/production/A".parse().unwrap()),
        Whose::Principal(room.dana.to_string()),
    ] {
        assert!(room.secrets.exposures(&permit, &whose, None).await.is_err(), "{whose:?}");
    }
}

#[tokio::test]
async fn many_exposures_are_told_page_by_page() {
    let room = Room::new().await;
    for n in 0..103 {
        room.set(A, &format!("value-{n}"), None).await.unwrap();
        room.house.clock.advance(Duration::from_millis(1));
    }
    let own = room.house.own(room.dana).await;
    let hers = Whose::Principal(room.dana.to_string());
    let first = room.secrets.exposures(&own, &hers, None).await.unwrap();
    let second = room.secrets.exposures(&own, &hers, first.next.as_deref()).await.unwrap();
    let versions: Vec<i64> = first.items.iter().chain(&second.items).filter_map(|it| it.version).collect();
    assert_eq!(versions, (1..=103).rev().collect::<Vec<_>>());
    assert_eq!((first.items.len(), second.next), (100, None));
}
