//! One audit record: what a unit of work drafts, and the leaf that it becomes.
//!
//! The leaf is canonical JSON, version 1: time, kind, action, decision, and salted SHA-256 commitments
//! to everything that names somebody or something. What the commitments commit to, the openings, lies
//! beside the log, so that a person can be forgotten and the tree stays whole.

use std::collections::BTreeMap;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::{Hash, opened::place, unit::Authority};
use crate::base::{
    Ambient, EnvironmentRef, Name, Problem, Result, SecretName, Timestamp, hex, ids::PersonId,
};

/// Longest reason, in bytes.
pub const LONGEST_REASON: usize = 4096;
/// Longest leaf, in bytes. The bundle format allows 65,535.
pub const LONGEST_LEAF: usize = 16 * 1024;

/// How many fields an entry commits to.
const FIELDS: usize = 6;

/// What sort of record an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// Something was done; committed with this entry.
    Act,
    /// Something was refused.
    Denial,
    /// Something outside the database is about to be done.
    Intent,
    /// What came of an intent.
    Outcome,
}

impl EntryKind {
    /// As the leaf has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Denial => "denial",
            Self::Intent => "intent",
            Self::Outcome => "outcome",
        }
    }
}

/// What a unit of work says of what it did. Actor, trust scope, grant and network come from the
/// authority that it acts under.
#[derive(Clone, Debug)]
pub struct Draft {
    pub(super) kind: EntryKind,
    pub(super) action: String,
    pub(super) decision: &'static str,
    pub(super) subject: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) payload: serde_json::Map<String, serde_json::Value>,
    pub(super) application: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) secret: Option<String>,
    pub(super) request: Option<String>,
}

impl Draft {
    /// Something was done. `action` is dotted, the thing first: `secret.set`, `request.approve`.
    #[must_use]
    pub fn act(action: &str) -> Self {
        Self::of(EntryKind::Act, action, "allow")
    }

    /// Something was refused to someone for whom there is no decision of policy yet: a sign-in.
    #[must_use]
    pub fn refused(action: &str) -> Self {
        Self::of(EntryKind::Denial, action, "deny")
    }

    pub(super) fn of(kind: EntryKind, action: &str, decision: &'static str) -> Self {
        Self {
            kind,
            action: action.to_owned(),
            decision,
            subject: None,
            resource: None,
            reason: None,
            payload: serde_json::Map::new(),
            application: None,
            environment: None,
            secret: None,
            request: None,
        }
    }

    /// Whom it is about, where that is another than the actor.
    #[must_use]
    pub fn subject(mut self, person: PersonId) -> Self {
        self.subject = Some(person.to_string());
        self
    }

    /// What it was done to, where that is none of the below.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "ids are handed over as they are")]
    pub fn resource(mut self, resource: impl ToString) -> Self {
        self.resource = Some(resource.to_string());
        self
    }

    /// The environment that it was done in.
    #[must_use]
    pub fn environment(mut self, at: &EnvironmentRef) -> Self {
        self.application = Some(at.application.to_string());
        self.environment = Some(match &at.team {
            Some(team) => format!("{}@{team}", at.environment),
            None => at.environment.to_string(),
        });
        self.resource.get_or_insert_with(|| at.to_string());
        self
    }

    /// The secret that it was done to.
    #[must_use]
    pub fn secret(mut self, at: &EnvironmentRef, name: &SecretName) -> Self {
        self.secret = Some(name.to_string());
        self.resource = Some(format!("{at}/{name}"));
        self.environment(at)
    }

    /// The request that it belongs to.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "ids are handed over as they are")]
    pub fn request(mut self, id: impl ToString) -> Self {
        self.request = Some(id.to_string());
        self
    }

    /// Why, in the words of whoever did it; at most 4 KiB, always committed, never interpreted.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }

    /// Adds to the payload. Never a value, a token, or a hash of a value without a key.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.payload.insert(name.to_owned(), value.into());
        self
    }
}

/// What a commitment commits to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// 32 bytes, in hexadecimal.
    pub salt: String,
    /// What was committed: text, or canonical JSON for the payload.
    pub value: String,
}

impl Opening {
    /// The commitment: SHA-256 over a label, the field, the salt and the value.
    #[must_use]
    pub fn commitment(&self, field: &str) -> Hash {
        let mut context = Context::new(&SHA256);
        for part in [b"port-control/commitment/v1", field.as_bytes(), self.salt.as_bytes()] {
            context.update(part);
            context.update(&[0]);
        }
        context.update(self.value.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

/// An entry that is ready to be appended.
pub(super) struct Sealed {
    pub(super) leaf: Vec<u8>,
    pub(super) time: Timestamp,
    pub(super) openings: BTreeMap<&'static str, Opening>,
    pub(super) draft: Draft,
    pub(super) actor: String,
    pub(super) scope: Option<Name>,
}

/// The leaf. Fields in alphabetical order, no white space: canonical as serde_json writes it.
#[derive(Serialize)]
struct Leaf<'a> {
    action: &'a str,
    commitments: BTreeMap<&'static str, String>,
    decision: &'a str,
    kind: EntryKind,
    time: i64,
    v: u8,
}

/// Makes the leaf and its openings.
pub(super) fn seal(
    mut draft: Draft,
    authority: &Authority<'_>,
    ambient: &Ambient,
    time: Timestamp,
) -> Result<Sealed> {
    if draft.reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_REASON) {
        return Err(Problem::invalid(format!("the reason is longer than {LONGEST_REASON} bytes"))
            .remedy("Shorten it."));
    }
    let actor = authority.principal().to_string();
    let mut payload = std::mem::take(&mut draft.payload);
    if let Some(scope) = authority.scope() {
        payload.insert("scope".into(), scope.as_str().into());
    }
    if let Some(grant) = authority.grant() {
        payload.insert("grant".into(), grant.to_string().into());
    }
    let at = (draft.application.as_deref(), draft.environment.as_deref(), draft.secret.as_deref());
    if let Some(at) = place(at.0, at.1, at.2) {
        // Search columns are held against this: a resource may be called by another name.
        payload.insert("at".into(), at.into());
    }
    if let Some(request) = &draft.request {
        payload.insert("request".into(), request.as_str().into());
    }
    let fields: [(&'static str, Option<String>); FIELDS] = [
        ("actor", Some(actor.clone())),
        ("network", authority.network().map(|address| address.to_string())),
        ("payload", (!payload.is_empty()).then(|| serde_json::Value::Object(payload).to_string())),
        ("reason", draft.reason.clone()),
        ("resource", draft.resource.clone()),
        ("subject", draft.subject.clone()),
    ];
    // Drawn at once: asking the system costs more than what it gives.
    let salts = ambient.bytes::<{ 32 * FIELDS }>();
    let openings: BTreeMap<&'static str, Opening> = fields
        .into_iter()
        .zip(salts.chunks_exact(32))
        .filter_map(|((field, value), salt)| {
            value.map(|value| (field, Opening { salt: hex::encode(salt), value }))
        })
        .collect();
    let leaf = Leaf {
        action: &draft.action,
        commitments: openings.iter().map(|(field, o)| (*field, hex::encode(&o.commitment(field)))).collect(),
        decision: draft.decision,
        kind: draft.kind,
        time: time.as_millis(),
        v: 1,
    };
    let leaf = serde_json::to_vec(&leaf).map_err(|e| Problem::internal(format!("writing an entry: {e}")))?;
    if leaf.len() > LONGEST_LEAF {
        return Err(Problem::internal(format!(
            "an entry of {} bytes is longer than {LONGEST_LEAF}",
            leaf.len()
        )));
    }
    Ok(Sealed { leaf, time, openings, draft, actor, scope: authority.scope().cloned() })
}
