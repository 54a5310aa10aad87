//! What witnesses and forwarding share: how others are asked over HTTPS, how long is waited after a
//! failure, and which replica's turn it is.

use std::time::Duration;

use reqwest::{Client, Response, redirect};

use crate::{
    base::{Ambient, Problem, Result},
    store::{Database, sql},
};

/// How long one exchange may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How much of an answer is read, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

/// A client that follows no redirect: what is sent goes where it was meant to go.
pub(super) fn client() -> Result<Client> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(PATIENCE)
        .connect_timeout(Duration::from_secs(5))
        .user_agent(concat!("port-control/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| Problem::internal(format!("no client for HTTPS: {}", e.without_url())))
}

/// What went wrong on the way, without the address, which may hold a token.
pub(super) fn said_by(error: reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_connect() {
        "it cannot be reached"
    } else {
        "it did not answer as HTTP has it"
    };
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("{what}: {cause}")
}

/// The text of an answer, where it is text and of a length to be expected.
pub(super) async fn text_of(mut answer: Response) -> Result<String, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(said_by)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST_ANSWER {
            return Err(format!("its answer is longer than {LONGEST_ANSWER} bytes"));
        }
    }
    String::from_utf8(bytes).map_err(|_| "its answer is no text".to_owned())
}

/// Doubles with each failure; half of it is chance, so that many do not come back at one instant.
pub(super) fn pause(ambient: &Ambient, failures: u32, first: Duration, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let longest = first.saturating_mul(1 << doublings).min(longest);
    longest / 2 + (longest / 2).mul_f64(f64::from(ambient.bytes::<1>()[0]) / 255.0)
}

/// The right of one replica to do what only one of them should do. It runs out by itself where its holder
/// is gone.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    name: String,
    holder: String,
    lease: Duration,
}

impl Turn {
    /// Turns of `holder` at `name`, each for so long.
    pub(super) fn new(name: String, holder: String, lease: Duration) -> Self {
        Self { name, holder, lease }
    }

    /// Takes it, or prolongs it; whether it is ours now.
    pub(super) async fn take(&self, database: &Database, ambient: &Ambient) -> Result<bool> {
        let now = ambient.now();
        let row = sql("INSERT INTO log_turns (name, holder, held_until) VALUES ($1, $2, $3) \
                       ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, \
                       held_until = excluded.held_until \
                       WHERE log_turns.holder = excluded.holder OR log_turns.held_until <= $4")
        .bind(&self.name)
        .bind(&self.holder)
        .bind(now.after(self.lease))
        .bind(now);
        Ok(database.write_unrecorded("log_turns", row).await? == 1)
    }

    /// Gives it back, so that another need not wait until it runs out.
    pub(super) async fn give_back(&self, database: &Database) {
        let row =
            sql("DELETE FROM log_turns WHERE name = $1 AND holder = $2").bind(&self.name).bind(&self.holder);
        if let Err(error) = database.write_unrecorded("log_turns", row).await {
            tracing::debug!(%error, "a turn was not given back; it runs out by itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{ambient::SeededChance, time::ManualClock};

    #[test]
    fn pauses_double_up_to_the_longest() {
        let clock = Arc::new(ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap()));
        let ambient = Ambient::new(clock, Arc::new(SeededChance::new(1)));
        let (first, longest) = (Duration::from_secs(2), Duration::from_mins(5));
        for (failures, most) in [(0, 2), (1, 2), (2, 4), (5, 32), (9, 300), (u32::MAX, 300)] {
            let found = pause(&ambient, failures, first, longest);
            let most = Duration::from_secs(most);
            assert!(found >= most / 2 && found <= most, "{failures}: {found:?}");
        }
    }

    #[tokio::test]
    async fn one_holder_at_a_time_and_another_after_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&format!("sqlite:{}/test.db", folder.path().display())).await.unwrap();
        database.migrate().await.unwrap();
        let clock = Arc::new(ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap()));
        let ambient = Ambient::new(Arc::clone(&clock) as _, Arc::new(SeededChance::new(1)));
        let turn = |holder: &str| Turn::new("t".to_owned(), holder.to_owned(), Duration::from_secs(30));
        let (one, other) = (turn("one"), turn("other"));
        assert!(one.take(&database, &ambient).await.unwrap());
        assert!(one.take(&database, &ambient).await.unwrap());
        assert!(!other.take(&database, &ambient).await.unwrap());
        clock.advance(Duration::from_secs(30));
        assert!(other.take(&database, &ambient).await.unwrap());
        assert!(!one.take(&database, &ambient).await.unwrap());
        one.give_back(&database).await;
        assert!(!one.take(&database, &ambient).await.unwrap(), "only the holder gives it back");
        other.give_back(&database).await;
        assert!(one.take(&database, &ambient).await.unwrap());
    }
}
