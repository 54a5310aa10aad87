//! The breaker: by examples, by many at once, and by random histories.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use proptest::prelude::*;

use super::bench::Bench;
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Problem, ProblemKind, Result, Timestamp, ids::PersonId},
    identity::{
        Announcement, Cause, HeldVerdict, NewSession, PersonAddress, RemovalLimit, Removals, Removed, Source,
    },
    policy::{Action, Permit, PersonStatus, Resource, Service, ServicePermits as _},
    store::sql,
};

/// What a connection says of somebody, as SCIM does it: everybody here came by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Gone,
    Suspended,
    Back,
}

struct Say {
    permit: Permit,
    removals: Removals,
    person: PersonId,
    says: Says,
}

#[async_trait]
impl Unit for Say {
    type Output = Option<Removed>;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Option<Removed>> {
        let active = sql("SELECT CAST(count(*) AS BIGINT) FROM people WHERE status = 'active'");
        let (people,) = work.fetch_optional(active).await?.unwrap();
        let limit = RemovalLimit { number: 3, percent: 5, window: Duration::from_hours(1) };
        let cause = Cause::Source(Source { connection: "okta".parse().unwrap(), people, limit });
        let (removals, person) = (&self.removals, self.person);
        // As SCIM does: that it was said is an entry, whatever comes of it.
        work.record(Draft::act("test.said"));
        match self.says {
            Says::Gone => removals.deactivate_in(work, person, &cause, "gone").await.map(Some),
            Says::Suspended => removals.suspend_in(work, person, &cause, "away").await.map(Some),
            Says::Back => {
                let row: Option<(String,)> =
                    work.fetch_optional(sql("SELECT status FROM people WHERE id = $1").bind(person)).await?;
                match PersonStatus::from_stored(&row.unwrap().0) {
                    PersonStatus::Deactivated => removals.reactivate_in(work, person, &cause, "back").await?,
                    _ => removals.resume_in(work, person, &cause, "back").await?,
                };
                Ok(None)
            }
        }
    }
}

impl Bench {
    async fn say(&self, person: PersonId, says: Says) -> Result<Option<Removed>> {
        let permit = self.services().permit(Service::SignIn, Action::SignIn, Resource::People)?;
        self.log.perform(Say { permit, removals: self.identity.removals().clone(), person, says }).await
    }

    async fn removed(&self, person: PersonId) -> Removed {
        self.say(person, Says::Gone).await.unwrap().unwrap()
    }

    async fn decide(&self, ada: PersonId, person: PersonId, verdict: HeldVerdict) -> Result<PersonStatus> {
        let permit = self.may_manage(ada).await;
        self.identity.decide_held(permit, person, verdict, "looked at").await.map(|it| it.status)
    }

    async fn expect(&self, ada: PersonId, number: u32) {
        let permit = self.may_manage(ada).await;
        let until = self.ambient.now().after(Duration::from_hours(2));
        let what = Announcement { number, until, connection: None, reason: "reorganisation".to_owned() };
        self.identity.expect_removals(permit, what).await.unwrap();
    }

    async fn crowd(&self, number: usize) -> Vec<NewSession> {
        let mut crowd = Vec::new();
        for n in 0..number {
            crowd.push(self.sign_in(&format!("person{n}"), &[]).await.unwrap());
        }
        crowd
    }

    async fn status(&self, person: PersonId) -> (String, Option<String>) {
        self.all(sql("SELECT status, status_cause FROM people WHERE id = $1").bind(person)).await.remove(0)
    }

    async fn topics(&self) -> Vec<String> {
        let rows: Vec<(String,)> = self.all(sql("SELECT topic FROM outbox ORDER BY topic")).await;
        rows.into_iter().map(|(topic,)| topic).collect()
    }
}

const DONE: Removed = Removed::Deactivated { sessions_ended: 1 };

#[tokio::test]
async fn those_beyond_the_limit_are_suspended_at_once_and_decided_on() {
    let bench = Bench::new(Vec::new()).await;
    let ada = bench.sign_in("ada", &["it"]).await.unwrap().person;
    let crowd = bench.crowd(7).await;
    for gone in &crowd[..3] {
        assert_eq!(bench.removed(gone.person).await, DONE);
    }
    for held in &crowd[3..] {
        assert_eq!(bench.removed(held.person).await, Removed::Held);
        assert_eq!(bench.who(held).await, Err(ProblemKind::PersonSuspended));
        assert_eq!(bench.status(held.person).await.1.as_deref(), Some("connection/okta"));
    }
    assert_eq!(bench.removed(crowd[3].person).await, Removed::Held, "said again");
    assert_eq!(bench.topics().await, ["removal.held"], "told at once, and once");
    let permit = bench.permit(ada, Action::SeePeople, Resource::People).await;
    assert_eq!(bench.identity.held_removals(&permit).await.unwrap().len(), 4);
    let state = bench.decide(ada, crowd[3].person, HeldVerdict::Release).await.unwrap();
    assert_eq!(state, PersonStatus::Deactivated);
    assert_eq!(bench.who(&crowd[3]).await, Err(ProblemKind::PersonDeactivated));
    let state = bench.decide(ada, crowd[4].person, HeldVerdict::Reject).await.unwrap();
    assert_eq!(state, PersonStatus::Active);
    assert_eq!(bench.who(&crowd[4]).await, Ok(crowd[4].person));
    let again = bench.decide(ada, crowd[4].person, HeldVerdict::Release).await.unwrap_err();
    assert!(again.is(ProblemKind::Conflict));
    // What is not decided is not forgotten by waiting, and holds what comes after it.
    bench.clock.advance(Duration::from_hours(5));
    assert_eq!(bench.removed(crowd[4].person).await, Removed::Held);
    // What is decided makes way: the window is over.
    for person in &crowd[4..] {
        bench.decide(ada, person.person, HeldVerdict::Reject).await.unwrap();
    }
    assert_eq!(bench.removed(crowd[4].person).await, DONE);
}

#[tokio::test]
async fn an_announced_number_passes_and_no_more() {
    let bench = Bench::new(Vec::new()).await;
    let ada = bench.sign_in("ada", &["it"]).await.unwrap().person;
    let crowd = bench.crowd(8).await;
    bench.expect(ada, 4).await;
    for gone in &crowd[..7] {
        assert_eq!(bench.removed(gone.person).await, DONE);
    }
    assert_eq!(bench.removed(crowd[7].person).await, Removed::Held);
    let permit = bench.may_manage(ada).await;
    let over = Announcement {
        number: 4,
        until: Timestamp::from_millis(1),
        connection: None,
        reason: "too late".to_owned(),
    };
    let refused = bench.identity.expect_removals(permit, over).await.unwrap_err();
    assert!(refused.is(ProblemKind::InvalidRequest));
}

#[tokio::test]
async fn removals_side_by_side_cannot_slip_under_the_limit() {
    let bench = Bench::new(Vec::new()).await;
    bench.sign_in("ada", &["it"]).await.unwrap();
    let crowd = bench.crowd(20).await;
    let outcomes = futures::future::join_all(crowd.iter().map(|it| bench.removed(it.person))).await;
    let done = outcomes.iter().filter(|it| **it == DONE).count();
    let held = outcomes.iter().filter(|it| **it == Removed::Held).count();
    assert_eq!((done, held), (3, 17));
    assert_eq!(bench.topics().await, ["removal.held"]);
}

#[tokio::test]
async fn abuse_15_an_idp_that_removes_everybody_leaves_the_administrators_and_says_so() {
    let bench = Bench::new(Vec::new()).await;
    let admins =
        [bench.sign_in("ada", &["it"]).await.unwrap(), bench.sign_in("grace", &["it"]).await.unwrap()];
    let crowd = bench.crowd(5).await;
    for person in &crowd {
        bench.removed(person.person).await;
    }
    for admin in &admins {
        assert_eq!(bench.removed(admin.person).await, Removed::Kept);
        assert_eq!(bench.who(admin).await, Ok(admin.person));
    }
    assert_eq!(bench.topics().await, ["removal.held", "removal.refused", "removal.refused"]);
    let refused: Vec<(String,)> = bench
        .all(sql("SELECT decision FROM entries WHERE action = 'person.deactivated' AND decision = 'deny'"))
        .await;
    assert_eq!(refused.len(), 2);
    // Apart from mass removals an administrator leaves as everybody does; only the last one stays.
    for person in &crowd[3..] {
        bench.decide(admins[0].person, person.person, HeldVerdict::Release).await.unwrap();
    }
    bench.clock.advance(Duration::from_hours(2));
    assert_eq!(bench.removed(admins[1].person).await, DONE);
    assert_eq!(bench.removed(admins[0].person).await, Removed::Kept);
    assert_eq!(bench.say(admins[0].person, Says::Suspended).await.unwrap(), Some(Removed::Kept));
    assert_eq!(bench.status(admins[0].person).await.0, "active");
}

#[tokio::test]
async fn abuse_10_a_connection_undoes_only_what_it_did() {
    let bench = Bench::new(Vec::new()).await;
    let ada = bench.sign_in("ada", &["it"]).await.unwrap().person;
    let crowd = bench.crowd(4).await;
    let ids: Vec<PersonId> = crowd.iter().map(|it| it.person).collect();
    let address = PersonAddress::Id;
    // An administrator deactivated her: the connection does not bring her back.
    bench.identity.deactivate(bench.may_manage(ada).await, &address(ids[0]), "left").await.unwrap();
    assert!(bench.say(ids[0], Says::Back).await.unwrap_err().is(ProblemKind::Conflict));
    assert_eq!(bench.removed(ids[0]).await, Removed::Already);
    assert!(bench.say(ids[0], Says::Back).await.unwrap_err().is(ProblemKind::Conflict));
    // An administrator suspended her: the connection brings that back, and not more.
    bench.identity.suspend(bench.may_manage(ada).await, &address(ids[1]), "lost laptop").await.unwrap();
    let suspended = bench.status(ids[1]).await;
    assert!(bench.say(ids[1], Says::Back).await.unwrap_err().is(ProblemKind::Conflict));
    assert_eq!(bench.removed(ids[1]).await, DONE);
    bench.say(ids[1], Says::Back).await.unwrap();
    assert_eq!(bench.status(ids[1]).await, suspended);
    // What it did itself it undoes, and she has to sign in again.
    assert_eq!(bench.removed(ids[2]).await, DONE);
    bench.say(ids[2], Says::Back).await.unwrap();
    assert_eq!(bench.status(ids[2]).await, ("active".to_owned(), None));
    assert_eq!(bench.who(&crowd[2]).await, Err(ProblemKind::Unauthenticated));
    bench.say(ids[3], Says::Suspended).await.unwrap();
    bench.say(ids[3], Says::Back).await.unwrap();
    assert_eq!(bench.who(&crowd[3]).await, Ok(ids[3]));
    // Taking back what is held is no decision of an administrator's, and leaves nothing held.
    bench.removed(ids[3]).await;
    bench.removed(ids[2]).await;
    assert_eq!(bench.removed(ada).await, Removed::Kept);
    bench.say(ids[2], Says::Back).await.unwrap();
    assert_eq!(bench.status(ids[2]).await.0, "active");
}

#[tokio::test]
async fn a_held_person_can_be_deactivated_or_resumed_by_hand() {
    let bench = Bench::new(Vec::new()).await;
    let ada = bench.sign_in("ada", &["it"]).await.unwrap().person;
    let crowd = bench.crowd(5).await;
    for person in &crowd {
        bench.removed(person.person).await;
    }
    let (one, other) = (PersonAddress::Id(crowd[3].person), PersonAddress::Id(crowd[4].person));
    bench.identity.deactivate(bench.may_manage(ada).await, &one, "left").await.unwrap();
    bench.identity.resume(bench.may_manage(ada).await, &other, "here").await.unwrap();
    let states: Vec<(String,)> = bench.all(sql("SELECT state FROM removals ORDER BY at, id")).await;
    let states: Vec<&str> = states.iter().map(|(state,)| state.as_str()).collect();
    assert_eq!(states.iter().filter(|it| **it == "held").count(), 0, "{states:?}");
    assert!(states.contains(&"released") && states.contains(&"rejected"), "{states:?}");
    assert_eq!(bench.who(&crowd[4]).await, Ok(crowd[4].person));
}

#[tokio::test]
async fn reactivation_brings_the_person_back_and_nothing_that_she_held() {
    let bench = Bench::new(Vec::new()).await;
    let ada = bench.sign_in("ada", &["it"]).await.unwrap().person;
    let lena = bench.sign_in("lena", &["leads"]).await.unwrap();
    let whom = PersonAddress::Id(lena.person);
    let refused =
        bench.identity.reactivate(bench.may_manage(ada).await, &whom, "not gone").await.unwrap_err();
    assert!(refused.is(ProblemKind::Conflict));
    bench.identity.deactivate(bench.may_manage(ada).await, &whom, "left").await.unwrap();
    let refused = bench.identity.reactivate(bench.may_manage(ada).await, &whom, " ").await.unwrap_err();
    assert!(refused.is(ProblemKind::InvalidRequest));
    bench.identity.reactivate(bench.may_manage(ada).await, &whom, "back from leave").await.unwrap();
    assert_eq!(bench.who(&lena).await, Err(ProblemKind::Unauthenticated), "her old session stays dead");
    let again = bench.sign_in("lena", &["leads"]).await.unwrap();
    assert_eq!(again.person, lena.person);
    assert!(bench.entries().await.contains(&"person.reactivated".to_owned()));
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    Say(usize, Says),
    Decide(usize, HeldVerdict),
    Expect(u32),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let verdict = prop_oneof![Just(HeldVerdict::Release), Just(HeldVerdict::Reject)];
    prop_oneof![
        12 => (0..CROWD).prop_map(|who| Event::Say(who, Says::Gone)),
        3 => (0..CROWD).prop_map(|who| Event::Say(who, Says::Back)),
        1 => (0..CROWD).prop_map(|who| Event::Say(who, Says::Suspended)),
        3 => (0..CROWD, verdict).prop_map(|(who, verdict)| Event::Decide(who, verdict)),
        1 => (1..4u32).prop_map(Event::Expect),
        3 => (1..50u64).prop_map(Event::Wait),
    ]
}

const CROWD: usize = 12;
const LIMIT: usize = 3;

/// What the breaker has to hold to, in words of its own.
#[derive(Default)]
struct Watch {
    /// When something irreversible was done by the connection alone.
    done: Vec<Timestamp>,
    announced: usize,
    gone: BTreeMap<usize, bool>,
}

async fn happen(bench: &Bench, ada: PersonId, crowd: &[NewSession], event: Event, watch: &mut Watch) {
    let unless_refused = |problem: Problem| assert!(problem.is(ProblemKind::Conflict), "{problem}");
    match event {
        Event::Say(who, says) => match bench.say(crowd[who].person, says).await {
            Ok(Some(removed)) => {
                if matches!(removed, Removed::Deactivated { .. }) {
                    watch.done.push(bench.ambient.now());
                }
                watch.gone.insert(who, true);
            }
            Ok(None) => drop(watch.gone.insert(who, false)),
            Err(problem) => unless_refused(problem),
        },
        Event::Decide(who, verdict) => match bench.decide(ada, crowd[who].person, verdict).await {
            Ok(status) => drop(watch.gone.insert(who, status != PersonStatus::Active)),
            Err(problem) => unless_refused(problem),
        },
        Event::Expect(number) => {
            bench.expect(ada, number).await;
            watch.announced += number as usize;
        }
        Event::Wait(minutes) => bench.clock.advance(Duration::from_mins(minutes)),
    }
}

async fn run(events: Vec<Event>) -> Result<(), TestCaseError> {
    let (bench, mut watch) = (Bench::new(Vec::new()).await, Watch::default());
    let ada = bench.sign_in("ada", &["it"]).await.unwrap().person;
    let crowd = bench.crowd(CROWD).await;
    for event in events {
        happen(&bench, ada, &crowd, event, &mut watch).await;
        let since = bench.ambient.now().before(Duration::from_hours(1));
        let lately = watch.done.iter().filter(|at| **at > since).count();
        prop_assert!(lately <= LIMIT + watch.announced, "{lately} within an hour, after {event:?}");
        for (who, gone) in &watch.gone {
            let works = bench.status(crowd[*who].person).await.0 == "active";
            prop_assert!(works != *gone, "person {who} after {event:?}");
        }
        let held: Vec<(String,)> = bench
            .all(sql("SELECT p.id FROM removals r JOIN people p ON p.id = r.person \
                      WHERE r.state = 'held' AND p.status <> 'suspended'"))
            .await;
        prop_assert!(held.is_empty(), "{held:?} after {event:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_window_has_more_irreversible_removals_than_passes_and_everybody_beyond_is_suspended(
        events in prop::collection::vec(event(), 1..40),
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(events))?;
    }
}
