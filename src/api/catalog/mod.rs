//! What files declare: seeing it, planning and applying a set of files.

pub mod applications;
pub mod apply;
pub mod plan;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api::App,
    base::{Problem, Result},
    catalog::{Change, ChangeKind, Document, DocumentSet, LONGEST_SOURCE},
};

/// Longest body that is taken: the files of a source as JSON, where text is longer.
pub(super) const LONGEST_BODY: usize = 2 * LONGEST_SOURCE;

/// One file of declarations.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentBody {
    /// The path that findings name, relative to the folder that was given.
    #[schema(example = "teams.yaml")]
    pub file: String,
    /// YAML, several documents perhaps; 1 MiB at most.
    #[schema(example = "kind: Team\nname: supa-team\ngroups: [engineering]\n")]
    pub text: String,
}

/// One thing that changes.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct ChangeView {
    /// `add`, `change` or `remove`.
    #[schema(value_type = String, example = "add")]
    pub change: ChangeKind,
    /// What sort of thing: `Group`, `Team`, `Application`, `TrustScope`, `Cluster`, `Delivery`.
    pub kind: String,
    /// Which.
    pub name: String,
    /// In one line, what is different.
    pub summary: String,
}

impl From<&Change> for ChangeView {
    fn from(it: &Change) -> Self {
        Self {
            change: it.change,
            kind: it.kind.to_string(),
            name: it.name.to_string(),
            summary: it.summary.clone(),
        }
    }
}

fn views(changes: &[Change]) -> Vec<ChangeView> {
    changes.iter().map(ChangeView::from).collect()
}

fn set_of(source: Option<String>, documents: Vec<DocumentBody>) -> Result<DocumentSet> {
    let source = source.map(|name| name.parse()).transpose().map_err(Problem::invalid)?;
    let documents = documents.into_iter().map(|it| Document { file: it.file, text: it.text }).collect();
    Ok(DocumentSet { source, documents })
}

/// All endpoints here.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().merge(applications::route()).merge(apply::route()).merge(plan::route())
}
