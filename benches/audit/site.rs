//! A log without a server around it, and writers.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use async_trait::async_trait;
use futures::future::try_join_all;
use port_control::{
    access::RowsOfNow,
    audit::{Authority, Draft, Log, Unit, Work},
    base::{Ambient, Problem, Timestamp, time::Stopwatch},
    policy::{Action, OwnServices, Permit, Policies, Resource, Service, ServicePermits as _},
    store::Database,
};

pub struct Note(Permit);

#[async_trait]
impl Unit for Note {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.0)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Problem> {
        work.record(Draft::act("bench.noted").with("version", 3));
        Ok(())
    }
}

/// One of many sorts of entry.
struct Varied(Permit, usize);

#[async_trait]
impl Unit for Varied {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.0)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Problem> {
        let n = self.1;
        let place = format!("app-{}/{}", n % 200, ["sandbox", "staging", "production"][n / 200 % 3]);
        let at = place.parse().map_err(Problem::internal)?;
        let name = format!("SECRET_{}", n / 600 % 7).parse().map_err(Problem::internal)?;
        let action = if n == 777 { "bench.rare.act".to_owned() } else { format!("bench.act-{}", n % 12) };
        let mut draft = Draft::act(&action).secret(&at, &name).with("version", n % 5);
        if n.is_multiple_of(50) {
            draft = draft.request(format!("req_{n}")).reason("INC-123 slow reports");
        }
        work.record(draft);
        Ok(())
    }
}

pub struct Site {
    pub log: Log,
    pub database: Database,
    services: OwnServices,
}

impl Site {
    pub async fn open(url: &str) -> Result<Self> {
        Self::open_in(url, Ambient::system(Timestamp::EPOCH)).await
    }

    pub async fn open_in(url: &str, ambient: Ambient) -> Result<Self> {
        let database = Database::open(url).await?;
        database.migrate().await?;
        let log = Log::open(database.clone(), ambient.clone(), Arc::new(RowsOfNow)).await?;
        let services = OwnServices::new(Arc::new(Policies::built_in()?), ambient);
        Ok(Self { log, database, services })
    }

    pub fn permits(&self, count: usize) -> Result<Vec<Permit>> {
        let permit = || self.services.permit(Service::Operator, Action::Operate, Resource::People);
        Ok((0..count).map(|_| permit()).collect::<Result<_, Problem>>()?)
    }

    /// One after the other; how long each took.
    pub async fn in_turn(&self, permits: Vec<Permit>) -> Result<Vec<Duration>> {
        let mut took = Vec::new();
        for permit in permits {
            let since = Stopwatch::start();
            self.log.perform(Note(permit)).await?;
            took.push(since.elapsed());
        }
        Ok(took)
    }

    /// Records so many entries of every sort, in order.
    pub async fn vary(&self, count: usize) -> Result<()> {
        for chunk in (0..count).collect::<Vec<_>>().chunks(512) {
            let units = self.permits(chunk.len())?.into_iter().zip(chunk);
            try_join_all(units.map(|(permit, n)| self.log.perform(Varied(permit, *n)))).await?;
        }
        Ok(())
    }

    /// Many at once; how long each unit took, and all of them.
    pub async fn at_once(&self, writers: usize, each: usize) -> Result<(Vec<Duration>, Duration)> {
        let permits: Vec<_> = (0..writers).map(|_| self.permits(each)).collect::<Result<_>>()?;
        let since = Stopwatch::start();
        let took = try_join_all(permits.into_iter().map(|permits| self.in_turn(permits))).await?;
        Ok((took.concat(), since.elapsed()))
    }
}

/// The one in the middle.
pub fn median<T: PartialOrd + Copy>(mut of: Vec<T>) -> T {
    of.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    of[of.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
pub fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
