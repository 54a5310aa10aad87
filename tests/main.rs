//! All integration tests, in one binary; it lists its tests at run time.

mod cli;

use libtest_mimic::Arguments;

fn main() {
    let arguments = Arguments::from_args();
    let trials = cli::trials();
    libtest_mimic::run(&arguments, trials).exit();
}
