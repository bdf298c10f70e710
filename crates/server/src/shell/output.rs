//! Results as they are printed: tables, JSON lines or one value a line, each with its count and time.
//!
//! Rows are printed as they come. A table looks at the first rows to lay out its columns and then streams too, so that
//! memory stays bounded however long the result is.

use super::backend::Sink;
use super::cell::{Cell, harmless, visible};
use super::failure::Failure;
use super::style::Style;
use super::table::Table;
use crate::interrupt::Interrupt;
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::time::Instant;
use tidebase_engine::{Value, json};
use unicode_width::UnicodeWidthStr as _;

/// Rows looked at to lay out a table, and the bytes of them.
const SAMPLE_ROWS: usize = 1000;
const SAMPLE_BYTES: usize = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Table,
    Json,
    Line,
}

impl Mode {
    pub const ALL: [(&'static str, Self); 3] = [("table", Self::Table), ("json", Self::Json), ("line", Self::Line)];
}

/// Where and how results are printed.
pub struct Output<W> {
    out: W,
    pub mode: Mode,
    pub shows_time: bool,
    /// Statements without a result say what they did. Off in scripts, where thousands of them would.
    pub shows_changes: bool,
    style: Style,
    /// Asked anew for every table: people resize windows.
    width: fn() -> Option<usize>,
    interrupt: Arc<Interrupt>,
    started: Instant,
    result: Option<Shown>,
}

/// A result on its way out.
struct Shown {
    names: Vec<String>,
    count: u64,
    sample: Vec<Vec<Cell>>,
    sample_bytes: usize,
    /// `None` while the sample is being gathered.
    table: Option<Table>,
}

impl<W: Write> Output<W> {
    pub fn new(out: W, style: Style, width: fn() -> Option<usize>, interrupt: Arc<Interrupt>) -> Self {
        Self {
            out,
            mode: Mode::Table,
            shows_time: false,
            shows_changes: true,
            style,
            width,
            interrupt,
            started: Instant::now(),
            result: None,
        }
    }

    /// The clock starts; what was left of a failed statement is printed and forgotten.
    pub fn begin(&mut self) -> Result<(), Failure> {
        self.abandon()?;
        self.started = Instant::now();
        Ok(())
    }

    /// Prints the rows that came before a failure.
    pub fn abandon(&mut self) -> Result<(), Failure> {
        if let Some(mut shown) = self.result.take()
            && shown.count > 0
        {
            self.lay_out(&mut shown)?;
        }
        self.flush()
    }

    /// Prints lines of text; elsewhere than on a terminal byte for byte.
    pub fn say(&mut self, text: &str) -> Result<(), Failure> {
        if (self.width)().is_some() { self.print(&harmless(text)) } else { self.print(text) }?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| write_failed(&error))
    }

    fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes()).map_err(|error| write_failed(&error))
    }

    /// The head and the sampled rows, if they have not been printed.
    fn lay_out(&mut self, shown: &mut Shown) -> Result<(), Failure> {
        if self.mode != Mode::Table || shown.table.is_some() {
            return Ok(());
        }
        let table = Table::new(&shown.names, &shown.sample, (self.width)(), self.style);
        self.print(&table.head())?;
        for row in std::mem::take(&mut shown.sample) {
            self.print(&table.row(&row))?;
        }
        shown.table = Some(table);
        Ok(())
    }

    fn table_row(&mut self, shown: &mut Shown, row: &[Value]) -> Result<(), Failure> {
        let cells: Vec<Cell> = row.iter().map(Cell::new).collect();
        if let Some(table) = &shown.table {
            let line = table.row(&cells);
            return self.print(&line);
        }
        shown.sample_bytes += cells.iter().map(|cell| cell.text.len()).sum::<usize>();
        shown.sample.push(cells);
        if shown.sample.len() >= SAMPLE_ROWS || shown.sample_bytes >= SAMPLE_BYTES {
            self.lay_out(shown)?;
        }
        Ok(())
    }

    /// As `sqlite3` does it: a value a line, a blank line between rows.
    fn line_row(&mut self, shown: &Shown, row: &[Value]) -> Result<(), Failure> {
        let names: Vec<_> = shown.names.iter().map(|name| visible(name)).collect();
        let width = names.iter().map(|name| name.width()).max().unwrap_or(0);
        let mut text = String::new();
        if shown.count > 1 {
            text.push('\n');
        }
        for (name, value) in names.iter().zip(row) {
            let cell = Cell::new(value);
            let value = if *value == Value::Null { self.style.dim(&cell.text) } else { cell.text };
            text.push_str(&" ".repeat(width - name.width()));
            text.push_str(&format!("{name} = {value}\n"));
        }
        self.print(&text)
    }

    fn footer(&mut self, words: &str) -> Result<(), Failure> {
        let time = self.shows_time.then(|| elapsed(self.started));
        let text = match time {
            Some(time) => format!("({words}, {time})"),
            None => format!("({words})"),
        };
        let text = self.style.dim(&text);
        self.print(&format!("{text}\n"))
    }
}

impl<W: Write> Sink for Output<W> {
    fn columns(&mut self, names: Vec<String>) -> Result<(), Failure> {
        self.result = Some(Shown { names, count: 0, sample: Vec::new(), sample_bytes: 0, table: None });
        Ok(())
    }

    fn row(&mut self, row: Vec<Value>) -> Result<(), Failure> {
        if self.interrupt.is_hit() {
            return Err(Failure::Interrupted);
        }
        let Some(mut shown) = self.result.take() else { return Ok(()) };
        shown.count += 1;
        match self.mode {
            Mode::Table => self.table_row(&mut shown, &row),
            Mode::Line => self.line_row(&shown, &row),
            Mode::Json => self.out.write_all(&json_line(&shown.names, &row)).map_err(|error| write_failed(&error)),
        }?;
        self.result = Some(shown);
        Ok(())
    }

    fn done(&mut self, changed: Option<u64>) -> Result<(), Failure> {
        let result = self.result.take();
        if self.mode == Mode::Json {
            return self.flush();
        }
        match result {
            Some(mut shown) => {
                self.lay_out(&mut shown)?;
                self.footer(&counted(shown.count, "row"))?;
            }
            None if !self.shows_changes => {}
            None => match changed {
                Some(changed) => self.footer(&format!("{} changed", counted(changed, "row")))?,
                None => self.footer("done")?,
            },
        }
        self.flush()
    }
}

/// One object a row; of two columns with one name the last counts, as in answers over HTTP.
fn json_line(names: &[String], row: &[Value]) -> Vec<u8> {
    let mut line = Vec::with_capacity(64);
    line.push(b'{');
    for (index, (name, value)) in names.iter().zip(row).enumerate() {
        if names[index + 1..].contains(name) {
            continue;
        }
        if line.len() > 1 {
            line.push(b',');
        }
        json::write_str(&mut line, name);
        line.push(b':');
        json::write_value(&mut line, value.as_ref());
    }
    line.extend_from_slice(b"}\n");
    line
}

pub fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn elapsed(since: Instant) -> String {
    match since.elapsed().as_secs_f64() {
        seconds @ ..0.001 => format!("{:.2} ms", seconds * 1e3),
        seconds @ 0.001..1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    }
}

fn write_failed(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::refused(format!("The output cannot be written: {error}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(mode: Mode, names: &[&str], rows: &[&[Value]]) -> String {
        let mut output = Output::new(Vec::new(), Style::Plain, || None, Arc::default());
        output.mode = mode;
        output.begin().unwrap();
        output.columns(names.iter().map(|name| (*name).to_owned()).collect()).unwrap();
        for row in rows {
            output.row(row.to_vec()).unwrap();
        }
        output.done(None).unwrap();
        String::from_utf8(output.out).unwrap()
    }

    #[test]
    fn each_mode_prints_the_same_rows_in_its_way() {
        let rows: [&[Value]; 2] =
            [&[Value::Integer(1), Value::text("a\n\"b\"")], &[Value::Null, Value::Blob([1].into())]];
        for (mode, expected) in [
            (Mode::Table, "  id  text\n────  ─────\n   1  a↵\"b\"\nNULL  x'01'\n(2 rows)\n"),
            (Mode::Json, "{\"id\":1,\"text\":\"a\\n\\\"b\\\"\"}\n{\"id\":null,\"text\":{\"$blob\":\"AQ==\"}}\n"),
            (Mode::Line, "  id = 1\ntext = a↵\"b\"\n\n  id = NULL\ntext = x'01'\n(2 rows)\n"),
        ] {
            assert_eq!(shown(mode, &["id", "text"], &rows), expected);
        }
    }

    #[test]
    fn of_two_columns_with_one_name_the_last_is_in_the_json() {
        let row: &[Value] = &[Value::Integer(1), Value::Integer(2), Value::Integer(3)];
        assert_eq!(shown(Mode::Json, &["a", "b", "a"], &[row]), "{\"b\":2,\"a\":3}\n");
    }

    #[test]
    fn long_results_stream_after_the_first_rows() {
        let mut output = Output::new(Vec::new(), Style::Plain, || None, Arc::default());
        output.columns(vec!["n".into()]).unwrap();
        for n in 0..SAMPLE_ROWS {
            assert!(output.out.is_empty());
            output.row(vec![Value::Integer(n as i64)]).unwrap();
        }
        assert!(!output.out.is_empty());
        output.row(vec![Value::text("a value wider than the column was laid out for")]).unwrap();
        output.done(None).unwrap();
        let text = String::from_utf8(output.out).unwrap();
        assert!(text.ends_with("999\na value wider than the column was laid out for\n(1001 rows)\n"));
    }

    #[test]
    fn rows_before_a_failure_are_not_lost() {
        let mut output = Output::new(Vec::new(), Style::Plain, || None, Arc::default());
        output.columns(vec!["n".into()]).unwrap();
        output.row(vec![Value::Integer(1)]).unwrap();
        output.abandon().unwrap();
        assert_eq!(String::from_utf8(output.out).unwrap(), "n\n─\n1\n");
    }
}
