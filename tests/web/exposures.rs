//! Who came to know which values, and who is told.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};

use super::house::{Answer, House, Person, send};
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
};

const AT: &str = "/api/v1/applications/reports/environments/sandbox/secrets/DATABASE_URL";
const SECRET: &str = "reports/sandbox/DATABASE_URL";

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    on_each_database(peers, "web::exposures_are_told_to_those_whom_they_concern", told_to_whom)
}

async fn asked(house: &House, person: &Person, query: &[(&str, &str)]) -> Result<Answer> {
    send(house.as_bearer(person, Method::GET, "/api/v1/exposures").query(query)).await
}

/// Who, how, which version, and whether it is the current one.
fn lines(page: &Value) -> Result<Vec<(String, String, i64, bool)>> {
    let text = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
    let items = page["items"].as_array().context("no page")?.iter();
    let line = |it: &Value| {
        let version = it["version"].as_i64().unwrap_or_default();
        (text(it, "display_name"), text(it, "how"), version, it["is_current"] == true)
    };
    let mut lines: Vec<_> = items.map(line).collect();
    lines.sort();
    Ok(lines)
}

fn line(who: &str, how: &str, version: i64, is_current: bool) -> (String, String, i64, bool) {
    (who.to_owned(), how.to_owned(), version, is_current)
}

async fn told_to_whom(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (dana, lena) = (house.example("dana").await?, house.example("lena").await?);
    let (aya, stranger) = (house.example("aya").await?, house.sign_in("stranger", &[]).await?);
    for value in ["one", "two"] {
        let body = json!({ "encoding": "utf8", "value": value });
        house.post(&dana, &format!("{AT}/versions"), &body).await?.done()?;
        house.get(&lena, &format!("{AT}/value")).await?.done()?;
    }
    // Lena knows the first by having seen it once more, long after it was current.
    house.get(&lena, &format!("{AT}/value?version=1")).await?.done()?;
    let hers = [line("lena", "revealed", 1, false), line("lena", "revealed", 2, true)];
    let danas = [line("dana", "entered", 1, false), line("dana", "entered", 2, true)];
    let own = asked(&house, &lena, &[]).await?.done()?;
    ensure!(lines(&own)? == hers, "{own}");
    ensure!(own["items"][0]["email"] == "lena@example.com", "{own}");
    let first = &own["items"][1];
    ensure!(first["first_entry"].as_i64() < first["last_entry"].as_i64(), "seen twice: {first}");
    ensure!(first["scope"] == "developer" && first["secret"] == SECRET, "{first}");
    let of_lena = asked(&house, &aya, &[("person", "lena@example.com")]).await?.done()?;
    ensure!(lines(&of_lena)? == hers, "{of_lena}");
    // A team sees who knows its secrets; what else somebody knows is told to those who see people.
    for person in [&dana, &aya] {
        let of_secret = asked(&house, person, &[("secret", SECRET)]).await?.done()?;
        ensure!(lines(&of_secret)? == [danas.as_slice(), &hers].concat(), "{of_secret}");
    }
    asked(&house, &dana, &[("person", "lena@example.com")]).await?.is_problem(403, "denied")?;
    asked(&house, &stranger, &[("secret", SECRET)]).await?.is_problem(403, "denied")?;
    let nothing = asked(&house, &stranger, &[]).await?.done()?;
    ensure!(nothing["items"] == json!([]), "{nothing}");
    let both = [("secret", SECRET), ("person", "lena@example.com")];
    asked(&house, &aya, &both).await?.is_problem(400, "invalid-request")?;
    asked(&house, &aya, &[("cursor", "nonsense")]).await?.is_problem(400, "invalid-request")?;
    asked(&house, &aya, &[("secret", "reports/sandbox/NONE")]).await?.is_problem(404, "not-found")?;
    let workload = asked(&house, &aya, &[("person", "workload/reports-ci")]).await?.done()?;
    ensure!(workload["items"] == json!([]), "{workload}");
    house.close().await
}
