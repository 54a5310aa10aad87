//! `/rotation/{task}`: one rotation task, with what stands in its way and how a new value is made.

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};

use super::{Shown, Visitor, page, problem_page};
use crate::api::{
    App,
    names::Names,
    rotation::{TaskView, show::task},
};

#[derive(Template)]
#[template(path = "rotation.html")]
struct Page {
    task: TaskView,
    names: Names,
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor, Path(id): Path<String>) -> Shown {
    let task = task(&app, &(&visitor.caller).into(), &id).await.map_err(|problem| problem_page(&problem))?;
    let task = TaskView::from(&task);
    let mut ids = task.people.clone();
    if let Some(waiver) = &task.waiver {
        ids.extend(waiver.confirmed_by.clone().into_iter().chain([waiver.asked_by.clone()]));
    }
    let names = Names::of(&app, &ids).await.map_err(|problem| problem_page(&problem))?;
    page(&Page { task, names })
}

/// This page.
pub fn route() -> Router<Arc<App>> {
    Router::new().route("/rotation/{task}", get(show))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rotation::{PlaceView, WaiverView};

    #[test]
    fn abuse_39_script_in_instructions_or_a_reason_is_shown_as_text() {
        let place = PlaceView {
            secret: "reports/production/KEY".into(),
            team: None,
            waits_for: vec!["<script>alert(1)</script>".into()],
            by: Some("hand".into()),
            instructions: Some("<script>alert(2)</script>".into()),
            failed: None,
        };
        let waiver = WaiverView {
            id: "wvr_1".into(),
            reason: "\"><script>alert(3)</script>\u{202e}".into(),
            until: String::new(),
            asked_by: "per_1".into(),
            confirmed_by: None,
        };
        let task = TaskView {
            id: "rot_1".into(),
            secret: place.secret.clone(),
            places: vec![place],
            state: "open".into(),
            standing: "required".into(),
            causes: vec!["leaver".into()],
            opened_at: String::new(),
            due_at: String::new(),
            closed_at: None,
            people: Vec::new(),
            waits_for: Vec::new(),
            waiver: Some(waiver),
        };
        let page = Page { task, names: Names::default() }.render().unwrap();
        assert!(!page.contains("<script") && [1, 2, 3].iter().all(|n| page.contains(&format!("alert({n})"))));
    }
}
