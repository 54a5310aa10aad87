//! Listening, and ending well.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use axum_server::{Handle, tls_rustls::RustlsConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::base::{Problem, ProblemKind, Result, config::TlsFiles};

/// How long an answer that has begun may take to end once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(8);

/// TLS of our own.
pub struct Tls(RustlsConfig);

impl Tls {
    /// Reads the certificate chain and its key.
    ///
    /// # Errors
    /// `invalid-configuration` naming the files.
    pub async fn load(files: &TlsFiles) -> Result<Self> {
        RustlsConfig::from_pem_file(&files.certificate, &files.key).await.map(Self).map_err(|error| {
            Problem::new(
                ProblemKind::InvalidConfiguration,
                format!(
                    "TLS cannot be set up with {} and {}: {error}",
                    files.certificate.display(),
                    files.key.display()
                ),
            )
            .remedy("[tls] wants a chain and its private key, both PEM.")
        })
    }
}

/// Answers on `listener` until `stop`; then takes no more, and ends what has begun.
///
/// # Errors
/// `internal` where the socket fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Tls>,
    stop: CancellationToken,
) -> Result<()> {
    let failed = |error: std::io::Error| Problem::internal(format!("serving failed: {error}"));
    let listener = listener.into_std().map_err(failed)?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let handle = Handle::new();
    let ending = handle.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        ending.graceful_shutdown(Some(DRAIN));
    });
    match tls {
        Some(Tls(config)) => {
            axum_server::from_tcp_rustls(listener, config)
                .map_err(failed)?
                .handle(handle)
                .serve(service)
                .await
        }
        None => axum_server::from_tcp(listener).map_err(failed)?.handle(handle).serve(service).await,
    }
    .map_err(failed)
}
