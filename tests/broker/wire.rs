//! The wire to the API server, to be cut and to be held.

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
};

use crate::peers::Kubernetes;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// They get through.
    Whole,
    /// Connections end, and new ones, too.
    Cut,
    /// Connections stay, and nothing gets through.
    Held,
}

/// The cluster as it is reached by the wire, and what becomes of it.
pub async fn wire(upstream: &Kubernetes) -> Result<(Kubernetes, watch::Sender<Wire>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut cluster = upstream.clone();
    cluster.url = format!("https://{}", listener.local_addr()?);
    let to = upstream.url.trim_start_matches("https://").to_owned();
    let (set, state) = watch::channel(Wire::Whole);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(carry(near, to.clone(), state.clone()));
        }
    });
    Ok((cluster, set))
}

async fn carry(near: TcpStream, to: String, mut state: watch::Receiver<Wire>) {
    let Ok(far) = TcpStream::connect(to).await else { return };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = copy(near_in, far_out, state.clone()) => {}
        () = copy(far_in, near_out, state.clone()) => {}
        _ = state.wait_for(|it| *it == Wire::Cut) => {}
    }
}

async fn copy(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, mut state: watch::Receiver<Wire>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length) = from.read(&mut buffer).await {
        if length == 0 || state.wait_for(|it| *it != Wire::Held).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
