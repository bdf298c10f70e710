//! Which migrations are to be applied or undone: what the files say, against what has been applied. No database here, and no clock.

use super::file::{Migration, Script};
use super::kept::Applied;
use crate::error::{Error, Result};
use serde_json::{Value as Json, json};

/// Looked at at one time.
const MIGRATIONS_MAX: usize = 10_000;

/// How one migration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Applied,
    Pending,
    /// Its file was edited after it was applied.
    Changed,
    /// It was applied, and its file is gone.
    Missing,
    /// It is not applied, and stands before one that is.
    Late,
}

impl Standing {
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Pending => "pending",
            Self::Changed => "changed since",
            Self::Missing => "file missing",
            Self::Late => "too late",
        }
    }

    /// Do files and database tell different stories?
    pub fn is_drift(self) -> bool {
        matches!(self, Self::Changed | Self::Missing | Self::Late)
    }
}

/// A line of the status.
#[derive(Clone, Debug)]
pub struct Told<'a> {
    pub number: i64,
    pub name: &'a str,
    pub standing: Standing,
    pub applied: Option<&'a Applied>,
}

impl Told<'_> {
    pub fn to_json(&self) -> Json {
        let applied_at = self.applied.map(|applied| applied.applied_at);
        let who = self.applied.map(|applied| applied.who.as_str());
        json!({ "number": self.number, "name": self.name, "state": self.standing.name(), "applied_at": applied_at, "who": who })
    }
}

/// In their order.
///
/// # Errors
/// `conflict` if two have one number, `too_large` past the limit.
pub fn sorted(mut files: Vec<Migration>) -> Result<Vec<Migration>> {
    if files.len() > MIGRATIONS_MAX {
        return Err(Error::too_large(format!("There may be {MIGRATIONS_MAX} migrations. Make one of the oldest.")));
    }
    files.sort_by(|a, b| (a.number, &a.label).cmp(&(b.number, &b.label)));
    match files.windows(2).find(|pair| pair[0].number == pair[1].number) {
        None => Ok(files),
        Some(pair) => Err(Error::conflict(format!(
            "{} and {} have the same number. Give the one that is not applied yet the next free number.",
            pair[0].label, pair[1].label
        ))),
    }
}

/// How all of them stand. The files are in their order, as those applied are.
pub fn status<'a>(files: &'a [Migration], applied: &'a [Applied]) -> Vec<Told<'a>> {
    let mut told: Vec<Told<'a>> = files
        .iter()
        .map(|file| {
            let done = find(applied, file.number);
            let standing = match done {
                Some(done) if done.checksum == file.checksum => Standing::Applied,
                Some(_) => Standing::Changed,
                None if file.number < newest(applied) => Standing::Late,
                None => Standing::Pending,
            };
            Told { number: file.number, name: &file.name, standing, applied: done }
        })
        .collect();
    let is_gone = |done: &&Applied| !files.iter().any(|file| file.number == done.number);
    told.extend(applied.iter().filter(is_gone).map(|done| Told {
        number: done.number,
        name: &done.name,
        standing: Standing::Missing,
        applied: Some(done),
    }));
    told.sort_by_key(|told| told.number);
    told
}

fn find(applied: &[Applied], number: i64) -> Option<&Applied> {
    applied.iter().find(|done| done.number == number)
}

/// The number of the last one applied; 0 if there is none.
pub fn newest(applied: &[Applied]) -> i64 {
    applied.last().map_or(0, |done| done.number)
}

/// What is to be done with one migration that is to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Apply,
    /// It is applied, and is still the same.
    PassOver,
}

/// # Errors
/// `conflict` if it was changed since, or comes too late.
pub fn next(file: &Migration, applied: &[Applied]) -> Result<Next> {
    let label = &file.label;
    match find(applied, file.number) {
        Some(done) if done.checksum == file.checksum => Ok(Next::PassOver),
        Some(done) if done.name != file.name => Err(Error::conflict(format!(
            "{label}: {} was applied under this number. Give the new one the next free number.",
            done.label()
        ))),
        Some(_) => Err(Error::conflict(format!(
            "{label} was changed after it was applied. Put it back as it was and write what is new into a migration of its own; or undo it \
             with `tidebase migrate down --to {}` and apply it anew.",
            file.number - 1
        ))),
        None if file.number < newest(applied) => Err(Error::conflict(format!(
            "{label} comes too late: {} is applied already. Give it the next free number.",
            applied.last().map(Applied::label).unwrap_or_default()
        ))),
        None => Ok(Next::Apply),
    }
}

/// Those that are to be applied, up to and with `to`, and the numbers of those that are already.
///
/// # Errors
/// `conflict` as in [`next`], before anything is done; `not_found` if nothing has the number `to`.
pub fn up(files: &[Migration], applied: &[Applied], to: Option<i64>) -> Result<(Vec<Migration>, Vec<i64>)> {
    if let Some(to) = to
        && !files.iter().any(|file| file.number == to)
        && find(applied, to).is_none()
    {
        return Err(Error::not_found(format!("There is no migration {to:04}.")));
    }
    let (mut wanted, mut passed_over) = (Vec::new(), Vec::new());
    for file in files {
        match next(file, applied)? {
            Next::PassOver => passed_over.push(file.number),
            Next::Apply if to.is_none_or(|to| file.number <= to) => wanted.push(file.clone()),
            Next::Apply => {}
        }
    }
    Ok((wanted, passed_over))
}

/// One that is to be undone.
#[derive(Clone, Debug)]
pub struct Undo {
    pub number: i64,
    pub name: String,
    /// Of what was applied.
    pub checksum: String,
    pub label: String,
    pub down: Script,
}

/// Those that are to be undone, the last one first: all behind `to`, or the last one alone.
///
/// # Errors
/// `conflict` if one of them has no way back.
pub fn down(files: &[Migration], applied: &[Applied], to: Option<i64>) -> Result<Vec<Undo>> {
    let above = match to {
        Some(to) => to,
        None => applied.iter().rev().nth(1).map_or(0, |done| done.number),
    };
    applied.iter().rev().filter(|done| done.number > above).map(|done| undo(files, done)).collect()
}

/// The way back is that of the file, which may have been mended; but if what was applied is not what the file says now, or there is none,
/// it is the one that was kept.
fn undo(files: &[Migration], done: &Applied) -> Result<Undo> {
    let file = files.iter().find(|file| file.number == done.number && file.checksum == done.checksum);
    let of_file = file.and_then(|file| file.down.clone().map(|down| (file.label.clone(), down)));
    let kept = || done.down().map(|down| (format!("{} as it was applied", done.label()), down));
    let (label, down) = of_file.or_else(kept).ok_or_else(|| {
        Error::conflict(format!(
            "{} has no way back: nothing stands behind a line \"-- down\" in it. Write one there, or a new migration. Nothing was undone.",
            done.label()
        ))
    })?;
    Ok(Undo { number: done.number, name: done.name.clone(), checksum: done.checksum.clone(), label, down })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: i64, up: &str, down: &str) -> Migration {
        let down = if down.is_empty() { String::new() } else { format!("\n-- down\n{down}") };
        Migration::new(number, "x", &format!("{up};{down}")).unwrap()
    }

    fn applied(files: &[Migration]) -> Vec<Applied> {
        let applied = |file: &Migration| Applied {
            number: file.number,
            name: file.name.clone(),
            checksum: file.checksum.clone(),
            down: file.down.as_ref().map(|down| down.text.clone()),
            applied_at: 7,
            revision: 8,
            who: "admin".into(),
        };
        files.iter().map(applied).collect()
    }

    fn standings(files: &[Migration], applied: &[Applied]) -> Vec<(i64, Standing)> {
        status(files, applied).iter().map(|told| (told.number, told.standing)).collect()
    }

    #[test]
    fn files_and_what_was_applied_are_compared_one_by_one() {
        let was = [file(1, "select 1", ""), file(2, "select 2", ""), file(7, "select 7", "")];
        let now = [
            file(1, "select 1", "select 0"),
            file(2, "select 22", ""),
            file(5, "select 5", ""),
            file(9, "select 9", ""),
        ];
        assert_eq!(
            standings(&now, &applied(&was)),
            [
                (1, Standing::Applied),
                (2, Standing::Changed),
                (5, Standing::Late),
                (7, Standing::Missing),
                (9, Standing::Pending)
            ]
        );
        assert!(
            up(&now, &applied(&was), None).unwrap_err().message.contains("0002_x.sql was changed after it was applied")
        );
        let late = [file(1, "select 1", ""), file(5, "select 5", "")];
        assert!(up(&late, &applied(&was), None).unwrap_err().message.contains("0007_x.sql is applied already"));
    }

    #[test]
    fn what_is_missing_is_applied_up_to_where_it_is_wanted() {
        let files = [file(1, "select 1", ""), file(2, "select 2", ""), file(40, "select 40", "")];
        let numbers = |to| {
            let (wanted, passed_over) = up(&files, &applied(&files[..1]), to).unwrap();
            (wanted.iter().map(|file| file.number).collect::<Vec<_>>(), passed_over)
        };
        assert_eq!(numbers(None), (vec![2, 40], vec![1]));
        assert_eq!(numbers(Some(2)), (vec![2], vec![1]));
        assert_eq!(numbers(Some(1)), (vec![], vec![1]));
        assert!(up(&files, &[], Some(3)).unwrap_err().message.contains("no migration 0003"));
        let doubles = vec![file(2, "select 2", ""), file(1, "select 1", ""), file(2, "select 3", "")];
        assert!(sorted(doubles).unwrap_err().message.contains("have the same number"));
    }

    #[test]
    fn the_way_back_is_that_of_the_file_while_it_tells_of_what_was_applied() {
        let was = [file(1, "select 1", "select 'kept'"), file(2, "select 2", ""), file(3, "select 3", "select 'kept'")];
        let way = |files: &[Migration], to| {
            down(files, &applied(&was), to)
                .map(|undos| undos.into_iter().map(|undo| undo.down.text).collect::<Vec<_>>())
        };
        assert_eq!(way(&[], None).unwrap(), ["select 'kept'"]);
        assert_eq!(way(&[file(3, "select 3", "select 'mended'")], None).unwrap(), ["select 'mended'"]);
        assert_eq!(way(&[file(3, "select 33", "select 'other'")], None).unwrap(), ["select 'kept'"]);
        assert_eq!(way(&[], Some(3)).unwrap(), Vec::<String>::new());
        assert!(way(&[], Some(0)).unwrap_err().message.contains("0002_x.sql has no way back"));
        let added = [file(2, "select 2", "select 'added'")];
        assert_eq!(way(&added, Some(0)).unwrap(), ["select 'kept'", "select 'added'", "select 'kept'"]);
    }
}
