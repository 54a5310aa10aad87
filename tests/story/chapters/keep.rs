//! 4. Use: everything that one does with secrets in a sandbox.

use std::{fs, os::unix::process::ExitStatusExt as _, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::story::people::Person;

const URL: &str = "reports/sandbox/DATABASE_URL";

pub fn a_sandbox(dana: &Person, omar: &Person) -> Result<()> {
    ways_in(dana)?;
    versions(dana)?;
    binary(dana)?;
    removed_and_back(dana, omar)?;
    a_program(dana)
}

fn ways_in(dana: &Person) -> Result<()> {
    let answer = dana.sets(URL, "postgres://sandbox/one\n")?;
    ensure!(answer.err.contains("newline"), "it is said that the final newline went: {}", answer.err);
    ensure!(dana.does(&format!("secret get {URL}"))? == "postgres://sandbox/one", "the value alone");
    dana.fails("secret set reports/sandbox/PASSWORD hunter2", 2, "argument")?;

    fs::write(dana.home.join("value"), "with a newline\n")?;
    dana.does("secret set --app reports --env sandbox FROM_FILE --from-file value")?;
    ensure!(dana.does("secret get -a reports -e sandbox FROM_FILE")? == "with a newline\n", "byte by byte");

    fs::write(dana.home.join(".env"), "# ours\nAPI_KEY='one two'\nexport MODE=sandbox\n")?;
    dana.does("secret set reports/sandbox --from-env-file .env")?;
    ensure!(dana.does("secret get reports/sandbox/API_KEY")? == "one two", "quotes are taken off");

    dana.does("secret generate reports/sandbox/SESSION_KEY --length 40")?;
    ensure!(dana.does("secret get reports/sandbox/SESSION_KEY")?.len() == 40, "as long as asked for");
    Ok(())
}

fn versions(dana: &Person) -> Result<()> {
    dana.portctl
        .run_with(&["secret", "set", URL, "--expect-version", "1"], b"postgres://sandbox/two")?
        .done()?;
    let stale = dana.portctl.run_with(&["secret", "set", URL, "--expect-version", "1"], b"lost")?;
    stale.refused(1, "version")?;
    ensure!(dana.does(&format!("secret get {URL} --version 1"))? == "postgres://sandbox/one", "it is kept");
    dana.does(&format!("secret rollback {URL} --to 1"))?;
    ensure!(dana.does(&format!("secret get {URL}"))? == "postgres://sandbox/one", "it is current again");
    let versions = dana.reads(&format!("secret versions {URL}"))?;
    ensure!(versions[0]["created_by_name"] == "Dana", "who made it has a name: {versions}");
    ensure!(versions.as_array().map(Vec::len) == Some(3), "a roll-back is a version: {versions}");
    let listed = dana.does("secret list reports/sandbox")?;
    for name in ["DATABASE_URL", "FROM_FILE", "API_KEY", "MODE", "SESSION_KEY"] {
        ensure!(listed.contains(name), "{name} is listed: {listed}");
    }
    ensure!(!listed.contains("postgres://"), "no value is listed");
    ensure!(
        listed.lines().skip(1).all(|line| line.ends_with("Dana")),
        "who changed them has a name: {listed}"
    );
    Ok(())
}

/// Bytes that are no text go to a file only, and come back as they were.
fn binary(dana: &Person) -> Result<()> {
    let bytes = [0_u8, 159, 146, 150, 10, 0];
    fs::write(dana.home.join("binary"), bytes)?;
    dana.does("secret set reports/sandbox/KEYSTORE --from-file binary")?;
    dana.fails("secret get reports/sandbox/KEYSTORE", 2, "--to-file")?;
    dana.does("secret get reports/sandbox/KEYSTORE --to-file back")?;
    ensure!(fs::read(dana.home.join("back"))? == bytes, "the bytes came back");
    Ok(())
}

/// Destroying is for leads alone.
fn removed_and_back(dana: &Person, omar: &Person) -> Result<()> {
    let at = "reports/sandbox/MODE";
    dana.does(&format!("secret delete {at}"))?;
    dana.fails(&format!("secret get {at}"), 1, "undelete")?;
    dana.does(&format!("secret undelete {at}"))?;
    ensure!(dana.does(&format!("secret get {at}"))? == "sandbox", "it is back");
    dana.fails(&format!("secret destroy {at} --version 1 --yes"), 1, "may not destroy")?;
    omar.fails(&format!("secret destroy {at}"), 2, "--yes")?;
    omar.does(&format!("secret destroy {at} --version 1 --yes"))?;
    dana.fails(&format!("secret undelete {at} --version 1"), 1, "destroyed")
}

/// Exit code and signals are the program's own.
fn a_program(dana: &Person) -> Result<()> {
    let printed = dana.portctl.run(&["run", "reports/sandbox", "--", "printenv", "DATABASE_URL"])?.done()?;
    ensure!(printed == "postgres://sandbox/one\n", "{printed}");
    let code = dana.portctl.run(&["run", "reports/sandbox", "--", "sh", "-c", "exit 37"])?.code;
    ensure!(code == 37, "the exit code is the program's: {code}");
    let mut running =
        dana.portctl.spawn(&["run", "reports/sandbox", "--", "sh", "-c", "echo on; exec sleep 600"])?;
    let mut line = String::new();
    let out = running.stdout.take().context("no output")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line)?;
    Command::new("kill").args(["-TERM", &running.id().to_string()]).status()?;
    ensure!(running.wait()?.signal() == Some(15), "the signal reaches the program");
    Ok(())
}
