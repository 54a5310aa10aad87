//! A workload as files declare it: whose tokens are its own.

use std::{collections::BTreeMap, fmt};

use ring::digest::{SHA256, digest};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Visitor},
};

use super::github;
use crate::base::{Name, config::IssuerKind};

/// A workload: a CI job or a Kubernetes ServiceAccount. It is whoever brings a token of this issuer that says
/// what is pinned here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Workload {
    /// What it is called.
    pub name: Name,
    /// Who issues its tokens: the name of one of `workload_issuers` in the server's configuration.
    pub issuer: Name,
    /// What its tokens have to say: claims with the text, or the texts of which one, they have to hold.
    pub pins: BTreeMap<String, Pin>,
}

/// What a claim has to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pin {
    /// Exactly this.
    One(PinText),
    /// Exactly one of these.
    Several(Vec<PinText>),
}

/// A text; ids may be written as the numbers that they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PinText(String);

impl PinText {
    /// As it is compared.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for PinText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyScalar)
    }
}

struct AnyScalar;

impl Visitor<'_> for AnyScalar {
    type Value = PinText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a whole number, or true or false")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PinText, E> {
        Ok(PinText(text.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<PinText, E> {
        Ok(PinText(number.to_string()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<PinText, E> {
        Ok(PinText(number.to_string()))
    }

    fn visit_bool<E: de::Error>(self, is: bool) -> Result<PinText, E> {
        Ok(PinText(is.to_string()))
    }
}

impl Pin {
    /// Every text that would do.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let several = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several.as_slice(),
        };
        several.iter().map(PinText::as_str)
    }
}

impl Workload {
    /// SHA-256 of the declaration: moves with anything in it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let canonical = serde_json::to_string(self).unwrap_or_default();
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, canonical.as_bytes()).as_ref());
        hash
    }

    /// Whether a token of these claims comes from where this workload does: of the same owner or repository,
    /// namespace or project, whatever else it says. One that pins none of these has no strangers.
    pub(super) fn is_akin(&self, kind: IssuerKind, claims: &BTreeMap<String, String>) -> bool {
        let origins: &[&str] = match kind {
            IssuerKind::GitHub => &["repository_owner_id", "repository_id"],
            IssuerKind::GitLab => &["namespace_id", "project_id"],
            IssuerKind::Kubernetes => &["namespace"],
            IssuerKind::Oidc => &["sub"],
        };
        let mut pinned = origins.iter().filter_map(|it| Some((*it, self.pins.get(*it)?))).peekable();
        let fits = |(claim, pin): (&str, &Pin)| {
            claims.get(claim).is_some_and(|said| pin.texts().any(|text| text == said))
        };
        pinned.peek().is_none() || pinned.any(fits)
    }

    /// The first pin, in alphabetical order, that a token of these claims does not fit.
    pub(super) fn misfit(&self, kind: IssuerKind, claims: &BTreeMap<String, String>) -> Option<&str> {
        let fits = |claim: &str, pin: &Pin| match claims.get(claim) {
            Some(said) if kind == IssuerKind::GitHub && claim == "sub" => {
                pin.texts().any(|text| github::is_same_subject(text, said, claims))
            }
            Some(said) => pin.texts().any(|text| text == said),
            None => false,
        };
        self.pins.iter().find(|(claim, pin)| !fits(claim, pin)).map(|(claim, _)| claim.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload(pins: &serde_json::Value) -> Workload {
        serde_json::from_value(json!({ "name": "reports-ci", "issuer": "github", "pins": pins })).unwrap()
    }

    fn claims(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(claim, said)| ((*claim).to_owned(), (*said).to_owned())).collect()
    }

    #[test]
    fn every_pin_has_to_fit_exactly_and_a_missing_claim_fits_none() {
        let it = workload(&json!({ "repository_id": 7, "ref": ["refs/heads/main", "refs/heads/next"] }));
        let misfit =
            |said: &[(&str, &str)]| it.misfit(IssuerKind::Oidc, &claims(said)).map(ToOwned::to_owned);
        assert_eq!(misfit(&[("repository_id", "7"), ("ref", "refs/heads/next")]), None);
        assert_eq!(misfit(&[("repository_id", "7"), ("ref", "refs/heads/next2")]).as_deref(), Some("ref"));
        assert_eq!(
            misfit(&[("repository_id", "70"), ("ref", "refs/heads/main")]).as_deref(),
            Some("repository_id")
        );
        assert_eq!(misfit(&[("ref", "refs/heads/main")]).as_deref(), Some("repository_id"));
    }

    #[test]
    fn a_star_is_a_star() {
        let it = workload(&json!({ "sub": "repo:supa/*" }));
        assert!(it.misfit(IssuerKind::Oidc, &claims(&[("sub", "repo:supa/reports")])).is_some());
    }

    #[test]
    fn a_number_is_the_text_of_it_and_any_change_moves_the_digest() {
        let [number, text, other] =
            [json!(7), json!("7"), json!([7, 8])].map(|it| workload(&json!({ "id": it })));
        assert_eq!(number, text);
        assert_eq!(number.digest(), text.digest());
        assert_ne!(number.digest(), other.digest());
    }
}
