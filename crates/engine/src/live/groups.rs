//! All groups of a lane, and those among them that nobody holds and that wait for their end.

use super::delta::Delta;
use super::frame::{self, DeltaPart, Frame};
use super::group::Group;
use super::query::Identity;
use super::session::RequestId;
use crate::changes::change::Revision;
use crate::limits::Limits;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct Groups {
    /// Boxed: a map has room for more than it holds.
    all: HashMap<Identity, Box<Group>>,
    /// In the order in which their last listeners left; some have come to have others, or have gone.
    left: VecDeque<(Instant, Identity)>,
    /// Bytes of all deltas remembered.
    history_bytes: usize,
    /// The last frame of one query's delta, as it is.
    told: Option<Told>,
}

/// A frame and what it tells: a thousand sockets that hold one query under one id get the same bytes.
struct Told {
    from: Revision,
    to: Revision,
    id: RequestId,
    delta: Arc<Delta>,
    frame: Frame,
}

impl Groups {
    pub fn get(&self, identity: &Identity) -> Option<&Group> {
        self.all.get(identity).map(|group| &**group)
    }

    pub fn get_mut(&mut self, identity: &Identity) -> Option<&mut Group> {
        self.all.get_mut(identity).map(|group| &mut **group)
    }

    pub fn has(&self, identity: &Identity) -> bool {
        self.all.contains_key(identity)
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Identity, &Group)> {
        self.all.iter().map(|(identity, group)| (*identity, &**group))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.all.values_mut().map(|group| &mut **group)
    }

    pub fn insert(&mut self, identity: Identity, mut group: Group) {
        group.trim_in(&mut self.history_bytes, usize::MAX);
        self.left.extend(group.left_at.map(|left| (left, identity)));
        self.all.insert(identity, Box::new(group));
    }

    pub fn remove(&mut self, identity: &Identity) -> Option<Group> {
        let mut group = self.all.remove(identity).map(|group| *group)?;
        group.leave_sum(&mut self.history_bytes);
        Some(group)
    }

    /// Forgets the oldest deltas past the bounds, now that these groups have more. Past the bound of all, each forgets half.
    pub fn trim_histories(&mut self, grown: &[Identity], limits: &Limits) {
        for identity in grown {
            if let Some(group) = self.all.get_mut(identity) {
                group.trim_in(&mut self.history_bytes, limits.group_history_bytes_max);
            }
        }
        if self.history_bytes > limits.live_history_bytes_max {
            self.all.values_mut().for_each(|group| group.halve_in(&mut self.history_bytes));
        }
    }

    /// One who listened no longer does.
    pub fn leave(&mut self, identity: &Identity, session: u64, id: &RequestId) {
        let Some(group) = self.all.get_mut(identity) else { return };
        group.leave(session, id);
        self.left.extend(group.left_at.map(|left| (left, *identity)));
    }

    /// The frame that tells a socket of one query's delta.
    pub fn frame_of(&mut self, from: Revision, to: Revision, id: &RequestId, delta: &Arc<Delta>) -> Frame {
        let is_it =
            |told: &&Told| told.from == from && told.to == to && told.id == *id && Arc::ptr_eq(&told.delta, delta);
        if let Some(told) = self.told.as_ref().filter(is_it) {
            return told.frame.clone();
        }
        let frame = frame::delta(from, to, &[DeltaPart { id, since: None, delta }]);
        self.told = Some(Told { from, to, id: id.clone(), delta: Arc::clone(delta), frame: frame.clone() });
        frame
    }

    /// Those that nobody has held for so long.
    pub fn forsaken(&mut self, linger: Duration) -> Vec<Identity> {
        let mut found = Vec::new();
        while let Some((left, identity)) = self.left.front().copied().filter(|(left, _)| left.elapsed() >= linger) {
            self.left.pop_front();
            if self.get(&identity).is_some_and(|group| group.left_at == Some(left)) {
                found.push(identity);
            }
        }
        found
    }
}
