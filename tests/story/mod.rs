//! The main job on real servers, in eight combinations of database, engine and cluster: as people do it
//! with `portctl` and pages, and as `dev` plays it.

mod chapters;
mod newcomers;
pub mod people;
mod world;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::{Ambient, Timestamp},
    dev::story::{Audience, Story},
};

use crate::{peers::Peers, support::block_on};
pub use world::{Combination, House};

/// Two trials a combination whose servers are there, and the README's parts on each database.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let possible = Combination::all().filter(|it| it.is_possible(peers));
    let played = possible.flat_map(|it| {
        let (one, two) = (Arc::clone(peers), Arc::clone(peers));
        [
            Trial::test(format!("story::{}", it.name()), move || block_on(by_portctl(one, it))),
            Trial::test(format!("story::dev::{}", it.name()), move || block_on(as_dev_plays_it(two, it))),
        ]
    });
    played.chain(newcomers::trials(peers)).collect()
}

async fn by_portctl(peers: Arc<Peers>, combination: Combination) -> Result<()> {
    let house = House::open(peers, combination).await?;
    chapters::the_main_job(&house).await.with_context(|| house.server.said())?;
    closed(house)
}

/// Nobody watches.
struct Silence;

impl Audience for Silence {
    fn begins(&self, _: &'static str, _: &str) {}

    fn done(&self, _: Duration) {}
}

async fn as_dev_plays_it(peers: Arc<Peers>, combination: Combination) -> Result<()> {
    let house = House::open(peers, combination).await?;
    let story = Story::new(&house, &Silence, Ambient::system(Timestamp::EPOCH));
    let cast = story.play().await.map_err(|broken| anyhow::anyhow!("{broken}\n{}", house.server.said()))?;
    drop(cast);
    closed(house)
}

/// Told to end, the server ends well.
fn closed(mut house: House) -> Result<()> {
    let status = house.server.stop()?;
    ensure!(status.success(), "the server ended with {status}: {}", house.server.said());
    Ok(())
}
