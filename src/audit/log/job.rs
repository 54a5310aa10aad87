//! A unit that waits for the writer.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::not_recorded;
use crate::{
    audit::unit::{Authority, Unit, Work},
    base::{Problem, ProblemKind, Result},
    policy::{Action, Principal, Service},
};

/// How far a unit has come. The caller and the writer agree on it by compare-and-set, so that who gives
/// up knows whether anything can still happen.
#[derive(Clone)]
pub(super) struct State(Arc<AtomicU8>);

const WAITS: u8 = 0;
const RUNS: u8 = 1;
const COMMITS: u8 = 2;
const GIVEN_UP: u8 = 3;

impl State {
    fn change(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The caller no longer waits. Whether it is certain that nothing happens.
    pub(super) fn give_up(&self) -> bool {
        self.change(WAITS, GIVEN_UP) || self.change(RUNS, GIVEN_UP)
    }

    /// The writer takes it up; not where it was given up.
    pub(super) fn take_up(&self) -> bool {
        self.change(WAITS, RUNS)
    }

    /// The writer puts it back, for a later transaction.
    pub(super) fn put_back(&self) {
        self.change(RUNS, WAITS);
    }

    /// The commit is about to be sent; not where it was given up.
    pub(super) fn commit(&self) -> bool {
        self.change(RUNS, COMMITS)
    }

    /// The commit did not happen, and that is certain.
    pub(super) fn undone(&self) {
        self.change(COMMITS, RUNS);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.0.load(Ordering::SeqCst) == GIVEN_UP
    }
}

pub(super) struct Job {
    pub(super) unit: Box<dyn Waiting>,
    pub(super) state: State,
}

impl Job {
    /// A unit, where its answer comes, and how to give it up.
    pub(super) fn new<U: Unit>(unit: U) -> (Self, oneshot::Receiver<Result<U::Output>>, State) {
        let (caller, answer) = oneshot::channel();
        let state = State(Arc::new(AtomicU8::new(WAITS)));
        let unit = Box::new(Held { unit, output: None, caller });
        (Self { unit, state: state.clone() }, answer, state)
    }

    /// Whether it takes something away: that has to go on when the disk is full.
    pub(super) fn takes_away(&self) -> bool {
        let Authority::Permit(permit) = self.unit.authority() else { return false };
        matches!(permit.action(), Action::ManagePeople | Action::EndOwnSession | Action::Deprovision)
            || matches!(permit.principal(), Principal::Service(Service::Revocation | Service::Expiry))
    }
}

/// A unit without its output's type.
#[async_trait]
pub(super) trait Waiting: Send {
    fn authority(&self) -> Authority<'_>;
    /// Runs it and keeps what it answers; whether it did its work.
    async fn run(&mut self, work: &mut Work<'_>) -> bool;
    /// Keeps a refusal in place of an answer.
    fn refuse(&mut self, problem: Problem);
    /// Hands the answer over.
    fn answer(self: Box<Self>);
}

struct Held<U: Unit> {
    unit: U,
    output: Option<Result<U::Output>>,
    caller: oneshot::Sender<Result<U::Output>>,
}

#[async_trait]
impl<U: Unit> Waiting for Held<U> {
    fn authority(&self) -> Authority<'_> {
        self.unit.authority()
    }

    async fn run(&mut self, work: &mut Work<'_>) -> bool {
        let output = self.unit.run(work).await;
        let done = output.is_ok();
        self.output = Some(output);
        done
    }

    fn refuse(&mut self, problem: Problem) {
        self.output = Some(Err(problem));
    }

    fn answer(self: Box<Self>) {
        let output = self.output.unwrap_or_else(|| Err(not_recorded("it was not run")));
        // The caller may have gone; what is committed stays committed.
        drop(self.caller.send(output));
    }
}

/// Whether a unit could not help it: the database did not answer, or has no room.
pub(super) fn is_the_databases(problem: &Problem) -> bool {
    problem.is(ProblemKind::DatabaseUnavailable) || problem.is(ProblemKind::NotRecorded)
}
