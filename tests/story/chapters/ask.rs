//! 5. Ask: production is denied, asked for, approved by somebody else, and ends by itself.

use std::io::{BufRead as _, BufReader};

use anyhow::{Context as _, Result, ensure};

use super::Cast;
use crate::{
    story::{
        people::{Person, told},
        world::House,
    },
    support::until,
};

pub const URL: &str = "reports/production/DATABASE_URL";

pub async fn for_production(house: &House, cast: &mut Cast) -> Result<()> {
    let command = "portctl request create --action reveal reports/production";
    cast.dana.fails(&format!("secret get {URL}"), 4, command)?;
    approved_on_a_page(house, cast).await?;
    approved_in_a_terminal(cast)?;
    denied_and_cancelled(cast)?;
    ends_by_itself(cast).await
}

/// She waits at her terminal while he approves on a page; she cannot do it herself.
async fn approved_on_a_page(house: &House, cast: &mut Cast) -> Result<()> {
    let (dana, omar) = (&cast.dana, &mut cast.omar);
    let mut waiting = dana.portctl.spawn(&[
        "request",
        "create",
        "--action",
        "reveal",
        "reports/production",
        "--for",
        "1h",
        "--reason",
        "INC-123 reports are slow",
    ])?;
    let words = BufReader::new(waiting.stderr.take().context("no standard error")?);
    let (mut approvers, mut link) = (String::new(), String::new());
    for said in words.lines() {
        let said = said?;
        if said.starts_with("who can approve: ") {
            approvers = said;
        } else if let Some(address) = said.strip_prefix("where: ") {
            link = address.to_owned();
            break;
        }
    }
    ensure!(approvers.contains("Omar") && !approvers.contains("Dana"), "{approvers}");
    let id = link.rsplit('/').next().unwrap_or_default().to_owned();
    dana.fails(&format!("request approve {id}"), 1, "her own request")?;
    // Approvers hear of it: signed, with the way there.
    until("the webhook", async || Ok(house.webhook.has(&id).then_some(()))).await?;

    let page = omar.browser.open(link.parse()?).await.map_err(told)?;
    ensure!(page.text.contains("INC-123"), "the page shows the reason");
    let page =
        omar.browser.submit(&page, &[("verdict", "approve"), ("reason", "seen")]).await.map_err(told)?;
    ensure!(page.status.is_success(), "{}", page.told());
    ensure!(waiting.wait()?.success(), "her terminal waited, and says that she may");

    dana.sets(URL, "postgres://production/one")?;
    ensure!(dana.does(&format!("secret get {URL}"))? == "postgres://production/one", "she reveals it");
    let again = request(dana, "1h")?;
    ensure!(again["grant"].is_object(), "a live grant is used rather than asked for again: {again}");
    let words = [
        "request",
        "create",
        "--action",
        "reveal",
        "reports/production",
        "--for",
        "1h",
        "--reason",
        "another",
    ];
    let again = dana.portctl.run(&words)?;
    let said = again.err.contains("You have it already") && again.err.contains("INC-123 reports are slow");
    ensure!(
        again.code == 0 && said && again.err.contains(&id),
        "what was asked before is told: {}",
        again.err
    );
    ensure!(dana.does("grant list")?.contains("production-access"), "it is listed");
    Ok(())
}

fn approved_in_a_terminal(cast: &Cast) -> Result<()> {
    let asked = request(&cast.lena, "1h")?;
    let id = id(&asked)?;
    ensure!(cast.omar.does("request list --role to-decide")?.contains(&id), "what waits for him is listed");
    ensure!(cast.omar.does(&format!("request show {id}"))?.contains("INC-123"), "with its reason");
    cast.omar.does(&format!("request approve {id}"))?;
    cast.omar.fails(&format!("request approve {id}"), 1, "approved")?;
    Ok(())
}

fn denied_and_cancelled(cast: &Cast) -> Result<()> {
    let denied = id(&request(&cast.omar, "1h")?)?;
    cast.lena.portctl.run(&["request", "deny", &denied, "--reason", "not today"])?.done()?;
    cast.omar.fails(&format!("secret get {URL}"), 4, "request create")?;
    let cancelled = id(&request(&cast.omar, "1h")?)?;
    let words = ["request", "create", "--action", "reveal", "reports/production", "--for", "1h", "--no-wait"];
    let again = cast.omar.portctl.run(&[&words[..], &["--reason", "another"]].concat())?;
    let said = again.err.contains("You have asked for it already") && again.err.contains(&cancelled);
    ensure!(again.code == 0 && said, "that it waits already is told: {}", again.err);
    cast.omar.does(&format!("request cancel {cancelled}"))?;
    cast.lena.fails(&format!("request approve {cancelled}"), 1, "cancelled")
}

/// The end of a grant is an event: a live session is refused from there on.
async fn ends_by_itself(cast: &Cast) -> Result<()> {
    let asked = id(&request(&cast.omar, "2s")?)?;
    cast.lena.does(&format!("request approve {asked}"))?;
    cast.omar.does(&format!("secret get {URL}"))?;
    until("the grant ends", async || {
        let grants = cast.omar.reads("grant list")?;
        Ok(grants.as_array().is_some_and(Vec::is_empty).then_some(()))
    })
    .await?;
    cast.omar.fails(&format!("secret get {URL}"), 4, "request create")
}

/// Asks without waiting.
pub fn request(person: &Person, length: &str) -> Result<serde_json::Value> {
    let out = person.portctl.run(&[
        "request",
        "create",
        "--action",
        "reveal",
        "reports/production",
        "--for",
        length,
        "--no-wait",
        "--reason",
        "INC-123 reports are slow",
        "--output",
        "json",
    ])?;
    Ok(serde_json::from_str(&out.done()?)?)
}

pub fn id(asked: &serde_json::Value) -> Result<String> {
    Ok(asked["request"]["id"].as_str().with_context(|| asked.to_string())?.to_owned())
}
