//! The database has no room, hangs or goes away under a whole server: nothing is told that is not
//! recorded, every answer comes in time, and all of it heals by itself.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail, ensure};
use libtest_mimic::Trial;
use port_control::{base::time::Stopwatch, store::sql};
use serde_json::json;

use super::house::{Answer, Differently, House, Person};
use crate::{
    log::disk::{SmallDisk, fill},
    peers::{Peers, Postgres, Private},
    support::{Given, block_on},
};

const SECRET: &str = "/api/v1/applications/reports/environments/sandbox/secrets/A";
const VALUE: &str = "canary-36-value";
/// The two seconds that are promised, for finding out who asks and for writing it down, and what a busy
/// machine needs.
const ANSWERED: Duration = Duration::from_millis(3500);

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let with = Arc::clone(peers);
    let mut trials = vec![Trial::test("web::abuse_36_a_full_disk", move || block_on(full_disk(with)))];
    if peers.postgres.is_some() {
        let with = Arc::clone(peers);
        let run = move || block_on(database_that_hangs_or_is_gone(with));
        trials.push(Trial::test("web::abuse_36_a_database_that_hangs_or_is_gone", run));
    }
    trials
}

/// A server with a secret in it, whoever reads it, and how often she was told its value.
struct Watched {
    house: House,
    dana: Person,
    told: usize,
    refused: usize,
}

impl Watched {
    async fn open(given: &Given) -> Result<Self> {
        let house = House::open_differently(given, Differently::default()).await?;
        let dana = house.example("dana").await?;
        let value = json!({ "encoding": "utf8", "value": VALUE });
        house.post(&dana, &format!("{SECRET}/versions"), &value).await?.done()?;
        let mut watched = Self { house, dana, told: 0, refused: 0 };
        ensure!(watched.reveal().await?.status.is_success(), "it can be read");
        Ok(watched)
    }

    /// One reading: answered in time, and either with the value or with a problem that has none in it.
    async fn reveal(&mut self) -> Result<Answer> {
        let since = Stopwatch::start();
        let answer = self.house.get(&self.dana, &format!("{SECRET}/value")).await?;
        ensure!(since.elapsed() < ANSWERED, "answered after {:?}: {answer:?}", since.elapsed());
        if answer.status.is_success() {
            self.told += 1;
        } else {
            let known = ["not-recorded", "outcome-unknown", "database-unavailable"];
            ensure!(known.contains(&answer.problem().as_str()), "{answer:?}");
            ensure!(!answer.text.contains(VALUE), "a refusal with the value in it");
            self.refused += 1;
        }
        Ok(answer)
    }

    /// Reads until it is refused.
    async fn until_refused(&mut self) -> Result<()> {
        for _ in 0..3000 {
            if !self.reveal().await?.status.is_success() {
                return Ok(());
            }
        }
        bail!("nothing is ever refused")
    }

    /// Reads until it is answered again.
    async fn until_healed(&mut self) -> Result<()> {
        let since = Stopwatch::start();
        while since.elapsed() < Duration::from_secs(20) {
            if self.reveal().await?.status.is_success() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("it does not heal")
    }

    /// Each value that was told has its entry; one may be recorded whose answer was lost.
    async fn close(self) -> Result<()> {
        let query = "SELECT CAST(count(*) AS BIGINT) FROM entries WHERE action = 'secret.revealed'";
        let rows: Vec<(i64,)> = self.house.all(sql(query)).await?;
        let recorded = usize::try_from(rows[0].0)?;
        ensure!(recorded >= self.told, "{} were told and {recorded} recorded", self.told);
        ensure!(recorded <= self.told + self.refused, "{recorded} are recorded, {} were told", self.told);
        ensure!(self.refused > 0 && self.told > 1, "{} told, {} refused", self.told, self.refused);
        self.house.close().await
    }
}

async fn full_disk(peers: Arc<Peers>) -> Result<()> {
    let Some(disk) = SmallDisk::mount(24)? else {
        eprintln!("NOT COVERED: a full disk, because a small one cannot be mounted without being root");
        return Ok(());
    };
    let url = format!("sqlite:{}", disk.path.join("port-control.db").display());
    let mut watched = Watched::open(&Given::elsewhere(&peers, url)?).await?;
    let ballast = fill(&disk.path)?;
    watched.until_refused().await?;
    let told = watched.told;
    for _ in 0..20 {
        watched.reveal().await?;
    }
    ensure!(watched.told == told, "a value was told on a full disk");
    std::fs::remove_file(ballast)?;
    watched.until_healed().await?;
    watched.close().await
}

async fn database_that_hangs_or_is_gone(peers: Arc<Peers>) -> Result<()> {
    let mut server = Postgres::start_private().await?;
    let mut watched = Watched::open(&Given::elsewhere(&peers, server.url.clone())?).await?;
    hangs(&server, &mut watched).await?;
    server.kill();
    watched.until_refused().await?;
    watched.reveal().await?;
    server.start_again().await?;
    watched.until_healed().await?;
    watched.close().await
}

async fn hangs(server: &Private<Postgres>, watched: &mut Watched) -> Result<()> {
    server.pause();
    let told = watched.told;
    for _ in 0..3 {
        watched.reveal().await?;
    }
    ensure!(watched.told == told, "a value was told while the database hung");
    server.resume();
    watched.until_healed().await
}
