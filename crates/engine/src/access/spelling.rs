//! A caller's statement spelt anew, so that SQLite can read it in no other way than we do.
//!
//! What we take for a text and SQLite for words, or the other way round, would hide SQL from [`super::translate`]. So SQLite
//! is never given what the caller wrote, but what we have read: every text and name quoted anew, without comments, and nothing
//! that is not known. Blanks stay as they are, for a column without a name is called by its text.

use super::translate::named;
use crate::error::{Error, Result};
use crate::sqlite::exclude::quoted;
use crate::sqlite::tokens::{Kind, Token, tokens};

/// # Errors
/// `invalid` for what is no token of SQL, or none of a caller's.
pub fn spelt(sql: &str) -> Result<String> {
    if sql.contains('\0') {
        return Err(Error::invalid("A statement has no NUL."));
    }
    let mut anew = String::with_capacity(sql.len() + 8);
    let mut before: Option<Token<'_>> = None;
    let mut open = 0_usize;
    for token in tokens(sql) {
        match token.kind {
            Kind::Punctuation(b'(') => open += 1,
            Kind::Punctuation(b')') => open = open.checked_sub(1).ok_or_else(unbalanced)?,
            _ => {}
        }
        if let Some(before) = before {
            blank(&mut anew, &sql[before.end()..token.at], &before, &token);
        }
        push(&mut anew, &token)?;
        before = Some(token);
    }
    if open > 0 { Err(unbalanced()) } else { Ok(anew) }
}

/// What is put around a part of the statement must hold it together.
fn unbalanced() -> Error {
    Error::invalid("syntax error: parentheses come in pairs.")
}

/// What stands between two tokens. Signs may belong together (`||`); of words and texts no two may.
fn blank(anew: &mut String, between: &str, before: &Token<'_>, next: &Token<'_>) {
    let is_plain = |byte: u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let is_sign = |token: &Token<'_>| matches!(token.kind, Kind::Punctuation(_));
    if between.bytes().all(is_plain) && !between.is_empty() {
        anew.push_str(between);
    } else if !between.is_empty() || !is_sign(before) && !is_sign(next) {
        anew.push(' ');
    }
}

fn push(anew: &mut String, token: &Token<'_>) -> Result<()> {
    let text = token.text;
    match token.kind {
        Kind::Word => anew.push_str(text),
        Kind::Quoted if is_closed(text) => anew.push_str(&quoted(&named(token))),
        Kind::Text if text.starts_with('\'') && is_closed(text) => {
            anew.push('\'');
            anew.push_str(&named(token).replace('\'', "''"));
            anew.push('\'');
        }
        Kind::Text if is_blob(text) => anew.push_str(text),
        Kind::Number if is_number(text) => anew.push_str(text),
        Kind::Variable if is_variable(text) && !token.is_macro() => anew.push_str(text),
        Kind::Punctuation(sign) if b"(),;.+-*/%=<>!|&~".contains(&sign) => anew.push(char::from(sign)),
        _ => return Err(Error::invalid(format!("unrecognized token: {text:?}"))),
    }
    Ok(())
}

/// Has it the quote that ends it? One that stands for itself stands twice.
fn is_closed(text: &str) -> bool {
    let close = match text.as_bytes()[0] {
        b'[' => b']',
        quote => quote,
    };
    let inner = &text.as_bytes()[1..];
    let quotes = inner.iter().rev().take_while(|&&byte| byte == close).count();
    // All of a run of quotes at the end: but for the last they come in pairs, unless brackets, which have none.
    if close == b']' { quotes > 0 } else { quotes % 2 == 1 }
}

fn is_blob(text: &str) -> bool {
    let digits = text.strip_prefix(['x', 'X']).and_then(|text| text.strip_prefix('\'')?.strip_suffix('\''));
    digits.is_some_and(|digits| digits.len() % 2 == 0 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Digits, a point, an exponent; or hexadecimal digits. Between digits there may be a `_`.
fn is_number(text: &str) -> bool {
    let is_run = |run: &str, is_digit: fn(&u8) -> bool| {
        run.split('_').all(|digits| !digits.is_empty() && digits.bytes().all(|byte| is_digit(&byte)))
    };
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return is_run(digits, u8::is_ascii_hexdigit);
    }
    let (number, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(number, tail)| (number, Some(tail)));
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |run: &str| run.is_empty() || is_run(run, u8::is_ascii_digit);
    let has_exponent = |tail: &str| is_run(tail.strip_prefix(['+', '-']).unwrap_or(tail), u8::is_ascii_digit);
    !(whole.is_empty() && part.is_empty()) && is_digits(whole) && is_digits(part) && exponent.is_none_or(has_exponent)
}

/// `?`, `?12`, or a name; what SQLite takes from TCL (`$a::b(c)`) is not open.
fn is_variable(text: &str) -> bool {
    let mut rest = text[1..].bytes();
    match text.as_bytes()[0] {
        b'?' => rest.all(|byte| byte.is_ascii_digit()),
        b':' | b'@' | b'$' => rest.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_spelt_as_it_is_read() {
        for (sql, expected) in [
            ("SELECT a+b,  count(*)\n\tFROM t", "SELECT a+b,  count(*)\n\tFROM t"),
            ("select [a b], `c``d`, \"e\"\"f\"", "select \"a b\", \"c`d\", \"e\"\"f\""),
            ("select 'it''s', x'00Ff'/* 'x' */--y\n,'' z", "select 'it''s', x'00Ff' ,'' z"),
            ("select'a'as\"b\"", "select 'a' as \"b\""),
            (
                "select 1<=2||'x'->>'$.a', - -1, 1.e5, .5_0, 0x1F, 1_000",
                "select 1<=2||'x'->>'$.a', - -1, 1.e5, .5_0, 0x1F, 1_000",
            ),
            ("select \u{b}?,?1,:a,@b,$c_1", "select ?,?1,:a,@b,$c_1"),
            ("\u{feff}select 'é'", "select 'é'"),
        ] {
            assert_eq!(spelt(sql).unwrap_or_default(), expected, "{sql}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for sql in [
            "(", ")", ")(", "'a", "'a''", "\"a", "\"a\"\"", "`a", "[a", "x'0", "x'0'", "x'zz'", "1e", "1e-", "12abc",
            "0x", "0xg", "1__0", "1_", "$a(b)", "$a::b", "#1", "#", "$", "^", "{", "a\0b", "1_.5", "\u{b}a", "\\",
        ] {
            assert!(spelt(sql).is_err(), "{sql}");
        }
    }

    /// Whatever the caller writes: what SQLite is given has the tokens that we have read, and reads them as we do.
    #[test]
    fn what_is_spelt_reads_as_it_was_read() {
        let parts = [
            "'", "\"", "`", "[", "]", "--", "/*", "*/", "\n", " ", "\u{b}", "\u{c}", "x'", "0x", "1", "e", "-", ".",
            "_", "$", ":", "(", ")", "a", "é", ";", "?", "@", "||", "->", "0", "\r", "\u{feff}",
        ];
        let mut state = 1_u64;
        let mut below = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % n
        };
        let meaning = |sql: &str| tokens(sql).map(|token| (token.kind, named(&token))).collect::<Vec<_>>();
        let mut spelt_anew = 0;
        for _ in 0..200_000 {
            let sql: String = (0..=below(12)).map(|_| parts[below(parts.len())]).collect();
            let Ok(anew) = spelt(&sql) else { continue };
            spelt_anew += 1;
            assert_eq!(meaning(&anew), meaning(&sql), "{sql:?} {anew:?}");
            // Texts out, and then nothing is left that could begin another or a comment.
            let mut bare = String::new();
            let mut rest = &*anew;
            while let Some(at) = rest.find(['\'', '"']) {
                let quote = &rest[at..=at];
                bare.push_str(&rest[..at]);
                bare.push('T');
                let mut end = at + 1;
                loop {
                    end += rest[end..].find(quote).expect("a text is closed") + 1;
                    if !rest[end..].starts_with(quote) {
                        break;
                    }
                    end += 1;
                }
                rest = &rest[end..];
            }
            bare.push_str(rest);
            assert!(!["--", "/*", "`", "[", "]", "\0"].iter().any(|mark| bare.contains(mark)), "{sql:?} {anew:?}");
        }
        assert!(spelt_anew > 5_000);
    }
}
