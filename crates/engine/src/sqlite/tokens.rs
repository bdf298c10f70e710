//! SQL text as a row of tokens: enough to split a script, to see what kind of statement each is, and to find the
//! outermost ORDER BY. No grammar: whether a statement is valid, and what it touches, SQLite alone decides.

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An identifier or keyword without quotes.
    Word,
    /// `"x"`, `` `x` `` or `[x]`.
    Quoted,
    /// `'x'` or `x'00'`.
    Text,
    Number,
    /// `?`, `?1`, `:a`, `@a`, `$a`.
    Variable,
    /// One punctuation character.
    Punctuation(u8),
}

#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Byte offset of `text` in the SQL.
    pub at: usize,
}

impl Token<'_> {
    pub fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }
    pub fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }
    /// The one that is written out before SQLite sees it.
    pub fn is_macro(&self) -> bool {
        self.kind == Kind::Variable && self.text.eq_ignore_ascii_case("$_exclude")
    }
    pub fn is_punctuation(&self, byte: u8) -> bool {
        self.kind == Kind::Punctuation(byte)
    }
    pub fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

/// The tokens of `sql`, comments and white space left out. An unterminated string runs to the end.
pub fn tokens(sql: &str) -> impl Iterator<Item = Token<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at = skip_blank(sql.as_bytes(), at);
        let (kind, end) = scan(sql.as_bytes(), at)?;
        let token = Token { kind, text: &sql[at..end], at };
        at = end;
        Some(token)
    })
}

fn skip_blank(sql: &[u8], mut at: usize) -> usize {
    let mut is_in_blanks = false;
    loop {
        match sql.get(at) {
            // A vertical tab is blank to SQLite only behind a blank.
            Some(b'\x0b') if is_in_blanks => at += 1,
            Some(b' ' | b'\t' | b'\n' | b'\r' | b'\x0c') => {
                is_in_blanks = true;
                at += 1;
                continue;
            }
            Some(b'-') if sql.get(at + 1) == Some(&b'-') => {
                at = sql[at..].iter().position(|&b| b == b'\n').map_or(sql.len(), |n| at + n + 1);
            }
            Some(b'/') if sql.get(at + 1) == Some(&b'*') => {
                let close = sql[at + 2..].windows(2).position(|pair| pair == b"*/");
                at = close.map_or(sql.len(), |n| at + 2 + n + 2);
            }
            // A byte order mark before the first statement is white space to SQLite's shell, and to us.
            Some(0xef) if sql[at..].starts_with(b"\xef\xbb\xbf") => at += 3,
            _ => return at,
        }
        is_in_blanks = is_in_blanks && sql[at - 1] == b'\x0b';
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn word_end(sql: &[u8], from: usize) -> usize {
    sql[from..].iter().position(|&b| !is_word(b)).map_or(sql.len(), |n| from + n)
}

/// The end of a quoted run whose closing quote is doubled to stand for itself.
fn quoted_end(sql: &[u8], open: usize, quote: u8) -> usize {
    let mut at = open + 1;
    while let Some(&byte) = sql.get(at) {
        at += 1;
        if byte == quote {
            if quote != b']' && sql.get(at) == Some(&quote) {
                at += 1;
            } else {
                return at;
            }
        }
    }
    sql.len()
}

fn scan(sql: &[u8], at: usize) -> Option<(Kind, usize)> {
    let byte = *sql.get(at)?;
    Some(match byte {
        b'\'' => (Kind::Text, quoted_end(sql, at, b'\'')),
        b'x' | b'X' if sql.get(at + 1) == Some(&b'\'') => (Kind::Text, blob_end(sql, at + 1)),
        b'"' | b'`' => (Kind::Quoted, quoted_end(sql, at, byte)),
        b'[' => (Kind::Quoted, quoted_end(sql, at, b']')),
        b'?' => {
            let digits = sql[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            (Kind::Variable, at + 1 + digits)
        }
        b':' | b'@' | b'$' | b'#' => match variable_end(sql, at) {
            Some(end) => (Kind::Variable, end),
            None => (Kind::Punctuation(byte), at + 1),
        },
        b'0'..=b'9' => (Kind::Number, number_end(sql, at)),
        b'.' if sql.get(at + 1).is_some_and(u8::is_ascii_digit) => (Kind::Number, number_end(sql, at)),
        _ if is_word(byte) => (Kind::Word, word_end(sql, at)),
        _ => (Kind::Punctuation(byte), at + 1),
    })
}

/// As SQLite ends it, to the byte: what is read as a number here and as something else there could hide SQL. Letters behind it
/// belong to it, and are an error there.
fn number_end(sql: &[u8], from: usize) -> usize {
    let run = |at: usize, is_part: fn(&u8) -> bool| {
        sql[at..].iter().position(|byte| !(is_part(byte) || *byte == b'_')).map_or(sql.len(), |n| at + n)
    };
    let is_digit = |at: usize| sql.get(at).is_some_and(u8::is_ascii_digit);
    if sql[from] == b'0'
        && matches!(sql.get(from + 1), Some(b'x' | b'X'))
        && sql.get(from + 2).is_some_and(u8::is_ascii_hexdigit)
    {
        return word_end(sql, run(from + 2, u8::is_ascii_hexdigit));
    }
    let mut at = run(from, u8::is_ascii_digit);
    if sql.get(at) == Some(&b'.') {
        at = run(at + 1, u8::is_ascii_digit);
    }
    if matches!(sql.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(sql.get(at + 1), Some(b'+' | b'-')));
        if is_digit(at + 1 + sign) {
            at = run(at + 1 + sign, u8::is_ascii_digit);
        }
    }
    word_end(sql, at)
}

/// A name, `::` within it, and what SQLite takes from TCL: anything without blanks in parentheses behind it.
fn variable_end(sql: &[u8], from: usize) -> Option<usize> {
    let (mut at, mut letters) = (from + 1, 0);
    loop {
        match sql.get(at) {
            Some(&byte) if is_word(byte) => letters += 1,
            // A macro of ours, which SQLite never sees.
            Some(b'(') if sql[from..at].eq_ignore_ascii_case(b"$_exclude") => break,
            Some(b'(') if letters > 0 => {
                let inside = |byte: &u8| !(byte.is_ascii_whitespace() || matches!(byte, b'\x0b' | b')'));
                at = sql[at + 1..].iter().position(|byte| !inside(byte)).map_or(sql.len(), |n| at + 1 + n);
                at += usize::from(sql.get(at) == Some(&b')'));
                break;
            }
            Some(b':') if sql.get(at + 1) == Some(&b':') => at += 1,
            _ => break,
        }
        at += 1;
    }
    (letters > 0).then_some(at)
}

/// A BLOB ends at the first quote.
fn blob_end(sql: &[u8], open: usize) -> usize {
    sql[open + 1..].iter().position(|&byte| byte == b'\'').map_or(sql.len(), |n| open + 1 + n + 1)
}

/// The first token at or behind a place: its kind, where it begins and ends. None if there is none.
pub fn token_from(sql: &[u8], at: usize) -> (usize, Option<(Kind, usize)>) {
    let at = skip_blank(sql, at);
    (at, scan(sql, at))
}

/// Follows the tokens of a script to where its statements end: at a semicolon, and a `CREATE TRIGGER` at the one after its `END`, as in
/// SQLite's own `sqlite3_complete`.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "what the tokens so far have been, one by one")]
pub struct Boundary {
    words: usize,
    creates: bool,
    is_trigger: bool,
    /// Inside a trigger's body, `CASE … END` must not be taken for the body's END: only `; END` closes it.
    is_after_semicolon: bool,
    is_after_end: bool,
}

impl Boundary {
    /// Is this token, the next one, the semicolon that ends the statement?
    pub fn is_end(&mut self, kind: Kind, text: &[u8]) -> bool {
        let is = |keyword: &str| kind == Kind::Word && text.eq_ignore_ascii_case(keyword.as_bytes());
        let is_semicolon = kind == Kind::Punctuation(b';');
        if is_semicolon && (!self.is_trigger || self.is_after_end) {
            *self = Self::default();
            return true;
        }
        if self.words == 0 {
            self.creates = is("create");
        } else if self.creates && self.words <= 2 && is("trigger") {
            self.is_trigger = true;
        }
        // EXPLAIN before CREATE TRIGGER counts as nothing.
        if !(self.words == 0 && is("explain")) {
            self.words += 1;
        }
        self.is_after_end = self.is_trigger && self.is_after_semicolon && is("end");
        self.is_after_semicolon = is_semicolon;
        false
    }
}

/// The statements of a script: byte ranges without the semicolon, empty ones left out.
pub fn statements(sql: &str) -> Vec<Range<usize>> {
    let (mut found, mut start, mut end) = (Vec::new(), None, 0);
    let mut boundary = Boundary::default();
    for token in tokens(sql) {
        if boundary.is_end(token.kind, token.text.as_bytes()) {
            found.extend(start.take().map(|start| start..end));
        } else {
            start.get_or_insert(token.at);
            end = token.end();
        }
    }
    found.extend(start.map(|start| start..end));
    found
}

/// The first of these words from a token on, outside of parentheses.
pub fn find(text: &[Token<'_>], from: usize, words: &[&str]) -> Option<usize> {
    let mut depth = 0_i32;
    (from..text.len()).find(|&at| {
        match text[at].kind {
            Kind::Punctuation(b'(') => depth += 1,
            Kind::Punctuation(b')') => depth -= 1,
            _ => {}
        }
        depth == 0 && text[at].is_any(words)
    })
}

/// What a statement's first word says about where it must run. `EXPLAIN` counts as reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// May turn out to be reading only (SELECT, VALUES, WITH, EXPLAIN, PRAGMA).
    Reads,
    /// INSERT, UPDATE, DELETE, REPLACE, and whatever SQLite will refuse.
    Writes,
    /// Changes the schema: has a group commit of its own.
    Schema,
    /// Must run outside any transaction.
    Alone,
    /// BEGIN or COMMIT: understood and ignored at the ends of a script, refused elsewhere.
    Begin,
    Commit,
}

pub fn class(statement: &str) -> Class {
    let mut words = tokens(statement);
    let Some(first) = words.next() else { return Class::Reads };
    let is_any = |set: &[&str]| set.iter().any(|keyword| first.is(keyword));
    if is_any(&["select", "values", "with", "explain"]) {
        Class::Reads
    } else if first.is("pragma") {
        pragma_class(words)
    } else if is_any(&["create", "drop", "alter", "reindex", "analyze"]) {
        Class::Schema
    } else if first.is("vacuum") {
        Class::Alone
    } else if first.is("begin") {
        Class::Begin
    } else if is_any(&["commit", "end"]) {
        Class::Commit
    } else {
        Class::Writes
    }
}

/// `PRAGMA x` reads; `PRAGMA x = 1` writes when x is one that may be set; a few must run alone.
fn pragma_class<'a>(mut words: impl Iterator<Item = Token<'a>>) -> Class {
    let mut name = words.next();
    let mut next = words.next();
    if next.is_some_and(|token| token.is_punctuation(b'.')) {
        name = words.next();
        next = words.next();
    }
    let Some(name) = name else { return Class::Reads };
    if ["optimize", "incremental_vacuum"].iter().any(|alone| name.is(alone)) {
        return Class::Alone;
    }
    let settable = ["user_version", "application_id", "defer_foreign_keys"].iter().any(|word| name.is(word));
    if settable && next.is_some() { Class::Writes } else { Class::Reads }
}

/// Where the outermost ORDER BY's terms end, if there is one: the place to append tie-breakers.
/// Sub-queries, window definitions and CTEs stand in parentheses, so depth 0 has only the outermost.
pub fn order_by_end(statement: &str) -> Option<usize> {
    let mut depth = 0_i32;
    let mut previous_is_order = false;
    let mut in_order = false;
    let mut end = 0;
    for token in tokens(statement) {
        match token.kind {
            Kind::Punctuation(b'(') => depth += 1,
            Kind::Punctuation(b')') => depth -= 1,
            _ if depth == 0 && token.is("limit") && in_order => return Some(end),
            _ if depth == 0 && token.is("by") && previous_is_order => in_order = true,
            _ => {}
        }
        previous_is_order = depth == 0 && token.is("order");
        end = token.end();
    }
    in_order.then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(sql: &str) -> Vec<&str> {
        statements(sql).into_iter().map(|range| &sql[range]).collect()
    }

    #[test]
    fn a_script_is_split_where_sqlite_would_split_it() {
        for (sql, expected) in [
            ("select 1", vec!["select 1"]),
            (" ; ;; ", vec![]),
            ("-- only; a comment", vec![]),
            ("select 'a;\n''b'; select \"x;\"; select [;]", vec!["select 'a;\n''b'", "select \"x;\"", "select [;]"]),
            ("select 1 /* ; */ + 1; -- end", vec!["select 1 /* ; */ + 1"]),
            (
                "create trigger t after insert on a begin update a set b=case when 1 then 2 end; delete from c; end; select 1",
                vec![
                    "create trigger t after insert on a begin update a set b=case when 1 then 2 end; delete from c; end",
                    "select 1",
                ],
            ),
            (
                "create temp trigger t after insert on a begin select 1; end",
                vec!["create temp trigger t after insert on a begin select 1; end"],
            ),
            (
                "create table trigger_log(a); insert into trigger_log values(1)",
                vec!["create table trigger_log(a)", "insert into trigger_log values(1)"],
            ),
            ("select 'unterminated; ", vec!["select 'unterminated; "]),
        ] {
            assert_eq!(split(sql), expected, "{sql}");
        }
    }

    #[test]
    fn the_first_word_says_where_a_statement_runs() {
        for (sql, expected) in [
            ("/* hi */ SELECT 1", Class::Reads),
            ("with a as (select 1) delete from t", Class::Reads),
            ("pragma table_info(t)", Class::Reads),
            ("pragma user_version", Class::Reads),
            ("pragma main.user_version = 3", Class::Writes),
            ("pragma optimize", Class::Alone),
            ("vacuum", Class::Alone),
            ("insert into t values(1)", Class::Writes),
            ("create table t(a)", Class::Schema),
            ("begin immediate", Class::Begin),
            ("end", Class::Commit),
            ("nonsense", Class::Writes),
        ] {
            assert_eq!(class(sql), expected, "{sql}");
        }
    }

    #[test]
    fn the_outermost_order_by_is_found_and_no_other() {
        for (sql, expected) in [
            ("select a from t order by a desc limit 3", Some("select a from t order by a desc")),
            ("select a from t order by a -- why", Some("select a from t order by a")),
            ("select a from (select a from t order by a) limit 3", None),
            ("select row_number() over (order by a) from t", None),
            (
                "with x as (select 1 order by 1) select * from x order by 1",
                Some("with x as (select 1 order by 1) select * from x order by 1"),
            ),
            (
                "select (select b from u order by b limit 1) from t order by (select 1 limit 1), 2 limit 2",
                Some("select (select b from u order by b limit 1) from t order by (select 1 limit 1), 2"),
            ),
        ] {
            assert_eq!(order_by_end(sql).map(|end| &sql[..end]), expected, "{sql}");
        }
    }

    #[test]
    fn tokens_end_where_sqlite_ends_them() {
        for (sql, expected) in [
            ("0xe--'\n, 1", &["0xe", ",", "1"][..]),
            ("1e-5 1e- 1.5e+3 .5 0x1F_2 12abc 1_0.5", &["1e-5", "1e", "-", "1.5e+3", ".5", "0x1F_2", "12abc", "1_0.5"]),
            ("$a('),b", &["$a(')", ",", "b"]),
            (":a(b c @x::y #1(", &[":a(b", "c", "@x::y", "#1("]),
            ("x'12''a' X'ab", &["x'12'", "'a'", "X'ab"]),
            ("abs \x0b(1) \x0b2", &["abs", "(", "1", ")", "2"]),
            ("a\x0bb", &["a", "\x0b", "b"]),
        ] {
            let found: Vec<&str> = tokens(sql).map(|token| token.text).collect();
            assert_eq!(found, expected, "{sql}");
        }
    }
}
