//! The story, chapter by chapter, each as its people see it: `portctl`, pages, the cluster, the log.

pub mod ask;
mod begin;
mod data;
mod declare;
mod deliver;
mod join;
mod keep;
mod know;
mod leave;
mod prove;
mod report;

use anyhow::Result;

use super::{people::Person, world::House};
use crate::log::check::CheckLog;

/// Everybody who takes part.
pub struct Cast {
    ada: Person,
    dana: Person,
    omar: Person,
    lena: Person,
    aya: Person,
}

/// The main job, from nothing to a proof.
pub async fn the_main_job(house: &House) -> Result<()> {
    let log = &mut CheckLog::default();
    begin::recover_access(house)?;
    house.check(log).await?;
    let ada = Person::signed_in(house, "ada").await?;
    house.check(log).await?;
    declare::plan_and_apply(house, &ada)?;
    house.check(log).await?;
    let mut cast = join::everybody(house, ada).await?;
    house.check(log).await?;
    declare::only_administrators(&cast)?;
    house.check(log).await?;
    begin::recovery_reaches_no_secret(house)?;
    house.check(log).await?;
    deliver::waits_for_values(house, &cast.dana).await?;
    house.check(log).await?;
    keep::a_sandbox(&cast.dana, &cast.omar)?;
    house.check(log).await?;
    data::copies_shares_and_places(house, &cast).await?;
    house.check(log).await?;
    ask::for_production(house, &mut cast).await?;
    house.check(log).await?;
    know::what_and_who(house, &cast).await?;
    house.check(log).await?;
    deliver::follow_and_put_back(house, &cast).await?;
    house.check(log).await?;
    leave::everything_dies(house, &mut cast).await?;
    house.check(log).await?;
    prove::nothing_was_altered(&cast)?;
    report::is_evidence(&cast)?;
    report::first_ten_minutes(&cast).await?;
    prove::no_value_was_told(house, &cast).await?;
    prove::one_byte_is_noticed(house, &cast.aya).await
}
