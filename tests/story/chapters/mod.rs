//! The story, chapter by chapter, each as its people see it: `portctl`, pages, the cluster, the log.

mod ask;
mod begin;
mod data;
mod declare;
mod deliver;
mod join;
mod keep;
mod leave;
mod prove;

use anyhow::Result;

use super::{people::Person, world::House};

/// Everybody who takes part.
struct Cast {
    ada: Person,
    dana: Person,
    omar: Person,
    lena: Person,
    aya: Person,
}

/// The main job, from nothing to a proof.
pub async fn the_main_job(house: &House) -> Result<()> {
    begin::recover_access(house)?;
    let ada = Person::signed_in(house, "ada").await?;
    declare::plan_and_apply(house, &ada)?;
    let mut cast = join::everybody(house, ada).await?;
    declare::only_administrators(&cast)?;
    begin::recovery_reaches_no_secret(house)?;
    deliver::waits_for_values(house, &cast.dana).await?;
    keep::a_sandbox(&cast.dana, &cast.omar)?;
    data::copies_shares_and_places(house, &cast).await?;
    ask::for_production(house, &mut cast).await?;
    deliver::follow_and_put_back(house, &cast).await?;
    leave::everything_dies(house, &mut cast).await?;
    prove::nothing_was_altered(&cast)?;
    prove::no_value_was_told(house, &cast)?;
    prove::one_byte_is_noticed(house, &cast.aya).await
}
