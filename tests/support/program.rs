//! The two programs as child processes.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::peers::{http, wait_for};

/// A running `port-control serve`, ended with this value.
pub struct Server {
    child: Child,
    /// Its address, without a final slash.
    pub url: String,
    log: PathBuf,
}

impl Server {
    /// Makes the migrations, starts it with this configuration, and waits until it is ready. `config`
    /// has no `listen` and no `public_url`: they come from `port`.
    pub async fn start(folder: &Path, port: u16, config: &str) -> Result<Self> {
        let file = folder.join("port-control.toml");
        fs::write(
            &file,
            format!("listen = \"127.0.0.1:{port}\"\npublic_url = \"http://127.0.0.1:{port}\"\n{config}"),
        )?;
        let migrated = port_control(&["migrate", "--config", &file.display().to_string()])?;
        ensure!(migrated.status.success(), "migrate: {}", String::from_utf8_lossy(&migrated.stderr));
        let log = folder.join("server.log");
        let child = Command::new(env!("CARGO_BIN_EXE_port-control"))
            .args(["serve", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::OpenOptions::new().create(true).append(true).open(&log)?)
            .spawn()
            .context("port-control did not start")?;
        let mut server = Self { child, url: format!("http://127.0.0.1:{port}"), log };
        server.ready().await?;
        Ok(server)
    }

    async fn ready(&mut self) -> Result<()> {
        let client = http(None)?;
        let url = format!("{}/readyz", self.url);
        let ready = wait_for("port-control is ready", Duration::from_secs(30), || async {
            client.get(&url).send().await.ok().filter(|answer| answer.status().is_success()).map(drop)
        });
        let outcome = ready.await;
        if let Some(status) = self.child.try_wait()? {
            anyhow::bail!("port-control ended with {status}: {}", self.said());
        }
        outcome.with_context(|| self.said())
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power failure does: nothing of it runs any longer.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end, and waits; its exit status.
    pub fn stop(&mut self) -> Result<std::process::ExitStatus> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `port-control` to its end.
pub fn port_control(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_port-control")).args(arguments).stdin(Stdio::null()).output()?)
}

/// A loopback port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Writes a file that only its owner can read.
pub fn write_private(file: &Path, content: &[u8]) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    Ok(file.write_all(content)?)
}

/// `portctl` of one person: with a home of its own.
pub struct Portctl {
    home: PathBuf,
    server: String,
    token: Option<String>,
}

/// What `portctl` answered.
pub struct Answer {
    /// What it exited with.
    pub code: i32,
    /// Standard output, as bytes.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: String,
}

impl Portctl {
    /// With `home` for its settings; without a token it uses what it keeps there.
    pub fn new(home: &Path, server: &str, token: Option<String>) -> Result<Self> {
        fs::create_dir_all(home)?;
        Ok(Self { home: home.to_owned(), server: server.to_owned(), token })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portctl"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("XDG_CONFIG_HOME", &self.home)
            .env("XDG_STATE_HOME", &self.home)
            .env("PORTCTL_SERVER", &self.server)
            .current_dir(&self.home)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(token) = &self.token {
            command.env("PORTCTL_TOKEN", token);
        }
        command
    }

    /// Runs it to its end with this on its standard input.
    pub fn run_with(&self, arguments: &[&str], input: &[u8]) -> Result<Answer> {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn()?;
        child.stdin.take().context("no standard input")?.write_all(input)?;
        Ok(child.wait_with_output()?.into())
    }

    /// Runs it to its end without input.
    pub fn run(&self, arguments: &[&str]) -> Result<Answer> {
        Ok(self.command(arguments).stdin(Stdio::null()).output()?.into())
    }

    /// Starts it, to be watched.
    pub fn spawn(&self, arguments: &[&str]) -> Result<Child> {
        Ok(self.command(arguments).stdin(Stdio::null()).spawn()?)
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: output.stdout,
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Answer {
    /// Standard output, where it exited with 0.
    pub fn done(self) -> Result<String> {
        ensure!(self.code == 0, "exit code {}: {}", self.code, self.err);
        Ok(String::from_utf8(self.out)?)
    }

    /// Checks that it exited with `code` and said `what` on standard error.
    pub fn refused(self, code: i32, what: &str) -> Result<()> {
        ensure!(
            self.code == code && self.err.contains(what),
            "exit code {}, wanted {code} and '{what}': {}",
            self.code,
            self.err
        );
        Ok(())
    }
}
