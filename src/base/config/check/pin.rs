//! Where the newest checkpoint is kept outside the database.

use std::collections::BTreeMap;

use super::Check;
use crate::base::{
    Name,
    config::{Access, ArchiveConfig, ArchivePlace, PinConfig},
};

/// The file where nothing is said: beside the configuration, which a restored database leaves alone.
const DEFAULT: &str = "log.pin";

impl Check<'_> {
    /// `[log] pin`: a file, `archive`, `configmap:CLUSTER/NAMESPACE/NAME`, or `none`.
    pub(super) fn pin(
        &mut self,
        text: Option<&str>,
        archive: Option<&ArchiveConfig>,
        clusters: &BTreeMap<Name, Access>,
    ) -> Option<PinConfig> {
        match text.unwrap_or(DEFAULT) {
            "none" => None,
            "archive" => self.pin_in_archive(archive),
            text => match text.strip_prefix("configmap:") {
                Some(place) => self.pin_in_cluster(place, clusters),
                None => Some(PinConfig::File(self.path(text.to_owned()))),
            },
        }
    }

    fn pin_in_archive(&mut self, archive: Option<&ArchiveConfig>) -> Option<PinConfig> {
        match archive.map(|it| &it.to) {
            Some(ArchivePlace::Folder(folder)) => Some(PinConfig::File(folder.join(DEFAULT))),
            Some(ArchivePlace::S3(_)) => Some(PinConfig::Archive),
            None => {
                self.wrong(
                    &["log", "pin"],
                    "there is no archive to keep it in",
                    "Add [log.archive], or write ./archive for a file of that name.",
                );
                None
            }
        }
    }

    fn pin_in_cluster(&mut self, place: &str, clusters: &BTreeMap<Name, Access>) -> Option<PinConfig> {
        let parts: Option<Vec<Name>> = place.split('/').map(|part| part.parse().ok()).collect();
        let found = parts.and_then(|parts| <[Name; 3]>::try_from(parts).ok());
        let Some([cluster, namespace, name]) = found else {
            self.wrong(&["log", "pin"], "this names no ConfigMap", "Write configmap:CLUSTER/NAMESPACE/NAME.");
            return None;
        };
        if !matches!(clusters.get(&cluster), Some(Access::Kubeconfig { .. } | Access::InCluster)) {
            let message = format!("'{cluster}' is no cluster that could keep a ConfigMap");
            self.wrong(&["log", "pin"], message, format!("Add [clusters.{cluster}], or name another."));
        }
        Some(PinConfig::ConfigMap { cluster, namespace, name })
    }
}
