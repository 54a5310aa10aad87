//! Cases 4 and 6 to 12, 27: each fails safely.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use port_control::store::sql;
use reqwest::Method;
use serde_json::json;

use super::wire::{GROUP, PATCH, USER, Wire, id, is_error};
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
    web::house::send,
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_each_database(peers, "scim::abuse_4_an_absent_external_id_links_nobody", absent_external_id),
        on_each_database(peers, "scim::abuse_6_a_recycled_user_name_inherits_nothing", recycled_user_name),
        on_each_database(peers, "scim::abuse_7_an_address_of_a_foreign_domain", foreign_domain),
        on_each_database(peers, "scim::abuse_8_a_change_of_address_takes_nobody_over", change_of_address),
        on_each_database(peers, "scim::abuse_9_a_group_by_the_name_of_a_privileged_one", privileged_name),
        on_each_database(peers, "scim::abuse_10_put_and_post_bring_nobody_back", put_and_post),
        on_each_database(peers, "scim::abuse_11_what_cannot_be_done_is_refused_and_told", refused_and_told),
        on_each_database(
            peers,
            "scim::abuse_11_a_removal_stands_whatever_is_refused_beside_it",
            removal_stands,
        ),
        on_each_database(peers, "scim::abuse_12_a_removal_empties_no_group", empties_no_group),
        on_each_database(peers, "scim::abuse_14_signing_in_creates_nobody", creates_nobody),
        on_each_database(
            peers,
            "scim::abuse_15_a_connection_takes_no_last_administrator",
            last_administrator,
        ),
        on_each_database(peers, "scim::abuse_15_a_mass_removal_is_held", mass_removal),
        on_each_database(
            peers,
            "scim::abuse_15_people_who_are_new_widen_no_limit",
            new_people_widen_no_limit,
        ),
        on_each_database(peers, "scim::abuse_27_a_token_is_good_for_one_connection", one_connection),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn absent_external_id(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let mut ids = Vec::new();
    for (name, external) in [("one", json!(null)), ("two", json!("")), ("three", json!(null))] {
        let body = json!({ "schemas": [USER], "userName": name, "externalId": external });
        ids.push(id(&wire.post("/Users", &body).await?.done()?)?);
    }
    let people: Vec<(Option<String>,)> = wire.house.all(sql("SELECT person FROM scim_users")).await?;
    ensure!(people.iter().all(|(person,)| person.is_none()), "{people:?}");
    let unlinked = wire.house.get(&wire.ada, "/api/v1/scim-connections/okta/unlinked").await?.done()?;
    ensure!(unlinked["items"].as_array().is_some_and(|all| all.len() == 3), "{unlinked}");
    // Once it is said, she is linked with whoever that is, and with nobody by an address.
    let session = wire.house.sign_in("one", &[]).await?;
    let said = json!([{ "op": "add", "path": "externalId", "value": "one" }]);
    wire.patch(&format!("/Users/{}", ids[0]), said).await?.done()?;
    let people: Vec<(Option<String>,)> =
        wire.house.all(sql("SELECT person FROM scim_users WHERE id = $1").bind(&ids[0])).await?;
    ensure!(people[0].0 == Some(session.id.to_string()), "{people:?}");
    // Taking away somebody whom nobody here is known for is told.
    wire.delete(&format!("/Users/{}", ids[1])).await?;
    wire.is_told("scim.unlinked-deactivated").await?;
    wire.house.close().await
}

async fn recycled_user_name(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let lena = wire.person("lena").await?;
    wire.group("builders", &[&lena]).await?;
    let before = wire.house.sign_in("lena", &["engineering"]).await?;
    ensure!(wire.delete(&format!("/Users/{lena}")).await?.status == 204);
    ensure!(wire.status("lena").await? == "deactivated");
    let body =
        json!({ "schemas": [USER], "userName": "lena@example.com", "externalId": "lena-2", "active": true });
    wire.post("/Users", &body).await?.done()?;
    let after = wire.house.sign_in("lena-2", &[]).await?;
    ensure!(before.id != after.id, "one person");
    let groups: Vec<(String,)> =
        wire.house.all(sql("SELECT group_id FROM memberships WHERE person = $1").bind(after.id)).await?;
    ensure!(groups.is_empty(), "{groups:?}");
    ensure!(wire.status("lena").await? == "deactivated", "the one before came back");
    wire.house.close().await
}

async fn foreign_domain(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let body = json!({
        "schemas": [USER], "userName": "mallory", "externalId": "mallory",
        "emails": [{ "value": "ceo@victim.example", "primary": true }, { "value": "mallory@example.com" }],
    });
    wire.post("/Users", &body).await?.done()?;
    let shown: Vec<(String,)> = wire
        .house
        .all(sql(
            "SELECT p.email FROM people p JOIN accounts a ON a.person = p.id WHERE a.subject = 'mallory'",
        ))
        .await?;
    ensure!(shown == [("mallory@example.com".to_owned(),)], "{shown:?}");
    wire.house.close().await
}

async fn change_of_address(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let omar = wire.house.sign_in("omar", &["leads"]).await?;
    let mallory = wire.person("mallory").await?;
    let path = format!("/Users/{mallory}");
    let said = json!([
        { "op": "replace", "path": "emails[type eq \"work\"].value", "value": "omar@example.com" },
        { "op": "replace", "path": "userName", "value": "omar@example.com" },
    ]);
    wire.patch(&path, said).await?.done()?;
    let people: Vec<(String,)> =
        wire.house.all(sql("SELECT person FROM scim_users WHERE id = $1").bind(&mallory)).await?;
    ensure!(people[0].0 != omar.id.to_string(), "she became Omar");
    // What links her cannot become his either, nor anything at all once she has signed in.
    let said = json!([{ "op": "replace", "path": "externalId", "value": "omar" }]);
    is_error(&wire.patch(&path, said).await?, 400, Some("mutability"))?;
    wire.house.sign_in("mallory", &[]).await?;
    let said = json!([{ "op": "replace", "path": "externalId", "value": "somebody" }]);
    is_error(&wire.patch(&path, said).await?, 400, Some("mutability"))?;
    let body = json!({ "schemas": [USER], "userName": "second", "externalId": "mallory" });
    is_error(&wire.post("/Users", &body).await?, 409, Some("uniqueness"))?;
    wire.house.close().await
}

/// The example declares groups of the provider `dev`; a group of a connection is another, whatever its name.
async fn privileged_name(given: Given) -> Result<()> {
    let wire = Wire::open_with(&given, json!({ "groups": ["eng-*", "it", "leads"] })).await?;
    let mallory = wire.person("mallory").await?;
    wire.group("it", &[&mallory]).await?;
    let session = wire.house.sign_in("mallory", &[]).await?;
    wire.house.get(&session, "/api/v1/scim-connections").await?.is_problem(403, "denied")?;
    // A name that fits is no way to an id that does not, whoever has that id or nobody.
    let first = wire.group("leads", &[]).await?;
    for beyond in [first.as_str(), "00gPROD"] {
        let body = json!({ "schemas": [GROUP], "displayName": "eng-1", "externalId": beyond });
        is_error(&wire.post("/Groups", &body).await?, 403, None)?;
    }
    let body = json!({ "schemas": [GROUP], "displayName": "eng-1", "externalId": "leads" });
    is_error(&wire.post("/Groups", &body).await?, 409, Some("uniqueness"))?;
    let body = json!({ "schemas": [GROUP], "displayName": "eng-1" });
    let other = id(&wire.post("/Groups", &body).await?.done()?)?;
    let said = json!([{ "op": "replace", "path": "externalId", "value": "leads" },
                      { "op": "add", "path": "members", "value": [{ "value": mallory }] }]);
    ensure!(wire.patch(&format!("/Groups/{other}"), said).await?.status == 204);
    let groups: Vec<(String,)> = wire
        .house
        .all(
            sql("SELECT group_id FROM memberships WHERE person = $1 AND source = 'okta' ORDER BY group_id")
                .bind(session.id),
        )
        .await?;
    ensure!(groups.iter().all(|(it,)| it == "it" || *it == other), "{groups:?}");
    // Beyond its patterns it writes nothing.
    let body = json!({ "schemas": [GROUP], "displayName": "finance" });
    is_error(&wire.post("/Groups", &body).await?, 403, None)?;
    wire.house.close().await
}

async fn put_and_post(given: Given) -> Result<()> {
    let wire = Wire::open_with(&given, json!({ "may_reactivate": false })).await?;
    let lena = wire.person("lena").await?;
    let path = format!("/Users/{lena}");
    let said = json!([{ "op": "replace", "value": { "active": false } }]);
    wire.patch(&path, said).await?.done()?;
    let silent = json!({ "schemas": [USER], "userName": "lena@example.com", "externalId": "lena" });
    let after = wire.put(&path, &silent).await?.done()?;
    ensure!(after["active"] == false && wire.status("lena").await? == "deactivated", "{after}");
    let loud =
        json!({ "schemas": [USER], "userName": "lena@example.com", "externalId": "lena", "active": true });
    is_error(&wire.put(&path, &loud).await?, 409, None)?;
    ensure!(wire.delete(&path).await?.status == 204);
    is_error(&wire.post("/Users", &loud).await?, 409, None)?;
    let again = wire.post("/Users", &silent).await?.done()?;
    ensure!(again["active"] == false && wire.status("lena").await? == "deactivated", "{again}");
    // A connection that may does not undo what somebody else did.
    wire.connect("other", json!({ "may_reactivate": true })).await?;
    let omar = wire.person("omar").await?;
    let reason = json!({ "reason": "a test" });
    let session = wire.house.sign_in("omar", &[]).await?;
    wire.house.post(&wire.ada, &format!("/api/v1/people/{}/suspend", session.id), &reason).await?.done()?;
    let said = json!([{ "op": "replace", "path": "active", "value": true }]);
    is_error(&wire.patch(&format!("/Users/{omar}"), said).await?, 409, None)?;
    ensure!(wire.status("omar").await? == "suspended");
    wire.house.close().await
}

/// Nothing about who works here or who is in a group is passed over with a success.
async fn refused_and_told(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let lena = wire.person("lena").await?;
    let group = wire.group("builders", &[&lena]).await?;
    let (user, team) = (format!("/Users/{lena}"), format!("/Groups/{group}"));
    for value in [json!("maybe"), json!(0), json!({ "no": 1 })] {
        let said = json!([{ "op": "Replace", "path": "active", "value": value }]);
        is_error(&wire.patch(&user, said).await?, 400, Some("invalidValue"))?;
    }
    let said = json!([{ "op": "remove", "path": "active" }]);
    is_error(&wire.patch(&user, said).await?, 400, Some("mutability"))?;
    let body =
        json!({ "schemas": [PATCH], "Operations": [{ "op": "replace", "value": { "active": false } }] });
    let stale = wire.ask_with(Method::PATCH, &user, Some(&body), &[("if-match", "W/\"77\"")]).await?;
    is_error(&stale, 412, None)?;
    let said = json!([{ "op": "add", "path": "members", "value": [{ "value": "nobody" }] }]);
    is_error(&wire.patch(&team, said).await?, 400, Some("invalidValue"))?;
    let said = json!([{ "op": "add", "path": "members", "value": [{ "value": lena, "type": "Group" }] }]);
    is_error(&wire.patch(&team, said).await?, 400, Some("invalidValue"))?;
    let said = json!([{ "op": "replace", "path": "members[value eq \"x\"].display", "value": "y" }]);
    is_error(&wire.patch(&team, said).await?, 400, Some("mutability"))?;
    let refused = wire.refused().await?;
    ensure!(refused.len() >= 6, "{refused:?}");
    ensure!(wire.entries("scim.refused").await? >= 6);
    wire.is_told("scim.refused").await?;
    // The same once more is counted, and not told again.
    let entries = wire.entries("scim.refused").await?;
    let said = json!([{ "op": "remove", "path": "active" }]);
    is_error(&wire.patch(&user, said).await?, 400, Some("mutability"))?;
    ensure!(wire.entries("scim.refused").await? == entries);
    // And what can be done is done, however it is spelt.
    let said = json!([{ "op": "Replace", "path": "Active", "value": "False" }]);
    ensure!(wire.patch(&user, said).await?.done()?["active"] == false);
    ensure!(wire.status("lena").await? == "deactivated");
    wire.house.close().await
}

/// What takes somebody away, and something else that cannot be done.
async fn removal_stands(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    wire.person("omar").await?;
    let gone = json!({ "op": "Replace", "path": "active", "value": "False" });
    let patch = |more: serde_json::Value| json!({ "schemas": [PATCH], "Operations": [gone, more] });
    let cases = [
        // She has signed in: the attribute that links her cannot become another.
        (Method::PATCH, patch(json!({ "op": "replace", "path": "externalId", "value": "x" })), "mutability"),
        (Method::PATCH, patch(json!({ "op": "replace", "path": "userName", "value": "" })), "invalidValue"),
        (Method::PATCH, patch(json!({ "op": "replace", "path": "a[", "value": "x" })), "invalidPath"),
        (
            Method::PATCH,
            patch(json!({ "op": "replace", "value": { "active": false, "a[": 1 } })),
            "invalidPath",
        ),
        (
            Method::PUT,
            json!({ "schemas": [USER], "userName": "omar@example.com", "active": false }),
            "uniqueness",
        ),
        (Method::PUT, json!({ "schemas": [USER], "active": false, "name": "no object" }), "invalidValue"),
    ];
    for (number, (method, body, why)) in cases.into_iter().enumerate() {
        let name = format!("leaver{number}");
        let path = format!("/Users/{}", wire.person(&name).await?);
        let session = wire.house.sign_in(&name, &[]).await?;
        let status = if why == "uniqueness" { 409 } else { 400 };
        let answer = wire.ask(method.clone(), &path, Some(&body)).await?;
        is_error(&answer, status, Some(why))?;
        ensure!(answer.text.contains("taken away"), "nobody says so: {}", answer.text);
        ensure!(wire.status(&name).await? == "deactivated", "{name} stays: {body}");
        wire.house.get(&session, "/api/v1/whoami").await?.is_problem(403, "person-deactivated")?;
        let now = wire.get(&path).await?.done()?;
        ensure!(now["active"] == false && now["userName"] == format!("{name}@example.com"), "{now}");
        // Once more there is nothing to take; what is refused is refused still.
        let entries = wire.entries("person.deactivated").await?;
        is_error(&wire.ask(method, &path, Some(&body)).await?, status, Some(why))?;
        ensure!(wire.entries("person.deactivated").await? == entries, "she is taken away twice");
        ensure!(wire.refused().await?.len() > number, "it is not listed as refused");
    }
    ensure!(wire.entries("scim.refused").await? >= 6);
    wire.is_told("scim.refused").await?;
    // Whoever comes back has to be said whole: then nothing is done by halves.
    let path = format!("/Users/{}", wire.person("dana").await?);
    let back = json!([{ "op": "replace", "path": "active", "value": true },
                      { "op": "replace", "path": "userName", "value": "omar@example.com" }]);
    wire.patch(&path, json!([gone])).await?.done()?;
    is_error(&wire.patch(&path, back).await?, 409, Some("uniqueness"))?;
    ensure!(wire.status("dana").await? == "deactivated");
    wire.house.close().await
}

async fn empties_no_group(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let (dana, omar) = (wire.person("dana").await?, wire.person("omar").await?);
    let group = wire.group("builders", &[&dana, &omar]).await?;
    let path = format!("/Groups/{group}");
    for value in [json!([{ "value": dana }]), json!([]), json!({ "value": "nobody" }), json!("nobody")] {
        let said = json!([{ "op": "Remove", "path": "members", "value": value }]);
        ensure!(wire.patch(&path, said).await?.status == 204);
    }
    ensure!(wire.members(&group).await? == [omar]);
    wire.house.close().await
}

/// Where a connection is declared to know everybody, just-in-time sign-in makes nobody.
async fn creates_nobody(given: Given) -> Result<()> {
    let wire = Wire::open_with(&given, json!({ "authoritative": true })).await?;
    let refused = wire.house.sign_in("stranger", &["it"]).await;
    ensure!(refused.is_err_and(|it| it.to_string().contains("not provisioned")), "a stranger came in");
    wire.person("dana").await?;
    wire.house.sign_in("dana", &[]).await?;
    let lena = wire.person("lena").await?;
    wire.delete(&format!("/Users/{lena}")).await?;
    ensure!(wire.house.sign_in("lena", &[]).await.is_err(), "a leaver came in");
    wire.house.close().await
}

async fn last_administrator(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let ada = wire.person("ada").await?;
    let path = format!("/Users/{ada}");
    let said = json!([{ "op": "replace", "value": { "active": false } }]);
    is_error(&wire.patch(&path, said).await?, 409, None)?;
    is_error(&wire.delete(&path).await?, 409, None)?;
    ensure!(wire.status("ada").await? == "active");
    wire.house.get(&wire.ada, "/api/v1/scim-connections").await?.done()?;
    wire.is_told("removal.refused").await?;
    wire.house.close().await
}

/// Beyond its limit each is suspended with the answer, and only what cannot be undone waits.
async fn mass_removal(given: Given) -> Result<()> {
    let limit = json!({ "removals_number": 1, "removals_share": 0 });
    let wire = Wire::open_with(&given, limit).await?;
    let mut paths = Vec::new();
    for name in ["dana", "omar", "lena"] {
        paths.push(format!("/Users/{}", wire.person(name).await?));
    }
    let omar = wire.house.sign_in("omar", &[]).await?;
    for path in &paths {
        let said = json!([{ "op": "replace", "value": { "active": false } }]);
        let answer = wire.patch(path, said).await?.done()?;
        ensure!(answer["active"] == false, "{answer}");
    }
    let statuses = [wire.status("dana").await?, wire.status("omar").await?, wire.status("lena").await?];
    ensure!(statuses == ["deactivated", "suspended", "suspended"], "{statuses:?}");
    wire.house.get(&omar, "/api/v1/whoami").await?.is_problem(403, "person-suspended")?;
    wire.is_told("removal.held").await?;
    // Who was held by mistake is taken back by whoever said it.
    let said = json!([{ "op": "replace", "value": { "active": true } }]);
    let answer = wire.patch(&paths[1], said).await?.done()?;
    ensure!(answer["active"] == true && wire.status("omar").await? == "active", "{answer}");
    wire.house.get(&omar, "/api/v1/whoami").await?.done()?;
    wire.house.close().await
}

/// Whoever holds a connection's token makes people as it pleases, and removes as many more.
async fn new_people_widen_no_limit(given: Given) -> Result<()> {
    let limit = json!({ "removals_number": 2, "removals_share": 50 });
    let wire = Wire::open_with(&given, limit).await?;
    let omar = wire.person("omar").await?;
    wire.house.sign_in("omar", &[]).await?;
    let mut made = Vec::new();
    for number in 0..12 {
        made.push(wire.person(&format!("made{number}")).await?);
    }
    for id in &made {
        ensure!(wire.delete(&format!("/Users/{id}")).await?.status == 204);
    }
    let mut statuses = Vec::new();
    for number in 0..12 {
        statuses.push(wire.status(&format!("made{number}")).await?);
    }
    let gone = statuses.iter().filter(|it| *it == "deactivated").count();
    ensure!(gone == 2, "{gone} of 12 are gone: {statuses:?}");
    // Nor do they once somebody has let them go.
    let all = json!({ "all": true, "reason": "nobody knows them" });
    wire.house.post(&wire.ada, "/api/v1/removals/release", &all).await?.done()?;
    ensure!(wire.delete(&format!("/Users/{omar}")).await?.status == 204);
    ensure!(wire.status("omar").await? == "suspended", "he is {}", wire.status("omar").await?);
    wire.house.close().await
}

async fn one_connection(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let dana = wire.person("dana").await?;
    let other = wire.connect("other", json!({})).await?;
    let foreign = |path: String, token: String| {
        let request = wire.house.request(Method::GET, &path).bearer_auth(token);
        send(request)
    };
    let answer = foreign(format!("/scim/v2/okta/Users/{dana}"), other.clone()).await?;
    is_error(&answer, 401, None)?;
    let answer = foreign(format!("/scim/v2/other/Users/{dana}"), other.clone()).await?;
    is_error(&answer, 404, None)?;
    let listed = foreign("/scim/v2/other/Users".to_owned(), other.clone()).await?.done()?;
    ensure!(listed["totalResults"] == 0, "{listed}");
    for token in [wire.ada.token.clone(), "pcs_nonsense".to_owned()] {
        is_error(&foreign("/scim/v2/okta/Users".to_owned(), token).await?, 401, None)?;
    }
    let body = json!({ "schemas": [GROUP], "displayName": "x", "members": [{ "value": dana }] });
    let request = wire.house.request(Method::POST, "/scim/v2/other/Groups").bearer_auth(&other).json(&body);
    is_error(&send(request).await?, 400, Some("invalidValue"))?;
    // Nor by provisioning her again: whoever another connection has is not its own to remove.
    let body = json!({ "schemas": [USER], "userName": "x", "externalId": "dana", "active": false });
    let request = wire.house.request(Method::POST, "/scim/v2/other/Users").bearer_auth(&other).json(&body);
    is_error(&send(request).await?, 409, Some("uniqueness"))?;
    ensure!(wire.status("dana").await? == "active", "she is removed");
    // And it is no session: nothing of the API answers to it.
    let whoami = foreign("/api/v1/whoami".to_owned(), wire.token.clone()).await?;
    ensure!(whoami.status == 401, "{}", whoami.text);
    wire.house.close().await
}
