//! Which of many intervals a point lies in: an interval tree in an array, made anew when enough has been added to it.
//!
//! Found in O(log n + hits); what was added since is looked through one by one.

use super::query::Identity;
use super::term::Interval;
use std::collections::HashMap;

/// Added intervals looked through one by one: so many, and this share of all.
const LOOSE_MAX: usize = 64;
const LOOSE_SHARE: usize = 64;

#[derive(Debug, Default)]
pub struct Intervals {
    /// By their low ends, and groups. A tree: the middle of a range is its root, what is left and right of it the branches.
    tree: Vec<Entry>,
    /// For each root the highest end in its branches; none if it is open.
    highest: Vec<Option<Box<[u8]>>>,
    loose: HashMap<Identity, Interval>,
    /// Entries of the tree that are no longer.
    gone: usize,
}

#[derive(Debug)]
struct Entry {
    interval: Interval,
    group: Identity,
    is_gone: bool,
}

impl Intervals {
    pub fn add(&mut self, interval: Interval, group: Identity) {
        self.loose.insert(group, interval);
    }

    pub fn remove(&mut self, interval: &Interval, group: &Identity) {
        if self.loose.remove(group).is_some() {
            return;
        }
        let sought = (&interval.low, group);
        if let Ok(index) = self.tree.binary_search_by(|entry| (&entry.interval.low, &entry.group).cmp(&sought)) {
            self.gone += usize::from(!std::mem::replace(&mut self.tree[index].is_gone, true));
        }
    }

    /// Are few looked through one by one?
    pub fn is_quick(&self) -> bool {
        self.loose.len() <= LOOSE_MAX
    }

    /// Puts everything into the tree.
    pub fn make_whole(&mut self) {
        if !self.loose.is_empty() || self.gone > 0 {
            self.build();
        }
    }

    /// Makes the tree anew if enough has changed for it, so that what follows is quick.
    pub fn settle(&mut self) {
        if self.loose.len() > LOOSE_MAX + self.tree.len() / LOOSE_SHARE || self.gone * 2 > self.tree.len() {
            self.build();
        }
    }

    /// Calls `found` with each group whose interval has the point in it.
    pub fn find(&mut self, point: &[u8], mut found: impl FnMut(&Identity)) {
        self.settle();
        self.loose.iter().filter(|(_, interval)| interval.holds(point)).for_each(|(group, _)| found(group));
        self.find_in(0, self.tree.len(), point, &mut found);
    }

    fn find_in(&self, start: usize, end: usize, point: &[u8], found: &mut impl FnMut(&Identity)) {
        if start >= end {
            return;
        }
        let middle = start.midpoint(end);
        if self.highest[middle].as_deref().is_some_and(|highest| highest < point) {
            return;
        }
        self.find_in(start, middle, point, found);
        self.tree[middle].tell(point, found);
        if self.tree[middle].interval.low.as_deref().is_none_or(|low| low <= point) {
            self.find_in(middle + 1, end, point, found);
        }
    }

    fn build(&mut self) {
        self.tree.retain(|entry| !entry.is_gone);
        self.tree.extend(self.loose.drain().map(|(group, interval)| Entry { interval, group, is_gone: false }));
        // Most of it is in order already, which this sort makes use of.
        self.tree.sort_by(|a, b| (&a.interval.low, &a.group).cmp(&(&b.interval.low, &b.group)));
        self.gone = 0;
        self.highest = vec![None; self.tree.len()];
        if !self.tree.is_empty() {
            self.measure(0, self.tree.len());
        }
    }

    /// Gives the highest end between the two.
    fn measure(&mut self, start: usize, end: usize) -> Option<Box<[u8]>> {
        let middle = start.midpoint(end);
        let mut highest = self.tree[middle].interval.high.clone();
        for (start, end) in [(start, middle), (middle + 1, end)] {
            if start < end {
                let branch = self.measure(start, end);
                highest = highest.and_then(|highest| branch.map(|branch| branch.max(highest)));
            }
        }
        self.highest[middle].clone_from(&highest);
        highest
    }
}

impl Entry {
    fn tell(&self, point: &[u8], found: &mut impl FnMut(&Identity)) {
        if !self.is_gone && self.interval.holds(point) {
            found(&self.group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator of numbers, so that the test is the same each time.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    #[test]
    fn a_point_is_found_in_the_intervals_that_hold_it_and_in_no_other() {
        let mut state = 7;
        let mut intervals = Intervals::default();
        let mut all: Vec<(Interval, Identity)> = Vec::new();
        for round in 0..4_000_u128 {
            let end = |state: &mut u64| {
                (!next(state).is_multiple_of(8)).then(|| (next(state) % 1000).to_be_bytes().as_slice().into())
            };
            let interval = Interval { low: end(&mut state), high: end(&mut state) };
            intervals.add(interval.clone(), Identity::of(round));
            all.push((interval, Identity::of(round)));
            if next(&mut state).is_multiple_of(3) {
                let (interval, group) = all.swap_remove(next(&mut state) as usize % all.len());
                intervals.remove(&interval, &group);
            }
            if round % 10 == 0 {
                let point: Box<[u8]> = (next(&mut state) % 1000).to_be_bytes().as_slice().into();
                let mut found = Vec::new();
                intervals.find(&point, |group| found.push(*group));
                let its = all.iter().filter(|(interval, _)| interval.holds(&point));
                let mut expected: Vec<Identity> = its.map(|(_, group)| *group).collect();
                found.sort_unstable();
                expected.sort_unstable();
                assert_eq!(found, expected, "round {round}");
            }
        }
    }
}
