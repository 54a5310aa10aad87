//! What a message says in words: a template for each topic, and one for all that have none.
//!
//! The first line is the subject. Everything that came from outside is made one line of printable text.

use askama::Template;
use serde::Deserialize;
use serde_json::Value;

/// The longest subject, in characters.
const LONGEST_SUBJECT: usize = 150;

/// A letter's words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) subject: String,
    pub(super) body: String,
}

macro_rules! topics {
    ($($topic:literal => $name:ident $path:literal { $($field:ident),* };)*) => {
        $(
            #[derive(Deserialize, Template)]
            #[template(path = $path, escape = "none")]
            struct $name {
                $(#[serde(default)] $field: Said,)*
            }
        )*

        /// The words of a topic that has a template of its own.
        fn of_topic(topic: &str, data: &Value) -> Option<String> {
            match topic {
                $($topic => $name::deserialize(data).ok()?.render().ok(),)*
                _ => None,
            }
        }
    };
}

topics! {
    "request.created" => RequestCreated "mail/request_created.txt" { person, action, scope, at, length, reason, expires_at, link };
    "request.without-approver" => WithoutApprover "mail/request_without_approver.txt" { request, person, scope, at };
    "leaver.opened" => LeaverOpened "mail/leaver_opened.txt" { person, team, secrets };
    "person.moved" => PersonMoved "mail/person_moved.txt" { person, team, way, scopes_gained, scopes_lost, grants_ended };
    "removal.held" => RemovalHeld "mail/removal_held.txt" { connection, passes };
    "removal.refused" => RemovalRefused "mail/removal_refused.txt" { person, by, because };
}

/// A text, a number or a list, as one line that shows nothing but itself.
#[derive(Default)]
struct Said(String);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self(said(&value)))
    }
}

/// One line, without control characters and marks that change the direction of writing.
fn said(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(said).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_hidden(c) { ' ' } else { c }).collect()
}

#[derive(Template)]
#[template(path = "mail/any.txt", escape = "none")]
struct Any {
    topic: String,
    lines: Vec<(String, String)>,
}

/// The words of a topic that has no template: its name and all that it says.
fn of_any(topic: &str, data: &Value) -> String {
    let fields = data.as_object().into_iter().flatten();
    let lines = fields.map(|(name, value)| (said(&Value::from(name.as_str())), said(value))).collect();
    let any = Any { topic: said(&Value::from(topic)), lines };
    any.render().unwrap_or_else(|_| any.topic.clone())
}

/// The words of a message of the outbox.
pub(super) fn of(body: &str) -> Result<Text, String> {
    let mut message: Value =
        serde_json::from_str(body).map_err(|_| "the message cannot be read".to_owned())?;
    let topic = message["type"].as_str().unwrap_or_default().to_owned();
    let mut data = message["data"].take();
    // What templates call by another name than messages do.
    if let Some(length) = data.get("for").cloned() {
        data["length"] = length;
    }
    let words = of_topic(&topic, &data).unwrap_or_else(|| of_any(&topic, &data));
    let (subject, rest) = words.split_once('\n').unwrap_or((words.as_str(), ""));
    Ok(Text {
        subject: subject.trim().chars().take(LONGEST_SUBJECT).collect(),
        body: format!("{}\n", rest.trim()),
    })
}
