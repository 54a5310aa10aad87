//! `port-control key rotate`

use super::{Opening, Server};
use crate::base::{Config, Result};

/// Makes a new key that further values are wrapped under, and wraps what is there anew; how many
/// versions that were. Beside running servers: either key opens what it wrapped until all is done.
///
/// # Errors
/// Where the server cannot be opened or the log not be written. Run again, it goes on.
pub async fn rotate_key(config: Config) -> Result<u64> {
    let server = Server::open(config, Opening::Serve).await?;
    let outcome = server.app.secrets.rotate_key().await;
    server.app.log.drain().await;
    server.app.database.close().await;
    outcome
}
