//! Who could reach what: what is recomputed from entries is what was decided then.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    access::reach::{ACTIONS, History},
    audit::read::{Entry, Reader},
    base::{EnvironmentRef, Timestamp},
    policy::{Action, Policies},
};
use serde_json::{Value, json};

use super::house::{Answer, House, Person, example};
use crate::{
    peers::Peers,
    support::{Given, on_each_database, on_sqlite},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = on_each_database(peers, "web::access_by_the_log_is_access_by_the_rows", by_both);
    trials.extend(on_sqlite(peers, "web::access_at_a_moment_is_what_was_then", at_a_moment));
    trials.extend(on_sqlite(peers, "web::access_bad_moments_are_refused", bad_moments));
    trials.extend(on_each_database(peers, "web::access_replay_agrees_with_every_decision", random_histories));
    trials
}

const PRODUCTION: &str = "/api/v1/applications/reports/environments/production/secrets/A";
const SANDBOX: &str = "/api/v1/applications/reports/environments/sandbox/secrets/A";

async fn access(house: &House, aya: &Person, query: &str) -> Result<Value> {
    house.get(aya, &format!("/audit/v1/access{query}")).await?.done()
}

/// What somebody could do somewhere; nothing where she could not.
fn actions<'a>(access: &'a Value, person: &Person, at: &str) -> Vec<&'a str> {
    let items = access["items"].as_array().into_iter().flatten();
    let hers = items.filter(|it| it["principal"] == person.id.to_string() && it["at"] == at);
    hers.flat_map(|it| it["actions"].as_array().into_iter().flatten()).filter_map(Value::as_str).collect()
}

async fn ask(house: &House, person: &Person) -> Result<Option<String>> {
    let wish = json!({ "action": "reveal", "at": "reports/production", "for": "1h", "reason": "INC-1" });
    let answer = house.post(person, "/api/v1/requests", &wish).await?;
    Ok(answer.json()["request"]["id"].as_str().map(str::to_owned))
}

async fn approve(house: &House, person: &Person, id: &str) -> Result<Answer> {
    house.post(person, &format!("/api/v1/requests/{id}/approve"), &json!({ "reason": "fine" })).await
}

async fn change(house: &House, ada: &Person, whom: &Person, act: &str) -> Result<Answer> {
    house.post(ada, &format!("/api/v1/people/{}/{act}", whom.id), &json!({ "reason": "a test" })).await
}

/// A scope of its own, for whoever is in `group`.
async fn declare(house: &House, ada: &Person, group: &str) -> Result<Answer> {
    let text = format!(
        "kind: TrustScope\nname: more\nmembers:\n  groups: [{group}]\nallows:\n  - actions: [list, reveal]\n    \
         applications: [reports]\n    environments: [sandbox]\n"
    );
    let mut files = example()?;
    files.push(json!({ "file": "more.yaml", "text": text }));
    house.post(ada, "/api/v1/apply", &json!({ "documents": files })).await
}

async fn by_both(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (ada, dana, omar) =
        (house.example("ada").await?, house.example("dana").await?, house.example("omar").await?);
    let (lena, aya) = (house.example("lena").await?, house.example("aya").await?);
    let id = ask(&house, &dana).await?.context("no request")?;
    approve(&house, &omar, &id).await?.done()?;
    change(&house, &ada, &lena, "suspend").await?.done()?;
    declare(&house, &ada, "audit").await?.done()?;
    house.sign_in("nina", &["engineering", "nobody-knows-this-group"]).await?;
    house.sign_in("nina", &["leads"]).await?;

    let rows = access(&house, &aya, "").await?;
    let at = rows["at"].as_str().context("no moment")?;
    let log = access(&house, &aya, &format!("?at={at}")).await?;
    ensure!(rows["items"] == log["items"], "by the rows {rows:#}, and by the log {log:#}");
    ensure!(rows["recomputed"] == false && log["recomputed"] == true && rows["people"] == log["people"]);
    ensure!(actions(&rows, &dana, "reports/production").contains(&"reveal"), "by her grant: {rows:#}");
    ensure!(actions(&rows, &lena, "reports/sandbox").is_empty(), "she is suspended: {rows:#}");
    ensure!(actions(&rows, &aya, "reports/sandbox") == ["list", "reveal"], "by the newest files: {rows:#}");
    let of_billing = access(&house, &aya, &format!("?at={at}&application=billing")).await?;
    let items = of_billing["items"].as_array().context("no list")?;
    ensure!(
        !items.is_empty() && items.iter().all(|it| it["at"].as_str().unwrap_or("").starts_with("billing/"))
    );
    Ok(())
}

async fn at_a_moment(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (ada, dana, omar) =
        (house.example("ada").await?, house.example("dana").await?, house.example("omar").await?);
    let aya = house.example("aya").await?;
    let before = house.app.ambient.now();
    // Moments are told apart to the millisecond.
    while house.app.ambient.now() == before {
        tokio::task::yield_now().await;
    }
    let id = ask(&house, &dana).await?.context("no request")?;
    approve(&house, &omar, &id).await?.done()?;
    let granted = access(&house, &aya, "").await?["at"].as_str().context("no moment")?.to_owned();
    while house.app.ambient.now().to_string() == granted {
        tokio::task::yield_now().await;
    }
    change(&house, &ada, &dana, "deactivate").await?.done()?;

    let reveals = |it: &Value| actions(it, &dana, "reports/production").contains(&"reveal");
    let then = access(&house, &aya, &format!("?at={before}")).await?;
    ensure!(!reveals(&then) && !actions(&then, &dana, "reports/sandbox").is_empty(), "{then:#}");
    ensure!(reveals(&access(&house, &aya, &format!("?at={granted}")).await?), "the grant was live");
    let now = access(&house, &aya, "").await?;
    ensure!(actions(&now, &dana, "reports/sandbox").is_empty() && !reveals(&now), "{now:#}");
    let nobody = access(&house, &aya, "?at=2020-01-01").await?;
    ensure!(nobody["items"] == json!([]) && nobody["people"] == 0, "{nobody:#}");
    Ok(())
}

async fn bad_moments(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (aya, dana) = (house.example("aya").await?, house.example("dana").await?);
    let get = |query: &'static str| {
        let (house, aya) = (&house, &aya);
        async move { house.get(aya, &format!("/audit/v1/access{query}")).await }
    };
    for query in ["?at=2999-01-01", "?at=yesterday", "?at=", "?application=../x", "?moment=2026-01-01"] {
        get(query).await?.is_problem(400, "invalid-request").context(query)?;
    }
    get("?application=nothing").await?.is_problem(404, "not-found")?;
    house.get(&dana, "/audit/v1/access").await?.is_problem(403, "denied")
}

/// Chance that a seed repeats (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap_or(0)
    }
}

/// Random joins, applies, grants and ends: at its index each recorded yes and no is what the entries before
/// it come to.
async fn random_histories(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (ada, dana) = (house.example("ada").await?, house.example("dana").await?);
    let value = json!({ "encoding": "utf8", "value": "one" });
    house.post(&dana, &format!("{SANDBOX}/versions"), &value).await?.done()?;
    let seed = 0x9e37_79b9_7f4a_7c15;
    let mut chance = Chance(seed);
    for _ in 0..80 {
        step(&house, &ada, &mut chance).await?;
    }
    let (yes, no) = compare(&house).await.with_context(|| format!("seed {seed:#x}"))?;
    ensure!(yes >= 5 && no >= 5, "{yes} times yes and {no} times no say little");
    Ok(())
}

async fn step(house: &House, ada: &Person, chance: &mut Chance) -> Result<()> {
    let name = ["leaver1", "leaver2", "leaver3"][chance.below(3)];
    let all: [&[&str]; 5] = [&[], &["engineering"], &["leads"], &["engineering", "leads"], &["audit"]];
    let groups = all[chance.below(5)];
    // Whoever is suspended cannot sign in.
    let Ok(person) = house.sign_in(name, groups).await else {
        let path = format!("/api/v1/people/{name}@example.com/resume");
        house.post(ada, &path, &json!({ "reason": "a test" })).await?;
        return Ok(());
    };
    match chance.below(6) {
        0 => drop(change(house, ada, &person, "suspend").await?),
        1 => drop(declare(house, ada, ["audit", "leads", "engineering"][chance.below(3)]).await?),
        2 | 3 => {
            if let Some(id) = ask(house, &person).await? {
                let omar = house.example("omar").await?;
                approve(house, &omar, &id).await?;
            }
        }
        _ => {}
    }
    house.get(&person, &format!("{SANDBOX}/value")).await?;
    house.get(&person, &format!("{PRODUCTION}/value")).await?;
    Ok(())
}

/// How many recorded decisions to reveal were yes and no, each as the replay says.
async fn compare(house: &House) -> Result<(u32, u32)> {
    let reader = Reader::new(house.app.database.clone(), house.app.log.clone());
    let policies = Policies::built_in()?;
    let actions = [ACTIONS, &["secret.revealed", "reveal"]].concat();
    let (mut history, mut yes, mut no) = (History::default(), 0, 0);
    let mut wrong = Vec::new();
    let size = u64::try_from(house.log_size().await?)?;
    reader
        .each(&actions, size, None, |entry| {
            history.take(entry)?;
            if let Some(allowed) = recorded(entry) {
                let found = replayed(&history, &policies, house, entry);
                if found.as_deref() != Some(allowed.as_str()) {
                    wrong.push(format!("entry {}: {allowed}, and the replay says {found:?}", entry.index));
                }
                if entry.decision == "allow" { yes += 1 } else { no += 1 }
            }
            Ok(())
        })
        .await?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok((yes, no))
}

/// What was decided: the scope, or why not.
fn recorded(entry: &Entry) -> Option<String> {
    match entry.action.as_str() {
        "secret.revealed" => entry.scope.clone(),
        "reveal" => entry.payload.get("denial").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    }
}

fn replayed(history: &History, policies: &Policies, house: &House, entry: &Entry) -> Option<String> {
    let person = entry.actor.as_ref()?.parse().ok()?;
    let at = entry.at.as_ref()?;
    let place =
        at.rsplit_once('/').filter(|(head, _)| head.contains('/')).map_or(at.as_str(), |(head, _)| head);
    let place: EnvironmentRef = place.parse().ok()?;
    let now: Timestamp = entry.time;
    let world = history.world(&house.app.config.administrators, now);
    Some(match world.decide(policies, person, Action::Reveal, &place)? {
        Ok(permit) => permit.scope()?.to_string(),
        Err(denial) => denial.reason().as_str().to_owned(),
    })
}
