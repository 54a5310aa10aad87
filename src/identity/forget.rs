//! Forgetting a person here: what names her goes, and with it the way back to her.

use std::time::Duration;

use async_trait::async_trait;

use super::Identity;
use crate::{
    audit::{Authority, Draft, Unit, Work, retention},
    base::{Result, ids::PersonId},
    policy::{Action, Permit},
    store::sql,
};

impl Identity {
    /// Takes name, address, accounts, groups and sessions from a person who left. Whoever signs in with
    /// one of those accounts again is a new person. `pseudonym` is what the log calls her.
    ///
    /// # Errors
    /// `not-found`; `conflict` as [`retention::may_be_forgotten`].
    pub async fn forget_person(
        &self,
        permit: Permit,
        person: PersonId,
        pseudonym: &str,
        retention: Duration,
    ) -> Result<()> {
        permit.expect(Action::Forget)?;
        self.log.perform(ForgetPerson { permit, person, pseudonym: pseudonym.to_owned(), retention }).await
    }
}

struct ForgetPerson {
    permit: Permit,
    person: PersonId,
    pseudonym: String,
    retention: Duration,
}

#[async_trait]
impl Unit for ForgetPerson {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        retention::may_be_forgotten(work, self.person, self.retention).await?;
        work.execute(
            sql("UPDATE people SET display_name = $2, email = '' WHERE id = $1")
                .bind(self.person)
                .bind(&self.pseudonym),
        )
        .await?;
        for statement in [
            "DELETE FROM last_seen WHERE session IN (SELECT id FROM sessions WHERE person = $1)",
            "DELETE FROM refresh_tokens WHERE session IN (SELECT id FROM sessions WHERE person = $1)",
            "DELETE FROM sessions WHERE person = $1",
            "DELETE FROM scim_emails WHERE user_id IN (SELECT id FROM scim_users WHERE person = $1)",
            "DELETE FROM scim_members WHERE user_id IN (SELECT id FROM scim_users WHERE person = $1)",
            "UPDATE scim_users SET deleted_at = COALESCE(deleted_at, changed_at), body = '{}', user_name = '', \
             user_name_key = '', external_id = NULL, display_key = NULL WHERE person = $1",
            "DELETE FROM memberships WHERE person = $1",
            "DELETE FROM past_memberships WHERE person = $1",
            "DELETE FROM moved_teams WHERE move IN (SELECT id FROM moves WHERE person = $1)",
            "DELETE FROM moves WHERE person = $1",
            "DELETE FROM standings WHERE person = $1",
            "DELETE FROM first_met WHERE person = $1",
            "DELETE FROM accounts WHERE person = $1",
        ] {
            work.execute(sql(statement).bind(self.person)).await?;
        }
        work.record(Draft::act("person.forgotten").resource(&self.pseudonym));
        Ok(())
    }
}
