//! Rotation tasks.

pub mod list;

use serde::Serialize;
use utoipa::ToSchema;

use crate::revocation::Task;

/// Work that is open while a value that a leaver knows is good for something.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TaskView {
    /// Its id, `rot_…`.
    pub id: String,
    /// The secret: `APPLICATION/ENVIRONMENT[@TEAM]/NAME`.
    pub secret: String,
    /// `open` or `closed`.
    pub state: String,
    /// Since when (RFC 3339).
    pub opened_at: String,
    /// Until when.
    pub closed_at: Option<String>,
    /// The leavers that it is about, `per_…`.
    pub people: Vec<String>,
    /// What keeps it open, in words.
    pub waits_for: Vec<String>,
}

impl From<&Task> for TaskView {
    fn from(task: &Task) -> Self {
        Self {
            id: task.id.to_string(),
            secret: task.secret.to_string(),
            state: if task.closed_at.is_some() { "closed" } else { "open" }.to_owned(),
            opened_at: task.opened_at.to_string(),
            closed_at: task.closed_at.map(|at| at.to_string()),
            people: task.people.clone(),
            waits_for: task.waits_for.iter().map(ToString::to_string).collect(),
        }
    }
}
