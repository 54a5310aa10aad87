//! `portctl` as a child process, without a server: what it says, and what it exits with.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use libtest_mimic::{Failed, Trial};
use port_control::base::time::Stopwatch;

use crate::peers::Peers;

type Outcome = Result<(), Failed>;
type Case = (&'static str, fn() -> Outcome);

/// All cases.
pub fn trials(_: &Arc<Peers>) -> Vec<Trial> {
    let all: [Case; 9] = [
        ("an_unknown_command_is_a_usage_error", an_unknown_command_is_a_usage_error),
        ("a_value_as_an_argument_is_refused_unseen", a_value_as_an_argument_is_refused_unseen),
        ("without_a_sign_in_it_exits_with_3", without_a_sign_in_it_exits_with_3),
        ("credentials_open_to_others_are_refused", credentials_open_to_others_are_refused),
        ("an_unencrypted_server_is_refused", an_unencrypted_server_is_refused),
        ("a_server_that_is_down_is_named", a_server_that_is_down_is_named),
        ("version_does_not_wait_for_a_server_that_hangs", version_does_not_wait_for_a_server_that_hangs),
        ("completions_are_printed", completions_are_printed),
        ("scripts_say_yes_before_something_is_destroyed", scripts_say_yes_before_something_is_destroyed),
    ];
    all.into_iter().map(|(name, case)| Trial::test(format!("cli::{name}"), case)).collect()
}

/// Runs `portctl` with a home of its own and nothing of ours around it.
fn portctl(home: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Result<Output, Failed> {
    let output = Command::new(env!("CARGO_BIN_EXE_portctl"))
        .args(arguments)
        .env_clear()
        .env("XDG_CONFIG_HOME", home)
        .envs(variables.iter().copied())
        .current_dir(home)
        .stdin(Stdio::null())
        .output()?;
    Ok(output)
}

fn expect(output: &Output, code: i32, says: &str) -> Outcome {
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(code) && told.contains(says) {
        return Ok(());
    }
    Err(format!("wanted exit code {code} and '{says}', got {:?} and: {told}", output.status.code()).into())
}

const NOWHERE: (&str, &str) = ("PORTCTL_SERVER", "http://127.0.0.1:1");

fn an_unknown_command_is_a_usage_error() -> Outcome {
    let home = tempfile::tempdir()?;
    expect(&portctl(home.path(), &[], &["sekret"])?, 2, "secret")
}

fn a_value_as_an_argument_is_refused_unseen() -> Outcome {
    let home = tempfile::tempdir()?;
    let output = portctl(home.path(), &[NOWHERE], &["secret", "set", "reports/sandbox/A", "hunter2"])?;
    expect(&output, 2, "--from-file")?;
    let told = [output.stdout, output.stderr].concat();
    if String::from_utf8_lossy(&told).contains("hunter2") {
        return Err("the value was repeated".into());
    }
    Ok(())
}

fn without_a_sign_in_it_exits_with_3() -> Outcome {
    let home = tempfile::tempdir()?;
    expect(&portctl(home.path(), &[NOWHERE], &["whoami"])?, 3, "portctl login --server http://127.0.0.1:1")
}

fn credentials_open_to_others_are_refused() -> Outcome {
    let home = tempfile::tempdir()?;
    let file = home.path().join("portctl/credentials.json");
    fs::create_dir_all(home.path().join("portctl"))?;
    fs::write(&file, r#"{"tokens":{"http://127.0.0.1:1":"hunter2"}}"#)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    expect(&portctl(home.path(), &[NOWHERE], &["whoami"])?, 2, &format!("chmod 600 {}", file.display()))
}

fn an_unencrypted_server_is_refused() -> Outcome {
    let home = tempfile::tempdir()?;
    let token = ("PORTCTL_TOKEN", "hunter2");
    expect(&portctl(home.path(), &[token], &["--server", "http://pc.example.com", "whoami"])?, 2, "https")
}

fn a_server_that_is_down_is_named() -> Outcome {
    let home = tempfile::tempdir()?;
    let token = ("PORTCTL_TOKEN", "hunter2");
    expect(&portctl(home.path(), &[NOWHERE, token], &["whoami"])?, 1, "http://127.0.0.1:1")
}

fn version_does_not_wait_for_a_server_that_hangs() -> Outcome {
    let home = tempfile::tempdir()?;
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", silent.local_addr()?);
    let since = Stopwatch::start();
    let output = portctl(home.path(), &[("PORTCTL_SERVER", &url)], &["version"])?;
    expect(&output, 0, &url)?;
    if since.elapsed() > Duration::from_secs(5) || !output.stdout.starts_with(b"portctl ") {
        return Err(format!("it took {:?}", since.elapsed()).into());
    }
    Ok(())
}

fn completions_are_printed() -> Outcome {
    let home = tempfile::tempdir()?;
    let output = portctl(home.path(), &[], &["completions", "bash"])?;
    expect(&output, 0, "")?;
    if String::from_utf8_lossy(&output.stdout).contains("_portctl") {
        Ok(())
    } else {
        Err("no script".into())
    }
}

fn scripts_say_yes_before_something_is_destroyed() -> Outcome {
    let home = tempfile::tempdir()?;
    let token = ("PORTCTL_TOKEN", "hunter2");
    expect(&portctl(home.path(), &[NOWHERE, token], &["secret", "destroy", "reports/sandbox/A"])?, 2, "--yes")
}
