//! More of "declare" and "use": copies of an environment, a secret that is shared, one that lives elsewhere.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::Cast;
use crate::{story::world::House, support::program::port_control};

/// `tools` has a copy of its sandbox for each team; `reports` shares a secret with `billing`.
const MORE: &str = "\
kind: Application
name: tools
team: supa-team
environments:
  - name: sandbox
    copies: [supa-team]
";
const SHARES: &str = "\
shares:
  - environment: sandbox
    secret: SHARED
    with: [billing]
";

pub async fn copies_shares_and_places(house: &House, cast: &Cast) -> Result<()> {
    let files = cast.ada.home.join("repository");
    fs::write(files.join("tools.yaml"), MORE)?;
    let applications = files.join("applications.yaml");
    let text = fs::read_to_string(&applications)?;
    fs::write(&applications, text.replacen("---\n", &format!("{SHARES}---\n"), 1))?;
    cast.ada.does("apply -f repository --yes")?;

    copies(cast)?;
    shared(cast)?;
    lives_elsewhere(house, cast).await
}

fn copies(cast: &Cast) -> Result<()> {
    let dana = &cast.dana;
    dana.sets("tools/sandbox@supa-team/TOKEN", "ours")?;
    let flags = "secret get --app tools --env sandbox --team supa-team TOKEN";
    ensure!(dana.does(flags)? == "ours", "the flags mean the same");
    dana.fails("secret list tools/sandbox", 1, "supa-team")?;
    dana.fails("secret list reports/sandbox@supa-team", 1, "reports/sandbox")
}

/// One version: what the owner sets is what the other application gets.
fn shared(cast: &Cast) -> Result<()> {
    let dana = &cast.dana;
    dana.sets("reports/sandbox/SHARED", "for both")?;
    ensure!(dana.does("secret get billing/sandbox/SHARED")? == "for both", "it is shared");
    let program = ["run", "billing/sandbox", "--", "printenv", "SHARED"];
    ensure!(dana.portctl.run(&program)?.done()? == "for both\n", "programs get it, too");
    let refused = dana.portctl.run_with(&["secret", "set", "billing/sandbox/SHARED"], b"theirs")?;
    refused.refused(1, "reports/sandbox/SHARED")
}

/// Read in place, at a path that somebody else made; changed with its other fields kept.
async fn lives_elsewhere(house: &House, cast: &Cast) -> Result<()> {
    let Some(openbao) = house.openbao() else { return Ok(()) };
    let theirs = openbao.mount().await?;
    openbao.kv_put(&theirs, "billing/database", json!({ "password": "old", "user": "billing" })).await?;
    let at = format!("{{mount: {}, path: billing/database, field: password}}", theirs.path);
    let files = cast.ada.home.join("repository").join("applications.yaml");
    let text = fs::read_to_string(&files)?;
    let declared = format!(
        "{text}secrets:\n  - environment: sandbox\n    name: PASSWORD\n    at: {at}\n    writable: true\n"
    );
    fs::write(&files, declared)?;
    cast.ada.does("apply -f repository --yes")?;
    grant_rights(house).await?;

    let dana = &cast.dana;
    ensure!(dana.does("secret get billing/sandbox/PASSWORD")? == "old", "it is read in place");
    dana.sets("billing/sandbox/PASSWORD", "new")?;
    let there = openbao.kv_get(&theirs, "billing/database").await?.context("it is gone")?;
    let fields = there.to_string();
    ensure!(fields.contains("\"new\"") && fields.contains("\"billing\""), "the other field is kept");
    openbao.kv_put(&theirs, "billing/database", json!({ "password": "past us", "user": "billing" })).await?;
    ensure!(dana.does("secret get billing/sandbox/PASSWORD")? == "past us", "a change past us is seen");
    ensure!(dana.does("secret versions billing/sandbox/PASSWORD")?.contains("found"), "and is a version");
    Ok(())
}

/// What `vault-policy` prints is what the engine's role is given, and is enough.
async fn grant_rights(house: &House) -> Result<()> {
    let (openbao, mount) = (house.openbao().context("no OpenBao")?, house.mount().context("no mount")?);
    let printed = port_control(&["vault-policy", "--config", &house.config.display().to_string()])?;
    ensure!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    openbao.set_policy(&mount.policy, &String::from_utf8(printed.stdout)?).await
}
