//! Who came to know which values.

use serde::{Deserialize, Serialize};

use super::{Client, transport::MOST_PAGES};
use crate::base::{Result, SecretRef};

/// Somebody came to know a value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exposure {
    /// Its id.
    pub id: String,
    /// Who, as the log names whoever it is.
    pub principal: String,
    /// What a person is called.
    #[serde(default)]
    pub display_name: Option<String>,
    /// A person's e-mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// The secret, where it belongs.
    pub secret: String,
    /// Which version of it; nothing for a lease.
    #[serde(default)]
    pub version: Option<i64>,
    /// Whether that value is the current one still; of a lease, whether it may work still.
    pub is_current: bool,
    /// The deliveries that hold that value.
    #[serde(default)]
    pub deliveries: Vec<String>,
    /// `entered`, `revealed`, `run`, `lease`, `delivery`.
    pub how: String,
    /// By which trust scope.
    #[serde(default)]
    pub scope: Option<String>,
    /// When first.
    pub first_at: String,
    /// When last.
    pub last_at: String,
    /// The entry of the first time.
    #[serde(default)]
    pub first_entry: Option<i64>,
    /// The entry of the last time.
    #[serde(default)]
    pub last_entry: Option<i64>,
}

/// It is not known who can read what a delivery put into a cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UnknownReaders {
    /// Which delivery.
    pub delivery: String,
    /// Why.
    pub because: String,
}

/// All exposures that were asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Exposures {
    /// They, the newest first.
    pub items: Vec<Exposure>,
    /// Deliveries of which it is not known whom they expose to values.
    #[serde(default)]
    pub unknown: Vec<UnknownReaders>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(flatten)]
    found: Exposures,
    #[serde(default)]
    next: Option<String>,
}

impl Client {
    /// What somebody knows, by id, e-mail address or `workload/NAME`; what you know, without one.
    ///
    /// # Errors
    /// `denied`, `not-found`, `ambiguous`.
    pub async fn exposures_of(&self, who: Option<&str>) -> Result<Exposures> {
        self.exposures(who.map(|who| ("person", who))).await
    }

    /// Who knows a secret.
    ///
    /// # Errors
    /// `denied`, `not-found`.
    pub async fn exposures_of_secret(&self, at: &SecretRef) -> Result<Exposures> {
        self.exposures(Some(("secret", &at.to_string()))).await
    }

    async fn exposures(&self, about: Option<(&str, &str)>) -> Result<Exposures> {
        let mut all = Exposures::default();
        let mut next: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut query: Vec<(&str, &str)> = about.into_iter().collect();
            query.extend(next.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Page = self.get(&["exposures"], &query).await?;
            all.items.extend(page.found.items);
            all.unknown = page.found.unknown;
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(all)
    }
}
