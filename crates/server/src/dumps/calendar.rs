//! Moments as people write them, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

/// `2024-03-15T12:34:56Z`
pub fn written(time: i64) -> String {
    let [year, month, day, hour, minute, second] = parts(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `20240315-123456`, for names.
pub fn in_a_name(time: i64) -> String {
    let [year, month, day, hour, minute, second] = parts(time);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

/// Year, month, day, hour, minute, second. Years begin in March, so that the odd day comes last.
fn parts(time: i64) -> [i64; 6] {
    let seconds = time.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    [year, month, day, second / 3600, second / 60 % 60, second % 60]
}

#[cfg(test)]
mod tests {
    use super::{in_a_name, written};

    #[test]
    fn moments_are_as_sqlite_has_them() {
        let sqlite = rusqlite::Connection::open_in_memory().unwrap();
        for seconds in [0, 951_782_400, 1_710_506_096, 4_102_444_799, 68_169_600, 1_709_164_800, 951_868_799] {
            let wanted: String =
                sqlite.query_row("SELECT strftime('%FT%TZ', ?1, 'unixepoch')", [seconds], |row| row.get(0)).unwrap();
            assert_eq!(written(seconds * 1000 + 999), wanted);
        }
        assert_eq!(in_a_name(1_710_506_096_000), "20240315-123456");
    }
}
