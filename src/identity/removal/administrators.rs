//! Who keeps the house open: the people in the groups of `administrators`.

use super::Removals;
use crate::{
    audit::Work,
    base::{Name, Problem, Result, config::AdministratorGroup, ids::PersonId},
    store::{Query, sql},
};

/// What somebody is among the administrators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// None of them.
    None,
    /// One of several who are active.
    One,
    /// The last one who is active.
    Last,
}

impl Standing {
    /// As entries and messages name it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "no-administrator",
            Self::One => "administrator-in-mass-removal",
            Self::Last => "last-administrator",
        }
    }
}

#[derive(sqlx::FromRow)]
struct Count {
    n: i64,
}

impl Removals {
    /// Read inside the unit: two who take each other away at one instant are settled by the log's order.
    pub(super) async fn standing_of(&self, work: &mut Work<'_>, person: PersonId) -> Result<Standing> {
        let (mut is_one, mut others) = (false, false);
        for group in self.administrators.iter() {
            is_one = is_one || in_group(work, group, person, "=").await?;
            others = others || in_group(work, group, person, "<>").await?;
        }
        Ok(match (is_one, others) {
            (false, _) => Standing::None,
            (true, true) => Standing::One,
            (true, false) => Standing::Last,
        })
    }
}

impl Removals {
    /// Refuses to let go of what `source` says of groups, where only that makes anybody an administrator.
    ///
    /// # Errors
    /// `conflict`.
    pub(in crate::identity) async fn check_not_the_only(
        &self,
        work: &mut Work<'_>,
        source: &Name,
    ) -> Result<()> {
        let (own, others): (Vec<_>, Vec<_>) =
            self.administrators.iter().partition(|it| it.provider == source.as_str());
        if !any_in(work, &own).await? || any_in(work, &others).await? {
            return Ok(());
        }
        Err(Problem::conflict(format!(
            "only what '{source}' says of groups makes anybody an administrator: nobody would be left"
        ))
        .remedy(
            "Name a group of another source in `administrators` of the server's configuration, and let somebody \
             who is in it sign in first.",
        ))
    }
}

async fn any_in(work: &mut Work<'_>, groups: &[&AdministratorGroup]) -> Result<bool> {
    for group in groups {
        let found: Option<(String,)> = work
            .fetch_optional(
                sql("SELECT p.id FROM memberships_of_now m JOIN people p ON p.id = m.person \
                     WHERE m.source = $1 AND m.group_id = $2 AND p.status = 'active' LIMIT 1")
                .bind(&group.provider)
                .bind(&group.id),
            )
            .await?;
        if found.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an active person is in `group`: the one meant, or another than her.
async fn in_group(
    work: &mut Work<'_>,
    group: &AdministratorGroup,
    person: PersonId,
    comparison: &'static str,
) -> Result<bool> {
    let text = format!(
        "SELECT CAST(count(*) AS BIGINT) AS n FROM memberships_of_now m JOIN people p ON p.id = m.person \
         WHERE m.source = $1 AND m.group_id = $2 AND p.status = 'active' AND p.id {comparison} $3"
    );
    let args = vec![group.provider.as_str().into(), group.id.as_str().into(), person.into()];
    let count: Option<Count> = work.fetch_optional(Query::composed(text, args)).await?;
    Ok(count.is_some_and(|count| count.n > 0))
}
