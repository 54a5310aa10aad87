//! Connections as administrators make, see and end them.

mod check;
mod create;
mod end;
mod list;
mod set;
mod show;
mod tokens;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use super::App;
use crate::{
    base::{Name, Problem, Result, SecretValue, Timestamp, time::format_duration},
    identity::scim::Connection,
};

/// A connection as it is set.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ConnectionView {
    /// Its name; also the source of its groups.
    #[schema(value_type = String)]
    pub name: Name,
    /// By which identity provider its people sign in.
    pub provider: String,
    /// Which attribute equals which claim: `externalId=sub`.
    pub link: String,
    /// Whether signing in by that provider creates nobody.
    pub authoritative: bool,
    /// Whether it may bring back whom it deactivated.
    pub may_reactivate: bool,
    /// Patterns of the groups that it may write.
    pub groups: Vec<String>,
    /// How many people it may remove within `removals_within`, or a share in percent, whichever is more.
    pub removals_number: i64,
    /// That share.
    pub removals_share: i64,
    /// That time.
    pub removals_within: String,
    /// When it last spoke, to some minutes.
    #[schema(value_type = Option<String>)]
    pub heard_at: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// Since when it is out of use.
    #[schema(value_type = Option<String>)]
    pub disabled_at: Option<Timestamp>,
    /// The address that the identity provider is given.
    pub url: String,
}

impl ConnectionView {
    fn of(app: &App, it: &Connection) -> Self {
        Self {
            name: it.name.clone(),
            provider: it.provider.clone(),
            link: it.link.to_string(),
            authoritative: it.authoritative,
            may_reactivate: it.may_reactivate,
            groups: it.groups.clone(),
            removals_number: it.limit.number,
            removals_share: it.limit.percent,
            removals_within: format_duration(it.limit.window),
            heard_at: it.heard_at,
            created_at: it.created_at,
            disabled_at: it.disabled_at,
            url: url(app, &it.name),
        }
    }
}

/// A token that was just made.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ConnectionTokenView {
    /// Of which connection.
    #[schema(value_type = String)]
    pub connection: Name,
    /// The token; shown this once.
    pub token: String,
    /// The address that the identity provider is given with it.
    pub url: String,
}

impl ConnectionTokenView {
    fn of(app: &App, connection: &Name, token: &SecretValue) -> Result<Self> {
        let token = token.expose_text().ok_or_else(|| Problem::internal("a token of ours is no text"))?;
        Ok(Self { connection: connection.clone(), token: token.to_owned(), url: url(app, connection) })
    }
}

fn url(app: &App, name: &Name) -> String {
    format!("{}/scim/v2/{name}", app.config.public_url.as_str().trim_end_matches('/'))
}

fn name(text: &str) -> Result<Name> {
    text.parse().map_err(Problem::invalid)
}

/// These endpoints.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(list::route())
        .merge(show::routes())
        .merge(tokens::routes())
        .merge(set::route())
        .merge(end::route())
        .merge(check::route())
}
