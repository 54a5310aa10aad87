//! Rules of the house that the source itself can be asked about.

pub mod source;

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use port_control::store::UNRECORDED;
use source::{File, shipped};

use crate::peers::Peers;

type Rule = fn() -> Result<()>;

/// All of them.
pub fn trials(_: &Arc<Peers>) -> Vec<Trial> {
    let all: [(&str, Rule); 6] = [
        ("a_permit_is_made_in_policy_alone", a_permit_is_made_in_policy_alone),
        ("commit_only_in_audit", commit_only_in_audit),
        ("without_an_entry_only_what_is_listed", without_an_entry_only_what_is_listed),
        ("one_sql", one_sql),
        ("time_and_chance_are_passed_in", time_and_chance_are_passed_in),
        ("rooms_look_upwards_only", rooms_look_upwards_only),
    ];
    let trial = |(name, rule): (&str, Rule)| {
        Trial::test(format!("rules::{name}"), move || rule().map_err(|error| format!("{error:#}").into()))
    };
    all.into_iter().map(trial).collect()
}

/// Every line that has one of `words` and lies in none of `homes`.
fn strangers(words: &[&str], homes: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in shipped()? {
        if homes.iter().any(|home| file.path.starts_with(home)) {
            continue;
        }
        for (number, line) in &file.lines {
            if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                found.push(format!("{}:{number}: {word}", file.path));
            }
        }
    }
    Ok(found)
}

fn none(found: &[String], rule: &str) -> Result<()> {
    ensure!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
    Ok(())
}

/// Invariant 1. The compiler keeps a permit's fields to `policy`; this keeps the tests' way to one out of
/// what is shipped, and its making in `policy` to the files that decide.
fn a_permit_is_made_in_policy_alone() -> Result<()> {
    none(&strangers(&["Permit::for_tests", "Denial::for_tests"], &[])?, "only a decision makes a permit")?;
    let is_made = |line: &str| {
        let line = line.trim();
        line.ends_with("Permit {") && !["pub struct", "impl", "fn "].iter().any(|it| line.contains(it))
    };
    let mut makers = BTreeSet::new();
    for file in shipped()?.into_iter().filter(|file| file.path.starts_with("src/policy/")) {
        if file.lines.iter().any(|(_, line)| is_made(line)) {
            makers.insert(file.path);
        }
    }
    // One for each sort of principal: people and our services, connections, workloads.
    let expected = ["connection", "decide", "workload"].map(|it| format!("src/policy/{it}.rs"));
    ensure!(makers == BTreeSet::from(expected), "permits are made in {makers:?}");
    Ok(())
}

/// Invariant 2: what is written by a transaction commits with its entries.
fn commit_only_in_audit() -> Result<()> {
    let homes = ["src/audit/log/", "src/store/"];
    none(&strangers(&["begin_write", ".commit()", "WriteTx::"], &homes)?, "only the log begins and commits")?;
    // In `store` itself: the transaction's own statement, and the one that prepares an empty PostgreSQL.
    let mut commits = BTreeSet::new();
    for file in shipped()?.iter().filter(|file| file.path.starts_with("src/store/")) {
        let is_one = |line: &str| line.contains(".commit()") || line.contains("\"COMMIT\"");
        if file.lines.iter().any(|(_, line)| is_one(line)) {
            commits.insert(file.path.clone());
        }
    }
    let expected = ["src/store/exceptions.rs", "src/store/tx.rs"].map(str::to_owned);
    ensure!(commits == BTreeSet::from(expected), "commits in {commits:?}");
    Ok(())
}

/// Invariant 2: the tables that may be written without an entry are listed by name.
fn without_an_entry_only_what_is_listed() -> Result<()> {
    let mut checked = 0;
    for file in shipped()?.iter().filter(|file| !file.path.starts_with("src/store/")) {
        let text = file.text();
        for (at, call) in text.match_indices("write_unrecorded(") {
            let rest = text[at + call.len()..].trim_start();
            // Where a loop goes over several, `store` itself refuses what is not listed.
            let named = rest.strip_prefix('"').and_then(|rest| rest.split('"').next());
            let Some(table) = named else { continue };
            ensure!(UNRECORDED.contains(&table), "{}: {table} is not listed", file.path);
            checked += 1;
        }
    }
    ensure!(checked > 0, "the rule looks at nothing");
    Ok(())
}

/// Invariant 9.
fn one_sql() -> Result<()> {
    let direct =
        ["sqlx::query", "sqlx::raw_sql", "AssertSqlSafe", "PgPool", "SqlitePool", "PgConn", "SqliteConn"];
    none(&strangers(&direct, &["src/store/"])?, "queries go through store")?;
    let dialect = ["AUTOINCREMENT", "json_extract", "->>", "ILIKE", "::bigint", "datetime(", "strftime("];
    none(&strangers(&dialect, &["src/store/exceptions.rs"])?, "not every database understands this")
}

/// Invariant 10.
fn time_and_chance_are_passed_in() -> Result<()> {
    let time = ["SystemTime::now", "Instant::now", "Utc::now", "Zoned::now", "Timestamp::now(", "unix_now"];
    let chance = [
        "SystemRandom",
        "rand::thread_rng",
        "rand::rng",
        "OsRng",
        "RandomState",
        "new_random",
        "Uuid::new_v4",
        "Uuid::now_v7",
        "getrandom",
    ];
    none(&strangers(&time, &["src/base/"])?, "time comes from base::Ambient")?;
    none(&strangers(&chance, &["src/base/"])?, "chance comes from base::Ambient")?;
    none(&strangers(&["ManualClock", "SeededChance"], &["src/base/"])?, "no shipped program moves the clock")
}

/// From above to below. A room may use only rooms above it.
const ROOMS: &[&[&str]] = &[
    &["base"],
    &["policy"],
    &["store"],
    &["keys"],
    &["audit"],
    &["notify"],
    &["identity"],
    &["catalog"],
    &["secrets"],
    &["access"],
    &["broker"],
    &["revocation"],
    &["recovery"],
    &["api", "dashboard"],
    &["client"],
    &["server"],
    &["dev"],
    &["cli"],
];

fn depth(room: &str) -> Option<usize> {
    ROOMS.iter().position(|level| level.contains(&room))
}

fn rooms_look_upwards_only() -> Result<()> {
    let mut found = Vec::new();
    let mut checked = 0;
    for file in shipped()? {
        let room = file.path.split('/').nth(1).unwrap_or_default().trim_end_matches(".rs");
        let Some(own) = depth(room) else {
            ensure!(["lib", "main", "bin"].contains(&room), "{room} is not in the list of rooms");
            continue;
        };
        for used in rooms_used(&file) {
            let below = depth(&used).with_context(|| format!("{}: crate::{used} is no room", file.path))?;
            if below > own {
                found.push(format!("{} uses crate::{used}", file.path));
            }
            checked += 1;
        }
    }
    ensure!(checked > 100, "the rule looks at nothing");
    none(&found, "a room uses only rooms above it")
}

/// The rooms of every `crate::room` and `crate::{room::…, room}`.
fn rooms_used(file: &File) -> BTreeSet<String> {
    let text = file.text();
    let mut rooms = BTreeSet::new();
    for (at, path) in text.match_indices("crate::") {
        let rest = &text[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => rooms.extend(names_of_group(group)),
            None => rooms.extend(name_at(rest)),
        }
    }
    rooms
}

fn name_at(text: &str) -> Option<String> {
    let name: String =
        text.trim_start().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// The first names of what stands in braces.
fn names_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut begins, mut names) = (0, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && !c.is_whitespace() => {
                names.extend(name_at(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}
