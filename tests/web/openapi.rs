//! The OpenAPI document is whole, and says of each endpoint what it answers.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{api::public, base::ProblemKind};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    house::{Differently, House, send},
    routes,
};
use crate::{
    peers::Peers,
    support::{Given, on_sqlite, trial},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = vec![
        trial("web::openapi_describes_every_route", || async { openapi_describes_every_route() }),
        trial("web::openapi_describes_every_answer", || async { openapi_describes_every_answer() }),
        trial("web::every_problem_is_explained", || async { every_problem_is_explained() }),
        trial("web::openapi_refers_to_what_is_there", || async { openapi_refers_to_what_is_there() }),
    ];
    trials.extend(on_sqlite(peers, "web::openapi_is_served", openapi_is_served));
    trials
}

/// What is routed by hand and is no page: probes, the document itself, and what follows standards of its own.
const NOT_DESCRIBED: &[&str] =
    &["/healthz", "/readyz", "/metrics", "/api/v1/openapi.json", "/sign-in/{provider}/backchannel-logout"];

/// What answers by another standard's form of errors.
const AS_OAUTH: &[&str] = &["/api/v1/token"];

fn openapi_describes_every_route() -> Result<()> {
    let by_hand: Vec<String> = routes::by_hand()?
        .into_iter()
        // SCIM describes itself.
        .filter(|route| !route.is_of_a_connection())
        .filter(|route| !route.is_page && !NOT_DESCRIBED.contains(&route.path.as_str()))
        .map(|route| route.to_string())
        .collect();
    ensure!(by_hand.is_empty(), "routed by hand, so that nothing describes it: {by_hand:?}");
    ensure!(routes::described()?.len() > 45, "{:?}", routes::described()?);
    Ok(())
}

/// Every operation: its path, its method, and what it says.
fn operations(document: &Value) -> Result<Vec<(String, String, Value)>> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().context("no paths")? {
        for (method, operation) in item.as_object().context("no methods")? {
            all.push((path.clone(), method.to_uppercase(), operation.clone()));
        }
    }
    Ok(all)
}

fn openapi_describes_every_answer() -> Result<()> {
    let document = routes::document();
    let version = document["openapi"].as_str().unwrap_or_default();
    ensure!(version.starts_with("3.1."), "it is OpenAPI {version}");
    ensure!(document["info"]["title"].is_string() && document["info"]["version"].is_string(), "no title");
    let (mut ids, mut wrong) = (BTreeSet::new(), Vec::new());
    for (path, method, operation) in operations(&document)? {
        let name = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        if id.is_empty() || !ids.insert(id.clone()) {
            wrong.push(format!("{name}: its operationId '{id}' is not its own"));
        }
        if operation["summary"].as_str().or(operation["description"].as_str()).unwrap_or_default().len() < 10
        {
            wrong.push(format!("{name}: it does not say what it does"));
        }
        let responses = operation["responses"].as_object().context("no responses")?;
        if !responses.keys().any(|status| status.starts_with('2')) {
            wrong.push(format!("{name}: no success"));
        }
        let is_public = public::ROUTES.contains(&(method.as_str(), path.as_str()));
        if is_public != (operation["security"] == json!([{}])) {
            wrong.push(format!("{name}: it does not say as the list of public routes who may call it"));
        }
        wrong.extend(wrong_parameters(&path, &operation).into_iter().map(|it| format!("{name}: {it}")));
        let (oauth, problems): (Map<_, _>, Map<_, _>) = responses
            .clone()
            .into_iter()
            .partition(|(status, _)| AS_OAUTH.contains(&path.as_str()) && status != "default");
        for (status, response) in oauth.iter().filter(|(status, _)| !status.starts_with('2')) {
            let content = &response["content"]["application/json"]["schema"]["$ref"];
            if *content != "#/components/schemas/OAuthProblem" {
                wrong.push(format!("{name}: {status} is not as OAuth has it"));
            }
        }
        wrong.extend(wrong_problems(&problems).into_iter().map(|it| format!("{name}: {it}")));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// What stands in braces in the path is described, and nothing else is said to stand there.
fn wrong_parameters(path: &str, operation: &Value) -> Option<String> {
    let braces = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let stand: BTreeSet<&str> = braces.collect();
    let described: BTreeSet<&str> = operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|it| it["in"] == "path")
        .filter_map(|it| it["name"].as_str())
        .collect();
    (stand != described).then(|| format!("{stand:?} stand in the path, {described:?} are described"))
}

/// Each refusal is a problem document, and names the problems that it may be: those of its status.
fn wrong_problems(responses: &Map<String, Value>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (status, response) in responses.iter().filter(|(status, _)| !status.starts_with('2')) {
        let content = &response["content"]["application/problem+json"]["schema"]["$ref"];
        if *content != "#/components/schemas/Problem" {
            wrong.push(format!("{status} is no problem document"));
        }
        let said = response["description"].as_str().unwrap_or_default();
        let quoted = said.split('`').skip(1).step_by(2);
        let kinds: Vec<ProblemKind> =
            quoted.filter_map(|slug| ProblemKind::ALL.iter().copied().find(|it| it.slug() == slug)).collect();
        if status != "default" && kinds.is_empty() {
            wrong.push(format!("{status} names no problem: {said}"));
        }
        for kind in kinds.iter().filter(|kind| kind.status().to_string() != *status && status != "default") {
            wrong.push(format!("`{}` is answered with {}, not {status}", kind.slug(), kind.status()));
        }
    }
    wrong
}

/// `docs/http.md` has a line for each, as the code has it.
fn every_problem_is_explained() -> Result<()> {
    let docs = include_str!("../../docs/http.md");
    let line = |it: &ProblemKind| {
        format!("| `{}` | {} | {} | {} |", it.slug(), it.status(), it.exit_code(), it.title())
    };
    let lines: Vec<String> = ProblemKind::ALL.iter().map(line).collect();
    let missing: Vec<&String> = lines.iter().filter(|line| !docs.contains(line.as_str())).collect();
    ensure!(missing.is_empty(), "docs/http.md lacks\n{}", lines.join("\n"));
    Ok(())
}

fn openapi_refers_to_what_is_there() -> Result<()> {
    let document = routes::document();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    ensure!(references.len() > 20, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').with_context(|| format!("{reference} leads elsewhere"))?;
        ensure!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    Ok(())
}

fn collect(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            into.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| collect(member, into));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        _ => {}
    }
}

async fn openapi_is_served(given: Given) -> Result<()> {
    let house = House::bare(&given, Differently::default()).await?;
    let served = send(house.request(Method::GET, "/api/v1/openapi.json")).await?.done()?;
    ensure!(served == routes::document(), "another document is served");
    Ok(())
}
