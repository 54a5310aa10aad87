//! `POST /api/v1/scim-connections`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ConnectionTokenView, name};
use crate::{
    api::{App, Auth, Json},
    base::{Problem, Result, time::parse_duration},
    identity::{
        RemovalLimit,
        scim::{ConnectionSettings, Link},
    },
    policy::{Action, Resource},
};

/// What is set for a new connection.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnectionRequest {
    /// Its name; also the source of its groups.
    pub name: String,
    /// By which identity provider its people sign in.
    pub provider: String,
    /// Which attribute equals which claim: `externalId=sub`, at Entra `externalId=oid`.
    pub link: String,
    /// Whether signing in by that provider creates nobody.
    #[serde(default)]
    pub authoritative: bool,
    /// Whether it may bring back whom it deactivated.
    #[serde(default)]
    pub may_reactivate: bool,
    /// Patterns of the groups that it may write; `*` stands for any text. All where none is given.
    #[serde(default)]
    pub groups: Vec<String>,
    /// How many people it may remove within `removals_within` before somebody is asked.
    #[serde(default)]
    pub removals_number: Option<i64>,
    /// The same as a share of its people, in percent.
    #[serde(default)]
    pub removals_share: Option<i64>,
    /// In which time, such as `1h`.
    #[serde(default)]
    pub removals_within: Option<String>,
}

impl NewConnectionRequest {
    fn read(self) -> Result<ConnectionSettings> {
        let usual = RemovalLimit::default();
        let link: Link = self.link.parse().map_err(Problem::invalid)?;
        let window = self.removals_within.map(|text| parse_duration(&text)).transpose();
        Ok(ConnectionSettings {
            name: name(&self.name)?,
            provider: self.provider,
            link,
            authoritative: self.authoritative,
            may_reactivate: self.may_reactivate,
            groups: written(self.groups),
            limit: RemovalLimit {
                number: self.removals_number.unwrap_or(usual.number),
                percent: self.removals_share.unwrap_or(usual.percent),
                window: window.map_err(Problem::invalid)?.unwrap_or(usual.window),
            },
        })
    }
}

/// Patterns of the groups that may be written; all where none is given.
pub(super) fn written(groups: Vec<String>) -> Vec<String> {
    if groups.is_empty() { vec!["*".to_owned()] } else { groups }
}

/// Make a connection by which an identity provider says who works here. Its token is answered this once.
#[utoipa::path(
    post,
    path = "/scim-connections",
    tag = "scim",
    request_body = NewConnectionRequest,
    responses(
        (status = 201, description = "It is made.", body = ConnectionTokenView),
        (status = 400, description = "`invalid-request`: no such provider, a link that does not fit it."),
        (status = 403, description = "`denied`"),
        (status = 409, description = "`already-exists`"),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Json(body): Json<NewConnectionRequest>,
) -> Result<(StatusCode, Json<ConnectionTokenView>), Problem> {
    let settings = body.read()?;
    let made = app
        .gate
        .act(&caller, Action::ManageConnections, Resource::Connections, |permit| {
            app.scim.create_connection(permit, settings.clone())
        })
        .await?;
    Ok((StatusCode::CREATED, Json(ConnectionTokenView::of(&app, &made.name, &made.token)?)))
}
