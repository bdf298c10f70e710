//! Policies in a migration, in PostgreSQL's words, read and written. They are kept by the same checks as any: [`crate::access::policy`].
//!
//! ```sql
//! CREATE POLICY own_notes ON note FOR update TO user COLUMNS (body) USING (owner = auth.uid()) WITH CHECK (length(body) < 1000);
//! DROP POLICY own_notes ON note;
//! ```

use crate::access::policy::{Action, Policy};
use crate::access::principal::Role;
use crate::error::{Error, Result};
use crate::sqlite::exclude::{quoted, unquoted};
use crate::sqlite::tokens::{Kind, Token, tokens};

/// What a migration does with a policy.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    Create { policy: Policy, replaces: bool },
    Drop { name: String, table: Option<String>, may_be_missing: bool },
}

const CREATED: &str = "CREATE [OR REPLACE] POLICY name ON table FOR select|insert|update|delete|all [TO client|user|anonymous] \
                       [COLUMNS (a, b)] [USING (expression)] [WITH CHECK (expression)]";
const DROPPED: &str = "DROP POLICY [IF EXISTS] name [ON table]";

/// The rule of a statement, if it is one.
///
/// # Errors
/// `invalid` for one that cannot be understood.
pub fn read(sql: &str) -> Result<Option<Rule>> {
    let mut reader = Reader { sql, tokens: tokens(sql).collect(), at: 0 };
    if reader.take(&["create", "policy"]) {
        return reader.create(false).map(Some);
    }
    if reader.take(&["create", "or", "replace", "policy"]) {
        return reader.create(true).map(Some);
    }
    if reader.take(&["drop", "policy"]) {
        return reader.drop().map(Some);
    }
    Ok(None)
}

struct Reader<'a> {
    sql: &'a str,
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Takes these words if they are next.
    fn take(&mut self, words: &[&str]) -> bool {
        let is_next = words
            .iter()
            .enumerate()
            .all(|(index, word)| self.tokens.get(self.at + index).is_some_and(|token| token.is(word)));
        self.at += if is_next { words.len() } else { 0 };
        is_next
    }

    fn name(&mut self) -> Option<String> {
        let token = self.tokens.get(self.at).filter(|token| matches!(token.kind, Kind::Word | Kind::Quoted))?;
        self.at += 1;
        Some(unquoted(token.text))
    }

    /// What stands in parentheses, as it was written.
    fn enclosed(&mut self) -> Option<&'a str> {
        let open = self.tokens.get(self.at).filter(|token| token.is_punctuation(b'('))?;
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(self.at) {
            match token.kind {
                Kind::Punctuation(b'(') => depth += 1,
                Kind::Punctuation(b')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.at = index + 1;
                return Some(self.sql[open.end()..token.at].trim());
            }
        }
        None
    }

    fn create(&mut self, replaces: bool) -> Result<Rule> {
        let policy = self.policy().filter(|_| self.at == self.tokens.len());
        let policy = policy.ok_or_else(|| self.misread(CREATED))?;
        policy.check_form()?;
        Ok(Rule::Create { policy, replaces })
    }

    fn policy(&mut self) -> Option<Policy> {
        let name = self.name()?;
        let table = self.take(&["on"]).then(|| self.name()).flatten()?;
        let action = if self.take(&["for"]) { self.action()? } else { Action::All };
        let named = if self.take(&["to"]) { Some(self.name()?.to_ascii_lowercase()) } else { None };
        // PUBLIC is what PostgreSQL calls any of them.
        let named = named.filter(|name| name != "public" && name != "any");
        let role = if let Some(name) = named { Some(Role::named(&name)?) } else { None };
        let columns = if self.take(&["columns"]) { Some(names(self.enclosed()?)?) } else { None };
        let using = if self.take(&["using"]) { Some(self.enclosed()?.to_owned()) } else { None };
        let check = if self.take(&["with", "check"]) { Some(self.enclosed()?.to_owned()) } else { None };
        Some(Policy { name, table, action, role, using, check, columns })
    }

    fn action(&mut self) -> Option<Action> {
        let word = self.name()?.to_ascii_lowercase();
        [Action::Select, Action::Insert, Action::Update, Action::Delete, Action::All]
            .into_iter()
            .find(|action| action.name() == word)
    }

    fn drop(&mut self) -> Result<Rule> {
        let may_be_missing = self.take(&["if", "exists"]);
        let name = self.name();
        let table = if self.take(&["on"]) { self.name().map(Some) } else { Some(None) };
        match (name, table) {
            (Some(name), Some(table)) if self.at == self.tokens.len() => Ok(Rule::Drop { name, table, may_be_missing }),
            _ => Err(self.misread(DROPPED)),
        }
    }

    fn misread(&self, form: &str) -> Error {
        let near = self.tokens.get(self.at).map_or_else(|| "its end".to_owned(), |token| format!("\"{}\"", token.text));
        Error::invalid(format!("It cannot be understood near {near}. It is {form}."))
    }
}

/// Names with commas between them.
fn names(list: &str) -> Option<Vec<String>> {
    let all: Vec<Token<'_>> = tokens(list).collect();
    let mut names = Vec::new();
    for pair in all.chunks(2) {
        let is_parted = pair.get(1).is_none_or(|comma| comma.is_punctuation(b','));
        let is_name = matches!(pair[0].kind, Kind::Word | Kind::Quoted);
        (is_name && is_parted).then(|| names.push(unquoted(pair[0].text)))?;
    }
    (all.len() % 2 == 1).then_some(names)
}

/// The statement that makes a policy, without its semicolon.
pub fn created(policy: &Policy, replaces: bool) -> String {
    let or_replace = if replaces { "OR REPLACE " } else { "" };
    let mut sql = format!(
        "CREATE {or_replace}POLICY {} ON {} FOR {}",
        quoted(&policy.name),
        quoted(&policy.table),
        policy.action.name()
    );
    if let Some(role) = policy.role {
        sql.push_str(&format!(" TO {}", role.name()));
    }
    if let Some(columns) = &policy.columns {
        let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
        sql.push_str(&format!(" COLUMNS ({})", columns.join(", ")));
    }
    for (word, expression) in [("USING", &policy.using), ("WITH CHECK", &policy.check)] {
        if let Some(expression) = expression {
            // A comment at its end must not swallow the parenthesis.
            let end = if expression.contains("--") || expression.contains("/*") { "\n" } else { "" };
            sql.push_str(&format!("\n  {word} ({}{end})", expression.trim()));
        }
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same_policy() {
        let policy = Policy {
            name: "own \"notes\"".into(),
            table: "a table".into(),
            action: Action::Update,
            role: Some(Role::User),
            using: Some("owner = auth.uid() AND ')' <> body -- theirs".into()),
            check: Some("length(body) < (10)".into()),
            columns: Some(vec!["body".into(), "a, b".into()]),
        };
        let open = Policy { role: None, columns: None, check: None, action: Action::Select, ..policy.clone() };
        for policy in [policy, open] {
            let read = read(&created(&policy, true)).unwrap().unwrap();
            assert_eq!(read, Rule::Create { policy, replaces: true });
        }
    }

    #[test]
    fn postgresqls_words_are_understood_and_others_are_not() {
        let Some(Rule::Create { policy, replaces: false }) =
            read("create policy p on t to public using (true)").unwrap()
        else {
            panic!()
        };
        assert_eq!((policy.action, policy.role), (Action::All, None));
        let dropped = Rule::Drop { name: "p".into(), table: Some("t".into()), may_be_missing: true };
        assert_eq!(read("DROP POLICY IF EXISTS p ON t").unwrap(), Some(dropped));
        assert_eq!(read("CREATE TABLE policy (a)").unwrap(), None);
        for (sql, words) in [
            ("CREATE POLICY p ON t FOR look USING (true)", "It is CREATE"),
            ("CREATE POLICY p ON t FOR select TO nobody USING (true)", "It is CREATE"),
            ("CREATE POLICY p ON t FOR select USING true", "near \"true\""),
            ("CREATE POLICY p ON t FOR select USING (a", "near \"(\""),
            ("CREATE POLICY p ON t FOR select COLUMNS (a,) USING (true)", "It is CREATE"),
            ("CREATE POLICY p ON t FOR select COLUMNS () USING (true)", "It is CREATE"),
            ("CREATE POLICY p ON t FOR select USING (true) AS x", "near \"AS\""),
            ("CREATE POLICY p", "near its end"),
            ("CREATE POLICY p ON t FOR insert USING (true)", "there is no row yet"),
            ("DROP POLICY", "It is DROP"),
            ("DROP POLICY p ON", "It is DROP"),
        ] {
            let error = read(sql).unwrap_err().message;
            assert!(error.contains(words), "{sql}: {error}");
        }
    }
}
