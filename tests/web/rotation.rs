//! Rotation tasks through the API and the page, by those who may.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::store::sql;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    house::{House, Person, example, send},
    workloads::{declare, let_in},
};
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_each_database(peers, "web::a_rotation_waits_by_two_and_is_done_by_facts", waits_and_is_done),
        on_each_database(peers, "web::a_team_sees_its_own_rotation_tasks", sees_own),
        on_each_database(peers, "web::going_back_to_what_a_leaver_knows_names_the_task", goes_back),
        on_each_database(peers, "web::a_job_makes_a_new_value_and_says_so", by_a_job),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// An application whose one secret has to be said to be done with.
pub const MORE: &str = "kind: Application
name: more
team: supa-team
environments: [{name: sandbox}]
rotation:
  - environment: sandbox
    secret: KEY
    by: {hand: Ask the vendor for another one.}
    until-said: true
";
const KEY: &str = "/api/v1/applications/more/environments/sandbox/secrets/KEY/";

/// Lena sets a secret and leaves; its task.
pub async fn a_task(house: &House, ada: &Person, lena: &Person) -> Result<String> {
    let value = json!({ "encoding": "utf8", "value": "hers" });
    house.post(lena, &format!("{KEY}versions"), &value).await?.done()?;
    let path = format!("/api/v1/people/{}/deactivate", lena.id);
    house.post(ada, &path, &json!({ "reason": "left on Friday" })).await?.done()?;
    the_task(house, ada).await
}

/// The open task of this secret, once it is there.
pub async fn the_task(house: &House, ada: &Person) -> Result<String> {
    let found = async || -> Result<Option<String>> {
        let tasks = house.get(ada, "/api/v1/rotation?state=open").await?.done()?;
        let is_it = |it: &&Value| it["secret"] == "more/sandbox/KEY";
        let task = tasks["items"].as_array().into_iter().flatten().find(is_it);
        Ok(task.and_then(|it| it["id"].as_str()).map(str::to_owned))
    };
    house.eventually("the task is open", || async { Ok(found().await?.is_some()) }).await?;
    found().await?.context("the task is gone")
}

async fn open_house(given: &Given) -> Result<(House, Person)> {
    let house = House::open(given).await?;
    let ada = house.example("ada").await?;
    let mut files = example()?;
    files.push(json!({ "file": "more.yaml", "text": MORE }));
    house.post(&ada, "/api/v1/apply", &json!({ "documents": files })).await?.done()?;
    Ok((house, ada))
}

async fn waits_and_is_done(given: Given) -> Result<()> {
    let (house, ada) = open_house(&given).await?;
    let (dana, omar, lena) =
        (house.example("dana").await?, house.example("omar").await?, house.example("lena").await?);
    let task = a_task(&house, &ada, &lena).await?;
    let at = |act: &str| format!("/api/v1/rotation/{task}/{act}");
    let left = async || -> Result<Value> {
        Ok(house.get(&ada, "/api/v1/leavers/lena@example.com").await?.done()?["left"].clone())
    };
    ensure!(left().await?["rotation_tasks"] == 1, "{}", left().await?);

    let wish = json!({ "reason": "a contract until then", "until": house.app.ambient.now().after(std::time::Duration::from_hours(24)).to_string() });
    house.post(&dana, &at("waive"), &wish).await?.is_problem(403, "denied")?;
    let asked = house.post(&ada, &at("waive"), &wish).await?.done()?;
    ensure!(asked["standing"] == "required" && asked["waiver"]["confirmed_by"].is_null(), "{asked}");
    let confirm = json!({ "waiver": asked["waiver"]["id"] });
    house.post(&ada, &at("confirm"), &confirm).await?.is_problem(403, "denied")?;
    let waived = house.post(&omar, &at("confirm"), &confirm).await?.done()?;
    ensure!(waived["standing"] == "waived", "{waived}");
    ensure!(left().await?["rotation_tasks"] == 0 && left().await?["waived"] == 1, "{}", left().await?);
    let why = json!({ "reason": "the contract has ended" });
    let again = house.post(&omar, &at("unwaive"), &why).await?.done()?;
    ensure!(again["standing"] == "required" && again["waiver"].is_null(), "{again}");

    // Nobody's word stands against what is plain to see.
    let done = house.post(&dana, &at("done"), &json!({ "reason": "it is" })).await?.done()?;
    ensure!(
        done["state"] == "open" && done["waits_for"][0].as_str().unwrap_or("").contains("current"),
        "{done}"
    );
    house.post(&dana, &format!("{KEY}generate"), &json!({})).await?.done()?;
    let done = house.post(&dana, &at("done"), &json!({ "reason": "revoked, ticket 7" })).await?.done()?;
    ensure!(done["state"] == "closed", "{done}");
    house.eventually("Lena is through", || async { Ok(left().await?["rotation_tasks"] == 0) }).await?;
    house.close().await
}

async fn goes_back(given: Given) -> Result<()> {
    let (house, ada) = open_house(&given).await?;
    let (dana, lena) = (house.example("dana").await?, house.example("lena").await?);
    let value = |text: &str| json!({ "encoding": "utf8", "value": text });
    house.post(&dana, &format!("{KEY}versions"), &value("nobody else's")).await?.done()?;
    let before = a_task(&house, &ada, &lena).await?;
    let back =
        async |to: i64| house.post(&dana, &format!("{KEY}rollback"), &json!({ "to": to })).await?.done();
    let made = back(1).await?;
    ensure!(made["known_to_leavers"].is_null(), "she is here still who knows it: {made}");
    let done = json!({ "reason": "revoked, ticket 7" });
    let path = format!("/api/v1/rotation/{before}/done");
    ensure!(house.post(&dana, &path, &done).await?.done()?["state"] == "closed", "it is done with");
    let made = back(2).await?;
    ensure!(made["known_to_leavers"]["leavers"] == 1, "{made}");
    let task = made["known_to_leavers"]["task"].as_str().context("no task")?.to_owned();
    let told = house.get(&ada, &format!("/api/v1/rotation/{task}")).await?.done()?;
    ensure!(task != before && told["state"] == "open" && told["standing"] == "required", "{told}");
    house.close().await
}

async fn sees_own(given: Given) -> Result<()> {
    let (house, ada) = open_house(&given).await?;
    let (dana, lena) = (house.example("dana").await?, house.example("lena").await?);
    let task = a_task(&house, &ada, &lena).await?;
    let stranger = house.sign_in("stranger", &["kitchen"]).await?;
    house.get(&dana, "/api/v1/rotation").await?.is_problem(403, "denied")?;
    let mine = house.get(&dana, "/api/v1/rotation?mine=true").await?.done()?;
    ensure!(mine["items"][0]["id"] == task.as_str(), "{mine}");
    let none = house.get(&stranger, "/api/v1/rotation?mine=true").await?.done()?;
    ensure!(none["items"] == json!([]), "{none}");
    let path = format!("/api/v1/rotation/{task}");
    let shown = house.get(&dana, &path).await?.done()?;
    ensure!(shown["places"][0]["instructions"] == "Ask the vendor for another one.", "{shown}");
    house.get(&stranger, &path).await?.is_problem(403, "denied")?;
    let page = format!("/rotation/{task}");
    let page = send(house.by_cookie(&dana, Method::GET, &page)).await?;
    ensure!(page.status == 200 && page.text.contains("Ask the vendor"), "{}", page.text);
    house.close().await
}

/// The same secret, of which a CI job makes new values.
const BY_A_JOB: &str = "kind: Workload
name: reports-ci
issuer: github
pins: { repository_id: 22, repository_owner_id: 11, event_name: push, ref: refs/heads/main }
---
kind: TrustScope
name: ci
members: { workloads: [reports-ci] }
allows:
  - { actions: [list, set], applications: [more], environments: [sandbox] }
---
kind: Application
name: more
team: supa-team
environments: [{name: sandbox}]
rotation:
  - { environment: sandbox, secret: KEY, by: { ci: { workload: reports-ci } }, until-said: true }
";

async fn by_a_job(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    declare(&house, BY_A_JOB).await?;
    let (ada, lena) = (house.example("ada").await?, house.example("lena").await?);
    let task = a_task(&house, &ada, &lena).await?;
    let job = let_in(&house).await?;
    let mine = house.get(&job, "/api/v1/rotation?mine=true").await?.done()?;
    ensure!(mine["items"][0]["id"] == task.as_str(), "{mine}");
    house.get(&job, "/api/v1/rotation").await?.is_problem(403, "denied")?;
    let value = json!({ "encoding": "utf8", "value": "made by a job" });
    house.post(&job, &format!("{KEY}versions"), &value).await?.done()?;
    let path = format!("/api/v1/rotation/{task}/done");
    let done = house.post(&job, &path, &json!({ "reason": "run 1234" })).await?.done()?;
    ensure!(done["state"] == "closed", "{done}");
    let said = sql("SELECT actor FROM entries WHERE action = 'rotation.said-done'");
    let said: Vec<(String,)> = house.all(said).await?;
    ensure!(said == [("workload/reports-ci".to_owned(),)], "{said:?}");
    house.close().await
}
