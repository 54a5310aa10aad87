//! 7. Leave: from one commit on, nothing of hers works; what she knows is replaced.

use anyhow::{Result, ensure};
use port_control::dev::story::World as _;

use super::{Cast, ask, deliver};
use crate::{
    story::{people::Person, world::House},
    support::until,
};

const LENA: &str = "lena@example.com";
const KNOWN: [&str; 4] =
    ["reports/sandbox/DATABASE_URL", "reports/sandbox/SESSION_KEY", "reports/sandbox/HERS", ask::URL];

pub async fn everything_dies(house: &House, cast: &mut Cast) -> Result<()> {
    hold(cast)?;
    suspend_and_resume(cast)?;
    signed_out(cast)?;
    two_of_one_address(house, cast).await?;
    deactivate(house, cast).await?;
    no_way_back(house, cast).await?;
    rotate(house, cast).await
}

/// A browser session, a token of the command line, a live grant, a pending request, and four values.
fn hold(cast: &Cast) -> Result<()> {
    let lena = &cast.lena;
    lena.does(&format!("secret get {}", KNOWN[0]))?;
    lena.does(&format!("secret get {}", KNOWN[1]))?;
    lena.sets(KNOWN[2], "hers")?;
    lena.does(&format!("secret get {}", KNOWN[3]))?;
    let pending = lena.portctl.run(&[
        "request",
        "create",
        "--action",
        "reveal",
        "billing/production",
        "--for",
        "1h",
        "--no-wait",
        "--reason",
        "INC-124 invoices",
        "--output",
        "json",
    ])?;
    let pending: serde_json::Value = serde_json::from_str(&pending.done()?)?;
    ensure!(pending["request"]["state"] == "pending", "{pending}");
    let sessions = lena.reads("session list")?;
    ensure!(sessions.as_array().map(Vec::len) == Some(2), "two sessions: {sessions}");
    Ok(())
}

/// Suspended, nothing works and nothing is taken away; resumed, all of it works again.
fn suspend_and_resume(cast: &Cast) -> Result<()> {
    let omar = "omar@example.com";
    cast.ada.portctl.run(&["person", "suspend", omar, "--reason", "lost his telephone"])?.done()?;
    cast.omar.fails("secret list reports/sandbox", 1, "suspended")?;
    cast.ada.portctl.run(&["person", "resume", omar, "--reason", "found it"])?.done()?;
    cast.omar.does("secret list reports/sandbox")?;
    Ok(())
}

/// A session is ended by its owner, and all of somebody's by an administrator.
fn signed_out(cast: &mut Cast) -> Result<()> {
    let omar = &mut cast.omar;
    let sessions = omar.reads("session list")?;
    let browsers = sessions.as_array().into_iter().flatten().filter(|it| it["kind"] == "browser");
    for id in browsers.filter_map(|it| it["id"].as_str()) {
        omar.does(&format!("session revoke {id}"))?;
    }
    let left = omar.reads("session list")?;
    ensure!(left.as_array().map(Vec::len) == Some(1), "the command line's is left: {left}");
    cast.ada
        .portctl
        .run(&["person", "sign-out", "omar@example.com", "--reason", "a found laptop"])?
        .done()?;
    cast.omar.fails("whoami", 3, "portctl login")
}

/// An address that two people have says which two, and nothing is done to either.
async fn two_of_one_address(house: &House, cast: &Cast) -> Result<()> {
    for name in ["Twin", "Twain"] {
        let mut person = crate::peers::Person::new(name, &["kitchen"]);
        "twins@example.com".clone_into(&mut person.email);
        house.realm.put_person(&person).await?;
        let login = if name == "Twin" { "twin" } else { "twain" };
        let mut browser = Person::new(house, login)?.browser;
        house.sign_in(&mut browser, login).await.map_err(crate::story::people::told)?;
    }
    let both = cast.ada.portctl.run(&["person", "deactivate", "twins@example.com", "--reason", "left"])?;
    ensure!(both.code == 1 && both.err.matches("per_").count() >= 2, "both are named: {}", both.err);
    Ok(())
}

async fn deactivate(house: &House, cast: &mut Cast) -> Result<()> {
    cast.ada.portctl.run(&["person", "deactivate", LENA, "--reason", "left on Friday"])?.done()?;
    cast.lena.fails("whoami", 1, "deactivated")?;
    cast.lena.fails(&format!("secret get {}", KNOWN[0]), 1, "deactivated")?;
    cast.lena.fails(&format!("secret get {}", KNOWN[3]), 1, "deactivated")?;
    let page = format!("{}/whoami", house.server.url).parse()?;
    let page = cast.lena.browser.open(page).await.map_err(crate::story::people::told)?;
    ensure!(!page.text.contains(LENA), "her browser shows nothing: {}", page.text);
    until("nothing of hers is left but what she knows", async || {
        let left = cast.ada.reads(&format!("leaver show {LENA}"))?["left"].clone();
        let gone = left["sessions"] == 0 && left["requests"] == 0 && left["grants"] == 0;
        Ok((gone && left["rotation_tasks"] == 4).then_some(()))
    })
    .await
}

async fn no_way_back(house: &House, cast: &mut Cast) -> Result<()> {
    let again = house.sign_in(&mut cast.lena.browser, "lena").await;
    let refusal = again.err().map(|it| it.detail).unwrap_or_default();
    ensure!(refusal.contains("deactivated"), "the refusal says why: {refusal}");
    cast.lena.fails("whoami", 1, "deactivated")
}

/// What a task waits for is shown; that it may wait takes somebody else.
fn waits_by_two(ada: &Person) -> Result<()> {
    let tasks = ada.reads("rotation list --state open")?;
    let task = tasks[0]["id"].as_str().unwrap_or_default().to_owned();
    let shown = ada.does(&format!("rotation show {task}"))?;
    ensure!(shown.contains("waits: ") && shown.contains("open, required"), "{shown}");
    let asked = ada.does(&format!("rotation waive {task} --reason later --until 2099-01-01"));
    ensure!(asked.is_err(), "a year at most");
    let until = tasks[0]["due_at"].as_str().unwrap_or_default();
    let asked = ada.does(&format!("rotation waive {task} --reason later --until {until}"))?;
    ensure!(asked.contains("not confirmed yet"), "{asked}");
    ada.fails(&format!("rotation confirm {task}"), 1, "two people")?;
    ada.does(&format!("rotation unwaive {task} --reason sooner")).map(drop)
}

/// An equal value closes nothing; a different one does, once it is delivered wherever it is declared.
async fn rotate(house: &House, cast: &Cast) -> Result<()> {
    let (ada, dana) = (&cast.ada, &cast.dana);
    let open = |ada: &Person| -> Result<u64> {
        Ok(ada.reads(&format!("leaver show {LENA}"))?["left"]["rotation_tasks"].as_u64().unwrap_or(99))
    };
    let listed = ada.does("rotation list")?;
    for at in KNOWN {
        ensure!(listed.contains(at), "{at} is listed: {listed}");
    }
    waits_by_two(ada)?;
    let said = dana.sets(KNOWN[2], "hers")?.done()?;
    ensure!(said.contains("equal to the one before"), "{said}");
    ensure!(open(ada)? == 4, "an equal value closes nothing");
    for at in &KNOWN[..3] {
        dana.does(&format!("secret generate {at}"))?;
    }
    until("one task is left", async || Ok((open(ada)? == 1).then_some(()))).await?;
    dana.sets(KNOWN[3], "postgres://production/four")?;
    deliver::holds(house, "postgres://production/four").await?;
    until("no task is left", async || Ok((open(ada)? == 0).then_some(()))).await
}
