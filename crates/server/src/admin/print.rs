//! Answers for people: a table of chosen fields, times as dates.

use serde_json::Value as Json;
use tidebase_engine::clock::Date;
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

/// Seconds since 1970 as a date and time of UTC.
fn date(seconds: i64) -> String {
    let Date { year, month, day, hour, minute, .. } = Date::of(seconds.saturating_mul(1000));
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
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
