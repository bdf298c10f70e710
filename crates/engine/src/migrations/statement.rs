//! The statements of a migration, and what each asks for. Most are SQLite's own; a few are read here, because what they speak of is kept by
//! Tidebase: policies ([`super::policy`]) and collections of documents.

use super::file::line_at;
use super::policy::{self, Rule};
use crate::error::{Error, Result};
use crate::sqlite::exclude::unquoted;
use crate::sqlite::tokens::{Class, Kind, Token, class, statements, tokens};

/// Looked at to see what a statement is.
const WORDS: usize = 8;

/// Of a statement, in messages.
const SHOWN_CHARACTERS: usize = 80;

#[derive(Clone, Debug, PartialEq)]
pub struct Statement<'a> {
    pub sql: &'a str,
    /// In the file, counted from 1.
    pub line: usize,
    pub deed: Deed,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// SQLite's own.
    Run,
    Rule(Rule),
    /// `CREATE COLLECTION [IF NOT EXISTS] name`
    MakeCollection {
        name: String,
        may_be_there: bool,
    },
    /// `DROP COLLECTION name`: what makes it one is Tidebase's own, and stands in the way of DROP TABLE.
    DropCollection(String),
    /// `PRAGMA foreign_keys = OFF`, the first statement: references are judged at the end, as in an import.
    IgnoreReferences,
    /// `PRAGMA foreign_keys = ON` behind it, for those who write it: that is so anyway once the migration is over.
    FollowReferences,
}

impl Statement<'_> {
    /// Its beginning, on one line.
    pub fn shown(&self) -> String {
        let words = self.sql.split_whitespace().collect::<Vec<_>>().join(" ");
        match words.char_indices().nth(SHOWN_CHARACTERS) {
            Some((end, _)) => format!("{}…", &words[..end]),
            None => words,
        }
    }
}

/// All of a script that begins in this line of its file.
pub fn read(text: &str, first_line: usize) -> Result<Vec<Statement<'_>>> {
    let mut found: Vec<Statement<'_>> = Vec::new();
    let (mut line, mut counted_to) = (first_line, 0);
    for range in statements(text) {
        line += line_at(&text[counted_to..], range.start - counted_to) - 1;
        counted_to = range.start;
        let sql = &text[range];
        let is_first = found.is_empty();
        let ignores = found.first().is_some_and(|first| first.deed == Deed::IgnoreReferences);
        let deed = deed(sql, is_first, ignores).map_err(|error| {
            let shown = Statement { sql, line, deed: Deed::Run }.shown();
            Error { message: format!("line {line}, \"{shown}\": {}", error.message), ..error }
        })?;
        found.push(Statement { sql, line, deed });
    }
    Ok(found)
}

fn deed(sql: &str, is_first: bool, ignores_references: bool) -> Result<Deed> {
    let words: Vec<Token<'_>> = tokens(sql).take(WORDS).collect();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|token| token.is(word));
    if let Some(rule) = policy::read(sql)? {
        return Ok(Deed::Rule(rule));
    }
    if is(1, "collection") && is(0, "create") {
        let may_be_there = is(2, "if") && is(3, "not") && is(4, "exists");
        let name = collection(&words[if may_be_there { 5 } else { 2 }..])?;
        return Ok(Deed::MakeCollection { name, may_be_there });
    }
    if is(1, "collection") && is(0, "drop") {
        return collection(&words[2..]).map(Deed::DropCollection);
    }
    match class(sql) {
        _ if is(0, "pragma") && is(1, "foreign_keys") => references(&words, is_first, ignores_references),
        Class::Begin | Class::Commit => Err(Error::invalid(TRANSACTION)),
        _ if ["rollback", "savepoint", "release"].iter().any(|word| is(0, word)) => Err(Error::invalid(TRANSACTION)),
        Class::Alone => Err(Error::invalid(
            "VACUUM and PRAGMA optimize cannot be part of a transaction, as a migration is: run them by themselves.",
        )),
        _ if is(0, "attach") || is(0, "detach") => Err(Error::forbidden("ATTACH and DETACH are not available.")),
        _ => Ok(Deed::Run),
    }
}

const TRANSACTION: &str = "A migration is one transaction as it is: leave out BEGIN, COMMIT, ROLLBACK and SAVEPOINT.";

fn references(words: &[Token<'_>], is_first: bool, ignores_references: bool) -> Result<Deed> {
    let value = words.get(3).filter(|_| words.len() == 4 && words[2].is_punctuation(b'=')).map(|token| token.text);
    let is = |names: [&str; 3]| value.is_some_and(|value| names.iter().any(|name| value.eq_ignore_ascii_case(name)));
    match value {
        Some(_) if is(["off", "0", "false"]) && is_first => Ok(Deed::IgnoreReferences),
        Some(_) if is(["on", "1", "true"]) && ignores_references => Ok(Deed::FollowReferences),
        _ => Err(Error::invalid(
            "Of foreign_keys a migration can say one thing, in its first statement: PRAGMA foreign_keys = OFF. References are judged at its end then.",
        )),
    }
}

/// What stands behind COLLECTION.
fn collection(words: &[Token<'_>]) -> Result<String> {
    match words {
        [name] if matches!(name.kind, Kind::Word | Kind::Quoted) => Ok(unquoted(name.text)),
        _ => Err(Error::invalid(
            "It is CREATE COLLECTION [IF NOT EXISTS] \"name\" or DROP COLLECTION \"name\", and nothing behind it.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deeds(text: &str) -> Vec<Deed> {
        read(text, 1).unwrap().into_iter().map(|statement| statement.deed).collect()
    }

    #[test]
    fn references_are_ignored_from_the_beginning_or_not_at_all() {
        use Deed::{FollowReferences, IgnoreReferences, Run};
        assert_eq!(
            deeds("-- why\npragma foreign_keys=0; SELECT 1; PRAGMA foreign_keys = on;"),
            [IgnoreReferences, Run, FollowReferences]
        );
        for text in ["SELECT 1; PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON", "PRAGMA foreign_keys"] {
            assert!(read(text, 1).unwrap_err().message.contains("Of foreign_keys"), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_part_of_a_transaction_is_told_with_its_line() {
        for sql in [
            "BEGIN",
            "COMMIT",
            "END",
            "ROLLBACK",
            "SAVEPOINT a",
            "RELEASE a",
            "VACUUM",
            "ATTACH 'x' AS y",
            "PRAGMA optimize",
        ] {
            let error = read(&format!("SELECT 1;\n\n  {sql};"), 4).unwrap_err().message;
            assert!(error.starts_with(&format!("line 6, \"{sql}\": ")), "{error}");
        }
    }

    #[test]
    fn collections_are_made_and_dropped_by_their_name_alone() {
        let deeds =
            deeds("CREATE COLLECTION \"rooms/messages\"; create collection if not exists a; drop collection rooms");
        let made = |name: &str, may_be_there| Deed::MakeCollection { name: name.into(), may_be_there };
        assert_eq!(deeds, [made("rooms/messages", false), made("a", true), Deed::DropCollection("rooms".into())]);
        for sql in
            ["CREATE COLLECTION a b", "CREATE COLLECTION", "DROP COLLECTION IF EXISTS a", "CREATE COLLECTION 'a'"]
        {
            assert!(read(sql, 1).unwrap_err().message.contains("nothing behind it"), "{sql}");
        }
    }

    #[test]
    fn a_long_statement_is_shown_by_its_beginning() {
        let sql = format!("INSERT INTO t\n VALUES ('{}')", "ü".repeat(100));
        let shown = read(&sql, 1).unwrap()[0].shown();
        assert!(shown.starts_with("INSERT INTO t VALUES ('ü") && shown.ends_with('…') && shown.chars().count() == 81);
    }
}
