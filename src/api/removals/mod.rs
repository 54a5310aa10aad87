//! What connections removed beyond their limit: held until somebody decides; and numbers that are announced.

pub mod decide;
pub mod expect;
pub mod list;
pub mod withdraw;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api::App,
    base::Timestamp,
    identity::{Expected, Held},
};

/// Somebody who is suspended because her connection removed too many at once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HeldView {
    /// Who, `per_…`.
    pub person: String,
    /// What she is called.
    pub display_name: String,
    /// Her address.
    pub email: String,
    /// Which connection removed her.
    pub connection: String,
    /// What she was held with.
    pub batch: String,
    /// Since when.
    #[schema(value_type = String)]
    pub held_at: Timestamp,
}

impl From<Held> for HeldView {
    fn from(held: Held) -> Self {
        Self {
            person: held.person.to_string(),
            display_name: held.display_name,
            email: held.email,
            connection: held.connection,
            batch: held.batch,
            held_at: held.held_at,
        }
    }
}

/// Removals that were announced.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExpectedView {
    /// Which, `xpt_…`.
    pub id: String,
    /// By which connection; null: by any.
    pub connection: Option<String>,
    /// How many.
    pub number: i64,
    /// How many of them have passed.
    pub used: i64,
    /// Until when it counts.
    #[schema(value_type = String)]
    pub until: Timestamp,
    /// Who announced it.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl From<Expected> for ExpectedView {
    fn from(it: Expected) -> Self {
        Self {
            id: it.id.to_string(),
            connection: it.connection,
            number: it.number,
            used: it.used,
            until: it.until,
            by: it.by,
            reason: it.reason,
        }
    }
}

/// All endpoints here.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(list::routes())
        .merge(decide::routes())
        .merge(expect::route())
        .merge(withdraw::route())
}
