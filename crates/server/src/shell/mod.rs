//! `tidebase sql`: SQL typed by a person, given as an argument or piped in, on a local file or a running server.
//!
//! [`script`] cuts the text into steps, a [`backend`] runs each, [`output`] prints what comes. Line editing is in
//! [`interactive`], the dot commands in [`commands`]. The shell never creates a file and binds no values.

mod backend;
mod cell;
mod commands;
mod complete;
mod failure;
mod history;
mod http;
mod interactive;
mod keywords;
mod local;
pub mod output;
mod remote;
mod script;
pub mod style;
mod table;

use crate::cli::SqlArgs;
use crate::config;
use crate::interrupt::Interrupt;
use backend::Backend;
use commands::Flow;
use failure::{Failure, Refusal, line_number, pointed};
use local::Local;
use output::{Mode, Output};
use remote::Remote;
use script::{Grouping, Step};
use std::cell::RefCell;
use std::io::{IsTerminal as _, Read as _, Stdout, Write, stdin, stdout};
use std::rc::Rc;
use std::sync::Arc;
use style::Style;
use tidebase_engine::tables::Tables;
use tidebase_engine::{Error, Result};

pub fn run(args: &SqlArgs) -> Result<()> {
    let interrupt = Arc::<Interrupt>::default();
    let backend = open(args, &interrupt)?;
    let mut output = Output::new(stdout(), Style::of(&stdout()), terminal_width, Arc::clone(&interrupt));
    output.shows_time = stdout().is_terminal();
    if args.json {
        output.mode = Mode::Json;
    }
    if let Some(sql) = &args.sql {
        return Shell::new(backend, output, interrupt, false).script(sql, false);
    }
    if stdin().is_terminal() && stdout().is_terminal() {
        return converse(backend, output, interrupt);
    }
    let text = read_script()?;
    output.shows_changes = false;
    Shell::new(backend, output, interrupt, true).script(&text, true)
}

/// What a running server answers to a GET, for other commands.
pub fn fetch(url: &str, token: Option<&str>, path: &str) -> Result<String> {
    let token = token.map(ToOwned::to_owned).or_else(|| std::env::var("TIDEBASE_ADMIN_TOKEN").ok());
    let token = token.filter(|token| !token.is_empty());
    let body = Remote::new(url, token.as_deref(), Arc::default())?.get(path).map_err(|failure| match failure {
        Failure::Refused(refusal) => Error::unavailable(refusal.message),
        Failure::Interrupted | Failure::OutputClosed => Error::unavailable("It was interrupted."),
    })?;
    String::from_utf8(body.into()).map_err(|_| Error::unavailable("The answer is not UTF-8."))
}

/// The tables of a local file.
pub fn tables(path: std::path::PathBuf) -> Result<Tables> {
    Local::open(path)?.tables()
}

fn open(args: &SqlArgs, interrupt: &Arc<Interrupt>) -> Result<Backend> {
    let Some(url) = &args.place.url else {
        return Ok(Backend::Local(Local::open(config::database(args.place.db.as_ref())?)?));
    };
    let token = args
        .place
        .token
        .clone()
        .or_else(|| std::env::var("TIDEBASE_ADMIN_TOKEN").ok())
        .filter(|token| !token.is_empty());
    Ok(Backend::Remote(Remote::new(url, token.as_deref(), Arc::clone(interrupt))?))
}

fn converse(mut backend: Backend, output: Output<Stdout>, interrupt: Arc<Interrupt>) -> Result<()> {
    match &backend {
        Backend::Local(local) => {
            let handle = local.interrupt_handle();
            interrupt.listen(move || handle.interrupt())?;
        }
        Backend::Remote(_) => interrupt.listen(|| {})?,
    }
    // A wrong address or token is better told before the greeting than after the first statement.
    match backend.ask("SELECT 1", None) {
        Err(Failure::Refused(refusal)) => return Err(Error::unavailable(refusal.message)),
        Err(_) => return Ok(()),
        Ok(_) => {}
    }
    interactive::run(Shell::new(backend, output, interrupt, false))
}

fn read_script() -> Result<String> {
    let mut bytes = Vec::new();
    stdin()
        .lock()
        .read_to_end(&mut bytes)
        .map_err(|error| Error::invalid(format!("Standard input cannot be read: {error}.")))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = line_number(&String::from_utf8_lossy(error.as_bytes()), at);
        Error::invalid(format!("line {line}: the script is not UTF-8. Nothing was run."))
    })
}

/// Columns of the terminal that standard output is, if it is one.
fn terminal_width() -> Option<usize> {
    let out = stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// A back-end and where its results go.
struct Shell<W> {
    /// Shared with the completion of [`interactive`].
    backend: Rc<RefCell<Backend>>,
    output: Output<W>,
    interrupt: Arc<Interrupt>,
    grouping: Grouping,
}

/// A step that failed, and where its text is in the whole.
struct Failed {
    failure: Failure,
    at: usize,
    /// `at` is the mistake itself, not only the beginning of its statement.
    is_exact: bool,
}

impl<W: Write> Shell<W> {
    fn new(backend: Backend, output: Output<W>, interrupt: Arc<Interrupt>, is_script: bool) -> Self {
        let grouping = backend.grouping(is_script);
        Self { backend: Rc::new(RefCell::new(backend)), output, interrupt, grouping }
    }

    /// Runs a text to its end or to its first mistake.
    fn run(&mut self, text: &str) -> Result<Flow, Failed> {
        self.interrupt.clear();
        for step in script::steps(text, self.grouping) {
            let flow = match &step {
                Step::Command(range) => {
                    let done = commands::run(&text[range.clone()], &mut self.backend.borrow_mut(), &mut self.output);
                    done.map_err(|failure| Failed { failure, at: range.start, is_exact: false })
                }
                Step::Statements(ranges) => {
                    let statements: Vec<&str> = ranges.iter().map(|range| &text[range.clone()]).collect();
                    let done =
                        self.output.begin().and_then(|()| self.backend.borrow_mut().run(&statements, &mut self.output));
                    done.map(|()| Flow::Continue).map_err(|failure| Failed::new(failure, ranges))
                }
            };
            match flow {
                Ok(Flow::Continue) => {}
                Ok(Flow::Leave) => return Ok(Flow::Leave),
                Err(failed) => {
                    let _ = self.output.abandon();
                    return Err(failed);
                }
            }
        }
        Ok(Flow::Continue)
    }

    /// Runs a text nobody watches being typed: the first mistake is the program's.
    fn script(mut self, text: &str, names_lines: bool) -> Result<()> {
        match self.run(text) {
            Err(failed) if failed.is_output_closed() => Ok(()),
            Err(failed) => Err(Error::invalid(failed.shown(text, names_lines))),
            Ok(_) if self.backend.borrow().is_in_transaction() => {
                Err(Error::invalid("The script ended inside a transaction, without COMMIT: it was rolled back."))
            }
            Ok(_) => Ok(()),
        }
    }
}

impl Failed {
    fn new(failure: Failure, ranges: &[std::ops::Range<usize>]) -> Self {
        let (statement, offset) = match &failure {
            Failure::Refused(Refusal { statement, at, .. }) => (*statement, *at),
            _ => (0, None),
        };
        let start = ranges.get(statement).map_or(0, |range| range.start);
        Self { failure, at: start + offset.unwrap_or(0), is_exact: offset.is_some() }
    }

    fn is_interrupted(&self) -> bool {
        matches!(self.failure, Failure::Interrupted)
    }

    fn is_output_closed(&self) -> bool {
        matches!(self.failure, Failure::OutputClosed)
    }

    fn shown(&self, text: &str, names_line: bool) -> String {
        let message = match &self.failure {
            Failure::Refused(refusal) => cell::visible(&refusal.message),
            Failure::Interrupted => "interrupted".into(),
            Failure::OutputClosed => "the output is closed".into(),
        };
        let line = if names_line { format!("line {}: ", line_number(text, self.at)) } else { String::new() };
        let place = if self.is_exact { format!("\n{}", pointed(text, self.at)) } else { String::new() };
        format!("{line}{message}{place}")
    }
}
