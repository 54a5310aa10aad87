//! `port-control serve` and `port-control migrate`

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{Opening, Server};
use crate::{
    api::{self, Tls},
    base::{Config, Problem, ProblemKind, Result},
    store::Database,
};

/// Serves until SIGTERM or SIGINT; then drains.
///
/// # Errors
/// Where the server cannot be opened, or the address not be listened on.
pub async fn serve(config: Config) -> Result<()> {
    let tls = match &config.tls {
        Some(files) => Some(Tls::load(files).await?),
        None => None,
    };
    let listen = config.listen;
    let server = Server::open(config, Opening::Serve).await?;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        Problem::new(ProblemKind::InvalidConfiguration, format!("{listen} cannot be listened on: {error}"))
            .remedy("Name another address: `listen`.")
    })?;
    server.record_start().await?;
    let router = api::router(server.app.clone());
    tracing::info!(%listen, version = env!("CARGO_PKG_VERSION"), "ready");
    server.run(listener, router, tls, stop_on_signal()?).await
}

/// Cancelled at the first SIGTERM or SIGINT.
///
/// # Errors
/// `internal` where signals cannot be heard.
pub fn stop_on_signal() -> Result<CancellationToken> {
    let hear = |kind| signal(kind).map_err(|e| Problem::internal(format!("signals cannot be heard: {e}")));
    let (mut terminate, mut interrupt) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}

/// Makes the migrations that the database lacks; how many it made.
///
/// # Errors
/// A problem of the database.
pub async fn migrate(config: &Config) -> Result<usize> {
    let url = config.database.read()?;
    let database = Database::open(url.expose_text().unwrap_or_default()).await?;
    let pending = database.pending_migrations().await?;
    database.migrate().await?;
    database.close().await;
    Ok(pending)
}
