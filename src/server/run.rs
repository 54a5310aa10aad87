//! Running: everything that goes on by itself beside the answers, and its end.

use std::time::Duration;

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Server, open::Loops};
use crate::{
    api::{self, Tls},
    audit::Log,
    base::{Problem, Result},
};

/// How long answers may take that have begun when the server is told to stop.
const DRAIN: Duration = Duration::from_secs(10);

impl Server {
    /// Answers on `listener` until `stop`; then what has begun is finished, within ten seconds.
    /// `router` is what answers.
    ///
    /// # Errors
    /// Where the address cannot be served, or where a part that goes on by itself has failed: then the
    /// process had better end, and be started again.
    pub async fn run(
        self,
        listener: TcpListener,
        router: axum::Router,
        tls: Option<Tls>,
        stop: CancellationToken,
    ) -> Result<()> {
        let app = self.app;
        let mut tasks = self.loops.start(&app.log, &stop);
        let (database, capacity) = (app.database.clone(), app.config.database_room);
        tasks.spawn(named("room", super::room::watch(database, capacity, stop.clone())));
        let background = tokio::spawn(watch_over(tasks, stop.clone()));
        let streams = app.stop.clone();
        let told = stop.clone();
        tokio::spawn(async move {
            told.cancelled().await;
            streams.cancel();
        });
        let served = api::serve(listener, router, tls, stop.clone()).await;
        stop.cancel();
        let worked = tokio::time::timeout(DRAIN, background).await;
        app.log.drain().await;
        app.database.close().await;
        served?;
        match worked {
            Ok(Ok(outcome)) => outcome,
            _ => Err(Problem::internal("what goes on by itself did not end in time")),
        }
    }
}

impl Loops {
    fn start(self, log: &Log, stop: &CancellationToken) -> JoinSet<Ended> {
        let mut tasks = JoinSet::new();
        let token = stop.clone();
        tasks.spawn(named("identity", self.identity.run(token.clone())));
        tasks.spawn(named("expiry", self.expiry.run(token.clone())));
        tasks.spawn(named("movers", self.movers.run(token.clone())));
        tasks.spawn(named("revocation", self.revocation.run(token.clone())));
        tasks.spawn(named("readers", self.broker.clone().follow_readers(token.clone())));
        tasks.spawn(named("rotation", self.rotation.run(token.clone())));
        tasks.spawn(named("broker", self.broker.run(token.clone())));
        tasks.spawn(named("secrets", self.secrets.run(token.clone())));
        tasks.spawn(named("leases", self.leases.run(token.clone())));
        tasks.spawn(named("notify", self.sender.run(log.watch(), token.clone())));
        tasks.spawn(named("metrics", api::upkeep(token.clone())));
        let (signer, signed, stopped) = (self.signer, log.clone(), token.clone());
        let signing = async move { signer.run(&signed, stopped).await };
        tasks.spawn(vital("signer", signing, token.clone()));
        tasks.spawn(vital("witnesses", self.witnesses.run(log.watch(), token.clone()), token.clone()));
        tasks.spawn(named("forwarder", self.forwarder.run(token.clone())));
        if let Some(archivist) = self.archivist {
            tasks.spawn(named("archivist", archivist.run(token.clone())));
        }
        if let Some(vault) = self.vault {
            tasks.spawn(named("vault", async move { vault.run(token).await }));
        }
        tasks
    }
}

/// A part that has ended: its name, and why where it says so.
struct Ended(&'static str, Result<()>);

async fn named(name: &'static str, part: impl Future<Output = ()>) -> Ended {
    part.await;
    Ended(name, Ok(()))
}

/// A part that ends before it is told to where the log is not what was signed before.
async fn vital(name: &'static str, part: impl Future<Output = Result<()>>, stop: CancellationToken) -> Ended {
    let outcome = part.await;
    if outcome.is_ok() {
        stop.cancelled().await;
    }
    Ended(name, outcome)
}

/// Waits for every part. One that ends before it is told to takes the server with it: half a server
/// would look whole. The first one to end is why.
async fn watch_over(mut tasks: JoinSet<Ended>, stop: CancellationToken) -> Result<()> {
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let problem = match ended {
            Ok(Ended(_, Err(problem))) => problem,
            Ok(_) if stop.is_cancelled() => continue,
            Ok(Ended(name, Ok(()))) => {
                Problem::internal(format!("the server's part '{name}' ended by itself"))
            }
            Err(error) => Problem::internal(format!("a part of the server failed: {error}")),
        };
        tracing::error!(%problem, "a part of the server ended, and the server with it");
        stop.cancel();
        outcome = outcome.and(Err(problem));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ProblemKind;

    #[tokio::test]
    async fn the_first_part_to_end_says_why_the_server_did() {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let told = stop.clone();
        tasks.spawn(named("broker", async move { told.cancelled().await }));
        let altered = Problem::new(ProblemKind::LogAltered, "an entry was changed");
        tasks.spawn(async move { Ended("signer", Err(altered)) });
        let outcome = watch_over(tasks, stop.clone()).await.unwrap_err();
        assert!(outcome.is(ProblemKind::LogAltered) && stop.is_cancelled(), "{outcome}");
    }

    #[tokio::test]
    async fn a_part_that_ends_before_it_is_told_to_ends_the_server() {
        let mut tasks = JoinSet::new();
        tasks.spawn(named("broker", async {}));
        let outcome = watch_over(tasks, CancellationToken::new()).await.unwrap_err();
        assert!(outcome.detail.contains("'broker' ended by itself"), "{outcome}");
    }
}
