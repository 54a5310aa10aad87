//! What a set of files would change.

mod summary;

use std::collections::{BTreeMap, BTreeSet};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    check::{Thing, WorkloadIssuers, World},
    declare::{Kind, Object},
    documents::{Declared, Document, read},
};
use crate::base::{
    Name, Problem, ProblemKind, Result, hex,
    located::{Finding, with_findings},
};

/// A set of files as somebody wants it to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentSet {
    /// What the set is called, where no file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Name>,
    /// All of its files.
    pub documents: Vec<Document>,
}

/// What a set of files would change, and what it would change it from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The source.
    pub source: Name,
    /// The version of the catalog that this was compared with.
    pub base_version: i64,
    /// SHA-256 over version, changes and files: the same digest is the same effect.
    pub digest: String,
    /// What would change, in the order in which things refer to each other.
    pub changes: Vec<Change>,
    /// Whether something would be removed, which has to be allowed.
    pub needs_allow_delete: bool,
}

/// One thing that would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// How.
    pub change: ChangeKind,
    /// What sort of thing.
    pub kind: Kind,
    /// Which.
    pub name: Name,
    /// In one line, what is different.
    pub summary: String,
}

/// How something changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It is new.
    Add,
    /// It is there and becomes different.
    Change,
    /// It is there and no longer declared.
    Remove,
}

/// A declared object as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) source: Name,
    pub(super) object: Object,
}

/// A set of files that was read; comparing it can be repeated.
pub(super) struct Wanted {
    declared: Declared,
    documents: Vec<Document>,
}

/// A plan with what is to be written.
pub(super) struct Worked {
    pub(super) plan: Plan,
    /// New canonical bodies, in the order of the changes; nothing for a removal.
    pub(super) bodies: Vec<Option<Json>>,
    /// SHA-256 over the files alone.
    pub(super) files: [u8; 32],
}

impl Wanted {
    /// Reads the files. What is not right in them is told together with the rest, by [`Self::compare`].
    pub(super) fn read(set: DocumentSet) -> Self {
        let declared = read(set.source.as_ref(), &set.documents);
        let mut documents = set.documents;
        documents.sort_by(|a, b| a.file.cmp(&b.file));
        Self { declared, documents }
    }

    /// Compares with what is declared at `version`.
    ///
    /// # Errors
    /// `invalid-declaration` where the whole would not be right.
    pub(super) fn compare(
        &self,
        version: i64,
        stored: &[Stored],
        issuers: &WorkloadIssuers,
    ) -> Result<Worked> {
        let Some(source) = self.declared.source.clone().filter(|_| !self.declared.is_partial) else {
            return Err(refused(self.declared.findings.clone()));
        };
        let findings = self.findings(&source, stored, issuers);
        if !findings.is_empty() {
            return Err(refused(findings));
        }
        let known: BTreeMap<(Kind, &Name), &Object> = stored
            .iter()
            .filter(|it| it.source == source)
            .map(|it| ((it.object.kind(), it.object.name()), &it.object))
            .collect();
        let mut rows: Vec<(Change, Option<Json>)> = Vec::new();
        for declaration in &self.declared.declarations {
            let object = &declaration.object;
            let body = object.to_json().map_err(unwritable)?;
            let before = known.get(&(object.kind(), object.name()));
            let change = match before {
                None => change(ChangeKind::Add, object, summary::of_new(&body)),
                Some(before) => {
                    let old = before.to_json().map_err(unwritable)?;
                    if old == body {
                        continue;
                    }
                    change(ChangeKind::Change, object, summary::of_change(&old, &body))
                }
            };
            rows.push((change, Some(body)));
        }
        let declared: BTreeSet<(Kind, &Name)> =
            self.declared.declarations.iter().map(|it| (it.object.kind(), it.object.name())).collect();
        for (_, object) in known.into_iter().filter(|(key, _)| !declared.contains(key)) {
            rows.push((change(ChangeKind::Remove, object, "no longer declared".to_owned()), None));
        }
        let (changes, bodies): (Vec<Change>, Vec<Option<Json>>) = rows.into_iter().unzip();
        let files = self.files();
        let plan = Plan {
            digest: digest(version, &source, &changes, &bodies, &files),
            base_version: version,
            needs_allow_delete: changes.iter().any(|it| it.change == ChangeKind::Remove),
            changes,
            source,
        };
        Ok(Worked { plan, bodies, files })
    }

    /// What is not right in the world that would be.
    fn findings(&self, source: &Name, stored: &[Stored], issuers: &WorkloadIssuers) -> Vec<Finding> {
        let others: Vec<&Stored> = stored.iter().filter(|it| it.source != *source).collect();
        let owners: BTreeMap<(Kind, &Name), &Name> =
            others.iter().map(|it| ((it.object.kind(), it.object.name()), &it.source)).collect();
        let mut findings = self.declared.findings.clone();
        for declaration in &self.declared.declarations {
            let object = &declaration.object;
            let owner = owners.get(&(object.kind(), object.name()));
            if let Some(owner) = owner {
                findings.push(declaration.node.place_of(&["name"]).finding(
                    format!("{} '{}' belongs to the source '{}'", object.kind(), object.name(), owner),
                    format!("Change it in the files of '{owner}', or choose another name here."),
                ));
            }
        }
        let ours = self.declared.declarations.iter().map(|it| Thing {
            object: &it.object,
            node: Some(&it.node),
            source,
        });
        let theirs = others.iter().map(|it| Thing { object: &it.object, node: None, source: &it.source });
        // Where both declare a thing, the finding above tells it; ours stands for both.
        findings.extend(World::new(theirs.chain(ours), &self.declared.unread, issuers).findings());
        findings
    }

    fn files(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        for document in &self.documents {
            for part in [&document.file, &document.text] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part.as_bytes());
            }
        }
        finish(context)
    }
}

fn change(change: ChangeKind, object: &Object, summary: String) -> Change {
    Change { change, kind: object.kind(), name: object.name().clone(), summary }
}

fn digest(
    version: i64,
    source: &Name,
    changes: &[Change],
    bodies: &[Option<Json>],
    files: &[u8; 32],
) -> String {
    let canonical = serde_json::json!({
        "v": 1,
        "base_version": version,
        "source": source.as_str(),
        "changes": changes,
        "bodies": bodies,
        "files": hex::encode(files),
    });
    let mut context = Context::new(&SHA256);
    context.update(canonical.to_string().as_bytes());
    hex::encode(&finish(context))
}

fn finish(context: Context) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

fn refused(findings: Vec<Finding>) -> Problem {
    with_findings(
        ProblemKind::InvalidDeclaration,
        "nothing was changed, because the files are not right",
        findings,
    )
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unwritable(error: serde_json::Error) -> Problem {
    Problem::internal(format!("writing a declaration: {error}"))
}

/// What is refused because the world moved since the plan was made.
pub(super) fn stale(detail: String) -> Problem {
    Problem::new(ProblemKind::PlanIsStale, detail)
        .remedy("Make a new plan, look at it, and apply that one: `portctl plan -f DIR --out FILE`.")
}

impl Plan {
    /// Refuses removals that were not allowed.
    pub(super) fn allow_removals(&self, allowed: bool) -> Result<()> {
        let names: Vec<String> = self
            .changes
            .iter()
            .filter(|it| it.change == ChangeKind::Remove)
            .map(|it| format!("{} '{}'", it.kind, it.name))
            .collect();
        if allowed || names.is_empty() {
            return Ok(());
        }
        Err(Problem::conflict(format!("this would remove what is no longer declared: {}", names.join(", ")))
            .remedy("Where that is meant, say --allow-delete.")
            .with("needs_allow_delete", true))
    }
}
