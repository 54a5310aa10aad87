use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::base::{Ambient, ProblemKind, SecretValue, Timestamp};

fn client(url: &str) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let token = SecretValue::from("a-token".to_owned());
    Client::with_time_limit(
        url.parse().unwrap(),
        Some(token),
        Ambient::system(Timestamp::EPOCH),
        Duration::from_millis(500),
    )
    .unwrap()
}

/// A server that answers its callers with these, one each, and tells what they sent.
async fn answering(answers: Vec<String>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 8192];
            let n = stream.read(&mut buffer).await.unwrap();
            heard.push(String::from_utf8_lossy(&buffer[..n]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heard
    });
    (url, heard)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let problem = client("http://127.0.0.1:1").version().await.unwrap_err();
    assert!(problem.is(ProblemKind::ServerUnavailable));
    assert!(problem.detail.contains("http://127.0.0.1:1"), "{problem}");
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let problem = client(&url).version().await.unwrap_err();
    assert!(problem.detail.contains("in time"), "{problem}");
}

#[tokio::test]
async fn problems_of_the_server_come_back_as_they_are() {
    let body = r#"{"type":"https://portcontrol.dev/problems/needs-grant","title":"t","status":403,"detail":"d","remedy":"r"}"#;
    let (url, _heard) = answering(vec![answer("403 Forbidden", body)]).await;
    let problem = client(&url).version().await.unwrap_err();
    assert!(problem.is(ProblemKind::NeedsGrant));
    assert_eq!((problem.detail.as_str(), problem.remedy.as_deref()), ("d", Some("r")));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let redirect = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let (url, _heard) = answering(vec![redirect.to_owned()]).await;
    let problem = client(&url).version().await.unwrap_err();
    assert!(problem.detail.contains("redirect"), "{problem}");
}

#[tokio::test]
async fn an_answer_that_is_not_ours_is_told_without_its_content() {
    let (url, _heard) = answering(vec![answer("200 OK", r#"{"value":"hunter2"}"#)]).await;
    let problem = client(&url).version().await.unwrap_err();
    assert!(problem.is(ProblemKind::ServerUnavailable) && !problem.to_string().contains("hunter2"));
}

#[tokio::test]
async fn what_is_not_known_to_have_happened_is_repeated_with_the_same_key() {
    let unknown = r#"{"type":"https://portcontrol.dev/problems/outcome-unknown","detail":"d"}"#;
    let done = r#"{"name":"A","version":2}"#;
    let (url, heard) =
        answering(vec![answer("503 Service Unavailable", unknown), answer("201 Created", done)]).await;
    let at = "reports/sandbox@supa-team/A".parse().unwrap();
    let made = client(&url).set_secret(&at, &SecretValue::from("x".to_owned()), None).await.unwrap();
    assert_eq!(made.version, 2);
    let keys: Vec<String> = heard
        .await
        .unwrap()
        .iter()
        .map(|sent| {
            assert!(sent.starts_with(
                "POST /api/v1/applications/reports/environments/sandbox@supa-team/secrets/A/versions "
            ));
            assert!(sent.contains("authorization: Bearer a-token"));
            sent.lines().find(|line| line.starts_with("idempotency-key: ")).unwrap().to_owned()
        })
        .collect();
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn a_binary_value_is_read_byte_by_byte() {
    let body = r#"{"name":"A","version":1,"encoding":"base64","value":"AP8="}"#;
    let (url, _heard) = answering(vec![answer("200 OK", body)]).await;
    let value = client(&url).reveal(&"reports/sandbox/A".parse().unwrap(), Some(1)).await.unwrap();
    assert_eq!(value.value.expose(), [0, 255]);
}

#[tokio::test]
async fn an_answer_without_a_body_is_one() {
    let none = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_owned();
    let (url, heard) = answering(vec![none.clone(), none]).await;
    client(&url).resume_delivery("reports-production").await.unwrap();
    client(&url).end_session("ses_1").await.unwrap();
    let heard = heard.await.unwrap();
    assert!(heard[0].starts_with("POST /api/v1/deliveries/reports-production/resume "), "{}", heard[0]);
    assert!(heard[1].starts_with("DELETE /api/v1/sessions/ses_1 "), "{}", heard[1]);
}

#[tokio::test]
async fn where_there_is_no_place_it_is_tried_again() {
    let full = r#"{"type":"https://portcontrol.dev/problems/overloaded","detail":"d"}"#;
    let answers =
        vec![answer("503 Service Unavailable", full), answer("201 Created", r#"{"name":"A","version":1}"#)];
    let (url, _heard) = answering(answers).await;
    let at = "reports/sandbox/A".parse().unwrap();
    let made = client(&url).set_secret(&at, &SecretValue::from("x".to_owned()), None).await.unwrap();
    assert_eq!(made.version, 1);
}
