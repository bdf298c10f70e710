//! A result as a lane remembers it: a key, a hash and a place for each row, no values.
//!
//! Packed, for there are many: the keys one behind the other and 24 bytes for each row. Changes of single rows are kept
//! beside until they are worth packing anew.

use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::ops::Bound;

/// Unique in a result and a function of the result's content.
pub type Key = Box<str>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub hash: u128,
    /// Index in the result's order.
    pub place: u32,
}

#[derive(Clone, Debug, Default)]
pub struct RowSet {
    /// In the keys' order.
    keys: Box<str>,
    entries: Box<[Entry]>,
    /// Rows that came, changed, or (none) went since. Empty takes no memory.
    changed: BTreeMap<Key, Option<Seen>>,
    count: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where its key ends in `keys`.
    end: u32,
    place: u32,
    hash: [u8; 16],
}

/// Changes kept beside: so many, and this share of the rows.
const CHANGED_MAX: usize = 32;
const CHANGED_SHARE: usize = 8;

/// Is it the key of a row of the part whose rows' keys begin with this text?
pub fn is_of_part(key: &str, part: &str) -> bool {
    key.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with([',', '~']))
}

impl RowSet {
    pub fn of(mut rows: Vec<(Key, Seen)>) -> Self {
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut keys = String::with_capacity(rows.iter().map(|(key, _)| key.len()).sum());
        let pack = |(key, seen): &(Key, Seen)| {
            keys.push_str(key);
            Entry { end: keys.len() as u32, place: seen.place, hash: seen.hash.to_le_bytes() }
        };
        let entries: Box<[Entry]> = rows.iter().map(pack).collect();
        Self { keys: keys.into(), count: entries.len(), entries, changed: BTreeMap::new() }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes it holds, roughly.
    pub fn size(&self) -> usize {
        self.keys.len() + self.entries.len() * 48 + self.changed.len() * 96
    }

    pub fn get(&self, key: &str) -> Option<Seen> {
        if !self.changed.is_empty()
            && let Some(seen) = self.changed.get(key)
        {
            return *seen;
        }
        let index = self.first_from(key);
        (index < self.entries.len() && self.key(index) == key).then(|| self.entries[index].seen())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Seen)> {
        let packed = (0..self.entries.len()).map(|index| (self.key(index), self.entries[index].seen()));
        let changed = self.changed.iter().filter_map(|(key, seen)| seen.map(|seen| (&**key, seen)));
        packed.filter(|(key, _)| self.changed.is_empty() || !self.changed.contains_key(*key)).chain(changed)
    }

    /// The same for results that are the same, with all places; `None` while changes are kept beside.
    pub fn fingerprint(&self) -> Option<u128> {
        let mut hasher = SipHasher13::new();
        hasher.write(self.keys.as_bytes());
        for entry in &self.entries {
            hasher.write_u32(entry.end);
            hasher.write_u32(entry.place);
            hasher.write(&entry.hash);
        }
        self.changed.is_empty().then(|| hasher.finish128().as_u128())
    }

    /// The rows of one part.
    pub fn part(&self, text: &str) -> Vec<(Key, Seen)> {
        let mut found = Vec::new();
        for start in [text.to_owned(), format!("{text},"), format!("{text}~")] {
            let is_exact = start.len() == text.len();
            let is_it = |key: &str| if is_exact { key == start } else { key.starts_with(&start) };
            for index in (self.first_from(&start)..self.entries.len()).take_while(|&index| is_it(self.key(index))) {
                if !self.changed.contains_key(self.key(index)) {
                    found.push((self.key(index).into(), self.entries[index].seen()));
                }
            }
            let from = (Bound::Included(&*start), Bound::Unbounded);
            let changed = self.changed.range::<str, _>(from).take_while(|(key, _)| is_it(key));
            found.extend(changed.filter_map(|(key, seen)| seen.map(|seen| (key.clone(), seen))));
        }
        found
    }

    /// A row comes, changes or (none) goes.
    pub fn set(&mut self, key: Key, seen: Option<Seen>) {
        let before = self.get(&key).is_some();
        self.count = self.count + usize::from(seen.is_some()) - usize::from(before);
        self.changed.insert(key, seen);
        if self.changed.len() > CHANGED_MAX + self.entries.len() / CHANGED_SHARE {
            *self = Self::of(self.iter().map(|(key, seen)| (key.into(), seen)).collect());
        }
    }

    fn key(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.entries[before].end);
        &self.keys[start as usize..self.entries[index].end as usize]
    }

    /// The first row whose key is not before this one.
    fn first_from(&self, key: &str) -> usize {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) < key { low = middle + 1 } else { high = middle }
        }
        low
    }
}

impl Entry {
    fn seen(&self) -> Seen {
        Seen { hash: u128::from_le_bytes(self.hash), place: self.place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_the_rows_of_its_key_and_no_other() {
        let seen = |place| Seen { hash: u128::from(place), place };
        let keys = ["1", "1~x", "1,2", "10", "1,'a", "1-", "2", ""];
        let mut rows = RowSet::of(keys.iter().zip(0..).map(|(key, place)| ((*key).into(), seen(place))).collect());
        let part = |rows: &RowSet, text: &str| {
            let mut found: Vec<Key> = rows.part(text).into_iter().map(|(key, _)| key).collect();
            assert!(found.iter().all(|key| is_of_part(key, text)));
            found.sort_unstable();
            found.join(" ")
        };
        assert_eq!(part(&rows, "1"), "1 1,'a 1,2 1~x");
        assert_eq!(part(&rows, "10"), "10");
        assert_eq!(part(&rows, "3"), "");
        rows.set("1,2".into(), None);
        rows.set("1,3".into(), Some(seen(9)));
        rows.set("3".into(), Some(seen(10)));
        assert_eq!((part(&rows, "1").as_str(), part(&rows, "3").as_str()), ("1 1,'a 1,3 1~x", "3"));
        assert_eq!((rows.get("1,2"), rows.get("1,3"), rows.count()), (None, Some(seen(9)), 9));
        for number in 0..100 {
            rows.set(format!("n{number}").into(), Some(seen(number)));
        }
        rows.set("n7".into(), None);
        assert_eq!((rows.count(), rows.iter().count(), rows.get("n8")), (108, 108, Some(seen(8))));
        assert_eq!(part(&rows, "1"), "1 1,'a 1,3 1~x");
    }
}
