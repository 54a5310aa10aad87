//! A person is forgotten, the log stays whole, and nothing else may be missing.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use data_encoding::BASE64;
use libtest_mimic::Trial;
use port_control::{
    api::audit,
    audit::{
        Authority, Draft, FactsOfNow, Log, Unit, Work,
        forget::{Forgetter, Whom},
        verify::{ExportCheck, check_database},
    },
    base::{
        Ambient, Name, Problem, ProblemKind, Timestamp, ambient::SeededChance, ids::PersonId,
        time::ManualClock,
    },
    keys::{Keys, MasterKey},
    policy::{
        ADMINISTRATORS, Action, Allowance, Authentication, FactVersions, Facts, Members, Membership, Permit,
        PersonFacts, PersonStatus, Policies, Resource, ScopeRotation, TrustScope,
    },
    store::{Database, WriteTx, sql},
};
use serde_json::{Value, json};

use crate::{
    peers::Peers,
    support::{Given, on_each_database, program::write_private},
    web::house::{Differently, House, Person},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = on_each_database(peers, "log::a_person_is_forgotten", forgotten);
    trials.extend(on_each_database(peers, "log::nothing_is_forgotten_that_no_entry_names", unnamed));
    trials.extend(on_each_database(peers, "log::a_hold_keeps_everything", held));
    trials.extend(on_each_database(peers, "log::nothing_is_forgotten_before_its_age", before_its_age));
    trials.extend(on_each_database(
        peers,
        "log::forgetting_is_refused_before_its_age",
        refused_before_its_age,
    ));
    trials
}

/// Lena left; what she did and what was said of her is in the log.
pub async fn left(house: &House, ada: &Person) -> Result<Person> {
    let (lena, omar) = (house.example("lena").await?, house.example("omar").await?);
    let wish = json!({ "action": "reveal", "at": "reports/production", "for": "1h", "reason": "my INC-123" });
    let request = house.post(&lena, "/api/v1/requests", &wish).await?.done()?;
    let id = request["request"]["id"].as_str().context("no id")?;
    let body = json!({ "reason": "for lena@example.com" });
    house.post(&omar, &format!("/api/v1/requests/{id}/approve"), &body).await?.done()?;
    let aya = house.example("aya").await?;
    house.get(&aya, "/audit/v1/entries?subject=lena@example.com").await?.done()?;
    let path = format!("/api/v1/people/{}/deactivate", lena.id);
    house.post(ada, &path, &json!({ "reason": "left on Friday" })).await?.done()?;
    house
        .eventually("nothing of hers is left", || async {
            let closed = sql("SELECT idx FROM entries WHERE action = 'leaver.closed'");
            Ok(!house.all::<(i64,)>(closed).await?.is_empty())
        })
        .await?;
    // Not at the very instant of the newest entry.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    house.example("dana").await?;
    Ok(lena)
}

pub async fn forget(house: &House, ada: &Person, lena: &Person) -> Result<Value> {
    let path = format!("/audit/v1/people/{}/forget", lena.id);
    let (mut from, mut openings) = (0, 0);
    loop {
        let body = json!({ "reason": "as the law has it", "from": from });
        let mut walked = house.post(ada, &path, &body).await?.done()?;
        openings += walked["openings"].as_u64().context("no count")?;
        let Some(next) = walked["next"].as_u64() else {
            walked["openings"] = openings.into();
            return Ok(walked);
        };
        from = next;
    }
}

async fn verified(house: &House) -> Result<(u64, u64), port_control::base::Problem> {
    let report = check_database(&house.app.database, &audit::verifiers(&house.app).await?).await?;
    Ok((report.forgotten, report.missing))
}

/// Everything that the log's tables and the people's say, leaves apart.
async fn all_text(house: &House) -> Result<String> {
    let openings: Vec<(String,)> = house.all(sql("SELECT body FROM openings")).await?;
    let columns: Vec<(String, Option<String>)> = house.all(sql("SELECT actor, subject FROM entries")).await?;
    let people: Vec<(String, String)> = house.all(sql("SELECT display_name, email FROM people")).await?;
    let accounts: Vec<(String, String)> = house.all(sql("SELECT subject, person FROM accounts")).await?;
    Ok(format!("{openings:?} {columns:?} {people:?} {accounts:?}"))
}

async fn forgotten(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (ada, aya) = (house.example("ada").await?, house.example("aya").await?);
    let lena = left(&house, &ada).await?;
    let id = lena.id.to_string();
    let by_her = sql("SELECT idx FROM entries WHERE actor = $1 ORDER BY idx");
    let acts: Vec<(i64,)> = house.all(by_her.clone().bind(&id)).await?;
    let before = all_text(&house).await?;
    for said in [id.as_str(), "lena@example.com", "my INC-123", "left on Friday"] {
        ensure!(before.contains(said), "'{said}' is there before");
    }

    let dana = house.sign_in("dana", &["engineering"]).await?;
    let path = format!("/audit/v1/people/{}/forget", dana.id);
    house.post(&ada, &path, &json!({ "reason": "a test" })).await?.is_problem(409, "conflict")?;

    let walked = forget(&house, &ada, &lena).await?;
    let pseudonym = walked["pseudonym"].as_str().context("no pseudonym")?;
    let after = all_text(&house).await?;
    for said in [id.as_str(), "lena@example.com", "my INC-123", "left on Friday"] {
        ensure!(!after.contains(said), "'{said}' is still there");
    }
    let renamed: Vec<(i64,)> = house.all(by_her.bind(pseudonym)).await?;
    ensure!(renamed == acts && !acts.is_empty(), "one somebody did all of it: {renamed:?} {acts:?}");
    let (gone, missing) = verified(&house).await?;
    ensure!(Some(gone) == walked["openings"].as_u64() && gone > 5 && missing == 0, "{gone} {walked}");

    let size = house.log_size().await?;
    house
        .eventually("what was forgotten is signed", || async {
            let newest = sql("SELECT size FROM checkpoints ORDER BY size DESC LIMIT 1");
            Ok(house.all::<(i64,)>(newest).await?.first().is_some_and(|it| it.0 >= size))
        })
        .await?;
    let list = house.get(&aya, &format!("/audit/v1/entries?actor={pseudonym}")).await?.done()?;
    let items = list["items"].as_array().context("no items")?;
    ensure!(items.len() == acts.len() && items.iter().all(|it| it["actor"] == pseudonym), "{list}");
    for query in [String::new(), format!("?actor={pseudonym}")] {
        let export = house.get(&aya, &format!("/audit/v1/export{query}")).await?;
        let mut lines = export.text.lines();
        let key = audit::verifiers(&house.app).await?.remove(0);
        let mut check = ExportCheck::new(lines.next().context("no header")?, &key)?;
        lines.try_for_each(|line| check.line(line).map(drop))?;
        let report = check.finish()?;
        ensure!(report.forgotten > 0 && report.missing == 0, "{report:?}");
    }

    let again = house.example("lena").await?;
    ensure!(again.id != lena.id, "whoever was forgotten comes back as a new person");
    let twice = forget(&house, &ada, &lena).await?;
    ensure!(twice["pseudonym"] == pseudonym, "{twice}");
    verified(&house).await?;
    house.close().await
}

/// Whoever holds the database takes an opening more, or gives a forgotten act to somebody else.
async fn unnamed(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let ada = house.example("ada").await?;
    let lena = left(&house, &ada).await?;
    forget(&house, &ada, &lena).await?;
    verified(&house).await?;
    let forgot: Vec<(i64,)> =
        house.all(sql("SELECT idx FROM entries WHERE action = 'log.forgot' ORDER BY idx")).await?;
    let by = forgot[0].0;
    let other = sql("SELECT entry, body FROM openings WHERE body LIKE '%\"resource\":{\"salt%' \
                     ORDER BY entry LIMIT 1");
    let (entry, body): (i64, String) = house.all(other).await?.pop().context("no entry with a resource")?;
    let mut taken: Value = serde_json::from_str(&body)?;
    taken["resource"] = json!({ "forgotten": by });
    let write = |text: &'static str, index: i64, value: String| {
        let database = house.app.database.clone();
        async move {
            let mut tx = database.begin_write().await?;
            tx.execute(sql(text).bind(index).bind(value)).await?;
            tx.commit().await?;
            anyhow::Ok(())
        }
    };
    let body_of = "UPDATE openings SET body = $2 WHERE entry = $1";
    write(body_of, entry, taken.to_string()).await?;
    let found = verified(&house).await.expect_err("an opening is missing that nothing names");
    ensure!(found.is(ProblemKind::LogAltered) && found.detail.contains("'resource'"), "{found}");
    write(body_of, entry, body).await?;
    verified(&house).await?;

    let hers = sql("SELECT idx, actor FROM entries WHERE actor LIKE 'per_forgotten_%' ORDER BY idx LIMIT 1");
    let (index, actor): (i64, String) = house.all(hers).await?.pop().context("nothing of hers")?;
    let actor_of = "UPDATE entries SET actor = $2 WHERE idx = $1";
    for other in [format!("{}0", &actor[..actor.len() - 1]), ada.id.to_string()] {
        let other = if other == actor { format!("{}1", &actor[..actor.len() - 1]) } else { other };
        write(actor_of, index, other).await?;
        let found = verified(&house).await.expect_err("her act is somebody else's");
        ensure!(found.is(ProblemKind::LogAltered), "{found}");
    }
    write(actor_of, index, actor).await?;
    verified(&house).await?;
    house.close().await
}

async fn held(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (ada, aya) = (house.example("ada").await?, house.example("aya").await?);
    let lena = left(&house, &ada).await?;
    let path = format!("/audit/v1/people/{}/forget", lena.id);
    for whom in ["lena@example.com", "all"] {
        let body = json!({ "person": whom, "reason": "a lawsuit" });
        let held = house.post(&ada, "/audit/v1/holds", &body).await?.done()?;
        let id = held["hold"].as_str().context("no id")?;
        let standing = house.get(&aya, "/audit/v1/holds").await?.done()?;
        ensure!(standing["items"][0]["id"] == id, "{standing}");
        let refused = house.post(&ada, &path, &json!({ "reason": "a test" })).await?;
        refused.is_problem(409, "conflict")?;
        ensure!(refused.text.contains(id), "{}", refused.text);
        ensure!(all_text(&house).await?.contains("left on Friday"), "it was forgotten all the same");
        let release = format!("/audit/v1/holds/{id}/release");
        let body = json!({ "reason": "it is over" });
        ensure!(house.post(&ada, &release, &body).await?.status == 204, "released");
        house.post(&ada, &release, &body).await?.is_problem(409, "conflict")?;
    }
    forget(&house, &ada, &lena).await?;
    house.close().await
}

/// A server that keeps what is recorded for an hour refuses to forget who left just now.
async fn refused_before_its_age(given: Given) -> Result<()> {
    let differently = Differently { retention: Duration::from_hours(1), ..Differently::default() };
    let house = House::open_differently(&given, differently).await?;
    let ada = house.example("ada").await?;
    let lena = left(&house, &ada).await?;
    let before = all_text(&house).await?;
    let path = format!("/audit/v1/people/{}/forget", lena.id);
    let refused = house.post(&ada, &path, &json!({ "reason": "as the law has it" })).await?;
    refused.is_problem(409, "conflict")?;
    let from = refused.json()["from"].as_str().context("it says from when")?.to_owned();
    let from: Timestamp = from.parse().map_err(anyhow::Error::msg)?;
    let left = from.since(house.app.ambient.now());
    ensure!(left > Duration::from_mins(58) && left <= Duration::from_hours(1), "{from}");
    ensure!(all_text(&house).await? == before, "something was taken all the same");
    house.close().await
}

/// Facts are what the test says.
struct Confirms;

#[async_trait]
impl FactsOfNow for Confirms {
    async fn confirm(&self, _: &mut WriteTx, _: &Permit, _: Timestamp) -> Result<(), Problem> {
        Ok(())
    }
}

/// Something is said of somebody.
struct Says {
    permit: Permit,
    of: Option<PersonId>,
}

#[async_trait]
impl Unit for Says {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Problem> {
        let draft = Draft::act("test.noted").reason("because");
        work.record(match self.of {
            Some(person) => draft.subject(person),
            None => draft,
        });
        Ok(())
    }
}

/// A log, a clock, and somebody who may forget.
struct Calendar {
    clock: Arc<ManualClock>,
    ambient: Ambient,
    database: Database,
    log: Log,
    policies: Policies,
    forgetter: Forgetter,
    ada: PersonId,
    lena: PersonId,
}

const DAY: Duration = Duration::from_hours(24);

impl Calendar {
    async fn open(given: &Given) -> Result<Self> {
        let clock = Arc::new(ManualClock::new("2026-03-01T12:00:00Z".parse().map_err(anyhow::Error::msg)?));
        let ambient = Ambient::new(Arc::clone(&clock) as _, Arc::new(SeededChance::new(1)));
        let database = given.open().await?;
        let log = Log::open(database.clone(), ambient.clone(), Arc::new(Confirms)).await?;
        let key = given.folder.path().join("master-key");
        write_private(&key, BASE64.encode(&[7; 32]).as_bytes())?;
        let keys = Keys::open(&database, MasterKey::from_file(&key)?, ambient.clone()).await?;
        let forgetter = Forgetter::new(database.clone(), log.clone(), keys, DAY * 400);
        let (ada, lena) = (ambient.id(), ambient.id());
        let policies = Policies::built_in()?;
        Ok(Self { clock, ambient, database, log, policies, forgetter, ada, lena })
    }

    /// Ada's permit, as an administrator has it.
    fn permit(&self) -> Result<Permit> {
        let name = |text: &str| text.parse::<Name>().map_err(anyhow::Error::msg);
        let now = self.ambient.now();
        let scope = TrustScope {
            name: name(ADMINISTRATORS)?,
            members: Members { groups: vec![name("administrators-1")?], ..Members::default() },
            by_request: None,
            ends: None,
            allows: vec![Allowance { actions: vec![Action::Forget], applications: None, environments: None }],
            authentication: None,
            facts: None,
            revalidate: false,
            networks: Vec::new(),
            rotation: ScopeRotation::default(),
        };
        let membership =
            Membership { group: name("administrators-1")?, source: "dev".to_owned(), asserted_at: now };
        let facts = PersonFacts {
            person: self.ada,
            status: PersonStatus::Active,
            memberships: vec![membership],
            received_groups: Vec::new(),
            teams: Vec::new(),
            authentication: Authentication {
                session: self.ambient.id(),
                at: now,
                confirmed_at: now,
                acr: None,
                session_ends: now.after(DAY),
            },
            grants: Vec::new(),
            scopes: Arc::new(vec![scope]),
            now,
            network: None,
            versions: FactVersions::default(),
        };
        let decided = self.policies.decide(&Facts::Person(facts), Action::Forget, Resource::Log);
        decided.map_err(|denial| denial.to_problem().into())
    }

    async fn say(&self, of: Option<PersonId>) -> Result<()> {
        Ok(self.log.perform(Says { permit: self.permit()?, of }).await?)
    }

    async fn leaves(&self) -> Result<()> {
        let mut tx = self.database.begin_write().await?;
        let row =
            sql("INSERT INTO people (id, status, status_since, display_name, email, created_at, facts) \
                       VALUES ($1, 'deactivated', $2, 'Lena', 'lena@example.com', 0, 0)");
        tx.execute(row.bind(self.lena).bind(self.ambient.now())).await?;
        Ok(tx.commit().await?)
    }

    /// Forgets her as far as may be; from how many entries something was taken.
    async fn forget(&self) -> Result<u64, Problem> {
        // The log has to have come to this day.
        let permit = || self.permit().map_err(|error| Problem::internal(error.to_string()));
        self.log.perform(Says { permit: permit()?, of: None }).await?;
        let whom = Whom { person: self.lena, email: "lena@example.com".to_owned(), name: "Lena".to_owned() };
        let (mut from, mut entries) = (0, 0);
        loop {
            let walked = self.forgetter.step(permit()?, &whom, "as the law has it", from).await?;
            entries += walked.entries;
            let Some(next) = walked.next else { return Ok(entries) };
            from = next;
        }
    }

    /// Entries that name her still.
    async fn named(&self) -> Result<Vec<i64>> {
        let query = sql("SELECT idx FROM entries WHERE subject = $1 ORDER BY idx").bind(self.lena);
        let rows: Vec<(i64,)> = self.database.fetch_all(query).await?;
        Ok(rows.into_iter().map(|(index,)| index).collect())
    }
}

/// To the millisecond: neither before she is gone for so long, nor what is younger than that.
async fn before_its_age(given: Given) -> Result<()> {
    let at = Calendar::open(&given).await?;
    at.say(Some(at.lena)).await?;
    at.clock.advance(DAY * 10);
    at.leaves().await?;
    let left = at.ambient.now();
    at.say(Some(at.lena)).await?;
    at.clock.advance(DAY * 200);
    at.say(Some(at.lena)).await?;
    at.clock.advance((DAY * 200).saturating_sub(Duration::from_millis(1)));
    let refused = at.forget().await.expect_err("she has not been gone for long enough");
    ensure!(refused.is(ProblemKind::Conflict), "{refused}");
    ensure!(refused.more["from"] == left.after(DAY * 400).to_string(), "{:?}", refused.more);
    ensure!(at.named().await? == [0, 1, 2], "nothing was taken");
    at.clock.advance(Duration::from_millis(1));
    ensure!(at.forget().await? == 1 && at.named().await? == [1, 2], "only what was said before she left");
    at.clock.advance(Duration::from_millis(1));
    ensure!(at.forget().await? == 1 && at.named().await? == [2], "what was said when she left");
    at.clock.advance(DAY * 200);
    ensure!(at.forget().await? == 1 && at.named().await?.is_empty(), "and what was said later, later");
    Ok(())
}
