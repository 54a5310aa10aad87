//! The command line of Port Control.

use std::process::ExitCode;

use clap::Parser as _;
use port_control::cli::{Portctl, Surroundings, report};

fn main() -> ExitCode {
    // It is there before anything asks for TLS; where one is already, it is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = Portctl::parse().run(Surroundings::of_process());
    ExitCode::from(done.unwrap_or_else(|problem| report(&problem)))
}
