//! Asking for a trust scope, and saying yes or no.

pub mod create;
pub mod decide;
pub mod events;
pub mod list;
pub mod show;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    access::{Approver, Grant, Request, RequestState},
    api::App,
    base::{Problem, Result, Timestamp, ids::PersonId, ids::RequestId, time::format_duration},
};

/// A person, as others see her.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PersonView {
    /// Her id, `per_…`.
    pub id: String,
    /// What she is called; decides nothing.
    pub display_name: String,
}

impl PersonView {
    /// The person of this id.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn of(app: &App, id: PersonId) -> Result<Self> {
        let person = app.identity.person(id).await?;
        Ok(Self { id: id.to_string(), display_name: person.display_name })
    }
}

impl From<&Approver> for PersonView {
    fn from(approver: &Approver) -> Self {
        Self { id: approver.id.clone(), display_name: approver.display_name.clone() }
    }
}

/// A grant: a trust scope held in one environment until it ends.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GrantView {
    /// Its id, `grt_…`.
    pub id: String,
    /// Which trust scope.
    pub scope: String,
    /// Where: `APPLICATION/ENVIRONMENT[@TEAM]`.
    pub at: String,
    /// When it began (RFC 3339).
    pub starts_at: String,
    /// When it ends at the latest.
    pub ends_at: String,
    /// When its end was recorded.
    pub ended_at: Option<String>,
    /// Why it ended: `time`, `deactivated` or `no-longer-justified`.
    pub ended_because: Option<String>,
}

impl From<&Grant> for GrantView {
    fn from(grant: &Grant) -> Self {
        Self {
            id: grant.id.to_string(),
            scope: grant.scope.to_string(),
            at: grant.at.to_string(),
            starts_at: grant.starts_at.to_string(),
            ends_at: grant.ends_at.to_string(),
            ended_at: grant.ended.as_ref().map(|(at, _)| at.to_string()),
            ended_because: grant.ended.as_ref().map(|(_, because)| because.clone()),
        }
    }
}

/// What somebody said to a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DecisionView {
    /// Who.
    pub person: PersonView,
    /// `approve` or `deny`.
    pub decision: String,
    /// When (RFC 3339).
    pub at: String,
    /// Why, in her words; may be empty.
    pub reason: String,
}

/// A request for a trust scope.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RequestView {
    /// Its id, `req_…`.
    pub id: String,
    /// Who asks.
    pub person: PersonView,
    /// What she wants to do.
    pub action: String,
    /// The trust scope that allows it.
    pub scope: String,
    /// Where: `APPLICATION/ENVIRONMENT[@TEAM]`.
    pub at: String,
    /// For how long from the approval on, such as `1h`.
    #[serde(rename = "for")]
    pub length: String,
    /// Why, in her words. Text: never interpret it.
    pub reason: String,
    /// `pending`, `approved`, `denied`, `cancelled`, `expired` or `withdrawn`.
    pub state: String,
    /// When she asked (RFC 3339).
    pub created_at: String,
    /// Until when it can be decided.
    pub expires_at: String,
    /// What was said to it.
    pub decisions: Vec<DecisionView>,
    /// The grant that it became.
    pub grant: Option<GrantView>,
}

impl RequestView {
    /// A request with everything around it.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn of(app: &App, request: &Request) -> Result<Self> {
        let decided = !matches!(request.state, RequestState::Pending);
        let decisions = if decided { app.requests.decisions(request).await? } else { Vec::new() };
        let grant = match request.state {
            RequestState::Approved { .. } => app.requests.grant(request).await?,
            _ => None,
        };
        Ok(Self {
            id: request.id.to_string(),
            person: PersonView::of(app, request.person).await?,
            action: request.action.to_string(),
            scope: request.scope.to_string(),
            at: request.at.to_string(),
            length: format_duration(request.length),
            reason: request.reason.clone(),
            state: request.state.as_str().to_owned(),
            created_at: request.created_at.to_string(),
            expires_at: request.expires_at.to_string(),
            decisions: decisions
                .into_iter()
                .map(|said| DecisionView {
                    person: PersonView { id: said.person, display_name: said.display_name },
                    decision: said.decision,
                    at: Timestamp::from_millis(said.at).to_string(),
                    reason: said.reason,
                })
                .collect(),
            grant: grant.as_ref().map(GrantView::from),
        })
    }
}

/// Reads a request's id from an address.
///
/// # Errors
/// `invalid-request`.
pub fn request_id(text: &str) -> Result<RequestId> {
    text.parse().map_err(|e: String| Problem::invalid(e).remedy("`portctl request list` shows yours."))
}

/// All endpoints here.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(create::route())
        .merge(list::route())
        .merge(show::route())
        .merge(decide::route())
        .merge(events::route())
}
