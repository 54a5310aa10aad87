//! The pages: plain HTML, no script. Each is a file with its template in `templates/`.

pub mod leaver;
pub mod request;
pub mod requests;

use askama::Template;
use axum::response::Html;

use crate::base::{Problem, Result};

/// A page as HTML; everything in it is escaped.
///
/// # Errors
/// `internal` where the template fails.
pub fn render(page: &impl Template) -> Result<Html<String>> {
    page.render().map(Html).map_err(|e| Problem::internal(format!("a page could not be written: {e}")))
}
