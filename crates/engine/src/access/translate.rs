//! A caller's statement, with views of what the caller may see in the place of every table, and with a condition on the
//! rows it may change.
//!
//! Works on tokens, spelt anew by [`super::spelling`]: where FROM, JOIN and IN name a table, and where the WHERE of a write
//! stands. It is no parser, and need not be trusted: a table that it overlooks is one that the statement reads directly,
//! which [`super::passage`] refuses when SQLite compiles it, and a row that is changed without its condition is found by
//! [`super::admission`]. What looks as if it was made to mislead it is refused at once.

use super::Access;
use super::admission;
use super::asking::spoken_functions;
use super::functions;
use super::passage::{Passage, Target, closed};
use super::policy::{Action, Policy, is_reserved, reserved};
use super::principal::Role;
use super::sight::{self, KEY, Kind, Sight, any_of};
use super::spelling::spelt;
use crate::error::{Error, Result};
use crate::sqlite::exclude::{quoted, unquoted};
use crate::sqlite::schema::{Relation, Table, same_key};
use crate::sqlite::tokens::{Kind as Token_, Token, find, tokens};
use std::collections::HashSet;
use std::sync::Arc;

/// Longer statements are not looked at.
const TOKENS_MAX: usize = 20_000;

/// A statement as it is run for a caller.
#[derive(Debug)]
pub struct Translated {
    pub sql: String,
    pub passage: Passage,
    /// For a statement that writes: what the rows it leaves must fulfil.
    pub judgement: Option<Judgement>,
}

/// What rows must fulfil after a statement has written them: conditions over the row.
#[derive(Debug)]
pub struct Judgement {
    pub table: Arc<Table>,
    /// Of rows that were made.
    pub made: String,
    /// Of rows that were changed.
    pub changed: String,
}

impl Judgement {
    /// SQL that gives a row if the one with the key `?1`, `?2`, … fulfils the condition.
    pub fn question(&self, condition: &str) -> String {
        format!("SELECT 1 FROM main.{} WHERE {} AND {condition}", quoted(&self.table.name), self.table.condition)
    }
}

fn is_name(token: &Token<'_>) -> bool {
    matches!(token.kind, Token_::Word | Token_::Quoted | Token_::Text)
}

/// A name without its quotes.
pub fn named(token: &Token<'_>) -> String {
    match token.kind {
        Token_::Text => {
            let text = token.text.strip_prefix('\'').unwrap_or(token.text);
            text.strip_suffix('\'').unwrap_or(text).replace("''", "'")
        }
        _ => unquoted(token.text),
    }
}

/// Words that go on with a FROM behind a table: with those that end it, they are no alias.
const JOINING: [&str; 12] =
    ["on", "using", "join", "inner", "cross", "left", "right", "full", "outer", "natural", "indexed", "not"];

/// Words that end a FROM.
const AFTER_FROM: [&str; 13] = [
    "where",
    "group",
    "having",
    "window",
    "order",
    "limit",
    "union",
    "except",
    "intersect",
    "returning",
    "select",
    "values",
    "set",
];

/// Words that SQLite takes for a name only in quotes: without them they stand for no table that is called so.
const NO_NAMES: [&str; 24] = [
    "and", "as", "case", "default", "distinct", "exists", "from", "group", "having", "in", "index", "into", "join",
    "limit", "not", "null", "on", "or", "order", "select", "set", "table", "then", "where",
];

/// What a write is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What policies let be changed.
    Policies,
    /// Whatever is seen: for a rehearsal, to tell what policies keep from being changed.
    Seen,
}

/// What a statement would do to which table, if it writes.
pub fn aim(sql: &str) -> Option<(Action, String)> {
    let text: Vec<Token<'_>> = tokens(sql).collect();
    let verb = verb(&text)?;
    let action = match () {
        () if text[verb].is_any(&["insert", "replace"]) => Action::Insert,
        () if text[verb].is("update") => Action::Update,
        () if text[verb].is("delete") => Action::Delete,
        () => return None,
    };
    let mut at = verb + 1;
    if text.get(at).is_some_and(|token| token.is("or")) {
        at += 2;
    }
    if text.get(at).is_some_and(|token| token.is_any(&["into", "from"])) {
        at += 1;
    }
    text.get(at).filter(|token| is_name(token)).map(|token| (action, named(token)))
}

/// # Errors
/// `forbidden` for what is closed to the role, `unsupported` for what callers cannot say.
pub fn translate(access: &Access, role: Role, sql: &str) -> Result<Translated> {
    translate_in(access, role, sql, Scope::Policies)
}

/// # Errors
/// As [`translate`].
pub fn translate_in(access: &Access, role: Role, sql: &str, scope: Scope) -> Result<Translated> {
    let spelt = spelt(sql)?;
    let sql = spoken_functions(&spelt);
    let text: Vec<Token<'_>> = tokens(&sql).collect();
    if text.len() > TOKENS_MAX {
        return Err(Error::too_large(format!("A statement may have {TOKENS_MAX} words and signs.")));
    }
    if text.iter().any(is_reserved) {
        return Err(reserved());
    }
    check_words(&text)?;
    functions::check_paths(&text)?;
    let Some(verb) = verb(&text) else { return Err(unavailable()) };
    let parts = parts(&text);
    let is_taken = |part: &&String| {
        access.names(part) || access.schema.has_module(part) || functions::TABLES.contains(&part.as_str())
    };
    if let Some(part) = parts.iter().find(is_taken) {
        return Err(Error::unsupported(format!(
            "The name {part} is taken by the schema: call that part of the statement otherwise."
        )));
    }
    let kind = if functions::may_tell(&text) { Kind::Wall } else { Kind::See };
    let mut work = Work {
        access,
        role,
        scope,
        text: &text,
        kind,
        parts,
        edits: Vec::new(),
        sights: Vec::new(),
        columns: Vec::new(),
    };
    let (target, judgement) = match () {
        () if text[verb].is("insert") => work.insert(verb)?,
        () if text[verb].is("update") => work.update(verb)?,
        () if text[verb].is("delete") => work.delete(verb)?,
        () if text[verb].is_any(&["select", "values"]) => (None, None),
        () if text[verb].is("replace") => return Err(no_replace()),
        () => return Err(unavailable()),
    };
    let at = judgement.as_ref().map(|judgement| judgement.1);
    work.replace_tables(at)?;
    if let (Some(target), Some((judgement, at))) = (&target, &judgement) {
        work.refuse_loose_names(target, *at)?;
        // A row that is made by the statement itself tells its key to who makes it.
        if target.deletes || !target.sets.is_empty() {
            work.refuse_withheld(&judgement.table, target)?;
        }
    }
    let Work { mut edits, sights, parts, .. } = work;
    edits.sort_by_key(|edit| (edit.at, edit.end));
    let mut translated = String::with_capacity(sql.len() + 64);
    let mut copied = 0;
    for edit in edits {
        translated.push_str(&sql[copied..edit.at]);
        translated.push_str(&edit.text);
        copied = edit.end;
    }
    translated.push_str(&sql[copied..]);
    let names = sights.iter().map(Sight::name).collect();
    let behind = sights.iter().flat_map(|sight| access.relations_behind(sight)).collect();
    let passage = Passage { sights, names, parts, target, behind, trusted: Arc::clone(&access.trusted) };
    Ok(Translated { sql: translated, passage, judgement: judgement.map(|(judgement, _)| judgement) })
}

/// What SQLite tells its authorizer nothing of, or reads as a name where we would not, is not open.
fn check_words(text: &[Token<'_>]) -> Result<()> {
    for (index, token) in text.iter().enumerate() {
        if token.is_any(&["natural", "using"]) {
            return Err(Error::unsupported("NATURAL and USING are not open to you: write ON a.x = b.x."));
        }
        // A word before `name AS`, and otherwise a name like others.
        if token.is("window") && !text.get(index + 2).is_some_and(|behind| behind.is("as")) {
            return Err(Error::unsupported("A name that is window stands in double quotes."));
        }
        let name = named(token).to_ascii_lowercase();
        let is_of_sqlite = name.starts_with("sqlite_") || name.starts_with("pragma_");
        if is_name(token) && token.kind != Token_::Text && is_of_sqlite {
            return Err(is_closed(&named(token)));
        }
    }
    Ok(())
}

fn unavailable() -> Error {
    Error::forbidden("Only SELECT, INSERT, UPDATE and DELETE are open to you.")
}

fn no_schema_names() -> Error {
    Error::unsupported("Write tables without the name of a schema before them.")
}

fn is_closed(name: &str) -> Error {
    Error::forbidden(closed(name))
}

fn no_replace() -> Error {
    Error::unsupported(
        "REPLACE is not open to you, for it deletes rows unseen: INSERT … ON CONFLICT (…) DO UPDATE says what to do with a row that is there.",
    )
}

/// What the statement does: the first of these words outside of parentheses.
fn verb(text: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    let is_plain = text
        .first()
        .is_some_and(|first| first.is_any(&["select", "values", "insert", "update", "delete", "replace", "with"]));
    if !is_plain {
        return None;
    }
    text.iter().position(|token| {
        match token.kind {
            Token_::Punctuation(b'(') => depth += 1,
            Token_::Punctuation(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.is_any(&["select", "values", "insert", "update", "delete", "replace"])
    })
}

/// The names that a statement gives to its parts, in lower case: whatever stands before `AS (`, a CTE as well as a window.
fn parts(text: &[Token<'_>]) -> HashSet<String> {
    let mut parts = HashSet::new();
    for index in 1..text.len() {
        if !text[index].is("as") {
            continue;
        }
        let mut next = index + 1;
        while text.get(next).is_some_and(|token| token.is_any(&["not", "materialized"])) {
            next += 1;
        }
        if !text.get(next).is_some_and(|token| token.is_punctuation(b'(')) {
            continue;
        }
        let mut at = index - 1;
        if text[at].is_punctuation(b')') {
            let mut depth = 0;
            while at > 0 {
                match text[at].kind {
                    Token_::Punctuation(b')') => depth += 1,
                    Token_::Punctuation(b'(') => depth -= 1,
                    _ => {}
                }
                at -= 1;
                if depth == 0 {
                    break;
                }
            }
        }
        if is_name(&text[at]) {
            // As SQLite folds case: of ASCII alone.
            parts.insert(named(&text[at]).to_ascii_lowercase());
        }
    }
    parts
}

struct Edit {
    at: usize,
    end: usize,
    text: String,
}

struct Work<'a> {
    access: &'a Access,
    role: Role,
    scope: Scope,
    text: &'a [Token<'a>],
    kind: Kind,
    parts: HashSet<String>,
    edits: Vec<Edit>,
    sights: Vec<Sight>,
    /// Tokens where only a column can be named.
    columns: Vec<usize>,
}

/// What is known within a pair of parentheses.
#[derive(Clone, Copy, Default)]
struct Level {
    in_from: bool,
    expects_table: bool,
    is_query: bool,
}

type Written = (Option<Target>, Option<(Judgement, usize)>);

impl Work<'_> {
    /// Puts views in the place of tables, `target` aside, which is the one that is written.
    fn replace_tables(&mut self, target: Option<usize>) -> Result<()> {
        let text = self.text;
        let mut levels = vec![Level::default()];
        let is_update = target.is_some() && verb(text).is_some_and(|at| text[at].is("update"));
        let mut index = 0;
        while let Some(token) = text.get(index) {
            let here = levels.len() - 1;
            let level = levels[here];
            let next = text.get(index + 1);
            match token.kind {
                Token_::Punctuation(b'(') => {
                    let is_query = next.is_some_and(|next| next.is_any(&["select", "values", "with"]));
                    let is_join = level.expects_table && !is_query;
                    levels[here].expects_table = false;
                    levels.push(Level { in_from: is_join, expects_table: is_join, is_query });
                }
                Token_::Punctuation(b')') => {
                    levels.pop();
                    if levels.is_empty() {
                        levels.push(Level::default());
                    }
                }
                Token_::Punctuation(b',') if level.in_from => levels[here].expects_table = true,
                _ if is_name(token) && level.expects_table => {
                    levels[here].expects_table = false;
                    let is_function = next.is_some_and(|next| next.is_punctuation(b'('));
                    // Its arguments may be columns of the row that is written, and are looked at before the policies.
                    if is_function && is_update && !levels.iter().any(|level| level.is_query) {
                        return Err(Error::unsupported(
                            "In the FROM of an UPDATE a function stands in a sub-query: (SELECT … FROM json_each(…)).",
                        ));
                    }
                    if Some(index) != target {
                        self.replace_table(index, true)?;
                    }
                }
                Token_::Word if token.is("from") => {
                    let is_comparison = index > 0
                        && text[index - 1].is("distinct")
                        && index > 1
                        && text[index - 2].is_any(&["is", "not"]);
                    if !is_comparison {
                        levels[here] = Level { in_from: true, expects_table: true, ..level };
                    }
                }
                Token_::Word if token.is("join") => {
                    levels[here] = Level { in_from: true, expects_table: true, ..level };
                }
                Token_::Word if token.is_any(&AFTER_FROM) => {
                    levels[here] = Level { in_from: false, expects_table: false, ..level };
                }
                Token_::Word if token.is("in") && next.is_some_and(is_name) => {
                    self.replace_table(index + 1, false)?;
                    index += 1;
                }
                _ => {}
            }
            index += 1;
        }
        Ok(())
    }

    /// In a write the target may be read without a view, and so may the keys of tables tied to it. So their names stand
    /// nowhere in the statement where a table could be meant and no view has been put.
    fn refuse_loose_names(&self, target: &Target, at: usize) -> Result<()> {
        let is_point = |index: usize| self.text.get(index).is_some_and(|token| token.is_punctuation(b'.'));
        let has_alias = self.text.get(at + 1).is_some_and(|token| token.is("as"));
        let alias = self.text.get(at + 2).filter(|_| has_alias).map(|alias| named(alias).to_ascii_lowercase());
        if alias.as_deref() == Some("excluded") {
            return Err(Error::unsupported("excluded is what an INSERT would have written, and no name for a table."));
        }
        for (index, token) in self.text.iter().enumerate().filter(|(_, token)| is_name(token)) {
            let name = named(token).to_ascii_lowercase();
            if ["main", "temp"].contains(&name.as_str()) && is_point(index + 1) {
                return Err(no_schema_names());
            }
            // Two things of one name: which of them a column behind it is of, SQLite decides and not we.
            let is_alias = alias.as_ref().is_some_and(|alias| *alias == name) && index != at + 2;
            if is_alias && !is_point(index + 1) && !index.checked_sub(1).is_some_and(is_point) {
                return Err(Error::unsupported(format!("The name {name} is that of the table that is written.")));
            }
            let is_watched = name == target.table || target.tied.contains_key(&name);
            let is_replaced = || self.edits.iter().any(|edit| edit.at == token.at && edit.end > edit.at);
            let is_word = || token.kind == Token_::Word && token.is_any(&NO_NAMES);
            let is_column =
                || self.columns.contains(&index) || is_point(index + 1) || index.checked_sub(1).is_some_and(is_point);
            if is_watched && index != at && !is_word() && !is_column() && !is_replaced() {
                return Err(Error::unsupported(format!(
                    "The name {name} cannot stand here: write a column behind its table (t.x), a text as a parameter."
                )));
            }
        }
        Ok(())
    }

    /// The translation reads the key of the target's rows, so SQLite must be let read it; who may not see the key does not
    /// name it.
    fn refuse_withheld(&self, table: &Table, target: &Target) -> Result<()> {
        let withheld = self.access.withheld(table, self.role);
        if withheld.is_empty() {
            return Ok(());
        }
        let before = |index: usize, back: usize| index.checked_sub(back).and_then(|at| self.text.get(at));
        let is_given = |index: usize| {
            let is_own = target.inserts && before(index, 2).is_some_and(|token| token.is("excluded"));
            self.columns.contains(&index) || self.is_conflict_target(index) || is_own
        };
        for (index, token) in self.text.iter().enumerate().filter(|(_, token)| is_name(token)) {
            let is_column =
                token.kind != Token_::Text || before(index, 1).is_some_and(|token| token.is_punctuation(b'.'));
            let name = named(token).to_ascii_lowercase();
            if is_column && withheld.contains(&name) && !is_given(index) {
                return Err(Error::forbidden(format!("No policy lets you see {name} in {}.", table.name)));
            }
        }
        let returning = find(self.text, 0, &["returning"]).unwrap_or(self.text.len());
        let gives_all = self.text[returning..]
            .windows(2)
            .any(|two| two[1].is_punctuation(b'*') && (two[0].is("returning") || two[0].is_punctuation(b',')));
        if gives_all {
            return Err(Error::forbidden(format!("No policy lets you see all columns of {}: name some.", table.name)));
        }
        Ok(())
    }

    /// Is it one of the columns behind ON CONFLICT?
    fn is_conflict_target(&self, index: usize) -> bool {
        let open =
            self.text[..index].iter().rposition(|token| token.is_punctuation(b'(') || token.is_punctuation(b')'));
        let conflict = open.filter(|&at| self.text[at].is_punctuation(b'(')).and_then(|at| at.checked_sub(1));
        conflict.is_some_and(|at| self.text[at].is("conflict"))
    }

    fn replace_table(&mut self, index: usize, may_have_alias: bool) -> Result<()> {
        let token = self.text[index];
        let name = named(&token);
        let next = self.text.get(index + 1);
        if next.is_some_and(|next| next.is_punctuation(b'.')) {
            return Err(no_schema_names());
        }
        let lower = name.to_ascii_lowercase();
        if next.is_some_and(|next| next.is_punctuation(b'(')) {
            let is_open = functions::TABLES.contains(&lower.as_str());
            // They fail for what is no JSON.
            return if is_open { self.wall() } else { Err(is_closed(&name)) };
        }
        if self.parts.contains(&lower) {
            return Ok(());
        }
        let sight = self.access.sight(self.kind, &name, self.role).ok_or_else(|| is_closed(&name))?;
        let mut view = quoted(&sight.name());
        if next.is_some_and(|next| next.is("indexed")) {
            return Err(Error::unsupported("INDEXED BY is not open to you."));
        }
        let has_alias = next.is_some_and(|next| is_name(next) && !next.is_any(&JOINING) && !next.is_any(&AFTER_FROM));
        if may_have_alias && !has_alias {
            view.push_str(&format!(" AS {}", quoted(&name)));
        }
        self.edits.push(Edit { at: token.at, end: token.end(), text: view });
        self.add(sight);
        Ok(())
    }

    /// A function was found that may tell of rows: it must have been noticed before.
    fn wall(&self) -> Result<()> {
        if self.kind == Kind::Wall {
            return Ok(());
        }
        Err(Error::internal("a function that may fail was overlooked"))
    }

    fn add(&mut self, sight: Sight) {
        if !self.sights.contains(&sight) {
            self.sights.push(sight);
        }
    }

    /// The table at this token, which is to be written to; its rows can be told one by one.
    fn table(&self, index: usize) -> Result<Arc<Table>> {
        let token = self.text.get(index).filter(|token| is_name(token)).ok_or_else(unavailable)?;
        if self.text.get(index + 1).is_some_and(|next| next.is_punctuation(b'.')) {
            return Err(no_schema_names());
        }
        let name = named(token);
        match self.access.schema.get(&name) {
            Some(Relation::Table(table)) if !sight::key_columns(table).is_empty() => Ok(Arc::clone(table)),
            _ => Err(is_closed(&name)),
        }
    }

    /// Behind `INSERT`, `UPDATE` or `DELETE`: where the table stands.
    fn behind(&self, verb: usize, word: Option<&str>) -> Result<usize> {
        let mut at = verb + 1;
        if self.text.get(at).is_some_and(|token| token.is("or")) {
            let how = self.text.get(at + 1).ok_or_else(unavailable)?;
            if how.is("replace") {
                return Err(no_replace());
            }
            if !how.is_any(&["abort", "fail", "ignore"]) {
                return Err(Error::unsupported("OR ABORT, OR FAIL and OR IGNORE are open to you."));
            }
            at += 2;
        }
        if let Some(word) = word {
            if !self.text.get(at).is_some_and(|token| token.is(word)) {
                return Err(unavailable());
            }
            at += 1;
        }
        Ok(at)
    }

    /// What the table is called in its conditions, and the token behind that.
    fn called(&self, at: usize) -> (String, usize) {
        if self.text.get(at + 1).is_some_and(|token| token.is("as"))
            && let Some(alias) = self.text.get(at + 2).filter(|token| is_name(token))
        {
            return (quoted(&named(alias)), at + 3);
        }
        (quoted(&named(&self.text[at])), at + 1)
    }

    fn granting(&self, table: &Table, action: Action, columns: Option<&HashSet<String>>) -> Vec<usize> {
        let is_granted = |policy: &Policy| match columns {
            None => policy.columns.is_none(),
            Some(columns) => columns.iter().all(|column| policy.grants(column)),
        };
        let all = self.access.policies.iter().enumerate();
        all.filter(|(_, policy)| policy.is_for(&table.name, action, self.role) && is_granted(policy))
            .map(|(index, _)| index)
            .collect()
    }

    fn checks(&self, policies: &[usize]) -> String {
        any_of(policies.iter().map(|&index| self.access.policies[index].check_sql()))
    }

    fn target(&self, table: &Table) -> Target {
        Target {
            table: table.name.to_ascii_lowercase(),
            inserts: false,
            deletes: false,
            sets: HashSet::new(),
            reads: self.access.readable(table, self.role),
            tied: self.access.tied(&table.name),
        }
    }

    fn insert(&mut self, verb: usize) -> Result<Written> {
        let at = self.behind(verb, Some("into"))?;
        let table = self.table(at)?;
        let (called, behind) = self.called(at);
        let has_columns = self.text.get(behind).is_some_and(|token| token.is_punctuation(b'('));
        let columns = has_columns.then(|| self.list(behind));
        let granting = self.granting(&table, Action::Insert, columns.as_ref());
        if granting.is_empty() {
            return Err(self.not_granted(&table, Action::Insert));
        }
        let mut target = Target { inserts: true, ..self.target(&table) };
        let mut changed = "(false)".to_owned();
        // Each DO UPDATE has a condition of its own.
        let mut from = behind;
        while let Some(start) = find(self.text, from, &["do"]) {
            if !self.text.get(start + 1).is_some_and(|token| token.is("update")) {
                from = start + 1;
                continue;
            }
            let end = find(self.text, start, &["on", "returning"]).unwrap_or(self.text.len());
            let sets = self.sets(start + 3, end);
            let granting = self.granted_updates(&table, &sets)?;
            changed = if changed == "(false)" {
                self.checks(&granting)
            } else {
                format!("({changed} AND {})", self.checks(&granting))
            };
            target.sets.extend(sets);
            self.admit(Kind::Update, &table, granting, &called, start, end);
            from = end;
        }
        let judgement = Judgement { made: self.checks(&granting), changed, table };
        Ok((Some(target), Some((judgement, at))))
    }

    fn update(&mut self, verb: usize) -> Result<Written> {
        let at = self.behind(verb, None)?;
        let table = self.table(at)?;
        let (called, behind) = self.called(at);
        if !self.text.get(behind).is_some_and(|token| token.is("set")) {
            return Err(Error::invalid("UPDATE wants SET behind the table's name."));
        }
        let end = find(self.text, behind, &["returning", "order", "limit"]).unwrap_or(self.text.len());
        let sets = self.sets(behind + 1, end);
        let granting = self.granted_updates(&table, &sets)?;
        let target = Target { sets, ..self.target(&table) };
        let changed = self.checks(&granting);
        self.admit(Kind::Update, &table, granting, &called, behind, end);
        Ok((Some(target), Some((Judgement { table, made: "(false)".into(), changed }, at))))
    }

    fn delete(&mut self, verb: usize) -> Result<Written> {
        let at = self.behind(verb, Some("from"))?;
        let table = self.table(at)?;
        let (called, behind) = self.called(at);
        let is_granted = !self.granting(&table, Action::Delete, Some(&HashSet::new())).is_empty();
        if self.scope == Scope::Policies && !is_granted {
            return Err(self.not_granted(&table, Action::Delete));
        }
        let end = find(self.text, behind, &["returning", "order", "limit"]).unwrap_or(self.text.len());
        let target = Target { deletes: true, ..self.target(&table) };
        self.admit(Kind::Delete, &table, Vec::new(), &called, behind, end);
        let never = || "(false)".to_owned();
        Ok((Some(target), Some((Judgement { table, made: never(), changed: never() }, at))))
    }

    fn granted_updates(&self, table: &Table, sets: &HashSet<String>) -> Result<Vec<usize>> {
        let granting = self.granting(table, Action::Update, Some(sets));
        if self.scope == Scope::Policies && granting.is_empty() {
            return Err(self.not_granted(table, Action::Update));
        }
        Ok(granting)
    }

    /// A table that the role can see may be spoken of.
    fn not_granted(&self, table: &Table, action: Action) -> Error {
        let role = self.role.name();
        if self.access.policies_for(&table.name, Action::Select, self.role).next().is_none()
            && self.access.policies_for(&table.name, action, self.role).next().is_none()
        {
            return is_closed(&table.name);
        }
        let what = action.name();
        Error::forbidden(format!("No policy lets the role {role} {what} this in {}.", table.name))
    }

    /// The names of columns in the parentheses at this token, in lower case.
    fn list(&mut self, open: usize) -> HashSet<String> {
        let close = (open..self.text.len()).find(|&at| self.text[at].is_punctuation(b')')).unwrap_or(self.text.len());
        let names =
            self.text[open..close].iter().filter(|token| is_name(token)).map(|token| named(token).to_ascii_lowercase());
        let names = names.collect();
        self.columns.extend(open..close);
        names
    }

    /// The columns that are set between the tokens, in lower case.
    fn sets(&mut self, start: usize, end: usize) -> HashSet<String> {
        let mut sets = HashSet::new();
        let (mut depth, mut expects) = (0_i32, true);
        let mut at = start;
        while at < end {
            let token = &self.text[at];
            match token.kind {
                Token_::Punctuation(b'(') if expects && depth == 0 => {
                    sets.extend(self.list(at));
                    expects = false;
                    depth += 1;
                }
                Token_::Punctuation(b'(') => depth += 1,
                Token_::Punctuation(b')') => depth -= 1,
                Token_::Punctuation(b',') if depth == 0 => expects = true,
                _ if depth == 0 && token.is_any(&["where", "from"]) => break,
                _ if expects && is_name(token) => {
                    sets.insert(named(token).to_ascii_lowercase());
                    self.columns.push(at);
                    expects = false;
                }
                _ => {}
            }
            at += 1;
        }
        sets
    }

    /// Adds the condition on the rows that may be changed to the WHERE between the tokens, or one if there is none.
    fn admit(&mut self, kind: Kind, table: &Table, policies: Vec<usize>, called: &str, start: usize, end: usize) {
        let (kind, policies) = match self.scope {
            Scope::Policies => (kind, policies),
            Scope::Seen => (Kind::Seen, Vec::new()),
        };
        let sight = Sight { kind, role: self.role, table: table.name.clone(), policies };
        let keys: Vec<String> = sight::key_columns(table).into_iter().map(|key| format!("{called}.{key}")).collect();
        // Under the column's own collation another row's key may be equal.
        let same = |(number, key): (usize, &String)| match table.key_collations.get(number) {
            Some(collation) => same_key(&format!("_tide_s.{KEY}{number}"), key, collation),
            None => format!("_tide_s.{KEY}{number} = {key}"),
        };
        let same = keys.iter().enumerate().map(same).collect::<Vec<_>>().join(" AND ");
        let exists = format!("EXISTS (SELECT 1 FROM {} AS _tide_s WHERE {same})", quoted(&sight.name()));
        let admitted = format!("{}({})", admission::FUNCTION, keys.join(", "));
        let last = self.text[end - 1].end();
        let found = find(self.text, start, &["where"]).filter(|&at| at < end);
        match found.map(|at| self.text[at].end()) {
            None => self.insert_at(last, format!(" WHERE CASE WHEN {exists} THEN {admitted} END")),
            // Nothing that may fail is tried on a row before the policies have let it pass.
            Some(open) if self.kind == Kind::Wall => {
                self.insert_at(open, format!(" CASE WHEN {exists} THEN {admitted} AND ("));
                self.insert_at(last, "\n) END".into());
            }
            Some(open) => {
                self.insert_at(open, " (".into());
                self.insert_at(last, format!("\n) AND CASE WHEN {exists} THEN {admitted} END"));
            }
        }
        self.add(sight);
    }

    fn insert_at(&mut self, at: usize, text: String) {
        self.edits.push(Edit { at, end: at, text });
    }
}
