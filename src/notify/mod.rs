//! Tells the outside: messages are written in the unit of what they tell about, and sent afterwards,
//! at least once each, as signed webhooks (Standard Webhooks 1.0) and as e-mail.

mod mail;
mod outbox;
mod sender;
mod webhook;

#[cfg(test)]
mod tests;

pub use mail::{AddressBook, Mail, NoAddresses};
pub use outbox::Outbox;
pub use sender::Sender;
pub use webhook::Webhook;
