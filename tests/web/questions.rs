//! What auditors ask of the log.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use libtest_mimic::Trial;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::house::{House, Person};
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
};

const ENTRIES: &str = "/audit/v1/entries";

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_each_database(peers, "web::words_in_reasons_are_found", words_in_reasons),
        on_each_database(peers, "web::pages_stay_while_the_log_grows", pages_stay),
        on_each_database(peers, "web::the_log_is_followed_without_a_gap", followed),
        on_each_database(peers, "web::following_ends_with_the_right_to_read", following_ends),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn words_in_reasons(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (ada, aya) = (house.example("ada").await?, house.example("aya").await?);
    let reasons = ["Lost her telephone in PARIS", "100% \"sure\"! C:\\_home", "verließ das Büro"];
    for (n, reason) in reasons.iter().enumerate() {
        let leaver = house.sign_in(&format!("leaver{n}"), &[]).await?;
        let path = format!("/api/v1/people/{}/suspend", leaver.id);
        house.post(&ada, &path, &json!({ "reason": reason })).await?.done()?;
    }
    let asked = [
        ("paris telephone", Some(0)),
        ("paris bicycle", None),
        ("100%", Some(1)),
        ("\"sure\"!", Some(1)),
        ("c:\\_home", Some(1)),
        // Neither a pattern, nor what else stands beside an entry.
        ("1%0", None),
        ("salt", None),
        ("büro", Some(2)),
    ];
    for (words, found) in asked {
        let answer = house.as_bearer(&aya, Method::GET, ENTRIES).query(&[("reason", words)]).send().await?;
        let page: Value = answer.json().await?;
        let told: Vec<&str> = page["items"]
            .as_array()
            .context("no page")?
            .iter()
            .filter_map(|it| it["reason"].as_str())
            .collect();
        let wanted: Vec<&str> = found.map(|n: usize| reasons[n]).into_iter().collect();
        ensure!(told == wanted, "'{words}' finds {told:?}");
    }
    Ok(())
}

async fn a_value_is_set(house: &House, dana: &Person, name: &str) -> Result<()> {
    let path = format!("/api/v1/applications/reports/environments/sandbox/secrets/{name}/versions");
    house.post(dana, &path, &json!({ "encoding": "utf8", "value": name })).await?.done()?;
    Ok(())
}

/// While somebody reads page after page and others write, each entry of before is on one page, once.
async fn pages_stay(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (dana, aya) = (house.example("dana").await?, house.example("aya").await?);
    for n in 0..12 {
        a_value_is_set(&house, &dana, &format!("S{n}")).await?;
    }
    let before = house.log_size().await?;
    let reading = async {
        let (mut found, mut cursor) = (Vec::new(), before.to_string());
        loop {
            let page = house.get(&aya, &format!("{ENTRIES}?limit=3&cursor={cursor}")).await?.done()?;
            found.extend(
                page["items"].as_array().context("no page")?.iter().filter_map(|it| it["index"].as_i64()),
            );
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return anyhow::Ok(found),
            }
        }
    };
    let names: Vec<String> = (0..30).map(|n| format!("T{n}")).collect();
    let writing = try_join_all(names.iter().map(|name| a_value_is_set(&house, &dana, name)));
    let (found, written) = tokio::join!(reading, writing);
    written?;
    ensure!(found? == (0..before).rev().collect::<Vec<_>>(), "an entry is missing, or comes twice");
    Ok(())
}

async fn open_stream(house: &House, aya: &Person, after: Option<i64>) -> Result<Response> {
    let path = format!("{ENTRIES}/events?action=secret.set");
    let mut request = house.as_bearer(aya, Method::GET, &path);
    if let Some(after) = after {
        request = request.header("last-event-id", after.to_string());
    }
    Ok(request.send().await?.error_for_status()?)
}

/// Reads entries from a stream until there are this many.
async fn take(stream: &mut Response, count: usize) -> Result<Vec<Value>> {
    let reading = async {
        let (mut text, mut found) = (String::new(), Vec::new());
        while found.len() < count {
            let chunk = stream.chunk().await?.context("the stream ended")?;
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some((event, rest)) = text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                found.extend(data.map(serde_json::from_str::<Value>).transpose()?);
                text = rest.to_owned();
            }
        }
        anyhow::Ok(found)
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.context("nothing more comes")?
}

async fn followed(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (dana, aya) = (house.example("dana").await?, house.example("aya").await?);
    let mut stream = open_stream(&house, &aya, None).await?;
    a_value_is_set(&house, &dana, "A").await?;
    let first = take(&mut stream, 1).await?;
    ensure!(first[0]["at"] == "reports/sandbox/A", "{first:?}");
    drop(stream);
    for name in ["B", "C", "D"] {
        a_value_is_set(&house, &dana, name).await?;
    }
    let mut stream = open_stream(&house, &aya, first[0]["index"].as_i64()).await?;
    a_value_is_set(&house, &dana, "E").await?;
    let told = take(&mut stream, 4).await?;
    let at: Vec<&str> = told.iter().filter_map(|it| it["at"].as_str()).collect();
    let wanted = ["B", "C", "D", "E"].map(|name| format!("reports/sandbox/{name}"));
    ensure!(at == wanted, "{at:?}");
    let noted = house.get(&aya, &format!("{ENTRIES}?action=log.followed")).await?.done()?;
    ensure!(noted["items"].as_array().map(Vec::len) == Some(2), "each reading is recorded once: {noted}");
    Ok(())
}

async fn following_ends(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (ada, aya) = (house.example("ada").await?, house.example("aya").await?);
    let mut stream = open_stream(&house, &aya, None).await?;
    let path = format!("/api/v1/people/{}/deactivate", aya.id);
    house.post(&ada, &path, &json!({ "reason": "left" })).await?.done()?;
    let ended = async {
        while let Some(chunk) = stream.chunk().await? {
            if String::from_utf8_lossy(&chunk).contains("data:") {
                bail!("something was told after she had left");
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(4), ended).await.context("the stream goes on")?
}
