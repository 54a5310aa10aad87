//! Tells the outside: messages are written in the unit of what they tell about, and sent afterwards,
//! at least once each, as signed webhooks (Standard Webhooks 1.0).

mod outbox;
mod sender;
mod webhook;

#[cfg(test)]
mod tests;

pub use outbox::Outbox;
pub use sender::Sender;
pub use webhook::Webhook;
