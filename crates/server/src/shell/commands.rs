//! The dot commands: what the shell itself does.

use super::backend::{Backend, Gathered};
use super::failure::Failure;
use super::output::{Mode, Output};
use std::io::Write;

pub const NAMES: [&str; 7] = [".exit", ".help", ".mode", ".quit", ".schema", ".tables", ".timer"];

const HELP: &str = "\
SQL ends with a semicolon and may take several lines.

  .tables [PATTERN]        tables and views; * stands for anything
  .schema [TABLE]          the SQL that made them
  .mode table|json|line    how results are printed
  .timer on|off            show how long a statement took
  .help                    this
  .quit                    leave; so does Ctrl-D

Tab completes names and keywords. Ctrl-C drops the line, or ends a statement that runs.
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    Leave,
}

/// What may follow a command.
pub fn arguments(command: &str) -> Vec<&'static str> {
    match command {
        ".mode" => Mode::ALL.iter().map(|(name, _)| *name).collect(),
        ".timer" => vec!["on", "off"],
        _ => Vec::new(),
    }
}

pub fn run<W: Write>(line: &str, backend: &mut Backend, output: &mut Output<W>) -> Result<Flow, Failure> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = Some(unquoted(argument.trim())).filter(|argument| !argument.is_empty());
    match (command.trim_start_matches('.').to_ascii_lowercase().as_str(), argument) {
        ("quit" | "exit", None) => return Ok(Flow::Leave),
        ("help", None) => output.say(HELP)?,
        ("tables", pattern) => {
            output.begin()?;
            backend.run(&[&tables(pattern)], output)?;
        }
        ("schema", table) => schema(table, backend, output)?,
        ("mode", None) => {
            let current = Mode::ALL.iter().find(|(_, mode)| *mode == output.mode);
            output.say(&format!("{}\n", current.map_or("", |(name, _)| name)))?;
        }
        ("mode", Some(name)) => match Mode::ALL.iter().find(|(known, _)| *known == name) {
            Some((_, mode)) => output.mode = *mode,
            None => return Err(Failure::refused(format!("There is no mode {name}: it is table, json or line."))),
        },
        ("timer", Some("on")) => output.shows_time = true,
        ("timer", Some("off")) => output.shows_time = false,
        ("timer", _) => return Err(Failure::refused("It is `.timer on` or `.timer off`.")),
        (known, Some(_)) if NAMES.contains(&format!(".{known}").as_str()) => {
            return Err(Failure::refused(format!("{command} takes nothing after it.")));
        }
        _ => return Err(Failure::refused(format!("There is no command {command}; .help lists them."))),
    }
    Ok(Flow::Continue)
}

fn unquoted(argument: &str) -> &str {
    let inner = |quote| argument.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    inner('\'').or_else(|| inner('"')).unwrap_or(argument)
}

/// A string as SQL text. Nothing is bound, so that it serves over HTTP as well.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Tidebase's and SQLite's own tables are named only when asked for.
fn tables(pattern: Option<&str>) -> String {
    let wanted = match pattern {
        None => "name NOT LIKE '\\_tide%' ESCAPE '\\'".to_owned(),
        Some(pattern) => format!("name LIKE {}", literal(&pattern.replace('*', "%"))),
    };
    format!(
        "SELECT CASE schema WHEN 'main' THEN name ELSE schema || '.' || name END AS name, type FROM pragma_table_list \
         WHERE type <> 'shadow' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND {wanted} ORDER BY 1"
    )
}

fn schema<W: Write>(table: Option<&str>, backend: &mut Backend, output: &mut Output<W>) -> Result<(), Failure> {
    let wanted = match table {
        None => "name NOT LIKE '\\_tide%' ESCAPE '\\' AND tbl_name NOT LIKE '\\_tide%' ESCAPE '\\'".to_owned(),
        Some(table) => format!("{0} IN (lower(name), lower(tbl_name))", literal(&table.to_ascii_lowercase())),
    };
    let sql = format!(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND {wanted} \
         ORDER BY type = 'trigger', type = 'index', type = 'view', rowid"
    );
    let found: Gathered = backend.ask(&sql, None)?;
    if let (Some(table), true) = (table, found.rows.is_empty()) {
        return Err(Failure::refused(format!("There is no table {table}; .tables lists them.")));
    }
    let text: String = found.texts().map(|row| format!("{};\n", row.concat())).collect();
    output.say(&text)
}
