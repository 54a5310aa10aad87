//! Listening, and ending well.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use axum_server::{Handle, tls_rustls::RustlsConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::base::{Problem, ProblemKind, Result, config::TlsFiles};

/// How long an answer that has begun may take to end once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(8);

/// How long a caller may take to say what it wants, from one request's end or the connection's begin.
const HEADERS: Duration = Duration::from_secs(10);
/// How often a connection of HTTP/2 on which nothing happens is asked whether anybody is there, and how
/// long the answer may take.
const ANYBODY_THERE: Duration = Duration::from_secs(20);
/// How many requests one connection of HTTP/2 may have open.
const STREAMS: u32 = 100;

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
    if let Some(Tls(config)) = tls {
        let server = axum_server::from_tcp_rustls(listener, config).map_err(failed)?;
        patient(server).handle(handle).serve(service).await
    } else {
        let server = axum_server::from_tcp(listener).map_err(failed)?;
        patient(server).handle(handle).serve(service).await
    }
    .map_err(failed)
}

/// Keeps no connection on which nobody says anything.
fn patient<A>(mut server: axum_server::Server<SocketAddr, A>) -> axum_server::Server<SocketAddr, A> {
    let builder = server.http_builder();
    builder.http1().header_read_timeout(HEADERS);
    builder
        .http2()
        .keep_alive_interval(ANYBODY_THERE)
        .keep_alive_timeout(ANYBODY_THERE)
        .max_concurrent_streams(STREAMS);
    server.first_request_timeout(HEADERS)
}
