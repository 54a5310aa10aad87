//! The entry by which an auditor sees when no server was there.

use async_trait::async_trait;

use super::Server;
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::Result,
    policy::{Action, Permit, Resource, Service},
};

impl Server {
    /// Records that it begins to serve. The entry before that one is the last sign of whoever served before.
    ///
    /// # Errors
    /// What recording answers: a server that cannot record does not begin.
    pub(super) async fn record_start(&self) -> Result<()> {
        let permit = self.permits.permit(Service::Operator, Action::Operate, Resource::Log)?;
        self.app.log.perform(Started { permit }).await
    }
}

struct Started {
    permit: Permit,
}

#[async_trait]
impl Unit for Started {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        work.record(
            Draft::act("server.started").resource("server").with("version", env!("CARGO_PKG_VERSION")),
        );
        Ok(())
    }
}
