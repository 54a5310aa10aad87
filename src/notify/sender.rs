//! Sends what waits in the outbox: at least once, again and again until it is taken.

use std::time::Duration;

use futures::future::join_all;
use reqwest::{Client, redirect};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Mail, Webhook, mail::CHANNEL};
use crate::{
    audit::Head,
    base::{Ambient, Problem, Result, Timestamp, hex},
    store::{Database, sql},
};

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a message is left alone by others while it is being sent.
const CLAIM: Duration = Duration::from_secs(30);
/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause: nothing is ever given up.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// How long nothing is looked at, at most.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How many messages are under way at once.
const AT_ONCE: usize = 16;

/// Sends messages to their webhooks, and by e-mail.
pub struct Sender {
    database: Database,
    ambient: Ambient,
    webhooks: Vec<Webhook>,
    mail: Option<Mail>,
    client: Client,
}

#[derive(sqlx::FromRow)]
struct Waiting {
    id: String,
    channel: String,
    body: String,
    attempts: i64,
    next_at: i64,
    recipient: Option<String>,
}

impl Sender {
    /// How long one attempt may take.
    pub const PATIENCE: Duration = PATIENCE;

    /// Sends to these webhooks and no others. Follows no redirect: a signed message goes where it was
    /// meant to go.
    ///
    /// # Errors
    /// Where no TLS client can be made.
    pub fn new(database: Database, ambient: Ambient, webhooks: Vec<Webhook>) -> Result<Self> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(PATIENCE)
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("port-control/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| Problem::internal(format!("no client for webhooks: {}", e.without_url())))?;
        Ok(Self { database, ambient, webhooks, mail: None, client })
    }

    /// Sends by e-mail, too.
    #[must_use]
    pub fn with_mail(mut self, mail: Mail) -> Self {
        self.mail = Some(mail);
        self
    }

    /// Sends until `stop`, woken by the growing log and by the next attempt that is due.
    pub async fn run(self, mut log: watch::Receiver<Head>, stop: CancellationToken) {
        if self.webhooks.is_empty() && self.mail.is_none() {
            return stop.cancelled().await;
        }
        while !stop.is_cancelled() {
            log.borrow_and_update();
            let sleep = match self.look().await {
                Ok(sleep) => sleep,
                Err(problem) => {
                    tracing::warn!(%problem, "the outbox could not be read");
                    FIRST_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(sleep) => {}
                _ = log.changed() => {}
            }
        }
    }

    /// Sends what is due; how long until more is.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn look(&self) -> Result<Duration> {
        loop {
            let due = self.due().await?;
            if due.is_empty() {
                return self.until_next().await;
            }
            for outcome in join_all(due.into_iter().map(|message| self.send(message))).await {
                outcome?;
            }
        }
    }

    async fn due(&self) -> Result<Vec<Waiting>> {
        let now = self.ambient.now();
        let mut due = Vec::new();
        let channels = self.webhooks.iter().map(Webhook::channel);
        for channel in channels.chain(self.mail.iter().map(|_| CHANNEL)) {
            let rows: Vec<Waiting> = self
                .database
                .fetch_all(
                    sql("SELECT id, channel, body, attempts, next_at, recipient FROM outbox \
                         WHERE done_at IS NULL AND next_at <= $1 AND channel = $2 ORDER BY next_at, id LIMIT 16")
                    .bind(now)
                    .bind(channel),
                )
                .await?;
            due.extend(rows);
        }
        due.truncate(AT_ONCE);
        Ok(due)
    }

    async fn until_next(&self) -> Result<Duration> {
        let next: Option<(Option<i64>,)> = self
            .database
            .fetch_optional(sql("SELECT min(next_at) FROM outbox WHERE done_at IS NULL"))
            .await?;
        let next = next.and_then(|(at,)| at).map(Timestamp::from_millis);
        let sleep = next.map_or(LONGEST_SLEEP, |at| at.since(self.ambient.now()));
        Ok(sleep.clamp(Duration::from_millis(200), LONGEST_SLEEP))
    }

    async fn send(&self, message: Waiting) -> Result<()> {
        if !self.claim(&message).await? {
            return Ok(());
        }
        match self.deliver(&message).await? {
            Ok(()) => self.done(&message).await,
            Err(why) => {
                tracing::warn!(message = message.id, why, "a message was not taken");
                self.postpone(&message, &why).await
            }
        }
    }

    /// Sends a message by its channel; what went wrong.
    async fn deliver(&self, message: &Waiting) -> Result<Result<(), String>> {
        let webhook = self.webhooks.iter().find(|webhook| webhook.channel() == message.channel);
        if let Some(webhook) = webhook {
            return Ok(self.post(webhook, message).await.map_err(|why| format!("{}: {why}", webhook.host())));
        }
        let Some(mail) = &self.mail else { return Ok(Ok(())) };
        let Some(recipient) = &message.recipient else { return self.hand_out(mail, message).await.map(Ok) };
        // Each recipient's row ends in what tells it from the others; they are all one message.
        let id = message.id.split('.').next().unwrap_or(&message.id);
        let sent = mail.send(id, &message.body, recipient, self.ambient.now()).await;
        Ok(sent.map_err(|why| format!("{}: {why}", mail.host())))
    }

    /// Makes one row for each recipient, the same ones however often it is tried.
    async fn hand_out(&self, mail: &Mail, message: &Waiting) -> Result<()> {
        for recipient in mail.recipients(&message.body).await? {
            let digest = ring::digest::digest(&ring::digest::SHA256, recipient.as_bytes());
            let id = format!("{}.{}", message.id, hex::encode(&digest.as_ref()[..8]));
            let now = self.ambient.now();
            self.database
                .write_unrecorded(
                    "outbox",
                    sql("INSERT INTO outbox (id, channel, topic, body, created_at, attempts, next_at, recipient) \
                         SELECT $2, channel, topic, body, created_at, 0, $3, $4 FROM outbox WHERE id = $1 \
                         ON CONFLICT (id) DO NOTHING")
                    .bind(&message.id)
                    .bind(id)
                    .bind(now)
                    .bind(recipient),
                )
                .await?;
        }
        Ok(())
    }

    /// Takes a message for a while, so that no other replica sends it, too.
    async fn claim(&self, message: &Waiting) -> Result<bool> {
        let touched = self
            .database
            .write_unrecorded(
                "outbox",
                sql("UPDATE outbox SET next_at = $2, attempts = attempts + 1 \
                     WHERE id = $1 AND next_at = $3 AND done_at IS NULL")
                .bind(&message.id)
                .bind(self.ambient.now().after(CLAIM))
                .bind(message.next_at),
            )
            .await?;
        Ok(touched == 1)
    }

    async fn post(&self, webhook: &Webhook, message: &Waiting) -> Result<(), String> {
        let now = self.ambient.now();
        let answer = self
            .client
            .post(webhook.url().clone())
            .header("content-type", "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", now.as_seconds().to_string())
            .header("webhook-signature", webhook.signature(&message.id, now, &message.body))
            .body(message.body.clone())
            .send()
            .await
            .map_err(|e| e.without_url().to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("it answered {}", answer.status())) }
    }

    async fn done(&self, message: &Waiting) -> Result<()> {
        let query = sql("UPDATE outbox SET done_at = $2, last_error = NULL, recipient = NULL WHERE id = $1")
            .bind(&message.id)
            .bind(self.ambient.now());
        self.database.write_unrecorded("outbox", query).await?;
        Ok(())
    }

    async fn postpone(&self, message: &Waiting, why: &str) -> Result<()> {
        let query = sql("UPDATE outbox SET next_at = $2, last_error = $3 WHERE id = $1 AND done_at IS NULL")
            .bind(&message.id)
            .bind(self.ambient.now().after(self.pause(message.attempts)))
            .bind(why);
        self.database.write_unrecorded("outbox", query).await?;
        Ok(())
    }

    /// Doubles with each failed attempt, up to an hour; a part of it is chance, so that many messages
    /// do not come back at one instant.
    fn pause(&self, failed_before: i64) -> Duration {
        let doublings = u32::try_from(failed_before.clamp(0, 16)).unwrap_or(16);
        let longest = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        longest / 2 + (longest / 2).mul_f64(f64::from(self.ambient.bytes::<1>()[0]) / 255.0)
    }
}
