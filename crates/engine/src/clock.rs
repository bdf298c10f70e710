//! Wall-clock time, for what people and retention see, and how it is written. Order never rests on it: revisions give the order.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How far a test has put the clock of this process; nothing else ever does.
static PUT_MS: AtomicI64 = AtomicI64::new(0);

/// Puts the clock of this process so far from the machine's: for tests of what a clock does that jumps.
#[doc(hidden)]
pub fn put(ms: i64) {
    PUT_MS.store(ms, Ordering::Release);
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    ms(SystemTime::now()) + PUT_MS.load(Ordering::Acquire)
}

/// The same of another time.
pub fn ms(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

/// Microseconds since 1970.
pub fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}

/// A moment as people write it, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub ms: i64,
}

impl Date {
    /// Of milliseconds since 1970, as Howard Hinnant does in "chrono-Compatible Low-Level Date Algorithms" (`civil_from_days`): years
    /// begin in March, so that a leap day is their last.
    pub fn of(time_ms: i64) -> Self {
        let (days, of_day) = (time_ms.div_euclid(86_400_000), time_ms.rem_euclid(86_400_000));
        let (era, of_era) = ((days + 719_468).div_euclid(146_097), (days + 719_468).rem_euclid(146_097));
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let of_march = (5 * of_year + 2) / 153;
        let month = if of_march < 10 { of_march + 3 } else { of_march - 9 };
        Self {
            year: year + era * 400 + i64::from(month <= 2),
            month,
            day: of_year - (153 * of_march + 2) / 5 + 1,
            hour: of_day / 3_600_000,
            minute: of_day / 60_000 % 60,
            second: of_day / 1000 % 60,
            ms: of_day % 1000,
        }
    }
}

/// `2026-11-22T10:00:00.123Z`
pub fn spoken(time_ms: i64) -> String {
    let Date { year, month, day, hour, minute, second, ms } = Date::of(time_ms);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::spoken;

    #[test]
    fn moments_are_as_sqlite_has_them() {
        assert_eq!(spoken(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        let own = rusqlite::Connection::open_in_memory().unwrap();
        for time_ms in (-9_000_000_000_000..9_000_000_000_000_i64).step_by(86_399_000 * 97) {
            let sql = "SELECT strftime('%Y-%m-%dT%H:%M:%S', ?1, 'unixepoch')";
            let expected: String = own.query_row(sql, [time_ms / 1000], |row| row.get(0)).unwrap();
            assert_eq!(spoken(time_ms), format!("{expected}.000Z"));
        }
    }
}
