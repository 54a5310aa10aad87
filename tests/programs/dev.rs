//! `port-control dev`

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use port_control::{base::SecretValue, dev::browser::Browser};
use url::Url;

use crate::support::program::port_control;

/// A `dev` that stays up.
struct Dev {
    child: Child,
    /// Everything that it printed until it was up.
    lines: Vec<String>,
}

impl Dev {
    fn start(folder: &Path) -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_port-control"))
            .args(["dev", "--listen", "127.0.0.1:0", "--data", "data"])
            .env_remove("CARGO_MANIFEST_DIR")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let mut lines = Vec::new();
        for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
            let line = line?;
            let is_last = line.starts_with("Ctrl-C");
            lines.push(line);
            if is_last {
                return Ok(Self { child, lines });
            }
        }
        anyhow::bail!("it ended with {}: {}", child.wait()?, lines.join("\n"))
    }

    fn after(&self, words: &str) -> Result<String> {
        let found = self.lines.iter().find_map(|line| line.split_once(words));
        Ok(found.with_context(|| format!("no '{words}' in {:?}", self.lines))?.1.to_owned())
    }

    fn stop(mut self) -> Result<()> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn plays_once_and_leaves_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary)?;
    let output = Command::new(env!("CARGO_BIN_EXE_port-control"))
        .args(["dev", "--once", "--listen", "127.0.0.1:0"])
        .env("TMPDIR", &temporary)
        .current_dir(folder.path())
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    for chapter in ["Declare", "Join", "Use", "Ask", "Deliver", "Leave", "Prove", "The whole main job took"] {
        ensure!(told.contains(chapter), "{chapter} is told: {told}");
    }
    ensure!(fs::read_dir(&temporary)?.next().is_none(), "its folder is gone");
    ensure!(fs::read_dir(folder.path())?.count() == 1, "nothing lies where it was called");
    Ok(())
}

/// What it prints can be typed as it stands, in the folder where it was called.
pub async fn stays_up_and_its_next_commands_run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(folder.path())?;
    let url: Url = dev.after("Port Control is open at ")?.parse()?;
    let secret = SecretValue::from(dev.after("this start's secret: ")?);
    let commands: Vec<String> = dev
        .lines
        .iter()
        .filter(|line| line.contains("portctl "))
        .map(|line| line.trim().to_owned())
        .collect();
    ensure!(commands.len() == 5, "five commands: {commands:?}");

    let mut browser = Browser::new().map_err(|e| anyhow::anyhow!("{e}"))?;
    browser.sign_in(&url, "dev", "dana", &secret).await.map_err(|e| anyhow::anyhow!("{e}"))?;
    let mut login = shell(folder.path(), &format!("{} --no-browser", commands[0])).spawn()?;
    let mut line = String::new();
    BufReader::new(login.stderr.take().context("no standard error")?).read_line(&mut line)?;
    let page = line.trim().rsplit(' ').next().unwrap_or_default().parse()?;
    let page = browser.open(page).await.map_err(|e| anyhow::anyhow!("{e}"))?;
    let back = browser.submit_to_leave(&page, &[]).await.map_err(|e| anyhow::anyhow!("{e}"))?;
    browser.open(back).await.map_err(|e| anyhow::anyhow!("{e}"))?;
    ensure!(login.wait()?.success(), "{}", commands[0]);

    for command in &commands[1..] {
        let output = shell(folder.path(), command).output()?;
        ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        ensure!(!output.stdout.is_empty(), "{command} says something");
    }
    dev.stop()?;

    let again = Dev::start(folder.path())?;
    ensure!(again.lines[0].contains("was played in this folder before"), "{:?}", again.lines);
    again.stop()
}

/// As a shell runs it, with a home of its own.
fn shell(folder: &Path, command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    shell
}

pub async fn is_for_loopback_alone() -> Result<()> {
    let output = port_control(&["dev", "--once", "--listen", "0.0.0.0:0"])?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2) && told.contains("not a loopback address"), "{told}");
    Ok(())
}

/// Its sign-ins prove nothing: `serve` never opens its database.
pub async fn what_it_made_is_not_served() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data").display().to_string();
    let once = port_control(&["dev", "--once", "--listen", "127.0.0.1:0", "--data", &data])?;
    ensure!(once.status.success(), "{}", String::from_utf8_lossy(&once.stderr));
    let config = folder.path().join("port-control.toml");
    let database = format!("sqlite:{data}/port-control.db");
    fs::write(&config, super::serve::config(&database, &format!("{data}/master-key")))?;
    let output = port_control(&["serve", "--config", &config.display().to_string()])?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && told.contains("made by `port-control dev`"), "{told}");
    Ok(())
}
