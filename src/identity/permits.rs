//! Permits for what this room does by itself.

use crate::{
    base::Result,
    policy::{Action, Permit, Resource, Service},
};

/// Gives our own services their permits.
pub trait ServicePermits: Send + Sync {
    /// The permit of `service` to do `action` to `resource`.
    ///
    /// # Errors
    /// `denied` where its policies do not say so: a fault in our code.
    fn permit(&self, service: Service, action: Action, resource: Resource) -> Result<Permit>;
}
