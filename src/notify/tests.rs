//! Messages against a real listener: signed, repeated until taken, never redirected.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::IntoResponse,
    routing::post,
};

use super::{Outbox, Sender, Webhook};
use crate::{
    audit::{Authority, Draft, FactsOfNow, Log, Unit, Work},
    base::{Ambient, Result, SecretValue, Timestamp, ambient::SeededChance, time::ManualClock},
    policy::{Action, FactVersions, Permit, Principal, Resource, Service},
    store::{Database, WriteTx, sql},
};

struct Unmoved;

#[async_trait]
impl FactsOfNow for Unmoved {
    async fn confirm(&self, _: &mut WriteTx, _: &Permit, _: Timestamp) -> Result<()> {
        Ok(())
    }
}

/// Something happens that is told.
struct Tell(Permit, Outbox);

#[async_trait]
impl Unit for Tell {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.0)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        work.record(Draft::act("request.created"));
        self.1.enqueue(work, "request.created", &serde_json::json!({"reason": "INC-123"})).await
    }
}

/// A database with one message for `webhook`, its clock, and the sender.
struct Post {
    _folder: tempfile::TempDir,
    database: Database,
    clock: Arc<ManualClock>,
    sender: Sender,
}

impl Post {
    async fn with_a_message_for(webhook: &Webhook) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&format!("sqlite:{}/test.db", folder.path().display())).await.unwrap();
        database.migrate().await.unwrap();
        let clock = Arc::new(ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap()));
        let ambient = Ambient::new(Arc::clone(&clock) as _, Arc::new(SeededChance::new(7)));
        let log = Log::open(database.clone(), ambient.clone(), Arc::new(Unmoved)).await.unwrap();
        let permit = Permit::for_tests(
            Principal::Service(Service::Operator),
            Action::Operate,
            Resource::People,
            FactVersions::default(),
            ambient.now(),
        );
        log.perform(Tell(permit, Outbox::new(std::slice::from_ref(webhook)))).await.unwrap();
        let sender = Sender::new(database.clone(), ambient, vec![webhook.clone()]).unwrap();
        Self { _folder: folder, database, clock, sender }
    }
}

/// Keeps what it gets, and answers as it is told.
#[derive(Clone, Default)]
struct Listener {
    got: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    answers: Arc<Mutex<Vec<StatusCode>>>,
}

async fn hook(State(listener): State<Listener>, headers: HeaderMap, body: String) -> impl IntoResponse {
    listener.got.lock().unwrap().push((headers, body));
    let status = listener.answers.lock().unwrap().pop().unwrap_or(StatusCode::NO_CONTENT);
    (status, [(LOCATION, "/elsewhere")])
}

async fn listen(listener: &Listener) -> Webhook {
    let app =
        Router::new().route("/hook", post(hook)).route("/elsewhere", post(hook)).with_state(listener.clone());
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", socket.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(socket, app).await });
    let secret = SecretValue::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
    Webhook::new(url.parse().unwrap(), &secret).unwrap()
}

#[tokio::test]
async fn a_message_is_signed_and_sent_again_until_it_is_taken() {
    let listener = Listener::default();
    let webhook = listen(&listener).await;
    let post = Post::with_a_message_for(&webhook).await;
    *listener.answers.lock().unwrap() = vec![StatusCode::FOUND, StatusCode::INTERNAL_SERVER_ERROR];
    for attempt in 1..=3 {
        post.sender.look().await.unwrap();
        assert_eq!(listener.got.lock().unwrap().len(), attempt, "once each time it is due");
        post.sender.look().await.unwrap();
        post.clock.advance(Duration::from_secs(5));
    }
    let open = sql("SELECT CAST(count(*) AS BIGINT) FROM outbox WHERE done_at IS NULL");
    assert_eq!(post.database.fetch_optional::<(i64,)>(open).await.unwrap(), Some((0,)));
    assert_eq!(listener.got.lock().unwrap().len(), 3);
    let got = listener.got.lock().unwrap();
    let header = |n: usize, name: &str| got[n].0[name].to_str().unwrap().to_owned();
    assert_eq!(header(0, "webhook-id"), header(2, "webhook-id"), "the same message");
    for (n, (_, body)) in got.iter().enumerate() {
        let at = Timestamp::from_millis(header(n, "webhook-timestamp").parse::<i64>().unwrap() * 1000);
        assert_eq!(header(n, "webhook-signature"), webhook.signature(&header(n, "webhook-id"), at, body));
        assert!(body.contains("INC-123"));
    }
}

#[tokio::test]
async fn a_listener_that_is_gone_loses_nothing_and_is_asked_less_and_less() {
    let secret = SecretValue::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
    let webhook = Webhook::new("http://127.0.0.1:9/token-abc".parse().unwrap(), &secret).unwrap();
    let post = Post::with_a_message_for(&webhook).await;
    for _ in 0..40 {
        post.sender.look().await.unwrap();
        post.clock.advance(Duration::from_hours(1));
    }
    let row: (i64, String) =
        post.database.fetch_optional(sql("SELECT attempts, last_error FROM outbox")).await.unwrap().unwrap();
    assert_eq!(row.0, 40, "never given up, and once an hour at last");
    assert!(!row.1.contains("token-abc"), "an address is not told");
}
