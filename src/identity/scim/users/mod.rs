//! People as a connection provisions them.

mod change;
mod create;
mod row;
mod status;

pub(super) use row::{COLUMNS as USER_COLUMNS, FROM as USERS, UserRow, by_id, emails_of, render_row, texts};
use status::{Standing, Statuses};

use std::sync::Arc;

use serde_json::Value;

use self::{
    change::{Change, ChangeUser, RemoveUser},
    create::CreateUser,
};
use super::{Answer, Attempt, Projection, Said, Scim, Speaker, is_unchanged, patch, schema::PEOPLE};
use crate::{base::Result, policy::Action};

/// What a body says of `active`, where it says something.
fn said_active(body: &Said) -> Result<Option<bool>> {
    match patch::member(body, "active") {
        None | Some(Value::Null) => Ok(None),
        Some(said) => match super::schema::truth(said) {
            Some(said) => Ok(Some(said)),
            None => Err(super::refuse("invalidValue", "active has to be true or false")),
        },
    }
}

impl Scim {
    /// Takes a new person in.
    ///
    /// # Errors
    /// `uniqueness` where the name is taken, or the person is provisioned already; `conflict` where she is
    /// deactivated and this connection may not bring her back.
    pub async fn create_user(&self, speaker: &Speaker, said: &Said) -> Result<Answer> {
        let attempt = Attempt { operation: "POST Users", resource: name_of(said), matters: true };
        let outcome = self.create_user_once(speaker, said).await;
        let id = self.noted(speaker, &attempt, outcome).await?;
        self.user(speaker, &id, &Projection::default()).await
    }

    async fn create_user_once(&self, speaker: &Speaker, said: &Said) -> Result<String> {
        let body = PEOPLE.read(said)?;
        let active = said_active(said)?;
        let statuses = Statuses::of(self.parts());
        self.act(speaker, Action::Provision, |permit, connection| {
            let domains = self.domains(&connection.provider);
            let (body, statuses) = (body.clone(), statuses.clone());
            self.parts().log.perform(CreateUser { permit, connection, body, active, statuses, domains })
        })
        .await
        .and_then(|done| done)
    }

    /// A person.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn user(&self, speaker: &Speaker, id: &str, projection: &Projection) -> Result<Answer> {
        self.look(speaker).await?;
        let row: Option<UserRow> =
            self.parts().database.fetch_optional(by_id(&speaker.connection.name, id)).await?;
        let row = row.ok_or_else(|| super::gone("person", id))?;
        let groups = self.groups_of(std::slice::from_ref(&row)).await?;
        self.user_answer(speaker, &row, groups.first().map_or(&[][..], |it| it.as_slice()), projection)
    }

    /// Puts what is said in the place of what was: what is left out is gone, but nobody comes back by it.
    ///
    /// # Errors
    /// As [`Self::patch_user`].
    pub async fn replace_user(
        &self,
        speaker: &Speaker,
        id: &str,
        said: &Said,
        if_match: Option<&str>,
    ) -> Result<Answer> {
        let attempt = Attempt { operation: "PUT Users", resource: id.to_owned(), matters: true };
        self.change_user(speaker, id, Change::replacing(said), if_match, attempt).await
    }

    /// Changes some of it. Where it takes her away, that stands whatever is refused of the rest.
    ///
    /// # Errors
    /// `not-found`; `precondition-failed`; `uniqueness`; `mutability` for what links her once she has
    /// signed in; `conflict` where she cannot be brought back, or is the last administrator.
    pub async fn patch_user(
        &self,
        speaker: &Speaker,
        id: &str,
        said: &Said,
        if_match: Option<&str>,
    ) -> Result<Answer> {
        let change = Change::patching(said);
        let matters = change.as_ref().map_or(true, Change::is_about_active);
        let attempt = Attempt { operation: "PATCH Users", resource: id.to_owned(), matters };
        self.change_user(speaker, id, change, if_match, attempt).await
    }

    async fn change_user(
        &self,
        speaker: &Speaker,
        id: &str,
        change: Result<Change>,
        if_match: Option<&str>,
        attempt: Attempt,
    ) -> Result<Answer> {
        let outcome = match change {
            Ok(change) => self.change_user_once(speaker, id, Arc::new(change), if_match).await,
            Err(problem) => Err(problem),
        };
        match outcome {
            Err(problem) if is_unchanged(&problem) => {}
            outcome => self.noted(speaker, &attempt, outcome).await?,
        }
        self.user(speaker, id, &Projection::default()).await
    }

    async fn change_user_once(
        &self,
        speaker: &Speaker,
        id: &str,
        change: Arc<Change>,
        if_match: Option<&str>,
    ) -> Result<()> {
        let action = if change.takes_away() { Action::Deprovision } else { Action::Provision };
        let statuses = Statuses::of(self.parts());
        self.act(speaker, action, |permit, connection| {
            self.parts().log.perform(ChangeUser {
                permit,
                domains: self.domains(&connection.provider),
                connection,
                id: id.to_owned(),
                change: Arc::clone(&change),
                if_match: if_match.map(str::to_owned),
                statuses: statuses.clone(),
            })
        })
        .await
        .and_then(|done| done)
    }

    /// Takes a person away: she is deactivated, and this connection has her no more.
    ///
    /// # Errors
    /// `not-found`; `precondition-failed`; `conflict` where she is the last administrator.
    pub async fn delete_user(&self, speaker: &Speaker, id: &str, if_match: Option<&str>) -> Result<()> {
        let attempt = Attempt { operation: "DELETE Users", resource: id.to_owned(), matters: true };
        let statuses = Statuses::of(self.parts());
        let outcome = self
            .act(speaker, Action::Deprovision, |permit, connection| {
                self.parts().log.perform(RemoveUser {
                    permit,
                    connection,
                    id: id.to_owned(),
                    if_match: if_match.map(str::to_owned),
                    statuses: statuses.clone(),
                })
            })
            .await
            .and_then(|done| done);
        self.noted(speaker, &attempt, outcome).await
    }

    /// The domains for whose e-mail addresses a provider speaks.
    fn domains(&self, provider: &str) -> Vec<String> {
        self.provider(provider).map(|it| it.email_domains.clone()).unwrap_or_default()
    }

    pub(super) fn user_answer(
        &self,
        speaker: &Speaker,
        row: &UserRow,
        groups: &[(String, String)],
        projection: &Projection,
    ) -> Result<Answer> {
        let connection = &speaker.connection;
        let location = self.location(connection, "Users", &row.id);
        let address = |id: &str| self.location(connection, "Groups", id);
        let body = render_row(row, groups, &location, address)?;
        Ok(Answer { body: Some(projection.of(body, &PEOPLE)), etag: row.etag(), location })
    }
}

/// What a refused person is called in the list of what was refused.
fn name_of(said: &Said) -> String {
    let name = patch::member(said, "userName").and_then(Value::as_str).unwrap_or("without a userName");
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}
