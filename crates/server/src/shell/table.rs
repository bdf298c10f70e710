//! Rows under one another: how wide each column is, and each line as text. Pure; what is printed when is
//! [`super::output`]'s.

use super::cell::{Cell, Kind, cut, visible};
use super::style::Style;
use unicode_width::UnicodeWidthStr as _;

const GAP: &str = "  ";
/// No column is made narrower than this to fit the terminal.
const NARROWEST: usize = 8;

/// The columns of one result, laid out for the rows that were there when it began.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    style: Style,
}

#[derive(Debug)]
struct Column {
    name: String,
    width: usize,
    /// Cells are cut to this.
    width_max: usize,
    is_numeric: bool,
}

impl Table {
    /// `width_max`: the terminal's, where there is one; elsewhere nothing is ever cut.
    pub fn new(names: &[String], sample: &[Vec<Cell>], width_max: Option<usize>, style: Style) -> Self {
        let mut columns: Vec<Column> = names
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let name = visible(name).into_owned();
                let cells = || sample.iter().filter_map(|row| row.get(index));
                let width = cells().map(|cell| cell.width).max().unwrap_or(0).max(name.width());
                let mut values = cells().filter(|cell| cell.kind != Kind::Null).peekable();
                let is_numeric = values.peek().is_some() && values.all(|cell| cell.kind == Kind::Number);
                Column { name, width, width_max: usize::MAX, is_numeric }
            })
            .collect();
        if let Some(width_max) = width_max {
            fit(&mut columns, width_max);
        }
        Self { columns, style }
    }

    /// The names, and a rule below them.
    pub fn head(&self) -> String {
        let names = self.columns.iter().map(|column| {
            let text = cut(&column.name, column.width_max);
            let kind = if column.is_numeric { Kind::Number } else { Kind::Other };
            let cell = Cell { width: text.width(), text: text.into_owned(), kind };
            column.padded(&cell, |text| self.style.strong(text))
        });
        let rules = self.columns.iter().map(|column| "─".repeat(column.width));
        let rule = self.style.dim(rules.collect::<Vec<_>>().join(GAP).trim_end());
        format!("{}\n{rule}\n", line(names))
    }

    pub fn row(&self, cells: &[Cell]) -> String {
        let shown = self.columns.iter().zip(cells).map(|(column, cell)| {
            let paint = |text: &str| if cell.kind == Kind::Null { self.style.dim(text) } else { text.to_owned() };
            if cell.width <= column.width_max {
                return column.padded(cell, paint);
            }
            let text = cut(&cell.text, column.width_max).into_owned();
            column.padded(&Cell { width: text.width(), text, kind: cell.kind }, paint)
        });
        format!("{}\n", line(shown))
    }
}

impl Column {
    /// Painted after padding was reckoned: colours take no room.
    fn padded(&self, cell: &Cell, paint: impl Fn(&str) -> String) -> String {
        let padding = " ".repeat(self.width.saturating_sub(cell.width));
        // NULL stands where the numbers of its column stand.
        let is_right = cell.kind == Kind::Number || cell.kind == Kind::Null && self.is_numeric;
        let text = paint(&cell.text);
        if is_right { padding + &text } else { text + &padding }
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(GAP).trim_end_matches(' ').to_owned()
}

/// Makes the widest columns narrower until all fit. Columns of numbers are left alone: half a number is a wrong one.
fn fit(columns: &mut [Column], width_max: usize) {
    let room = width_max.saturating_sub(GAP.len() * columns.len().saturating_sub(1));
    let total = |cap: usize| -> usize {
        columns.iter().map(|column| if column.is_numeric { column.width } else { column.width.min(cap) }).sum()
    };
    let cap = (NARROWEST..=width_max.max(NARROWEST)).rev().find(|&cap| total(cap) <= room).unwrap_or(NARROWEST);
    for column in columns.iter_mut().filter(|column| !column.is_numeric) {
        column.width = column.width.min(cap);
        column.width_max = cap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidebase_engine::Value;

    /// Rows as lines, cells between bars: `NULL`, numbers, and anything else as text.
    fn values(line: &str) -> Vec<Cell> {
        line.split('|')
            .map(|cell| match cell.trim() {
                "NULL" => Value::Null,
                text => match (text.parse(), text.parse()) {
                    (Ok(integer), _) => Value::Integer(integer),
                    (_, Ok(real)) => Value::Real(real),
                    _ => Value::text(text),
                },
            })
            .map(|value| Cell::new(&value))
            .collect()
    }

    fn check(width_max: Option<usize>, source: &str, expected: &str) {
        let mut lines = source.trim().lines();
        let names: Vec<String> = lines.next().unwrap().split('|').map(|name| name.trim().to_owned()).collect();
        let rows: Vec<_> = lines.map(values).collect();
        let table = Table::new(&names, &rows, width_max, Style::Plain);
        let shown = rows.iter().fold(table.head(), |text, row| text + &table.row(row));
        let expected: String = expected
            .trim_matches('\n')
            .lines()
            .map(|line| format!("{}\n", line.trim_start_matches('\u{b7}')))
            .collect();
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn numbers_stand_right_and_words_left() {
        check(
            None,
            "
            id | title | price
            1 | Tea | 2.5
            12 | Coffee, black | 10
            NULL | NULL | NULL
            ",
            "
·  id  title          price
·────  ─────────────  ─────
·   1  Tea              2.5
·  12  Coffee, black     10
·NULL  NULL            NULL
",
        );
    }

    #[test]
    fn a_column_of_mixed_kinds_keeps_each_cell_by_its_own() {
        check(None, "v\nword\n1\nNULL", "v\n────\nword\n   1\nNULL");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        check(None, "a | b\n海 | 1\nx | 2", "a   b\n──  ─\n海  1\nx   2");
    }

    #[test]
    fn the_widest_columns_are_cut_to_the_terminal_and_numbers_never() {
        check(
            Some(30),
            "
            number | short | long
            12345678901 | abc | a text that is much too long
            1 | defgh | short
            ",
            "
·     number  short  long
·───────────  ─────  ──────────
·12345678901  abc    a text th…
·          1  defgh  short
",
        );
    }

    #[test]
    fn without_a_terminal_nothing_is_cut() {
        let long = "x".repeat(500);
        check(None, &format!("a\n{long}"), &format!("a\n{}\n{long}", "─".repeat(500)));
    }

    #[test]
    fn a_result_without_rows_has_its_names() {
        check(None, "id | title", "id  title\n──  ─────");
    }

    #[test]
    fn colours_take_no_room() {
        let names = ["n".to_owned(), "t".to_owned()];
        let rows = [values("NULL | x"), values("1 | y")];
        let table = Table::new(&names, &rows, None, Style::Colored);
        assert_eq!(table.row(&rows[0]), "\u{1b}[2mNULL\u{1b}[0m  x\n");
        assert_eq!(table.row(&rows[1]), "   1  y\n");
    }
}
