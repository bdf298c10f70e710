//! One writer's account: its requests in their order, and what of them a crash has left.
//!
//! They take effect in their order, so after a crash the writer's state must be the outcome of all requests that were
//! acknowledged and of none, some or all of those that were under way, in their order: anything else is a loss, a write
//! that was done twice, or a transaction that is there in part.

use super::operation::{Outcome, Planned};
use super::state::State;
use super::violation;
use crate::random::Random;
use anyhow::Result;

#[derive(Default)]
pub struct Account {
    /// The state before `requests`.
    base: State,
    requests: Vec<Planned>,
    /// To the first of them.
    answers: Vec<Outcome>,
    /// The state after all of them.
    ahead: State,
    /// A request before them that can be sent again, with its answer if there was one.
    repeatable: Option<(Planned, Option<Outcome>)>,
    next_seq: i64,
    next_id: i64,
}

/// What somebody knows of a writer, and what therefore must not be lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Promise {
    /// Requests acknowledged.
    pub acked: usize,
    /// The highest head that was told, and the last message.
    pub head: i64,
    pub message: Option<i64>,
}

/// What a crash left of a writer's requests.
pub struct Survivor {
    pub state: State,
    /// Requests that had not been acknowledged and are there.
    pub extra: usize,
    /// Are there already: sent again they must change nothing, and be answered as they were.
    pub repeats: Vec<(Planned, Option<Outcome>)>,
    /// Is not there: sent again it must be done, once.
    pub retry: Option<Planned>,
}

impl Account {
    /// Goes on from a state: what is not in it was never asked for.
    pub fn settle(&mut self, state: State, repeatable: Option<(Planned, Option<Outcome>)>) {
        self.ahead = state.clone();
        self.base = state;
        self.requests.clear();
        self.answers.clear();
        self.repeatable = repeatable;
    }

    /// The state once all requests are done.
    pub fn ahead(&self) -> &State {
        &self.ahead
    }

    /// The next request; it counts as under way.
    pub fn plan(&mut self, writer: usize, random: &mut Random) -> Planned {
        self.next_seq += 1;
        let planned = Planned::draw(random, writer, self.next_seq, &mut self.next_id, &self.ahead);
        planned.apply(&mut self.ahead);
        self.requests.push(planned.clone());
        planned
    }

    /// The oldest request that was under way has been answered. Gives the request.
    pub fn answered(&mut self, outcome: Outcome) -> Option<Planned> {
        self.answers.push(outcome);
        self.requests.get(self.answers.len() - 1).cloned()
    }

    /// The state when the head was this one.
    pub fn state_at(&self, head: i64) -> Result<State> {
        let mut state = self.base.clone();
        let requests = self.requests.iter().take_while(|request| request.head <= head);
        requests.for_each(|request| request.apply(&mut state));
        if state.head == head { Ok(state) } else { Err(violation!("nothing leads to the head {head} that was told")) }
    }

    /// What of the requests is in the state that was found, if that is what the promise allows.
    pub fn survivor(&self, found: &State, promise: Promise) -> Result<Survivor> {
        let Promise { acked, head, message } = promise;
        let mut state = self.base.clone();
        self.requests[..acked].iter().for_each(|request| request.apply(&mut state));
        let known = state.clone();
        let mut applied = acked;
        while state != *found {
            let Some(next) = self.requests.get(applied) else { return Err(self.lost(acked, &known, found)) };
            next.apply(&mut state);
            applied += 1;
        }
        if found.head < head || message.is_some_and(|seq| !found.messages.contains(&seq)) {
            let (is, last) = (found.head, found.messages.last());
            return Err(violation!(
                "told and lost: head {head} and message {message:?} were told, but there are head {is} and message {last:?}"
            ));
        }
        let retry = self.requests.get(applied).filter(|request| request.is_keyed).cloned();
        Ok(Survivor { state, extra: applied - acked, repeats: self.repeats(applied), retry })
    }

    /// Of the requests that were done: the newest that can be sent again, and an older one, not always the same.
    fn repeats(&self, applied: usize) -> Vec<(Planned, Option<Outcome>)> {
        let keyed: Vec<usize> = (0..applied).filter(|&number| self.requests[number].is_keyed).collect();
        let older = keyed.get(applied % keyed.len().max(1));
        let numbers = keyed.last().into_iter().chain(older);
        let repeats = numbers.map(|&number| (self.requests[number].clone(), self.answers.get(number).copied()));
        repeats.chain(self.repeatable.clone()).collect()
    }

    /// Says what is missing, or too much.
    fn lost(&self, acked: usize, known: &State, found: &State) -> anyhow::Error {
        let last = acked.checked_sub(1).map(|last| (&self.requests[last], self.answers.get(last)));
        let under_way = &self.requests[acked..self.requests.len().min(acked + 3)];
        violation!(
            "acknowledged and lost, or there in part: {}.\n  The last acknowledged request of {acked} is {last:?};\n  \
             after it came {} others: {under_way:?}",
            known.difference(found),
            self.requests.len() - acked,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An account with some requests that change rows, and the states before and after each of them.
    fn account() -> (Account, Vec<State>) {
        let (mut account, mut random) = (Account::default(), Random::new(1, 0));
        let mut states = vec![State::default()];
        while states.len() < 6 {
            if account.plan(0, &mut random).operation.changes_rows() {
                states.push(account.ahead.clone());
            } else {
                account.requests.pop();
                account.ahead = states[states.len() - 1].clone();
            }
        }
        (account, states)
    }

    #[test]
    fn what_is_acknowledged_is_there_and_what_is_under_way_may_be_in_its_order() {
        let (account, states) = account();
        for (number, state) in states.iter().enumerate() {
            let survivor = account.survivor(state, Promise { acked: 2, ..Promise::default() });
            assert_eq!(survivor.ok().map(|survivor| survivor.extra), number.checked_sub(2), "after {number}");
        }
    }

    #[test]
    fn a_request_in_part_is_a_violation() {
        let (account, states) = account();
        let mut state = states[4].clone();
        state.entries.pop_last();
        assert!(account.survivor(&state, Promise::default()).is_err());
    }

    #[test]
    fn what_was_told_must_be_there() {
        let (account, states) = account();
        let told = Promise { head: 3, ..Promise::default() };
        assert!(account.survivor(&states[2], told).is_err());
        assert!(account.survivor(&states[3], told).is_ok());
        assert!(account.survivor(&states[3], Promise { message: Some(4), ..told }).is_err());
    }
}
