//! What every room stands on: ids, names, time, chance, secret values and problems.
//!
//! Time and chance come in from outside (invariant 10): only this room asks the machine for them,
//! everything else is handed an [`Ambient`].

pub mod ambient;
pub mod config;
pub mod hex;
pub mod ids;
pub mod located;
pub mod names;
mod pattern;
pub mod problem;
pub mod secret;
pub mod telemetry;
pub mod time;

pub use ambient::Ambient;
pub use config::Config;
pub use names::{EnvironmentRef, LeaseRef, Name, SecretName, SecretRef};
pub use pattern::fits;
pub use problem::{Problem, ProblemKind};
pub use secret::SecretValue;
pub use time::Timestamp;

/// What most functions of this crate answer with.
pub type Result<T, E = Problem> = std::result::Result<T, E>;
