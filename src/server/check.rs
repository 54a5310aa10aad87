//! `port-control check`: of each dependency, whether it is reached and gives the rights that it should.

use super::{
    Opening, Server,
    open::vault,
    vault_policy::{engine_roles, foreign_paths},
};
use crate::{
    base::{Ambient, Config, Problem, Result, Timestamp},
    broker::{CheckFinding, CheckLevel},
    secrets::{ForeignPath, Vault, leases::EngineRole},
};

/// What was found out about one dependency.
#[derive(Debug, serde::Serialize)]
pub struct Checked {
    /// Which: `database`, `engine`, `log`, `provider NAME`, `workload issuer NAME`, `cluster NAME`, `witness NAME`, `forward HOST`,
    /// `archive PLACE`.
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
            found.push(Checked::one(
                "database",
                fine("reached, migrated, its log fits itself and its keys open"),
            ));
            let catalog = &server.app.catalog;
            found.push(match (foreign_paths(catalog).await, engine_roles(catalog).await) {
                (Ok(foreign), Ok(roles)) => engine(&config, &foreign, &roles).await,
                (Err(problem), _) | (_, Err(problem)) => Checked::one("engine", failure(&problem)),
            });
            found.push(Checked::one("log", pinned(&config)));
            found.extend(providers(&server).await);
            found.extend(workload_issuers(&server).await);
            found.extend(clusters(&server).await);
            found.extend(outward(&server).await);
            server.app.log.drain().await;
            server.app.database.close().await;
        }
        Err(problem) => {
            found.push(Checked::one("database", failure(&problem)));
            found.push(engine(&config, &[], &[]).await);
        }
    }
    found
}

/// `foreign` are the places that files declare outside our own mount, `roles` those that can be leased.
async fn engine(config: &Config, foreign: &[ForeignPath], roles: &[EngineRole]) -> Checked {
    match vault(&config.engine, &Ambient::system(Timestamp::EPOCH)) {
        Ok(None) => Checked::one("engine", fine("embedded: values lie sealed in the database")),
        Ok(Some(vault)) => {
            Checked { dependency: "engine vault".to_owned(), findings: said_of(&vault, foreign, roles).await }
        }
        Err(problem) => Checked::one("engine", failure(&problem)),
    }
}

async fn said_of(vault: &Vault, foreign: &[ForeignPath], roles: &[EngineRole]) -> Vec<CheckFinding> {
    let said = async {
        let mut lines = vault.check_with(foreign).await?;
        lines.extend(vault.check_leases(roles).await?);
        Ok::<_, Problem>(lines)
    };
    match said.await {
        Err(problem) => vec![failure(&problem)],
        Ok(lines) if lines.is_empty() => vec![fine("reached, signed in, with the rights that it needs")],
        Ok(lines) => lines
            .into_iter()
            .map(|message| CheckFinding {
                level: CheckLevel::Warning,
                message,
                remedy: Some("`port-control vault-policy` prints the least policy that it needs.".to_owned()),
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

/// Whether a database that is set back would be noticed at the next start. That the log goes on from its
/// pin was found out in opening it.
fn pinned(config: &Config) -> CheckFinding {
    match &config.log.pin {
        Some(pin) => fine(&format!("it goes on from its pin, {}", pin.display())),
        None => CheckFinding {
            level: CheckLevel::Warning,
            message: "no pin is kept: a database that is set back while no server runs is not noticed"
                .to_owned(),
            remedy: Some("Keep one outside the database: `[log] pin = \"FILE\"`.".to_owned()),
        },
    }
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
