//! Answers for people: a table of chosen fields, times as dates.

use serde_json::Value as Json;
use unicode_width::UnicodeWidthStr as _;

pub fn table(rows: &[Json], columns: &[&str]) -> String {
    let head: Vec<String> = columns.iter().map(|column| column.replace('_', " ")).collect();
    let body = rows.iter().map(|row| columns.iter().map(|column| cell(column, &row[*column])).collect());
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
    let width = |index: usize| lines.iter().map(|line| line[index].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let padded = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.width())));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(padded).collect::<Vec<_>>().join("\n")
}

fn cell(column: &str, value: &Json) -> String {
    match value {
        Json::Null | Json::Bool(false) => String::new(),
        Json::Bool(true) => "yes".into(),
        Json::Number(number) if column.ends_with("_at") => number.as_i64().map_or_else(String::new, date),
        // Names are what somebody else has chosen: nothing of them may move the cursor.
        Json::String(text) => text.chars().map(|shown| if shown.is_control() { '\u{fffd}' } else { shown }).collect(),
        Json::Array(items) => items.iter().map(|item| cell("", item)).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Seconds since 1970 as a date and time of UTC, by Howard Hinnant's `civil_from_days`.
fn date(seconds: i64) -> String {
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", time / 3600, time / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_stand_below_their_names() {
        let rows = [
            json!({"name": "till", "made_at": 1_795_287_155, "is_disabled": true, "columns": ["a", "b"]}),
            json!({"name": "a\u{1b}[2J longer name", "made_at": 951_782_400}),
        ];
        let expected = "name               made at           is disabled  columns\n\
                        till               2026-11-21 18:52  yes          a, b\n\
                        a\u{fffd}[2J longer name  2000-02-29 00:00";
        assert_eq!(table(&rows, &["name", "made_at", "is_disabled", "columns"]), expected);
    }
}
