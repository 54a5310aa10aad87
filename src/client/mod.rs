//! The API's client: typed methods over HTTP, one file an area.
//!
//! Problems of the server come back as [`Problem`](crate::base::Problem)s; a server that does not answer, or answers
//! something else, is one, too, and names the address. Tokens and values are in no message and no log.

mod access;
mod audit;
mod catalog;
mod connections;
mod deliveries;
mod device;
mod events;
mod exposures;
mod leases;
mod leavers;
mod login;
mod moves;
mod people;
mod removals;
mod requests;
mod rotation;
mod secrets;
mod server_url;
mod sessions;
mod step_up;
mod transport;
mod workloads;

pub use access::{Access, AccessLine};
pub use audit::{AuditExport, AuditPage, PersonName, UnknownName};
pub use catalog::{Application, ApplicationEnvironment, Applied, Apply};
pub use connections::{
    ConnectionChange, ConnectionChecked, ConnectionDetails, ConnectionGroup, ConnectionLine, ConnectionToken,
    NewConnection, Refused, Retired, Unlinked,
};
pub use deliveries::{Deliveries, Delivery};
pub use device::{Device, DeviceSignedIn};
pub use events::Events;
pub use exposures::{Exposure, Exposures, UnknownReaders};
pub use leases::{Credential, Lease, Lent};
pub use leavers::{Delay, HeldThing, Leaver, LeaverLine, LeaverPreview, Left, Power, Step};
pub use login::{Login, NewLogin, SignedIn};
pub use moves::Move;
pub use people::{Person, PersonAct, PersonLine};
pub use removals::{Announced, Decided, ExpectedRemovals, HeldAct, HeldRemoval};
pub use requests::{Asked, Decision, Grant, NewRequest, Request, Verdict};
pub use rotation::{RotationPlace, RotationTask, RotationWaiver};
pub use secrets::{Generate, Secret, SecretChange, Value, Version, VersionMade};
pub use server_url::ServerUrl;
pub use sessions::{HeldGroup, HeldScope, Session, WhoAmI};
pub use step_up::{Confirming, NewStepUp};
pub use transport::Client;
pub use workloads::{JobToken, Somebody, WorkloadAmI};

use serde::{Deserialize, Serialize};

/// The version of the server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerVersion {
    /// As in `Cargo.toml`.
    pub version: String,
}

impl Client {
    /// Which version the server is of. Needs no sign-in.
    ///
    /// # Errors
    /// `server-unavailable`.
    pub async fn version(&self) -> crate::base::Result<ServerVersion> {
        self.get(&["version"], &[]).await
    }
}

#[cfg(test)]
mod tests;
