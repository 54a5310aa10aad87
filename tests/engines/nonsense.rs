//! Something answers at Vault's address that is not Vault.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::{ProblemKind, SecretValue},
    secrets::RemoteEngine,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use super::{by_token, config, ours, refused, vault};
use crate::support::trial;

const LOOKUP: &str = r#"{"data":{"ttl":0,"renewable":false}}"#;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("engines::vault::garbage_is_named_and_not_repeated", garbage_is_named_and_not_repeated),
        trial("engines::vault::an_endless_answer_is_cut_off", an_endless_answer_is_cut_off),
        trial("engines::vault::silence_ends", silence_ends),
        trial("engines::vault::a_redirect_does_not_get_the_token", a_redirect_does_not_get_the_token),
        trial("engines::vault::nobody_listens", nobody_listens),
    ]
}

/// What to do with one connection after its request was read.
#[derive(Clone, Copy)]
enum After {
    Close,
    /// Go on sending for as long as somebody reads.
    Flood,
    /// Say nothing more, and stay.
    Hang,
}

/// Answers the look-up of the token as Vault would, everything else with `answer`.
async fn pretender(answer: Vec<u8>, after: After) -> Result<(String, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, counter) = (answer.clone(), Arc::clone(&counter));
            tokio::spawn(async move {
                let mut request = vec![0; 64 * 1024];
                let length = stream.read(&mut request).await.unwrap_or(0);
                counter.fetch_add(1, Ordering::SeqCst);
                if request[..length].starts_with(b"GET /v1/auth/token/lookup-self") {
                    let _ = stream.write_all(&http("200 OK", "", LOOKUP)).await;
                    return;
                }
                let _ = stream.write_all(&answer).await;
                match after {
                    After::Close => {}
                    After::Flood => while stream.write_all(&[b'a'; 8192]).await.is_ok() {},
                    After::Hang => tokio::time::sleep(Duration::from_mins(1)).await,
                }
            });
        }
    });
    Ok((address, asked))
}

fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

async fn garbage_is_named_and_not_repeated() -> Result<()> {
    let faults = [
        http("200 OK", "", "hunter2"),
        http("200 OK", "", "[]"),
        http("200 OK", "", ""),
        http("204 No Content", "", ""),
        http("200 OK", "", r#"{"data":"hunter2"}"#),
        http("200 OK", "", r#"{"data":{"data":{"value":"hunter2"},"metadata":{"version":"hunter2"}}}"#),
        http("200 OK", "", r#"{"data":{"data":{"value":"hunter2"},"metadata":{"version":0}}}"#),
        http("200 OK", "", r#"{"data":{"data":{"value":7},"metadata":{"version":1}}}"#),
        http("404 Not Found", "", "<html>hunter2</html>"),
        http("404 Not Found", "", r#"{"errors":["hunter2"]}"#),
        http("400 Bad Request", "", r#"{"errors":["hunter2"]}"#),
        http("418 I'm a teapot", "", "hunter2"),
        http("200 OK", "", &format!("{}1", "[".repeat(100_000))),
    ];
    for answer in faults {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(120)]).into_owned();
        let (address, _) = pretender(answer, After::Close).await?;
        let vault = vault(config(&address, "kv", by_token("hunter2")))?;
        let read = refused(vault.read(&ours("A"), None).await, ProblemKind::EngineFault, &address);
        read.map_err(|error| error.context(shown))?;
        let write = vault.write(&ours("A"), &SecretValue::new(b"hunter2".to_vec()), 0).await;
        ensure!(write.is_err_and(|it| !it.to_string().contains("hunter2")));
    }
    let (address, _) = pretender(b"SSH-2.0-OpenSSH_9.9\r\nhunter2".to_vec(), After::Close).await?;
    let vault = vault(config(&address, "kv", by_token("hunter2")))?;
    refused(vault.read(&ours("A"), None).await, ProblemKind::EngineUnavailable, &address)?;
    Ok(())
}

async fn an_endless_answer_is_cut_off() -> Result<()> {
    let endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    let (address, _) = pretender(endless, After::Flood).await?;
    let vault = vault(config(&address, "kv", by_token("hunter2")))?;
    refused(vault.read(&ours("A"), None).await, ProblemKind::EngineFault, "longer than")?;
    // Headers without end, too.
    let (address, _) = pretender(b"HTTP/1.1 200 OK\r\nX-Long: ".to_vec(), After::Flood).await?;
    let vault = super::vault(config(&address, "kv", by_token("hunter2")))?;
    refused(vault.read(&ours("A"), None).await, ProblemKind::EngineUnavailable, &address)?;
    Ok(())
}

async fn silence_ends() -> Result<()> {
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec();
    for answer in [Vec::new(), half] {
        let (address, _) = pretender(answer, After::Hang).await?;
        let vault = vault(config(&address, "kv", by_token("hunter2")))?;
        let read = timeout(Duration::from_secs(8), vault.read(&ours("A"), None)).await?;
        refused(read, ProblemKind::EngineUnavailable, &address)?;
    }
    Ok(())
}

async fn a_redirect_does_not_get_the_token() -> Result<()> {
    let (elsewhere, asked) = pretender(http("200 OK", "", LOOKUP), After::Close).await?;
    let headers = format!("Location: {elsewhere}/v1/kv/data/a\r\n");
    let (address, _) = pretender(http("307 Temporary Redirect", &headers, ""), After::Close).await?;
    let vault = vault(config(&address, "kv", by_token("hunter2")))?;
    refused(vault.read(&ours("A"), None).await, ProblemKind::EngineFault, "redirects")?;
    ensure!(asked.load(Ordering::SeqCst) == 0, "it was followed");
    Ok(())
}

async fn nobody_listens() -> Result<()> {
    let free = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let address = format!("http://{free}");
    let vault = vault(config(&address, "kv", by_token("hunter2")))?;
    refused(vault.read(&ours("A"), None).await, ProblemKind::EngineUnavailable, &address)?;
    refused(vault.check_with(&[]).await, ProblemKind::EngineUnavailable, "sys/health")?;
    Ok(())
}
