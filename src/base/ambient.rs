//! Time and chance, handed to everything that needs them (invariant 10).

use std::{fmt, sync::Arc};

use ring::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;

use super::{
    ids::Id,
    time::{Clock, SystemClock, Timestamp},
};

/// A source of unpredictable bytes.
pub trait Chance: Send + Sync {
    /// Fills `buffer`.
    fn fill(&self, buffer: &mut [u8]);
}

struct SystemChance(SystemRandom);

impl Chance for SystemChance {
    fn fill(&self, buffer: &mut [u8]) {
        // Going on with predictable keys and tokens would be worse than ending the process.
        self.0.fill(buffer).expect("the operating system gives random bytes");
    }
}

/// Bytes that follow from a seed alone, so that a simulation can be repeated. Never for keys.
pub struct SeededChance {
    key: ring::hmac::Key,
    drawn: std::sync::atomic::AtomicU64,
}

impl SeededChance {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            key: ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &seed.to_be_bytes()),
            drawn: std::sync::atomic::AtomicU64::new(0),
        }
    }
}

impl Chance for SeededChance {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let n = self.drawn.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let block = ring::hmac::sign(&self.key, &n.to_be_bytes());
            chunk.copy_from_slice(&block.as_ref()[..chunk.len()]);
        }
    }
}

/// The time and the chance that a part of the program lives in. Cheap to clone.
#[derive(Clone)]
pub struct Ambient {
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
}

impl fmt::Debug for Ambient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ambient({})", self.now())
    }
}

impl Ambient {
    /// The machine's clock and random numbers; time starts no earlier than `floor`.
    #[must_use]
    pub fn system(floor: Timestamp) -> Self {
        Self::new(
            Arc::new(SystemClock::starting_at_least(floor)),
            Arc::new(SystemChance(SystemRandom::new())),
        )
    }

    /// Any clock, any chance.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, chance: Arc<dyn Chance>) -> Self {
        Self { clock, chance }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.chance.fill(&mut bytes);
        bytes
    }

    /// A new id: sortable by time, unguessable in the rest (UUID version 7, RFC 9562).
    #[must_use]
    pub fn id<I: Id>(&self) -> I {
        let millis = u64::try_from(self.now().as_millis()).unwrap_or(0);
        I::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes()).into_uuid())
    }

    /// A random UUID, for where a standard wants one.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }
}
