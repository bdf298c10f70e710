//! Which moment to go back to, as people say it.

use crate::clock;
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
            Self::Latest => out.write_str("the latest state"),
            Self::Time(time_ms) => write!(out, "the state at {}", spoken(*time_ms)),
            Self::Revision(revision) => write!(out, "revision {revision}"),
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
    let read = |own: Connection| {
        own.query_row("SELECT CAST(round(unixepoch(?1, 'subsec') * 1000) AS INTEGER)", [text], |row| row.get(0))
    };
    Connection::open_in_memory().and_then(read).ok().flatten().filter(|_| is_date)
}

/// `2026-11-22T10:00:00.123Z`. The date is found as Howard Hinnant does in "chrono-Compatible Low-Level Date Algorithms"
/// (`civil_from_days`): years begin in March, so that a leap day is their last.
pub fn spoken(time_ms: i64) -> String {
    let (days, of_day) = (time_ms.div_euclid(86_400_000), time_ms.rem_euclid(86_400_000));
    let (era, day) = ((days + 719_468).div_euclid(146_097), (days + 719_468).rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let of_march = (5 * of_year + 2) / 153;
    let month = if of_march < 10 { of_march + 3 } else { of_march - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let day = of_year - (153 * of_march + 2) / 5 + 1;
    let (hour, minute, ms) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day % 60_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{:03}Z", ms / 1000, ms % 1000)
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
        assert_eq!(spoken(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        let own = Connection::open_in_memory().unwrap();
        for time_ms in (-9_000_000_000_000..9_000_000_000_000).step_by(86_399_000 * 97) {
            let sql = "SELECT strftime('%Y-%m-%dT%H:%M:%S', ?1, 'unixepoch')";
            let expected: String = own.query_row(sql, [time_ms / 1000], |row| row.get(0)).unwrap();
            assert_eq!(spoken(time_ms), format!("{expected}.000Z"));
        }
        let now = clock::now_ms();
        let Ok(Moment::Time(ago)) = at("2h") else { panic!("a time") };
        assert!((now - 7_200_000..=clock::now_ms() - 7_200_000).contains(&ago));
        for bad in
            ["", "now", "yesterday", "2461000.5", "5", "-5m", "h", "2023-13-01", "3000-01-01", "9999999999999999"]
        {
            // A small number is a time long ago: it is refused where there is no backup of it.
            assert!(at(bad).is_err() || bad == "5", "{bad}");
        }
    }
}
