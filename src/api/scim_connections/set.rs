//! `POST /api/v1/scim-connections/{connection}/set`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ConnectionView, create::written, name};
use crate::{
    api::{App, Auth, Json},
    base::{Problem, Result, time::parse_duration},
    identity::scim::ConnectionChange,
    policy::{Action, Resource},
};

/// What is to become of a connection; what is left out stays as it is.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRequest {
    /// By which identity provider its people sign in; only while nobody is linked.
    #[serde(default)]
    pub provider: Option<String>,
    /// Which attribute equals which claim; only while nobody is linked.
    #[serde(default)]
    pub link: Option<String>,
    /// Whether signing in by that provider creates nobody.
    #[serde(default)]
    pub authoritative: Option<bool>,
    /// Whether it may bring back whom it deactivated.
    #[serde(default)]
    pub may_reactivate: Option<bool>,
    /// Patterns of the groups that it may write, in place of those that there are; all where none is given.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
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

impl SetRequest {
    fn read(self) -> Result<ConnectionChange> {
        let window = self.removals_within.map(|text| parse_duration(&text)).transpose();
        Ok(ConnectionChange {
            provider: self.provider,
            link: self.link.map(|text| text.parse()).transpose().map_err(Problem::invalid)?,
            authoritative: self.authoritative,
            may_reactivate: self.may_reactivate,
            groups: self.groups.map(written),
            number: self.removals_number,
            percent: self.removals_share,
            window: window.map_err(Problem::invalid)?,
        })
    }
}

/// Change what is set for a connection.
#[utoipa::path(
    post,
    path = "/scim-connections/{connection}/set",
    tag = "scim",
    params(("connection" = String, Path, description = "Its name.")),
    request_body = SetRequest,
    responses(
        (status = 200, description = "As it is set now.", body = ConnectionView),
        (status = 400, description = "`invalid-request`: nothing is said, or what does not fit."),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it is disabled; or people are linked by what would change."),
    )
)]
async fn set(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(connection): Path<String>,
    Json(body): Json<SetRequest>,
) -> Result<Json<ConnectionView>, Problem> {
    let name = name(&connection)?;
    let change = body.read()?;
    let now = app
        .gate
        .act(&caller, Action::ManageConnections, Resource::Connections, |permit| {
            app.scim.set_connection(permit, &name, &change)
        })
        .await?;
    Ok(Json(ConnectionView::of(&app, &now)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(set))
}
