//! A server that takes e-mail by SMTP, and keeps it where a test can read it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use port_control::base::{
    SecretValue,
    config::{Credential, MailConfig, MailTls},
};
use serde::Deserialize;

use super::{Peer, Private, variable};

/// A mail server of a test's own.
#[derive(Clone)]
pub struct Smtp {
    folder: PathBuf,
    port: u16,
    implicit: u16,
}

/// An e-mail that was taken.
#[derive(Clone, Debug, Deserialize)]
pub struct Taken {
    /// Whether the connection was safe.
    pub secure: bool,
    /// As whom the sender signed in.
    pub user: Option<String>,
    pub from: String,
    pub to: Vec<String>,
    /// Headers and body as they came.
    pub text: String,
}

impl Smtp {
    /// Whether `tests/run` made the program.
    pub fn is_there() -> bool {
        variable("PEERS_SMTP_BIN").is_some()
    }

    /// Starts one.
    pub async fn start_private() -> Result<Private<Self>> {
        Private::start().await
    }

    /// How a server sends e-mail to it.
    pub fn config(&self, tls: MailTls) -> MailConfig {
        MailConfig {
            host: "127.0.0.1".to_owned(),
            port: if tls == MailTls::Implicit { self.implicit } else { self.port },
            tls,
            ca_file: Some(self.folder.join("ca.crt")),
            from: "Port Control <port-control@example.com>".to_owned(),
            administrators: vec!["it@example.com".to_owned()],
            credentials: Some((
                "port-control".to_owned(),
                Credential::Value(SecretValue::from("a-password".to_owned())),
            )),
        }
    }

    /// Takes nothing for this address until it is told otherwise.
    pub fn refuse(&self, address: Option<&str>) -> Result<()> {
        Ok(fs::write(self.folder.join("refuse"), address.unwrap_or_default())?)
    }

    /// Everything that was taken.
    pub fn taken(&self) -> Result<Vec<Taken>> {
        let mut taken = Vec::new();
        for entry in fs::read_dir(self.folder.join("messages"))? {
            taken.push(serde_json::from_str(&fs::read_to_string(entry?.path())?)?);
        }
        Ok(taken)
    }
}

impl Peer for Smtp {
    const NAME: &'static str = "smtp";
    const PROGRAM: &'static str = "PEERS_SMTP_BIN";

    fn open(folder: &Path, port: u16) -> Result<Self> {
        let implicit = fs::read_to_string(folder.join("implicit-port"))?.parse()?;
        Ok(Self { folder: folder.to_owned(), port, implicit })
    }

    async fn answers(&self) -> bool {
        tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()
    }
}
