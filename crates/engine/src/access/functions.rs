//! Which functions a caller's own SQL may call, and which of them cannot fail whatever row they are given.
//!
//! A function that fails for some values would tell of rows that a policy hides, if it were tried on them before the
//! policy is. So where a statement calls nothing but *safe* functions it runs on plain views, which SQLite merges with it;
//! otherwise on views behind a barrier. The idea is PostgreSQL's (LEAKPROOF, security barrier views).

use super::translate::named;
use crate::error::{Error, Result};
use crate::sqlite::tokens::{Kind, Token};

/// Cannot fail, nor grow a value.
const SAFE: &[&str] = &[
    "auth_claim",
    "auth_role",
    "auth_uid",
    "avg",
    "cast",
    "ceil",
    "ceiling",
    "coalesce",
    "count",
    "cume_dist",
    "date",
    "datetime",
    "dense_rank",
    "first_value",
    "floor",
    "glob",
    "if",
    "ifnull",
    "iif",
    "instr",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "likelihood",
    "likely",
    "lower",
    "ltrim",
    "max",
    "min",
    "nullif",
    "octet_length",
    "percent_rank",
    "rank",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "substr",
    "substring",
    "time",
    "timediff",
    "total",
    "trim",
    "trunc",
    "typeof",
    "unicode",
    "unixepoch",
    "unlikely",
    "upper",
    "mod",
    "pi",
    "sqrt",
    "ln",
    "degrees",
    "radians",
];

/// May fail for some values, or make large ones of small.
const OTHERS: &[&str] = &[
    "->",
    "->>",
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bm25",
    "char",
    "concat",
    "concat_ws",
    "cos",
    "cosh",
    "exp",
    "format",
    "group_concat",
    "hex",
    "highlight",
    "json",
    "json_array",
    "json_array_length",
    "json_error_position",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_type",
    "json_valid",
    "strftime",
    "jsonb",
    "jsonb_array",
    "jsonb_extract",
    "jsonb_group_array",
    "jsonb_group_object",
    "jsonb_insert",
    "jsonb_object",
    "jsonb_remove",
    "jsonb_replace",
    "jsonb_set",
    "log",
    "log10",
    "log2",
    "match",
    "nth_value",
    "ntile",
    "pow",
    "power",
    "printf",
    "quote",
    "random",
    "replace",
    "sin",
    "snippet",
    "string_agg",
    "sum",
];

/// Functions that stand where a table could.
pub const TABLES: &[&str] = &["json_each", "json_tree", "jsonb_each", "jsonb_tree"];

/// More that callers may use, each for a reason of its own.
const PLAIN: &[&str] = &[
    "changes",
    "cot",
    "current_date",
    "current_time",
    "current_timestamp",
    "last_insert_rowid",
    "randomblob",
    "sinh",
    "subtype",
    "tan",
    "tanh",
    "unhex",
];

/// Take more than linear time, or make more, within one step of SQLite's machine, which no budget interrupts: a patch looks for each
/// of its names among all of the document's, and what is written prettily may be indented a thousand deep. With what serves instead.
const UNBOUNDED: &[(&str, &str)] = &[
    ("json_patch", "json_set and json_remove change single fields"),
    ("json_pretty", "JSON is laid out where it is shown"),
    ("jsonb_patch", "jsonb_set and jsonb_remove change single fields"),
];

/// The same for many paths at once, each of which is looked for in all of the document: their number, and the arguments that go with
/// one path.
const BY_PATHS: &[(&str, usize)] = &[
    ("json_extract", 1),
    ("json_insert", 2),
    ("json_remove", 1),
    ("json_replace", 2),
    ("json_set", 2),
    ("jsonb_extract", 1),
    ("jsonb_insert", 2),
    ("jsonb_remove", 1),
    ("jsonb_replace", 2),
    ("jsonb_set", 2),
];

/// Paths of one call by a caller.
pub const PATHS_MAX: usize = 32;

/// Can it not fail, whatever it is given? The name is in lower case.
pub fn is_safe(name: &str) -> bool {
    SAFE.contains(&name)
}

/// May a caller's own SQL call it? The name is in lower case.
pub fn is_allowed(name: &str) -> bool {
    SAFE.contains(&name) || OTHERS.contains(&name) || PLAIN.contains(&name)
}

/// Why a caller may not call it.
pub fn refusal(name: &str) -> String {
    let instead = UNBOUNDED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    match instead {
        Some((_, instead)) => {
            format!("The function {name} is not open to you, for nothing bounds the time it takes: {instead}.")
        }
        None => format!("The function {name} is not available."),
    }
}

/// # Errors
/// `too_large` for a call with more paths into a document than [`PATHS_MAX`].
pub fn check_paths(text: &[Token<'_>]) -> Result<()> {
    // For each parenthesis that is open: the commas in it, and how many there may be.
    let mut calls = Vec::new();
    for (index, token) in text.iter().enumerate() {
        match token.kind {
            Kind::Punctuation(b'(') => {
                let name = index.checked_sub(1).map(|before| named(&text[before])).unwrap_or_default();
                let known = BY_PATHS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
                calls.push((0, known.map(|(_, arguments)| arguments * PATHS_MAX), name));
            }
            Kind::Punctuation(b')') => drop(calls.pop()),
            Kind::Punctuation(b',') => {
                let Some((commas, commas_max, name)) = calls.last_mut() else { continue };
                *commas += 1;
                if commas_max.is_some_and(|most| *commas > most) {
                    return Err(Error::too_large(format!(
                        "One call of {name} may have {PATHS_MAX} paths; several calls may have more."
                    )));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Words that may stand before a parenthesis and are no functions.
const WORDS: &[&str] = &[
    "all",
    "and",
    "as",
    "between",
    "by",
    "case",
    "conflict",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "filter",
    "from",
    "having",
    "in",
    "intersect",
    "is",
    "isnull",
    "join",
    "limit",
    "materialized",
    "not",
    "notnull",
    "offset",
    "on",
    "or",
    "over",
    "partition",
    "returning",
    "select",
    "set",
    "then",
    "union",
    "using",
    "values",
    "when",
    "where",
    "with",
];

/// Bytes of a pattern that SQLite takes: SQLITE_MAX_LIKE_PATTERN_LENGTH.
pub const PATTERN_BYTES_MAX: usize = 50_000;

/// Can the statement fail on a row, or take long over it, in a way that depends on what is in the row?
pub fn may_tell(text: &[Token<'_>]) -> bool {
    let is_word = |token: &Token<'_>, words: &[&str]| words.iter().any(|word| token.is(word));
    // At the top of a SELECT they are of seen rows only; anywhere else they may hang on a row that is not.
    let selects = text.iter().filter(|token| token.is("select")).count();
    let is_plain_select = selects < 2 && text.first().is_some_and(|first| first.is("select"));
    has_wide_query(text)
        || text.iter().enumerate().any(|(index, token)| {
            let next = text.get(index + 1);
            let is_called = next.is_some_and(|next| next.is_punctuation(b'('));
            match token.kind {
                Kind::Word if is_word(token, &["match", "regexp", "escape", "raise"]) => true,
                // It may take as long as it likes.
                Kind::Word if token.is("recursive") => true,
                // The word may be left out.
                Kind::Word if token.is("with") => text.iter().any(|token| token.is("union")),
                // They may be no whole number.
                Kind::Word if is_word(token, &["limit", "offset"]) => !is_plain_select,
                // Their pattern may be too complex; a plain one is the caller's own.
                Kind::Word if is_word(token, &["like", "glob"]) => {
                    let is_plain = |next: &Token<'_>| {
                        next.kind == Kind::Variable || next.kind == Kind::Text && next.text.len() <= PATTERN_BYTES_MAX
                    };
                    !next.is_some_and(is_plain) || is_joined(text, index + 2)
                }
                Kind::Word if is_called => {
                    let is_top_sum = token.is("sum") && is_plain_select;
                    !(is_word(token, SAFE) || is_word(token, WORDS) || is_top_sum || is_named_list(text, index))
                }
                Kind::Quoted | Kind::Text if is_called => !is_named_list(text, index),
                // An offset of a frame may be no number.
                Kind::Word if is_word(token, &["preceding", "following"]) => !is_plain_select,
                // || may grow a value past what SQLite keeps; -> and ->> fail for what is no JSON.
                Kind::Punctuation(b'|') => next.is_some_and(|next| next.is_punctuation(b'|') && next.at == token.end()),
                Kind::Punctuation(b'-') => next.is_some_and(|next| next.is_punctuation(b'>') && next.at == token.end()),
                _ => false,
            }
        })
}

/// Is there a sub-query that joins, or has one of its own? It may take as long as it likes over few rows.
fn has_wide_query(text: &[Token<'_>]) -> bool {
    // For each parenthesis that is open: is it a query, and is its FROM being read?
    let mut levels = vec![(false, false)];
    for (index, token) in text.iter().enumerate() {
        let queries = levels.iter().filter(|(is_query, _)| *is_query).count();
        let last = levels.len() - 1;
        match token.kind {
            Kind::Punctuation(b'(') => {
                let is_query = text.get(index + 1).is_some_and(|next| next.is_any(&["select", "values", "with"]));
                if is_query && queries > 0 {
                    return true;
                }
                levels.push((is_query, false));
            }
            Kind::Punctuation(b')') if last > 0 => drop(levels.pop()),
            Kind::Punctuation(b',') if queries > 0 && levels[last].1 => return true,
            Kind::Word if token.is("join") && queries > 0 => return true,
            Kind::Word if token.is("from") => levels[last].1 = true,
            Kind::Word
                if token.is_any(&["where", "group", "having", "order", "limit", "union", "except", "intersect"]) =>
            {
                levels[last].1 = false;
            }
            _ => {}
        }
    }
    false
}

/// Is the parenthesis behind this name the list of a table's or a CTE's columns?
fn is_named_list(text: &[Token<'_>], index: usize) -> bool {
    index > 0 && ["into", "with", "recursive"].iter().any(|word| text[index - 1].is(word))
}

/// Does the pattern go on, so that it may be made of a row's values?
fn is_joined(text: &[Token<'_>], at: usize) -> bool {
    text.get(at).is_some_and(|token| {
        matches!(token.kind, Kind::Punctuation(b'|' | b'-' | b'+' | b'*' | b'/' | b'%' | b'&' | b'<' | b'>'))
            || token.is("collate")
    })
}
