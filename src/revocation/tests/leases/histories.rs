//! However issuing, renewing and taking back fail, it all comes to the same end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    HOUR, Room,
    bank::{Bank, Fault},
};
use crate::{
    base::{Ambient, ProblemKind, Result, Timestamp, ambient::SeededChance, time::ManualClock},
    secrets::LeaseState,
    store::sql,
};

/// How many histories are played, and how long each is.
const HISTORIES: u64 = 24;
const STEPS: usize = 16;

const OPEN: &str = "SELECT CAST(count(*) AS BIGINT) FROM intents WHERE state IN ('open', 'unknown')";
const HALF_DONE: &str =
    "SELECT CAST(count(*) AS BIGINT) FROM leases WHERE state NOT IN ('live', 'ended') OR intent IS NOT NULL";

/// Does it; nothing where the process ended meanwhile.
async fn until_crash<T>(bank: &Bank, acting: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        outcome = acting => Some(outcome),
        () = bank.hangs.notified() => None,
    }
}

/// The engine is well again, and what is half done is looked at.
async fn recover(room: &Room) {
    room.bank.will([]);
    room.house.clock.advance(Duration::from_secs(31));
    assert_eq!(room.leases.look().await.unwrap(), 0, "something is left");
    check(room).await;
}

/// What works is what somebody holds, and nothing is half done.
async fn check(room: &Room) {
    assert_eq!(room.house.count(sql(OPEN)).await, 0, "an intent is open still");
    assert_eq!(room.house.count(sql(HALF_DONE)).await, 0, "a lease is half done");
    let held = sql("SELECT engine_lease FROM leases WHERE state = 'live'");
    let held: Vec<(String,)> = room.house.database.fetch_all(held).await.unwrap();
    let held: BTreeSet<String> = held.into_iter().map(|(lease,)| lease).collect();
    assert_eq!(room.bank.alive().into_iter().collect::<BTreeSet<_>>(), held);
    let accessors = sql("SELECT CAST(count(*) AS BIGINT) FROM lease_accessors");
    assert_eq!(room.house.count(accessors).await, i64::try_from(held.len()).unwrap());
}

#[tokio::test]
async fn wherever_issuing_fails_nothing_works_that_nobody_was_told() {
    for at in 0..3 {
        for fault in Fault::ALL {
            let room = Room::new().await;
            room.bank.will((0..at).map(|_| Fault::None).chain([fault]));
            let told = Box::pin(until_crash(&room.bank, room.issue())).await;
            let is_told = matches!(told, Some(Ok(_)));
            // Issuing asks twice; the third call is never made.
            assert_eq!(is_told, fault == Fault::None || at == 2, "{fault:?} at {at}");
            recover(&room).await;
            assert_eq!(room.bank.alive().len(), usize::from(is_told), "{fault:?} at {at}");
            let entries = room.house.entries("lease.issued").await;
            assert_eq!(entries, i64::from(is_told), "{fault:?} at {at}");
        }
    }
}

#[tokio::test]
async fn however_taking_back_fails_it_is_taken_back_in_the_end() {
    for fault in Fault::ALL {
        let room = Room::new().await;
        let lease = room.issue().await.unwrap().lease;
        room.bank.will([fault]);
        let stands = until_crash(&room.bank, room.give_back(&lease)).await;
        if let Some(stands) = stands {
            let expected = if fault == Fault::None { LeaseState::Ended } else { LeaseState::Revoking };
            assert_eq!(stands.unwrap().state, expected, "{fault:?}");
        }
        recover(&room).await;
        assert!(room.bank.alive().is_empty(), "{fault:?}");
        assert_eq!(room.house.entries("lease.ended").await, 1, "{fault:?}");
    }
}

/// One random act.
async fn step(room: &Room, chance: &Ambient) -> Result<()> {
    let [what, which] = chance.bytes::<2>();
    let all = room.all().await;
    let one = (!all.is_empty()).then(|| &all[usize::from(which) % all.len()]);
    match (what % 6, one) {
        (0, Some(lease)) => room.give_back(lease).await.map(drop),
        (1, Some(lease)) => room.renew(lease, HOUR).await.map(drop),
        (2, _) => {
            room.house.clock.advance(Duration::from_mins(u64::from(which)));
            room.house.refresh(room.dana).await;
            room.house.expiry().look().await.map(drop)
        }
        (3, _) => room.leases.look().await.map(drop),
        _ => {
            let before = room.house.entries("lease.issued").await;
            let told = room.issue().await;
            let entries = room.house.entries("lease.issued").await - before;
            assert_eq!(entries, i64::from(told.is_ok()), "credentials and their entry go together");
            match told {
                Err(problem) if problem.is(ProblemKind::Internal) => Err(problem),
                _ => Ok(()),
            }
        }
    }
}

async fn play(seed: u64) {
    let start: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let chance = Ambient::new(Arc::new(ManualClock::new(start)), Arc::new(SeededChance::new(seed)));
    let room = Room::new().await;
    for _ in 0..STEPS {
        let faults = chance.bytes::<3>();
        room.bank.will(faults.map(|it| Fault::ALL[usize::from(it) % Fault::ALL.len()]));
        let _ = Box::pin(until_crash(&room.bank, step(&room, &chance))).await;
        if chance.bytes::<1>()[0].is_multiple_of(2) {
            recover(&room).await;
        }
    }
    room.bank.will([]);
    room.house.clock.advance(HOUR * 3);
    room.house.expiry().look().await.unwrap();
    recover(&room).await;
    assert!(room.bank.alive().is_empty(), "nothing outlives its time");
}

#[tokio::test]
async fn random_histories_leave_nothing_that_works_and_that_nobody_holds() {
    for seed in 1..=HISTORIES {
        tokio::spawn(play(seed)).await.unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}
