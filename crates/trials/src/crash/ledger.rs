//! The ledger: what every writer asked for, what of it was acknowledged, what anyone was told, and at which revision.

use super::account::{Account, Promise, Survivor};
use super::operation::{Outcome, Planned};
use super::state::{Found, State, WRITERS};
use super::violation;
use crate::random::Random;
use anyhow::{Context as _, Result};
use std::collections::HashMap;
use tokio::sync::watch;

/// What must not be lost from now on.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// The tables and the topic are there.
    pub is_ready: bool,
    pub writers: [Promise; WRITERS],
    /// The highest revision that was acknowledged or told.
    pub revision: i64,
}

#[derive(Default)]
pub struct Ledger {
    accounts: [Account; WRITERS],
    promises: Promises,
    /// Whose write a revision belongs to: writer and head.
    revisions: HashMap<i64, (usize, i64)>,
    /// New revisions are greater, for any writer and for each.
    floor: i64,
    last_revisions: [i64; WRITERS],
    acks: watch::Sender<usize>,
}

impl Ledger {
    /// Goes on from a database as it is.
    pub fn of(found: &Found) -> Self {
        let mut ledger = Self::default();
        for (account, state) in ledger.accounts.iter_mut().zip(&found.states) {
            account.settle(state.clone(), None);
        }
        ledger.promises.revision = found.revision;
        ledger
    }

    /// What a database holds once all requests are done.
    pub fn expected(&self) -> Found {
        let states = self.accounts.iter().map(|account| account.ahead().clone()).collect();
        Found { states, revision: self.promises.revision }
    }

    pub fn promises(&self) -> Promises {
        self.promises.clone()
    }

    /// Requests acknowledged so far, to be waited on.
    pub fn acks(&self) -> watch::Receiver<usize> {
        self.acks.subscribe()
    }

    pub fn ready(&mut self) {
        self.promises.is_ready = true;
    }

    /// The writer's next request; it counts as under way.
    pub fn plan(&mut self, writer: usize, random: &mut Random) -> Planned {
        self.accounts[writer].plan(writer, random)
    }

    /// The oldest request of the writer that was under way has been answered.
    pub fn acked(&mut self, writer: usize, outcome: Outcome) -> Result<()> {
        let planned = self.accounts[writer].answered(outcome).context("an answer to nothing")?;
        if outcome.is_repeated {
            return Err(violation!("{planned:?} was answered as a repetition"));
        }
        self.judge(&planned, outcome)?;
        self.promises.writers[writer].acked += 1;
        self.acks.send_modify(|acks| *acks += 1);
        Ok(())
    }

    /// The answer to a new request or to one that was sent again after a crash.
    fn judge(&mut self, planned: &Planned, outcome: Outcome) -> Result<()> {
        planned.expects(outcome)?;
        let Some(revision) = outcome.revision.filter(|_| planned.operation.changes_rows()) else { return Ok(()) };
        let past = self.floor.max(self.last_revisions[planned.writer]);
        if revision <= past && !outcome.is_repeated {
            return Err(violation!("{planned:?} was answered at revision {revision}, after {past} was known"));
        }
        self.last_revisions[planned.writer] = revision.max(past);
        self.told_change(revision, planned.writer, planned.head)
    }

    /// Somebody knows the change that brought the writer to `head`.
    pub fn told_change(&mut self, revision: i64, writer: usize, head: i64) -> Result<()> {
        match self.revisions.insert(revision, (writer, head)) {
            Some(other) if other != (writer, head) => {
                let both = (other, (writer, head));
                Err(violation!("revision {revision} was used twice (writer and head: {both:?})"))
            }
            _ => self.told_heads(revision, [(writer, head)]),
        }
    }

    /// Somebody knows where the writers stand.
    pub fn told_heads(&mut self, revision: i64, heads: impl IntoIterator<Item = (usize, i64)>) -> Result<()> {
        self.promises.revision = self.promises.revision.max(revision);
        for (writer, head) in heads {
            let ahead = self.accounts[writer].ahead().head;
            if head > ahead {
                let asked = format!("only {ahead} was asked for");
                return Err(violation!("head {head} of writer {writer} was told at {revision}, {asked}"));
            }
            let promise = &mut self.promises.writers[writer];
            promise.head = promise.head.max(head);
        }
        Ok(())
    }

    pub fn told_message(&mut self, writer: usize, seq: i64) {
        let promise = &mut self.promises.writers[writer];
        promise.message = promise.message.max(Some(seq));
    }

    /// The writers' states when their heads were these, which were told at `revision`: no other snapshot is that one.
    pub fn states_at(&self, revision: i64, heads: &[i64]) -> Result<Vec<State>> {
        for (&known, &(writer, head)) in &self.revisions {
            let told = heads[writer];
            if (known <= revision) != (head <= told) {
                let told = format!("at {revision} writer {writer} was told to be at {told}");
                return Err(violation!("{told}, but {head} came at {known}"));
            }
        }
        self.accounts.iter().zip(heads).map(|(account, &head)| account.state_at(head)).collect()
    }

    /// What of the requests is in a database, if that is what `promises` allow.
    pub fn survivors(&self, found: &Found, promises: &Promises) -> Result<Vec<Survivor>> {
        if found.revision < promises.revision {
            let (found, promised) = (found.revision, promises.revision);
            return Err(violation!("the log ends at revision {found}, but {promised} was acknowledged or told"));
        }
        let account = |(writer, account): (usize, &Account)| {
            let survivor = account.survivor(&found.states[writer], promises.writers[writer]);
            survivor.with_context(|| format!("of writer {writer}"))
        };
        self.accounts.iter().enumerate().map(account).collect()
    }

    /// The database goes on from here, under a server to which some requests were sent again.
    pub fn settle(&mut self, survivors: Vec<Survivor>, again: &[(Planned, Outcome)]) -> Result<()> {
        for (writer, survivor) in survivors.into_iter().enumerate() {
            self.accounts[writer].settle(survivor.state, survivor.repeats.into_iter().next());
            self.promises.writers[writer].acked = 0;
        }
        self.restarted();
        again.iter().try_for_each(|(planned, outcome)| self.judge(planned, *outcome))
    }

    /// From now on every new revision must be greater than any that somebody knows.
    pub fn restarted(&mut self) {
        self.floor = self.promises.revision;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(revision: i64) -> Outcome {
        Outcome { is_refused: false, revision: Some(revision), is_repeated: false }
    }

    /// A ledger with a request of writer 0 under way that changes rows.
    fn ledger() -> Ledger {
        (0..100)
            .find_map(|seed| {
                let mut ledger = Ledger::default();
                ledger.plan(0, &mut Random::new(seed, 0)).operation.changes_rows().then_some(ledger)
            })
            .unwrap()
    }

    #[test]
    fn a_revision_belongs_to_one_write() {
        let mut ledger = ledger();
        ledger.acked(0, done(7)).unwrap();
        assert!(ledger.told_change(7, 0, 1).is_ok());
        assert!(ledger.told_change(7, 1, 1).is_err());
    }

    #[test]
    fn after_a_restart_revisions_go_on() {
        let mut ledger = ledger();
        ledger.told_heads(7, []).unwrap();
        ledger.restarted();
        assert!(ledger.acked(0, done(7)).is_err());
    }

    #[test]
    fn nobody_is_told_what_nobody_asked_for() {
        assert!(ledger().told_heads(1, [(0, 1)]).is_ok());
        assert!(ledger().told_heads(1, [(0, 2)]).is_err());
    }

    #[test]
    fn a_database_that_ends_before_a_known_revision_is_a_violation() {
        let mut ledger = ledger();
        ledger.told_heads(7, []).unwrap();
        let found = |revision| Found { states: vec![State::default(); WRITERS], revision };
        assert!(ledger.survivors(&found(6), &ledger.promises()).is_err());
        assert!(ledger.survivors(&found(7), &ledger.promises()).is_ok());
    }
}
