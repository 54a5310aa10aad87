//! `portctl run --lease`: credentials that are there while a command runs, and no longer.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, process::ExitStatusExt as _},
    process::{Command as Process, ExitStatus},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::Child,
    signal::unix::{SignalKind, signal},
};

use super::not_started;
use crate::{
    base::{EnvironmentRef, LeaseRef, Name, Problem, Result, Timestamp},
    cli::{lease::variable, output::note, printable},
    client::{Client, Lease, Lent},
};

/// How long a lease lasts unless it is renewed: where this process is killed, they end by themselves.
const LENGTH: &str = "10m";
/// Bounds of the time between two renewals.
const SOONEST: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_mins(4);

/// Runs the command with credentials of these roles, and gives them back when it has ended, however that was.
pub(super) async fn run(
    client: &Client,
    at: &EnvironmentRef,
    roles: &[Name],
    mut process: Process,
    program: &OsStr,
) -> Result<u8> {
    let mut leases = Vec::new();
    for role in roles {
        let wanted = LeaseRef { environment: at.clone(), role: role.clone() };
        match client.create_lease(&wanted, Some(LENGTH)).await {
            Ok(lent) => leases.push(hand_over(&mut process, role, lent)),
            Err(problem) => {
                give_back(client, &leases).await;
                return Err(problem);
            }
        }
    }
    let code = attend(client, &mut leases, process, program).await;
    give_back(client, &leases).await;
    code
}

fn hand_over(process: &mut Process, role: &Name, lent: Lent) -> Lease {
    for credential in &lent.credentials {
        if credential.value.expose().contains(&0) {
            note(&format!("warning: {} is left out: it cannot be a variable", printable(&credential.name)));
        } else {
            process.env(variable(role, &credential.name), OsStr::from_bytes(credential.value.expose()));
        }
    }
    lent.lease
}

/// Starts it and waits for its end; meanwhile passes signals on and renews.
async fn attend(client: &Client, leases: &mut [Lease], process: Process, program: &OsStr) -> Result<u8> {
    let unheard = |e: std::io::Error| Problem::internal(format!("signals cannot be heard: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(unheard)?;
    // A terminal sends this one to the command, too: it decides what it means, and we wait for it.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
    let mut child = match tokio::process::Command::from(process).spawn() {
        Ok(child) => child,
        Err(error) => return Ok(not_started(program, &error)),
    };
    let between = pace(leases);
    loop {
        tokio::select! {
            ended = child.wait() => {
                let ended = ended.map_err(|e| Problem::internal(format!("the command's end is not told: {e}")))?;
                return Ok(exit_code(ended));
            }
            _ = terminate.recv() => pass_on(&child, Signal::TERM),
            _ = hang_up.recv() => pass_on(&child, Signal::HUP),
            _ = interrupt.recv() => {}
            () = tokio::time::sleep(between) => renew(client, leases).await,
        }
    }
}

/// Half the life of the shortest.
fn pace(leases: &[Lease]) -> Duration {
    let life = |lease: &Lease| {
        let issued: Timestamp = lease.issued_at.as_deref()?.parse().ok()?;
        Some(lease.ends_at.parse::<Timestamp>().ok()?.since(issued))
    };
    let shortest = leases.iter().filter_map(life).min();
    shortest.map_or(LATEST, |life| (life / 2).clamp(SOONEST, LATEST))
}

async fn renew(client: &Client, leases: &mut [Lease]) {
    for lease in leases {
        match client.renew_lease(&lease.id, LENGTH).await {
            Ok(renewed) => *lease = renewed,
            Err(problem) => note(&format!(
                "warning: the credentials of {} end at {}: {}",
                printable(&lease.at),
                printable(&lease.ends_at),
                printable(&problem.detail)
            )),
        }
    }
}

async fn give_back(client: &Client, leases: &[Lease]) {
    for lease in leases {
        if let Err(problem) = client.revoke_lease(&lease.id).await {
            note(&format!(
                "warning: {} could not be given back and ends at {}: {}",
                printable(&lease.id),
                printable(&lease.ends_at),
                printable(&problem.detail)
            ));
        }
    }
}

/// It may have ended in this moment, and then there is nobody to tell.
fn pass_on(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, signal);
    }
}

/// As a shell says it: its own, or 128 and the signal that ended it.
fn exit_code(ended: ExitStatus) -> u8 {
    let code = ended.code().or_else(|| ended.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_command_is_told_as_a_shell_does() {
        assert_eq!(exit_code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_code(ExitStatus::from_raw(15)), 143);
    }

    #[test]
    fn leases_are_renewed_well_before_they_end() {
        let lease = |ends: &str| Lease {
            id: String::new(),
            holder: String::new(),
            at: String::new(),
            state: "live".to_owned(),
            scope: None,
            grant: None,
            issued_at: Some("2026-03-01T12:00:00Z".to_owned()),
            ends_at: ends.to_owned(),
            renewable_until: ends.to_owned(),
            because: None,
            revoking_since: None,
            ended_at: None,
            waits_for: None,
        };
        assert_eq!(pace(&[lease("2026-03-01T12:10:00Z")]), LATEST);
        assert_eq!(
            pace(&[lease("2026-03-01T12:10:00Z"), lease("2026-03-01T12:02:00Z")]),
            Duration::from_mins(1)
        );
        assert_eq!(pace(&[lease("2026-03-01T12:00:01Z")]), SOONEST);
        assert_eq!(pace(&[]), LATEST);
    }
}
