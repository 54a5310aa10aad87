//! What Vault's refusals mean, in our words: its own could repeat what was sent.

use super::{Vault, call::Answer, transport::Failure};
use crate::base::{Problem, ProblemKind};

/// What helps where a right is missing.
const RIGHTS: &str = "Give its role the policy that `port-control vault-policy` prints.";

/// Words of Vault that we know, what they mean, and what helps.
const KNOWN: &[(&str, &str, &str)] = &[
    ("no handler for route", "there is no such mount", "Mount a KV engine of version 2 there."),
    ("unsupported path", "what is mounted there is no KV engine of version 2", "Mount one, or name another."),
    ("unsupported operation", "what is mounted there does not take this", "Mount a KV engine of version 2."),
    (
        "invalid secret id",
        "the AppRole's secret id is not valid",
        "Make a new one: vault write -f auth/approle/role/ROLE/secret-id",
    ),
    ("invalid role", "there is no such role, or its secret id is not valid", "Check [engine.vault] auth."),
    ("role with oidc role_type", "the role is not for sign-in by JWT", "Make the role with role_type=jwt."),
    ("error validating token", "the JWT is not taken", "Check issuer, audience and life of the token."),
    (
        "unknown role",
        "there is no such role",
        "Check the role in the declaring file, and the token role that `port-control vault-policy` tells of.",
    ),
    ("namespace not found", "there is no such namespace", "Check engine.vault.namespace."),
];

impl Vault {
    /// Nobody answered, or with what is no answer.
    pub(super) fn failed(&self, path: &str, failure: Failure) -> Problem {
        match failure {
            Failure::Silent(why) => self.unavailable(path, &why),
            Failure::Nonsense(why) => self.nonsense(path, &why),
        }
    }

    /// It is not there, or not able to work.
    pub(super) fn unavailable(&self, path: &str, why: &str) -> Problem {
        let address = self.transport.address();
        Problem::new(
            ProblemKind::EngineUnavailable,
            format!("Vault at {address} does not answer for {path}: {why}"),
        )
        .remedy("It is asked again by itself; `port-control check` says more.")
    }

    /// It refuses.
    pub(super) fn fault(&self, path: &str, why: &str, remedy: &str) -> Problem {
        let address = self.transport.address();
        Problem::new(ProblemKind::EngineFault, format!("Vault at {address} refuses {path}: {why}"))
            .remedy(remedy)
    }

    /// It answers what Vault would not.
    pub(super) fn nonsense(&self, path: &str, why: &str) -> Problem {
        let address = self.transport.address();
        Problem::new(
            ProblemKind::EngineFault,
            format!("{address} does not answer as Vault would for {path}: {why}"),
        )
        .remedy("Check that engine.vault.address is Vault's own, and nothing in between answers for it.")
    }

    /// What an answer that is no success means.
    pub(super) fn refused(&self, path: &str, answer: &Answer) -> Problem {
        if answer.status >= 500 || matches!(answer.status, 412 | 429 | 472 | 473) {
            return self.unavailable(path, &unable(answer));
        }
        if let Some((_, why, remedy)) = KNOWN.iter().find(|(words, ..)| answer.complains_of(words)) {
            return self.fault(path, why, remedy);
        }
        match answer.status {
            403 => self.fault(path, "permission is denied", RIGHTS),
            status if answer.json::<serde_json::Value>().is_none() => {
                self.nonsense(path, &format!("status {status} without JSON"))
            }
            status => self.fault(path, &format!("status {status}"), "Vault's own log says why."),
        }
    }
}

fn unable(answer: &Answer) -> String {
    match answer.status {
        429 => "it takes no more requests now".to_owned(),
        501 => "it is not initialised".to_owned(),
        _ if answer.complains_of("sealed") => "it is sealed; unseal it: vault operator unseal".to_owned(),
        status => format!("it answers with status {status}"),
    }
}
