//! `/leavers/{person}`: a leaver, counted down to zero.

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
    leavers::{LeaverView, show::leaver},
    names::Names,
};

#[derive(Template)]
#[template(path = "leaver.html")]
struct Page {
    leaver: LeaverView,
    names: Names,
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor, Path(person): Path<String>) -> Shown {
    let leaver = leaver(&app, &visitor.caller, &person).await.map_err(|problem| problem_page(&problem))?;
    let leaver = LeaverView::from(&leaver);
    let mut ids: Vec<String> = leaver.steps.iter().map(|it| it.actor.clone()).collect();
    ids.extend(leaver.line.closed_by.clone());
    let names = Names::of(&app, &ids).await.map_err(|problem| problem_page(&problem))?;
    page(&Page { leaver, names })
}

/// This page.
pub fn route() -> Router<Arc<App>> {
    Router::new().route("/leavers/{person}", get(show))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        leavers::{DelayView, HeldThingView, LeaverLine, LeftView},
        requests::PersonView,
    };

    fn page(closed_at: Option<String>) -> String {
        let evil = || "\"><script>alert(1)</script>".to_owned();
        let line = LeaverLine {
            person: PersonView { id: "per_1".into(), display_name: evil() },
            since: "yesterday".into(),
            outcome: closed_at.as_ref().map(|_| "by-hand".to_owned()),
            closed_by: closed_at.as_ref().map(|_| "per_2".to_owned()),
            closed_because: closed_at.as_ref().map(|_| evil()),
            closed_at,
            came_back: false,
            left: LeftView { sessions: 0, requests: 0, grants: 0, leases: 1, rotation_tasks: 0, waived: 0 },
        };
        let delay = DelayView {
            step: "revoke-lease".into(),
            thing: "lea_1".into(),
            attempts: 3,
            since: "an hour ago".into(),
            last_at: "now".into(),
            last_error: evil(),
        };
        let held = HeldThingView {
            kind: "lease".into(),
            id: "lea_1".into(),
            what: evil(),
            began_at: "last week".into(),
            ended_at: None,
            because: None,
        };
        let leaver =
            LeaverView { line, steps: Vec::new(), tasks: Vec::new(), held: vec![held], delays: vec![delay] };
        Page { leaver, names: Names::default() }.render().unwrap()
    }

    #[test]
    fn abuse_39_a_leaver_s_page_shows_text_as_text_and_looks_again_until_she_is_closed() {
        let open = page(None);
        assert!(!open.contains("<script") && open.contains("alert(1)"));
        assert!(open.contains("http-equiv=\"refresh\"") && open.contains("waits for its engine"));
        assert!(open.contains("revoke-lease") && open.contains("an hour ago"));
        let closed = page(Some("today".to_owned()));
        assert!(!closed.contains("<script") && !closed.contains("http-equiv=\"refresh\""));
        assert!(closed.contains("Closed by hand at today by <bdi>per_2</bdi>"));
    }
}
