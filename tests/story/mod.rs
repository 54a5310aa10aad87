//! The main job on real servers: the story that `dev` plays, then the same by `portctl`, in eight
//! combinations of database, engine and cluster.

mod world;

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::{Ambient, Timestamp},
    dev::story::{Audience, Story},
};

use crate::{peers::Peers, support::block_on};
use world::{Combination, House};

/// One trial a combination whose servers are there.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let possible = Combination::all().filter(|it| it.is_possible(peers));
    possible
        .map(|it| {
            let peers = Arc::clone(peers);
            Trial::test(it.name(), move || block_on(the_main_job(peers, it)))
        })
        .collect()
}

/// Nobody watches.
struct Silence;

impl Audience for Silence {
    fn begins(&self, _: &'static str, _: &str) {}

    fn done(&self, _: Duration) {}
}

async fn the_main_job(peers: Arc<Peers>, combination: Combination) -> Result<()> {
    let mut house = House::open(peers, combination).await?;
    let story = Story::new(&house, &Silence, Ambient::system(Timestamp::EPOCH));
    let cast = story.play().await.map_err(|broken| anyhow::anyhow!("{broken}\n{}", house.server.said()))?;
    drop(cast);
    let status = house.server.stop()?;
    ensure!(status.success(), "the server ended with {status}: {}", house.server.said());
    Ok(())
}
