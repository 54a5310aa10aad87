//! The tester of SCIM's own people, run against one of our servers. It is no server, and nothing starts it
//! but a test.

use std::{path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::variable;

/// Longer than it takes on a busy machine.
const BOUND: Duration = Duration::from_mins(3);
/// What its own entry point does.
const ENTRY: &str = "import sys; from scim2_cli import cli; sys.argv[0] = 'scim2'; cli()";

/// The folder that holds it.
#[derive(Clone)]
pub struct ScimTester(PathBuf);

impl ScimTester {
    pub fn from_env() -> Option<Self> {
        variable("PEERS_SCIM2_TESTER_BIN").map(|folder| Self(folder.into()))
    }

    /// All of its checks of the service provider at `url`, and what it said.
    pub async fn test(&self, url: &str, token: &str) -> Result<String> {
        let mut command = Command::new("python3");
        command
            .args(["-c", ENTRY, "--url", url, "test", "--verbose"])
            .env("PYTHONPATH", &self.0)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("SCIM_CLI_HEADERS", format!("Authorization: Bearer {token}"))
            .env_remove("HTTP_PROXY")
            .env_remove("http_proxy")
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output =
            tokio::time::timeout(BOUND, command.output()).await.context("the tester does not end")??;
        let said =
            [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).join("\n");
        ensure!(output.status.success(), "the tester is not content:\n{said}");
        Ok(said)
    }
}
