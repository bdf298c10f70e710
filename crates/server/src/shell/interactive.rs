//! The shell on a terminal: line editing, history, completion, and the greeting.

use super::backend::Backend;
use super::commands::Flow;
use super::complete::{NAMES, Names, complete};
use super::script::is_complete;
use super::style::Style;
use super::{Shell, history};
use rustyline::completion::Completer;
use rustyline::config::{CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Editor, Helper, Highlighter, Hinter};
use std::cell::RefCell;
use std::io::{Write, stderr, stdout};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tidebase_engine::{Error, Result};

/// How long names are taken to be the same, and how long a server is waited for while someone presses Tab.
const NAMES_LIFE: Duration = Duration::from_secs(2);
const NAMES_TIME_MAX: Duration = Duration::from_secs(2);
const HISTORY_ENTRIES_MAX: usize = 10_000;

type LineEditor = Editor<Assistant, FileHistory>;

pub fn run<W: Write>(mut shell: Shell<W>) -> Result<()> {
    let cannot =
        |error: ReadlineError| Error::internal(format!("The terminal cannot be used: {error}.")).caused_by(error);
    let mut editor = editor(&shell).map_err(cannot)?;
    let style = Style::of(&stdout());
    greet(&shell, style);
    loop {
        let is_open = shell.backend.borrow().is_in_transaction();
        let prompt = if is_open { "tide*> " } else { "tide> " };
        match editor.readline(&(prompt, style.accent(prompt))) {
            Ok(entry) => {
                remember(&mut editor, &entry);
                match shell.run(&entry) {
                    Ok(Flow::Continue) => {}
                    Ok(Flow::Leave) => break,
                    Err(failed) if failed.is_output_closed() => return Ok(()),
                    // The terminal has echoed `^C` where the cursor stood.
                    Err(failed) if failed.is_interrupted() => eprintln!("\n{}", failed.shown(&entry, false)),
                    Err(failed) => eprintln!("{} {}", Style::of(&stderr()).bad("error:"), failed.shown(&entry, false)),
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(cannot(error)),
        }
    }
    if shell.backend.borrow().is_in_transaction() {
        println!("The open transaction is rolled back.");
    }
    Ok(())
}

fn greet<W: Write>(shell: &Shell<W>, style: Style) {
    let place = shell.backend.borrow().place();
    println!(
        "Tidebase {}  {place}  {}",
        env!("CARGO_PKG_VERSION"),
        style.dim(".help lists the commands, Ctrl-D leaves")
    );
}

fn editor<W: Write>(shell: &Shell<W>) -> rustyline::Result<LineEditor> {
    let config = Config::builder()
        .max_history_size(HISTORY_ENTRIES_MAX)?
        .history_ignore_dups(true)?
        // As in other shells: a line that begins with a blank is not kept.
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Assistant {
        backend: Rc::clone(&shell.backend),
        transactions_whole: matches!(*shell.backend.borrow(), Backend::Remote(_)),
        names: RefCell::new((Names::default(), None)),
    }));
    if let Some(path) = history::path() {
        // None yet, or not readable: the shell works as well without.
        let _ = editor.load_history(&path);
    }
    Ok(editor)
}

/// Written at once, so that a shell that is killed has lost nothing.
fn remember(editor: &mut LineEditor, entry: &str) {
    if entry.trim().is_empty() || !editor.add_history_entry(entry.trim_end()).unwrap_or(false) {
        return;
    }
    if let Some(path) = history::path() {
        if let Some(folder) = path.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        let _ = editor.append_history(&path);
    }
}

/// What the line editor asks while a line is being typed.
#[derive(Helper, Highlighter, Hinter)]
struct Assistant {
    backend: Rc<RefCell<Backend>>,
    transactions_whole: bool,
    names: RefCell<(Names, Option<Instant>)>,
}

impl Assistant {
    /// Asks for the names anew if those at hand are old. Without an answer the old ones serve.
    fn refresh(&self) {
        let mut names = self.names.borrow_mut();
        if names.1.is_some_and(|read| read.elapsed() < NAMES_LIFE) {
            return;
        }
        if let Ok(gathered) = self.backend.borrow_mut().ask(NAMES, Some(NAMES_TIME_MAX)) {
            names.0 = Names::new(gathered.texts());
        }
        names.1 = Some(Instant::now());
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        self.refresh();
        Ok(complete(line, at, &self.names.borrow().0))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_complete(context.input(), self.transactions_whole) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}
