//! `portctl plan`

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Context, DONE, PLAN_HAS_CHANGES, Table, files, output::note, printable};
use crate::{
    base::{Problem, Result},
    catalog::{ChangeKind, DocumentSet, Plan},
};

/// Longest file of a plan, in bytes: files, escaped, and what they change.
const LONGEST_PLAN: u64 = 64 * 1024 * 1024;

/// Show what declaring files would change.
#[derive(Debug, Args)]
pub struct Command {
    /// The folder with the files, or one file.
    #[arg(short = 'f', long = "file", value_name = "DIR")]
    files: PathBuf,
    /// Keep the plan in a file, for `portctl apply FILE`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit with 12 where something would change.
    #[arg(long)]
    detailed_exitcode: bool,
}

/// A plan with the files that it was made from.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct KeptPlan {
    pub(super) plan: Plan,
    pub(super) set: DocumentSet,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let set = files::read(&self.files)?;
        let plan = context.client()?.plan(&set).await?;
        context.output.tell(&plan, text)?;
        let changes = !plan.changes.is_empty();
        if let Some(path) = &self.out {
            keep(path, &KeptPlan { plan, set })?;
            note(&format!("kept: `portctl apply {}` does it", path.display()));
        }
        Ok(if changes && self.detailed_exitcode { PLAN_HAS_CHANGES } else { DONE })
    }
}

/// A plan for people.
pub(super) fn text(plan: &Plan) -> String {
    if plan.changes.is_empty() {
        return format!("{}: nothing to change\n", plan.source);
    }
    let rows = plan.changes.iter().map(|it| {
        let sign = match it.change {
            ChangeKind::Add => "+",
            ChangeKind::Change => "~",
            ChangeKind::Remove => "-",
        };
        vec![sign.to_owned(), it.kind.to_string(), it.name.to_string(), it.summary.clone()]
    });
    let count = |kind| plan.changes.iter().filter(|it| it.change == kind).count();
    format!(
        "{}{}: {} to add, {} to change, {} to remove\n",
        Table::default().with(rows),
        printable(plan.source.as_str()),
        count(ChangeKind::Add),
        count(ChangeKind::Change),
        count(ChangeKind::Remove)
    )
}

fn keep(path: &Path, kept: &KeptPlan) -> Result<()> {
    let text = serde_json::to_vec_pretty(kept).map_err(|e| Problem::internal(e.to_string()))?;
    fs::write(path, text).map_err(|e| Problem::invalid(format!("{} cannot be written: {e}", path.display())))
}

/// Reads a plan that was kept.
///
/// # Errors
/// `invalid-request` where it is none.
pub(super) fn read(path: &Path) -> Result<KeptPlan> {
    let wrong = |why: String| {
        Problem::invalid(format!("{}: {why}", path.display())).remedy(
            "Make one with `portctl plan -f DIR --out FILE`, or apply a folder: `portctl apply -f DIR`.",
        )
    };
    let size = fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
    if !size.is_file() || size.len() > LONGEST_PLAN {
        return Err(wrong("this is not the file of a plan".to_owned()));
    }
    let text = fs::read(path).map_err(|e| wrong(e.to_string()))?;
    serde_json::from_slice(&text).map_err(|_| wrong("this is not the file of a plan".to_owned()))
}
