//! What happens at one instant is settled by the log's order: on whole servers, on both databases, on
//! PostgreSQL by two replicas.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use futures::future::{join, join_all};
use libtest_mimic::Trial;
use port_control::store::sql;
use serde_json::json;

use crate::{
    peers::Peers,
    support::{Given, on_each_database},
    web::house::{Answer, Differently, House, Person},
};

/// Rounds of everything that somebody does against her deactivation, unless `RACE_ROUNDS` says another number.
const ROUNDS: usize = 25;

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_each_database(peers, "races::two_approvals_are_one_grant", two_approvals),
        on_each_database(
            peers,
            "races::abuse_13_whatever_she_does_against_her_deactivation",
            acts_and_deactivation,
        ),
        on_each_database(peers, "races::abuse_15_the_last_administrator_stays", last_administrator),
        on_each_database(peers, "races::of_two_sets_that_expect_one_version_one_is_done", two_sets),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Two ways to one database: two replicas where the database bears them, else one server twice.
struct Pair {
    one: House,
    other: Option<House>,
}

impl Pair {
    async fn open(given: &Given) -> Result<Self> {
        let one = House::open(given).await?;
        let other = if given.url.starts_with("postgres") {
            Some(House::serve(given, Differently::default()).await?)
        } else {
            None
        };
        Ok(Self { one, other })
    }

    fn other(&self) -> &House {
        self.other.as_ref().unwrap_or(&self.one)
    }

    async fn close(self) -> Result<()> {
        if let Some(other) = self.other {
            other.close().await?;
        }
        self.one.close().await
    }

    async fn count(&self, text: &'static str) -> Result<i64> {
        let rows: Vec<(i64,)> = self.one.all(sql(text)).await?;
        Ok(rows[0].0)
    }
}

/// One of two is done, and the other is refused by the one of these problems.
fn one_of(answers: &[Answer; 2], problems: &[&str]) -> Result<()> {
    let done = answers.iter().filter(|it| it.status.is_success()).count();
    let refused = answers.iter().any(|it| problems.contains(&it.problem().as_str()));
    ensure!(done == 1 && refused, "{answers:?}");
    Ok(())
}

async fn two_approvals(given: Given) -> Result<()> {
    let pair = Pair::open(&given).await?;
    let (dana, omar, lena) =
        (pair.one.example("dana").await?, pair.one.example("omar").await?, pair.one.example("lena").await?);
    for round in 1..=10 {
        let id = pair.one.a_request(&dana).await?;
        let path = format!("/api/v1/requests/{id}/approve");
        let empty = json!({});
        let (a, b) = join(pair.one.post(&omar, &path, &empty), pair.other().post(&lena, &path, &empty)).await;
        one_of(&[a?, b?], &["conflict", "facts-changed"]).with_context(|| format!("round {round}"))?;
        let grants = pair.count("SELECT CAST(count(*) AS BIGINT) FROM grants").await?;
        ensure!(grants == round, "{grants} grants after {round} requests");
        end_grants(&pair.one).await?;
    }
    pair.close().await
}

/// Ends what is live, past everybody, so that it can be asked for again.
async fn end_grants(house: &House) -> Result<()> {
    let mut tx = house.app.database.begin_write().await?;
    tx.execute(sql("UPDATE grants SET ended_at = 1, ended_because = 'a test' WHERE ended_at IS NULL"))
        .await?;
    tx.commit().await?;
    Ok(())
}

/// How many rounds there are to be.
fn rounds() -> usize {
    std::env::var("RACE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

/// Signing in (which refreshes what is known of her), using a session, revealing by her groups and under a
/// grant, and asking, all at the instant of her deactivation: after its entry there is no entry of hers, no
/// session begins, and every value that left has its entry before.
async fn acts_and_deactivation(given: Given) -> Result<()> {
    let pair = Pair::open(&given).await?;
    let (ada, omar) = (pair.one.example("ada").await?, pair.one.example("omar").await?);
    let dana = pair.one.example("dana").await?;
    let value = json!({ "encoding": "utf8", "value": "hunter2" });
    pair.one.post(&dana, &format!("{SANDBOX}/versions"), &value).await?.done()?;
    grant(&pair, &dana, &omar).await?;
    pair.one.post(&dana, &format!("{PRODUCTION}/versions"), &value).await?.done()?;
    let (mut told, rounds) = (0, rounds());
    for round in 0..rounds {
        told += one_round(&pair, &ada, &omar, &format!("leaver{round}"))
            .await
            .with_context(|| format!("round {round}"))?;
    }
    // A race in which one side always wins shows nothing.
    eprintln!("{told} values were told in {rounds} rounds");
    pair.close().await
}

const SANDBOX: &str = "/api/v1/applications/reports/environments/sandbox/secrets/A";
const PRODUCTION: &str = "/api/v1/applications/reports/environments/production/secrets/A";

/// What she is answered where her deactivation was first.
const REFUSED: &[&str] = &["person-deactivated", "unauthenticated", "facts-changed"];

/// She asks for production, and Omar says yes.
async fn grant(pair: &Pair, person: &Person, omar: &Person) -> Result<()> {
    let request = pair.one.a_request(person).await?;
    let approve = format!("/api/v1/requests/{request}/approve");
    pair.one.post(omar, &approve, &json!({})).await?.done()?;
    Ok(())
}

async fn one_round(pair: &Pair, ada: &Person, omar: &Person, name: &str) -> Result<usize> {
    let leaver = pair.one.sign_in(name, &["engineering"]).await?;
    grant(pair, &leaver, omar).await?;
    let (value, under_grant) = (format!("{SANDBOX}/value"), format!("{PRODUCTION}/value"));
    let asking = json!({ "action": "reveal", "at": "billing/production", "for": "1h", "reason": "a race" });
    let acts = async {
        let reveals = join_all((0..4).map(|n| {
            let house = if n % 2 == 0 { &pair.one } else { pair.other() };
            house.get(&leaver, &value)
        }));
        let under_grant = pair.other().get(&leaver, &under_grant);
        let asks = pair.one.post(&leaver, "/api/v1/requests", &asking);
        let looks = pair.other().get(&leaver, "/api/v1/whoami");
        let signs_in = pair.one.sign_in(name, &["engineering", "leads"]);
        futures::join!(reveals, under_grant, asks, looks, signs_in)
    };
    let deactivate = format!("/api/v1/people/{}/deactivate", leaver.id);
    let reason = json!({ "reason": "left" });
    let ((reveals, under_grant, asks, looks, signs_in), gone) =
        join(acts, pair.other().post(ada, &deactivate, &reason)).await;
    gone?.done()?;
    let reveals: Vec<Answer> = reveals.into_iter().chain([under_grant]).collect::<Result<_>>()?;
    let told = reveals.iter().filter(|it| it.status.is_success()).count();
    let others = [asks?, looks?];
    for refused in reveals.iter().chain(&others).filter(|it| !it.status.is_success()) {
        // Asking says of each scope why it is not for her.
        let by_scope = refused.problem() == "denied" && refused.text.contains("not by you: deactivated");
        ensure!(by_scope || REFUSED.contains(&refused.problem().as_str()), "{refused:?}");
    }
    if let Ok(session) = &signs_in {
        pair.one.get(session, "/api/v1/whoami").await?.is_problem(403, "person-deactivated")?;
    }
    nothing_after_her_end(pair, &leaver, told).await?;
    Ok(told)
}

async fn nothing_after_her_end(pair: &Pair, leaver: &Person, told: usize) -> Result<()> {
    let ended = sql("SELECT idx FROM entries WHERE subject = $1 AND action = 'person.deactivated'");
    let ended: Vec<(i64,)> = pair.one.all(ended.bind(leaver.id)).await?;
    let end = ended.first().context("no entry of the deactivation")?.0;
    let hers = sql("SELECT idx, action FROM entries WHERE kind = 'act' AND decision = 'allow' \
                    AND (actor = $1 OR (subject = $1 AND action IN ('session.began', 'grant.began', 'person.groups-changed'))) \
                    ORDER BY idx");
    let hers: Vec<(i64, String)> = pair.one.all(hers.bind(leaver.id)).await?;
    ensure!(hers.iter().all(|(index, _)| *index < end), "acts after entry {end}: {hers:?}");
    let recorded = hers.iter().filter(|(_, action)| action == "secret.revealed").count();
    ensure!(recorded >= told, "{told} values were told, and {recorded} recorded");
    let live = sql("SELECT id FROM sessions WHERE person = $1 AND ended_at IS NULL");
    let live: Vec<(String,)> = pair.one.all(live.bind(leaver.id)).await?;
    ensure!(live.is_empty(), "sessions are left: {live:?}");
    Ok(())
}

/// Two administrators who take each other away: one is left.
async fn last_administrator(given: Given) -> Result<()> {
    let pair = Pair::open(&given).await?;
    let ada = pair.one.example("ada").await?;
    let reason = json!({ "reason": "left" });
    let by_herself = format!("/api/v1/people/{}/deactivate", ada.id);
    pair.one.post(&ada, &by_herself, &reason).await?.is_problem(409, "conflict")?;

    let mut left = ada;
    for round in 0..10 {
        let second = pair.one.sign_in(&format!("admin{round}"), &["it"]).await?;
        let (of_left, of_second) = (
            format!("/api/v1/people/{}/deactivate", left.id),
            format!("/api/v1/people/{}/deactivate", second.id),
        );
        let (a, b) =
            join(pair.one.post(&left, &of_second, &reason), pair.other().post(&second, &of_left, &reason))
                .await;
        let (a, b) = (a?, b?);
        let left_stays = a.status.is_success();
        one_of(&[a, b], &["conflict", "person-deactivated", "unauthenticated", "facts-changed", "denied"])?;
        if !left_stays {
            left = second;
        }
        let active = pair
            .count(
                "SELECT CAST(count(*) AS BIGINT) FROM memberships m JOIN people p ON p.id = m.person \
                 WHERE m.group_id = 'it' AND p.status = 'active'",
            )
            .await?;
        ensure!(active == 1, "{active} administrators are left");
    }
    pair.close().await
}

/// Compare-and-set: versions without a gap, and none of the losers' values is current.
async fn two_sets(given: Given) -> Result<()> {
    let pair = Pair::open(&given).await?;
    let (dana, omar) = (pair.one.example("dana").await?, pair.one.example("omar").await?);
    let path = "/api/v1/applications/reports/environments/sandbox/secrets/A/versions";
    for expected in 0..20 {
        let body = |who: &str| json!({ "encoding": "utf8", "value": format!("{who} {expected}"), "expect_version": expected });
        let (of_dana, of_omar) = (body("dana"), body("omar"));
        let (a, b) =
            join(pair.one.post(&dana, path, &of_dana), pair.other().post(&omar, path, &of_omar)).await;
        one_of(&[a?, b?], &["precondition-failed", "facts-changed"])?;
        let versions = pair.count("SELECT CAST(count(*) AS BIGINT) FROM versions").await?;
        ensure!(versions == expected + 1, "{versions} versions after {expected}");
    }
    pair.close().await
}
