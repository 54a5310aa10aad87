//! Exports for other programs: well-formed, harmless, bound to a checkpoint, and without any value.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use libtest_mimic::Trial;
use port_control::{api::audit, audit::Checkpoint};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::house::{House, Person};
use crate::{
    peers::Peers,
    support::{Given, on_sqlite},
};

const FORMATS: &[&str] = &["ndjson", "csv", "cloudevents", "ocsf"];
/// Told to the server, and to nobody else.
const VALUE: &str = "postgres://exports/canary-value";

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = on_sqlite(peers, "web::exports_are_events_and_tables", events_and_tables);
    trials.extend(on_sqlite(peers, "web::nothing_secret_is_exported", nothing_secret));
    trials.extend(on_sqlite(peers, "web::abuse_38_a_table_holds_no_formula", no_formula));
    trials
}

/// Dana sets and reads a value; her request has `reason`.
async fn furnished(house: &House, reason: &str) -> Result<(Person, Person)> {
    let (dana, aya) = (house.example("dana").await?, house.example("aya").await?);
    let at = "/api/v1/applications/reports/environments/sandbox/secrets/A";
    let body = json!({ "encoding": "utf8", "value": VALUE });
    house.post(&dana, &format!("{at}/versions"), &body).await?.done()?;
    house.get(&dana, &format!("{at}/value")).await?.done()?;
    let wish = json!({ "action": "reveal", "at": "reports/production", "for": "1h", "reason": reason });
    house.post(&dana, "/api/v1/requests", &wish).await?.done()?;
    ensure!(house.get(&dana, "/audit/v1/entries").await?.status == 403, "a denial is there, too");
    let size = house.log_size().await?;
    house
        .eventually("all of it is signed", || async {
            let newest = port_control::store::sql("SELECT size FROM checkpoints ORDER BY size DESC LIMIT 1");
            Ok(house.all::<(i64,)>(newest).await?.first().is_some_and(|it| it.0 >= size))
        })
        .await?;
    Ok((dana, aya))
}

async fn export(house: &House, aya: &Person, query: &str) -> Result<String> {
    let answer = house.get(aya, &format!("/audit/v1/export?{query}")).await?;
    ensure!(answer.status == 200, "{}", answer.text);
    Ok(answer.text)
}

fn lines(text: &str) -> Result<Vec<Value>> {
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

async fn events_and_tables(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (_, aya) = furnished(&house, "INC-1").await?;
    let key = audit::verifiers(&house.app).await?.remove(0);
    for filter in ["", "&decision=deny"] {
        let ocsf = lines(&export(&house, &aya, &format!("format=ocsf{filter}")).await?)?;
        let wrapped = lines(&export(&house, &aya, &format!("format=cloudevents{filter}")).await?)?;
        let (first, last) = (ocsf.first().context("empty")?, ocsf.last().context("empty")?);
        let note = first["unmapped"]["checkpoint"].as_str().context("no checkpoint")?;
        let checkpoint = Checkpoint::open(note, &key)?;
        ensure!(first["unmapped"]["filtered"] == !filter.is_empty(), "{first}");
        ensure!(last["unmapped"]["entries"].as_u64() == Some(ocsf.len() as u64 - 2), "{last}");
        if filter.is_empty() {
            ensure!(ocsf.len() as u64 - 2 == checkpoint.size, "the whole log is there");
        }
        ocsf.iter().try_for_each(is_ocsf)?;
        for event in &wrapped {
            ensure!(event["specversion"] == "1.0" && event["data"]["class_uid"].is_u64(), "{event}");
            for attribute in ["id", "source", "type"] {
                ensure!(event[attribute].as_str().is_some_and(|it| !it.is_empty()), "{event}");
            }
            is_ocsf(&event["data"])?;
        }
        let table = export(&house, &aya, &format!("format=csv{filter}")).await?;
        let signed = table.lines().nth(2).and_then(|line| line.split(',').nth(1)).context("no checkpoint")?;
        let note = String::from_utf8(BASE64.decode(signed.trim().as_bytes())?)?;
        let size = Checkpoint::open(&note, &key)?.size;
        ensure!(table.contains("# filtered,no") == filter.is_empty(), "it says whether it is filtered");
        let rows = table.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count();
        ensure!(filter.is_empty() == (rows as u64 == size), "{rows} rows of {size}");
        ensure!(table.trim_end().ends_with(&format!("# end; entries above,{rows}")), "it has an end");
    }
    let classes: std::collections::BTreeSet<u64> = lines(&export(&house, &aya, "format=ocsf").await?)?
        .iter()
        .filter_map(|it| it["class_uid"].as_u64())
        .collect();
    ensure!([3002, 3004, 6003].iter().all(|class| classes.contains(class)), "{classes:?}");
    house.get(&aya, "/audit/v1/export?format=xml").await?.is_problem(400, "invalid-request")?;
    house.close().await
}

/// What OCSF 1.3.0 requires of every event, and of its class.
fn is_ocsf(event: &Value) -> Result<()> {
    let number = |name: &str| event[name].as_u64().with_context(|| format!("no {name}: {event}"));
    let (class, activity) = (number("class_uid")?, number("activity_id")?);
    ensure!(
        number("category_uid")? == class / 1000 && number("type_uid")? == class * 100 + activity,
        "{event}"
    );
    for name in ["time", "severity_id"] {
        number(name)?;
    }
    let metadata = &event["metadata"];
    ensure!(metadata["version"] == "1.3.0" && metadata["product"]["vendor_name"].is_string(), "{event}");
    let required: &[&str] = match class {
        3002 => &["user", "service"],
        3004 => &["entity"],
        3005 => &["user", "privileges"],
        6003 => &["actor", "api", "src_endpoint"],
        _ => anyhow::bail!("no class of ours: {event}"),
    };
    ensure!(required.iter().all(|name| !event[*name].is_null()), "{event}");
    Ok(())
}

/// Neither a value nor a token, nor a hash of one that anybody could make, in leaves, openings, exports.
async fn nothing_secret(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (dana, aya) = furnished(&house, "INC-1").await?;
    let mut told = String::new();
    for format in FORMATS {
        told.push_str(&export(&house, &aya, &format!("format={format}")).await?);
    }
    let stored = "SELECT o.body, e.leaf FROM entries e JOIN openings o ON o.entry = e.idx";
    for (body, leaf) in house.all::<(String, Vec<u8>)>(port_control::store::sql(stored)).await? {
        told.push_str(&body);
        told.push_str(std::str::from_utf8(&leaf)?);
    }
    ensure!(told.contains("secret.revealed"), "it was recorded at all");
    for secret in [VALUE, &dana.token, &aya.token] {
        let hash = digest(&SHA256, secret.as_bytes());
        for bytes in [secret.as_bytes(), hash.as_ref()] {
            for form in [HEXLOWER.encode(bytes), BASE64.encode(bytes), BASE64URL_NOPAD.encode(bytes)] {
                ensure!(!told.contains(&form), "a value, a token or its hash is told");
            }
        }
        ensure!(!told.contains(secret), "a value or a token is told");
    }
    house.close().await
}

async fn no_formula(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (_, aya) = furnished(&house, "=HYPERLINK(\"http://x\")\u{1b}[2J\r\n+1,2").await?;
    let table = export(&house, &aya, "format=csv&action=request.created").await?;
    ensure!(table.contains("\"'=HYPERLINK(\"\"http://x\"\")"), "{table}");
    ensure!(!table.contains('\u{1b}'), "an escape of terminals is in it");
    house.close().await
}
