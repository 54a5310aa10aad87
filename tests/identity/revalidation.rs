//! A provider is asked again while people are signed in: what it says is true from then on, a no ends the
//! sign-in, and no answer is no no.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use port_control::store::sql;

use super::house::House;
use crate::{
    peers::{OidcProvider, Peers, Person},
    support::{Given, on_each_database, on_sqlite},
    web::house::Answer,
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_sqlite(peers, "identity::abuse_16_a_group_taken_away_in_mid_session", abuse_16),
        on_sqlite(peers, "identity::abuse_17_a_suspension_at_the_provider", abuse_17),
        on_sqlite(peers, "identity::a_scope_that_asks_for_it_is_confirmed_on_the_way", confirmed_on_the_way),
        on_sqlite(peers, "identity::a_refresh_token_is_used_once_by_whoever_asks_first", used_once),
        on_sqlite(peers, "identity::a_provider_that_does_not_answer_ends_nobody", no_answer_is_no_no),
        on_sqlite(peers, "identity::what_was_confirmed_is_known_afterwards", known_afterwards),
        on_each_database(
            peers,
            "identity::a_refresh_token_is_kept_sealed_and_no_longer_than_needed",
            kept_sealed,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Seeing people takes a sign-in that was confirmed within five minutes.
const CONFIRMED: &str = "kind: TrustScope\nname: confirmed\nmembers: {groups: [engineering]}\nrevalidate: true\n\
    allows:\n  - actions: [see-people]\n  - actions: [destroy]\n    applications: own-teams\n    environments: [sandbox]\n";
/// As if six minutes had passed since.
const SIX_MINUTES: &str = "UPDATE sessions SET confirmed_at = confirmed_at - 360000; \
    UPDATE refresh_tokens SET next_at = next_at - 360000; UPDATE memberships SET asserted_at = asserted_at - 360000";

async fn revalidating(given: Given) -> Result<House> {
    let house = House::with(given, |it| it.revalidate = true).await?;
    house.declare(CONFIRMED).await?;
    Ok(house)
}

async fn people(house: &House, token: &str) -> Result<Answer> {
    house.get(token, "/api/v1/people").await
}

async fn abuse_16(given: Given) -> Result<()> {
    let house = revalidating(given).await?;
    let (dana, _) = house.visitor("dana").await?;
    let token = house.token(&dana)?;
    let secrets = "/api/v1/applications/reports/environments/sandbox/secrets";
    house.get(&token, secrets).await?.done()?;
    house.realm.put_person(&Person { groups: Vec::new(), ..Person::dana() }).await?;
    house.tamper(SIX_MINUTES).await?;
    // The server asks by itself; this only saves the time.
    house.web.app.identity.ask_again().await?;
    let is = |status: u16| {
        let (house, token) = (&house, &token);
        move || async move { Ok(house.get(token, secrets).await?.status == status) }
    };
    house.web.eventually("what she lost is denied", is(403)).await?;
    ensure!(house.is_signed_in(&dana).await?, "she is signed in still");
    ensure!(house.entries("person.groups-changed").await? == 1, "what she lost is recorded");
    house.realm.put_person(&Person::dana()).await?;
    house.tamper(SIX_MINUTES).await?;
    house.web.app.identity.ask_again().await?;
    house.web.eventually("what she got is allowed", is(200)).await?;
    Ok(())
}

/// No message of any sort: the provider only gives no new token.
async fn abuse_17(given: Given) -> Result<()> {
    let house = revalidating(given).await?;
    let (dana, _) = house.visitor("dana").await?;
    let (omar, _) = house.visitor("omar").await?;
    let portctl = house.portctl(&dana).await?;
    house.realm.remove_person("dana").await?;
    house.tamper(SIX_MINUTES).await?;
    // The server finds out by itself.
    let ended = || async { Ok(!house.is_signed_in(&dana).await?) };
    house.web.eventually("her session ends", ended).await?;
    portctl.run(&["whoami"])?.refused(3, "the session has ended")?;
    ensure!(house.ended().await?.contains(&"refused-by-provider".to_owned()), "{:?}", house.ended().await?);
    ensure!(house.is_signed_in(&omar).await?, "somebody else was signed out");
    let left = sql("SELECT CAST(count(*) AS BIGINT) FROM refresh_tokens");
    ensure!(house.count(left).await? == 1, "her refresh token is kept");
    Ok(())
}

/// Whoever comes back after a quarter of an hour is not sent to the provider: we ask it.
async fn confirmed_on_the_way(given: Given) -> Result<()> {
    let house = revalidating(given).await?;
    let (dana, _) = house.visitor("dana").await?;
    let token = house.token(&dana)?;
    people(&house, &token).await?.done()?;
    for _ in 0..2 {
        house.tamper(SIX_MINUTES).await?;
        people(&house, &token).await?.done()?;
    }
    ensure!(house.entries("session.confirmed").await? >= 2, "each time is recorded");
    // Nobody can be asked any more, so that only a new sign-in would do.
    house.tamper("DELETE FROM refresh_tokens").await?;
    house.tamper(SIX_MINUTES).await?;
    let refused = people(&house, &token).await?;
    refused.is_problem(401, "insufficient-user-authentication")?;
    ensure!(refused.json()["reason"] == "not-confirmed", "{refused:?}");
    house.web.close().await
}

/// Ten requests at once: the provider would take a token that comes twice for a stolen one.
async fn used_once(given: Given) -> Result<()> {
    let house = revalidating(given).await?;
    let (dana, _) = house.visitor("dana").await?;
    let token = house.token(&dana)?;
    for _ in 0..3 {
        house.tamper(SIX_MINUTES).await?;
        let answers = futures::future::join_all((0..10).map(|_| people(&house, &token))).await;
        for answer in answers {
            answer?.done()?;
        }
    }
    ensure!(house.is_signed_in(&dana).await?, "she was signed out");
    Ok(())
}

/// Who could reach what, recomputed from the log, is what the rows of now say: also of confirmations.
async fn known_afterwards(given: Given) -> Result<()> {
    let house = revalidating(given).await?;
    let (dana, _) = house.visitor("dana").await?;
    let token = house.token(&dana)?;
    house.tamper(SIX_MINUTES).await?;
    people(&house, &token).await?.done()?;
    let me = house.get(&token, "/api/v1/whoami").await?.done()?["person"]["id"].clone();
    let aya = house.web.sign_in_by(&house.realm.issuer, "aya", &["audit"]).await?;
    let rows = house.web.get(&aya, "/audit/v1/access").await?.done()?;
    let at = rows["at"].as_str().unwrap_or_default().to_owned();
    let log = house.web.get(&aya, &format!("/audit/v1/access?at={at}")).await?.done()?;
    let hers = |it: &serde_json::Value| -> Vec<serde_json::Value> {
        it["items"].as_array().into_iter().flatten().filter(|it| it["principal"] == me).cloned().collect()
    };
    ensure!(hers(&rows) == hers(&log), "{rows:#} {log:#}");
    let by_confirmation = |it: &serde_json::Value| it["scope"] == "confirmed" && it["signed_in"] == true;
    ensure!(hers(&log).iter().any(by_confirmation), "{log:#}");
    Ok(())
}

async fn no_answer_is_no_no(given: Given) -> Result<()> {
    let mut provider = OidcProvider::start_private().await?;
    let house = House::at(given, &provider, |it| it.revalidate = true).await?;
    house.declare(CONFIRMED).await?;
    let (dana, _) = house.visitor("dana").await?;
    let token = house.token(&dana)?;
    provider.kill();
    house.tamper(SIX_MINUTES).await?;
    people(&house, &token).await?.is_problem(401, "insufficient-user-authentication")?;
    ensure!(house.is_signed_in(&dana).await?, "a provider that is down has signed her out");
    Ok(())
}

async fn kept_sealed(given: Given) -> Result<()> {
    let house = revalidating(given).await?;
    let (dana, page) = house.visitor("dana").await?;
    let kept: Vec<(Vec<u8>,)> = house.web.all(sql("SELECT sealed FROM refresh_tokens")).await?;
    ensure!(kept.len() == 1 && kept[0].0.len() > 40, "{} tokens are kept", kept.len());
    ensure!(std::str::from_utf8(&kept[0].0).is_err(), "it is kept as text");
    dana.browser.submit(&page, &[]).await?;
    house.web.app.identity.end_expired().await?;
    let left = sql("SELECT CAST(count(*) AS BIGINT) FROM refresh_tokens");
    ensure!(house.count(left).await? == 0, "it outlives its sign-in");
    house.web.close().await
}
