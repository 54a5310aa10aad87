//! A store of objects as S3 has it, which knows keys by their ids.

use std::path::Path;

use anyhow::Result;
use port_control::base::{
    SecretValue,
    config::{ArchivePlace, Credential, S3Config},
};

use super::{Peer, Private, http, unique, variable};

/// The bucket that is there.
const BUCKET: &str = "archive";
/// The only credentials that it knows, key and secret alike.
const KEY: &str = "S3RVER";

/// A server of one bucket.
#[derive(Clone)]
pub struct S3 {
    /// `http://127.0.0.1:PORT`
    pub url: String,
}

impl S3 {
    pub fn from_env() -> Option<Self> {
        variable("PEERS_S3_URL").map(|url| Self { url })
    }

    /// A server of the test's own, to be killed or made to hang. Objects outlive that.
    pub async fn start_private() -> Result<Private<Self>> {
        Private::start().await
    }

    /// A place in the bucket that no other test uses, as the configuration has it.
    pub fn place(&self) -> Result<S3Config> {
        Ok(S3Config {
            bucket: BUCKET.to_owned(),
            prefix: unique("log"),
            endpoint: Some(self.url.parse()?),
            region: "us-east-1".to_owned(),
            access_key_id: KEY.to_owned(),
            secret_access_key: Credential::Value(SecretValue::from(KEY.to_owned())),
            session_token: None,
        })
    }
}

/// A place in a bucket as the archive takes it.
pub fn archive_in(config: &S3Config) -> ArchivePlace {
    ArchivePlace::S3(Box::new(config.clone()))
}

impl Peer for S3 {
    const NAME: &'static str = "s3";
    const PROGRAM: &'static str = "PEERS_S3_BIN";

    fn open(_folder: &Path, port: u16) -> Result<Self> {
        Ok(Self { url: format!("http://127.0.0.1:{port}") })
    }

    async fn answers(&self) -> bool {
        let Ok(client) = http(None) else { return false };
        let answer = client.get(format!("{}/{BUCKET}/", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }
}
