//! `port-control`, the server: its command line, and nothing else.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use port_control::{
    base::{Result, telemetry},
    cli::report,
    dev,
    server::{self, configuration},
};

/// Port Control: people get, use and lose access to secrets.
#[derive(Parser)]
#[command(name = "port-control", version, arg_required_else_help = true)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Try it: everything on this machine, with example people and the main job played once.
    Dev(dev::Options),
    /// Serve people.
    Serve(WithConfig),
    /// Say of everything that the configuration depends on whether it is reached and gives its rights.
    Check(WithConfig),
    /// Make the migrations that the database lacks.
    Migrate(WithConfig),
    /// Make a single-use way back in, for when the identity provider is down.
    RecoverAccess(Recover),
    /// Go on after the database was set back: ends whatever was granted, and says in the log that it was
    /// interrupted. No server may run meanwhile.
    Recover(RecoverLog),
    /// Work on the keys.
    #[command(subcommand)]
    Key(Key),
    /// Print the least policy that the configured Vault needs.
    VaultPolicy(VaultPolicy),
}

#[derive(Args)]
struct WithConfig {
    /// The server's configuration, TOML.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args)]
struct RecoverLog {
    #[command(flatten)]
    with: WithConfig,
    /// Why; it stands in the log.
    #[arg(long)]
    reason: String,
    /// Entries of the log from elsewhere: an export, a bundle, or what was forwarded. Deactivations that are
    /// lost here are done again. Repeat it for more.
    #[arg(long, value_name = "FILE")]
    published: Vec<PathBuf>,
    /// Do it; without this it is only said what would be done.
    #[arg(long)]
    yes: bool,
}

#[derive(Args)]
struct Recover {
    #[command(flatten)]
    with: WithConfig,
    /// Why; it stands in the log.
    #[arg(long)]
    reason: String,
}

#[derive(Subcommand)]
enum Key {
    /// Make a new key and wrap everything anew, beside running servers.
    Rotate(WithConfig),
    /// Make a further key that signs the log, beside the one in use and running servers.
    RotateLog(WithConfig),
    /// Have a key sign the log no more, once another has taken over from it.
    RetireLog(RetireLog),
}

#[derive(Args)]
struct VaultPolicy {
    #[command(flatten)]
    with: WithConfig,
    /// That of the tokens under which leases are issued, instead of the server's own.
    #[arg(long)]
    leases: bool,
}

#[derive(Args)]
struct RetireLog {
    #[command(flatten)]
    with: WithConfig,
    /// The id of the key: the eight digits in the middle of it, as /audit/v1/vkeys lists it.
    #[arg(value_name = "KEY")]
    key: String,
}

fn main() -> ExitCode {
    // It is there before anything asks for TLS; where one is already, it is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let program = Program::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            return ExitCode::from(report(&port_control::base::Problem::internal(error.to_string())));
        }
    };
    match runtime.block_on(run(program.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => ExitCode::from(report(&problem)),
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Dev(options) => {
            telemetry::begin("warn");
            dev::run(options).await
        }
        Command::Serve(with) => {
            telemetry::begin("info");
            server::serve(configuration(&with.config)?).await
        }
        Command::Check(with) => {
            let found = server::check(configuration(&with.config)?).await;
            found.iter().for_each(tell_checked);
            server::verdict(&found)
        }
        Command::Migrate(with) => {
            let made = server::migrate(&configuration(&with.config)?).await?;
            tell(&format!("{made} migrations made"));
            Ok(())
        }
        Command::RecoverAccess(recover) => {
            let right = server::recover_access(configuration(&recover.with.config)?, &recover.reason).await?;
            eprintln!("good once, until {}: portctl login --server URL --recovery", right.expires_at);
            tell(right.token.expose_text().unwrap_or_default());
            Ok(())
        }
        Command::Recover(it) => {
            let wish = server::Wish { reason: it.reason, published: it.published, really: it.yes };
            let outcome = server::recover(configuration(&it.with.config)?, &wish).await?;
            tell(outcome.to_string().trim_end());
            Ok(())
        }
        Command::Key(Key::Rotate(with)) => {
            let wrapped = server::rotate_key(configuration(&with.config)?).await?;
            tell(&format!("{wrapped} versions wrapped anew"));
            Ok(())
        }
        Command::Key(Key::RotateLog(with)) => {
            let key = server::rotate_log_key(configuration(&with.config)?).await?;
            eprintln!(
                "Checkpoints carry its signature, too, from now on. Tell whoever verifies the log, and"
            );
            eprintln!("retire the old one when they know: port-control key retire-log --config FILE KEY");
            tell(&key.to_string());
            Ok(())
        }
        Command::Key(Key::RetireLog(retire)) => {
            let key = server::retire_log_key(configuration(&retire.with.config)?, &retire.key).await?;
            tell(&format!("{key} signs no more"));
            Ok(())
        }
        Command::VaultPolicy(it) => {
            let whose = if it.leases { server::WhosePolicy::Leases } else { server::WhosePolicy::Server };
            tell(server::vault_policy(&configuration(&it.with.config)?, whose).await?.trim_end());
            Ok(())
        }
    }
}

fn tell_checked(checked: &server::Checked) {
    for finding in &checked.findings {
        let level = serde_json::to_value(finding.level).ok();
        let level = level.as_ref().and_then(|it| it.as_str()).unwrap_or_default().to_owned();
        tell(&format!("{level:<8} {}: {}", checked.dependency, finding.message));
        if let Some(remedy) = &finding.remedy {
            tell(&format!("         {remedy}"));
        }
    }
}

/// A closed pipe is no failure of ours.
fn tell(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
