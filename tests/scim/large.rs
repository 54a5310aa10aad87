//! Groups of thousands, said in one request: taken in within the time that the log gives one act.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use port_control::store::{Query, sql};
use serde_json::{Value, json};

use super::wire::{GROUP, Wire, id};
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    on_each_database(peers, "scim::a_group_of_thousands_comes_in_one_request", thousands)
}

/// More than go into one act by far.
const MANY: i64 = 1300;

/// As many people as if each had been provisioned: `user1`, `user2`, …
fn provisioned() -> Vec<Query> {
    let number = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) ";
    let person = "'per_' || SUBSTR('00000000000000000000000000000000', 1, 32 - LENGTH(CAST(i AS TEXT))) \
                  || CAST(i AS TEXT)";
    let people = format!(
        "{number} INSERT INTO people (id, status, status_since, display_name, email, created_at, facts) \
         SELECT {person}, 'active', 0, 'Somebody', '', 0, 1 FROM n"
    );
    let users = format!(
        "{number} INSERT INTO scim_users (id, connection, person, user_name, user_name_key, active, body, version, \
         created_at, changed_at) SELECT 'user' || CAST(i AS TEXT), 'okta', {person}, 'user' || CAST(i AS TEXT), \
         'user' || CAST(i AS TEXT), $2, '{{}}', 1, 0, 0 FROM n"
    );
    vec![
        Query::composed(people, Vec::new()).bind(MANY),
        Query::composed(users, Vec::new()).bind(MANY).bind(true),
    ]
}

async fn thousands(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    wire.write(provisioned()).await?;
    let all: Vec<Value> = (1..=MANY).map(|n| json!({ "value": format!("user{n}") })).collect();
    let body = json!({ "schemas": [GROUP], "displayName": "all", "externalId": "all", "members": all });
    let made = wire.post("/Groups", &body).await?;
    ensure!(made.status == 201, "{}: {:.200}", made.status, made.text);
    let path = format!("/Groups/{}", id(&made.json())?);
    let held = async |expected: i64, moved: i64| {
        let rows: Vec<(i64, i64)> = wire
            .house
            .all(sql(
                "SELECT (SELECT CAST(count(*) AS BIGINT) FROM memberships WHERE source = 'okta'), \
                 (SELECT CAST(count(*) AS BIGINT) FROM people WHERE display_name = 'Somebody' AND facts = $1)",
            ).bind(moved))
            .await?;
        // All but the one who stays when the others go.
        ensure!(rows[0].0 == expected && rows[0].1 >= MANY - 1, "{rows:?}");
        Ok::<_, anyhow::Error>(())
    };
    held(MANY, 2).await?;
    // Act by act, each with its own entry.
    ensure!(wire.entries("scim.group-changed").await? == 6, "{}", wire.entries("scim.group-changed").await?);
    ensure!(wire.entries("person.groups-changed").await? == usize::try_from(MANY)?);
    let one = json!([{ "op": "replace", "path": "members", "value": [{ "value": "user1" }] }]);
    let answer = wire.patch(&path, one).await?;
    ensure!(answer.status == 204, "{}: {:.200}", answer.status, answer.text);
    held(1, 3).await?;
    let answer = wire.put(&path, &body).await?;
    ensure!(answer.status == 200, "{}: {:.200}", answer.status, answer.text);
    held(MANY, 4).await?;
    let answer = wire.delete(&path).await?;
    ensure!(answer.status == 204, "{}: {:.200}", answer.status, answer.text);
    held(0, 5).await?;
    wire.house.close().await
}
