//! The file format, end to end: what is refused, where, and what a plan says.

mod applying;
mod refusals;
mod sets;
mod workloads;

use super::{
    plan::{DocumentSet, Plan, Stored, Wanted},
    *,
};
use crate::base::{Problem, Result, located::Finding};

/// The files of the example repository.
fn example() -> Vec<Document> {
    files_of("examples/supa")
}

fn files_of(folder: &str) -> Vec<Document> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut documents: Vec<Document> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            Document {
                file: path.file_name().unwrap().to_string_lossy().into_owned(),
                text: std::fs::read_to_string(&path).unwrap(),
            }
        })
        .collect();
    documents.sort_by(|a, b| a.file.cmp(&b.file));
    documents
}

fn set(documents: Vec<Document>) -> DocumentSet {
    DocumentSet { source: None, documents }
}

fn one(text: &str) -> DocumentSet {
    DocumentSet {
        source: Some("test".parse().unwrap()),
        documents: vec![Document { file: "a.yaml".to_owned(), text: text.to_owned() }],
    }
}

/// The workload issuers that files of these tests may name, one of each kind.
fn issuers() -> check::WorkloadIssuers {
    use crate::base::config::IssuerKind as Kind;
    let all = [
        ("github", Kind::GitHub),
        ("gitlab", Kind::GitLab),
        ("cluster", Kind::Kubernetes),
        ("other", Kind::Oidc),
    ];
    all.map(|(name, kind)| (name.parse().unwrap(), kind)).into()
}

/// Plans without a database, and answers with what would be stored.
fn applied(set: DocumentSet, version: i64, stored: &[Stored]) -> Result<(Plan, Vec<Stored>)> {
    let worked = Wanted::read(set).compare(version, stored, &issuers())?;
    let mut after: Vec<Stored> = stored.to_vec();
    for (change, body) in worked.plan.changes.iter().zip(&worked.bodies) {
        after.retain(|it| it.object.kind() != change.kind || *it.object.name() != change.name);
        if let Some(body) = body {
            let object = Object::read(change.kind, body).unwrap();
            after.push(Stored { source: worked.plan.source.clone(), object });
        }
    }
    Ok((worked.plan, after))
}

/// Everything that is told, as `file:line:column: message`.
fn told(problem: &Problem) -> Vec<String> {
    let findings: Vec<Finding> = serde_json::from_value(problem.more["findings"].clone()).unwrap();
    assert!(findings.iter().all(|it| !it.remedy.is_empty()), "{findings:?}");
    findings.iter().map(ToString::to_string).collect()
}
