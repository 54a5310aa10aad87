//! Of which deliveries it is not known who can read what they put into a cluster.

use super::{Name, stored};
use crate::{
    base::{Result, SecretRef},
    broker::Broker,
    catalog::{Delivery, Snapshot},
    store::{Query, sql},
};

/// It is not known who can read what a delivery put into its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownReaders {
    /// Which delivery.
    pub delivery: Name,
    /// Why, in words.
    pub because: String,
}

impl Broker {
    /// The deliveries of which it is not known who can read what they delivered: those that hold a value of
    /// `secret`, or all. Decide first who may see that.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn unknown_readers(&self, secret: Option<&SecretRef>) -> Result<Vec<UnknownReaders>> {
        let declared = self.it.catalog.snapshot().await?;
        let holding: Vec<(String,)> = self.it.database.fetch_all(holding(secret)).await?;
        let mut found = Vec::new();
        for (name,) in holding {
            let Some(delivery) = declared.deliveries.get(&stored::<Name>(&name)?) else { continue };
            if let Some(because) = self.why_unknown(&declared, delivery).await? {
                found.push(UnknownReaders { delivery: delivery.name.clone(), because });
            }
        }
        Ok(found)
    }

    async fn why_unknown(&self, declared: &Snapshot, delivery: &Delivery) -> Result<Option<String>> {
        let cluster = &delivery.cluster;
        if !self.it.targets.get(cluster).is_some_and(|it| it.knows_people()) {
            return Ok(None);
        }
        if declared.cluster(cluster).is_none_or(|it| it.people.is_none()) {
            return Ok(Some(format!(
                "no file says how people appear in the cluster '{cluster}': add 'people' to its Cluster"
            )));
        }
        let query = sql("SELECT state, detail FROM delivery_readers WHERE delivery = $1");
        let row: Option<(String, String)> =
            self.it.database.fetch_optional(query.bind(&delivery.name)).await?;
        Ok(match row {
            Some((state, _)) if state == "known" => None,
            Some((_, detail)) => Some(detail),
            None => Some("the cluster was not asked yet".to_owned()),
        })
    }
}

/// Deliveries that hold something.
fn holding(secret: Option<&SecretRef>) -> Query {
    let Some(secret) = secret else {
        return sql("SELECT DISTINCT delivery FROM delivered_versions ORDER BY delivery");
    };
    sql("SELECT DISTINCT d.delivery FROM delivered_versions d JOIN secrets s ON s.id = d.secret \
         WHERE s.application = $1 AND s.environment = $2 AND s.team = $3 AND s.name = $4 ORDER BY d.delivery")
    .bind(&secret.environment.application)
    .bind(&secret.environment.environment)
    .bind(secret.environment.team_column())
    .bind(&secret.name)
}
