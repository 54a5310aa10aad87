//! `/device`: typing the code that a machine without a browser shows, and saying yes or no to it (RFC 8628,
//! section 3.3).

use std::sync::Arc;

use askama::Template;
use axum::{Form, Router, extract::State, routing::get};
use serde::Deserialize;

use super::{Shown, Visitor, page, problem_page};
use crate::{
    api::{App, device_flow},
    base::{ProblemKind, Result},
    policy::{Action, Resource},
};

#[derive(Default, Template)]
#[template(path = "device.html")]
struct DevicePage {
    /// What was typed, once a machine was found by it.
    code: Option<String>,
    machine: String,
    network: String,
    is_near: bool,
    name: String,
    said: Option<String>,
    csrf: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Button {
    Approve,
    Deny,
}

#[derive(Deserialize)]
struct Typed {
    csrf: String,
    #[serde(default)]
    user_code: String,
    verdict: Option<Button>,
}

async fn ask(State(app): State<Arc<App>>, visitor: Visitor) -> Shown {
    device_flow(&app).map_err(|problem| problem_page(&problem))?;
    page(&DevicePage { csrf: visitor.csrf, ..DevicePage::default() })
}

async fn say(State(app): State<Arc<App>>, visitor: Visitor, Form(typed): Form<Typed>) -> Shown {
    device_flow(&app).map_err(|problem| problem_page(&problem))?;
    visitor.check_post(&app, &typed.csrf).await?;
    let shown = match typed.verdict {
        _ if typed.user_code.trim().is_empty() => Ok(DevicePage::default()),
        None => look(&app, &visitor, &typed.user_code).await,
        Some(verdict) => decide(&app, &visitor, &typed.user_code, verdict).await,
    };
    match shown {
        Ok(shown) => page(&DevicePage { csrf: visitor.csrf, ..shown }),
        // A mistyped code is typed again on the same page.
        Err(problem) if problem.is(ProblemKind::NotFound) => {
            page(&DevicePage { said: Some(problem.detail), csrf: visitor.csrf, ..DevicePage::default() })
        }
        Err(problem) => Err(problem_page(&problem)),
    }
}

async fn look(app: &App, visitor: &Visitor, code: &str) -> Result<DevicePage> {
    let found = app.identity.waiting_device(&visitor.caller, code).await?;
    let person = app.identity.person(visitor.caller.person).await?;
    Ok(DevicePage {
        code: Some(code.to_owned()),
        machine: found.machine,
        network: found.network.map_or_else(|| "an unknown address".to_owned(), |it| it.to_string()),
        is_near: found.is_near,
        name: person.display_name,
        ..DevicePage::default()
    })
}

async fn decide(app: &App, visitor: &Visitor, code: &str, verdict: Button) -> Result<DevicePage> {
    let yes = matches!(verdict, Button::Approve);
    let caller = &visitor.caller;
    app.gate
        .act(caller, Action::SignInCli, Resource::Own, |permit| {
            app.identity.decide_device(permit, caller, code, yes)
        })
        .await?;
    let said =
        if yes { "The machine is signed in. You can close this page." } else { "The machine was refused." };
    Ok(DevicePage { said: Some(said.to_owned()), ..DevicePage::default() })
}

/// The page.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/device", get(ask).post(say))
}
