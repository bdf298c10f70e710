//! The difference between two results, and the difference that several make together.
//!
//! To apply one: take out deleted and placed rows, update in place, put each placed row at its index, ascending.

use super::rows::{Fresh, Key, RowSet, Seen};
use crate::changes::change::Revision;
use crate::json;
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// What became of a group's result in one step, or in several.
#[derive(Debug, Default)]
pub struct Delta {
    pub to: Revision,
    pub delete: Vec<Key>,
    /// Key and JSON of the values (see [`super::rows::FreshRow`]).
    pub insert: Vec<(Key, Bytes)>,
    pub update: Vec<(Key, Bytes)>,
    /// Of ordered results: every inserted or moved row with its final index, ascending.
    pub place: Vec<(Key, u32)>,
    encoded: OnceLock<Bytes>,
}

impl Delta {
    /// Of a result without an order.
    pub fn unordered(to: Revision, delete: Vec<Key>, insert: Vec<(Key, Bytes)>, update: Vec<(Key, Bytes)>) -> Self {
        Self { to, delete, insert, update, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.insert.is_empty() && self.update.is_empty() && self.place.is_empty()
    }

    /// Bytes it holds, roughly, with the part of frames that is made of it.
    pub fn size(&self) -> usize {
        let row = |(key, json): &(Key, Bytes)| 2 * (key.len() + json.len()) + 48;
        self.delete.iter().map(|key| key.len() + 16).sum::<usize>()
            + self.insert.iter().chain(&self.update).map(row).sum::<usize>()
            + self.place.iter().map(|(key, _)| key.len() + 24).sum::<usize>()
            + 128
    }

    /// Its rows are pieces of a text in which there is more: they become texts of their own.
    pub fn let_go_of_text(&mut self) {
        for (_, json) in self.insert.iter_mut().chain(&mut self.update) {
            *json = Bytes::copy_from_slice(json);
        }
    }

    /// `,"delete":[…],…`: what follows the id in a delta frame. Written once, shared by all listeners.
    pub fn encoded(&self) -> &Bytes {
        self.encoded.get_or_init(|| {
            let mut out = Vec::with_capacity(self.size());
            write_list(&mut out, "delete", &self.delete, |out, key| json::write_str(out, key));
            let row = |out: &mut Vec<u8>, (key, values): &(Key, Bytes)| write_row(out, key, values);
            write_list(&mut out, "insert", &self.insert, row);
            write_list(&mut out, "update", &self.update, row);
            write_list(&mut out, "place", &self.place, |out, (key, index)| {
                out.push(b'[');
                json::write_str(out, key);
                out.push(b',');
                json::write_integer(out, i64::from(*index));
                out.push(b']');
            });
            Bytes::from(out)
        })
    }
}

/// `["key",v1,v2]`
pub fn write_row(out: &mut Vec<u8>, key: &str, values: &[u8]) {
    out.push(b'[');
    json::write_str(out, key);
    out.extend_from_slice(values);
}

fn write_list<T>(out: &mut Vec<u8>, name: &str, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    if items.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// From the result remembered to the one just read.
pub fn difference(old: &RowSet, fresh: &Fresh, is_ordered: bool, to: Revision) -> Delta {
    let mut delta = Delta { to, ..Delta::default() };
    // Old places of the rows that stay, in their new order.
    let mut stays: Vec<(u32, usize)> = Vec::new();
    for (index, row) in fresh.rows.iter().enumerate() {
        match old.get(&row.key) {
            None => delta.insert.push((row.key.clone(), fresh.json(row))),
            Some(Seen { hash, place }) => {
                if hash != row.hash {
                    delta.update.push((row.key.clone(), fresh.json(row)));
                }
                if is_ordered {
                    stays.push((place, index));
                }
            }
        }
    }
    let kept = fresh.rows.len() - delta.insert.len();
    if kept < old.count() {
        let now: HashSet<&str> = fresh.rows.iter().map(|row| &*row.key).collect();
        delta.delete = old.iter().map(|(key, _)| key).filter(|key| !now.contains(key)).map(Key::from).collect();
        // The map's order is chance; the frame is not.
        delta.delete.sort_unstable();
    }
    if is_ordered {
        let mut is_placed = vec![true; fresh.rows.len()];
        for index in longest_rise(&stays) {
            is_placed[index] = false;
        }
        let places = fresh.rows.iter().enumerate().filter(|(index, _)| is_placed[*index]);
        delta.place = places.map(|(index, row)| (row.key.clone(), index as u32)).collect();
    }
    delta
}

/// The largest set of rows that keep their order among themselves; all others have moved. Longest increasing
/// subsequence by patience sorting, O(n log n); in the common case, nothing moved, one pass.
fn longest_rise(stays: &[(u32, usize)]) -> Vec<usize> {
    if stays.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        return stays.iter().map(|(_, index)| *index).collect();
    }
    // tails[n]: the position in `stays` at which the best rise of length n + 1 ends.
    let mut tails: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; stays.len()];
    for (position, (place, _)) in stays.iter().enumerate() {
        let length = tails.partition_point(|&tail| stays[tail].0 < *place);
        before[position] = length.checked_sub(1).map(|shorter| tails[shorter]);
        if length == tails.len() {
            tails.push(position);
        } else {
            tails[length] = position;
        }
    }
    let mut rise = Vec::with_capacity(tails.len());
    let mut position = tails.last().copied();
    while let Some(at) = position {
        rise.push(stays[at].1);
        position = before[at];
    }
    rise
}

/// Several steps of one group as one: what a socket gets that could not be sent each.
///
/// `now` is the group's result after the last of them: where the placed rows stand.
pub fn merge<'a>(deltas: impl Iterator<Item = &'a Delta>, now: &RowSet, is_ordered: bool, to: Revision) -> Delta {
    /// What the steps did to one key: was it there before, and its values after (none: gone).
    struct Fate<'a> {
        was_there: bool,
        after: Option<&'a Bytes>,
        order: usize,
    }
    let mut fates: HashMap<&'a str, Fate<'a>> = HashMap::new();
    let mut placed: HashSet<&'a str> = HashSet::new();
    let mut order = 0;
    for delta in deltas {
        let mut note = |key: &'a str, was_there: bool, after: Option<&'a Bytes>| {
            order += 1;
            fates.entry(key).or_insert(Fate { was_there, after: None, order }).after = after;
        };
        delta.delete.iter().for_each(|key| note(key, true, None));
        delta.insert.iter().for_each(|(key, values)| note(key, false, Some(values)));
        delta.update.iter().for_each(|(key, values)| note(key, true, Some(values)));
        placed.extend(delta.place.iter().map(|(key, _)| &**key));
    }
    let mut fates: Vec<(&str, Fate<'_>)> = fates.into_iter().collect();
    fates.sort_unstable_by_key(|(_, fate)| fate.order);
    let mut merged = Delta { to, ..Delta::default() };
    for (key, fate) in fates {
        match (fate.was_there, fate.after) {
            (true, None) => merged.delete.push(key.into()),
            (false, None) => {}
            (true, Some(values)) => merged.update.push((key.into(), values.clone())),
            (false, Some(values)) => merged.insert.push((key.into(), values.clone())),
        }
    }
    if is_ordered {
        // A row deleted and inserted again was told as neither: its place counts as moved, which `placed` has.
        merged.place = placed.iter().filter_map(|key| now.get(key).map(|seen| ((*key).into(), seen.place))).collect();
        merged.place.sort_unstable_by_key(|(_, place)| *place);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_rise_leaves_the_fewest_to_be_moved() {
        for (places, expected) in
            [(vec![0, 1, 2], 3), (vec![2, 0, 1], 2), (vec![3, 2, 1, 0], 1), (vec![5, 0, 1, 6, 2, 7], 4), (vec![], 0)]
        {
            let stays: Vec<(u32, usize)> = places.iter().copied().zip(0..).collect();
            let mut rise = longest_rise(&stays);
            rise.reverse();
            assert_eq!(rise.len(), expected, "{places:?}");
            assert!(rise.is_sorted_by_key(|&index| places[index]) || rise.len() == places.len());
        }
    }
}
