//! `portctl scim` and `portctl leaver` as an administrator types them: the program against a running server.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};

use super::wire::Wire;
use crate::{
    peers::Peers,
    support::{Given, on_each_database, program::Portctl},
    web::house::send,
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_each_database(peers, "scim::each_command_of_portctl_scim", each_of_scim),
        on_each_database(peers, "scim::each_command_of_portctl_leaver", each_of_leaver),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Ada's `portctl`.
struct Ada(Portctl);

impl Ada {
    fn new(given: &Given, wire: &Wire) -> Result<Self> {
        let home = given.folder.path().join("ada");
        Ok(Self(Portctl::new(&home, &wire.house.url, Some(wire.ada.token.clone()))?))
    }

    /// What is printed; each word without spaces, and why it is done at the end where it is wanted.
    fn does(&self, words: &str) -> Result<String> {
        self.0.run(&arguments(words))?.done().with_context(|| format!("portctl {words}"))
    }

    fn tells(&self, words: &str) -> Result<Value> {
        let out = self.does(&format!("{words} --output json"))?;
        serde_json::from_str(&out).with_context(|| out)
    }

    /// What it prints on standard error, where it exits with 0.
    fn notes(&self, words: &str) -> Result<String> {
        let answer = self.0.run(&arguments(words))?;
        ensure!(answer.code == 0, "portctl {words}: {}", answer.err);
        Ok(answer.err)
    }

    fn is_refused(&self, words: &str, code: i32, what: &str) -> Result<()> {
        self.0.run(&arguments(words))?.refused(code, what).with_context(|| format!("portctl {words}"))
    }
}

fn arguments(words: &str) -> Vec<&str> {
    words.split_whitespace().collect()
}

fn says(told: &str, what: &[&str]) -> Result<()> {
    for one in what {
        ensure!(told.contains(one), "'{one}' is not in: {told}");
    }
    Ok(())
}

async fn each_of_scim(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let ada = Ada::new(&given, &wire)?;
    let create = "scim connection create entra --provider dev --link externalId=sub --authoritative \
                  --may-reactivate --group eng-* --removals 3 --removals-share 2 --removals-within 2h";
    let first = ada.does(create)?.trim().to_owned();
    let listen = async |token: &str| {
        let request = wire.house.request(Method::GET, "/scim/v2/entra/Users").bearer_auth(token);
        Ok::<_, anyhow::Error>(send(request).await?.status.as_u16())
    };
    ensure!(first.starts_with("pcs_") && listen(&first).await? == 200, "{first}");
    ada.is_refused(create, 1, "already")?;
    says(&ada.does("scim connection list")?, &["CONNECTION", "entra", "okta", "externalId=sub", "enabled"])?;
    says(
        &ada.does("scim connection show entra")?,
        &[
            "last heard",
            "1 live tokens",
            "authoritative: yes",
            "may reactivate: yes",
            "eng-*",
            "within 2h",
            "3, or 2 %",
        ],
    )?;
    let set = "scim connection set entra --authoritative false --may-reactivate false --group eng-* --group ops \
               --removals 30 --removals-share 20 --removals-within 1h --link userName=sub --provider dev";
    says(
        &ada.does(set)?,
        &["userName", "authoritative: no", "may reactivate: no", "eng-*, ops", "within 1h", "30, or 20 %"],
    )?;
    ada.is_refused("scim connection set entra", 2, "nothing is said")?;
    wire.person("dana").await?;
    wire.post("/Users", &json!({ "userName": "nobody" })).await?.done()?;
    says(&ada.does("scim connection check okta")?, &["1 people are linked", "1 are not linked"])?;
    let dana = wire.person("lena").await?;
    wire.group("builders", &[&dana]).await?;
    let groups = ada.tells("scim group list okta")?;
    ensure!(groups[0]["group"] == "builders" && groups[0]["members"] == 1, "{groups}");
    says(&ada.does("scim group list okta")?, &["GROUP", "builders", "1"])?;
    says(&ada.does("person list --unlinked")?, &["nobody", "okta"])?;
    let refused = json!([{ "op": "remove", "path": "active" }]);
    wire.patch(&format!("/Users/{dana}"), refused).await?;
    says(&ada.does("scim connection show okta")?, &["REFUSED", "PATCH Users", "active cannot be removed"])?;
    let second = ada.does("scim connection rotate entra")?.trim().to_owned();
    ensure!(listen(&first).await? == 200 && listen(&second).await? == 200, "one has ended");
    says(&ada.does("scim connection retire entra")?, &["1 tokens have ended"])?;
    ensure!(listen(&first).await? == 401 && listen(&second).await? == 200);
    ada.is_refused("scim connection retire entra", 1, "one token")?;
    says(&ada.notes("scim connection disable entra --reason left")?, &["entra is disabled"])?;
    ensure!(listen(&second).await? == 403);
    says(&ada.does("scim connection list")?, &["disabled"])?;
    ada.is_refused("scim connection rotate entra", 1, "is disabled")?;
    ada.is_refused("scim connection show nosuch", 1, "no connection 'nosuch'")?;
    wire.house.close().await
}

/// Somebody who knows a value in use.
async fn knows_something(wire: &Wire, name: &str) -> Result<()> {
    let person = wire.house.sign_in(name, &["engineering"]).await?;
    let secret = "/api/v1/applications/reports/environments/sandbox/secrets/KNOWN/versions";
    let value = json!({ "encoding": "utf8", "value": "known" });
    wire.house.post(&person, secret, &value).await?.done().map(drop)
}

async fn each_of_leaver(given: Given) -> Result<()> {
    let limit = json!({ "removals_number": 0, "removals_share": 0 });
    let wire = Wire::open_with(&given, limit).await?;
    let ada = Ada::new(&given, &wire)?;
    knows_something(&wire, "lena").await?;
    says(
        &ada.does("leaver preview lena@example.com")?,
        &["if she left now", "1 sessions", "reports/sandbox/KNOWN"],
    )?;
    ada.is_refused("leaver show lena@example.com", 1, "has not left")?;
    ada.does("person deactivate lena@example.com --reason left")?;
    let opened = async || {
        let shown = ada.does("leaver show lena@example.com")?;
        Ok(shown.contains("rotation.opened")
            && shown.contains("0 sessions, 0 requests, 0 grants, 0 leases, 1 to rotate"))
    };
    wire.house.eventually("what she knows is to be rotated", opened).await?;
    says(&ada.does("leaver show lena@example.com")?, &["HELD", "session", "STEP", "leaver.opened"])?;
    says(&ada.does("leaver list")?, &["TO ROTATE", "lena"])?;
    says(&ada.does("leaver close lena@example.com --reason gone")?, &["lena@example.com is closed"])?;
    says(&ada.does("leaver list")?, &["by hand"])?;
    ada.is_refused("leaver close lena@example.com --reason gone", 1, "leaver show")?;
    ada.does("person reactivate lena@example.com --reason back")?;
    says(&ada.does("leaver list")?, &["came back"])?;

    let mut ids = Vec::new();
    for name in ["dana", "omar", "nina", "noah"] {
        ids.push(wire.person(name).await?);
    }
    ada.is_refused("leaver expect 1 --until 2099-01-01 --connection nosuch --reason x", 2, "okta")?;
    let expect = "leaver expect 1 --until 2099-01-01 --connection okta --reason season";
    says(&ada.does(expect)?, &["1 removals pass until", "xpt_"])?;
    let other = ada.tells(expect)?["id"].as_str().context("no id")?.to_owned();
    says(&ada.notes("leaver held")?, &["Announced as xpt_", "by okta", "leaver unexpect"])?;
    says(&ada.notes(&format!("leaver unexpect {other} --reason twice"))?, &["lets nobody else through"])?;
    ada.is_refused(&format!("leaver unexpect {other} --reason twice"), 1, "counts no more")?;
    for id in &ids {
        ensure!(wire.delete(&format!("/Users/{id}")).await?.status == 204);
    }
    ensure!(wire.status("dana").await? == "deactivated", "one was announced");
    says(&ada.does("leaver held")?, &["omar@example.com", "nina@example.com", "noah@example.com", "okta"])?;
    says(&ada.does("leaver release omar@example.com --reason left")?, &["1 people are deactivated"])?;
    says(&ada.notes("leaver reject nina@example.com --reason stays")?, &["deleted", "per_"])?;
    ada.is_refused("leaver reject nina@example.com --reason stays", 1, "leaver held")?;
    ada.is_refused("leaver release --reason left", 2, "--all")?;
    says(&ada.does("leaver reject --all --reason stay")?, &["1 people are as they were before"])?;
    let now = [wire.status("omar").await?, wire.status("nina").await?, wire.status("noah").await?];
    ensure!(now == ["deactivated", "active", "active"], "{now:?}");
    wire.house.close().await
}
