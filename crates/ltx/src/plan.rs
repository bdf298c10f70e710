//! Which files make the database of a moment.
//!
//! The newest snapshot that is not too new, then always the file that joins and leads furthest, whatever its level: few
//! large ones, and at the end groups. Litestream goes the same way, but that "at 12:00" leaves out for it what was
//! committed in that very millisecond.

use crate::error::{Error, Result};
use crate::folder::Stored;

/// Which moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Latest,
    /// After this transaction, exactly.
    Transaction(u64),
    /// After the last transaction at or before this time, in milliseconds since 1970.
    Time(u64),
}

impl Target {
    fn allows(self, file: &Stored) -> bool {
        match self {
            Self::Latest => true,
            Self::Transaction(last) => file.span.last <= last,
            Self::Time(time_ms) => file.time_ms <= time_ms,
        }
    }
}

/// The files to restore from, in order, the first a snapshot. Files may overlap: the later one counts.
///
/// # Errors
/// `Gap` if there is no snapshot that is old enough, the transaction cannot be reached, or files go on behind a hole.
pub fn plan(files: &[Stored], target: Target) -> Result<Vec<Stored>> {
    let allowed = || files.iter().filter(|file| target.allows(file));
    let Some(start) = allowed().filter(|file| file.span.is_snapshot()).max_by_key(|file| (file.span.last, file.level))
    else {
        return Err(Error::gap(format!("no snapshot is old enough for {}", describe(target))));
    };
    let mut rest: Vec<Stored> = allowed().filter(|file| file.span.last > start.span.last).copied().collect();
    rest.sort_by_key(|file| file.span.first);
    let mut plan = vec![*start];
    let mut reached = start.span.last;
    let mut rest = rest.into_iter().peekable();
    loop {
        let mut best: Option<Stored> = None;
        while let Some(file) = rest.next_if(|file| file.span.first <= reached.saturating_add(1)) {
            if best.is_none_or(|best| (file.span.last, file.level) > (best.span.last, best.level)) {
                best = Some(file);
            }
        }
        match best {
            Some(best) if best.span.last > reached => {
                plan.push(best);
                reached = best.span.last;
            }
            Some(_) => {}
            None => break,
        }
    }
    if let Some(file) = rest.next() {
        return Err(Error::gap(format!("after transaction {reached} there is nothing up to {}", file.span)));
    }
    match target {
        Target::Transaction(last) if last != reached => {
            Err(Error::gap(format!("transaction {last} cannot be reached: files lead to {reached}")))
        }
        _ => Ok(plan),
    }
}

fn describe(target: Target) -> String {
    match target {
        Target::Latest => "a restore: there is none".into(),
        Target::Transaction(last) => format!("transaction {last}"),
        Target::Time(time_ms) => format!("the time {time_ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Level;
    use crate::format::Span;

    /// Of each file its level and span; a transaction's time is its number times ten.
    fn check(files: &[(u8, u64, u64)], target: Target, expected: std::result::Result<&[(u8, u64, u64)], &str>) {
        let stored = |&(level, first, last): &(u8, u64, u64)| Stored {
            level: Level::new(level).unwrap(),
            span: Span { first, last },
            time_ms: last * 10,
            size: 1,
        };
        let files: Vec<Stored> = files.iter().map(stored).collect();
        let found = plan(&files, target).map_err(|error| error.to_string());
        let found = found.map(|plan| {
            plan.iter().map(|file| (file.level.number(), file.span.first, file.span.last)).collect::<Vec<_>>()
        });
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }

    const FILES: [(u8, u64, u64); 11] = [
        (9, 1, 1),
        (9, 1, 5),
        (0, 1, 1),
        (0, 4, 4),
        (0, 5, 5),
        (0, 6, 6),
        (0, 7, 7),
        (0, 8, 8),
        (1, 2, 3),
        (1, 4, 6),
        (1, 7, 7),
    ];

    #[test]
    fn the_newest_snapshot_and_then_the_longest_steps() {
        check(&FILES, Target::Latest, Ok(&[(9, 1, 5), (1, 4, 6), (1, 7, 7), (0, 8, 8)]));
        check(&FILES, Target::Transaction(6), Ok(&[(9, 1, 5), (1, 4, 6)]));
        check(&FILES, Target::Transaction(5), Ok(&[(9, 1, 5)]));
        check(&FILES, Target::Transaction(4), Ok(&[(9, 1, 1), (1, 2, 3), (0, 4, 4)]));
        check(&FILES, Target::Time(79), Ok(&[(9, 1, 5), (1, 4, 6), (1, 7, 7)]));
        check(&FILES, Target::Time(30), Ok(&[(9, 1, 1), (1, 2, 3)]));
    }

    #[test]
    fn what_cannot_be_reached_is_refused() {
        check(&FILES, Target::Transaction(2), Err("transaction 2 cannot be reached: files lead to 1"));
        check(&FILES, Target::Transaction(9), Err("cannot be reached"));
        check(&FILES, Target::Time(9), Err("no snapshot"));
        check(&[], Target::Latest, Err("no snapshot"));
        check(&[(0, 2, 2)], Target::Latest, Err("no snapshot"));
        check(
            &[(9, 1, 3), (0, 5, 5)],
            Target::Latest,
            Err("after transaction 3 there is nothing up to transactions 5"),
        );
        check(&[(9, 1, 3), (0, 5, 5)], Target::Time(45), Ok(&[(9, 1, 3)]));
    }
}
