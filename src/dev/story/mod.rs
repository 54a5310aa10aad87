//! The main job, played once: declared, joined, used, asked for, delivered, left, and proved.
//!
//! The five people act as people do: in a browser and by the API's client. Nothing is looked at that
//! they could not see. Whatever does not turn out as it should ends the story with the step's name.

mod ask;
mod cast;
mod declare;
mod deliver;
mod join;
mod keep;
mod leave;
mod prove;

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;

pub use cast::{Cast, Member};

use super::browser::{Browser, Page};
use crate::{
    base::{Ambient, Problem, ProblemKind, Result, SecretRef, SecretValue},
    catalog::DocumentSet,
    client::ServerUrl,
};

/// How long anything may take that is said to happen by itself.
const SOON: Duration = Duration::from_secs(10);

/// Where the story is played.
#[async_trait]
pub trait World: Send + Sync {
    /// The server.
    fn server(&self) -> &ServerUrl;

    /// What is declared: the files of `examples/supa`.
    fn documents(&self) -> DocumentSet;

    /// Signs a person in at the server by its identity provider, in her browser.
    ///
    /// # Errors
    /// What the page says that refuses her.
    async fn sign_in(&self, browser: &mut Browser, person: &str) -> Result<Page>;

    /// The Secret `supa/reports-env` as the cluster has it; nothing where there is none.
    ///
    /// # Errors
    /// Where the cluster cannot be asked.
    async fn delivered(&self) -> Result<Option<Delivered>>;

    /// Edits that Secret past us: adds the key `EDITED`.
    ///
    /// # Errors
    /// Where the cluster refuses.
    async fn edit(&self) -> Result<()>;

    /// Deletes that Secret past us.
    ///
    /// # Errors
    /// Where the cluster refuses.
    async fn delete(&self) -> Result<()>;
}

/// A Secret in the cluster.
#[derive(Clone, Debug, Default)]
pub struct Delivered {
    /// Its values.
    pub values: BTreeMap<String, SecretValue>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Hears how the story goes.
pub trait Audience: Send + Sync {
    /// A step begins: who does what.
    fn begins(&self, chapter: &'static str, step: &str);
    /// It turned out as it should, in this time.
    fn done(&self, took: Duration);
}

/// What did not turn out as it should.
#[derive(Debug)]
pub struct Broken {
    /// Which step.
    pub step: String,
    /// What happened instead.
    pub problem: Problem,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.problem)
    }
}

/// The story while it is played.
pub struct Story<'w> {
    world: &'w dyn World,
    audience: &'w dyn Audience,
    ambient: Ambient,
}

impl<'w> Story<'w> {
    /// A story in this world.
    #[must_use]
    pub fn new(world: &'w dyn World, audience: &'w dyn Audience, ambient: Ambient) -> Self {
        Self { world, audience, ambient }
    }

    /// Plays it to the end.
    ///
    /// # Errors
    /// The first step that did not turn out as it should.
    pub async fn play(&self) -> Result<Cast, Broken> {
        let ada = self.declare().await?;
        let mut cast = self.join(ada).await?;
        self.keep(&cast).await?;
        self.ask(&mut cast).await?;
        self.deliver(&cast).await?;
        self.leave(&mut cast).await?;
        self.prove(&cast).await?;
        Ok(cast)
    }

    /// One step: said before, timed, and named where it fails.
    async fn step<T>(
        &self,
        chapter: &'static str,
        step: &str,
        act: impl Future<Output = Result<T>>,
    ) -> Result<T, Broken> {
        self.audience.begins(chapter, step);
        let began = self.ambient.now();
        match act.await {
            Ok(outcome) => {
                self.audience.done(self.ambient.now().since(began));
                Ok(outcome)
            }
            Err(problem) => Err(Broken { step: format!("{chapter}: {step}"), problem }),
        }
    }
}

/// Asks again and again until there is an answer.
///
/// # Errors
/// `conflict` where there is none in ten seconds; what asking fails with.
async fn until<T, Asking>(what: &str, mut ask: impl FnMut() -> Asking) -> Result<T>
where
    Asking: Future<Output = Result<Option<T>>>,
{
    let asking = async {
        loop {
            if let Some(found) = ask().await? {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, asking)
        .await
        .unwrap_or_else(|_| Err(Problem::conflict(format!("this did not happen in {SOON:?}: {what}"))))
}

/// Takes a refusal for what should happen, and everything else for what should not.
fn refused<T>(outcome: Result<T>, kinds: &[ProblemKind]) -> Result<Problem> {
    match outcome {
        Err(problem) if kinds.contains(&problem.kind) => Ok(problem),
        Err(problem) => Err(problem),
        Ok(_) => Err(Problem::conflict("it was allowed, and should have been refused")),
    }
}

/// Fails the step where `holds` is false.
fn ensure(holds: bool, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Problem::conflict(format!("it should be so that {what}"))) }
}

/// A secret of the example.
fn secret(text: &str) -> SecretRef {
    text.parse().expect("the story's addresses are well-formed")
}
