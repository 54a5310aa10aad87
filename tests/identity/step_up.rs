//! Step-up (RFC 9470): over HTTP, on pages, and by a command that goes on by itself.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::store::sql;
use serde_json::json;

use super::house::{House, read_address};
use crate::{
    peers::Peers,
    support::{Given, on_each_database, on_sqlite},
    web::house::send,
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_sqlite(peers, "identity::the_api_says_what_sign_in_would_do", the_api_says),
        on_sqlite(peers, "identity::a_page_goes_through_a_stronger_sign_in_and_back", a_page_goes_through),
        on_each_database(peers, "identity::a_command_is_confirmed_in_the_browser_and_goes_on", goes_on),
        on_sqlite(peers, "identity::abuse_23_a_confirmation_is_one_of_now", abuse_23),
        on_sqlite(peers, "identity::a_confirmation_raises_its_own_session_and_no_other", raises_its_own),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Destroying takes a second factor, ten minutes old at most; and so does reading the log.
const STRONG: &str = "kind: TrustScope\nname: strong\nmembers: {groups: [engineering]}\n\
    authentication: {acr: [mfa], no-older-than: 10m}\n\
    allows:\n  - actions: [destroy]\n    applications: own-teams\n    environments: [sandbox]\n  - actions: [see-rotation, see-people]\n";

async fn strong(given: Given) -> Result<House> {
    let house = House::open(given).await?;
    house.declare(STRONG).await?;
    Ok(house)
}

async fn the_api_says(given: Given) -> Result<()> {
    let house = strong(given).await?;
    let (dana, _) = house.visitor("dana").await?;
    let token = house.token(&dana)?;
    let answer = house.get(&token, "/api/v1/people").await?;
    answer.is_problem(401, "insufficient-user-authentication")?;
    ensure!(answer.json()["acr_values"] == "mfa" && answer.json()["max_age"] == 600, "{answer:?}");
    let challenge = answer.header("www-authenticate");
    let expected = "Bearer error=\"insufficient_user_authentication\", acr_values=\"mfa\", max_age=\"600\"";
    ensure!(challenge == expected, "{challenge}");
    Ok(())
}

/// A page that is refused for the sign-in of before leads to the provider, which asks for more, and back.
async fn a_page_goes_through(given: Given) -> Result<()> {
    let house = strong(given).await?;
    let lena = house.web.sign_in_by(&house.realm.issuer, "lena", &["engineering"]).await?;
    let ada = house.web.sign_in_by(&house.realm.issuer, "ada", &["it"]).await?;
    let away = json!({ "reason": "left" });
    house.web.post(&ada, &format!("/api/v1/people/{}/deactivate", lena.id), &away).await?.done()?;
    let (dana, _) = house.visitor("dana").await?;
    let page = house.sign_in(&dana, &format!("/leavers/{}", lena.id)).await?;
    ensure!(
        page.status == 200 && page.url.path() == format!("/leavers/{}", lena.id),
        "{} {}",
        page.url,
        page.body
    );
    let acr = sql("SELECT acr FROM sessions WHERE subject = 'dana' AND ended_at IS NULL");
    ensure!(house.web.all::<(String,)>(acr).await? == [("mfa".to_owned(),)], "she has signed in by more");
    Ok(())
}

async fn goes_on(given: Given) -> Result<()> {
    let house = strong(given).await?;
    let (dana, _) = house.visitor("dana").await?;
    let portctl = house.portctl(&dana).await?;
    let mut child = portctl.spawn(&["rotation", "list", "--output", "json"])?;
    let page = read_address(&mut child, "Confirm in your browser: ").await?;
    let page = house.sign_in(&dana, page.path()).await?;
    ensure!(page.body.contains("Confirm that it is you?"), "{} {}", page.status, page.body);
    house.confirm(&dana, &page).await?;
    let done = tokio::task::spawn_blocking(move || child.wait_with_output()).await??;
    ensure!(done.status.success(), "the command did not go on: {done:?}");
    // The next one asks nobody.
    portctl.run(&["rotation", "list"])?.done()?;
    ensure!(house.entries("session.raised").await? == 1, "raised once, and recorded");
    let cli = sql("SELECT acr FROM sessions WHERE kind = 'cli'");
    ensure!(
        house.web.all::<(Option<String>,)>(cli).await? == [(Some("mfa".to_owned()),)],
        "the class is verified"
    );
    house.web.close().await
}

/// An hour after the second factor, the page sends her to the provider again, whatever the browser's session
/// says; and a session that is too weak confirms nothing.
async fn abuse_23(given: Given) -> Result<()> {
    let house = strong(given).await?;
    let (dana, _) = house.visitor("dana").await?;
    let portctl = house.portctl(&dana).await?;
    house.sign_in(&dana, "/sign-in/dev?return_to=/whoami&acr_values=mfa").await?;
    house.tamper("UPDATE sessions SET authenticated_at = authenticated_at - 3600000").await?;
    let mut child = portctl.spawn(&["rotation", "list"])?;
    let page = read_address(&mut child, "Confirm in your browser: ").await?;
    let shown = dana.browser.get(&page).await?;
    let to = shown.next().context("an old sign-in is taken for a confirmation")?;
    ensure!(to.path() == "/sign-in/dev" && to.query().unwrap_or_default().contains("max_age=600"), "{to}");
    // Pressing the button without going there raises nothing.
    let login = page.path().rsplit('/').next().unwrap_or_default().to_owned();
    let session: port_control::base::ids::SessionId = {
        let row =
            sql("SELECT id FROM sessions WHERE kind = 'browser' AND subject = 'dana' AND ended_at IS NULL");
        house.web.all::<(String,)>(row).await?[0].0.parse().map_err(anyhow::Error::msg)?
    };
    let csrf = house.web.app.identity.csrf_token(session);
    let form = vec![("csrf".to_owned(), csrf)];
    let pressed = dana.browser.post(&house.url(&format!("/logins/{login}"))?, &form).await?;
    if let Some(back) = pressed.next() {
        dana.browser.get(&back).await?;
    }
    let done = tokio::task::spawn_blocking(move || child.wait_with_output()).await??;
    ensure!(done.status.code() == Some(3), "{done:?}");
    ensure!(house.entries("session.raised").await? == 0, "an old sign-in has raised a session");
    Ok(())
}

/// Another person cannot confirm, another session is not raised, and a code is of no use elsewhere.
async fn raises_its_own(given: Given) -> Result<()> {
    let house = strong(given).await?;
    let (dana, _) = house.visitor("dana").await?;
    let (omar, _) = house.visitor("omar").await?;
    let portctl = house.portctl(&dana).await?;
    let mut child = portctl.spawn(&["rotation", "list"])?;
    let address = read_address(&mut child, "Confirm in your browser: ").await?;
    let page = house.sign_in(&omar, address.path()).await?;
    let refused = omar.browser.submit(&page, &[]).await?;
    ensure!(refused.status == 403 && refused.next().is_none(), "{} {}", refused.status, refused.body);
    let page = house.sign_in(&dana, address.path()).await?;
    let pressed = dana.browser.submit(&page, &[]).await?;
    let back = pressed.next().context("it leads nowhere")?;
    let code = back.query_pairs().find(|(name, _)| name == "code").context("no code")?.1.into_owned();
    // Her browser's own session, with the code and without the verifier; then the command's own.
    let login = address.path().rsplit('/').next().unwrap_or_default();
    let stolen = house.web.request(reqwest::Method::POST, &format!("/api/v1/step-ups/{login}/confirm"));
    let stolen = stolen.bearer_auth(house.token(&dana)?).json(&json!({ "code": code, "verifier": "v" }));
    send(stolen).await?.is_problem(404, "not-found")?;
    dana.browser.get(&back).await?;
    let done = tokio::task::spawn_blocking(move || child.wait_with_output()).await??;
    ensure!(done.status.success(), "{done:?}");
    let raised = sql(
        "SELECT kind FROM sessions WHERE acr = 'mfa' AND subject = 'dana' AND ended_at IS NULL ORDER BY kind",
    );
    let raised: Vec<(String,)> = house.web.all(raised).await?;
    // The browser has just signed in by it.
    ensure!(raised == [("browser".to_owned(),), ("cli".to_owned(),)], "{raised:?}");
    Ok(())
}
