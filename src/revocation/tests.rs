//! What leavers hold goes, and what they know becomes work that closes when it should: by examples,
//! and by random histories against a plain model.

mod leases;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;

use super::{Obstacle, Revocation};
use crate::{
    access::{Verdict, house::House},
    base::{
        ProblemKind,
        ids::{ExposureId, PersonId, SecretId, SessionId, VersionId, WaiverId},
    },
    policy::{Action, Resource},
    store::{Query, sql},
};

/// Two secrets of `reports/production`; the second is shared with `billing`, whose delivery has it, too.
const SECRETS: [&str; 2] = ["A", "B"];
const DELIVERIES: [&str; 2] = ["reports-env", "billing-env"];

/// Which secrets belong into a delivery.
fn belongs(delivery: usize) -> &'static [usize] {
    [&[0, 1][..], &[1][..]][delivery]
}

/// A house with secrets, two people, and revocation at work.
struct Stage {
    house: House,
    revocation: Revocation,
    secrets: [SecretId; 2],
    versions: [Vec<(VersionId, u8)>; 2],
    current: [Option<usize>; 2],
    people: [PersonId; 2],
}

impl Stage {
    async fn new() -> Self {
        let house = House::new().await;
        let revocation = Revocation::new(
            house.database.clone(),
            house.log.clone(),
            house.catalog.clone(),
            Arc::clone(&house.services) as _,
            house.ambient.clone(),
            house.outbox(),
        );
        let people = [
            house.person("Lena", &["engineering", "leads"]).await,
            house.person("Dana", &["engineering"]).await,
        ];
        let secrets = [house.ambient.id(), house.ambient.id()];
        let inserts = secrets.iter().zip(SECRETS).map(|(id, name)| {
            sql("INSERT INTO secrets (id, application, environment, team, name, engine, latest_number, changed_at) \
                 VALUES ($1, 'reports', 'production', '', $2, 'embedded', 0, 0)")
            .bind(*id)
            .bind(name)
        });
        house.seed(inserts.collect()).await;
        Self { house, revocation, secrets, versions: Default::default(), current: [None; 2], people }
    }

    async fn set(&mut self, secret: usize, value: u8) {
        let id: VersionId = self.house.ambient.id();
        self.versions[secret].push((id, value));
        let number = self.versions[secret].len();
        self.current[secret] = Some(number - 1);
        let version = sql(
            "INSERT INTO versions (id, secret, number, fingerprint, state, origin, created_at, created_by) \
             VALUES ($1, $2, $3, $4, 'live', 'set', 0, 'test')",
        )
        .bind(id)
        .bind(self.secrets[secret])
        .bind(i64::try_from(number).unwrap())
        .bind([value; 32]);
        self.house.seed(vec![version, self.point(secret)]).await;
    }

    fn point(&self, secret: usize) -> Query {
        sql("UPDATE secrets SET current_number = $2 WHERE id = $1")
            .bind(self.secrets[secret])
            .bind(self.current[secret].map(|index| i64::try_from(index + 1).unwrap()))
    }

    async fn rollback(&mut self, secret: usize, to: usize) {
        self.current[secret] = Some(to);
        self.house.seed(vec![self.point(secret)]).await;
    }

    async fn delete(&mut self, secret: usize) {
        self.current[secret] = None;
        self.house.seed(vec![self.point(secret)]).await;
    }

    async fn deliver(&self, delivery: usize) {
        let name = DELIVERIES[delivery];
        let mut queries = vec![sql("DELETE FROM delivered_versions WHERE delivery = $1").bind(name)];
        for &secret in belongs(delivery) {
            if let Some(current) = self.current[secret] {
                queries.push(
                    sql("INSERT INTO delivered_versions (delivery, secret, version) VALUES ($1, $2, $3)")
                        .bind(name)
                        .bind(self.secrets[secret])
                        .bind(self.versions[secret][current].0),
                );
            }
        }
        self.house.seed(queries).await;
    }

    async fn set_state(&self, delivery: usize, state: &str) {
        let query = sql("INSERT INTO delivery_states (delivery, state, detail, generation, changed_at) \
             VALUES ($1, $2, '', 0, 0) ON CONFLICT (delivery) DO UPDATE SET state = excluded.state")
        .bind(DELIVERIES[delivery])
        .bind(state);
        self.house.seed(vec![query]).await;
    }

    /// She sees the current value.
    async fn see(&self, person: usize, secret: usize) {
        let Some(current) = self.current[secret] else { return };
        let (version, value) = self.versions[secret][current];
        let query = sql(
            "INSERT INTO exposures (id, principal, secret, version, fingerprint, how, first_at, last_at) \
             VALUES ($1, $2, $3, $4, $5, 'revealed', 0, 0) ON CONFLICT (principal, version, how) DO NOTHING",
        )
        .bind(self.house.ambient.id::<ExposureId>())
        .bind(self.people[person])
        .bind(self.secrets[secret])
        .bind(version)
        .bind([value; 32]);
        self.house.seed(vec![query]).await;
    }

    /// Open tasks: for each secret, who knows which value.
    async fn open(&self) -> BTreeMap<usize, BTreeSet<(usize, u8)>> {
        let rows: Vec<(String, String, Vec<u8>)> = self
            .house
            .database
            .fetch_all(sql("SELECT t.secret, c.person, c.fingerprint FROM rotation_tasks t \
                 JOIN rotation_causes c ON c.task = t.id WHERE t.state = 'open'"))
            .await
            .unwrap();
        let mut open: BTreeMap<usize, BTreeSet<(usize, u8)>> = BTreeMap::new();
        for (secret, person, fingerprint) in rows {
            let secret = self.secrets.iter().position(|id| id.to_string() == secret).unwrap();
            let person = self.people.iter().position(|id| id.to_string() == person).unwrap();
            open.entry(secret).or_default().insert((person, fingerprint[0]));
        }
        open
    }

    /// Which secrets have one task together.
    async fn bundles(&self) -> BTreeSet<BTreeSet<usize>> {
        let rows: Vec<(String, String)> = self
            .house
            .database
            .fetch_all(sql("SELECT COALESCE(bundle, id), secret FROM rotation_tasks WHERE state = 'open'"))
            .await
            .unwrap();
        let mut bundles: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (lead, secret) in rows {
            let secret = self.secrets.iter().position(|id| id.to_string() == secret).unwrap();
            bundles.entry(lead).or_default().insert(secret);
        }
        bundles.into_values().collect()
    }

    /// Two people who have not left agree that the task of a secret may wait.
    async fn waive(&self, secret: usize) {
        let lead: (String,) = self
            .house
            .database
            .fetch_optional(
                sql("SELECT COALESCE(bundle, id) FROM rotation_tasks WHERE state = 'open' AND secret = $1")
                    .bind(self.secrets[secret]),
            )
            .await
            .unwrap()
            .unwrap();
        let query =
            sql("INSERT INTO rotation_waivers (id, task, reason, until, asked_by, asked_at, confirmed_by, \
             confirmed_at) VALUES ($1, $2, 'a test', $3, 'per_1', 0, 'per_2', 0)")
            .bind(self.house.ambient.id::<WaiverId>())
            .bind(lead.0)
            .bind(i64::MAX);
        self.house.seed(vec![query]).await;
    }

    async fn tasks(&self) -> i64 {
        self.house.count(sql("SELECT CAST(count(*) AS BIGINT) FROM rotation_tasks")).await
    }

    async fn waits_for(&self) -> Vec<Obstacle> {
        let declared = self.house.catalog.snapshot().await.unwrap();
        let tasks = super::rotation::list(&self.house.database, &declared, Some("open"), None).await.unwrap();
        tasks.iter().flat_map(|task| task.waits_for().cloned()).collect()
    }

    async fn left(&self, person: usize) -> super::Leaver {
        let declared = self.house.catalog.snapshot().await.unwrap();
        super::leaver::one(&self.house.database, &declared, self.people[person]).await.unwrap()
    }
}

#[tokio::test]
async fn abuse_13_everything_a_leaver_held_goes_and_is_counted_down_to_zero() {
    let mut stage = Stage::new().await;
    let (lena, omar) = (stage.people[0], stage.house.person("Omar", &["leads"]).await);
    let granted = stage.house.ask(lena, Action::Reveal).await.unwrap().request.id;
    stage.house.decide(omar, granted, Verdict::Approve).await.unwrap();
    let pending = stage.house.ask(lena, Action::Run).await.unwrap().request.id;
    let now = stage.house.ambient.now();
    let session = sql("INSERT INTO sessions (id, token_hash, person, kind, label, issuer, subject, created_at, \
         authenticated_at, amr, idle_millis, ends_at) VALUES ($1, $2, $3, 'cli', '', '', '', $4, $4, '', 1000, $5)")
    .bind(stage.house.ambient.id::<SessionId>())
    .bind([1; 32])
    .bind(lena)
    .bind(now)
    .bind(now.after(Duration::from_mins(1)));
    stage.house.seed(vec![session]).await;
    stage.set(0, 1).await;
    stage.see(0, 0).await;
    stage.house.set_status(lena, "suspended").await;
    assert_eq!(stage.revocation.look().await.unwrap(), 0, "suspension takes nothing away");
    stage.house.clock.advance(Duration::from_millis(1));
    stage.house.set_status(lena, "deactivated").await;
    let before = stage.left(0).await.row.left;
    assert_eq!((before.sessions, before.requests, before.grants, before.rotation_tasks), (1, 1, 1, 1));
    stage.revocation.look().await.unwrap();
    let leaver = stage.left(0).await;
    assert_eq!((leaver.row.left.total(), leaver.row.left.rotation_tasks), (1, 1));
    let steps: Vec<&str> = leaver.steps.iter().map(|step| step.action.as_str()).collect();
    assert_eq!(steps[1..], ["session.ended", "request.withdrawn", "grant.ended", "rotation.opened"][..]);
    assert_eq!(stage.house.show(pending).await.0.state.as_str(), "withdrawn");
    let grant = stage.house.show(granted).await.1.unwrap();
    assert_eq!(grant.ended.unwrap().1, "deactivated");
    assert!(!stage.house.holds(lena).await);
    // A new value, delivered where it belongs: nothing is left.
    stage.set(0, 2).await;
    stage.revocation.look().await.unwrap();
    assert_eq!(stage.waits_for().await, [Obstacle::NotDelivered("reports-env".parse().unwrap())]);
    stage.deliver(0).await;
    stage.revocation.look().await.unwrap();
    let leaver = stage.left(0).await;
    assert_eq!(leaver.row.left.total(), 0);
    assert!(leaver.row.closed_at.is_some() && leaver.tasks[0].closed_at.is_some());
    assert_eq!(leaver.steps.last().unwrap().action, "leaver.closed");
    assert_eq!(stage.revocation.look().await.unwrap(), 0, "looking again does nothing");
}

#[tokio::test]
async fn abuse_13_a_leaver_is_seen_to_without_being_asked() {
    let mut stage = Stage::new().await;
    stage.set(0, 1).await;
    stage.see(0, 0).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(stage.revocation.clone().run(stop.clone()));
    let mut log = stage.house.log.watch();
    stage.house.set_status(stage.people[0], "deactivated").await;
    while stage.open().await.is_empty() {
        tokio::time::timeout(Duration::from_secs(10), log.changed()).await.unwrap().unwrap();
    }
    stage.set(0, 2).await;
    stage.deliver(0).await;
    while stage.left(0).await.row.closed_at.is_none() {
        tokio::time::timeout(Duration::from_secs(10), log.changed()).await.unwrap().unwrap();
    }
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn abuse_31_a_grant_taken_from_a_leaver_is_not_renewed() {
    let stage = Stage::new().await;
    let (lena, omar) = (stage.people[0], stage.house.person("Omar", &["leads"]).await);
    let id = stage.house.ask(lena, Action::Reveal).await.unwrap().request.id;
    stage.house.decide(omar, id, Verdict::Approve).await.unwrap();
    stage.house.set_status(lena, "deactivated").await;
    stage.revocation.look().await.unwrap();
    stage.house.set_status(lena, "active").await;
    assert!(!stage.house.holds(lena).await);
    assert!(stage.house.decide(omar, id, Verdict::Approve).await.unwrap_err().is(ProblemKind::Conflict));
    let again = stage.house.ask(lena, Action::Reveal).await.unwrap();
    assert!(again.created && again.grant.is_none());
}

/// The database refuses to end one grant: stands for whatever may be down.
const NO_GRANT_ENDS: &str = "CREATE TRIGGER down BEFORE UPDATE ON grants WHEN NEW.ended_because = 'deactivated' \
     BEGIN SELECT RAISE(ABORT, 'the engine is down'); END";

#[tokio::test]
async fn a_step_that_fails_is_put_off_and_holds_no_other_up() {
    let mut stage = Stage::new().await;
    let (lena, omar) = (stage.people[0], stage.house.person("Omar", &["leads"]).await);
    let granted = stage.house.ask(lena, Action::Reveal).await.unwrap().request.id;
    stage.house.decide(omar, granted, Verdict::Approve).await.unwrap();
    stage.house.ask(lena, Action::Run).await.unwrap();
    stage.set(0, 1).await;
    stage.see(0, 0).await;
    stage.house.seed(vec![sql(NO_GRANT_ENDS)]).await;
    stage.house.set_status(lena, "deactivated").await;
    let problem = stage.revocation.look().await.unwrap_err();
    assert!(problem.detail.contains("the engine is down"), "{problem}");
    let leaver = stage.left(0).await;
    let left = leaver.row.left;
    assert_eq!((left.requests, left.grants, left.rotation_tasks), (0, 1, 1), "everything else was done");
    assert_eq!(stage.open().await.len(), 1);
    let [delay] = leaver.delays.as_slice() else { panic!("{:?}", leaver.delays) };
    assert_eq!((delay.step.as_str(), delay.attempts), ("end-grant", 1));
    assert!(delay.last_error.contains("the engine is down"));
    // It is not tried again at once, and more and more seldom.
    assert_eq!(stage.revocation.look().await.unwrap(), 0);
    for _ in 0..3 {
        stage.house.clock.advance(Duration::from_secs(30));
        assert!(stage.revocation.look().await.is_err());
    }
    let delay = stage.left(0).await.delays.remove(0);
    assert_eq!((delay.attempts, delay.since < delay.last_at), (4, true));
    stage.house.seed(vec![sql("DROP TRIGGER down")]).await;
    stage.house.clock.advance(Duration::from_secs(30));
    stage.revocation.look().await.unwrap();
    let leaver = stage.left(0).await;
    assert_eq!((leaver.row.left.grants, leaver.delays.len()), (0, 0));
    let died = leaver.held.iter().filter(|it| it.ended_at.is_some()).count();
    assert_eq!((leaver.held.len(), died), (2, 2), "{:?}", leaver.held);
}

#[tokio::test]
async fn whoever_comes_back_is_closed_as_such_and_her_tasks_stand() {
    let mut stage = Stage::new().await;
    stage.set(0, 1).await;
    stage.see(0, 0).await;
    stage.house.set_status(stage.people[0], "deactivated").await;
    stage.revocation.look().await.unwrap();
    stage.house.clock.advance(Duration::from_millis(1));
    stage.house.set_status(stage.people[0], "active").await;
    assert_eq!(stage.revocation.look().await.unwrap(), 1);
    let closed = sql(
        "SELECT CAST(count(*) AS BIGINT) FROM leavers WHERE outcome = 'came-back' AND closed_at IS NOT NULL",
    );
    assert_eq!(stage.house.count(closed).await, 1);
    assert_eq!(stage.open().await.len(), 1, "what was opened is done before it is closed");
    stage.set(0, 2).await;
    stage.deliver(0).await;
    stage.revocation.look().await.unwrap();
    assert!(stage.open().await.is_empty());
}

#[tokio::test]
async fn a_leaver_is_closed_by_hand_and_seen_to_be() {
    let mut stage = Stage::new().await;
    stage.set(0, 1).await;
    stage.see(0, 0).await;
    let (lena, ada) = (stage.people[0], stage.house.person("Ada", &[]).await);
    let permit = || stage.house.permit(ada, Action::ManagePeople, Resource::People);
    let early = stage.revocation.close(permit().await, lena, "too early").await.unwrap_err();
    assert!(early.is(ProblemKind::Conflict));
    stage.house.set_status(lena, "deactivated").await;
    stage.revocation.look().await.unwrap();
    assert!(
        stage.revocation.close(permit().await, lena, " ").await.unwrap_err().is(ProblemKind::InvalidRequest)
    );
    stage.revocation.close(permit().await, lena, "the vendor is gone").await.unwrap();
    let row = stage.left(0).await.row;
    assert_eq!(row.outcome.as_deref(), Some("by-hand"));
    assert_eq!(
        (row.closed_by, row.closed_because.as_deref()),
        (Some(ada.to_string()), Some("the vendor is gone"))
    );
    assert_eq!(row.left.rotation_tasks, 1, "what was left is not hidden");
    let again = stage.revocation.close(permit().await, lena, "again").await.unwrap_err();
    assert!(again.is(ProblemKind::Conflict));
}

#[tokio::test]
async fn a_preview_says_what_would_end_and_ends_nothing() {
    let mut stage = Stage::new().await;
    let (lena, dana) = (stage.people[0], stage.people[1]);
    stage.set(0, 1).await;
    stage.see(0, 0).await;
    stage.house.ask(lena, Action::Reveal).await.unwrap();
    stage.house.ask(dana, Action::Reveal).await.unwrap();
    let before = stage.house.count(sql("SELECT size FROM log_head")).await;
    let permit = stage.house.permit(dana, Action::SeePeople, Resource::People).await;
    let preview = stage.revocation.preview(permit, lena).await.unwrap();
    assert_eq!((preview.requests, preview.grants), (1, 0));
    let secrets: Vec<String> = preview.secrets.iter().map(ToString::to_string).collect();
    assert_eq!(secrets, ["reports/production/A"]);
    let [power] = preview.powers.as_slice() else { panic!("{:?}", preview.powers) };
    assert_eq!((power.request.person, power.others), (dana, 0));
    assert_eq!(stage.house.count(sql("SELECT size FROM log_head")).await, before);
}

#[tokio::test]
async fn a_team_is_told_of_work_and_a_request_without_an_approver_is_told_once() {
    let mut stage = Stage::new().await;
    let (lena, dana) = (stage.people[0], stage.people[1]);
    stage.set(0, 1).await;
    stage.see(0, 0).await;
    stage.house.ask(dana, Action::Reveal).await.unwrap();
    stage.house.set_status(lena, "deactivated").await;
    for _ in 0..2 {
        stage.revocation.look().await.unwrap();
    }
    let told = sql("SELECT topic, body FROM outbox WHERE topic <> 'request.created' ORDER BY topic");
    let told: Vec<(String, String)> = stage.house.database.fetch_all(told).await.unwrap();
    let topics: Vec<&str> = told.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(topics, ["leaver.opened", "request.without-approver"]);
    assert!(told[0].1.contains("supa-team") && told[0].1.contains("reports/production/A"), "{told:?}");
}

#[tokio::test]
async fn a_foreign_or_unreachable_delivery_keeps_a_task_open_and_is_named() {
    let mut stage = Stage::new().await;
    stage.set(1, 1).await;
    stage.see(0, 1).await;
    stage.house.set_status(stage.people[0], "deactivated").await;
    stage.set(1, 2).await;
    for delivery in [0, 1] {
        stage.deliver(delivery).await;
    }
    // Not in use any more: no task at all.
    stage.revocation.look().await.unwrap();
    assert!(stage.open().await.is_empty());
    stage.rollback(1, 0).await;
    stage.revocation.look().await.unwrap();
    assert_eq!(stage.waits_for().await[0], Obstacle::Current);
    stage.rollback(1, 1).await;
    for state in ["foreign", "unreachable"] {
        stage.set_state(1, state).await;
        stage.revocation.look().await.unwrap();
        let name = "billing-env".parse().unwrap();
        assert_eq!(stage.waits_for().await, [Obstacle::Stuck(name, state.to_owned())]);
    }
    stage.set_state(1, "in-sync").await;
    stage.revocation.look().await.unwrap();
    assert!(stage.open().await.is_empty());
}

#[tokio::test]
async fn whoever_goes_back_to_a_value_that_a_leaver_knows_is_told_of_the_task() {
    let mut stage = Stage::new().await;
    let at = |text: &str| text.parse().unwrap();
    stage.set(0, 1).await;
    for person in [0, 1] {
        stage.see(person, 0).await;
    }
    stage.house.set_status(stage.people[0], "deactivated").await;
    stage.set(0, 2).await;
    stage.deliver(0).await;
    stage.revocation.look().await.unwrap();
    let revocation = stage.revocation.clone();
    let known = async || revocation.known_value(&at("reports/production/A")).await.unwrap();
    assert_eq!(known().await, None, "nobody who left knows the value of now");
    assert!(stage.left(0).await.row.closed_at.is_some());
    stage.rollback(0, 0).await;
    let told = known().await.expect("the value is known");
    assert_eq!(told.leavers, 1, "who is here still is none");
    assert_eq!(stage.open().await.len(), 1, "without anybody having looked");
    assert!(stage.left(0).await.row.closed_at.is_none(), "she is not through any more");
    stage.revocation.look().await.unwrap();
    assert_eq!(known().await, Some(told), "it stays the same task");
    assert_eq!(stage.house.entries("rotation.opened").await, 1);
    assert_eq!(stage.revocation.known_value(&at("reports/production/NONE")).await.unwrap(), None);
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    Set(usize, u8),
    Rollback(usize, usize),
    Delete(usize),
    Deliver(usize),
    See(usize, usize),
    Deactivate(usize),
    Waive(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..2usize, 0..3u8).prop_map(|(secret, value)| Event::Set(secret, value)),
        2 => (0..2usize, 0..8usize).prop_map(|(secret, to)| Event::Rollback(secret, to)),
        1 => (0..2usize).prop_map(Event::Delete),
        5 => (0..2usize).prop_map(Event::Deliver),
        4 => (0..2usize, 0..2usize).prop_map(|(person, secret)| Event::See(person, secret)),
        1 => (0..2usize).prop_map(Event::Deactivate),
        1 => (0..2usize).prop_map(Event::Waive),
    ]
}

/// A task: secrets that have one value behind them, each with who knows which value.
#[derive(Clone, Debug, Default)]
struct Bundle {
    secrets: BTreeMap<usize, BTreeSet<(usize, u8)>>,
    waived: bool,
}

impl Bundle {
    fn values(&self) -> BTreeSet<u8> {
        self.secrets.values().flatten().map(|(_, value)| *value).collect()
    }

    fn is_about(&self, person: usize) -> bool {
        self.secrets.values().flatten().any(|(of, _)| *of == person)
    }
}

/// The rules in words of their own: values are numbers, everything is in sets.
#[derive(Default)]
struct Model {
    history: [Vec<u8>; 2],
    current: [Option<usize>; 2],
    /// What each delivery holds of each secret: which version, by its index.
    delivered: BTreeMap<(usize, usize), usize>,
    knows: [BTreeSet<u8>; 2],
    gone: BTreeSet<usize>,
    bundles: Vec<Bundle>,
    tasks: i64,
}

impl Model {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Set(secret, value) => {
                self.history[secret].push(value);
                self.current[secret] = Some(self.history[secret].len() - 1);
            }
            Event::Rollback(secret, to) => self.current[secret] = Some(to),
            Event::Delete(secret) => self.current[secret] = None,
            Event::Deliver(delivery) => {
                self.delivered.retain(|(at, _), _| *at != delivery);
                for &secret in belongs(delivery) {
                    self.delivered.extend(self.current[secret].map(|version| ((delivery, secret), version)));
                }
            }
            Event::See(person, secret) => {
                self.knows[person].extend(self.current[secret].map(|version| self.history[secret][version]));
            }
            Event::Deactivate(person) => {
                self.gone.insert(person);
            }
            Event::Waive(secret) => {
                let found = self.bundles.iter_mut().find(|it| it.secrets.contains_key(&secret));
                found.unwrap().waived = true;
            }
        }
        self.look();
    }

    fn bundle_of(&self, secret: usize) -> Option<&Bundle> {
        self.bundles.iter().find(|it| it.secrets.contains_key(&secret))
    }

    /// Values of a secret that are good for something: the current one, and what deliveries hold.
    fn in_use(&self, secret: usize) -> BTreeSet<u8> {
        let delivered =
            self.delivered.iter().filter(|((_, of), _)| *of == secret).map(|(_, version)| *version);
        delivered.chain(self.current[secret]).map(|version| self.history[secret][version]).collect()
    }

    fn look(&mut self) {
        for secret in 0..2 {
            for person in self.gone.clone() {
                let in_use = self.in_use(secret);
                for value in self.knows[person].clone().intersection(&in_use) {
                    self.open(secret, person, *value);
                }
            }
        }
        let bundles = std::mem::take(&mut self.bundles);
        self.bundles = bundles.into_iter().filter(|it| !self.is_done(it)).collect();
    }

    /// A cause that is new makes what was agreed about any task with that value void, and these one.
    fn open(&mut self, secret: usize, person: usize, value: u8) {
        let is_there = |it: &Bundle| it.secrets.get(&secret).is_some_and(|it| it.contains(&(person, value)));
        if self.bundles.iter().any(is_there) {
            return;
        }
        self.tasks += i64::from(self.bundle_of(secret).is_none());
        let (joined, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.bundles)
            .into_iter()
            .partition(|it| it.secrets.contains_key(&secret) || it.values().contains(&value));
        let mut one = Bundle::default();
        one.secrets.extend(joined.into_iter().flat_map(|it| it.secrets));
        one.secrets.entry(secret).or_default().insert((person, value));
        self.bundles = others;
        self.bundles.push(one);
    }

    fn is_done(&self, it: &Bundle) -> bool {
        let values = it.values();
        it.secrets
            .keys()
            .all(|&secret| self.in_use(secret).is_disjoint(&values) && self.is_everywhere(secret))
    }

    fn is_everywhere(&self, secret: usize) -> bool {
        (0..2)
            .filter(|delivery| belongs(*delivery).contains(&secret))
            .all(|delivery| self.delivered.get(&(delivery, secret)).copied() == self.current[secret])
    }

    fn open_tasks(&self) -> BTreeMap<usize, BTreeSet<(usize, u8)>> {
        self.bundles.iter().flat_map(|it| it.secrets.clone()).collect()
    }

    fn count(&self, person: usize, waived: bool) -> i64 {
        let fits = |it: &&Bundle| it.waived == waived && it.is_about(person);
        i64::try_from(self.bundles.iter().filter(fits).count()).unwrap()
    }
}

/// The event as far as it can happen: nobody goes back to what never was, and who is gone sees nothing.
fn possible(model: &Model, event: Event) -> Option<Event> {
    match event {
        Event::Rollback(secret, to) => {
            let length = model.history[secret].len();
            (length > 0).then(|| Event::Rollback(secret, to % length))
        }
        Event::See(person, secret) => {
            (!model.gone.contains(&person) && model.current[secret].is_some()).then_some(event)
        }
        Event::Deactivate(person) => (!model.gone.contains(&person)).then_some(event),
        Event::Waive(secret) => model.bundle_of(secret).is_some_and(|it| !it.waived).then_some(event),
        _ => Some(event),
    }
}

async fn happen(stage: &mut Stage, event: Event) {
    match event {
        Event::Set(secret, value) => stage.set(secret, value).await,
        Event::Rollback(secret, to) => stage.rollback(secret, to).await,
        Event::Delete(secret) => stage.delete(secret).await,
        Event::Deliver(delivery) => stage.deliver(delivery).await,
        Event::See(person, secret) => stage.see(person, secret).await,
        Event::Deactivate(person) => stage.house.set_status(stage.people[person], "deactivated").await,
        Event::Waive(secret) => stage.waive(secret).await,
    }
}

async fn run(events: Vec<Event>) -> Result<(), TestCaseError> {
    let (mut stage, mut model) = (Stage::new().await, Model::default());
    for event in events {
        let Some(event) = possible(&model, event) else { continue };
        happen(&mut stage, event).await;
        stage.revocation.look().await.unwrap();
        model.happen(event);
        prop_assert_eq!(stage.open().await, model.open_tasks(), "after {:?}", event);
        let bundles = model.bundles.iter().map(|it| it.secrets.keys().copied().collect()).collect();
        prop_assert_eq!(stage.bundles().await, bundles, "after {:?}", event);
        prop_assert_eq!(stage.tasks().await, model.tasks, "after {:?}", event);
        for &person in &model.gone {
            let left = stage.left(person).await;
            let (open, waived) = (model.count(person, false), model.count(person, true));
            prop_assert_eq!(
                (left.row.left.total(), left.row.left.waived),
                (open, waived),
                "after {:?}",
                event
            );
            prop_assert_eq!(left.row.closed_at.is_some(), open == 0, "after {:?}", event);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rotation_tasks_open_and_close_as_the_model_says(events in prop::collection::vec(event(), 1..40)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(events))?;
    }
}
