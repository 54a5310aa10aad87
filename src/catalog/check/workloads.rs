//! Workloads: a pin that could let somebody else in, and one that never fits.

use super::{At, there_are};
use crate::{
    base::config::IssuerKind,
    catalog::declare::{Kind, Workload},
    policy::{Action, TrustScope},
};

/// Longest text of a pin, in bytes.
const LONGEST: usize = 512;
/// Most pins of a workload.
const MOST: usize = 32;

/// A claim has to be pinned, or one of several.
type Wanted = &'static [&'static str];

/// What has to be pinned, so that neither whoever takes over a name nor a pull request is let in.
const fn wanted(kind: IssuerKind) -> &'static [Wanted] {
    match kind {
        IssuerKind::GitHub => &[&["repository_id"], &["repository_owner_id"], &["event_name", "sub"]],
        IssuerKind::GitLab => &[&["project_id"], &["namespace_id"], &["ref_protected", "ref", "sub"]],
        IssuerKind::Kubernetes => &[&["namespace"], &["service-account"], &["uid"]],
        IssuerKind::Oidc => &[&["sub"]],
    }
}

fn why(kind: IssuerKind) -> &'static str {
    match kind {
        IssuerKind::GitHub | IssuerKind::GitLab => {
            "names can be given to somebody else, and whoever opens a pull request would be let in"
        }
        IssuerKind::Kubernetes => "one that is made anew under the same name would be let in",
        IssuerKind::Oidc => "everybody else of this issuer would be let in",
    }
}

impl At<'_, '_> {
    pub(super) fn workload(&mut self, workload: &Workload) {
        self.pins(workload);
        let issuers = self.world.issuers;
        match issuers.get(&workload.issuer) {
            Some(kind) => self.wanted_pins(workload, *kind),
            // Nobody who applies other files can mend what the configuration lacks.
            None if self.thing.node.is_some() => self.wrong(
                &["issuer"],
                format!("there is no workload issuer '{}'", workload.issuer),
                format!(
                    "{} They are `workload_issuers` of the server's configuration.",
                    there_are(issuers.keys())
                ),
            ),
            None => {}
        }
    }

    fn wanted_pins(&mut self, workload: &Workload, kind: IssuerKind) {
        for one_of in wanted(kind) {
            if one_of.iter().any(|claim| workload.pins.contains_key(*claim)) {
                continue;
            }
            self.wrong(
                &["pins"],
                format!("'{}' is not pinned: {}", one_of.join("' or '"), why(kind)),
                format!("Add {} with exactly what the job's token says.", one_of.join(" or ")),
            );
        }
        let known = ["namespace", "service-account", "uid"];
        for claim in workload.pins.keys().filter(|_| kind == IssuerKind::Kubernetes) {
            if !known.contains(&claim.as_str()) {
                self.wrong(
                    &["pins", claim.as_str()],
                    format!("a ServiceAccount has no '{}' that could be pinned", claim.escape_debug()),
                    there_are(known),
                );
            }
        }
    }

    fn pins(&mut self, workload: &Workload) {
        if workload.pins.len() > MOST {
            self.wrong(&["pins"], "there are more pins than are looked at", format!("Keep at most {MOST}."));
        }
        for (claim, pin) in &workload.pins {
            let path = ["pins", claim.as_str()];
            if pin.texts().next().is_none() {
                self.wrong(&path, "this list is empty: no token fits", "Add at least one text.");
            }
            for text in pin.texts() {
                if text.contains(['*', '?']) {
                    self.wrong(
                        &path,
                        "a pin has no wildcards: it is compared as it is written",
                        "List every text that is meant.",
                    );
                } else if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
                    self.wrong(&path, "this is no text that a token holds", "Write it as the token has it.");
                }
            }
        }
    }

    /// A workload that is named where only people can be would never be in the scope.
    pub(super) fn members_that_are_workloads(&mut self, scope: &TrustScope) {
        let workloads = &scope.members.workloads;
        self.refers_all(&["members", "workloads"], Kind::Workload, workloads);
        if workloads.is_empty() {
            return;
        }
        let path = ["members", "workloads"];
        if scope.by_request.is_some() || scope.authentication.is_some() {
            self.wrong(
                &path,
                "no workload is ever in this scope: only people ask, and only people sign in",
                "Declare a scope without 'by-request' and 'authentication' for workloads.",
            );
        }
        let for_workloads = |action: &&Action| action.is_for_workloads();
        let mut actions = scope.allows.iter().flat_map(|it| &it.actions);
        if scope.members.groups.is_empty() && !actions.any(|it| it.is_for_workloads()) {
            let known = Action::ALL.iter().filter(for_workloads);
            self.wrong(&["allows"], "nothing here is for workloads", there_are(known));
        }
    }
}
