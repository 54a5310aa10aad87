//! Processes that end with the test, whichever way the test ends.

use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

/// A server in a process group of its own.
pub struct Process {
    child: Child,
    /// Ends the group and removes its folder when this process dies without a chance to do it.
    watchdog: Child,
}

impl Process {
    /// Starts `command`, which works in `folder`, and appends what it says to `log`.
    pub fn start(mut command: Command, folder: &Path, log: &Path) -> Result<Self> {
        let output = fs::File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} could not be started", command.get_program().display()))?;
        let watchdog = watchdog(child.id(), folder)?;
        Ok(Self { child, watchdog })
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal (`STOP`, `CONT`, `KILL`) to it and all that it started, also where a child has
    /// left the group, as PostgreSQL's do.
    pub fn signal(&self, name: &str) {
        send(name, &descendants(self.child.id()));
    }

    /// Stops all of it, and returns when the last thread stands still; until then it may answer.
    pub fn pause(&self) {
        self.signal("STOP");
        let all = descendants(self.child.id());
        for _ in 0..2000 {
            if all.iter().all(|process| stands_still(*process)) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("process {} does not stop", self.child.id());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal("KILL");
        // In this order: until the leader is waited for, nobody else can get the group's number, which
        // the watchdog would kill.
        drop(self.watchdog.kill());
        drop(self.watchdog.wait());
        drop(self.child.wait());
    }
}

/// Its standard input ends when this process does, however that happens. `PR_SET_PDEATHSIG` would not
/// do: it is bound to the thread that started the server, and runtimes end threads as they like.
fn watchdog(group: u32, folder: &Path) -> Result<Child> {
    Command::new("bash")
        .args(["-c", r#"cat >/dev/null; kill -s KILL -- "-$1"; rm -rf "$2""#, "watchdog"])
        .arg(group.to_string())
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("bash could not be started, which watches over the servers of the tests")
}

/// The standard library can only kill one process.
fn send(signal: &str, processes: &[u32]) {
    let numbers = processes.iter().map(ToString::to_string);
    let sent = Command::new("bash")
        .args(["-c", r#"kill -s "$0" -- "$@""#, signal])
        .args(numbers)
        .stderr(Stdio::null())
        .status();
    sent.expect("bash can be started");
}

/// `root` and everything below it, parents first.
fn descendants(root: u32) -> Vec<u32> {
    let parents = parents();
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(child, _)| *child));
        next += 1;
    }
    found
}

/// Whether every thread of a process is stopped (T) or gone.
fn stands_still(process: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return true };
    let states = threads.flatten().filter_map(|thread| stat(&thread.path()));
    states.filter_map(|fields| fields.chars().next()).all(|state| "TtZX".contains(state))
}

/// Every process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(|number: u32| Some((number, parent(number)?))).collect()
}

fn parent(process: u32) -> Option<u32> {
    stat(Path::new(&format!("/proc/{process}")))?.split_whitespace().nth(1)?.parse().ok()
}

/// What `stat` says of a process or thread after its name: state, parent, …
fn stat(of: &Path) -> Option<String> {
    let text = fs::read_to_string(of.join("stat")).ok()?;
    // The name is in parentheses and may itself have spaces and parentheses.
    Some(text.rsplit_once(") ")?.1.to_owned())
}

/// A port of loopback that nobody listens on, from below those that the system gives to outgoing
/// connections: a server that is started again has to find it free.
pub fn free_port() -> u16 {
    loop {
        let random = u16::from_str_radix(&super::unique("port")[5..9], 16).expect("four hexadecimal digits");
        let port = 20_000 + random % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
