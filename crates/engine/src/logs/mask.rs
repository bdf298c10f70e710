//! SQL as it may stand in a log: without comments, and without the texts and numbers that somebody has written into it.

use super::audit::start;
use crate::sqlite::exclude::unquoted;
use crate::sqlite::tokens::{Kind, tokens};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Where they are sizes, as in `varchar(20)`.
    Shown,
    Hidden,
}

/// At most so many bytes of it. SQLite takes `"x"` for a text where no column is called so: it is shown only if it is a
/// name.
pub fn masked(sql: &str, numbers: Numbers, bytes_max: usize, is_name: &dyn Fn(&str) -> bool) -> String {
    let mut text = String::new();
    let mut end = 0;
    for token in tokens(sql) {
        if text.len() > bytes_max {
            break;
        }
        if !text.is_empty() && token.at > end {
            text.push(' ');
        }
        end = token.end();
        match token.kind {
            Kind::Text => text.push_str("'…'"),
            Kind::Number if numbers == Numbers::Hidden => text.push('?'),
            Kind::Quoted if !is_name(&unquoted(token.text)) => text.push_str("\"…\""),
            _ => text.push_str(token.text),
        }
    }
    if text.len() > bytes_max {
        text.truncate(start(&text, bytes_max).len());
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_wrote_into_the_sql_is_not_shown() {
        let is_name = |name: &str| name == "person";
        for (sql, expected) in [
            ("SELECT *\n  FROM person -- hunter2\n WHERE pin=1234", "SELECT * FROM person WHERE pin=?"),
            ("select x'00ff', 'it''s', 1.5e-3, :name, ?1", "select '…', '…', ?, :name, ?1"),
            (
                "SELECT \"person\".a /* secret */ FROM [person] WHERE b = \"hunter2\"",
                "SELECT \"person\".a FROM [person] WHERE b = \"…\"",
            ),
            ("select 'unterminated secret", "select '…'"),
        ] {
            assert_eq!(masked(sql, Numbers::Hidden, 1000, &is_name), expected);
        }
        assert_eq!(masked("SELECT a1234567", Numbers::Hidden, 10, &is_name), "SELECT a12…");
        assert_eq!(
            masked("CREATE TABLE t (a varchar(20))", Numbers::Shown, 99, &is_name),
            "CREATE TABLE t (a varchar(20))"
        );
    }
}
