//! Words and headers.

use lettre::message::Mailbox;
use serde_json::json;

use super::{AddressBook, letter, recipients, text};
use crate::base::{Result, Timestamp};

fn message(topic: &str, data: &serde_json::Value) -> String {
    json!({ "type": topic, "timestamp": "2026-03-01T12:00:00Z", "data": data }).to_string()
}

#[test]
fn every_topic_with_a_template_says_what_it_is_about() {
    for (topic, data, words) in [
        (
            "request.created",
            json!({"person": "per_1", "action": "reveal", "scope": "production-access", "at": "reports/production",
                "for": "1h", "reason": "INC-123", "expires_at": "soon", "link": "https://x/requests/req_1"}),
            ["reports/production", "INC-123", "1h", "https://x/requests/req_1"],
        ),
        (
            "leaver.opened",
            json!({"person": "per_1", "team": "supa-team", "secrets": ["reports/production/A", "b/c/D"]}),
            ["supa-team", "per_1", "reports/production/A, b/c/D", "portctl"],
        ),
        (
            "person.moved",
            json!({"person": "per_1", "team": "supa-team", "way": "out of", "scopes_lost": ["developer"],
                "grants_ended": ["grt_1"]}),
            ["out of the team supa-team", "per_1", "developer", "portctl person moves"],
        ),
        (
            "removal.held",
            json!({"connection": "okta", "batch": "rmb_1", "passes": 10}),
            ["okta", "10", "suspended", "portctl leaver held"],
        ),
        (
            "removal.refused",
            json!({"person": "per_1", "by": "connection/okta", "because": "last-administrator"}),
            ["per_1", "connection/okta", "last-administrator", "administrator"],
        ),
        (
            "request.without-approver",
            json!({"request": "req_1", "person": "per_1", "scope": "production-access", "at": "reports/production"}),
            ["req_1", "per_1", "production-access", "reports/production"],
        ),
        ("some.other", json!({"one": 1, "two": ["a", "b"]}), ["some.other", "one: 1", "two: a, b", ""]),
    ] {
        let text = text::of(&message(topic, &data)).unwrap();
        assert!(!text.subject.is_empty() && text.subject.is_ascii(), "{text:?}");
        for word in words {
            assert!(text.subject.contains(word) || text.body.contains(word), "{topic}: {word}: {text:?}");
        }
    }
}

#[test]
fn abuse_38_nothing_from_outside_makes_a_header_or_a_line() {
    let evil = "x\r\nBcc: everybody@example.com\r\n\r\n\u{202e}evil\u{7}";
    let data = json!({"person": evil, "action": evil, "scope": evil, "at": evil, "for": evil, "reason": evil,
        "expires_at": evil, "link": evil});
    let from: Mailbox = "Port Control <port-control@example.com>".parse().unwrap();
    for topic in ["request.created", "leaver.opened", "removal.held", "removal.refused", "any.topic", evil] {
        let body = message(topic, &data);
        let letter = letter::write(&from, "ada@example.com", "msg_1", &body, Timestamp::EPOCH).unwrap();
        let written = String::from_utf8(letter.formatted()).unwrap();
        let (head, _) = written.split_once("\r\n\r\n").unwrap();
        assert!(!head.to_lowercase().contains("\r\nbcc:"), "{head}");
        assert_eq!(letter.envelope().to().len(), 1);
        let text = text::of(&body).unwrap();
        assert!(text.body.lines().all(|line| !line.starts_with("Bcc:")), "{text:?}");
        assert!(!text.body.contains(['\u{202e}', '\u{7}', '\r']) && !text.subject.contains('\n'));
    }
    for address in ["ada@example.com\r\nRCPT TO:<eve@example.com>", "ada", "", "a@b@c"] {
        let body = message("any.topic", &json!({}));
        assert!(letter::write(&from, address, "msg_1", &body, Timestamp::EPOCH).is_err(), "{address}");
    }
}

#[test]
fn a_letter_sent_again_has_the_same_id_and_the_date_of_now() {
    let from: Mailbox = "port-control@example.com".parse().unwrap();
    let at: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let body = message("any.topic", &json!({}));
    let letter = letter::write(&from, "ada@example.com", "msg_1", &body, at).unwrap();
    let written = String::from_utf8(letter.formatted()).unwrap();
    assert!(written.contains("Message-ID: <msg_1@example.com>"), "{written}");
    assert!(written.contains("Date: Sun, 01 Mar 2026 12:00:00"), "{written}");
    assert!(written.contains("Auto-Submitted: auto-generated"), "{written}");
}

/// A team without an address, one with, and one person.
struct Book;

#[async_trait::async_trait]
impl AddressBook for Book {
    async fn of_team(&self, team: &str) -> Result<Option<String>> {
        Ok((team == "supa-team").then(|| "supa@example.com".to_owned()))
    }

    async fn of_person(&self, person: &str) -> Result<Option<String>> {
        Ok((person == "per_1").then(|| "omar@example.com".to_owned()))
    }
}

#[tokio::test]
async fn a_message_goes_to_those_who_can_do_something_about_it() {
    let administrators = ["it@example.com".to_owned()];
    for (data, expected) in [
        (json!({"approvers": [{"id": "per_1"}, {"id": "per_2"}], "team": "supa-team"}), "omar@example.com"),
        (json!({"approvers": [{"id": "per_2"}]}), "it@example.com"),
        (json!({"approvers": []}), "it@example.com"),
        (json!({"team": "supa-team"}), "supa@example.com"),
        (json!({"team": "other-team"}), "it@example.com"),
        (json!({"connection": "okta"}), "it@example.com"),
    ] {
        let found = recipients::of(&message("any.topic", &data), &Book, &administrators).await.unwrap();
        assert_eq!(found, [expected], "{data}");
    }
}
