//! Changes in a remote engine that fails: nothing is lost, nothing is recorded twice, no value is told
//! without its entry, and every intent closes.

use std::{sync::Arc, time::Duration};

use super::{
    A, Room,
    faulty::{Fault, Faulty},
};
use crate::{
    base::{Ambient, ProblemKind, Result, SecretRef, Timestamp, ambient::SeededChance, time::ManualClock},
    policy::Action,
    secrets::{Place, Recipe, Removal},
    store::sql,
};

/// How many histories are played, and how long each is.
const HISTORIES: u64 = 40;
const STEPS: usize = 14;

const OPEN: &str = "SELECT CAST(count(*) AS BIGINT) FROM intents WHERE state IN ('open', 'unknown')";

async fn room() -> (Room, Arc<Faulty>) {
    let engine = Arc::new(Faulty::default());
    (Room::with(Some(Arc::clone(&engine) as _)).await, engine)
}

fn place() -> Place {
    Place::Ours(A.parse::<SecretRef>().unwrap())
}

/// Does it; nothing where the process ended meanwhile.
async fn until_crash<T>(engine: &Faulty, acting: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        outcome = acting => Some(outcome),
        () = engine.hangs.notified() => None,
    }
}

/// The engine is well again, and what has no outcome is looked into.
async fn recover(room: &Room, engine: &Faulty) {
    engine.will([]);
    room.house.clock.advance(Duration::from_secs(31));
    room.secrets.look_into_unknown().await.unwrap();
    assert_eq!(room.house.count(sql(OPEN)).await, 0, "an intent is open still");
    assert_eq!(room.secrets.look_into_unknown().await.unwrap(), 0);
}

/// Every version of the engine is one of ours, once, and the current one is its newest.
async fn check(room: &Room, engine: &Faulty) {
    let rows: Vec<(i64, i64)> = room
        .house
        .database
        .fetch_all(sql("SELECT number, engine_version FROM versions ORDER BY number"))
        .await
        .unwrap();
    let expected: Vec<(i64, i64)> = (1..).map(|n| (n, n)).take(engine.count(&place())).collect();
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn however_a_write_fails_it_is_found_out_whether_it_was_done() {
    for fault in Fault::ALL {
        let (room, engine) = room().await;
        engine.will([fault]);
        let outcome = until_crash(&engine, room.set(A, "value", None)).await;
        let done = matches!(fault, Fault::None | Fault::LostAfter | Fault::NonsenseAfter | Fault::CrashAfter);
        match outcome {
            Some(Ok(made)) => assert_eq!((fault, made.number), (Fault::None, 1)),
            Some(Err(problem)) => assert!(problem.is(ProblemKind::OutcomeUnknown), "{fault:?}: {problem}"),
            None => assert!(matches!(fault, Fault::CrashBefore | Fault::CrashAfter)),
        }
        recover(&room, &engine).await;
        check(&room, &engine).await;
        assert_eq!(engine.count(&place()), usize::from(done), "{fault:?}");
        assert_eq!(room.exposures("entered").await, i64::from(done), "{fault:?}");
        assert_eq!(room.reveal(A, None).await.is_ok(), done, "{fault:?}");
    }
}

#[tokio::test]
async fn a_write_that_the_engine_refuses_by_its_version_was_not_made() {
    let (room, engine) = room().await;
    room.set(A, "one", None).await.unwrap();
    let stale = room.set(A, "two", Some(0)).await.unwrap_err();
    assert!(stale.is(ProblemKind::PreconditionFailed), "{stale}");
    assert_eq!(room.house.count(sql(OPEN)).await, 0);
    check(&room, &engine).await;
}

#[tokio::test]
async fn nothing_else_changes_a_secret_while_a_change_of_it_has_no_outcome() {
    let (room, engine) = room().await;
    engine.will([Fault::LostAfter]);
    room.set(A, "one", None).await.unwrap_err();
    let refused = room.set(A, "two", None).await.unwrap_err();
    assert!(refused.is(ProblemKind::Conflict), "{refused}");
    room.set("reports/production/C", "another", None).await.unwrap();
    recover(&room, &engine).await;
    assert_eq!(room.set(A, "two", Some(1)).await.unwrap().number, 2);
    let now = room.reveal(A, None).await.unwrap();
    assert_eq!((now.version, now.value.expose()), (2, "two".as_bytes()));
}

/// One random act.
async fn step(room: &Room, chance: &Ambient) -> Result<()> {
    let [what, value] = chance.bytes::<2>();
    let permit = |action| room.permit(A, action);
    match what % 9 {
        0..=3 => room.set(A, &format!("value {}", value % 4), None).await.map(drop),
        4 => {
            let recipe = Recipe::new(None, None).unwrap();
            room.secrets.generate(permit(Action::Set).await, &recipe, None).await.map(drop)
        }
        5 => {
            let to = i64::from(value % 4) + 1;
            room.secrets.rollback(permit(Action::Set).await, to, None).await.map(drop)
        }
        6 => room.secrets.remove(permit(Action::Set).await, Removal::Delete, None).await,
        7 => room.secrets.remove(permit(Action::Set).await, Removal::Undelete, None).await,
        _ => {
            let before = room.house.entries("secret.revealed").await;
            let told = room.reveal(A, None).await;
            let entries = room.house.entries("secret.revealed").await - before;
            assert_eq!(entries, i64::from(told.is_ok()), "a value and its entry go together");
            told.map(drop)
        }
    }
}

async fn play(seed: u64) {
    let start: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let chance = Ambient::new(Arc::new(ManualClock::new(start)), Arc::new(SeededChance::new(seed)));
    let (room, engine) = room().await;
    for _ in 0..STEPS {
        let [fault, rest] = chance.bytes::<2>();
        engine.will([Fault::ALL[usize::from(fault) % Fault::ALL.len()]]);
        let _ = Box::pin(until_crash(&engine, step(&room, &chance))).await;
        if rest % 2 == 0 {
            recover(&room, &engine).await;
            check(&room, &engine).await;
        }
    }
    recover(&room, &engine).await;
    check(&room, &engine).await;
}

#[tokio::test]
async fn random_histories_lose_nothing_and_record_nothing_twice() {
    for seed in 1..=HISTORIES {
        tokio::spawn(play(seed)).await.unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}
