//! The embedded default: what `port-control dev` has and nothing else can switch on.

pub mod browser;
mod folder;
mod house;
pub mod idp;
mod lines;
pub mod story;

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use crate::{
    base::{Ambient, Problem, ProblemKind, Result, Timestamp},
    server::stop_on_signal,
};
use folder::Folder;
use house::House;
use lines::Lines;
use story::Story;

/// What `port-control dev` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Play the story and exit: 0, or the step that failed. In a folder of its own, unless --data names
    /// one.
    #[arg(long)]
    once: bool,
    #[arg(long, value_name = "DIR", help = format!("Where everything is kept [default: {}]", folder::DEFAULT))]
    data: Option<PathBuf>,
    /// A loopback address; port 0 picks one.
    #[arg(long, value_name = "127.0.0.1:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Begin anew: empties the folder first.
    #[arg(long)]
    reset: bool,
}

/// Opens a server with everything beside it, plays the story once, and serves until it is told to stop.
///
/// # Errors
/// The step of the story that failed; an address that is not loopback; a folder that is not ours.
pub async fn run(options: Options) -> Result<()> {
    refuse_elsewhere(options.listen)?;
    let ambient = Ambient::system(Timestamp::EPOCH);
    let folder = Folder::open(options.data.as_deref(), options.once, options.reset, &ambient)?;
    let stop = stop_on_signal()?;
    let lines = Lines::new();
    let house = House::open(&folder, options.listen, ambient.clone(), stop.clone()).await?;
    let told = if house.is_new() {
        Box::pin(play(&house, &lines, ambient)).await
    } else {
        Lines::played_before();
        Ok(())
    };
    if told.is_ok() && !options.once {
        Lines::open(&house);
        stop.cancelled().await;
    }
    stop.cancel();
    let closed = house.close().await;
    folder.close();
    told.and(closed)
}

async fn play(house: &House, lines: &Lines, ambient: Ambient) -> Result<()> {
    let began = ambient.now();
    let outcome = Story::new(house, lines, ambient.clone()).play().await;
    match outcome {
        Ok(_) => {
            Lines::played(ambient.now().since(began));
            Ok(())
        }
        Err(broken) => {
            lines.broke();
            let mut problem = broken.problem;
            problem.detail = format!("the story broke at \"{}\": {}", broken.step, problem.detail);
            Err(problem)
        }
    }
}

/// Its sign-ins prove nothing: nobody else may reach it.
fn refuse_elsewhere(listen: SocketAddr) -> Result<()> {
    if listen.ip().is_loopback() {
        return Ok(());
    }
    Err(Problem::new(
        ProblemKind::InvalidConfiguration,
        format!("{listen} is not a loopback address, and `dev` lets anybody sign in as anybody"),
    )
    .remedy("Leave --listen out, or name 127.0.0.1:PORT; for others there is `port-control serve`."))
}
