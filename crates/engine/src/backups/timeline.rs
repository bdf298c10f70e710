//! Which moments can be gone back to, in their order, and what between them was not kept.
//!
//! A snapshot leads to its moment from nowhere, another file from any moment within its span, or right in front of it, to its last one.
//! Between two moments that a file joins others may have been merged, which is how old seconds become minutes. Otherwise there is a gap:
//! of a folder that could not be written for too long, of files that were lost, of programs that wrote while no server ran.

use super::report::Reached;
use serde::Serialize;
use std::fmt;
use tidebase_ltx::{Level, Record, Stored};

#[derive(Debug, Serialize)]
pub struct Gap {
    /// The last moment in front of it that can be gone back to.
    pub after: Reached,
    /// And the first behind it, if there is one.
    pub before: Option<Reached>,
}

/// As in "between … and …".
impl fmt::Display for Gap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.before {
            Some(before) => write!(out, "between {} and {before}", self.after),
            None => write!(out, "behind {}", self.after),
        }
    }
}

#[derive(Debug, Default)]
pub struct Timeline<'a> {
    /// The line of a file that leads to each, the earliest first.
    pub moments: Vec<&'a Record>,
    /// The lines at the ends of each gap.
    gaps: Vec<(&'a Record, Option<&'a Record>)>,
}

impl<'a> Timeline<'a> {
    /// `kept` are the files that are there; `newest` is the last transaction that is known. Up to `forgotten_to` seconds were removed, for
    /// their minutes are enough; if nobody knows, up to the first that is there.
    pub fn new(kept: &[(Stored, &'a Record)], newest: u64, forgotten_to: Option<u64>) -> Self {
        let mut lines: Vec<&'a Record> = kept.iter().map(|(_, record)| *record).collect();
        lines.sort_by_key(|record| (record.last, record.first));
        let seconds = lines.iter().filter(|record| record.level == Level::GROUP.number()).map(|record| record.first);
        let forgotten_to = forgotten_to.unwrap_or_else(|| seconds.min().map_or(u64::MAX, |first| first - 1));
        let mut timeline = Self::default();
        for files in lines.chunk_by(|one, next| one.last == next.last) {
            timeline.reach(files, forgotten_to);
        }
        if let Some(reached) = timeline.moments.last().filter(|reached| reached.last < newest) {
            timeline.gaps.push((reached, None));
        }
        timeline
    }

    /// What files lead to that end at one transaction.
    fn reach(&mut self, files: &[&'a Record], forgotten_to: u64) {
        let before = self.moments.last().copied();
        let is_step = |file: &&&Record| !file.span().is_snapshot();
        let is_joined =
            before.is_some_and(|before| files.iter().filter(is_step).any(|file| file.first <= before.last + 1));
        let is_reached = is_joined || !files.iter().all(|file| is_step(&file));
        // A line that was made anew does not know its revision.
        let Some(moment) = files.iter().copied().max_by_key(|file| file.revision).filter(|_| is_reached) else {
            return;
        };
        if let Some(before) = before {
            let is_left_out = moment.last > before.last.max(forgotten_to).saturating_add(1);
            let is_gap = if is_joined { is_left_out } else { !is_same(before, moment) };
            if is_gap {
                self.gaps.push((before, Some(moment)));
            }
        }
        self.moments.push(moment);
    }

    /// The last moment at or before a time, in milliseconds since 1970.
    pub fn at(&self, time_ms: u64) -> Option<&'a Record> {
        self.moments.iter().rev().find(|moment| moment.time_ms <= time_ms).copied()
    }

    /// The gap that begins with a moment.
    pub fn gap_after(&self, moment: &Record) -> Option<Gap> {
        self.gaps().find(|(after, _)| after.last == moment.last).map(|(_, gap)| gap)
    }

    fn gaps(&self) -> impl Iterator<Item = (&'a Record, Gap)> {
        self.gaps
            .iter()
            .map(|(after, before)| (*after, Gap { after: Reached::of(after), before: before.map(Reached::of) }))
    }

    pub fn into_gaps(self) -> Vec<Gap> {
        self.gaps().map(|(_, gap)| gap).collect()
    }
}

/// Do these hold the same, though nothing leads from the one to the other?
fn is_same(one: &Record, next: &Record) -> bool {
    let is_known = one.checksum != Record::NO_CHECKSUM;
    is_known && one.checksum == next.checksum || one.revision.is_some() && one.revision == next.revision
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidebase_ltx::Hash;

    /// Of each file its level and its span; a revision is ten times its transaction.
    fn told(files: &[(u8, u64, u64)], newest: u64) -> String {
        told_if(files, newest, None)
    }

    fn told_if(files: &[(u8, u64, u64)], newest: u64, forgotten_to: Option<u64>) -> String {
        let record = |&(level, first, last): &(u8, u64, u64)| Record {
            level,
            first,
            last,
            time_ms: last * 1000,
            size: 1,
            sha256: Hash::default(),
            checksum: 1 << 63 | last,
            revision: Some(i64::try_from(last).unwrap() * 10),
            previous: Hash::default(),
        };
        let records: Vec<Record> = files.iter().map(record).collect();
        let stored = |record: &Record| Stored {
            level: Level::new(record.level).unwrap(),
            span: record.span(),
            time_ms: record.time_ms,
            size: 1,
        };
        let kept: Vec<(Stored, &Record)> = records.iter().map(|record| (stored(record), record)).collect();
        let timeline = Timeline::new(&kept, newest, forgotten_to);
        let moments: Vec<String> = timeline.moments.iter().map(|moment| moment.last.to_string()).collect();
        let number = |revision: &Reached| (revision.revision.unwrap() / 10).to_string();
        let gap = |gap: Gap| format!("{}-{}", number(&gap.after), gap.before.as_ref().map_or_else(String::new, number));
        let gaps: Vec<String> = timeline.into_gaps().into_iter().map(gap).collect();
        format!("{} | {}", moments.join(" "), gaps.join(" "))
    }

    #[test]
    fn files_lead_from_moment_to_moment() {
        assert_eq!(told(&[], 0), " | ");
        assert_eq!(told(&[(9, 1, 1), (0, 2, 2), (0, 3, 3)], 3), "1 2 3 | ");
        // Merged in part; the seconds of old minutes are gone.
        assert_eq!(
            told(&[(9, 1, 1), (1, 2, 9), (1, 10, 12), (0, 10, 10), (0, 11, 11), (0, 12, 12)], 12),
            "1 9 10 11 12 | "
        );
        assert_eq!(told(&[(9, 1, 1), (1, 2, 9), (2, 2, 30), (1, 10, 30)], 30), "1 9 30 | ");
    }

    #[test]
    fn what_nothing_leads_over_is_a_gap() {
        // One second is lost; what comes behind cannot be reached before the next snapshot.
        assert_eq!(told(&[(9, 1, 1), (0, 2, 2), (0, 4, 4), (9, 1, 5), (0, 6, 6)], 6), "1 2 5 6 | 2-5");
        // It was merged before it was lost, or after.
        assert_eq!(told(&[(9, 1, 1), (0, 2, 2), (0, 4, 4), (1, 2, 5), (0, 5, 5)], 5), "1 2 5 | 2-5");
        assert_eq!(told(&[(9, 1, 1), (0, 2, 2), (1, 2, 4), (0, 4, 4), (0, 5, 5)], 5), "1 2 4 5 | 2-4");
        // The first of all, which are not forgotten yet, or are.
        assert_eq!(told_if(&[(9, 1, 1), (1, 2, 4), (0, 4, 4), (0, 5, 5)], 5, Some(0)), "1 4 5 | 1-4");
        assert_eq!(told_if(&[(9, 1, 1), (1, 2, 4), (1, 5, 7)], 7, Some(4)), "1 4 7 | 4-7");
        assert_eq!(told_if(&[(9, 1, 1), (1, 2, 4), (0, 5, 5)], 5, Some(4)), "1 4 5 | ");
        // The newest, or the only one.
        assert_eq!(told(&[(9, 1, 1), (0, 2, 2)], 3), "1 2 | 2-");
        assert_eq!(told(&[(0, 2, 2)], 2), " | ");
    }
}
