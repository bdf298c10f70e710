//! What Tab offers: keywords, tables, columns and dot commands that begin as the word before the cursor. Pure; where
//! the names come from is [`super::interactive`]'s.

use super::commands;
use super::keywords::KEYWORDS;
use tidebase_engine::sqlite::exclude::quoted;
use tidebase_engine::sqlite::tokens::{Kind, Token, tokens};

/// The tables of the database with their columns.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub tables: Vec<(String, Vec<String>)>,
}

/// Reads [`Names`]: rows of table and column, in order.
pub const NAMES: &str = "SELECT l.name, x.name FROM pragma_table_list AS l, pragma_table_xinfo(l.name) AS x
    WHERE l.type <> 'shadow' AND l.name NOT IN ('sqlite_temp_schema', 'sqlite_temp_master') ORDER BY l.name, x.cid";

impl Names {
    pub fn new(rows: impl Iterator<Item = Vec<String>>) -> Self {
        let mut tables: Vec<(String, Vec<String>)> = Vec::new();
        for row in rows {
            let [table, column] = <[String; 2]>::try_from(row).unwrap_or_default();
            match tables.last_mut() {
                Some((name, columns)) if *name == table => columns.push(column),
                _ => tables.push((table, vec![column])),
            }
        }
        Self { tables }
    }

    fn of_the_user(&self) -> impl Iterator<Item = &(String, Vec<String>)> {
        let is_own = |name: &str| starts_with(name, "_tide") || starts_with(name, "sqlite_");
        self.tables.iter().filter(move |(name, _)| !is_own(name))
    }

    /// Tidebase's and SQLite's own tables are offered to those who begin their names.
    fn tables_for<'a>(&'a self, word: &str) -> impl Iterator<Item = &'a String> + use<'a> {
        let all = word.starts_with('_') || starts_with(word, "sqlite");
        let own = self.tables.iter().filter(move |_| all);
        let users = self.of_the_user().filter(move |_| !all);
        own.chain(users).map(|(name, _)| name)
    }

    fn columns_of(&self, table: &str) -> &[String] {
        let found = self.tables.iter().find(|(name, _)| name.eq_ignore_ascii_case(table));
        found.map_or(&[], |(_, columns)| columns)
    }
}

/// Where the word begins that is being completed at byte `at` of `text`, and what may stand in its place.
pub fn complete(text: &str, at: usize, names: &Names) -> (usize, Vec<String>) {
    let typed = &text[..at];
    if let Some((command, argument)) = dot_command(typed) {
        return complete_command(at, command, argument, names);
    }
    let before: Vec<Token<'_>> = tokens(typed).collect();
    if is_inside_text(typed, &before) {
        return (at, Vec::new());
    }
    let start = typed.rfind(|char: char| !is_word(char)).map_or(0, |index| index + char_len(typed, index));
    let word = &typed[start..];
    let earlier = before.iter().filter(|token| token.end() <= start).collect::<Vec<_>>();
    if let [.., qualifier, dot] = earlier.as_slice()
        && dot.is_punctuation(b'.')
    {
        return (start, columns_of_qualifier(text, &unquoted(qualifier.text), word, names));
    }
    let wants_table = earlier.last().is_some_and(|token| {
        ["from", "join", "into", "update", "table", "references"].iter().any(|keyword| token.is(keyword))
    });
    if wants_table {
        return (start, begins(word, names.tables_for(word)));
    }
    if word.is_empty() {
        return (start, Vec::new());
    }
    let mentioned = mentioned(text);
    let mut found = if mentioned.is_empty() {
        // The select list comes before FROM: any table's columns may be meant.
        begins(word, names.of_the_user().flat_map(|(_, columns)| columns))
    } else {
        begins(word, mentioned.iter().flat_map(|(table, _)| names.columns_of(table)))
    };
    found.extend(begins(word, names.tables_for(word)));
    found.extend(keywords(word));
    found.dedup();
    (start, found)
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_' || char == '$'
}

fn char_len(text: &str, index: usize) -> usize {
    text[index..].chars().next().map_or(0, char::len_utf8)
}

/// An open string or quoted name at the end, or a comment, is the person's own.
fn is_inside_text(typed: &str, before: &[Token<'_>]) -> bool {
    let Some(last) = before.last() else { return false };
    let is_open = last.end() == typed.len() && {
        let quote = last.text.as_bytes().last();
        let closed = last.text.len() > 1 && matches!(quote, Some(b'\'' | b'"' | b'`' | b']'));
        !closed
    };
    matches!(last.kind, Kind::Text | Kind::Quoted) && is_open
}

/// The command and its argument so far, if the text is a dot command's.
fn dot_command(typed: &str) -> Option<(&str, Option<&str>)> {
    let line = typed.trim_start();
    if !line.starts_with('.') || line.contains('\n') {
        return None;
    }
    Some(line.split_once(' ').map_or((line, None), |(command, argument)| (command, Some(argument.trim_start()))))
}

fn complete_command(at: usize, command: &str, argument: Option<&str>, names: &Names) -> (usize, Vec<String>) {
    let Some(argument) = argument else {
        let commands = commands::NAMES.iter().filter(|name| name.starts_with(command));
        return (at - command.len(), commands.map(|name| (*name).to_owned()).collect());
    };
    let choices: Vec<String> = match command {
        ".schema" | ".tables" => names.tables.iter().map(|(name, _)| name.clone()).collect(),
        _ => commands::arguments(command).into_iter().map(ToOwned::to_owned).collect(),
    };
    let fitting = choices.into_iter().filter(|choice| starts_with(choice, argument));
    (at - argument.len(), fitting.collect())
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// Names that begin as typed, quoted where SQL needs it; each once.
fn begins<'a>(word: &str, names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for name in names.filter(|name| starts_with(name, word)) {
        let name = as_sql(name);
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

fn as_sql(name: &str) -> String {
    let is_plain = name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
        && name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
    let is_keyword = KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(name));
    if is_plain && !is_keyword { name.to_owned() } else { quoted(name) }
}

/// In the case they were begun.
fn keywords(word: &str) -> impl Iterator<Item = String> {
    let is_upper = word.starts_with(|char: char| char.is_ascii_uppercase());
    let fitting = KEYWORDS.iter().filter(move |keyword| starts_with(keyword, word));
    fitting.map(move |keyword| if is_upper { (*keyword).to_owned() } else { keyword.to_ascii_lowercase() })
}

fn columns_of_qualifier(text: &str, qualifier: &str, word: &str, names: &Names) -> Vec<String> {
    let mentioned = mentioned(text);
    let alias = mentioned.iter().find(|(_, alias)| alias.as_ref().is_some_and(|a| a.eq_ignore_ascii_case(qualifier)));
    let table = alias.map_or(qualifier, |(table, _)| table);
    begins(word, names.columns_of(table).iter())
}

/// The tables a text names after FROM and its like, each with its alias.
fn mentioned(text: &str) -> Vec<(String, Option<String>)> {
    let all: Vec<Token<'_>> = tokens(text).collect();
    let is_name = |token: &&Token<'_>| matches!(token.kind, Kind::Word | Kind::Quoted);
    let is_free = |token: &&Token<'_>| is_name(token) && !KEYWORDS.iter().any(|keyword| token.is(keyword));
    let mut found = Vec::new();
    for (index, token) in all.iter().enumerate() {
        if !["from", "join", "into", "update", ","].iter().any(|word| token.is(word) || token.text == *word) {
            continue;
        }
        let Some(table) = all.get(index + 1).filter(is_name) else { continue };
        let next = all.get(index + 2);
        let alias = if next.is_some_and(|token| token.is("as")) { all.get(index + 3) } else { next };
        found.push((unquoted(table.text), alias.filter(is_free).map(|alias| unquoted(alias.text))));
    }
    found
}

fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix(['"', '`', '[']).and_then(|rest| rest.strip_suffix(['"', '`', ']']));
    inner.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cursor stands at the bar.
    fn check(text: &str, expected: &[&str]) {
        let names = Names {
            tables: [
                ("todos", &["id", "title", "done"][..]),
                ("people", &["id", "full name", "team"]),
                ("order", &["total"]),
                ("_tide_log", &["revision", "time"]),
            ]
            .map(|(table, columns)| (table.to_owned(), columns.iter().map(|name| (*name).to_owned()).collect()))
            .to_vec(),
        };
        let at = text.find('|').unwrap();
        let (start, found) = complete(&text.replacen('|', "", 1), at, &names);
        let word_start = text[..at].rfind([' ', '.', '(', '\n']).map_or(0, |index| index + 1);
        assert!(found.is_empty() || start == word_start || text.starts_with('.'), "{text}");
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn what_fits_the_place_is_offered() {
        check("sel|", &["select"]);
        check("SEL|", &["SELECT"]);
        check("select ti|", &["title", "ties"]);
        check("select * from |", &["todos", "people", "\"order\""]);
        check("select * from TO|", &["todos"]);
        check("select * from _|", &["_tide_log"]);
        check("select ti| from todos", &["title", "ties"]);
        check("select \"f|", &[]);
        check("select fu| from people", &["\"full name\"", "full"]);
        check("select p.t| from todos t join people as p", &["team"]);
        check("select t.| from todos t, people p", &["id", "title", "done"]);
        check("select people.f|", &["\"full name\""]);
        check("select 'from t|", &[]);
        check("select 1 |", &[]);
        check("insert into pe|", &["people"]);
        check("select 海.|", &[]);
    }

    #[test]
    fn commands_and_their_arguments_are_offered() {
        check(".ta|", &[".tables"]);
        check(".mode |", &["table", "json", "line"]);
        check(".timer of|", &["off"]);
        check(".schema pe|", &["people"]);
        check(".nothing |", &[]);
    }

    #[test]
    fn names_are_gathered_by_table() {
        let rows = [["a", "x"], ["a", "y"], ["b", "z"]].map(|row| row.map(ToOwned::to_owned).to_vec());
        let names = Names::new(rows.into_iter());
        assert_eq!(names.columns_of("A"), ["x", "y"]);
        assert_eq!(names.columns_of("b"), ["z"]);
        assert!(names.columns_of("c").is_empty());
    }
}
