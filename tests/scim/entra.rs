//! What Entra sends.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;

use super::wire::{Wire, is_error};
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = on_each_database(peers, "scim::entra_takes_away_by_a_word", takes_away_by_a_word);
    trials.extend(on_each_database(peers, "scim::entra_writes_names_with_dots", writes_names_with_dots));
    trials.extend(on_each_database(
        peers,
        "scim::entra_removes_members_by_a_list",
        removes_members_by_a_list,
    ));
    trials
}

/// Capitalised operations, and `"False"` for false.
async fn takes_away_by_a_word(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let lena = wire.person("lena").await?;
    let path = format!("/Users/{lena}");
    let said = json!([{ "op": "Replace", "path": "active", "value": "False" }]);
    let gone = wire.patch(&path, said).await?.done()?;
    ensure!(gone["active"] == false && wire.status("lena").await? == "deactivated", "{gone}");
    let said = json!([{ "op": "Replace", "path": "active", "value": "True" }]);
    let back = wire.patch(&path, said).await?.done()?;
    ensure!(back["active"] == true && wire.status("lena").await? == "active", "{back}");
    let said = json!([{ "op": "Add", "value": { "active": "False" } }]);
    let gone = wire.patch(&path, said).await?.done()?;
    ensure!(gone["active"] == false, "{gone}");
    wire.house.close().await
}

/// Paths as keys, extensions by their bare URN, and values that a filter describes and nobody has yet.
async fn writes_names_with_dots(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let dana = wire.person("dana").await?;
    let path = format!("/Users/{dana}");
    let said = json!([
        { "op": "Add", "value": {
            "name.givenName": "Dana", "displayName": "Dana D.",
            (format!("{ENTERPRISE}:department")): "Builders",
            "phoneNumbers[type eq \"mobile\"].value": "123",
        } },
        { "op": "Add", "value": { (ENTERPRISE): { "employeeNumber": 7, "manager": "somebody" } } },
        { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "dana.d@example.com" },
        { "op": "Replace", "path": "addresses[type eq \"work\"].country", "value": "NL" },
        { "op": "Add", "path": format!("{ENTERPRISE}:costCenter"), "value": "42" },
        { "op": "Replace", "path": "nobodyKnowsThis", "value": "x" },
    ]);
    let done = wire.patch(&path, said).await?.done()?;
    ensure!(done["name"]["givenName"] == "Dana" && done["name"]["familyName"] == "Example", "{done}");
    ensure!(done["displayName"] == "Dana D.", "{done}");
    ensure!(
        done["emails"] == json!([{ "value": "dana.d@example.com", "type": "work", "primary": true }]),
        "{done}"
    );
    ensure!(done["phoneNumbers"] == json!([{ "type": "mobile", "value": "123" }]), "{done}");
    ensure!(done["addresses"] == json!([{ "type": "work", "country": "NL" }]), "{done}");
    let expected = json!({
        "department": "Builders", "employeeNumber": "7", "manager": { "value": "somebody" }, "costCenter": "42",
    });
    ensure!(done[ENTERPRISE] == expected, "{done}");
    let filter = "/Users?filter=emails%5Btype%20eq%20%22work%22%5D.value%20eq%20%22DANA.D%40example.com%22";
    ensure!(wire.get(filter).await?.done()?["totalResults"] == 1);
    let remove = json!([{ "op": "Remove", "path": format!("{ENTERPRISE}:manager") }]);
    let done = wire.patch(&path, remove).await?.done()?;
    ensure!(done[ENTERPRISE]["manager"].is_null() && done[ENTERPRISE]["department"] == "Builders", "{done}");
    is_error(&wire.patch(&path, json!([{ "op": "Remove" }])).await?, 400, Some("noTarget"))?;
    wire.house.close().await
}

/// A list of members in a removal names those who go, and nobody else.
async fn removes_members_by_a_list(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let (dana, omar, lena) =
        (wire.person("dana").await?, wire.person("omar").await?, wire.person("lena").await?);
    let group = wire.group("builders", &[&dana, &omar, &lena]).await?;
    let path = format!("/Groups/{group}");
    let said =
        json!([{ "op": "Remove", "path": "members", "value": [{ "value": dana }, { "value": omar }] }]);
    ensure!(wire.patch(&path, said).await?.status == 204);
    ensure!(wire.members(&group).await? == std::slice::from_ref(&lena));
    let said = json!([{ "op": "Add", "path": "members", "value": [{ "value": dana }] }]);
    ensure!(wire.patch(&path, said).await?.status == 204);
    let said = json!([{ "op": "Remove", "value": { "members": [{ "value": dana }] } }]);
    ensure!(wire.patch(&path, said).await?.status == 204);
    ensure!(wire.members(&group).await? == [lena]);
    wire.house.close().await
}
