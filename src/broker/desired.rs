//! What should be in a Secret, and how ours are recognised.

use std::collections::BTreeMap;

use super::{
    CurrentValue, Mac,
    target::{Found, Manifest, Spot},
};
use crate::{
    base::{Name, SecretValue, hex},
    catalog::Delivery,
};

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The label by which everything of ours can be listed.
pub(super) const SELECTOR: &str = "app.kubernetes.io/managed-by=port-control";
const OWNER: &str = "portcontrol.dev/owner";
const DELIVERY: &str = "portcontrol.dev/delivery";
const GENERATION: &str = "portcontrol.dev/generation";
const AUDIT_INDEX: &str = "portcontrol.dev/audit-index";
const FINGERPRINT: &str = "portcontrol.dev/fingerprint";
const APPLICATION: &str = "portcontrol.dev/application";
const ENVIRONMENT: &str = "portcontrol.dev/environment";
const TEAM: &str = "portcontrol.dev/team";

/// A Secret of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) cluster: Name,
    pub(super) spot: Spot,
}

impl Place {
    pub(super) fn of(delivery: &Delivery) -> Self {
        let spot = Spot { namespace: delivery.namespace.clone(), secret: delivery.secret.clone() };
        Self { cluster: delivery.cluster.clone(), spot }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.cluster, self.spot)
    }
}

/// The annotation that nobody else can make: an HMAC over cluster, namespace, name and delivery.
pub(super) fn owner(mac: &dyn Mac, place: &Place, delivery: &Name) -> String {
    let parts: [&[u8]; 4] = [
        place.cluster.as_str().as_bytes(),
        place.spot.namespace.as_str().as_bytes(),
        place.spot.secret.as_bytes(),
        delivery.as_str().as_bytes(),
    ];
    hex::encode(&mac.mac("delivery-owner", &parts))
}

/// Whether this delivery made it, and no other place and no other delivery.
pub(super) fn is_ours(mac: &dyn Mac, found: &Found, place: &Place, delivery: &Name) -> bool {
    let expected = owner(mac, place, delivery);
    let shown = found.manifest.annotations.get(OWNER).map_or("", String::as_str);
    subtle::ConstantTimeEq::ct_eq(expected.as_bytes(), shown.as_bytes()).into()
}

/// What should be there.
pub(super) struct Desired {
    pub(super) place: Place,
    pub(super) delivery: Name,
    labels: BTreeMap<String, String>,
    data: BTreeMap<String, SecretValue>,
    /// What the labels say, as part of the digest.
    pub(super) belongs: String,
    /// Key, secret and version: what ends up in `delivered_versions`.
    pub(super) versions: Vec<Version>,
    pub(super) digest: [u8; 32],
}

/// One version of one secret under its key.
#[expect(clippy::struct_field_names, reason = "a version has the id of a version")]
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Version {
    pub(super) key: String,
    pub(super) secret: String,
    pub(super) version: String,
}

/// What distinguishes one write of the same Secret from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) generation: i64,
    pub(super) audit_index: i64,
}

impl Desired {
    pub(super) fn new(mac: &dyn Mac, delivery: &Delivery, team: &Name, values: Vec<CurrentValue>) -> Self {
        let labels = [
            (MANAGED_BY, "port-control"),
            (APPLICATION, delivery.application.as_str()),
            (ENVIRONMENT, delivery.environment.as_str()),
            (TEAM, team.as_str()),
        ];
        let mut versions = Vec::with_capacity(values.len());
        let mut data = BTreeMap::new();
        for it in values {
            let key = it.name.to_string();
            versions.push(Version {
                key: key.clone(),
                secret: it.secret.to_string(),
                version: it.version.to_string(),
            });
            data.insert(key, it.value);
        }
        versions.sort_by(|a, b| a.key.cmp(&b.key));
        let place = Place::of(delivery);
        let belongs = format!("{}/{}@{team}", delivery.application, delivery.environment);
        Self {
            digest: digest(mac, &place, &belongs, &versions, &data),
            belongs,
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            delivery: delivery.name.clone(),
            place,
            data,
            versions,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Bytes of all values: Kubernetes takes 1 MiB in all.
    pub(super) fn size(&self) -> usize {
        self.data.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    fn annotations(&self, mac: &dyn Mac, stamp: Stamp) -> BTreeMap<String, String> {
        [
            (DELIVERY, self.delivery.to_string()),
            (GENERATION, stamp.generation.to_string()),
            (AUDIT_INDEX, stamp.audit_index.to_string()),
            (FINGERPRINT, hex::encode(&self.digest)),
            (OWNER, owner(mac, &self.place, &self.delivery)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// The whole Secret; what other people have put on the one that is there is kept.
    pub(super) fn manifest(&self, mac: &dyn Mac, stamp: Stamp, there: Option<&Found>) -> Manifest {
        let mut manifest = there.map(|it| &it.manifest).map_or_else(Manifest::default, |it| Manifest {
            labels: it.labels.clone(),
            annotations: it.annotations.clone(),
            data: BTreeMap::new(),
            kept: it.kept.clone(),
        });
        manifest.labels.extend(self.labels.clone());
        manifest.annotations.extend(self.annotations(mac, stamp));
        manifest.data.clone_from(&self.data);
        manifest
    }

    /// Whether what is there is what should be: our labels and annotations, exactly these keys and
    /// values.
    pub(super) fn is_there(&self, mac: &dyn Mac, stamp: Stamp, found: &Found) -> bool {
        let there = &found.manifest;
        there.data == self.data
            && self.labels.iter().all(|(key, value)| there.labels.get(key) == Some(value))
            && self
                .annotations(mac, stamp)
                .iter()
                .all(|(key, value)| there.annotations.get(key) == Some(value))
    }
}

/// Keyed digest of place, keys, versions and values.
pub(super) fn digest(
    mac: &dyn Mac,
    place: &Place,
    belongs: &str,
    versions: &[Version],
    data: &BTreeMap<String, SecretValue>,
) -> [u8; 32] {
    let at = place.to_string();
    let mut parts: Vec<&[u8]> = vec![at.as_bytes(), belongs.as_bytes()];
    for it in versions {
        let value = data.get(&it.key).map_or(&[][..], SecretValue::expose);
        parts.extend([it.key.as_bytes(), it.version.as_bytes(), value]);
    }
    mac.mac("delivery-digest", &parts)
}

/// A write as its intent notes it: enough to find out later whether it was done.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct WriteNote {
    pub(super) belongs: String,
    pub(super) versions: Vec<Version>,
    /// Keyed, in hexadecimal.
    pub(super) digest: String,
    pub(super) generation: i64,
    /// Size of the log when the intent was made: its entry has this index, or one shortly after where
    /// it shared its commit with others.
    pub(super) audit_index: i64,
    /// Whether nothing was to change but what somebody did by hand.
    pub(super) restores: bool,
}

impl WriteNote {
    pub(super) fn stamp(&self) -> Stamp {
        Stamp { generation: self.generation, audit_index: self.audit_index }
    }

    /// Whether this is what is there: its stamp, and values of its digest.
    pub(super) fn is_there(&self, mac: &dyn Mac, place: &Place, found: &Found) -> bool {
        let there = &found.manifest;
        let shows = |key: &str, value: i64| there.annotations.get(key) == Some(&value.to_string());
        shows(GENERATION, self.generation)
            && shows(AUDIT_INDEX, self.audit_index)
            && there.data.len() == self.versions.len()
            && hex::encode(&digest(mac, place, &self.belongs, &self.versions, &there.data)) == self.digest
    }
}
