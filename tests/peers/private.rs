//! A server that belongs to one test, which may kill it, make it hang, and start it again.

use std::{
    fs,
    future::Future,
    ops::Deref,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::process::{Process, free_port};

/// What a server needs to be started by the script in its folder, as `tests/run` does it.
pub trait Peer: Sized + Send + Sync {
    /// The folder below `tests/peers`.
    const NAME: &'static str;
    /// The variable that says where the program is.
    const PROGRAM: &'static str;
    /// The script's first argument for each process, in the order of starting; the last of them is the
    /// server, those before are what it rests on.
    const PARTS: &'static [&'static str] = &[""];

    /// Reads what the start left in `folder`; an error while it is not there yet.
    fn open(folder: &Path, port: u16) -> Result<Self>;

    /// Whether it does its work, not only whether it listens.
    fn answers(&self) -> impl Future<Output = bool> + Send;
}

/// A server of the test's own. Gone with this value.
pub struct Private<P> {
    peer: P,
    port: u16,
    processes: Vec<Process>,
    folder: PathBuf,
    // Last, so that its removal comes after the processes' end.
    place: TempDir,
}

impl<P> Deref for Private<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.peer
    }
}

impl<P> Drop for Private<P> {
    fn drop(&mut self) {
        // The server before what it rests on.
        while self.processes.pop().is_some() {}
    }
}

impl<P: Peer> Private<P> {
    /// Starts one with empty data and waits until it answers.
    pub async fn start() -> Result<Self> {
        let mut tries = 3;
        loop {
            let failure = match Self::try_start().await {
                Ok(started) => return Ok(started),
                Err(failure) => failure,
            };
            tries -= 1;
            // Between our look and its start, somebody else may have taken the port.
            if tries == 0 || !format!("{failure:#}").to_lowercase().contains("address already in use") {
                return Err(failure);
            }
        }
    }

    async fn try_start() -> Result<Self> {
        let place = tempfile::Builder::new().prefix("port-control-peer.").tempdir()?;
        // PostgreSQL runs as another user when we are root, and has to pass through.
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o711))?;
        let folder = place.path().join(P::NAME);
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        let port = free_port();
        let mut processes = Vec::new();
        for part in P::PARTS {
            processes.push(launch::<P>(part, place.path(), &folder, port)?);
        }
        let peer = ready(&mut processes, place.path(), &folder, port).await?;
        Ok(Self { peer, port, processes, folder, place })
    }

    /// Kills the server, as a crash would. What it rests on (etcd) goes on.
    pub fn kill(&mut self) {
        self.processes.truncate(P::PARTS.len() - 1);
    }

    /// Makes it hang: connections are accepted by the system, and nobody answers.
    pub fn pause(&self) {
        self.server().pause();
    }

    /// Ends the hanging.
    pub fn resume(&self) {
        self.server().signal("CONT");
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts it again after [`Self::kill`], on the same port and data, and waits until it answers.
    pub async fn start_again(&mut self) -> Result<()> {
        self.kill();
        let part = P::PARTS.last().context("a peer has a part")?;
        let limit = Duration::from_secs(30);
        // PostgreSQL refuses until the last of its killed processes is gone.
        let mut tries = 20;
        loop {
            self.processes.push(launch::<P>(part, self.place.path(), &self.folder, self.port)?);
            let started = ready::<P>(&mut self.processes, self.place.path(), &self.folder, self.port);
            match tokio::time::timeout(limit, started).await? {
                Ok(peer) => {
                    self.peer = peer;
                    return Ok(());
                }
                Err(failure) if tries == 0 => return Err(failure),
                Err(_) => tries -= 1,
            }
            self.kill();
        }
    }

    fn server(&self) -> &Process {
        self.processes.last().expect("a private server is there until it is killed")
    }
}

fn launch<P: Peer>(role: &str, place: &Path, folder: &Path, port: u16) -> Result<Process> {
    if super::variable(P::PROGRAM).is_none() {
        bail!("{} is missing: a {} of one's own needs tests/run", P::PROGRAM, P::NAME);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(P::NAME).join("start");
    let mut command = Command::new(script);
    if !role.is_empty() {
        command.arg(role);
    }
    command.arg(folder).arg(port.to_string());
    Process::start(command, place, &place.join("log"))
}

/// Waits until it answers, or says what it said if it ends.
async fn ready<P: Peer>(processes: &mut [Process], place: &Path, folder: &Path, port: u16) -> Result<P> {
    let server = std::cell::RefCell::new(processes.last_mut().context("nothing was started")?);
    let look = async || {
        if !server.borrow_mut().runs() {
            return Some(None);
        }
        let peer = P::open(folder, port).ok()?;
        peer.answers().await.then_some(Some(peer))
    };
    let found = super::wait_for(P::NAME, Duration::from_mins(1), look).await;
    match found {
        Ok(Some(peer)) => Ok(peer),
        Ok(None) => bail!("{} ended. The end of what it said:\n{}", P::NAME, said(place)),
        Err(late) => Err(late.context(said(place))),
    }
}

fn said(place: &Path) -> String {
    let text = fs::read_to_string(place.join("log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
