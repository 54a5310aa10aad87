//! What the programs cost by themselves: `cargo bench --bench footprint`.

#[path = "support/mod.rs"]
mod measure;
#[path = "../tests/peers/mod.rs"]
mod peers;
#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64;
use measure::Times;
use port_control::base::time::Stopwatch;
use support::program::{free_port, port_control, write_private};

const SERVER: &str = env!("CARGO_BIN_EXE_port-control");
const PORTCTL: &str = env!("CARGO_BIN_EXE_portctl");
const SPAWNS: usize = 40;
const STARTS: usize = 15;
const STORIES: usize = 3;
/// How long a server is at rest before its memory is looked at.
const REST: Duration = Duration::from_secs(3);

/// A running server that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How long a command takes from its start to its end.
fn spawn(command: &mut Command) -> Result<Duration> {
    let since = Stopwatch::start();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let took = since.elapsed();
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(took)
}

fn configure(folder: &Path) -> Result<u16> {
    let port = free_port()?;
    write_private(&folder.join("master-key"), BASE64.encode(&[7; 32]).as_bytes())?;
    let database = format!("sqlite:{}", folder.join("port-control.db").display());
    write_private(&folder.join("database-url"), database.as_bytes())?;
    fs::write(
        folder.join("port-control.toml"),
        format!(
            "listen = \"127.0.0.1:{port}\"\npublic_url = \"http://127.0.0.1:{port}\"\n\
             administrators = [\"dev/it\"]\ncontact = \"ada@example.com\"\n\
             [keys]\nmaster_key_file = \"master-key\"\n[log]\norigin = \"port-control.invalid/bench\"\n\
             [database]\nurl_file = \"database-url\"\n[engine]\nkind = \"embedded\"\n\
             [clusters.main]\ndirectory = \"cluster\"\n\
             [[providers]]\nname = \"dev\"\nissuer = \"http://127.0.0.1:9\"\nclient_id = \"port-control\"\n"
        ),
    )?;
    let file = folder.join("port-control.toml").display().to_string();
    let migrated = port_control(&["migrate", "--config", &file])?;
    ensure!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    Ok(port)
}

/// Starts a server; how long it takes to be ready.
fn start(folder: &Path, port: u16) -> Result<(Running, Duration)> {
    let since = Stopwatch::start();
    let child = Command::new(SERVER)
        .args(["serve", "--config"])
        .arg(folder.join("port-control.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut running = Running(child);
    while !is_ready(port) {
        ensure!(running.0.try_wait()?.is_none(), "the server ended");
        ensure!(since.elapsed() < Duration::from_secs(30), "the server is not ready within 30 s");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok((running, since.elapsed()))
}

fn is_ready(port: u16) -> bool {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    };
    asked().is_ok_and(|said| said.starts_with("HTTP/1.1 200"))
}

/// Resident memory in MiB.
fn resident(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no size")?.parse()?;
    Ok(kib / 1024.0)
}

fn story() -> Result<Duration> {
    let folder = measure::folder()?;
    let data = folder.path().join("data");
    spawn(Command::new(SERVER).args(["dev", "--once", "--listen", "127.0.0.1:0", "--data"]).arg(data))
}

#[expect(clippy::print_stdout, reason = "a bench prints its table")]
fn main() -> Result<()> {
    let folder = measure::folder()?;
    let port = configure(folder.path())?;
    let (mut truth, mut local, mut asking, mut ready, mut told) =
        (Times::default(), Times::default(), Times::default(), Times::default(), Times::default());
    let mut memory = Vec::new();
    for _ in 0..STARTS {
        let (running, took) = start(folder.path(), port)?;
        ready.push(took);
        drop(running);
    }
    let (running, _) = start(folder.path(), port)?;
    for _ in 0..3 {
        std::thread::sleep(REST);
        memory.push(resident(running.0.id())?);
    }
    for _ in 0..SPAWNS {
        truth.push(spawn(&mut Command::new("/bin/true"))?);
        local.push(spawn(Command::new(PORTCTL).args(["version", "--client"]))?);
        let server = format!("http://127.0.0.1:{port}");
        asking.push(spawn(Command::new(PORTCTL).arg("version").env("PORTCTL_SERVER", server))?);
    }
    drop(running);
    for _ in 0..STORIES {
        told.push(story()?);
    }
    let one = truth.p50();
    println!("{}", measure::machine());
    println!("{:<44} {:>6} {:>12} {:>12}", "", "runs", "median", "ratio");
    for (what, times) in [
        ("/bin/true", &truth),
        ("portctl version --client", &local),
        ("portctl version, asking the server", &asking),
        ("port-control serve, until /readyz says 200", &ready),
        ("port-control dev --once, the whole story", &told),
    ] {
        println!("{what:<44} {:>6} {:>9.2} ms {:>12.1}", times.count(), times.p50(), times.p50() / one);
    }
    memory.sort_by(f64::total_cmp);
    println!("{:<44} {:>6} {:>9.1} MiB", "port-control serve at rest, resident", memory.len(), memory[1]);
    Ok(())
}
