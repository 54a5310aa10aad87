//! What people gained and lost when their groups changed.

mod list;

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    access::Move,
    api::{App, requests::PersonView},
    base::Name,
};

/// What somebody gained and lost at once: her groups changed, or what files say of these.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MoveView {
    /// Its id, `mov_…`.
    pub id: String,
    /// Who moved.
    pub person: PersonView,
    /// When it was noted (RFC 3339).
    pub at: String,
    /// Teams that she came into.
    pub teams_gained: Vec<String>,
    /// Teams that she is in no longer.
    pub teams_lost: Vec<String>,
    /// Trust scopes that are hers now, or that she can ask for now.
    pub scopes_gained: Vec<String>,
    /// Trust scopes that no longer are.
    pub scopes_lost: Vec<String>,
    /// Grants that ended, because only what she lost justified them, `grt_…`.
    pub grants_ended: Vec<String>,
    /// Pending requests that were withdrawn for the same reason, `req_…`.
    pub requests_withdrawn: Vec<String>,
    /// The index of the entry that tells of it.
    pub entry: i64,
}

impl From<Move> for MoveView {
    fn from(it: Move) -> Self {
        let names = |names: BTreeSet<Name>| names.iter().map(ToString::to_string).collect();
        Self {
            id: it.id.to_string(),
            person: PersonView { id: it.person.to_string(), display_name: it.display_name },
            at: it.at.to_string(),
            teams_gained: names(it.moved.teams_gained),
            teams_lost: names(it.moved.teams_lost),
            scopes_gained: names(it.moved.scopes_gained),
            scopes_lost: names(it.moved.scopes_lost),
            grants_ended: it.moved.grants_ended.iter().map(ToString::to_string).collect(),
            requests_withdrawn: it.moved.requests_withdrawn.iter().map(ToString::to_string).collect(),
            entry: it.entry,
        }
    }
}

/// All endpoints here.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().merge(list::route())
}
