//! The log's pin, wherever the configuration has it.

use crate::{
    audit::{
        archive::Archive,
        pin::{Pin, PinFile, PinObject},
    },
    base::{
        Problem, ProblemKind, Result,
        config::{Config, PinConfig},
    },
    broker::PinConfigMap,
};

/// The pin; nothing where none is kept.
pub(super) fn open(config: &Config) -> Result<Option<Pin>> {
    let Some(place) = &config.log.pin else { return Ok(None) };
    let lacks = |what: &str| {
        Problem::new(ProblemKind::InvalidConfiguration, format!("the log's pin wants {what}"))
            .remedy("Correct [log] pin in the server's configuration.")
    };
    Ok(Some(match place {
        PinConfig::File(path) => Pin::new(PinFile::new(path.clone())),
        PinConfig::Archive => {
            let archive = config.outward.archive.as_ref().ok_or_else(|| lacks("[log.archive]"))?;
            Pin::new(PinObject::new(Archive::open(&archive.to)?))
        }
        PinConfig::ConfigMap { cluster, namespace, name } => {
            let access =
                config.clusters.get(cluster).ok_or_else(|| lacks(&format!("[clusters.{cluster}]")))?;
            Pin::new(PinConfigMap::new(access.clone(), namespace.clone(), name.clone()))
        }
    }))
}
