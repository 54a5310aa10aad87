//! `port-control recover-access`

use super::{Opening, Server};
use crate::{
    base::{Config, Result},
    identity::RecoveryRight,
};

/// Makes a right to come back in when the identity provider is down: good once, for a quarter of an
/// hour, and in the log. Whoever can run this on the server's machine holds the database and the keys
/// anyway.
///
/// # Errors
/// Where the server cannot be opened or the log not be written.
pub async fn recover_access(config: Config, reason: &str) -> Result<RecoveryRight> {
    let server = Server::open(config, Opening::Serve).await?;
    let right = server.app.identity.create_recovery(reason).await;
    server.app.log.drain().await;
    server.app.database.close().await;
    right
}
