//! Moments of dumps as StarbaseDB writes them: to the second, in UTC.

use tidebase_engine::clock::{self, Date};

/// Milliseconds since 1970.
pub fn now() -> i64 {
    clock::now_ms()
}

/// `2024-03-15T12:34:56Z`
pub fn written(time: i64) -> String {
    let Date { year, month, day, hour, minute, second, .. } = Date::of(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `20240315-123456`, for names.
pub fn in_a_name(time: i64) -> String {
    let Date { year, month, day, hour, minute, second, .. } = Date::of(time);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::{in_a_name, written};

    #[test]
    fn moments_are_written_to_the_second() {
        assert_eq!(written(1_710_506_096_999), "2024-03-15T12:34:56Z");
        assert_eq!(in_a_name(1_710_506_096_000), "20240315-123456");
    }
}
