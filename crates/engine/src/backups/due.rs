//! Which files are to be merged, and which are kept no longer: decided by what is there and by the time alone.
//!
//! | Level | Holds | Kept |
//! |---|---|---|
//! | 0, groups | what was committed, a second at most | `backup_groups_age_max` |
//! | 1, minutes | the groups of one minute | `backup_age_max` |
//! | 2, hours | the minutes of one hour | the same |
//! | 9, snapshots | all pages | the last one before that age, and all since |

use std::time::Duration;
use tidebase_ltx::{Level, Stored};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// A snapshot is not worth its file for less.
const SNAPSHOT_BYTES_MIN: u64 = 4 << 20;
/// Without one every so often nothing old could go.
const SNAPSHOT_AGE_MAX_MS: u64 = 7 * 24 * HOUR_MS;

/// Files that become one.
pub type Merge = (Vec<Stored>, Level);

/// Minutes and hours that are over and not merged yet, oldest first. `files` are all, by level and span.
pub fn merges(files: &[Stored], now_ms: u64) -> Vec<Merge> {
    let mut merges = of_level(files, Level::GROUP, Level::MINUTE, MINUTE_MS, now_ms);
    merges.extend(of_level(files, Level::MINUTE, Level::HOUR, HOUR_MS, now_ms));
    merges
}

fn of_level(files: &[Stored], from: Level, into: Level, period_ms: u64, now_ms: u64) -> Vec<Merge> {
    // Not only those behind the last one: what was lost may have come back.
    let merged: Vec<&Stored> = of(files, into).collect();
    let is_over = |file: &&Stored| number(file.time_ms, period_ms) < number(now_ms, period_ms);
    let rest = of(files, from).filter(|file| within(file, &merged).is_none()).take_while(is_over);
    let mut merges: Vec<Merge> = Vec::new();
    for file in rest {
        match merges.last_mut() {
            Some((merge, _)) if belongs(merge, file, period_ms) => merge.push(*file),
            _ => merges.push((vec![*file], into)),
        }
    }
    merges
}

/// Which of these, which are in order and do not overlap, has all of a file.
fn within<'a>(file: &Stored, merged: &[&'a Stored]) -> Option<&'a Stored> {
    let behind = merged.partition_point(|merged| merged.span.first <= file.span.first);
    merged[..behind].last().copied().filter(|merged| merged.span.last >= file.span.last)
}

fn belongs(merge: &[Stored], file: &Stored, period_ms: u64) -> bool {
    let joins = |last: &Stored| last.span.last + 1 == file.span.first;
    let is_of_it = |last: &Stored| number(last.time_ms, period_ms) == number(file.time_ms, period_ms);
    merge.last().is_some_and(|last| joins(last) && is_of_it(last))
}

/// Which minute or hour, up to its last millisecond and with it: the state of 10:00:00.000 is all that was committed by then.
fn number(time_ms: u64, period_ms: u64) -> u64 {
    time_ms.saturating_sub(1) / period_ms
}

fn of(files: &[Stored], level: Level) -> impl Iterator<Item = &Stored> {
    files.iter().filter(move |file| file.level == level)
}

fn newest_snapshot(files: &[Stored]) -> Option<&Stored> {
    of(files, Level::SNAPSHOT).max_by_key(|file| file.span.last)
}

/// The files that become the next snapshot, if it is time: when as much has come since the last one as is in it.
pub fn snapshot(files: &[Stored], now_ms: u64) -> Option<Merge> {
    let last = newest_snapshot(files)?;
    let mut merge = vec![*last];
    let mut reached = last.span.last;
    // Those that join, each time the one that leads furthest; groups only while their minute is not merged.
    let joining = |reached: u64| {
        let joins = files.iter().filter(move |file| file.level != Level::SNAPSHOT && file.span.first == reached + 1);
        joins.filter(|file| file.level != Level::GROUP).max_by_key(|file| file.span.last)
    };
    while let Some(next) = joining(reached) {
        reached = next.span.last;
        merge.push(*next);
    }
    let bytes: u64 = merge[1..].iter().map(|file| file.size).sum();
    let is_old = now_ms.saturating_sub(last.time_ms) > SNAPSHOT_AGE_MAX_MS;
    let is_due = bytes >= last.size.max(SNAPSHOT_BYTES_MIN) || is_old && merge.len() > 1;
    is_due.then_some((merge, Level::SNAPSHOT))
}

/// Files that no promise needs any more.
pub fn forgotten(files: &[Stored], now_ms: u64, groups_age: Duration, age: Duration) -> Vec<Stored> {
    let before = |age: Duration| now_ms.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let (groups_from, from) = (before(groups_age), before(age));
    // The oldest state that can still be asked for starts with this one.
    let base = of(files, Level::SNAPSHOT).filter(|file| file.time_ms <= from).max_by_key(|file| file.span.last);
    let base = base.map_or(0, |file| file.span.last);
    let minutes: Vec<&Stored> = of(files, Level::MINUTE).collect();
    // The seconds of a minute go at one time: with some of them gone the others could not be reached.
    let is_of_old_minute = |file: &Stored| within(file, &minutes).is_some_and(|minute| minute.time_ms < groups_from);
    let is_gone = |file: &&Stored| match file.level {
        Level::SNAPSHOT => file.span.last < base,
        Level::GROUP => file.span.last <= base || is_of_old_minute(file),
        _ => file.span.last <= base,
    };
    files.iter().filter(is_gone).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidebase_ltx::Span;

    /// Of each file its level, its span, the second it is of, and its bytes.
    fn files(of: &[(u8, u64, u64, u64, u64)]) -> Vec<Stored> {
        let file = |&(level, first, last, second, size): &(u8, u64, u64, u64, u64)| Stored {
            level: Level::new(level).unwrap(),
            span: Span { first, last },
            time_ms: second * 1000,
            size,
        };
        let mut files: Vec<Stored> = of.iter().map(file).collect();
        files.sort_by_key(|file| (file.level, file.span));
        files
    }

    fn told(merges: &[Merge]) -> String {
        let one = |(files, level): &Merge| {
            let files: Vec<String> = files
                .iter()
                .map(|file| format!("{}:{}-{}", file.level.number(), file.span.first, file.span.last))
                .collect();
            format!("{} = {}", level.number(), files.join(" "))
        };
        merges.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn minutes_and_hours_are_merged_when_they_are_over() {
        let of = files(&[(9, 1, 1, 0, 9), (0, 2, 2, 10, 1), (0, 3, 3, 60, 1), (0, 4, 4, 61, 1), (0, 5, 5, 130, 1)]);
        assert_eq!(told(&merges(&of, 135_000)), "1 = 0:2-2 0:3-3; 1 = 0:4-4");
        assert_eq!(told(&merges(&of, 60_000)), "");
        let of = files(&[(1, 2, 3, 59, 1), (1, 4, 9, 3600, 1), (1, 10, 11, 3601, 1), (0, 10, 11, 3601, 1)]);
        assert_eq!(told(&merges(&of, 3_700_000)), "2 = 1:2-3 1:4-9");
        let of = files(&[(0, 2, 2, 10, 1), (0, 4, 4, 20, 1)]);
        assert_eq!(told(&merges(&of, 70_000)), "1 = 0:2-2; 1 = 0:4-4", "between them all began again");
        let of = files(&[
            (1, 2, 2, 10, 1),
            (1, 4, 6, 20, 1),
            (0, 2, 2, 10, 1),
            (0, 3, 3, 15, 1),
            (0, 5, 5, 18, 1),
            (0, 7, 7, 30, 1),
        ]);
        assert_eq!(told(&merges(&of, 70_000)), "1 = 0:3-3; 1 = 0:7-7", "the third was lost, and has come back");
    }

    #[test]
    fn a_snapshot_is_due_when_as_much_has_come_as_is_in_it() {
        let mega = 1 << 20;
        let of = |size| {
            files(&[
                (9, 1, 4, 0, 6 * mega),
                (2, 3, 5, 0, mega),
                (1, 5, 7, 60, 3 * mega),
                (1, 8, 9, 120, size),
                (0, 10, 10, 130, 9 * mega),
            ])
        };
        assert!(snapshot(&of(2 * mega), 200_000).is_none());
        assert_eq!(told(&[snapshot(&of(3 * mega), 200_000).unwrap()]), "9 = 9:1-4 1:5-7 1:8-9");
        assert!(snapshot(&of(2 * mega), SNAPSHOT_AGE_MAX_MS + 1).is_some());
        assert!(snapshot(&files(&[(9, 1, 4, 0, 1)]), u64::MAX).is_none());
    }

    #[test]
    fn what_a_promise_needs_stays() {
        let day = 86_400;
        let of = files(&[
            (9, 1, 1, 0, 1),
            (9, 1, 10, 10 * day, 1),
            (9, 1, 40, 40 * day, 1),
            (1, 2, 10, 10 * day, 1),
            (1, 11, 40, 40 * day, 1),
            (2, 9, 20, 12 * day, 1),
            (0, 40, 40, 40 * day, 1),
            (0, 41, 41, 40 * day, 1),
            (0, 42, 42, 42 * day, 1),
            (1, 44, 50, 40 * day, 1),
            (0, 43, 43, 40 * day, 1),
            (0, 44, 44, 40 * day, 1),
        ]);
        let gone = forgotten(&of, 42 * day * 1000, Duration::from_hours(24), Duration::from_hours(30 * 24));
        let gone: Vec<_> = gone.iter().map(|file| (file.level.number(), file.span.first, file.span.last)).collect();
        assert_eq!(gone, [(0, 40, 40), (0, 44, 44), (1, 2, 10), (9, 1, 1)], "41 and 43 are in no minute yet");
    }
}
