//! What the server says of itself while it works: lines on standard error, never a value in them.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

/// Begins to write events to standard error: as text on a terminal, else as JSON, one a line.
/// `RUST_LOG` chooses which; without it, `default` does. A second call changes nothing.
pub fn begin(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Somebody else may have begun already, as in tests: theirs stays.
    let _ = if std::io::stderr().is_terminal() {
        lines.with_target(false).try_init()
    } else {
        lines.json().flatten_event(true).try_init()
    };
}
