//! `portctl completions`

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Context, DONE, Portctl, output::write_bytes};
use crate::base::Result;

/// Print completions for a shell.
#[derive(Debug, Args)]
pub struct Command {
    /// Which shell.
    shell: Shell,
}

impl Command {
    pub(super) fn run(&self, _context: &Context) -> Result<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Portctl::command(), "portctl", &mut script);
        write_bytes(&script)?;
        Ok(DONE)
    }
}
