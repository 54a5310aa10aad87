//! Workloads: what could let somebody else in is refused before it is declared.

use super::*;

const BASE: &str = "{kind: Group, name: g, provider: p, id: i}\n---\n{kind: Team, name: t, groups: [g]}\n---\n\
                    {kind: Application, name: a, team: t, environments: [{name: e}]}\n---\n";

fn findings(text: &str) -> Vec<String> {
    match applied(one(&format!("{BASE}{text}")), 0, &[]) {
        Ok(_) => Vec::new(),
        Err(problem) => told(&problem),
    }
}

#[track_caller]
fn refused(text: &str, wanted: &[&str]) {
    let found = findings(text);
    let fits = found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| f.contains(w));
    assert!(fits, "found {found:#?}");
}

fn workload(issuer: &str, pins: &str) -> String {
    format!("{{kind: Workload, name: ci, issuer: {issuer}, pins: {{{pins}}}}}\n")
}

const GITHUB: &str = "repository_id: 22, repository_owner_id: 11, event_name: push, ref: [refs/heads/main]";

#[test]
fn what_is_pinned_whole_can_be_declared() {
    for (issuer, pins) in [
        ("github", GITHUB),
        ("github", "repository_id: \"22\", repository_owner_id: 11, sub: 'repo:s/r:environment:production'"),
        ("gitlab", "project_id: 7, namespace_id: 3, ref_protected: true"),
        ("cluster", "namespace: apps, service-account: reports, uid: 0b9c"),
        ("other", "sub: job-7"),
    ] {
        assert_eq!(findings(&workload(issuer, pins)), [""; 0], "{issuer}: {pins}");
    }
}

#[test]
fn abuse_25_a_wildcard_is_refused() {
    refused(
        &workload("github", "repository_id: 22, repository_owner_id: 11, sub: 'repo:supa/reports:*'"),
        &["a pin has no wildcards"],
    );
    refused(&workload("other", "sub: [job-1, 'job-?']"), &["a pin has no wildcards"]);
}

#[test]
fn abuse_25_a_name_alone_is_refused() {
    refused(
        &workload("github", "repository: supa/reports, event_name: push"),
        &["'repository_id' is not pinned", "'repository_owner_id' is not pinned"],
    );
    refused(
        &workload("gitlab", "project_path: supa/reports, ref: main"),
        &["'namespace_id' is not pinned", "'project_id' is not pinned"],
    );
}

#[test]
fn abuse_25_what_a_pull_request_would_fit_is_refused() {
    let without = "repository_id: 22, repository_owner_id: 11, ref: refs/heads/main";
    refused(&workload("github", without), &["'event_name' or 'sub' is not pinned"]);
    refused(
        &workload("gitlab", "project_id: 7, namespace_id: 3"),
        &["'ref_protected' or 'ref' or 'sub' is not pinned"],
    );
}

#[test]
fn abuse_26_an_account_without_its_uid_is_refused() {
    refused(&workload("cluster", "namespace: apps, service-account: reports"), &["'uid' is not pinned"]);
    refused(
        &workload("cluster", "namespace: apps, service-account: reports, uid: u, pod: p"),
        &["a ServiceAccount has no 'pod'"],
    );
}

#[test]
fn a_pin_that_never_fits_is_told() {
    refused(&workload("other", "sub: ''"), &["this is no text that a token holds"]);
    refused(&workload("other", "sub: []"), &["this list is empty"]);
    refused(&workload("other", "sub: x, aud: {a: b}"), &["this pin is none of the forms"]);
    refused(&workload("nobody", "sub: x"), &["there is no workload issuer 'nobody'"]);
}

#[test]
fn trust_scopes_name_workloads_where_those_can_be() {
    let ci = workload("github", GITHUB);
    let scope = |rest: &str| format!("{ci}---\n{{kind: TrustScope, name: s, {rest}}}\n");
    let run = "allows: [{actions: [run, lease], applications: [a], environments: [e]}]";
    assert_eq!(findings(&scope(&format!("members: {{workloads: [ci]}}, {run}"))), [""; 0]);
    assert_eq!(findings(&scope(&format!("members: {{groups: [g], workloads: [ci]}}, {run}"))), [""; 0]);
    refused(&scope(&format!("members: {{workloads: [x]}}, {run}")), &["there is no Workload 'x'"]);
    refused(&scope(&format!("members: {{}}, {run}")), &["this list is empty: nobody could be in the scope"]);
    refused(
        &scope(
            "members: {workloads: [ci]}, allows: [{actions: [destroy], applications: [a], environments: [e]}]",
        ),
        &["nothing here is for workloads"],
    );
    for people in ["by-request: {approvers: [g], longest: 1h}", "authentication: {no-older-than: 10m}"] {
        refused(
            &scope(&format!("members: {{workloads: [ci]}}, {run}, {people}")),
            &["no workload is ever in this scope"],
        );
    }
}

/// A configuration that lost an issuer keeps nobody from applying other files.
#[test]
fn an_issuer_that_is_gone_is_told_to_whoever_declares_it_alone() {
    let text = workload("github", GITHUB);
    let (_, stored) = applied(one(&text), 0, &[]).unwrap();
    let other = DocumentSet {
        source: Some("other".parse().unwrap()),
        documents: vec![Document {
            file: "b.yaml".to_owned(),
            text: "{kind: Group, name: h, provider: p, id: j}".to_owned(),
        }],
    };
    let none = check::WorkloadIssuers::new();
    assert!(Wanted::read(other).compare(1, &stored, &none).is_ok());
    assert!(Wanted::read(one(&text)).compare(1, &stored, &none).is_err());
}

/// What the documentation shows can be declared as it stands there.
#[test]
fn the_documented_workloads_can_be_declared() {
    let docs = include_str!("../../../docs/workloads.md");
    let blocks: Vec<&str> = docs.split("```yaml\n").skip(1).filter_map(|it| it.split("```").next()).collect();
    let declared: Vec<&str> = blocks.into_iter().filter(|it| it.starts_with("kind: Workload")).collect();
    assert_eq!(declared.len(), 3, "GitHub, GitLab, Kubernetes");
    for text in declared {
        let base = BASE.replace("name: a,", "name: reports,").replace("[{name: e}]", "[{name: sandbox}]");
        let found = applied(one(&format!("{base}{text}")), 0, &[]).map(drop);
        assert!(found.is_ok(), "{text}: {:?}", told(&found.unwrap_err()));
    }
}
