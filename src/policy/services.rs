//! Permits of our own services.

use std::sync::Arc;

use super::{Action, Facts, Permit, Policies, Resource, Service, ServiceFacts};
use crate::base::{Ambient, Problem};

/// Gives our services their permits. Rooms that act by themselves hold one of these.
pub trait ServicePermits: Send + Sync {
    /// The permit of `service` to do `action` to `resource`.
    ///
    /// # Errors
    /// `denied` where its policies do not say so: a fault in our code.
    fn permit(&self, service: Service, action: Action, resource: Resource) -> Result<Permit, Problem>;
}

/// Services' permits from the built-in policies and a clock.
pub struct OwnServices {
    policies: Arc<Policies>,
    ambient: Ambient,
}

impl OwnServices {
    /// Permits decided by `policies` at the time that `ambient` tells.
    #[must_use]
    pub fn new(policies: Arc<Policies>, ambient: Ambient) -> Self {
        Self { policies, ambient }
    }
}

impl ServicePermits for OwnServices {
    fn permit(&self, service: Service, action: Action, resource: Resource) -> Result<Permit, Problem> {
        let facts = Facts::Service(ServiceFacts { service, now: self.ambient.now() });
        self.policies.decide(&facts, action, resource).map_err(|denial| denial.to_problem())
    }
}
