//! What is known of a live query before it runs: the tables and columns it reads, its columns, what its rows' keys are.
//!
//! The truth about what is read comes from SQLite's own authorizer, through views, CTEs and sub-queries. The text is
//! looked at only for what that cannot tell, and every doubt falls on the safe side: read everything, run again.

use super::audience::{Answers, Audience};
use super::base::{Base, Known};
use super::granted::routing_params;
use super::inbox::Wanted;
use super::rows::KeySource;
use super::ways::{Search, Ways};
use crate::access::asked::{Asked, Asks};
use crate::access::functions::PATTERN_BYTES_MAX;
use crate::access::translate::{self, Translated};
use crate::access::{Access, Action, Caller, Principal, Role};
use crate::changes::change::{ChangeSet, Extent, Rows, Shape};
use crate::error::{Error, Result};
use crate::json;
use crate::limits::Limits;
use crate::sqlite::exclude::unquoted;
use crate::sqlite::gate::{Mode, Reads};
use crate::sqlite::schema::{Relation, Schema};
use crate::sqlite::tokens::{self, Kind, Token};
use crate::sqlite::{Sqlite, Statement};
use crate::storage::execute::{self, Rights};
use crate::value::{Params, Value};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

/// What makes two subscriptions the same query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity([u64; 2]);

impl Identity {
    pub fn of(hash: u128) -> Self {
        Self([hash as u64, (hash >> 64) as u64])
    }

    /// A number that depends on nothing else.
    pub fn number(self) -> u64 {
        self.0[0]
    }
}

/// Names a template: a hash of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateId(pub u128);

/// A SELECT that can be kept live, whatever its parameters' values: analysed once for all who ask it.
#[derive(Debug)]
pub struct Template {
    pub id: TemplateId,
    /// As the client wrote it, for a new analysis when the schema changes.
    pub written: Arc<str>,
    /// Of callers whom policies bind: their role, and what their statement may touch.
    pub bound: Option<Bound>,
    /// As it is run: macros expanded, ties of the outermost ORDER BY broken.
    pub sql: String,
    /// JSON array of the columns' names.
    pub columns: Vec<u8>,
    /// What a client needs to show its own writes in the result.
    pub base: Option<Base>,
    pub is_ordered: bool,
    pub key: KeySource,
    pub reads: Dependencies,
    /// How a changed row finds the queries it may matter to, and the parts of their results.
    pub ways: Ways,
    /// It computes with dates, so that a parameter may ask for the clock.
    reads_dates: bool,
    /// It compares with patterns, of which SQLite refuses long ones at the first row they are tried on.
    has_patterns: bool,
    /// The highest number of a parameter.
    pub parameters: usize,
    /// What a policy asks of the caller, as the routes have it behind the parameters.
    pub asked: Vec<Asked>,
    /// All that the result depends on of its caller, beside the role: callers who answer alike are one group.
    pub asks: Asks,
    /// Who of many callers sees a row of its table, if that is all in which they differ.
    pub audience: Option<Audience>,
    schema_epoch: i64,
}

/// How a query is run for callers.
#[derive(Clone, Debug)]
pub struct Bound {
    pub role: Role,
    pub access: Arc<Access>,
    pub translated: Arc<Translated>,
    /// Where each result column comes from, if it is a column.
    pub shown: Vec<Option<(String, String)>>,
    pub names: Vec<String>,
}

/// A template with its parameters' values and who asks.
#[derive(Debug)]
pub struct Query {
    pub identity: Identity,
    pub template: Arc<Template>,
    pub params: Arc<Params>,
    pub principal: Principal,
    /// By what it is found, if not by its parameters alone.
    routing: Option<Params>,
    /// What its callers answer to the question of the template's audience.
    pub answers: Option<Answers>,
}

impl Query {
    /// # Errors
    /// `unsupported` if a value asks for the clock, or is too long for a pattern.
    pub fn new(template: Arc<Template>, params: &Params, principal: &Principal) -> Result<Self> {
        if template.reads_dates && is_clock_asked(params) {
            return Err(looks_at_clock());
        }
        if template.has_patterns && has_long_text(params) {
            return Err(long_pattern());
        }
        let identity = identity(&template, params, principal);
        let caller = principal.caller().filter(|_| !template.asked.is_empty());
        let routing = caller.map(|caller| routing_params(params, &template.asked, template.parameters, caller));
        let answers =
            principal.caller().zip(template.audience.as_ref()).map(|(caller, audience)| audience.answers(caller));
        let params = Arc::new(params.clone());
        Ok(Self { identity, template, params, principal: principal.clone(), routing, answers })
    }

    /// The values that its routes are of.
    pub fn routing_params(&self) -> &Params {
        self.routing.as_ref().unwrap_or(&self.params)
    }

    /// The same for queries with the same values.
    pub fn params_hash(&self) -> u128 {
        let mut hasher = SipHasher13::new();
        write_params(&mut hasher, &self.params);
        hasher.finish128().as_u128()
    }

    /// Runs `work` in the name of who asks, bounded in time.
    pub fn bounded<T>(
        &self,
        sqlite: &mut Sqlite,
        time: Duration,
        work: impl FnOnce(&mut Sqlite) -> Result<T>,
    ) -> Result<T> {
        sqlite.speaking_for(&self.principal, |sqlite| {
            if let Some(bound) = &self.template.bound {
                sqlite.pass(&bound.access, &bound.translated)?;
            }
            sqlite.bounded(time, None, Mode::Caller, work)
        })
    }

    /// What a client asks for who asks for this.
    pub fn wanted(&self) -> Wanted {
        Wanted::Query { sql: self.template.written.to_string(), params: Params::clone(&self.params), since: None }
    }

    /// Was it analysed before the schema was this one?
    pub fn is_older_than(&self, schema_epoch: i64) -> bool {
        self.template.schema_epoch < schema_epoch
    }

    /// Of SQL, parameters, what its caller answers, and the schema: what a result must be of to be gone on from.
    pub fn write_identity(&self, hasher: &mut impl Hasher) {
        self.identity.0.iter().for_each(|half| hasher.write_u64(*half));
        hasher.write_i64(self.template.schema_epoch);
    }

    /// May this change set have changed the result?
    pub fn is_touched_by(&self, set: &ChangeSet) -> bool {
        let reads = &self.template.reads;
        let Extent::Rows(rows) = &set.extent else { return true };
        reads.is_touched_as_a_whole(rows)
            || (0..rows.shapes.len()).any(|shape| {
                reads.of(&rows.shapes[shape]).is_some_and(|read| read.are_touched(rows, shape))
                    && self
                        .template
                        .ways
                        .routes
                        .iter()
                        .find(|route| route.is_of(&rows.shapes[shape].table))
                        .is_none_or(|route| route.leads(rows, shape, self.routing_params()))
            })
    }
}

/// What a query reads; a change elsewhere cannot change its result.
#[derive(Debug, Default)]
pub struct Dependencies {
    /// Something that no change set tells of, so every commit counts.
    everything: bool,
    /// By lower-case table name: the columns that matter, or all.
    tables: HashMap<Box<str>, Columns>,
}

#[derive(Debug)]
enum Columns {
    All,
    /// Few, as a rule, and compared without regard to case.
    These(Vec<Box<str>>),
}

impl Dependencies {
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(|table| &**table)
    }

    /// The columns of a table that matter; `None` if all do.
    pub fn columns(&self, table: &str) -> Option<Vec<&str>> {
        match self.tables.get(table)? {
            Columns::All => None,
            Columns::These(columns) => Some(columns.iter().map(|column| &**column).collect()),
        }
    }

    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// Is something told that is of no one row, or of every commit?
    pub fn is_touched_as_a_whole(&self, rows: &Rows) -> bool {
        self.everything || rows.opaque.iter().any(|table| self.tables.contains_key(table))
    }

    /// What is read of a table that was written; `None` if nothing is.
    pub fn of(&self, shape: &Shape) -> Option<ReadColumns> {
        let Columns::These(names) = self.tables.get(&*lower(&shape.table))? else { return Some(ReadColumns::Any) };
        let is_read = |column: &str| names.iter().any(|name| name.eq_ignore_ascii_case(column));
        let read: Box<[usize]> = (0..shape.columns.len()).filter(|&index| is_read(&shape.columns[index])).collect();
        let is_computed = read.iter().any(|&index| shape.is_virtual.get(index).copied().unwrap_or(true));
        Some(if is_computed { ReadColumns::Any } else { ReadColumns::These(read) })
    }
}

/// A table's name as tables are listed; mostly it is in lower case already.
pub fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// The columns of a table, as it was when rows were written, that a query reads.
#[derive(Debug)]
pub enum ReadColumns {
    /// Of these any change matters: all are read, or one that is computed and so follows from the others.
    Any,
    /// By index.
    These(Box<[usize]>),
}

impl ReadColumns {
    pub fn are_touched(&self, rows: &Rows, shape: usize) -> bool {
        let Self::These(columns) = self else { return true };
        rows.changes.iter().filter(|change| change.shape == shape).any(|change| match (&change.old, &change.new) {
            (Some(old), Some(new)) => columns.iter().any(|&column| match (old.get(column), new.get(column)) {
                (Some(old), Some(new)) => !old.same(new),
                _ => true,
            }),
            _ => true,
        })
    }
}

pub fn template_id(sql: &str, role: Option<Role>) -> TemplateId {
    let mut hasher = SipHasher13::new();
    write_text(&mut hasher, sql);
    if let Some(role) = role {
        write_text(&mut hasher, role.name());
    }
    TemplateId(hasher.finish128().as_u128())
}

/// The identity of a query: its text with its parameters, and what it asks of its reader.
pub fn identity(template: &Template, params: &Params, principal: &Principal) -> Identity {
    let mut hasher = SipHasher13::new();
    write_text(&mut hasher, &template.written);
    write_params(&mut hasher, params);
    if let Some(caller) = principal.caller() {
        write_text(&mut hasher, caller.role.name());
        write_answers(&mut hasher, &template.asks, caller);
    }
    Identity::of(hasher.finish128().as_u128())
}

/// Of a text and its parameters, whoever asks.
pub fn number(sql: &str, params: &Params) -> u64 {
    let mut hasher = SipHasher13::new();
    write_text(&mut hasher, sql);
    write_params(&mut hasher, params);
    Identity::of(hasher.finish128().as_u128()).number()
}

fn write_answers(hasher: &mut SipHasher13, asks: &Asks, caller: &Caller) {
    let Asks::These(questions) = asks else {
        hasher.write_u8(0);
        hasher.write_u8(caller.uid.is_some().into());
        write_text(hasher, caller.uid.as_deref().unwrap_or_default());
        return write_text(hasher, &caller.claims.to_string());
    };
    for question in questions {
        match question {
            Asked::Uid => hasher.write_u8(1),
            Asked::Role => hasher.write_u8(2),
            Asked::Claim(path) => {
                hasher.write_u8(3);
                write_text(hasher, path);
            }
        }
        super::rows::hash_value(hasher, question.value(caller).as_ref());
    }
}

/// Of values that stand beside each other.
pub fn values_hash(values: &[&Value]) -> u128 {
    let mut hasher = SipHasher13::new();
    values.iter().for_each(|value| super::rows::hash_value(&mut hasher, value.as_ref()));
    hasher.finish128().as_u128()
}

pub(super) fn write_text(hasher: &mut SipHasher13, text: &str) {
    hasher.write_u64(text.len() as u64);
    hasher.write(text.as_bytes());
}

pub(super) fn write_params(hasher: &mut SipHasher13, params: &Params) {
    match params {
        Params::None => hasher.write_u8(0),
        Params::Positional(values) => {
            hasher.write_u8(1);
            values.iter().for_each(|value| super::rows::hash_value(hasher, value.as_ref()));
        }
        Params::Named(values) => {
            hasher.write_u8(2);
            for (name, value) in values {
                write_text(hasher, name);
                super::rows::hash_value(hasher, value.as_ref());
            }
        }
    }
}

/// Compiles and analyses a query on a lane's connection.
///
/// # Errors
/// The caller's mistakes in SQLite's words; `unsupported` for what cannot be live.
pub fn analyse(
    sqlite: &mut Sqlite,
    schema: &Schema,
    schema_epoch: i64,
    sql: &str,
    limits: &Limits,
    asker: Option<(Role, &Arc<Access>)>,
) -> Result<Template> {
    if sql.len() > limits.sql_bytes_max {
        return Err(Error::too_large(format!("The SQL text is longer than {} bytes.", limits.sql_bytes_max)));
    }
    let rights = asker.map(|(role, access)| Rights { access, role });
    let expanded = execute::expanded(sqlite, sql, rights)?;
    let parts = execute::split(&expanded)?;
    let [one] = parts[..] else { return Err(Error::invalid("One SELECT at a time can be live.")) };
    let written = one;
    let mut bound = asker
        .map(|(role, access)| {
            let translated = access.translate(role, one)?;
            if translated.judgement.is_some() {
                return Err(Error::invalid(ONLY_SELECT));
            }
            sqlite.pass(access, &translated)?;
            Ok::<_, Error>(Bound { role, access: Arc::clone(access), translated, shown: Vec::new(), names: Vec::new() })
        })
        .transpose()?;
    let asks = bound.as_ref().map_or_else(Asks::default, |bound| bound.asks(one));
    let translated = bound.as_ref().map(|bound| Arc::clone(&bound.translated));
    let one = translated.as_ref().map_or(one, |translated| &*translated.sql);
    let (mut statement, mut reads) = prepare(sqlite, one)?;
    if let Some(translated) = &translated {
        // SQLite tells of what stands behind them, too.
        reads.tables.retain(|table, _| !translated.passage.has(table));
    }
    let text: Vec<Token<'_>> = tokens::tokens(one).collect();
    for table in silently_read(sqlite, schema, &text, bound.as_ref())? {
        reads.tables.entry(table).or_default();
    }
    refuse_clock(&text, &reads)?;
    let columns: Vec<String> = (0..statement.column_count()).map(|column| statement.column_name(column)).collect();
    let ties_broken = break_ties(one, columns.len());
    let is_ordered = ties_broken.is_some();
    let run = ties_broken.unwrap_or_else(|| one.to_owned());
    if is_ordered {
        statement = prepare(sqlite, &run)?.0;
    }
    let origins: Vec<_> = (0..statement.column_count()).map(|column| statement.column_origin(column)).collect();
    let parameters = statement.parameter_count();
    drop(statement);
    // A view of whose columns none is read is not told by the authorizer.
    let is_view =
        |token: &Token<'_>| matches!(schema.get(unquoted(token.text).trim_matches('\'')), Some(Relation::View));
    let may_name = |token: &&Token<'_>| matches!(token.kind, Kind::Word | Kind::Quoted | Kind::Text);
    reads.through_view |= text.iter().filter(may_name).any(is_view);
    let has_patterns = ["like", "glob"].iter().any(|name| reads.functions.contains(*name));
    if has_patterns && text.iter().any(|token| token.kind == Kind::Text && token.text.len() > PATTERN_BYTES_MAX) {
        return Err(long_pattern());
    }
    let is_free_of_scan_order = is_free_of_scan_order(&reads, &text);
    let ways = Search {
        sqlite,
        schema,
        reads: &reads,
        is_free_of_scan_order,
        is_ordered,
        shown: &origins,
        names: &columns,
        parameters,
        tiers: limits.live_tiers,
    }
    .run(one);
    let key = key_source(&origins, schema, &text, &ways);
    let base = Base::of(written, &Known { schema, origins: &origins, names: &columns, reads: &reads, parameters });
    if let Some(bound) = &mut bound {
        (bound.shown, bound.names) = (origins, columns.clone());
    }
    Ok(Template {
        id: template_id(sql, bound.as_ref().map(|bound| bound.role)),
        written: sql.into(),
        bound,
        key,
        ways,
        has_patterns,
        parameters,
        asked: Vec::new(),
        asks: with_noticed(asks, &reads),
        audience: None,
        reads_dates: DATES.iter().any(|name| reads.functions.contains(*name)),
        reads: dependencies(&reads, schema, is_free_of_scan_order)?,
        sql: run,
        columns: names(&columns),
        base,
        is_ordered,
        schema_epoch,
    })
}

impl Bound {
    /// What its statement asks of the caller, the policies that it meets do, and the schema may.
    fn asks(&self, statement: &str) -> Asks {
        let sights = self.translated.passage.sights.iter();
        let policies = sights.flat_map(|sight| self.access.policies_for(&sight.table, Action::Select, self.role));
        let using = policies.filter_map(|policy| policy.using.as_deref());
        using.fold(Asks::of(statement), |asks, using| asks.and(&Asks::of(using))).and(&self.access.asks)
    }
}

/// SQLite has the last word on which questions are asked, though not on which claims.
fn with_noticed(asks: Asks, reads: &Reads) -> Asks {
    let has_claim = match &asks {
        Asks::These(these) => these.iter().any(|asked| matches!(asked, Asked::Claim(_))),
        Asks::Anything => true,
    };
    if reads.functions.contains("auth_claim") && !has_claim {
        return Asks::Anything;
    }
    if reads.functions.contains("auth_uid") { asks.and_these(&[Asked::Uid]) } else { asks }
}

/// A SELECT of ours, and what it reads; `None` if it is no good.
pub fn prepare_plain(sqlite: &mut Sqlite, sql: &str) -> Option<(Statement, Reads)> {
    prepare(sqlite, sql).ok()
}

const ONLY_SELECT: &str = "Only a SELECT can be live.";

fn joins_silently<'a>(mut text: impl Iterator<Item = Token<'a>>) -> bool {
    text.any(|token| token.is_any(&["using", "natural"]))
}

/// Tables of which the authorizer may have told nothing: of columns that USING and NATURAL join by it is silent. In doubt more than
/// are read.
fn silently_read(sqlite: &Sqlite, schema: &Schema, text: &[Token<'_>], bound: Option<&Bound>) -> Result<Vec<String>> {
    let mut list = sqlite.own.prepare_cached("SELECT sql FROM main.sqlite_schema WHERE type = 'view'")?;
    let views: Vec<String> = list.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let policies = bound.into_iter().flat_map(|bound| &bound.access.policies);
    let conditions: Vec<&str> = policies.filter_map(|policy| policy.using.as_deref()).collect();
    let others = || views.iter().map(String::as_str).chain(conditions.iter().copied());
    if !joins_silently(text.iter().copied()) && !others().any(|text| joins_silently(tokens::tokens(text))) {
        return Ok(Vec::new());
    }
    let mut named: Vec<String> = bound.into_iter().flat_map(|bound| bound.translated.passage.behind.clone()).collect();
    let mut add = |token: Token<'_>| named.push(translate::named(&token).to_ascii_lowercase());
    text.iter().copied().for_each(&mut add);
    // Through a view of the schema, whatever any of them names.
    if text.iter().any(|token| matches!(schema.get(&translate::named(token)), Some(Relation::View))) {
        views.iter().flat_map(|view| tokens::tokens(view)).for_each(&mut add);
    }
    named.retain(|name| matches!(schema.get(name), Some(Relation::Table(_) | Relation::Virtual(_))));
    Ok(named)
}

fn prepare(sqlite: &mut Sqlite, sql: &str) -> Result<(Statement, Reads)> {
    sqlite.take_reads();
    let statement = sqlite.prepare(sql, Mode::Live)?.ok_or_else(|| Error::invalid(execute::EMPTY_SQL))?;
    let reads = sqlite.take_reads();
    let is_pragma = tokens::tokens(sql).next().is_some_and(|first| first.is("pragma"));
    if !statement.is_readonly() || statement.is_explain() || statement.column_count() == 0 || is_pragma {
        return Err(Error::invalid(ONLY_SELECT));
    }
    Ok((statement, reads))
}

/// Appends every result column to the outermost ORDER BY, so that rows which tie still have one order, whatever the
/// plan: only rows equal in all columns remain, and those are alike. `None` without an ORDER BY.
fn break_ties(sql: &str, columns: usize) -> Option<String> {
    let end = tokens::order_by_end(sql)?;
    let mut broken = sql[..end].to_owned();
    for column in 1..=columns {
        broken.push_str(&format!(", {column} COLLATE BINARY"));
    }
    broken.push_str(&sql[end..]);
    Some(broken)
}

fn names(columns: &[String]) -> Vec<u8> {
    let mut out = vec![b'['];
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::write_str(&mut out, column);
    }
    out.push(b']');
    out
}

const VOLATILE: [&str; 9] = [
    "random",
    "randomblob",
    "changes",
    "total_changes",
    "last_insert_rowid",
    "current_date",
    "current_time",
    "current_timestamp",
    "sqlite_offset",
];

const DATES: [&str; 7] = ["date", "time", "datetime", "julianday", "strftime", "unixepoch", "timediff"];

/// What needs no change of data to give another result can never be told of. What this text check misses, the clock of
/// the lane's connections notices when the query runs.
fn refuse_clock(text: &[Token<'_>], reads: &Reads) -> Result<()> {
    if let Some(volatile) = VOLATILE.iter().find(|name| reads.functions.contains(**name)) {
        return Err(Error::unsupported(format!(
            "{volatile} gives another answer at every call, so the query cannot be live. Bind its value instead."
        )));
    }
    if !DATES.iter().any(|name| reads.functions.contains(*name)) {
        return Ok(());
    }
    let in_text =
        text.iter().any(|token| token.kind == Kind::Text && says_now(token.text.trim_matches('\'').as_bytes()));
    let without_arguments = text.windows(3).any(|three| {
        DATES.iter().any(|name| three[0].is(name)) && three[1].is_punctuation(b'(') && three[2].is_punctuation(b')')
    });
    let only_format = text.windows(4).any(|four| {
        four[0].is("strftime")
            && four[1].is_punctuation(b'(')
            && four[2].kind == Kind::Text
            && four[3].is_punctuation(b')')
    });
    if in_text || without_arguments || only_format { Err(looks_at_clock()) } else { Ok(()) }
}

fn says_now(text: &[u8]) -> bool {
    text.trim_ascii().eq_ignore_ascii_case(b"now")
}

fn is_clock_asked(params: &Params) -> bool {
    let is_now = |value: &Value| matches!(value, Value::Text(bytes) if says_now(bytes));
    match params {
        Params::None => false,
        Params::Positional(values) => values.iter().any(is_now),
        Params::Named(values) => values.iter().any(|(_, value)| is_now(value)),
    }
}

fn long_pattern() -> Error {
    Error::unsupported(format!(
        "A query with LIKE or GLOB can be live with texts of at most {PATTERN_BYTES_MAX} bytes."
    ))
}

fn has_long_text(params: &Params) -> bool {
    let is_long =
        |value: &Value| matches!(value, Value::Text(bytes) | Value::Blob(bytes) if bytes.len() > PATTERN_BYTES_MAX);
    match params {
        Params::None => false,
        Params::Positional(values) => values.iter().any(is_long),
        Params::Named(values) => values.iter().any(|(_, value)| is_long(value)),
    }
}

pub fn looks_at_clock() -> Error {
    Error::unsupported(
        "The query looks at the clock ('now'), so its result changes without any write and cannot be live. \
         Bind the time as a parameter and subscribe again when it should move on.",
    )
}

fn dependencies(reads: &Reads, schema: &Schema, by_columns: bool) -> Result<Dependencies> {
    let mut found = Dependencies::default();
    for (table, columns) in &reads.tables {
        match schema.get(table) {
            Some(Relation::Table(_)) if table.starts_with("_tide") => {
                return Err(Error::unsupported(format!(
                    "{table} is kept by Tidebase: it can be read, but not live, for what is written there is not told."
                )));
            }
            Some(Relation::Table(_)) if table.starts_with("sqlite_") => {
                found.everything = true;
            }
            Some(Relation::Table(_)) => {
                let columns = if by_columns {
                    Columns::These(columns.iter().map(|column| column.as_str().into()).collect())
                } else {
                    Columns::All
                };
                found.tables.insert(table.as_str().into(), columns);
            }
            Some(Relation::Virtual(module)) if ["fts5", "rtree", "rtree_i32"].contains(&&**module) => {
                found.tables.insert(table.as_str().into(), Columns::All);
                // An external-content index shows its content table's columns.
                found.everything = true;
            }
            Some(Relation::Shadow(owner)) => {
                found.tables.insert(owner.clone(), Columns::All);
            }
            Some(Relation::Virtual(module)) => {
                return Err(Error::unsupported(format!("A virtual table of the kind {module} cannot be live.")));
            }
            None if ["json_each", "json_tree"].contains(&table.as_str()) => {}
            None if table == "sqlite_master" || table == "sqlite_schema" => found.everything = true,
            None if schema.has_module(table) => {
                return Err(Error::unsupported(format!("{table} cannot be live: its changes cannot be seen.")));
            }
            // A view or a common table expression: what it reads is reported under the tables' own names.
            Some(Relation::View) | None => {}
        }
    }
    Ok(found)
}

/// Functions of their arguments alone: whatever the order of rows, the result is the same.
const PLAIN_FUNCTIONS: [&str; 33] = [
    "abs",
    "ceil",
    "char",
    "coalesce",
    "concat",
    "date",
    "datetime",
    "floor",
    "format",
    "glob",
    "hex",
    "iif",
    "ifnull",
    "instr",
    "json",
    "json_extract",
    "julianday",
    "length",
    "like",
    "lower",
    "ltrim",
    "nullif",
    "printf",
    "replace",
    "round",
    "rtrim",
    "strftime",
    "substr",
    "substring",
    "trim",
    "typeof",
    "unixepoch",
    "upper",
];

/// Is the result, as a bag, the same whatever order SQLite scans the tables in? Then a change of a column that the
/// query does not name cannot change it. Otherwise an unnamed column may: through an index that is scanned instead of
/// the table, it decides which rows a LIMIT keeps, what a bare column shows, in which order floats are summed.
pub fn is_free_of_scan_order(reads: &Reads, text: &[Token<'_>]) -> bool {
    let mut selects_in_lists = 0;
    let mut selects = 0;
    let mut has_limit = false;
    let mut has_order = false;
    for (index, token) in text.iter().enumerate() {
        // What USING and NATURAL compare, the authorizer is not told.
        let words =
            ["group", "distinct", "over", "union", "except", "intersect", "values", "offset", "using", "natural"];
        if words.iter().any(|word| token.is(word)) {
            return false;
        }
        has_limit |= token.is("limit");
        has_order |= token.is("order");
        if token.is("select") {
            selects += 1;
            let before = index.checked_sub(2).map(|at| (&text[at], &text[at + 1]));
            if before.is_some_and(|(word, open)| open.is_punctuation(b'(') && (word.is("in") || word.is("exists"))) {
                selects_in_lists += 1;
            }
        }
    }
    // With ties broken, ORDER BY … LIMIT depends on the named columns alone.
    let limit_is_safe = !has_limit || has_order && selects == 1;
    !reads.through_view
        && selects == selects_in_lists + 1
        && limit_is_safe
        && reads.functions.iter().all(|function| PLAIN_FUNCTIONS.contains(&function.as_str()))
}

/// Which columns make a row's key: primary keys that are in the result, the named columns of a GROUP BY result, or else
/// the whole row. Whatever is chosen, keys are made unique, so this decides how small deltas are, not whether they are
/// right.
pub fn key_source(origins: &[Option<(String, String)>], schema: &Schema, text: &[Token<'_>], ways: &Ways) -> KeySource {
    // A part's rows are found by the beginning of their keys, and a tally's by all that makes its groups.
    let first = match (&ways.part, &ways.tally) {
        (Some(part), _) => part.shown.clone(),
        (None, Some(tally)) => tally.key_columns(),
        (None, None) => Vec::new(),
    };
    let ordered = |keys: Vec<usize>| {
        let others = keys.into_iter().filter(|key| !first.contains(key));
        KeySource::Columns(first.iter().copied().chain(others).collect())
    };
    let shows = |table: &str, column: &str| {
        origins.iter().flatten().any(|(t, c)| t.eq_ignore_ascii_case(table) && c.eq_ignore_ascii_case(column))
    };
    let is_key_part = |(table, column): &(String, String)| {
        let Some(Relation::Table(known)) = schema.get(table) else { return false };
        let parts: Vec<&str> = known.key.iter().map(|&index| &*known.columns[index].name).collect();
        parts.iter().any(|part| part.eq_ignore_ascii_case(column)) && parts.iter().all(|part| shows(table, part))
    };
    let keys: Vec<usize> =
        (0..origins.len()).filter(|&index| origins[index].as_ref().is_some_and(is_key_part)).collect();
    if !keys.is_empty() {
        return ordered(keys);
    }
    let plain: Vec<usize> = (0..origins.len()).filter(|&index| origins[index].is_some()).collect();
    let is_grouped = text.iter().any(|token| token.is("group"));
    if is_grouped && !plain.is_empty() && plain.len() < origins.len() {
        return ordered(plain);
    }
    if first.is_empty() { KeySource::Row } else { KeySource::Columns(first) }
}

/// Queries are shared by everyone who asks the same.
pub type SharedQuery = Arc<Query>;
