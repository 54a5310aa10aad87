//! `port-control key rotate-log` and `key retire-log`

use super::{Opening, Server};
use crate::{
    audit::{LogKeys, VerifierKey},
    base::{Config, Result},
    policy::{Action, Resource, Service},
};

/// Makes a further key that the log is signed with, beside those in use; what it is verified with. Running
/// servers sign with it in a moment.
///
/// # Errors
/// Where the server cannot be opened or the log not be written.
pub async fn rotate_log_key(config: Config) -> Result<VerifierKey> {
    change(config, Change::Add).await
}

/// Has the key of this id sign the log no more; what it was verified with.
///
/// # Errors
/// `not-found`; `conflict` where no other has taken over from it; as [`rotate_log_key`].
pub async fn retire_log_key(config: Config, id: &str) -> Result<VerifierKey> {
    change(config, Change::Retire(id)).await
}

enum Change<'a> {
    Add,
    Retire(&'a str),
}

async fn change(config: Config, change: Change<'_>) -> Result<VerifierKey> {
    let origin = config.log.origin.clone();
    let server = Server::open(config, Opening::Serve).await?;
    let keys = LogKeys::new(server.app.log.clone(), server.app.keys.clone(), origin);
    let outcome = match server.permits.permit(Service::Operator, Action::Operate, Resource::Keys) {
        Err(problem) => Err(problem),
        Ok(permit) => match change {
            Change::Add => keys.add(permit).await,
            Change::Retire(id) => keys.retire(permit, id).await,
        },
    };
    server.app.log.drain().await;
    server.app.database.close().await;
    outcome
}
