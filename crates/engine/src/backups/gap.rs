//! What backups have not kept: between two moments of which nothing leads from the one to the other.
//!
//! It comes of a folder that could not be written for too long, of files that have gone, and of programs that wrote while no server ran.
//! All pages were written anew then, and what was committed before can be gone back to as far as files join.

use super::report::Reached;
use serde::Serialize;
use tidebase_ltx::{Record, Stored};

#[derive(Debug, Serialize)]
pub struct Gap {
    /// The last moment in front of it that can be gone back to.
    pub after: Reached,
    /// And the first behind it.
    pub before: Reached,
}

impl Gap {
    pub fn of((after, before): (&Record, &Record)) -> Self {
        Self { after: Reached::of(after), before: Reached::of(before) }
    }
}

/// The lines at the ends of each, the earliest first.
pub fn gaps<'a>(kept: &[(Stored, &'a Record)]) -> Vec<(&'a Record, &'a Record)> {
    let in_order = |of_snapshots: bool| {
        let mut files: Vec<&'a Record> = kept
            .iter()
            .filter(|(file, _)| file.span.is_snapshot() == of_snapshots)
            .map(|(_, record)| *record)
            .collect();
        files.sort_by_key(|record| if of_snapshots { (record.last, record.last) } else { (record.first, record.last) });
        files.into_iter()
    };
    let mut steps = in_order(false).peekable();
    let mut gaps = Vec::new();
    let mut reached: Option<&'a Record> = None;
    for snapshot in in_order(true) {
        match reached {
            Some(known) if snapshot.last <= known.last => continue,
            // Files that nothing leads to may hold the same as what was there before, and then there is none.
            Some(known) if known.checksum != snapshot.checksum => gaps.push((known, snapshot)),
            _ => {}
        }
        let mut end = snapshot;
        while let Some(step) = steps.next_if(|step| step.first <= end.last.saturating_add(1)) {
            end = if step.last > end.last { step } else { end };
        }
        reached = Some(end);
    }
    gaps
}
