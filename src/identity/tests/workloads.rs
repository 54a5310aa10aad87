//! Whole exchanges of workloads' tokens, against an issuer on loopback that says what it is told to, and a
//! cluster that does.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{Json, Router, extract::State, routing::get};
use data_encoding::BASE64URL_NOPAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::bench::{Bench, START};
use crate::{
    base::{
        Name, ProblemKind, Result, SecretValue,
        config::{IssuerKind, WorkloadIssuerConfig},
    },
    identity::{AnyCaller, Exchange, IssuedToken, Known, Reviewed, TokenReviews, Workload, WorkloadParts},
    policy::TrustScope,
    store::sql,
};

const AUDIENCE: &str = "https://secrets.example.com";
const NOW: i64 = START / 1000;

/// An issuer with a discovery document and one key.
struct CiIssuer {
    url: String,
    keys_asked: AtomicUsize,
}

impl CiIssuer {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Arc::new(Self { url, keys_asked: AtomicUsize::new(0) });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .with_state(Arc::clone(&issuer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    fn config(&self, kind: IssuerKind) -> WorkloadIssuerConfig {
        WorkloadIssuerConfig {
            name: name("ci"),
            kind,
            issuer: self.url.clone(),
            audience: AUDIENCE.to_owned(),
            cluster: None,
        }
    }

    async fn bench(&self, kind: IssuerKind) -> Bench {
        let workloads = WorkloadParts { issuers: vec![self.config(kind)], ..WorkloadParts::default() };
        Bench::with(Vec::new(), workloads).await
    }

    /// A token that says what a job of the main branch says, but for `lies`.
    fn token(&self, lies: &Value) -> SecretValue {
        self.signed("k1", lies)
    }

    fn signed(&self, kid: &str, lies: &Value) -> SecretValue {
        let mut claims = json!({
            "iss": self.url, "aud": AUDIENCE, "sub": "repo:supa/reports:ref:refs/heads/main",
            "iat": NOW, "nbf": NOW, "exp": NOW + 300, "jti": "j1", "repository": "supa/reports",
            "repository_id": "22", "repository_owner_id": "11", "event_name": "push", "ref": "refs/heads/main",
        });
        for (claim, said) in lies.as_object().into_iter().flatten() {
            claims[claim] = said.clone();
        }
        let header = json!({ "alg": "EdDSA", "kid": kid, "typ": "JWT" });
        let [header, claims] =
            [header, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
        let text = format!("{header}.{claims}");
        let signature = BASE64URL_NOPAD.encode(key().sign(text.as_bytes()).as_ref());
        SecretValue::from(format!("{text}.{signature}"))
    }
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap()
}

async fn discovery(State(issuer): State<Arc<CiIssuer>>) -> Json<Value> {
    Json(json!({ "issuer": issuer.url, "jwks_uri": format!("{}/jwks", issuer.url) }))
}

async fn jwks(State(issuer): State<Arc<CiIssuer>>) -> Json<Value> {
    issuer.keys_asked.fetch_add(1, Ordering::SeqCst);
    let x = BASE64URL_NOPAD.encode(key().public_key().as_ref());
    Json(json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": "k1", "x": x }] }))
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn workload(called: &str, pins: &Value) -> Workload {
    serde_json::from_value(json!({ "name": called, "issuer": "ci", "pins": pins })).unwrap()
}

fn usual_pins() -> Value {
    json!({ "repository_id": 22, "repository_owner_id": 11, "event_name": "push", "ref": "refs/heads/main" })
}

fn scopes() -> Vec<TrustScope> {
    serde_json::from_value(
        json!([{ "name": "ci", "members": { "workloads": ["reports-ci"] }, "allows": [] }]),
    )
    .unwrap()
}

fn wish(token: SecretValue) -> Exchange {
    Exchange { token, workload: None, scope: None, network: Some(Ipv4Addr::LOCALHOST.into()) }
}

async fn exchange(bench: &Bench, wish: Exchange, declared: &[Workload]) -> Result<IssuedToken> {
    let workloads: BTreeMap<Name, Workload> =
        declared.iter().map(|it| (it.name.clone(), it.clone())).collect();
    bench.identity.exchange(wish, Known { workloads: &workloads, scopes: &scopes() }).await
}

/// The kind of problem that bringing this token comes to, where `reports-ci` is pinned as usual.
async fn outcome(bench: &Bench, token: SecretValue) -> Result<(), ProblemKind> {
    let declared = [workload("reports-ci", &usual_pins())];
    exchange(bench, wish(token), &declared).await.map(drop).map_err(|problem| problem.kind)
}

#[tokio::test]
async fn a_job_gets_a_token_that_ends_with_its_own() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    let declared = [workload("reports-ci", &usual_pins())];
    let given = exchange(&bench, wish(issuer.token(&json!({}))), &declared).await.unwrap();
    assert_eq!(given.life, Duration::from_mins(5));
    let token = given.token.expose_text().unwrap();
    assert!(token.starts_with("pcw_"));
    let caller = bench.identity.authenticate_any(token, None).await.unwrap();
    assert!(matches!(caller, AnyCaller::Workload(it) if it.workload == name("reports-ci")));
    assert_eq!(bench.entries().await, ["workload.token-issued"]);
    bench.clock.advance(Duration::from_mins(5));
    let problem = bench.identity.authenticate_any(token, None).await.unwrap_err();
    assert!(problem.is(ProblemKind::Unauthenticated), "{problem}");

    let lasting = issuer.token(&json!({ "jti": "j2", "exp": NOW + 7200 }));
    let given = exchange(&bench, wish(lasting), &declared).await.unwrap();
    assert_eq!(given.life, Duration::from_mins(15), "never longer, however long the job's own lives");
}

#[tokio::test]
async fn abuse_25_whoever_takes_over_a_name_is_somebody_else() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    for lies in [
        json!({ "repository_id": "23" }),
        json!({ "repository_owner_id": "12" }),
        json!({ "repository_id": null }),
        json!({ "sub": "repo:supa@12/reports@23:ref:refs/heads/main", "repository_id": "23" }),
    ] {
        assert_eq!(outcome(&bench, issuer.token(&lies)).await, Err(ProblemKind::SignInRefused), "{lies}");
    }
    assert!(bench.entries().await.iter().all(|it| it == "workload.refused"));
}

#[tokio::test]
async fn abuse_25_a_pull_request_is_not_the_branch_that_it_is_for() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    for lies in [
        json!({ "event_name": "pull_request", "ref": "refs/pull/7/merge", "sub": "repo:supa/reports:pull_request" }),
        // Runs on the base branch, and with what somebody else wrote.
        json!({ "event_name": "pull_request_target" }),
    ] {
        assert_eq!(outcome(&bench, issuer.token(&lies)).await, Err(ProblemKind::SignInRefused), "{lies}");
    }
}

#[tokio::test]
async fn abuse_25_a_pinned_subject_fits_in_both_of_its_forms_and_nothing_else() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    let pins = json!({ "repository_id": 22, "repository_owner_id": 11, "sub": "repo:supa/reports:ref:refs/heads/main" });
    let declared = [workload("reports-ci", &pins)];
    let both =
        [json!({ "jti": "a" }), json!({ "jti": "b", "sub": "repo:supa@11/reports@22:ref:refs/heads/main" })];
    for lies in both {
        exchange(&bench, wish(issuer.token(&lies)), &declared).await.unwrap();
    }
    let other = issuer.token(&json!({ "sub": "repo:supa@11/reports@22:pull_request" }));
    assert!(exchange(&bench, wish(other), &declared).await.is_err());
}

#[tokio::test]
async fn a_token_that_is_not_to_be_believed_is_nobodys_and_is_not_recorded() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    for lies in [
        json!({ "aud": "https://other.example.com" }),
        json!({ "aud": [AUDIENCE, "https://other.example.com"] }),
        json!({ "iss": "https://other.example.com" }),
        json!({ "exp": NOW - 1, "iat": NOW - 300 }),
        json!({ "exp": NOW + 90_000 }),
        json!({ "exp": null }),
        json!({ "sub": "" }),
    ] {
        assert_eq!(outcome(&bench, issuer.token(&lies)).await, Err(ProblemKind::SignInRefused), "{lies}");
    }
    let [one, two] = [issuer.token(&json!({})), issuer.token(&json!({ "repository_id": "22 " }))];
    let (signed, _) = one.expose_text().unwrap().rsplit_once('.').unwrap();
    let (_, signature) = two.expose_text().unwrap().rsplit_once('.').unwrap();
    let forged = SecretValue::from(format!("{signed}.{signature}"));
    assert_eq!(outcome(&bench, forged).await, Err(ProblemKind::SignInRefused));
    assert_eq!(bench.entries().await, [""; 0]);
}

#[tokio::test]
async fn a_job_of_github_exchanges_each_token_once_and_one_of_gitlab_its_only_one_again() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    assert_eq!(outcome(&bench, issuer.token(&json!({}))).await, Ok(()));
    assert_eq!(outcome(&bench, issuer.token(&json!({}))).await, Err(ProblemKind::Conflict));
    assert_eq!(outcome(&bench, issuer.token(&json!({ "jti": "j2" }))).await, Ok(()));
    assert_eq!(bench.entries().await, ["workload.token-issued", "workload.refused", "workload.token-issued"]);

    let bench = issuer.bench(IssuerKind::GitLab).await;
    for _ in 0..2 {
        assert_eq!(outcome(&bench, issuer.token(&json!({}))).await, Ok(()));
    }
}

#[tokio::test]
async fn what_has_run_out_is_kept_no_longer() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    assert_eq!(outcome(&bench, issuer.token(&json!({}))).await, Ok(()));
    bench.clock.advance(Duration::from_mins(8));
    let later = NOW + 480;
    let token = issuer.token(&json!({ "jti": "j2", "iat": later, "exp": later + 300 }));
    assert_eq!(outcome(&bench, token).await, Ok(()));
    let left: Vec<(i64,)> = bench.all(sql("SELECT issued_at FROM workload_tokens")).await;
    assert_eq!(left, [(START + 480_000,)]);
}

#[tokio::test]
async fn a_token_that_fits_two_workloads_has_to_say_which() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    let declared = ["reports-ci", "reports-nightly"].map(|called| workload(called, &usual_pins()));
    let problem = exchange(&bench, wish(issuer.token(&json!({}))), &declared).await.unwrap_err();
    assert!(problem.is(ProblemKind::Ambiguous), "{problem}");
    let named = Exchange { workload: Some(name("reports-nightly")), ..wish(issuer.token(&json!({}))) };
    assert_eq!(exchange(&bench, named, &declared).await.unwrap().workload, name("reports-nightly"));
}

#[tokio::test]
async fn a_trust_scope_that_is_asked_for_has_to_name_the_workload() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    let declared = [workload("reports-ci", &usual_pins())];
    let of = |scope, jti| Exchange { scope: Some(name(scope)), ..wish(issuer.token(&json!({ "jti": jti }))) };
    assert_eq!(exchange(&bench, of("ci", "a"), &declared).await.unwrap().scope, Some(name("ci")));
    let problem = exchange(&bench, of("developer", "b"), &declared).await.unwrap_err();
    assert!(problem.is(ProblemKind::Denied), "{problem}");
}

#[tokio::test]
async fn the_same_refusal_is_recorded_once_a_minute() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    for _ in 0..5 {
        assert!(outcome(&bench, issuer.token(&json!({ "ref": "refs/heads/x" }))).await.is_err());
    }
    assert_eq!(bench.entries().await, ["workload.refused"]);
    bench.clock.advance(Duration::from_mins(1));
    assert!(outcome(&bench, issuer.token(&json!({ "ref": "refs/heads/x" }))).await.is_err());
    assert_eq!(bench.entries().await.len(), 3, "how many more there were, and the one of this minute");
    let counts = bench.fields("workload.refused", "count").await;
    assert_eq!(counts, [None, Some(json!(4)), None]);
}

/// What anybody with an account at a public issuer can bring.
fn of_stranger(number: u32) -> Value {
    json!({ "sub": format!("repo:x{number}/y:ref:refs/heads/main"), "repository_id": number + 1000,
        "repository_owner_id": number + 2000, "jti": format!("s{number}") })
}

#[tokio::test]
async fn abuse_25_strangers_are_told_nothing_and_fill_no_log() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    let declared = [workload("reports-ci", &usual_pins())];
    let mut told = std::collections::BTreeSet::new();
    for number in 0..50 {
        let workload = (number % 2 == 0).then(|| name(if number % 4 == 0 { "reports-ci" } else { "other" }));
        let wish = Exchange { workload, ..wish(issuer.token(&of_stranger(number))) };
        let declared = if number % 3 == 0 { &[][..] } else { &declared };
        let problem = exchange(&bench, wish, declared).await.unwrap_err();
        assert!(problem.is(ProblemKind::SignInRefused), "{problem}");
        told.insert((problem.detail.clone(), problem.remedy));
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(!format!("{told:?}").contains("reports-ci"), "{told:?}");
    assert_eq!(bench.entries().await, ["workload.refused"], "one a minute, whoever they are");
    bench.clock.advance(Duration::from_mins(1));
    bench.identity.note_more_refused(Some(bench.ambient.now())).await;
    assert_eq!(bench.fields("workload.refused", "count").await, [None, Some(json!(49))]);
    // Somebody of the same owner is told by what it does not fit, and recorded by itself all the same.
    let own = issuer.token(&json!({ "repository_id": "23", "jti": "own" }));
    let problem = exchange(&bench, wish(own), &declared).await.unwrap_err();
    assert!(problem.detail.contains("repository_id"), "{problem}");
    let whys = bench.fields("workload.refused", "denial").await;
    assert_eq!(whys.last().unwrap(), &Some(json!("not-pinned")));
}

#[tokio::test]
async fn abuse_25_of_one_issuer_so_many_refusals_a_minute_are_recorded_and_the_others_counted() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    for number in 0..70 {
        let branch = format!("repo:supa/reports:ref:refs/heads/{number}");
        let lies = json!({ "ref": "refs/heads/x", "sub": branch, "jti": number.to_string() });
        assert!(outcome(&bench, issuer.token(&lies)).await.is_err());
    }
    assert_eq!(bench.entries().await.len(), 20);
    bench.identity.note_more_refused(None).await;
    let counts = bench.fields("workload.refused", "count").await;
    assert_eq!(counts.last().unwrap(), &Some(json!(50)), "nothing is left out of the count");
}

#[tokio::test]
async fn abuse_25_a_token_without_an_id_is_exchanged_once_all_the_same() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    for id in [json!(null), json!(7), json!("")] {
        let lies = json!({ "jti": id, "nonce": id.to_string() });
        assert_eq!(outcome(&bench, issuer.token(&lies)).await, Ok(()), "{id}");
        assert_eq!(outcome(&bench, issuer.token(&lies)).await, Err(ProblemKind::Conflict), "{id}");
    }
}

#[tokio::test]
async fn abuse_21_unknown_keys_make_us_look_for_new_ones_once_a_minute() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    for _ in 0..20 {
        let problem = outcome(&bench, issuer.signed("k9", &json!({}))).await.unwrap_err();
        assert_eq!(problem, ProblemKind::SignInRefused);
    }
    assert_eq!(issuer.keys_asked.load(Ordering::SeqCst), 2, "once for the first token, once for new keys");
}

#[tokio::test]
async fn a_workloads_token_is_none_where_only_people_call() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::GitHub).await;
    let declared = [workload("reports-ci", &usual_pins())];
    let given = exchange(&bench, wish(issuer.token(&json!({}))), &declared).await.unwrap();
    let token = given.token.expose_text().unwrap();
    let problem = bench.identity.authenticate(token, None).await.unwrap_err();
    assert!(problem.is(ProblemKind::Denied), "{problem}");
    assert_eq!(bench.entries().await, ["workload.token-issued", "workload.refused"]);
    let unknown = bench.identity.authenticate("pcw_nobody", None).await.unwrap_err();
    assert!(unknown.is(ProblemKind::Unauthenticated), "{unknown}");
}

/// A cluster that takes every token for this ServiceAccount's, as long as it is for us.
struct OneAccount {
    uid: &'static str,
}

#[async_trait]
impl TokenReviews for OneAccount {
    async fn review(&self, cluster: &Name, _: &SecretValue, audience: &str) -> Result<Option<Reviewed>> {
        assert_eq!(*cluster, name("main"));
        Ok((audience == AUDIENCE).then(|| Reviewed {
            username: "system:serviceaccount:apps:reports".to_owned(),
            uid: self.uid.to_owned(),
        }))
    }
}

/// What a token of a cluster says.
fn of_cluster(uid: &str, life: i64) -> Value {
    json!({
        "sub": "system:serviceaccount:apps:reports", "exp": NOW + life,
        "kubernetes.io": { "namespace": "apps", "serviceaccount": { "name": "reports", "uid": uid } },
    })
}

fn account_pins() -> Value {
    json!({ "namespace": "apps", "service-account": "reports", "uid": "u-1" })
}

#[tokio::test]
async fn abuse_26_a_service_account_that_was_made_anew_is_another() {
    let issuer = CiIssuer::start().await;
    let declared = [workload("reports", &account_pins())];
    for (uid, is_let_in) in [("u-1", true), ("u-2", false)] {
        let config =
            WorkloadIssuerConfig { cluster: Some(name("main")), ..issuer.config(IssuerKind::Kubernetes) };
        let workloads = WorkloadParts { issuers: vec![config], reviews: Arc::new(OneAccount { uid }) };
        let bench = Bench::with(Vec::new(), workloads).await;
        // What the token itself says of its account is not what counts.
        let token = issuer.token(&of_cluster("u-1", 3600));
        let given = exchange(&bench, wish(token), &declared).await;
        assert_eq!(given.is_ok(), is_let_in, "{uid}: {given:?}");
    }
}

#[tokio::test]
async fn abuse_26_a_cluster_that_is_not_asked_is_believed_for_ten_minutes() {
    let issuer = CiIssuer::start().await;
    let bench = issuer.bench(IssuerKind::Kubernetes).await;
    let declared = [workload("reports", &account_pins())];
    let bring = |claims: Value| exchange(&bench, wish(issuer.token(&claims)), &declared);
    assert!(bring(of_cluster("u-1", 600)).await.is_ok());
    assert!(bring(of_cluster("u-1", 601)).await.is_err());
    assert!(bring(of_cluster("u-2", 600)).await.is_err());
    assert!(bring(json!({})).await.is_err(), "a job's token is not a ServiceAccount's");
}
