//! What `dev` tells on the terminal.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    sync::Mutex,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{house::House, story::Audience};

/// Lines on standard output; while a step goes on, its name on a terminal.
pub(super) struct Lines {
    now: Mutex<Option<Step>>,
}

struct Step {
    chapter: &'static str,
    text: String,
    bar: ProgressBar,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { now: Mutex::default() }
    }

    fn take(&self) -> Option<Step> {
        let step = self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()?;
        step.bar.finish_and_clear();
        Some(step)
    }

    /// The story has come to its end.
    pub(super) fn played(took: Duration) {
        say(&format!("\nThe whole main job took {:.1} s.", took.as_secs_f64()));
    }

    /// The step that goes on has failed.
    pub(super) fn broke(&self) {
        if let Some(step) = self.take() {
            say(&format!("  FAILED  {:<8} {}", step.chapter, step.text));
        }
    }

    /// The folder holds a story already.
    pub(super) fn played_before() {
        say("The story was played in this folder before; `--reset` begins anew.");
    }

    /// The server is up: where, who can sign in, and what to try.
    pub(super) fn open(house: &House) {
        let url = house.url().as_str().trim_end_matches('/');
        let portctl = portctl();
        say(&format!("\nPort Control is open at {url}"));
        say(&format!(
            "Sign in as dana, omar, ada or aya (lena has left); the page asks once for this start's secret: {}",
            house.secret().expose_text().unwrap_or_default()
        ));
        say("\nThe next five commands:");
        for command in [
            format!("{portctl} login --server {url}"),
            format!("{portctl} whoami"),
            format!("{portctl} secret list reports/sandbox"),
            format!("{portctl} run reports/sandbox -- printenv DATABASE_URL"),
            format!(
                "{portctl} request create --action reveal billing/production --for 1h --no-wait --reason \"INC-124 try it\""
            ),
        ] {
            say(&format!("  {command}"));
        }
        say("\nCtrl-C ends it; what was kept is there at the next start.");
    }
}

impl Audience for Lines {
    fn begins(&self, chapter: &'static str, step: &str) {
        let bar = if io::stderr().is_terminal() { spinner(chapter, step) } else { ProgressBar::hidden() };
        let step = Step { chapter, text: step.to_owned(), bar };
        *self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(step);
    }

    fn done(&self, took: Duration) {
        if let Some(step) = self.take() {
            say(&format!("{:>5} ms  {:<8} {}", took.as_millis(), step.chapter, step.text));
        }
    }
}

fn spinner(chapter: &str, step: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("   {spinner}      {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style).with_message(format!("{chapter:<8} {step}"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// How `portctl` is called from where `dev` was: by cargo in a clone, else the program beside ours.
fn portctl() -> String {
    if std::env::var_os("CARGO_MANIFEST_DIR").is_some() {
        return "cargo run --quiet --bin portctl --".to_owned();
    }
    let beside = std::env::current_exe().ok().map(|it| it.with_file_name("portctl"));
    beside.filter(|it| it.exists()).map_or_else(|| "portctl".to_owned(), |it| shown(&it))
}

fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).map_or_else(|_| path.display().to_string(), |it| format!("./{}", it.display()))
}

/// A closed pipe is no failure of ours.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
