//! The HTTP API: one endpoint a file, with its errors, docs and tests.
//!
//! JSON under `/api/v1`; errors are problem documents (RFC 9457). Which routes may be called by anybody
//! is listed in [`public`]; every other one takes an [`Auth`].

pub mod audit;
mod auth;
mod backchannel;
pub mod catalog;
pub mod deliveries;
pub mod exposures;
pub mod grants;
mod health;
mod host;
mod idempotency;
pub mod identity;
mod json;
pub mod leases;
pub mod leavers;
mod limits;
mod metrics;
pub mod moves;
pub mod names;
mod network;
mod openapi;
mod problem;
pub mod public;
mod refusal;
pub mod removals;
pub mod requests;
pub mod rotation;
mod router;
mod scim;
pub mod scim_connections;
pub mod secrets;
mod serve;
mod trace;
mod version;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub(crate) use auth::cookie;
pub use auth::{AnyAuth, Auth};
pub(crate) use identity::device_flow;
pub use json::Json;
pub use limits::Limits;
pub use metrics::upkeep;
pub use network::Network;
pub use openapi::document;
pub(crate) use refusal::problem_in;
pub use router::{router, router_within};
pub use serve::{Tls, serve};

use crate::{
    access::{Gate, Requests},
    audit::{
        Log,
        archive::{Archivist, Entries},
        witness::WitnessPolicy,
    },
    base::{Ambient, Config},
    broker::Broker,
    catalog::Catalog,
    identity::{Identity, scim::Scim},
    keys::Keys,
    revocation::{Revocation, Rotation},
    secrets::{Leases, Secrets},
    store::Database,
};

/// What endpoints and pages work with: one of each room.
pub struct App {
    /// Where people get their permits.
    pub gate: Gate,
    /// People and sessions.
    pub identity: Identity,
    /// What identity providers say by their connections.
    pub scim: Scim,
    /// What files declare.
    pub catalog: Catalog,
    /// Requests, approvals and grants.
    pub requests: Requests,
    /// What leavers still hold.
    pub revocation: Revocation,
    /// Rotation tasks.
    pub rotation: Rotation,
    /// Deliveries.
    pub broker: Broker,
    /// Secrets.
    pub secrets: Secrets,
    /// Leases of dynamic credentials.
    pub leases: Leases,
    /// Keys.
    pub keys: Keys,
    /// The log.
    pub log: Log,
    /// Entries of the log, wherever they lie.
    pub entries: Entries,
    /// Who moves old ones to the archive; nothing where there is none.
    pub archivist: Option<Archivist>,
    /// Whose cosignatures make a checkpoint a witnessed one.
    pub witness_policy: Arc<WitnessPolicy>,
    /// The database.
    pub database: Database,
    /// Time and chance.
    pub ambient: Ambient,
    /// The server's configuration.
    pub config: Arc<Config>,
    /// Cancelled once the server has been told to stop.
    pub stop: CancellationToken,
}
