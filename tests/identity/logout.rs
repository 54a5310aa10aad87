//! Back-channel logout: what the provider sends by itself, and what others would like to send.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::store::sql;

use super::house::House;
use crate::{
    peers::Peers,
    support::{Given, on_each_database, on_sqlite},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_each_database(peers, "identity::a_logout_at_the_provider_ends_what_came_from_it", ends_what_came),
        on_sqlite(peers, "identity::abuse_18_logout_tokens_that_are_none", abuse_18),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn ends_what_came(given: Given) -> Result<()> {
    let house = House::open(given).await?;
    let (dana, _) = house.visitor("dana").await?;
    let (omar, _) = house.visitor("omar").await?;
    let portctl = house.portctl(&dana).await?;
    portctl.run(&["whoami"])?.done()?;
    let told = house.realm.log_out("dana").await?;
    ensure!(told.len() == 1 && told[0]["ok"] == true, "{told:?}");
    ensure!(!house.is_signed_in(&dana).await?, "her browser is signed in");
    portctl.run(&["whoami"])?.refused(3, "the session has ended")?;
    ensure!(house.is_signed_in(&omar).await?, "somebody else was signed out");
    let entries = sql("SELECT actor FROM entries WHERE action = 'session.ended' ORDER BY idx");
    let actors: Vec<(String,)> = house.web.all(entries).await?;
    ensure!(actors == vec![("service/sign-in".to_owned(),); 2], "an entry for each session: {actors:?}");
    house.web.close().await
}

/// An ID token of this very session, one that nobody signed, one of another client, one that was sent before.
async fn abuse_18(given: Given) -> Result<()> {
    let house = House::open(given).await?;
    let (dana, page) = house.visitor("dana").await?;
    // Signing out hands the ID token to the browser; it is a token of this provider and this client.
    let out = dana.browser.submit(&page, &[]).await?;
    let id_token =
        out.hidden_fields().into_iter().find(|(name, _)| name == "id_token_hint").context("no hint")?.1;
    let (dana, _) = house.visitor("dana").await?;
    let (header, rest) = id_token.split_once('.').context("no token")?;
    let signature = rest.rsplit('.').next().unwrap_or_default();
    let forged = |claims: serde_json::Value| {
        let claims = data_encoding::BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
        format!("{header}.{claims}.{signature}")
    };
    let none = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"none"}"#);
    let unsigned =
        data_encoding::BASE64URL_NOPAD.encode(super::house::claims(&id_token)?.to_string().as_bytes());
    for (what, token) in [
        ("an ID token", id_token.clone()),
        ("an ID token with another's claims", forged(serde_json::json!({ "sub": "dana" }))),
        ("no signature", format!("{none}.{unsigned}.")),
        ("nonsense", "a.b.c".to_owned()),
        ("nothing", String::new()),
    ] {
        let answer = house.logout_token(&token).await?;
        ensure!(answer.status == 400 && answer.header("cache-control") == "no-store", "{what}: {answer:?}");
        ensure!(answer.json()["error"] == "invalid_request", "{what}: {answer:?}");
        ensure!(house.is_signed_in(&dana).await?, "{what} signed her out");
    }
    let nowhere = house.web.request(reqwest::Method::POST, "/sign-in/other/backchannel-logout");
    let nowhere = crate::web::house::send(nowhere.form(&[("logout_token", id_token.as_str())])).await?;
    ensure!(nowhere.status == 404, "{nowhere:?}");
    Ok(())
}
