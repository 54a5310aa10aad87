//! The commands of `portctl`, one a file.
//!
//! A command takes a [`Context`], talks to the server through the client and to nothing else, writes
//! what was asked for to standard output and everything around it to standard error.

mod access;
mod apply;
mod ask;
mod audit;
mod browser;
mod completions;
mod confirm;
mod context;
mod credentials;
mod delivery;
mod env_file;
mod exposure;
mod files;
mod grant;
mod job;
mod keyring;
mod lease;
mod leaver;
mod login;
mod logout;
mod loopback;
mod moves;
mod names;
mod output;
mod person;
mod plan;
mod request;
mod rotation;
mod run;
mod scim;
mod secret;
mod session;
mod settings;
mod target;
mod version;
mod whoami;

pub use context::Context;
pub use job::JobVariables;
pub use output::{Format, Output, Table, printable};
pub use settings::Surroundings;
pub use target::{EnvironmentArgs, RoleArgs, SecretArgs};

use clap::{Args, Parser, Subcommand};

use crate::base::{Problem, Result};

/// What a command that did its work exits with.
pub const DONE: u8 = 0;
/// What `plan --detailed-exitcode` exits with where something would change.
pub const PLAN_HAS_CHANGES: u8 = 12;

/// Port Control: get, use and lose access to secrets.
#[derive(Debug, Parser)]
#[command(name = "portctl", version, arg_required_else_help = true)]
pub struct Portctl {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// The server's address; else PORTCTL_SERVER, else `server` in portctl.toml, else the server signed
    /// in to last.
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// How answers are written.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    Login(login::Command),
    Logout(logout::Command),
    Version(version::Command),
    Whoami(whoami::Command),
    Plan(plan::Command),
    Apply(apply::Command),
    #[command(subcommand)]
    Secret(secret::Command),
    Run(run::Command),
    #[command(subcommand)]
    Request(request::Command),
    #[command(subcommand)]
    Grant(grant::Command),
    #[command(subcommand)]
    Person(person::Command),
    #[command(subcommand)]
    Session(session::Command),
    #[command(subcommand)]
    Lease(lease::Command),
    #[command(subcommand)]
    Scim(scim::Command),
    #[command(subcommand)]
    Exposure(exposure::Command),
    #[command(subcommand)]
    Leaver(leaver::Command),
    #[command(subcommand)]
    Rotation(rotation::Command),
    #[command(subcommand)]
    Delivery(delivery::Command),
    #[command(subcommand)]
    Access(access::Command),
    #[command(subcommand)]
    Audit(audit::Command),
    Completions(completions::Command),
}

impl Portctl {
    /// Does what the arguments say; answers with the exit code.
    ///
    /// # Errors
    /// Every problem; [`report`] tells it.
    pub fn run(self, surroundings: Surroundings) -> Result<u8> {
        let context = Context::new(self.global.server, self.global.output, surroundings);
        match self.command {
            // These two need neither a server nor a runtime.
            Command::Completions(it) => it.run(&context),
            Command::Version(it) if it.is_local() => version::Command::run_locally(&context),
            command => runtime()?.block_on(command.run(&context)),
        }
    }
}

impl Command {
    async fn run(self, context: &Context) -> Result<u8> {
        match self {
            Self::Login(it) => it.run(context).await,
            Self::Logout(it) => it.run(context).await,
            Self::Version(it) => it.run(context).await,
            Self::Whoami(it) => it.run(context).await,
            Self::Plan(it) => it.run(context).await,
            Self::Apply(it) => it.run(context).await,
            Self::Secret(it) => it.run(context).await,
            Self::Run(it) => it.run(context).await,
            Self::Request(it) => it.run(context).await,
            Self::Grant(it) => it.run(context).await,
            Self::Person(it) => it.run(context).await,
            Self::Session(it) => it.run(context).await,
            Self::Lease(it) => it.run(context).await,
            Self::Scim(it) => it.run(context).await,
            Self::Exposure(it) => it.run(context).await,
            Self::Leaver(it) => it.run(context).await,
            Self::Rotation(it) => it.run(context).await,
            Self::Delivery(it) => it.run(context).await,
            Self::Access(it) => it.run(context).await,
            Self::Audit(it) => it.run(context).await,
            Self::Completions(it) => it.run(context),
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    // One thread: a command does one thing at a time, and starting threads takes time.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Problem::internal(format!("starting: {e}")))
}

/// Tells a problem on standard error; answers with the exit code that goes with it.
pub fn report(problem: &Problem) -> u8 {
    output::note(&format!("error: {}", printable(&problem.detail)));
    for finding in output::findings(problem) {
        output::note(&finding);
    }
    for line in problem.remedy.iter().flat_map(|remedy| remedy.lines()) {
        output::note(&printable(line));
    }
    problem.kind.exit_code()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn flags_and_commands_do_not_collide() {
        super::Portctl::command().debug_assert();
    }

    #[test]
    fn the_flags_have_their_other_spellings() {
        for flags in [["--app", "--env"], ["-a", "-e"], ["--application", "--environment"]] {
            let [application, environment] = flags;
            let words =
                ["portctl", "secret", "list", application, "reports", environment, "sandbox", "--team", "t"];
            assert!(super::Portctl::command().try_get_matches_from(words).is_ok(), "{flags:?}");
        }
    }

    #[test]
    fn what_follows_two_hyphens_is_the_command() {
        let run = |words: &[&str]| super::Portctl::command().try_get_matches_from(words).is_ok();
        assert!(run(&["portctl", "run", "--", "env", "--output", "x"]));
        assert!(run(&["portctl", "run", "reports/sandbox", "--", "env"]));
        assert!(!run(&["portctl", "run", "reports/sandbox"]));
    }
}
