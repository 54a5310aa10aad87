//! A letter: headers that nothing can be smuggled into, and plain text.

use std::time::{Duration, UNIX_EPOCH};

use lettre::{
    Message,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
};

use super::text;
use crate::base::Timestamp;

/// The letter that says `body`, a message of the outbox, to `recipient`.
pub(super) fn write(
    from: &Mailbox,
    recipient: &str,
    id: &str,
    body: &str,
    now: Timestamp,
) -> Result<Message, String> {
    let words = text::of(body)?;
    let to: Mailbox = recipient.parse().map_err(|_| "the recipient's address cannot be read".to_owned())?;
    let sent = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
    // The same message sent again has the same id: a reader's program can tell.
    let message_id = format!("<{id}@{}>", from.email.domain());
    // So that no out-of-office reply comes back.
    let automatic =
        HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    Message::builder()
        .from(from.clone())
        .to(to)
        .date(sent)
        .message_id(Some(message_id))
        .subject(words.subject)
        .raw_header(automatic)
        .header(ContentType::TEXT_PLAIN)
        .body(words.body)
        .map_err(|error| format!("the letter cannot be written: {error}"))
}
