//! Which moment to go back to, as people say it.

use crate::clock::{self, spoken};
use crate::error::{Error, Result};
use rusqlite::Connection;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The newest there is.
    Latest,
    /// After the last commit at or before this time, in milliseconds since 1970.
    Time(i64),
    /// After the last commit at or before this revision.
    Revision(i64),
}

impl Moment {
    /// A time: `2026-11-22T10:00:00Z`, with another offset, or with a blank for the T and without seconds or zone (then UTC);
    /// milliseconds since 1970; or how long ago: `90s`, `5m`, `2h`, `3d`.
    ///
    /// # Errors
    /// `invalid` for another text, and for a time that is to come.
    pub fn at(text: &str) -> Result<Self> {
        let now = clock::now_ms();
        let time_ms = ago(text).map(|ago| now.saturating_sub(ago)).or_else(|| text.parse().ok());
        let time_ms = time_ms.or_else(|| of_sqlite(text)).ok_or_else(|| {
            Error::invalid(format!(
                "{text:?} is no time: 2026-11-22T10:00:00Z is one, and so are 5m, 2h and 3d, which are as long ago."
            ))
        })?;
        if time_ms > now {
            return Err(Error::invalid(format!("{text} is yet to come; it is {} now.", spoken(now))));
        }
        Ok(Self::Time(time_ms))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => out.write_str("The latest state"),
            Self::Time(time_ms) => write!(out, "The state at {}", spoken(*time_ms)),
            Self::Revision(revision) => write!(out, "Revision {revision}"),
        }
    }
}

fn ago(text: &str) -> Option<i64> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        b'd' => 86400,
        _ => return None,
    };
    let number: u32 = text[..text.len() - 1].parse().ok()?;
    i64::from(number).checked_mul(unit * 1000)
}

/// SQLite knows how to read times, also those that are not in UTC.
fn of_sqlite(text: &str) -> Option<i64> {
    // Words like "now" and numbers of days are SQLite's too, and nobody's here.
    let is_date = text.len() >= 10 && text.as_bytes()[4] == b'-';
    // It takes 30 February for 2 March.
    let sql = "SELECT CAST(round(unixepoch(?1, 'subsec') * 1000) AS INTEGER) WHERE date(substr(?1, 1, 10)) = substr(?1, 1, 10)";
    let read = |own: Connection| own.query_row(sql, [text], |row| row.get(0));
    Connection::open_in_memory().and_then(read).ok().flatten().filter(|_| is_date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let at = |text: &str| Moment::at(text).map_err(|error| error.message);
        let expected = Ok(Moment::Time(1_700_000_000_000));
        for text in ["2023-11-14T22:13:20Z", "2023-11-14 22:13:20", "2023-11-14T23:13:20+01:00", "1700000000000"] {
            assert_eq!(at(text), expected, "{text}");
        }
        assert_eq!(at("2023-11-14T22:13:20.123Z"), Ok(Moment::Time(1_700_000_000_123)));
        let now = clock::now_ms();
        let Ok(Moment::Time(ago)) = at("2h") else { panic!("a time") };
        assert!((now - 7_200_000..=clock::now_ms() - 7_200_000).contains(&ago));
        for bad in [
            "",
            "now",
            "yesterday",
            "2461000.5",
            "5",
            "-5m",
            "h",
            "2023-13-01",
            "3000-01-01",
            "2026-02-30",
            "9999999999999999",
        ] {
            // A small number is a time long ago: it is refused where there is no backup of it.
            assert!(at(bad).is_err() || bad == "5", "{bad}");
        }
    }
}
