//! `port-control check`: of each dependency, whether it is reached and gives the rights that it should.

use std::{path::Path, sync::Arc};

use super::{
    Opening, Server,
    open::vault,
    vault_policy::{engine_roles, foreign_paths, static_roles},
};
use crate::{
    base::{Ambient, Config, Problem, Result, Timestamp, config::PinConfig},
    broker::{CheckFinding, CheckLevel},
    catalog::Catalog,
    identity,
    notify::{Mail, NoAddresses, Sender},
    policy::{Action, Resource, Service},
    secrets::{ForeignPath, Vault, leases::EngineRole},
    store::{Room, shown},
};

/// What was found out about one dependency.
#[derive(Debug, serde::Serialize)]
pub struct Checked {
    /// Which: `database`, `engine`, `log`, `provider NAME`, `workload issuer NAME`, `connection NAME`, `cluster NAME`, `witness NAME`, `forward HOST`,
    /// `archive PLACE`, `mail HOST`.
    pub dependency: String,
    /// What is to be said of it; at least one finding.
    pub findings: Vec<CheckFinding>,
}

impl Checked {
    fn one(dependency: impl Into<String>, finding: CheckFinding) -> Self {
        Self { dependency: dependency.into(), findings: vec![finding] }
    }

    /// Whether nothing of it would keep the server from working.
    #[must_use]
    pub fn works(&self) -> bool {
        self.findings.iter().all(|finding| finding.level != CheckLevel::Failure)
    }
}

/// Looks at everything that a configuration depends on. What cannot be reached is a finding, not an
/// error: the rest is looked at all the same.
pub async fn check(config: Config) -> Vec<Checked> {
    let mut found = Vec::new();
    match Server::open(config.clone(), Opening::Serve).await {
        Ok(server) => {
            found.push(Checked { dependency: "database".to_owned(), findings: database(&server).await });
            found.push(match Needed::by(&server.app.catalog).await {
                Ok(needed) => engine(&config, &needed).await,
                Err(problem) => Checked::one("engine", failure(&problem)),
            });
            found.push(Checked::one("log", pinned(&config).await));
            found.extend(providers(&server).await);
            found.extend(workload_issuers(&server).await);
            found.extend(connections(&server).await);
            found.extend(clusters(&server).await);
            found.extend(outward(&server).await);
            server.app.log.drain().await;
            server.app.database.close().await;
        }
        Err(problem) => {
            // What keeps it from being opened is mostly the database; some say what else it is.
            let connection = problem.more.get("connection").and_then(serde_json::Value::as_str);
            let what = connection.map_or("database".to_owned(), |name| format!("connection {name}"));
            found.push(Checked::one(what, failure(&problem)));
            found.push(engine(&config, &Needed::default()).await);
        }
    }
    found.extend(mail(&config).await);
    found
}

/// What files declare that takes rights at the engine.
#[derive(Default)]
struct Needed {
    /// Places outside our own mount.
    foreign: Vec<ForeignPath>,
    /// Roles whose credentials can be leased.
    leased: Vec<EngineRole>,
    /// Static roles that give secrets their new values.
    rotated: Vec<EngineRole>,
}

impl Needed {
    async fn by(catalog: &Catalog) -> Result<Self> {
        Ok(Self {
            foreign: foreign_paths(catalog).await?,
            leased: engine_roles(catalog).await?,
            rotated: static_roles(catalog).await?,
        })
    }
}

async fn engine(config: &Config, needed: &Needed) -> Checked {
    match vault(&config.engine, &Ambient::system(Timestamp::EPOCH)) {
        Ok(None) => Checked::one("engine", fine("embedded: values lie sealed in the database")),
        Ok(Some(vault)) => {
            Checked { dependency: "engine vault".to_owned(), findings: said_of(&vault, needed).await }
        }
        Err(problem) => Checked::one("engine", failure(&problem)),
    }
}

async fn said_of(vault: &Vault, needed: &Needed) -> Vec<CheckFinding> {
    let said = async {
        let mut lines = vault.check_with(&needed.foreign).await?;
        lines.extend(vault.check_leases(&needed.leased).await?);
        lines.extend(vault.check_static_roles(&needed.rotated).await?);
        Ok::<_, Problem>(lines)
    };
    match said.await {
        Err(problem) => vec![failure(&problem)],
        Ok(lines) if lines.is_empty() => vec![fine("reached, signed in, with the rights that it needs")],
        Ok(lines) => lines
            .into_iter()
            .map(|message| {
                warning(message, "`port-control vault-policy` prints the least policy that it needs.")
            })
            .collect(),
    }
}

async fn providers(server: &Server) -> Vec<Checked> {
    let said = server.app.identity.check_providers().await;
    said.into_iter()
        .map(|(name, said)| {
            let works = !said.iter().any(|it| it.fails);
            let reached = works.then(|| fine("reached, and what it publishes can be used"));
            let told = said.into_iter().map(|it| {
                let level = if it.fails { CheckLevel::Failure } else { CheckLevel::Warning };
                CheckFinding { level, ..failure(&it.problem) }
            });
            Checked {
                dependency: format!("provider {name}"),
                findings: reached.into_iter().chain(told).collect(),
            }
        })
        .collect()
}

async fn workload_issuers(server: &Server) -> Vec<Checked> {
    let said = server.app.identity.check_workload_issuers().await;
    said.into_iter()
        .map(|(name, outcome)| {
            let finding = match outcome {
                Ok(()) => fine("reached, and what it says of its tokens can be used"),
                Err(problem) => failure(&problem),
            };
            Checked::one(format!("workload issuer {name}"), finding)
        })
        .collect()
}

async fn connections(server: &Server) -> Vec<Checked> {
    let permit = server.permits.permit(Service::Operator, Action::Operate, Resource::Connections);
    let said = match permit {
        Ok(permit) => server.app.scim.check_connections(&permit).await,
        Err(problem) => Err(problem),
    };
    match said {
        Ok(all) => all
            .into_iter()
            .map(|(name, checked)| Checked {
                dependency: format!("connection {name}"),
                findings: linking(checked),
            })
            .collect(),
        Err(problem) => vec![Checked::one("connections", failure(&problem))],
    }
}

/// Whether a connection's people are those who sign in.
fn linking(checked: identity::scim::Checked) -> Vec<CheckFinding> {
    if checked.findings.is_empty() {
        return vec![fine(&format!(
            "{} people are linked, {} of them have signed in",
            checked.linked, checked.signed_in
        ))];
    }
    checked
        .findings
        .into_iter()
        .map(|message| CheckFinding {
            level: CheckLevel::Warning,
            message,
            remedy: Some("docs/scim.md says how people are linked.".to_owned()),
        })
        .collect()
}

async fn clusters(server: &Server) -> Vec<Checked> {
    match server.app.broker.check().await {
        Ok(found) => found
            .into_iter()
            .map(|(name, findings)| Checked { dependency: format!("cluster {name}"), findings })
            .collect(),
        Err(problem) => vec![Checked::one("clusters", failure(&problem))],
    }
}

/// Witnesses, places to forward to, and the archive: where one is down, the server works all the same.
async fn outward(server: &Server) -> Vec<Checked> {
    let witnesses = server.loops.witnesses.check().await;
    let witnesses = witnesses.into_iter().map(|(name, said)| (format!("witness {name}"), said));
    let forwards = server.loops.forwarder.check().await;
    let forwards = forwards.into_iter().map(|(host, said)| (format!("forward {host}"), said));
    let finding = |said: Result<String>| match said {
        Ok(message) => fine(&message),
        Err(problem) => CheckFinding { level: CheckLevel::Warning, ..failure(&problem) },
    };
    let mut archives = Vec::new();
    if let Some(archivist) = &server.app.archivist {
        archives.push((format!("archive {}", archivist.archive().name()), archivist.check().await));
    }
    witnesses.chain(forwards).chain(archives).map(|(what, said)| Checked::one(what, finding(said))).collect()
}

/// Whether e-mail could be sent: nothing is. Where it could not, messages wait, and the server works all the same.
async fn mail(config: &Config) -> Option<Checked> {
    let settings = config.mail.as_ref()?;
    let said = match Mail::new(settings, Arc::new(NoAddresses), Sender::PATIENCE) {
        Ok(mail) => mail.check().await,
        Err(problem) => Err(problem),
    };
    let finding = match said {
        Ok(()) if settings.credentials.is_some() => fine("reached over TLS, and it let us sign in"),
        Ok(()) => fine("reached over TLS; it was not signed in to, because no user is configured"),
        Err(problem) => CheckFinding { level: CheckLevel::Warning, ..failure(&problem) },
    };
    Some(Checked::one(format!("mail {}", settings.host), finding))
}

/// Whether it does what it is relied on for, and has room for more.
async fn database(server: &Server) -> Vec<CheckFinding> {
    let mut findings = vec![fine("reached, migrated, its log fits itself and its keys open")];
    match server.app.database.room(server.app.config.database_room).await {
        Ok(room) => findings.push(said_of_room(room)),
        Err(error) => findings.push(failure(&error.into())),
    }
    match server.app.database.lagging_standbys().await {
        Ok(0) => {}
        Ok(standbys) => findings.push(warning(
            format!(
                "{standbys} standbys are not waited for: one that is promoted may lack what was acknowledged"
            ),
            "Name them in PostgreSQL's synchronous_standby_names, and promote no other.",
        )),
        Err(error) => findings.push(failure(&error.into())),
    }
    findings
}

fn said_of_room(room: Room) -> CheckFinding {
    let used = shown(room.used);
    match room.free.map(shown) {
        None => warning(
            format!("it takes {used}, and how much is left is not known here"),
            "Say how much it may take, and it is watched: `[database] room`.",
        ),
        Some(free) if room.is_short() => {
            warning(format!("it takes {used}, and {free} are left"), "Give it more room.")
        }
        Some(free) => fine(&format!("it takes {used}, and {free} are left")),
    }
}

/// Whether a database that is set back would be noticed at the next start. That the log goes on from its
/// pin was found out in opening it.
async fn pinned(config: &Config) -> CheckFinding {
    let pin = match super::pin::open(config) {
        Ok(Some(pin)) => pin,
        Ok(None) => {
            return warning(
                "no pin is kept: a database that is set back while no server runs is not noticed".to_owned(),
                "Keep one outside the database: `[log] pin`.",
            );
        }
        Err(problem) => return failure(&problem),
    };
    let name = pin.name();
    if let Err(problem) = pin.check().await {
        return CheckFinding { level: CheckLevel::Warning, ..failure(&problem) };
    }
    if lies_beside_the_database(config) {
        return warning(
            format!("its pin {name} lies beside the database: whoever puts the folder back puts both back"),
            "Keep it on another disk: `[log] pin`.",
        );
    }
    fine(&format!("it goes on from its pin, {name}"))
}

fn lies_beside_the_database(config: &Config) -> bool {
    let Some(PinConfig::File(pin)) = &config.log.pin else { return false };
    let Ok(url) = config.database.read() else { return false };
    let path = url.expose_text().and_then(|url| url.strip_prefix("sqlite:"));
    let folder = |path: &Path| std::path::absolute(path).ok()?.parent().map(Path::to_owned);
    path.is_some_and(|path| folder(Path::new(path.trim_start_matches("//"))) == folder(pin))
}

fn warning(message: String, remedy: &str) -> CheckFinding {
    CheckFinding { level: CheckLevel::Warning, message, remedy: Some(remedy.to_owned()) }
}

fn fine(message: &str) -> CheckFinding {
    CheckFinding { level: CheckLevel::Fine, message: message.to_owned(), remedy: None }
}

fn failure(problem: &Problem) -> CheckFinding {
    CheckFinding {
        level: CheckLevel::Failure,
        message: problem.detail.clone(),
        // Elsewhere it says to look here.
        remedy: problem.remedy.clone().filter(|it| !it.contains("port-control check")),
    }
}

/// Everything that was checked, as a problem where something of it would keep the server from working.
///
/// # Errors
/// `invalid-configuration` where it would.
pub fn verdict(found: &[Checked]) -> Result<()> {
    let failing: Vec<&str> = found.iter().filter(|it| !it.works()).map(|it| it.dependency.as_str()).collect();
    if failing.is_empty() {
        return Ok(());
    }
    Err(Problem::new(
        crate::base::ProblemKind::InvalidConfiguration,
        format!("the server would not work: {}", failing.join(", ")),
    ))
}
