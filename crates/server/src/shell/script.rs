//! Text as typed, piped or given as an argument: its statements and dot commands, and what of it goes together.

use std::ops::Range;
use tidebase_engine::sqlite::tokens::{self, Class, Kind, Token};

/// What is given to a back-end, or done by the shell itself, at one time. Byte ranges of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Command(Range<usize>),
    Statements(Vec<Range<usize>>),
}

/// Which statements go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// One by one: a local connection keeps a transaction open between them.
    Each,
    /// One by one, but BEGIN … COMMIT together: over HTTP a transaction is one request.
    Transactions,
    /// All statements between two dot commands.
    Together,
}

/// The steps of a text. A dot command stands where a statement would begin and takes its line.
pub fn steps(text: &str, grouping: Grouping) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_open = false;
    for piece in pieces(text) {
        let range = match piece {
            Step::Command(_) => {
                is_open = false;
                steps.push(piece);
                continue;
            }
            Step::Statements(mut ranges) => ranges.remove(0),
        };
        let joins = is_open || grouping == Grouping::Together;
        is_open = grouping == Grouping::Transactions && stays_open(is_open, &text[range.clone()]);
        match steps.last_mut() {
            Some(Step::Statements(ranges)) if joins => ranges.push(range),
            _ => steps.push(Step::Statements(vec![range])),
        }
    }
    steps
}

/// Each command and each statement as a step of its own.
fn pieces(text: &str) -> Vec<Step> {
    let mut pieces = Vec::new();
    let mut from = 0;
    'rest: loop {
        for range in tokens::statements(&text[from..]) {
            let range = from + range.start..from + range.end;
            if text[range.clone()].starts_with('.') {
                let end = text[range.start..].find('\n').map_or(text.len(), |newline| range.start + newline);
                pieces.push(Step::Command(range.start..end));
                // What follows was split as if the command's line were SQL.
                from = end;
                continue 'rest;
            }
            pieces.push(if is_bare_command(&text[range.clone()]) {
                Step::Command(range)
            } else {
                Step::Statements(vec![range])
            });
        }
        return pieces;
    }
}

/// What people type who do not know the dot yet, or want to leave.
fn is_bare_command(statement: &str) -> bool {
    ["exit", "quit", "help"].iter().any(|word| statement.eq_ignore_ascii_case(word))
}

fn is_rollback(statement: &str) -> bool {
    let mut words = tokens::tokens(statement);
    words.next().is_some_and(|token| token.is("rollback")) && !words.any(|token| token.is("to"))
}

/// Is a transaction open after this statement?
fn stays_open(is_open: bool, statement: &str) -> bool {
    match tokens::class(statement) {
        Class::Begin => true,
        Class::Commit => false,
        _ => is_open && !is_rollback(statement),
    }
}

/// Has the whole entry been typed? `transactions_whole`: an entry that begins a transaction also ends it.
pub fn is_complete(text: &str, transactions_whole: bool) -> bool {
    let grouping = if transactions_whole { Grouping::Transactions } else { Grouping::Each };
    match steps(text, grouping).last() {
        Some(Step::Statements(ranges)) => {
            let end = ranges.last().map_or(0, |range| range.end);
            let is_ended = tokens::tokens(&text[end..]).any(|token| token.is_punctuation(b';'));
            let is_open = ranges.iter().fold(false, |is_open, range| stays_open(is_open, &text[range.clone()]));
            is_ended && !(transactions_whole && is_open)
        }
        Some(Step::Command(_)) | None => true,
    }
}

/// Does it insert, update or delete, so that the number of its rows is worth telling?
pub fn changes_rows(statement: &str) -> bool {
    let is_change = |token: &Token<'_>| ["insert", "update", "delete", "replace"].iter().any(|word| token.is(word));
    let mut words = tokens::tokens(statement);
    let Some(first) = words.next() else { return false };
    if !first.is("with") {
        return is_change(&first);
    }
    let mut depth = 0_i32;
    for token in words {
        match token.kind {
            Kind::Punctuation(b'(') => depth += 1,
            Kind::Punctuation(b')') => depth -= 1,
            Kind::Word if depth == 0 && (token.is("select") || token.is("values")) => return false,
            Kind::Word if depth == 0 && is_change(&token) => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `.command` or `statement + statement`, steps between slashes.
    fn split(text: &str, grouping: Grouping) -> String {
        let shown = steps(text, grouping).into_iter().map(|step| match step {
            Step::Command(range) => format!("[{}]", &text[range]),
            Step::Statements(ranges) => {
                ranges.into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>().join(" + ")
            }
        });
        shown.collect::<Vec<_>>().join(" / ")
    }

    #[test]
    fn a_text_is_cut_into_statements_and_commands() {
        for (text, expected) in [
            ("", ""),
            ("-- nothing\n;;", ""),
            ("select 1; select 2", "select 1 / select 2"),
            (
                ".tables\nselect 1;\n  .schema o'clock\nselect ';';",
                "[.tables] / select 1 / [.schema o'clock] / select ';'",
            ),
            ("select 1\n.tables", "select 1\n.tables"),
            ("select 'a\n.tables\n'; .help", "select 'a\n.tables\n' / [.help]"),
            ("exit", "[exit]"),
            ("Quit;", "[Quit]"),
            ("select 1 as exit", "select 1 as exit"),
        ] {
            assert_eq!(split(text, Grouping::Each), expected, "{text}");
        }
    }

    #[test]
    fn what_goes_together_is_asked_for() {
        let text = "select 1; begin; insert into t values(1); commit; .mode json\nselect 2; begin; delete from t";
        for (grouping, expected) in [
            (
                Grouping::Each,
                "select 1 / begin / insert into t values(1) / commit / [.mode json] / select 2 / begin / delete from t",
            ),
            (
                Grouping::Transactions,
                "select 1 / begin + insert into t values(1) + commit / [.mode json] / select 2 / begin + delete from t",
            ),
            (
                Grouping::Together,
                "select 1 + begin + insert into t values(1) + commit / [.mode json] / select 2 + begin + delete from t",
            ),
        ] {
            assert_eq!(split(text, grouping), expected);
        }
    }

    #[test]
    fn an_entry_ends_at_its_semicolon() {
        for (text, local, remote) in [
            ("", true, true),
            ("-- only a comment", true, true),
            ("select 1", false, false),
            ("select 1;", true, true),
            ("select 1; -- why", true, true),
            ("select ';", false, false),
            ("select 1; select 2", false, false),
            (".tables", true, true),
            ("quit", true, true),
            ("create trigger t after insert on a begin delete from b;", false, false),
            ("create trigger t after insert on a begin delete from b; end;", true, true),
            ("begin;", true, false),
            ("begin; insert into t values(1);", true, false),
            ("begin; insert into t values(1); savepoint a; rollback to a;", true, false),
            ("begin; insert into t values(1); commit;", true, true),
            ("begin; insert into t values(1); rollback;", true, true),
            ("begin; insert into t values(1); end", false, false),
        ] {
            assert_eq!((is_complete(text, false), is_complete(text, true)), (local, remote), "{text}");
        }
    }

    #[test]
    fn statements_that_change_rows_are_known() {
        for (text, expected) in [
            ("insert into t values(1)", true),
            ("/* so */ DELETE FROM t", true),
            ("with a as (select 1) update t set b = 2", true),
            ("with a as (insert) select 1", false),
            ("with a as (select 1) select replace(b, 'c', 'd') from a", false),
            ("select 1", false),
            ("create table t(a)", false),
            ("", false),
        ] {
            assert_eq!(changes_rows(text), expected, "{text}");
        }
    }
}
