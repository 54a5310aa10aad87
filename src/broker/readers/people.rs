//! People as a cluster knows them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Lying, stored};
use crate::{
    base::{Result, Timestamp, ids::PersonId},
    broker::{Broker, Reader},
    catalog::{ClusterPeople, Snapshot, UserClaim},
    store::sql,
};

/// In this group is everybody whom a cluster has let in.
const EVERYBODY: &str = "system:authenticated";

/// Who left a group of late, and when.
pub(super) type Leavers = Vec<(String, Timestamp)>;

/// About whom a cluster is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Everybody who may be able to read.
    Everybody,
    /// These of them.
    Some(BTreeSet<String>),
}

/// A person whom a cluster may let read something of which it is not noted yet that she can.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) person: PersonId,
    /// What to ask, in this order: her groups, which others have, too; then herself.
    pub(super) readers: Vec<Reader>,
}

#[derive(sqlx::FromRow)]
struct AccountRow {
    person: String,
    subject: String,
    email: String,
}

impl Broker {
    /// Who left a group at `since` or later; nobody where nothing was asked yet.
    pub(super) async fn leavers(&self, since: Option<Timestamp>) -> Result<Leavers> {
        let Some(since) = since else { return Ok(Vec::new()) };
        let query = sql("SELECT person, max(left_at) AS left_at FROM past_memberships WHERE left_at >= $1 \
             GROUP BY person");
        let rows: Vec<(String, i64)> = self.it.database.fetch_all(query.bind(since)).await?;
        Ok(rows.into_iter().map(|(person, at)| (person, Timestamp::from_millis(at))).collect())
    }

    /// Everybody of the cluster's identity provider who has not left before the values were put there, and
    /// is not known to be able to read all of them; or some of these.
    pub(super) async fn candidates(
        &self,
        declared: &Snapshot,
        it: &Lying,
        people: &ClusterPeople,
        whom: &Whom,
    ) -> Result<Vec<Candidate>> {
        let place = it.place.to_string();
        let query =
            sql("SELECT a.person, a.subject, p.email FROM accounts a JOIN people p ON p.id = a.person \
             WHERE a.provider = $1 AND (p.status <> 'deactivated' OR p.status_since >= $2) \
             AND EXISTS (SELECT 1 FROM delivered_versions d WHERE d.delivery = $3 AND d.place = $4 \
                 AND NOT EXISTS (SELECT 1 FROM exposures e WHERE e.principal = p.id \
                     AND e.version = d.version AND e.how = 'delivery')) \
             ORDER BY a.person, a.subject");
        let query = query.bind(&people.provider).bind(it.since).bind(&it.delivery).bind(place);
        let accounts: Vec<AccountRow> = self.it.database.fetch_all(query).await?;
        let mut groups = self.groups_there(declared, people, it.since).await?;
        let mut found: BTreeMap<String, Candidate> = BTreeMap::new();
        for account in accounts.into_iter().filter(|it| whom.has(&it.person)) {
            let hers = groups.remove(&account.person).unwrap_or_default();
            if !found.contains_key(&account.person) {
                let person = stored(&account.person)?;
                found
                    .insert(account.person.clone(), Candidate { person, readers: vec![group_reader(&hers)] });
            }
            let Some(candidate) = found.get_mut(&account.person) else { continue };
            let groups = candidate.readers[0].groups.clone();
            let user = user_name(people, &account);
            candidate.readers.extend(user.map(|user| Reader { user, groups }));
        }
        Ok(found.into_values().collect())
    }

    /// By person, the names that her groups have in the cluster: those of now, and those that she has left since
    /// the values were put there. Rights add up there, so both can be asked about at once.
    async fn groups_there(
        &self,
        declared: &Snapshot,
        people: &ClusterPeople,
        since: Timestamp,
    ) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for known in &people.groups {
            let Some(group) = declared.groups.get(&known.group) else { continue };
            let query = sql("SELECT person FROM memberships_of_now WHERE source = $1 AND group_id = $2 \
                 UNION SELECT person FROM past_memberships \
                 WHERE source = $1 AND group_id = $2 AND left_at >= $3 \
                 UNION SELECT m.person FROM memberships m JOIN scim_connections c ON c.name = m.source \
                 WHERE m.source = $1 AND m.group_id = $2 AND c.disabled_at >= $3");
            let query = query.bind(&group.provider).bind(&group.id).bind(since);
            for (person,) in self.it.database.fetch_all::<(String,)>(query).await? {
                found.entry(person).or_default().insert(known.named.clone());
            }
        }
        Ok(found)
    }
}

impl Whom {
    fn has(&self, person: &str) -> bool {
        match self {
            Self::Everybody => true,
            Self::Some(these) => these.contains(person),
        }
    }
}

fn group_reader(hers: &BTreeSet<String>) -> Reader {
    let groups = hers.iter().cloned().chain([EVERYBODY.to_owned()]).collect();
    Reader { user: String::new(), groups }
}

/// What she is called there, where files say of what that is made and it is known.
fn user_name(people: &ClusterPeople, account: &AccountRow) -> Option<String> {
    let claim = match people.user_claim? {
        UserClaim::Subject => &account.subject,
        UserClaim::Email => &account.email,
    };
    (!claim.is_empty()).then(|| format!("{}{claim}", people.user_prefix))
}
