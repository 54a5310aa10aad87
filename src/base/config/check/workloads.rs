//! Who issues workloads' tokens.

use std::collections::BTreeMap;

use url::Url;

use super::Check;
use crate::base::{
    Name,
    config::{Access, IssuerKind, WorkloadIssuerConfig, raw::RawWorkloadIssuer},
};

/// Whose jobs all have one issuer: it has pins of its own.
const GITHUB_HOST: &str = "token.actions.githubusercontent.com";

impl Check<'_> {
    pub(super) fn workload_issuers(
        &mut self,
        raw: Vec<RawWorkloadIssuer>,
        public_url: Option<&Url>,
        clusters: &BTreeMap<Name, Access>,
    ) -> Vec<WorkloadIssuerConfig> {
        let mut issuers: Vec<WorkloadIssuerConfig> = Vec::new();
        for (index, it) in raw.into_iter().enumerate() {
            let index = index.to_string();
            let at = |key: &'static str| ["workload_issuers".to_owned(), index.clone(), key.to_owned()];
            if issuers.iter().any(|known| known.name == it.name) {
                let message = format!("there are two workload issuers '{}'", it.name);
                self.wrong_at(&at("name"), message, "Rename one of them.");
            }
            if issuers.iter().any(|known| known.issuer == it.issuer) {
                // Whose token it is has to follow from what it says.
                self.wrong_at(
                    &at("issuer"),
                    "another workload issuer has this address already".to_owned(),
                    "Keep one of them; a cluster can be given an issuer of its own (--service-account-issuer).",
                );
            }
            self.issuer_address(&index, &it);
            self.issuer_cluster(&index, &it, clusters);
            let default = || public_url.map(|url| url.as_str().trim_end_matches('/').to_owned());
            issuers.push(WorkloadIssuerConfig {
                name: it.name,
                kind: it.kind,
                issuer: it.issuer,
                audience: it.audience.or_else(default).unwrap_or_default(),
                cluster: it.cluster,
            });
        }
        issuers
    }

    /// An address that keys can be fetched from safely. One that a cluster is asked about is a name only.
    fn issuer_address(&mut self, index: &str, it: &RawWorkloadIssuer) {
        let path = ["workload_issuers", index, "issuer"];
        if it.cluster.is_some() {
            return;
        }
        let url = self.url(&path, &it.issuer);
        let is_github = url.is_some_and(|url| url.host_str() == Some(GITHUB_HOST));
        if is_github && it.kind != IssuerKind::GitHub {
            self.wrong(
                &["workload_issuers", index, "kind"],
                "this is the issuer of GitHub's jobs, whose ids have to be pinned",
                "Write kind = \"github\".",
            );
        }
    }

    fn issuer_cluster(&mut self, index: &str, it: &RawWorkloadIssuer, clusters: &BTreeMap<Name, Access>) {
        let Some(cluster) = &it.cluster else { return };
        let path = ["workload_issuers", index, "cluster"];
        if it.kind != IssuerKind::Kubernetes {
            self.wrong(&path, "only a cluster's own tokens are asked about there", "Take 'cluster' out.");
        }
        match clusters.get(cluster) {
            Some(Access::Kubeconfig { .. } | Access::InCluster) => {}
            Some(Access::Directory(_)) => {
                self.wrong(
                    &path,
                    "a folder has no ServiceAccounts",
                    "Name a cluster that is reached by its API.",
                );
            }
            None => self.wrong(
                &path,
                format!("there is no [clusters.{cluster}]"),
                format!("Say how it is reached under [clusters.{cluster}]."),
            ),
        }
    }

    fn wrong_at(&mut self, path: &[String], message: String, remedy: &str) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        self.wrong(&path, message, remedy);
    }
}
