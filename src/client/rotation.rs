//! Values that have to be replaced.

use serde::{Deserialize, Serialize};

use super::Client;
use crate::base::Result;

/// One secret of a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RotationPlace {
    /// The secret.
    pub secret: String,
    /// The team that it belongs to.
    #[serde(default)]
    pub team: Option<String>,
    /// What keeps the task open here.
    #[serde(default)]
    pub waits_for: Vec<String>,
    /// Who makes new values.
    #[serde(default)]
    pub by: Option<String>,
    /// What people have to know to make one.
    #[serde(default)]
    pub instructions: Option<String>,
    /// What its rotator fails with.
    #[serde(default)]
    pub failed: Option<String>,
}

/// That a task may wait.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RotationWaiver {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Until when.
    pub until: String,
    /// Who asked.
    pub asked_by: String,
    /// Who else agreed; nothing: nobody yet.
    #[serde(default)]
    pub confirmed_by: Option<String>,
}

/// Work that is open while a value that should go is still good for something.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RotationTask {
    /// Its id.
    pub id: String,
    /// The secret, or the first of several.
    pub secret: String,
    /// Its secrets.
    #[serde(default)]
    pub places: Vec<RotationPlace>,
    /// `open` or `closed`.
    pub state: String,
    /// `required`, `suggested` or `waived`.
    #[serde(default)]
    pub standing: String,
    /// `leaver`, `age`, or both.
    #[serde(default)]
    pub causes: Vec<String>,
    /// Since when.
    pub opened_at: String,
    /// By when it should be done.
    #[serde(default)]
    pub due_at: String,
    /// When it was closed.
    #[serde(default)]
    pub closed_at: Option<String>,
    /// The leavers that it is about.
    #[serde(default)]
    pub people: Vec<String>,
    /// What keeps it open.
    #[serde(default)]
    pub waits_for: Vec<String>,
    /// That it may wait, where somebody has asked for that.
    #[serde(default)]
    pub waiver: Option<RotationWaiver>,
}

#[derive(Serialize)]
struct Why<'a> {
    reason: &'a str,
}

#[derive(Serialize)]
struct Waive<'a> {
    reason: &'a str,
    until: &'a str,
}

#[derive(Serialize)]
struct Confirm<'a> {
    waiver: &'a str,
}

impl Client {
    /// Rotation tasks, of one state or all; all that may be seen, or those of one's own teams.
    ///
    /// # Errors
    /// `denied`, `server-unavailable`.
    pub async fn rotation(&self, state: Option<&str>, mine: bool) -> Result<Vec<RotationTask>> {
        let mut query: Vec<(&str, &str)> = state.map(|state| ("state", state)).into_iter().collect();
        query.extend(mine.then_some(("mine", "true")));
        self.list(&["rotation"], &query).await
    }

    /// One rotation task.
    ///
    /// # Errors
    /// `denied`, `not-found`.
    pub async fn rotation_task(&self, task: &str) -> Result<RotationTask> {
        self.get(&["rotation", task], &[]).await
    }

    /// Says that a rotation is done; how it stands now.
    ///
    /// # Errors
    /// `denied`, `needs-grant`, `not-found`, `invalid-request`.
    pub async fn rotation_done(&self, task: &str, reason: &str) -> Result<RotationTask> {
        self.post(&["rotation", task, "done"], &Why { reason }).await
    }

    /// Asks that a task may wait.
    ///
    /// # Errors
    /// `denied`, `not-found`, `conflict`, `invalid-request`.
    pub async fn waive_rotation(&self, task: &str, reason: &str, until: &str) -> Result<RotationTask> {
        self.post(&["rotation", task, "waive"], &Waive { reason, until }).await
    }

    /// Agrees that a task may wait.
    ///
    /// # Errors
    /// `denied`, `not-found`, `conflict`.
    pub async fn confirm_waiver(&self, task: &str, waiver: &str) -> Result<RotationTask> {
        self.post(&["rotation", task, "confirm"], &Confirm { waiver }).await
    }

    /// Takes back that a task may wait.
    ///
    /// # Errors
    /// `denied`, `not-found`, `conflict`, `invalid-request`.
    pub async fn unwaive_rotation(&self, task: &str, reason: &str) -> Result<RotationTask> {
        self.post(&["rotation", task, "unwaive"], &Why { reason }).await
    }
}
