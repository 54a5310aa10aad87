//! Messages that wait to be sent.

use std::sync::Arc;

use super::{Webhook, mail::CHANNEL};
use crate::{
    audit::Work,
    base::{Result, ids::MessageId},
    store::sql,
};

/// Takes messages, one row for each channel, in the transaction of what they tell about. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    channels: Arc<Vec<String>>,
}

impl Outbox {
    /// An outbox for these webhooks.
    #[must_use]
    pub fn new(webhooks: &[Webhook]) -> Self {
        Self { channels: Arc::new(webhooks.iter().map(|webhook| webhook.channel().to_owned()).collect()) }
    }

    /// The same, for e-mail, too, where that is sent.
    #[must_use]
    pub fn with_mail(mut self, is_sent: bool) -> Self {
        if is_sent {
            Arc::make_mut(&mut self.channels).push(CHANNEL.to_owned());
        }
        self
    }

    /// Writes a message on `topic`, such as `request.created`. `data` never holds a value or a token.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn enqueue(&self, work: &mut Work<'_>, topic: &str, data: &serde_json::Value) -> Result<()> {
        let now = work.now();
        let body = serde_json::json!({"type": topic, "timestamp": now, "data": data}).to_string();
        for channel in self.channels.iter() {
            let id: MessageId = work.ambient().id();
            work.execute(
                sql("INSERT INTO outbox (id, channel, topic, body, created_at, attempts, next_at) \
                     VALUES ($1, $2, $3, $4, $5, 0, $5)")
                .bind(id)
                .bind(channel)
                .bind(topic)
                .bind(&body)
                .bind(now),
            )
            .await?;
        }
        Ok(())
    }
}
