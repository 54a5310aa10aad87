//! Workloads: a job brings its own token, gets a short one for it, and does what files let it do.

use std::{path::Path, process::Stdio, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::{
        Name, ProblemKind,
        config::{Access, Config, IssuerKind, WorkloadIssuerConfig},
    },
    policy::{Action, Resource},
    store::sql,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    house::{Answer, Differently, House, Person, send},
    permits::Furnished,
    routes,
};
use crate::{
    peers::{Kubernetes, Peers},
    support::{Given, jobs::REQUEST_TOKEN, on_each_database, on_sqlite, until},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut all = vec![
        on_each_database(peers, "web::a_job_does_what_its_trust_scope_allows", a_job_does_what_it_may),
        on_sqlite(peers, "web::a_workload_is_nobody_where_people_call", people_only),
        on_each_database(peers, "web::abuse_25_a_declaration_that_moves_ends_its_tokens", declaration_moves),
        on_each_database(peers, "web::a_workloads_permit_ends_with_its_declaration", permit_ends),
        on_sqlite(peers, "web::a_job_that_is_refused_is_told_as_oauth_tells", refused_as_oauth_tells),
        on_sqlite(peers, "web::a_narrowed_job_is_not_told_what_another_was_answered", narrowed_keys),
        on_sqlite(peers, "web::a_lease_that_nobody_could_make_is_refused_as_such", no_such_lease),
        on_sqlite(peers, "web::portctl_signs_a_job_in_by_itself", portctl_in_a_job),
    ];
    if peers.kubernetes.is_some() {
        let name = "web::abuse_26_only_a_service_accounts_own_token_for_us";
        all.push(on_sqlite(peers, name, service_accounts));
    }
    all.into_iter().flatten().collect()
}

/// What lets the job in, and what it may do.
const DECLARED: &str = "
kind: Workload
name: reports-ci
issuer: github
pins: { repository_id: 22, repository_owner_id: 11, event_name: push, ref: refs/heads/main }
---
kind: TrustScope
name: ci
members: { workloads: [reports-ci] }
allows:
  - { actions: [list, reveal, run, set, see-delivery], applications: [reports], environments: [sandbox] }
";

/// Declares the example with this besides.
pub async fn declare(house: &House, text: &str) -> Result<()> {
    let ada = house.example("ada").await?;
    let mut files = super::house::example()?;
    files.retain(|file| file["file"] != "workloads.yaml");
    files.push(json!({ "file": "workloads.yaml", "text": text }));
    let body = json!({ "documents": files, "allow_delete": true });
    house.post(&ada, "/api/v1/apply", &body).await?.done().map(drop)
}

/// Brings a token, and what else is wanted.
pub async fn exchange(house: &House, token: &str, more: &[(&str, &str)]) -> Result<Answer> {
    let mut form = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", token),
    ];
    form.extend(more);
    send(house.request(Method::POST, "/api/v1/token").form(&form)).await
}

/// A job that is let in, with its token in the place of a person's.
pub async fn let_in(house: &House) -> Result<Person> {
    let own = house.jobs.token(&house.url, &json!({}));
    let answer = exchange(house, &own, &[]).await?.done()?;
    ensure!(answer["token_type"] == "Bearer" && answer["workload"] == "reports-ci", "{answer}");
    ensure!((1..=300).contains(&answer["expires_in"].as_u64().unwrap_or(0)), "{answer}");
    let token = answer["access_token"].as_str().context("no token")?.to_owned();
    let nobody = house.sign_in("nobody", &[]).await?;
    Ok(Person { token, ..nobody })
}

const SANDBOX: &str = "/api/v1/applications/reports/environments/sandbox";

async fn a_job_does_what_it_may(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    declare(&house, DECLARED).await?;
    let (dana, job) = (house.example("dana").await?, let_in(&house).await?);
    let set = format!("{SANDBOX}/secrets/DATABASE_URL/versions");
    house.post(&dana, &set, &json!({ "encoding": "utf8", "value": "postgres://one" })).await?.done()?;

    let me = house.get(&job, "/api/v1/whoami").await?.done()?;
    ensure!(me["workload"] == "reports-ci" && me["scopes"][0]["within"] == true, "{me}");
    let told = house.get(&job, &format!("{SANDBOX}/secrets/DATABASE_URL/value")).await?.done()?;
    ensure!(told["value"] == "postgres://one", "{told}");
    let run = house.post(&job, &format!("{SANDBOX}/run"), &json!({})).await?.done()?;
    ensure!(run["values"][0]["name"] == "DATABASE_URL", "{run}");
    let set = house.as_bearer(&job, Method::POST, &format!("{SANDBOX}/secrets/BUILD/versions"));
    let set = set.header("Idempotency-Key", "7").json(&json!({ "encoding": "utf8", "value": "42" }));
    let (once, again) = (set.try_clone().context("a body")?, set);
    let (once, again) = (send(once).await?.done()?, send(again).await?.done()?);
    ensure!(once == again && once["version"] == 1, "{once} {again}");
    house.get(&job, &format!("{SANDBOX}/secrets")).await?.done()?;
    house.get(&job, "/api/v1/deliveries").await?.done()?;

    let elsewhere = "/api/v1/applications/reports/environments/production/secrets/DATABASE_URL/value";
    house.get(&job, elsewhere).await?.is_problem(403, "denied")?;
    let exposed: Vec<(String, String)> = house
        .all(sql("SELECT principal, how FROM exposures WHERE principal LIKE 'workload/%' ORDER BY how"))
        .await?;
    let hows: Vec<&str> = exposed.iter().map(|(_, how)| how.as_str()).collect();
    ensure!(hows == ["entered", "revealed", "run"], "{exposed:?}");
    let acts: Vec<(String, String)> = house
        .all(sql("SELECT action, decision FROM entries WHERE actor = 'workload/reports-ci' ORDER BY idx"))
        .await?;
    let acts: Vec<String> =
        acts.into_iter().map(|(action, decision)| format!("{action} {decision}")).collect();
    let wanted = ["secret.revealed allow", "secret.run allow", "secret.set allow", "reveal deny"];
    ensure!(acts == wanted, "{acts:?}");
    house.close().await
}

/// Every route, by the token of a workload that is in no trust scope.
async fn people_only(given: Given) -> Result<()> {
    let furnished = Furnished::new(&given, Differently::default()).await?;
    let house = &furnished.house;
    declare(house, DECLARED.split("---").next().unwrap_or_default()).await?;
    let job = let_in(house).await?;
    let own = [("GET", "/api/v1/whoami"), ("GET", "/api/v1/deliveries"), ("GET", "/api/v1/leases")];
    for route in routes::all()?.iter().filter(|route| !route.is_public()) {
        let answer = furnished.call(route, Some(&job)).await?;
        if own.contains(&(route.method.as_str(), route.path.as_str())) {
            ensure!(answer.status == 200 && !answer.text.contains("reports-env"), "{route}: {answer:?}");
        } else {
            ensure!([401, 403, 404].contains(&answer.status.as_u16()), "{route}: {answer:?}");
        }
    }
    let told: Vec<(i64,)> = house
        .all(sql("SELECT idx FROM entries WHERE action = 'workload.refused' AND decision = 'deny'"))
        .await?;
    ensure!(
        (1..=5).contains(&told.len()),
        "what is refused over and over is recorded once a minute: {told:?}"
    );
    Ok(())
}

async fn declaration_moves(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let moved = DECLARED.replace("refs/heads/main", "refs/heads/release");
    let gone = "{kind: Source, name: supa}";
    for after in [moved.as_str(), gone] {
        declare(&house, DECLARED).await?;
        let job = let_in(&house).await?;
        house.get(&job, &format!("{SANDBOX}/secrets")).await?.done()?;
        declare(&house, after).await?;
        for path in [format!("{SANDBOX}/secrets"), "/api/v1/whoami".to_owned()] {
            let answer = house.get(&job, &path).await?;
            answer.is_problem(403, "denied")?;
            ensure!(answer.json()["reason"] == "declaration-moved", "{answer:?}");
        }
    }
    let own = house.jobs.token(&house.url, &json!({}));
    let answer = exchange(&house, &own, &[]).await?;
    ensure!(answer.status == 400 && answer.json()["error"] == "invalid_grant", "{answer:?}");
    house.close().await
}

/// What was decided and is not committed yet is decided anew where files have moved.
async fn permit_ends(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    declare(&house, DECLARED).await?;
    let (dana, job) = (house.example("dana").await?, let_in(&house).await?);
    let set = format!("{SANDBOX}/secrets/DATABASE_URL/versions");
    house.post(&dana, &set, &json!({ "encoding": "utf8", "value": "postgres://one" })).await?.done()?;
    let caller = house.app.identity.authenticate_any(&job.token, None).await?;
    let at = "reports/sandbox".parse().map_err(anyhow::Error::msg)?;
    let secret = "DATABASE_URL".parse().map_err(anyhow::Error::msg)?;
    let resource = Resource::Secret(house.app.catalog.snapshot().await?.environment(&at)?, secret);
    let permit = house.app.gate.authorize(&caller, Action::Reveal, resource).await?;
    declare(&house, &DECLARED.replace("refs/heads/main", "refs/heads/release")).await?;
    let late = house.app.secrets.reveal(permit, None).await.map(drop);
    let problem = late.err().context("it was revealed")?;
    ensure!(problem.is(ProblemKind::FactsChanged), "{problem}");
    house.close().await
}

async fn refused_as_oauth_tells(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    declare(&house, DECLARED).await?;
    let own = |lies: &Value| house.jobs.token(&house.url, lies);
    let cases = [
        (exchange(&house, "no token", &[]).await?, "invalid_grant"),
        (exchange(&house, "", &[]).await?, "invalid_request"),
        (exchange(&house, &own(&json!({ "repository_id": "23" })), &[]).await?, "invalid_grant"),
        (exchange(&house, &own(&json!({})), &[("scope", "developer")]).await?, "invalid_scope"),
        (exchange(&house, &own(&json!({})), &[("scope", "A b")]).await?, "invalid_scope"),
        (exchange(&house, &own(&json!({})), &[("workload", "other")]).await?, "invalid_grant"),
        (exchange(&house, &own(&json!({})), &[("actor_token", "x")]).await?, "invalid_request"),
        (exchange(&house, &own(&json!({})), &[("scope", "ci"), ("scope", "ci")]).await?, "invalid_request"),
        (
            send(house.request(Method::POST, "/api/v1/token").form(&[("grant_type", "password")])).await?,
            "unsupported_grant_type",
        ),
        (send(house.request(Method::POST, "/api/v1/token").json(&json!({}))).await?, "invalid_request"),
    ];
    for (answer, error) in cases {
        let said = answer.json();
        ensure!(answer.status == 400 && said["error"] == error, "wanted {error}: {answer:?}");
        ensure!(said["error_description"].as_str().is_some_and(|it| !it.is_empty()), "{said}");
        ensure!(answer.header("content-type") == "application/json", "{answer:?}");
        ensure!(answer.header("cache-control") == "no-store", "{answer:?}");
    }
    let narrowed = exchange(&house, &own(&json!({})), &[("scope", "ci")]).await?.done()?;
    ensure!(narrowed["scope"] == "ci", "{narrowed}");
    Ok(())
}

/// Whoever is narrowed to one trust scope repeats what was done under it, by whichever token, and nothing else.
async fn narrowed_keys(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let second = "---\nkind: TrustScope\nname: ci-too\nmembers: { workloads: [reports-ci] }\nallows:\n  \
        - { actions: [set], applications: [reports], environments: [sandbox] }\n";
    declare(&house, &format!("{DECLARED}{second}")).await?;
    let nobody = house.sign_in("nobody", &[]).await?;
    let narrowed = async |scope: Option<&str>| {
        let own = house.jobs.token(&house.url, &json!({}));
        let wanted: Vec<(&str, &str)> = scope.map(|it| ("scope", it)).into_iter().collect();
        let answer = exchange(&house, &own, &wanted).await?.done()?;
        let token = answer["access_token"].as_str().context("no token")?.to_owned();
        anyhow::Ok(Person { token, ..nobody.clone() })
    };
    let set = async |job: &Person| {
        let path = format!("{SANDBOX}/secrets/BUILD/versions");
        let request = house.as_bearer(job, Method::POST, &path).header("Idempotency-Key", "7");
        let body = json!({ "encoding": "utf8", "value": "42" });
        anyhow::Ok(send(request.json(&body)).await?.done()?["version"].clone())
    };
    let (first, second) = (narrowed(Some("ci")).await?, narrowed(Some("ci-too")).await?);
    ensure!(set(&first).await? == 1 && set(&first).await? == 1, "it is done once");
    ensure!(set(&narrowed(Some("ci")).await?).await? == 1, "a token that was exchanged anew is of the same");
    ensure!(set(&second).await? == 2, "another narrowing was told what this one was answered");
    ensure!(set(&narrowed(None).await?).await? == 3, "so was one that is not narrowed");
    house.close().await
}

/// Not by trust scopes or grants: no grant would help.
async fn no_such_lease(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    declare(&house, DECLARED).await?;
    let stranger = house.sign_in("stranger", &[]).await?;
    let answer = house.post(&stranger, "/api/v1/leases", &json!({ "at": "reports/sandbox/nobody" })).await?;
    answer.is_problem(404, "not-found")?;
    let said = answer.json();
    let words = said["detail"].as_str().unwrap_or_default();
    ensure!(words.contains("no file declares a role") && words.contains("embedded engine"), "{said}");
    ensure!(said["remedy"].as_str().is_some_and(|it| it.contains("kind = \"vault\"")), "{said}");
    // What was decided is recorded all the same.
    let denied = sql("SELECT action FROM entries WHERE actor = $1 AND decision = 'deny'");
    let denied: Vec<(String,)> = house.all(denied.bind(stranger.id.to_string())).await?;
    ensure!(denied == [("lease".to_owned(),)], "{denied:?}");
    house.close().await
}

/// `portctl` as a job starts it: nobody is signed in, and there is no home.
async fn portctl(
    folder: &Path,
    variables: Vec<(&'static str, String)>,
    arguments: &[&str],
) -> Result<std::process::Output> {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portctl"));
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(variables)
        .current_dir(folder)
        .stdin(Stdio::null());
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

async fn portctl_in_a_job(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    declare(&house, DECLARED).await?;
    let dana = house.example("dana").await?;
    let set = format!("{SANDBOX}/secrets/DATABASE_URL/versions");
    house.post(&dana, &set, &json!({ "encoding": "utf8", "value": "postgres://one" })).await?.done()?;
    let folder = tempfile::tempdir()?;
    let server = ("PORTCTL_SERVER", house.url.clone());
    let github = || {
        vec![
            server.clone(),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/jobs/token?api-version=2.0", house.url)),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN.to_owned()),
        ]
    };
    let said = |output: &std::process::Output| {
        let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it).into_owned());
        (output.status.code(), out, err)
    };
    let secret = "reports/sandbox/DATABASE_URL";
    let got = said(&portctl(folder.path(), github(), &["secret", "get", secret]).await?);
    ensure!(got.0 == Some(0) && got.1 == "postgres://one", "{got:?}");
    let run = ["run", "reports/sandbox", "--", "sh", "-c", "printf %s \"$DATABASE_URL\""];
    let got = said(&portctl(folder.path(), github(), &run).await?);
    ensure!(got.0 == Some(0) && got.1 == "postgres://one", "{got:?}");
    let got = said(&portctl(folder.path(), github(), &["whoami"]).await?);
    ensure!(got.0 == Some(0) && got.1.contains("workload reports-ci"), "{got:?}");

    let file = folder.path().join("token");
    std::fs::write(&file, house.jobs.token(&house.url, &json!({})))?;
    let by_file = vec![server.clone(), ("PORTCTL_TOKEN_FILE", file.display().to_string())];
    let got = said(&portctl(folder.path(), by_file, &["secret", "get", secret]).await?);
    ensure!(got.0 == Some(0) && got.1 == "postgres://one", "{got:?}");
    let given = house.jobs.token(&house.url, &json!({ "event_name": "pull_request" }));
    let by_variable = vec![server.clone(), ("PORTCTL_ID_TOKEN", given)];
    let got = said(&portctl(folder.path(), by_variable, &["secret", "get", secret]).await?);
    ensure!(got.0 == Some(3) && got.2.contains("event_name") && got.1.is_empty(), "{got:?}");
    let mut refused = github();
    "another".clone_into(&mut refused[2].1);
    let got = said(&portctl(folder.path(), refused, &["whoami"]).await?);
    ensure!(got.0 == Some(3) && got.2.contains("id-token: write"), "{got:?}");

    let left: Vec<_> = std::fs::read_dir(folder.path())?.collect::<Result<_, _>>()?;
    ensure!(left.len() == 1, "a job's token is kept nowhere: {left:?}");
    Ok(())
}

/// Whom the tokens of ServiceAccounts have to be for.
const FOR_US: &str = "https://port-control.example.com";

/// Somebody who may ask the cluster whose a token is, and nothing else; her way to it.
async fn a_reviewer(cluster: &Kubernetes, namespace: &str, kubeconfig: &Path) -> Result<()> {
    cluster.create_service_account(namespace, "port-control").await?;
    let binding = json!({
        "metadata": { "name": namespace },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator" },
        "subjects": [{ "kind": "ServiceAccount", "namespace": namespace, "name": "port-control" }],
    });
    let path = "apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    cluster.call(Method::POST, path, Some(binding)).await?;
    let token = cluster.service_account_token(namespace, "port-control", 3600).await?;
    cluster.write_kubeconfig(kubeconfig, &token)
}

/// A real API server says whose token it is, and for whom.
async fn service_accounts(given: Given) -> Result<()> {
    let cluster = given.peers.kubernetes.clone().context("Kubernetes was not started")?;
    let namespace = cluster.create_namespace("workloads").await?;
    let kubeconfig = given.folder.path().join("kubeconfig");
    a_reviewer(&cluster, &namespace, &kubeconfig).await?;
    let main: Name = "main".parse().map_err(anyhow::Error::msg)?;
    let by_cluster = |config: &mut Config| {
        config.clusters.insert(main.clone(), Access::Kubeconfig { path: kubeconfig.clone(), context: None });
        config.workload_issuers = vec![WorkloadIssuerConfig {
            name: main.clone(),
            kind: IssuerKind::Kubernetes,
            issuer: "https://kubernetes.default.svc".to_owned(),
            audience: FOR_US.to_owned(),
            cluster: Some(main.clone()),
        }];
    };
    let house = House::open_configured(&given, by_cluster).await?;
    let uid = cluster.service_account_with_uid(&namespace, "reports").await?;
    let pins = format!("{{ namespace: {namespace}, service-account: reports, uid: {uid} }}");
    declare(&house, &format!("kind: Workload\nname: reports\nissuer: main\npins: {pins}\n")).await?;
    let token_for = |audience| cluster.service_account_token_for(&namespace, "reports", audience, 600);
    // The authorizer learns of a new binding a little after it was made.
    let let_in = until("the account is let in", async || {
        let answer = exchange(&house, &token_for(Some(FOR_US)).await?, &[]).await?;
        ensure!(answer.status == 200 || answer.status == 503, "{answer:?}");
        Ok((answer.status == 200).then(|| answer.json()))
    });
    ensure!(let_in.await?["workload"] == "reports", "another workload");

    let refused = async |token: String| {
        let answer = exchange(&house, &token, &[]).await?;
        let error = answer.json()["error"].clone();
        ensure!(answer.status == 400 && error == "invalid_grant", "{answer:?}");
        anyhow::Ok(())
    };
    refused(token_for(Some("https://other.example.com")).await?).await?;
    refused(token_for(None).await?).await?;
    let before = token_for(Some(FOR_US)).await?;
    let path = format!("api/v1/namespaces/{namespace}/serviceaccounts/reports");
    cluster.call(Method::DELETE, &path, None).await?;
    let anew = cluster.service_account_with_uid(&namespace, "reports").await?;
    ensure!(anew != uid, "it was not made anew");
    refused(before).await?;
    refused(token_for(Some(FOR_US)).await?).await?;
    house.close().await
}
