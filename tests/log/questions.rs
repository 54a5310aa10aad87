//! Questions to a log that is longer than what one page walks through.

use std::sync::Arc;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use futures::future::try_join_all;
use libtest_mimic::Trial;
use port_control::{
    audit::{
        Authority, Draft, Unit, Work,
        read::{Filter, Reader},
    },
    base::Problem,
    policy::Permit,
};

use super::site::Site;
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    on_each_database(peers, "log::actions_that_begin_alike_are_found_in_a_long_log", alike)
}

/// Does so many things of one name.
struct Act(Permit, &'static str, usize);

#[async_trait]
impl Unit for Act {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.0)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Problem> {
        for n in 0..self.2 {
            work.record(Draft::act(self.1).with("n", n));
        }
        Ok(())
    }
}

async fn act(site: &Site, action: &'static str, count: usize) -> Result<()> {
    Ok(site.log.perform(Act(site.operator()?, action, count)).await?)
}

async fn alike(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    act(&site, "test.often", 600).await?;
    for action in ["rare.first", "rarely.other", "rare.second", "rare.first"] {
        act(&site, action, 1).await?;
    }
    try_join_all((0..12).map(|_| act(&site, "test.often", 400))).await?;
    act(&site, "rare.third", 1).await?;
    let reader = Reader::new(site.database.clone(), site.log.clone());
    let of = |action: &str| Filter { action: Some(action.to_owned()), ..Filter::default() };
    let (rare, next) = reader.after(&of("rare."), 0).await?;
    let found: Vec<(u64, &str)> = rare.iter().map(|it| (it.index, it.action.as_str())).collect();
    let wanted = [(600, "rare.first"), (602, "rare.second"), (603, "rare.first"), (5404, "rare.third")];
    ensure!(found == wanted && next == 5405, "{found:?}, and goes on at {next}");
    let (often, next) = reader.after(&of("test."), 200).await?;
    let indices: Vec<u64> = often.iter().map(|it| it.index).collect();
    ensure!(indices.iter().copied().eq((200..600).chain(604..704)) && next == 704, "{indices:?}");
    let (none, _) = reader.after(&of("nothing."), 0).await?;
    ensure!(none.is_empty(), "{none:?}");
    Ok(())
}
