//! The ledger: what every writer asked for, what of it was acknowledged, and what anyone was told.
//!
//! A writer's requests take effect in their order, so after a crash its state must be the outcome of all requests that
//! were acknowledged and of none, some or all of those that were under way, in their order: anything else is a loss, a
//! write that was done twice, or a transaction that is there in part.

use super::operation::{Outcome, Planned};
use super::state::{Found, State, WRITERS};
use super::{Violation, violation};
use crate::random::Random;
use anyhow::Result;
use std::collections::HashMap;
use tokio::sync::watch;

/// What somebody outside knows, and what therefore must not be lost.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// The tables and the topic are there.
    pub is_ready: bool,
    /// Of each writer, requests acknowledged.
    pub acked: Vec<usize>,
    /// Of each writer, the highest head somebody was told, and the last message.
    pub heads: Vec<i64>,
    pub messages: Vec<Option<i64>>,
    /// The highest revision that was acknowledged or told.
    pub revision: i64,
}

pub struct Ledger {
    accounts: Vec<Account>,
    promises: Promises,
    /// Whose write a revision belongs to: writer and head.
    revisions: HashMap<i64, (usize, i64)>,
    /// Revisions of this life are greater.
    floor: i64,
    acks: watch::Sender<usize>,
}

#[derive(Default)]
struct Account {
    /// The state before `requests`.
    base: State,
    requests: Vec<Planned>,
    /// The state after all of them.
    ahead: State,
    next_seq: i64,
    next_id: i64,
    /// To those of them that were answered.
    answers: Vec<Outcome>,
    /// The last request before them that can be sent again, with its answer if there was one.
    repeatable: Option<(Planned, Option<Outcome>)>,
    last_revision: i64,
}

/// What a crash left of one writer's requests.
pub struct Survivor {
    pub state: State,
    /// Requests that had not been acknowledged and are there.
    pub extra: usize,
    /// Is there already: sent again it must change nothing, and be answered as it was.
    pub repeat: Option<(Planned, Option<Outcome>)>,
    /// Is not there: sent again it must be done, once.
    pub retry: Option<Planned>,
}

impl Ledger {
    pub fn new() -> Self {
        let promises = Promises {
            acked: vec![0; WRITERS],
            heads: vec![0; WRITERS],
            messages: vec![None; WRITERS],
            ..Promises::default()
        };
        Self {
            accounts: (0..WRITERS).map(|_| Account::default()).collect(),
            promises,
            revisions: HashMap::new(),
            floor: 0,
            acks: watch::Sender::new(0),
        }
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

    /// From now on every new revision must be greater than any that somebody knows.
    pub fn restarted(&mut self) {
        self.floor = self.promises.revision;
    }

    /// The writer's next request; it counts as under way.
    pub fn plan(&mut self, writer: usize, random: &mut Random) -> Planned {
        let account = &mut self.accounts[writer];
        account.next_seq += 1;
        let planned = Planned::draw(random, writer, account.next_seq, &mut account.next_id, &account.ahead);
        planned.apply(&mut account.ahead);
        account.requests.push(planned.clone());
        planned
    }

    /// The oldest request of the writer that was under way has been answered.
    pub fn acked(&mut self, writer: usize, outcome: Outcome) -> Result<()> {
        let number = self.promises.acked[writer];
        let planned = self.accounts[writer].requests[number].clone();
        self.judge(&planned, outcome, false)?;
        self.promises.acked[writer] += 1;
        self.accounts[writer].answers.push(outcome);
        self.acks.send_modify(|acks| *acks += 1);
        Ok(())
    }

    /// A request was sent again after a crash, or for the first time as far as the server knows.
    pub fn answered_again(&mut self, planned: &Planned, outcome: Outcome) -> Result<()> {
        self.judge(planned, outcome, true)
    }

    fn judge(&mut self, planned: &Planned, outcome: Outcome, may_repeat: bool) -> Result<()> {
        planned.expects(outcome)?;
        if outcome.is_repeated && !may_repeat {
            return Err(violation!("{planned:?} was answered as a repetition"));
        }
        let Some(revision) = outcome.revision.filter(|_| planned.operation.changes_rows()) else { return Ok(()) };
        let account = &mut self.accounts[planned.writer];
        let past = self.floor.max(account.last_revision);
        if revision <= past && !outcome.is_repeated {
            return Err(violation!("{planned:?} was answered at revision {revision}, after {past} was known"));
        }
        account.last_revision = account.last_revision.max(revision);
        self.note_revision(revision, planned.writer, planned.head)?;
        self.promises.revision = self.promises.revision.max(revision);
        Ok(())
    }

    fn note_revision(&mut self, revision: i64, writer: usize, head: i64) -> Result<()> {
        match self.revisions.insert(revision, (writer, head)) {
            Some(other) if other != (writer, head) => {
                Err(violation!("revision {revision} was used twice: for {other:?} and {:?} (writer, head)", (writer, head)))
            }
            _ => Ok(()),
        }
    }

    /// Somebody was told the change that brought the writer to `head`.
    pub fn told_change(&mut self, revision: i64, writer: usize, head: i64) -> Result<()> {
        self.note_revision(revision, writer, head)?;
        self.told_heads(revision, [(writer, head)])
    }

    /// Somebody was told where the writers stand.
    pub fn told_heads(&mut self, revision: i64, heads: impl IntoIterator<Item = (usize, i64)>) -> Result<()> {
        self.promises.revision = self.promises.revision.max(revision);
        for (writer, head) in heads {
            let ahead = self.accounts[writer].ahead.head;
            if head > ahead {
                return Err(violation!("head {head} of writer {writer} was told at {revision}, only {ahead} was asked for"));
            }
            self.promises.heads[writer] = self.promises.heads[writer].max(head);
        }
        Ok(())
    }

    pub fn told_message(&mut self, writer: usize, seq: i64) {
        let told = &mut self.promises.messages[writer];
        *told = (*told).max(Some(seq));
    }

    /// The writers' states when their heads were these, which were told at `revision`: no other snapshot is that one.
    pub fn states_at(&self, revision: i64, heads: &[i64]) -> Result<Vec<State>> {
        for (&known, &(writer, head)) in &self.revisions {
            if (known <= revision) != (head <= heads[writer]) {
                let told = heads[writer];
                return Err(violation!("at {revision} writer {writer} was told to be at {told}, but {head} came at {known}"));
            }
        }
        let state_at = |(account, &head): (&Account, &i64)| {
            let mut state = account.base.clone();
            account.requests.iter().take_while(|request| request.head <= head).for_each(|request| request.apply(&mut state));
            if state.head == head { Ok(state) } else { Err(violation!("nothing leads to the head {head} that was told")) }
        };
        self.accounts.iter().zip(heads).map(state_at).collect()
    }

    /// What of the requests is in a database, if that is what `promises` allow.
    pub fn survivors(&self, found: &Found, promises: &Promises) -> Result<Vec<Survivor>> {
        if found.revision < promises.revision {
            let (found, promised) = (found.revision, promises.revision);
            return Err(violation!("the log ends at revision {found}, but {promised} was acknowledged or told"));
        }
        (0..WRITERS).map(|writer| self.survivor(writer, &found.states[writer], promises)).collect()
    }

    fn survivor(&self, writer: usize, found: &State, promises: &Promises) -> Result<Survivor> {
        let account = &self.accounts[writer];
        let acked = promises.acked[writer];
        let mut state = account.base.clone();
        account.requests[..acked].iter().for_each(|request| request.apply(&mut state));
        let known = state.clone();
        let mut applied = acked;
        while state != *found {
            let Some(next) = account.requests.get(applied) else {
                return Err(lost(writer, account, acked, &known, found));
            };
            next.apply(&mut state);
            applied += 1;
        }
        let (told, said) = (promises.heads[writer], promises.messages[writer]);
        if found.head < told || said.is_some_and(|seq| !found.messages.contains(&seq)) {
            let (head, last) = (found.head, found.messages.last());
            return Err(violation!(
                "told and lost: writer {writer} was told to be at {told} with message {said:?}, and is at {head} with {last:?}"
            ));
        }
        let last_keyed = account.requests[..applied].iter().rposition(|request| request.is_keyed);
        let repeat = match last_keyed {
            Some(number) => {
                Some((account.requests[number].clone(), account.answers.get(number).copied()))
            }
            None => account.repeatable.clone(),
        };
        let retry = account.requests.get(applied).filter(|request| request.is_keyed).cloned();
        Ok(Survivor { state, extra: applied - acked, repeat, retry })
    }

    /// The database goes on from here: what did not survive was never asked for.
    pub fn settle(&mut self, survivors: Vec<Survivor>) {
        for (account, survivor) in self.accounts.iter_mut().zip(survivors) {
            account.ahead = survivor.state.clone();
            account.base = survivor.state;
            account.requests.clear();
            account.answers.clear();
            account.repeatable = survivor.repeat;
        }
        self.promises.acked = vec![0; WRITERS];
    }
}

/// Says what is missing, or too much.
fn lost(writer: usize, account: &Account, acked: usize, known: &State, found: &State) -> anyhow::Error {
    let last = acked.checked_sub(1).map(|last| (&account.requests[last], account.answers.get(last)));
    let under_way = &account.requests[acked..account.requests.len().min(acked + 3)];
    violation!(
        "acknowledged and lost, or there in part: writer {writer} has {}.\nIts last acknowledged request of {acked} is \
         {last:?};\nafter it there were {} under way: {under_way:?}",
        known.difference(found),
        account.requests.len() - acked,
    )
}
