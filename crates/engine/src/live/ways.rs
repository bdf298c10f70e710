//! The ways from a changed row to the results that it may change: found once for a template.
//!
//! Each is a promise that must hold for every content of the tables, so each is made only for SELECTs of a plain shape,
//! and what there is no way for counts as touched, and is run again as a whole.

use super::edge::Edge;
use super::outline::{Asks, Condition, Holds, Operand, OrderName, Outline};
use super::part::{Part, is_exact};
use super::route::Route;
use super::tally::{self, Shown, Tally};
use super::term::Term;
use super::trail::{End, Link, Trail};
use crate::access::functions;
use crate::limits::LiveTiers;
use crate::sqlite::exclude::{quoted, unquoted};
use crate::sqlite::gate::{Mode, Reads};
use crate::sqlite::schema::{Affinity, Collation, Column, Relation, Schema, Table};
use crate::sqlite::tokens::{Kind, Token, tokens};
use crate::sqlite::{Sqlite, Statement};
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Ways {
    /// One for each table that has one.
    pub routes: Vec<Route>,
    /// From tables without a route. What they find are values of one table: first those of the terms of its route, if it
    /// has one, then those of the part's key, if it is the part's table.
    pub trails: Vec<Trail>,
    /// The table they lead to, in lower case.
    pub target: Box<str>,
    pub part: Option<Part>,
    /// Behind which row of an ordered result nothing matters.
    pub edge: Option<Edge>,
    /// How its counts and sums go on from the changed rows.
    pub tally: Option<Tally>,
    /// Why there is not more, for the author of the SQL.
    pub lacks: Vec<String>,
}

impl Ways {
    /// Does a changed row of this table find its queries by its values?
    pub fn lead_from(&self, table: &str) -> bool {
        self.routes.iter().any(|route| route.is_of(table)) || self.trails.iter().any(|trail| *trail.table == *table)
    }
}

/// A condition that fails at a row ends the query even if another condition would have kept the row out, so with functions
/// that may fail every row counts. These fail at nothing but SQLite's own bounds on a value.
const FAIL_AT_BOUNDS: [&str; 5] = ["group_concat", "hex", "quote", "string_agg", "sum"];

/// An aggregate of the rows or of one column.
enum Aggregate<'a> {
    Rows,
    Count(&'a str),
    Sum(&'a str),
    /// One that does not go on from what came and went.
    Other,
}

/// What is asked of the analysis of one statement.
pub struct Search<'a> {
    pub sqlite: &'a mut Sqlite,
    pub schema: &'a Schema,
    pub reads: &'a Reads,
    /// The result does not depend on the order in which rows are read.
    pub is_free_of_scan_order: bool,
    pub is_ordered: bool,
    /// Where each result column comes from, if it is a column.
    pub shown: &'a [Option<(String, String)>],
    pub names: &'a [String],
    pub parameters: usize,
    pub tiers: LiveTiers,
}

impl Search<'_> {
    pub fn run(&mut self, statement: &str) -> Ways {
        let lacking = |why: String| Ways { lacks: vec![why], ..Ways::default() };
        if self.reads.through_view {
            return lacking("It reads through a view.".into());
        }
        if !self.schema.is_utf8() {
            return lacking("The file keeps texts as UTF-16, in whose order they are compared.".into());
        }
        let is_odd = |token: Token<'_>| token.kind == Kind::Variable && token.text[1..].contains(['(', ':']);
        if tokens(statement).any(is_odd) {
            return lacking("A parameter's name has more in it than letters.".into());
        }
        let may_fail = |name: &&String| !(functions::is_safe(name) || FAIL_AT_BOUNDS.contains(&name.as_str()));
        if let Some(name) = self.reads.functions.iter().find(may_fail) {
            return lacking(format!(
                "The function {name} can fail at a row, also at one that another condition keeps out."
            ));
        }
        if self.reads.tables.keys().any(|table| ["json_each", "json_tree"].contains(&table.as_str())) {
            return lacking(
                "json_each and json_tree can fail at a row, also at one that another condition keeps out.".into(),
            );
        }
        let outline = Outline::of(statement, self.parameters);
        if outline.as_ref().is_some_and(|outline| !outline.has_plain_patterns()) {
            return lacking(
                "A pattern of LIKE or GLOB that is no plain value, or an ESCAPE, can fail at a row.".into(),
            );
        }
        outline
            .and_then(|outline| self.ways(&outline))
            .unwrap_or_else(|| lacking("It is not a single SELECT with tables in its FROM.".into()))
    }

    fn ways(&mut self, outline: &Outline<'_>) -> Option<Ways> {
        let conditions = outline.conditions();
        let names: Vec<&str> = conditions
            .iter()
            .flat_map(|(condition, _)| match condition {
                Condition::Asks { column, .. } => vec![*column],
                Condition::Links { left, right } => vec![*left, *right],
            })
            .collect();
        let mut origins = outline.origins(self.sqlite, &names)?.into_iter();
        let mut terms: Vec<(Arc<Table>, Term)> = Vec::new();
        let mut links = Vec::new();
        for (condition, holds) in conditions {
            match condition {
                Condition::Asks { asks, .. } => {
                    if let Some((table, column)) = self.column(outline, origins.next()?)
                        && holds == Holds::Always
                        && may_be_asked(outline, &table, &asks)
                        && let Some(term) = Term::of(column, &table.columns[column], asks)
                    {
                        terms.push((table, term));
                    }
                }
                Condition::Links { .. } => {
                    let ends = [origins.next()?, origins.next()?].map(|origin| self.end(outline, origin));
                    if let [Some(left), Some(right)] = ends {
                        links.extend(Link::of([left, right], holds));
                    }
                }
            }
        }
        let mut routes = Vec::new();
        while let Some((table, _)) = terms.first() {
            let table = Arc::clone(table);
            let (its, others) = terms.into_iter().partition(|(other, _)| other.name == table.name);
            terms = others;
            routes.extend(Route::of(&table.name, Vec::into_iter(its).map(|(_, term)| term).collect()));
        }
        let mut lacks = Vec::new();
        if !self.tiers.routes {
            routes.clear();
            lacks.push("Routes are switched off (live_tiers).".into());
        } else if routes.is_empty() {
            lacks.push("No column of a table is compared with a value, alone or between ANDs in its WHERE.".into());
        }
        let tally = self.tally(outline);
        let part = self.part(outline, &routes).map_err(|why| lacks.extend(tally.is_none().then_some(why.into()))).ok();
        let trails = self.tiers.trails.then(|| self.trails(outline, &links, &routes, part.as_ref()));
        let (target, trails) = trails.flatten().unwrap_or_default();
        let edge = self.edge(outline).map_err(|why| lacks.extend(why)).ok();
        Some(Ways { routes, trails, target, part, edge, tally, lacks })
    }

    /// The column of a table that is named once.
    fn column(&self, outline: &Outline<'_>, origin: Option<(String, String)>) -> Option<(Arc<Table>, usize)> {
        let (table, column) = origin?;
        if is_rowid_name(&column) {
            return None;
        }
        let Some(Relation::Table(known)) = self.schema.get(&table) else { return None };
        let position = known.columns.iter().position(|known| known.name.eq_ignore_ascii_case(&column))?;
        outline.stands_once(&table).then(|| (Arc::clone(known), position))
    }

    fn end(&self, outline: &Outline<'_>, origin: Option<(String, String)>) -> Option<End> {
        let (table, column) = self.column(outline, origin)?;
        let member = outline.members.iter().position(|member| member.table.eq_ignore_ascii_case(&table.name))?;
        Some(End { member, table, column })
    }

    /// By the columns of GROUP BY, or by the primary key of a table: best of one that has a route.
    fn part(&mut self, outline: &Outline<'_>, routes: &[Route]) -> Result<Part, &'static str> {
        if !self.tiers.parts {
            return Err("Parts are switched off (live_tiers).");
        }
        if outline.is_distinct() {
            return Err("DISTINCT compares all rows with each other.");
        }
        if outline.count_of("over") > 0 {
            return Err("A window looks from one row at others.");
        }
        if outline.count_of("limit") > 0 && !self.is_ordered {
            return Err("Which rows a LIMIT without ORDER BY keeps is a matter of chance.");
        }
        if outline.count_of("limit") > 0 && !outline.has_plain_limit() {
            return Err("With an OFFSET each row depends on those before it.");
        }
        if outline.members.len() > 1 && !self.compares_bytes() {
            return Err("It joins tables and reads columns with other collations than BINARY.");
        }
        let part = if outline.is_grouped() {
            self.part_by_group(outline).ok_or(
                "The groups are not by columns that are shown, of a type and with the BINARY collation, or there is more \
                 than count, sum, min and max of columns.",
            )
        } else if self.is_free_of_scan_order {
            self.part_by_key(outline, routes)
                .ok_or("It does not show the primary key of a table that is named once in its FROM and never missing.")
        } else {
            Err("It has an aggregate, a sub-query beside IN and EXISTS, or a function of many rows.")
        }?;
        if self.can_run(&part) {
            Ok(part)
        } else {
            Err("With one more condition it is no statement that SQLite takes.")
        }
    }

    /// By the first column of ORDER BY. Without a LIMIT there is none, and no reason to be given.
    fn edge(&mut self, outline: &Outline<'_>) -> Result<Edge, Option<String>> {
        if outline.count_of("limit") == 0 {
            return Err(None);
        }
        if !self.tiers.edges {
            return Err(Some("Edges are switched off (live_tiers).".into()));
        }
        if !self.is_free_of_scan_order || outline.members.len() > 1 && !self.compares_bytes() {
            return Err(Some("What stands behind the LIMIT cannot be told from a changed row alone.".into()));
        }
        let limit = outline.limit().ok_or("The LIMIT is not a plain value, or there is an OFFSET.".to_owned())?;
        self.ordered_by(outline, limit).ok_or_else(|| {
            Some("The first of ORDER BY is no column that is shown, of a table that is never missing.".into())
        })
    }

    fn ordered_by(&mut self, outline: &Outline<'_>, limit: Operand) -> Option<Edge> {
        let (order, is_descending) = outline.first_order()?;
        let origin = match order {
            OrderName::Of(name) => outline.origins(self.sqlite, &[name])?.pop()?,
            // A name alone is that of a result column if there is one.
            OrderName::Alone(name) => {
                let is_it = |column: &&String| column.eq_ignore_ascii_case(&name);
                let columns = self.names.iter().zip(self.shown);
                let mut named = columns.filter(|(column, _)| is_it(column)).map(|(_, origin)| origin);
                match named.next() {
                    Some(origin) if named.all(|other| other == origin) => origin.clone(),
                    Some(_) => None,
                    None => outline.origins(self.sqlite, &[&quoted(&name)])?.pop()?,
                }
            }
        };
        let (table, column) = self.column(outline, origin)?;
        let member = outline.members.iter().find(|member| member.table.eq_ignore_ascii_case(&table.name))?;
        let Column { name, collation, is_virtual, .. } = &table.columns[column];
        (!member.is_left_joined && !is_virtual).then_some(Edge {
            table: table.name.to_ascii_lowercase().into(),
            column,
            name: name.clone(),
            collation: (*collation)?,
            is_descending,
            shown: self.where_shown(&table, column)?,
            limit,
        })
    }

    fn part_by_key(&self, outline: &Outline<'_>, routes: &[Route]) -> Option<Part> {
        let members = outline.members.iter().filter_map(|member| match self.schema.get(&member.table)? {
            Relation::Table(table) => outline.stands_once(&table.name).then(|| Arc::clone(table)),
            _ => None,
        });
        let mut tables: Vec<Arc<Table>> = members.collect();
        tables.sort_by_key(|table| !routes.iter().any(|route| route.is_of(&table.name)));
        let mut with_key = tables.iter().filter(|table| !table.key.is_empty());
        with_key.find_map(|table| {
            let shown: Option<Vec<usize>> = table.key.iter().map(|&column| self.where_shown(table, column)).collect();
            Part::of(outline, table, &table.key, shown?, self.parameters)
        })
    }

    /// Have all columns that are read SQLite's own order of texts? Where collations meet in a join, SQLite's result may
    /// depend on its plan, and a part has another than the whole.
    fn compares_bytes(&self) -> bool {
        self.reads.tables.iter().all(|(table, names)| match self.schema.get(table) {
            Some(Relation::Table(table)) => {
                let is_read = |column: &&Column| names.contains(&column.name.to_ascii_lowercase());
                table.columns.iter().filter(is_read).all(|column| column.collation == Some(Collation::Binary))
            }
            _ => true,
        })
    }

    fn where_shown(&self, table: &Table, column: usize) -> Option<usize> {
        let is_it = |origin: &Option<(String, String)>| {
            origin.as_ref().is_some_and(|(of, name)| {
                of.eq_ignore_ascii_case(&table.name)
                    && name.eq_ignore_ascii_case(&table.columns[column].name)
                    && !is_rowid_name(name)
            })
        };
        self.shown.iter().position(is_it)
    }

    fn part_by_group(&mut self, outline: &Outline<'_>) -> Option<Part> {
        let functions = ["count", "sum", "min", "max"];
        if !self.reads.functions.iter().all(|name| functions.contains(&name.as_str())) || outline.count_of("select") > 1
        {
            return None;
        }
        let names = outline.group_columns()?;
        let origins = outline.origins(self.sqlite, &names)?;
        let columns: Vec<(Arc<Table>, usize)> =
            origins.into_iter().map(|origin| self.column(outline, origin)).collect::<Option<_>>()?;
        let table = Arc::clone(&columns.first()?.0);
        if columns.iter().any(|(other, _)| other.name != table.name) {
            return None;
        }
        let keys: Vec<usize> = columns.iter().map(|(_, column)| *column).collect();
        let items = outline.items();
        if items.len() != self.shown.len() {
            // `t.*` is one item and several columns.
            return None;
        }
        for (index, item) in items.into_iter().enumerate() {
            if self.shown_key(index, &table, &keys).is_none()
                && (self.shown[index].is_some() || self.aggregate(outline, item).is_none())
            {
                return None;
            }
        }
        let shown: Option<Vec<usize>> = keys.iter().map(|&column| self.where_shown(&table, column)).collect();
        Part::of(outline, &table, &keys, shown?, self.parameters)
    }

    /// The number of the key that a result column shows.
    fn shown_key(&self, column: usize, table: &Table, keys: &[usize]) -> Option<usize> {
        let (of, name) = self.shown[column].as_ref()?;
        let is_it = |&key: &usize| table.columns[key].name.eq_ignore_ascii_case(name);
        if of.eq_ignore_ascii_case(&table.name) { keys.iter().position(is_it) } else { None }
    }

    /// Counts and sums of the rows of one table, all together or by columns that are shown.
    fn tally(&mut self, outline: &Outline<'_>) -> Option<Tally> {
        let [member] = &outline.members[..] else { return None };
        let Some(Relation::Table(table)) = self.schema.get(&member.table) else { return None };
        let table = Arc::clone(table);
        let has_any = |words: &[&str]| words.iter().any(|word| outline.count_of(word) > 0);
        let plain = !has_any(&["over", "limit", "offset", "having", "filter"]) && outline.count_of("select") == 1;
        let is_rowid = |token: &Token<'_>| is_rowid_name(unquoted(token.text).trim_matches('\''));
        if !self.tiers.tallies || self.is_ordered || outline.is_distinct() || !plain || outline.names().any(is_rowid) {
            return None;
        }
        // What is computed is not in the images of changed rows.
        let names = self.reads.tables.get(&table.name.to_ascii_lowercase()).filter(|_| self.reads.tables.len() == 1)?;
        let is_told = |column: &Column| {
            !names.contains(&column.name.to_ascii_lowercase()) || !column.is_virtual && column.collation.is_some()
        };
        let is_known = |name: String| {
            let is_column = |column: &Column| column.name.eq_ignore_ascii_case(&name);
            table.columns.iter().any(is_column) || [&*table.name, &unquoted(member.alias)].contains(&name.as_str())
        };
        if !outline.stands_once(&table.name)
            || !table.columns.iter().all(is_told)
            // The name of a result column, perhaps, which has none in what is counted.
            || !outline.quoted_in_filter().all(is_known)
        {
            return None;
        }
        let by = if outline.is_grouped() { outline.group_columns()? } else { Vec::new() };
        let mut keys = Vec::new();
        for origin in outline.origins(self.sqlite, &by)? {
            keys.push(self.column(outline, origin)?.1);
        }
        let items = outline.items();
        if items.len() != self.shown.len() || !keys.iter().all(|&key| is_exact(&table.columns[key])) {
            return None;
        }
        let (mut shown, mut columns) = (Vec::new(), Vec::new());
        for (index, item) in items.into_iter().enumerate() {
            if let Some(key) = self.shown_key(index, &table, &keys) {
                shown.push(Shown::Key(key));
                continue;
            }
            let aggregate = self.aggregate(outline, item).filter(|_| self.shown[index].is_none())?;
            let number = columns.len();
            shown.push(match aggregate {
                Aggregate::Rows => Shown::Rows,
                Aggregate::Count(name) => {
                    columns.push(tally::numbers_of(name, false));
                    Shown::Count(number)
                }
                Aggregate::Sum(name) => {
                    columns.push(tally::numbers_of(name, true));
                    Shown::Sum(number)
                }
                Aggregate::Other => return None,
            });
        }
        if !(0..keys.len()).all(|key| shown.contains(&Shown::Key(key))) {
            return None;
        }
        let items: Vec<&str> =
            by.iter().copied().chain(["count(*)"]).chain(columns.iter().map(String::as_str)).collect();
        let sql = outline.showing(&items.join(", "));
        let width = keys.len() + 1 + 4 * columns.len();
        let parameters = self.parameters;
        let fits =
            |statement: &Statement| statement.column_count() == width && statement.parameter_count() == parameters;
        let reads = table.columns.iter().map(|column| names.contains(&column.name.to_ascii_lowercase())).collect();
        self.can_be(&sql, fits).then_some(Tally { table, reads, sql, keys: keys.len(), columns: columns.len(), shown })
    }

    /// `count(*)`, `count(column)` or another whose outcome is the same in whatever order rows come.
    fn aggregate<'a>(&mut self, outline: &Outline<'a>, item: &[Token<'a>]) -> Option<Aggregate<'a>> {
        let close = item.iter().position(|token| token.is_punctuation(b')'))?;
        let is_function = |names: &[&str]| names.iter().any(|name| item[0].is(name));
        let is_named = match &item[close + 1..] {
            [] => true,
            [word, name] => word.is("as") && matches!(name.kind, Kind::Word | Kind::Quoted),
            _ => false,
        };
        if close < 3 || !is_named || !item[1].is_punctuation(b'(') {
            return None;
        }
        let mut inside = &item[2..close];
        let is_distinct = is_function(&["count"]) && inside[0].is("distinct");
        if is_distinct {
            inside = &inside[1..];
        }
        if let [only] = inside
            && only.is_punctuation(b'*')
        {
            return is_function(&["count"]).then_some(Aggregate::Rows);
        }
        let name = outline.column_of(inside)?;
        let origin = outline.origins(self.sqlite, &[name])?.pop()?;
        let (table, column) = self.column(outline, origin)?;
        let column = &table.columns[column];
        if is_function(&["count"]) {
            return Some(if is_distinct { Aggregate::Other } else { Aggregate::Count(name) });
        }
        if is_function(&["sum"]) {
            return Some(Aggregate::Sum(name));
        }
        // Of equal values that look different, which one MIN shows is a matter of order.
        let is_exact = column.collation == Some(Collation::Binary) && column.affinity != Affinity::Blob;
        (is_exact && is_function(&["min", "max"])).then_some(Aggregate::Other)
    }

    fn can_run(&mut self, part: &Part) -> bool {
        let (columns, parameters) = (self.shown.len(), self.parameters + part.shown.len());
        self.can_be(&part.sql, |statement| {
            statement.column_count() == columns && statement.parameter_count() == parameters
        })
    }

    fn can_be(&mut self, sql: &str, fits: impl Fn(&Statement) -> bool) -> bool {
        self.sqlite.take_reads();
        let prepared = self.sqlite.prepare(sql, Mode::Live);
        self.sqlite.take_reads();
        matches!(prepared, Ok(Some(statement)) if fits(&statement))
    }

    /// From all other tables to the one whose values tell the most.
    fn trails(
        &self,
        outline: &Outline<'_>,
        links: &[Link],
        routes: &[Route],
        part: Option<&Part>,
    ) -> Option<(Box<str>, Vec<Trail>)> {
        let of_part = part.map(|part| &part.table);
        let best = routes.iter().find(|route| Some(&route.table) == of_part).or(routes.first());
        let target = best.map(|route| &route.table).or(of_part)?;
        let Some(Relation::Table(to)) = self.schema.get(target) else { return None };
        let mut wanted: Vec<usize> =
            best.map_or_else(Vec::new, |route| route.terms.iter().map(|term| term.column).collect());
        wanted.extend(part.filter(|part| part.table == *target).into_iter().flat_map(Part::columns));
        let mut trails = Vec::new();
        for table in self.reads.tables.keys() {
            let Some(Relation::Table(from)) = self.schema.get(table) else { continue };
            let has_route = routes.iter().any(|route| route.is_of(table));
            if !has_route && **table != **target && outline.stands_once(table) {
                trails.extend(Trail::find(self.sqlite, outline, links, from, to, &wanted));
            }
        }
        Some((target.clone(), trails))
    }
}

/// So SQLite calls the rowid that has no column of its own; a column may have that name too, and be another.
fn is_rowid_name(name: &str) -> bool {
    ["rowid", "oid", "_rowid_"].iter().any(|rowid| name.eq_ignore_ascii_case(rowid))
}

/// NULL IS NULL also for the missing side of an outer join, which shows no row's value.
fn may_be_asked(outline: &Outline<'_>, table: &Table, asks: &Asks) -> bool {
    let is_null_safe = matches!(asks, Asks::Equal { is_null_safe: true, .. });
    let mut members = outline.members.iter();
    let member = members.find(|member| member.table.eq_ignore_ascii_case(&table.name));
    !is_null_safe || member.is_some_and(|member| !member.is_left_joined)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::limits::Limits;
    use crate::live::query;
    use crate::sqlite::open::{Purpose, open};
    use std::time::Duration;

    fn ways(sql: &str) -> Ways {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ways.db");
        let writer = open(&path, None, Purpose::Write, Duration::from_secs(5)).unwrap();
        let layout = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b TEXT COLLATE NOCASE, v AS (a) VIRTUAL, n INTEGER); \
                      CREATE TABLE u (id INTEGER PRIMARY KEY, of_t INTEGER, a, word TEXT); \
                      CREATE TABLE w3 (id INTEGER PRIMARY KEY, of_u INTEGER, a); \
                      CREATE VIEW w AS SELECT * FROM t";
        writer.own.execute_batch(layout).unwrap();
        let mut sqlite = open(&path, None, Purpose::Live, Duration::from_secs(5)).unwrap();
        let schema = Schema::load(&sqlite.own).unwrap();
        query::analyse(&mut sqlite, &schema, 0, sql, &Limits::default(), None).unwrap().ways
    }

    /// The columns by which a query is routed, by table.
    fn routed(sql: &str) -> Vec<String> {
        let shown = |route: &Route| {
            let columns: Vec<&str> = route.terms.iter().map(|term| &*term.name).collect();
            format!("{} by {}", route.table, columns.join(", "))
        };
        ways(sql).routes.iter().map(shown).collect()
    }

    #[test]
    fn what_must_hold_for_every_row_is_a_route() {
        for (sql, expected) in [
            ("SELECT a FROM t WHERE a = 1", &["t by a"][..]),
            ("SELECT a FROM t WHERE a = 1 AND b IS 'x' AND length(a) > 1", &["t by a, b"]),
            ("SELECT a FROM t WHERE (a = -1) AND ((b == ?1 AND id > 3))", &["t by a, b"]),
            ("SELECT a FROM t AS x WHERE x.id IN (1, ?, :c) ORDER BY a LIMIT 3", &["t by id"]),
            ("SELECT a FROM t WHERE rowid = 5", &["t by id"]),
            ("SELECT a FROM t WHERE id BETWEEN 1 AND 2 AND a = 5 GROUP BY b", &["t by a"]),
            ("SELECT 1 FROM t JOIN u ON u.of_t = t.id WHERE u.a = 1 AND t.a = 2", &["u by a", "t by a"]),
            ("SELECT 1 FROM t LEFT JOIN u ON u.of_t = t.id WHERE u.a = 1", &["u by a"]),
            ("SELECT a IS DISTINCT FROM b FROM t WHERE a = 1", &["t by a"]),
            ("SELECT a FROM t WHERE b = $x AND id = ?2", &["t by b, id"]),
            ("SELECT a FROM t WHERE 5 = a AND b IS NULL", &["t by a, b"]),
            ("SELECT a FROM t WHERE id < ?1", &["t by id"]),
            ("SELECT a FROM t WHERE ?1 <= id AND b = 'x'", &["t by b"]),
            ("SELECT a FROM t WHERE b LIKE 'x%'", &["t by b"]),
            ("SELECT 1 FROM t JOIN u ON u.of_t = t.id AND u.a = ?1", &["u by a"]),
            ("SELECT 1 FROM t LEFT JOIN u ON u.of_t = t.id WHERE u.a IS 1 AND t.a IS 2", &["t by a"]),
            // No promise.
            ("SELECT 1 FROM t LEFT JOIN u ON u.of_t = t.id AND u.a = 1", &[]),
            ("SELECT 1 FROM t LEFT JOIN u ON u.of_t = t.id WHERE u.a IS NULL", &[]),
            ("SELECT 1 FROM u RIGHT JOIN t ON u.of_t = t.id WHERE u.a IS NULL", &[]),
            ("SELECT a FROM t WHERE a <> 5", &[]),
            ("SELECT a FROM t WHERE b LIKE 'x%' ESCAPE '!'", &[]),
            ("SELECT a FROM t WHERE b = $x::y AND id = ?", &[]),
            ("SELECT a FROM t WHERE b = $x(y) AND id = ?", &[]),
            ("SELECT a FROM t WHERE a = 1 OR b = 2", &[]),
            ("SELECT a FROM t WHERE a = 1 AND b = 2 OR id = 3", &[]),
            ("SELECT a FROM t WHERE NOT a = 1", &[]),
            ("SELECT a FROM t WHERE a = 1 COLLATE NOCASE", &[]),
            ("SELECT a FROM t WHERE a = 1 + 1", &[]),
            ("SELECT a FROM t WHERE a IS NOT 1", &[]),
            ("SELECT a FROM t WHERE a NOT IN (1)", &[]),
            ("SELECT a FROM t WHERE id BETWEEN 1 AND a = 5", &[]),
            ("SELECT a FROM t WHERE CASE WHEN id AND a = 5 THEN 1 END", &[]),
            ("SELECT a FROM t WHERE v = 1", &[]),
            ("SELECT a FROM w WHERE a = 1", &[]),
            ("SELECT a FROM (SELECT * FROM t) WHERE a = 1", &[]),
            ("SELECT a FROM t WHERE a = 1 UNION SELECT b FROM t", &[]),
            ("SELECT x.a FROM t AS x, t AS y WHERE x.a = 1", &[]),
            ("SELECT x.a FROM t AS x, 'T' AS y WHERE x.a = 1", &[]),
            ("SELECT a FROM t WHERE a = 1 AND (SELECT count(*) FROM t) > 1", &[]),
            ("SELECT (SELECT max(a) FROM t) FROM u WHERE a = 1", &["u by a"]),
            // Such a condition fails at some rows, and the query with it.
            ("SELECT a FROM t WHERE a = 1 AND abs(id) > 1", &[]),
        ] {
            assert_eq!(routed(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_row_of_a_joined_table_leads_to_the_table_that_is_asked() {
        for (sql, expected) in [
            (
                "SELECT u.id FROM t JOIN u ON u.of_t = t.id WHERE t.a = ?1",
                &["u: SELECT DISTINCT m0.\"a\" FROM main.\"t\" AS m0 WHERE m0.\"id\" = ?1"][..],
            ),
            (
                "SELECT t.id FROM t, u LEFT JOIN w3 AS x ON x.of_u = u.id WHERE t.n = u.of_t AND t.a = ?1",
                &[
                    "u: SELECT DISTINCT m0.\"a\", m0.\"id\" FROM main.\"t\" AS m0 WHERE m0.\"n\" = ?1",
                    "w3: SELECT DISTINCT m0.\"a\", m0.\"id\" FROM main.\"u\" AS m1, main.\"t\" AS m0 \
                     WHERE m0.\"n\" = m1.\"of_t\" AND m1.\"id\" = ?1",
                ],
            ),
            // By the key alone.
            (
                "SELECT t.id, u.word FROM t LEFT JOIN u ON u.of_t = t.id",
                &["u: SELECT DISTINCT m0.\"id\" FROM main.\"t\" AS m0 WHERE m0.\"id\" = ?1"],
            ),
            // The link binds only rows in which the middle is not missing.
            (
                "SELECT 1 FROM u JOIN t ON 1 LEFT JOIN w3 ON w3.of_u = u.id AND w3.id = t.id WHERE t.a = ?1",
                &["w3: SELECT DISTINCT m1.\"a\" FROM main.\"t\" AS m1 WHERE m1.\"id\" = ?1"],
            ),
            // Compared with a conversion: 5 and '5' are equal.
            ("SELECT 1 FROM t JOIN u ON u.word = t.id WHERE t.a = ?1", &[]),
            ("SELECT 1 FROM t JOIN u ON u.of_t < t.id WHERE t.a = ?1", &[]),
            ("SELECT 1 FROM t JOIN u USING (id) WHERE t.a = ?1", &[]),
            ("SELECT 1 FROM u RIGHT JOIN t ON u.of_t = t.id WHERE t.a = ?1", &[]),
            ("SELECT 1 FROM t JOIN u ON u.of_t = t.id OR u.id = 1 WHERE t.a = ?1", &[]),
        ] {
            let found: Vec<String> =
                ways(sql).trails.iter().map(|trail| format!("{}: {}", trail.table, trail.sql)).collect();
            assert_eq!(found, expected, "{sql}");
        }
    }

    #[test]
    fn a_result_falls_into_parts_by_a_key_that_it_shows() {
        for (sql, expected) in [
            ("SELECT id, a FROM t", Some("SELECT id, a FROM t WHERE t.\"id\" IS ?1 ")),
            (
                "SELECT x.id FROM t AS x WHERE a = ? OR b = 'y' ORDER BY a LIMIT 3",
                Some("SELECT x.id FROM t AS x WHERE (a = ? OR b = 'y') AND x.\"id\" IS ?2 "),
            ),
            (
                "SELECT u.id, t.id FROM u JOIN t ON u.of_t = t.id WHERE t.a = ?1",
                Some("SELECT u.id, t.id FROM u JOIN t ON u.of_t = t.id WHERE (t.a = ?1) AND t.\"id\" IS ?2 "),
            ),
            (
                "SELECT n, count(*) AS c, max(u.word) FROM t JOIN u ON u.of_t = t.id WHERE u.a GROUP BY t.n",
                Some(
                    "SELECT n, count(*) AS c, max(u.word) FROM t JOIN u ON u.of_t = t.id WHERE (u.a) AND t.\"n\" IS ?1 \
                     GROUP BY t.n",
                ),
            ),
            ("SELECT a FROM t", None),
            ("SELECT DISTINCT id FROM t", None),
            ("SELECT id FROM t LIMIT 3", None),
            ("SELECT id FROM t ORDER BY a LIMIT 3 OFFSET 1", None),
            ("SELECT id FROM t ORDER BY a LIMIT 1, 3", None),
            ("SELECT id, row_number() OVER (ORDER BY a) FROM t", None),
            ("SELECT u.id FROM t LEFT JOIN u ON u.of_t = t.id", None),
            ("SELECT x.id FROM t AS x, t AS y", None),
            ("SELECT count(*) FROM t", None),
            ("SELECT n, count(*) FROM t GROUP BY n HAVING count(*) > 1", None),
            ("SELECT n, word, count(*) FROM t, u GROUP BY n", None),
            ("SELECT n, group_concat(word) FROM t, u GROUP BY n", None),
            ("SELECT n, max(b) FROM t GROUP BY n", None),
            ("SELECT n + 0, count(*) FROM t GROUP BY n", None),
            ("SELECT u.*, t.n + 0 FROM u JOIN t ON u.of_t = t.id GROUP BY u.id, u.of_t, u.word", None),
            // Of values that are equal, though they look different, it cannot be told which one is shown.
            ("SELECT b, count(*) FROM t GROUP BY b", None),
            ("SELECT a, count(*) FROM t GROUP BY a", None),
        ] {
            let part = ways(sql).part;
            assert_eq!(part.as_ref().map(|part| &*part.sql), expected, "{sql}");
        }
    }
    #[test]
    fn a_limit_has_an_edge_by_a_column_that_is_shown() {
        for (sql, expected) in [
            ("SELECT id, n FROM t ORDER BY n DESC LIMIT 3", Some(("t", "n", 1))),
            ("SELECT id FROM t WHERE a = ? ORDER BY t.id, a LIMIT ?2;", Some(("t", "id", 0))),
            ("SELECT b, n AS a FROM t ORDER BY a asc LIMIT 3", Some(("t", "n", 1))),
            ("SELECT b, n AS \"x y\", n FROM t ORDER BY [X Y] LIMIT 3", Some(("t", "n", 1))),
            ("SELECT n AS x FROM t ORDER BY n LIMIT 3", Some(("t", "n", 0))),
            ("SELECT x.n FROM u JOIN t AS x ON u.of_t = x.id ORDER BY x.n LIMIT 3", Some(("t", "n", 0))),
            ("SELECT t.n FROM t LEFT JOIN u ON u.of_t = t.id ORDER BY t.n LIMIT 3", Some(("t", "n", 0))),
            // No promise.
            ("SELECT id, n FROM t ORDER BY n", None),
            ("SELECT id, n FROM t LIMIT 3", None),
            ("SELECT id FROM t ORDER BY n LIMIT 3", None),
            ("SELECT n FROM t ORDER BY n LIMIT 3 OFFSET 2", None),
            ("SELECT n FROM t ORDER BY n LIMIT 2 + 1", None),
            ("SELECT n FROM t ORDER BY n DESC NULLS FIRST LIMIT 3", None),
            ("SELECT b FROM t ORDER BY b COLLATE BINARY LIMIT 3", None),
            ("SELECT n FROM t ORDER BY n + 0 LIMIT 3", None),
            ("SELECT n FROM t ORDER BY 1 LIMIT 3", None),
            ("SELECT -n AS n FROM t ORDER BY n LIMIT 3", None),
            ("SELECT v FROM t ORDER BY v LIMIT 3", None),
            ("SELECT n AS x, a AS x FROM t ORDER BY x LIMIT 3", None),
            ("SELECT u.word FROM t LEFT JOIN u ON u.of_t = t.id ORDER BY u.word LIMIT 3", None),
            ("SELECT DISTINCT n FROM t ORDER BY n LIMIT 3", None),
            ("SELECT n, count(*) FROM t GROUP BY n ORDER BY n LIMIT 3", None),
            ("SELECT n, sum(a) OVER () FROM t ORDER BY n LIMIT 3", None),
            ("SELECT n, (SELECT count(*) FROM u) FROM t ORDER BY n LIMIT 3", None),
            ("SELECT x.n FROM t AS x, t AS y ORDER BY x.n LIMIT 3", None),
            ("SELECT n, abs(a) FROM t ORDER BY n LIMIT 3", None),
            ("SELECT n FROM w ORDER BY n LIMIT 3", None),
        ] {
            let edge = ways(sql).edge;
            let shown = edge.as_ref().map(|edge| (&*edge.table, &*edge.name, edge.shown));
            assert_eq!(shown, expected, "{sql}");
        }
    }

    #[test]
    fn counts_and_sums_of_one_table_have_a_tally() {
        for (sql, expected) in [
            ("SELECT count(*) FROM t", Some("SELECT count(*) FROM t ")),
            (
                "SELECT count(x.a) AS c, count(*) FROM t AS x WHERE x.a = ? AND b LIKE ?",
                Some("SELECT count(*), count(x.a), 0, 0.0, 0 FROM t AS x WHERE x.a = ? AND b LIKE ? "),
            ),
            (
                "SELECT count(*), n, id FROM t WHERE a > 1 GROUP BY id, n",
                Some("SELECT id, n, count(*) FROM t WHERE a > 1 GROUP BY id, n"),
            ),
            (
                "SELECT sum(n) FROM t",
                Some(
                    "SELECT count(*), count(n), sum(iif(typeof(n) = 'integer', n, 0)), \
                     total(iif(typeof(n) = 'integer', abs(n + 0.0), 0)), total(typeof(n) NOT IN ('integer', 'null')) FROM t ",
                ),
            ),
            // No promise.
            ("SELECT count(*) + 1 FROM t", None),
            ("SELECT count(DISTINCT n) FROM t", None),
            ("SELECT max(n) FROM t", None),
            ("SELECT avg(n) FROM t", None),
            ("SELECT sum(n + 1) FROM t", None),
            ("SELECT count(*) FILTER (WHERE n) FROM t", None),
            ("SELECT n, count(*) FROM t", None),
            ("SELECT count(*) FROM t GROUP BY n", None),
            ("SELECT n, count(*) FROM t GROUP BY n HAVING count(*) > 1", None),
            ("SELECT n, count(*) FROM t GROUP BY n ORDER BY 2", None),
            ("SELECT n, count(*) FROM t GROUP BY n LIMIT 2", None),
            ("SELECT a, count(*) FROM t GROUP BY a", None),
            ("SELECT b, count(*) FROM t GROUP BY b", None),
            ("SELECT count(v) FROM t", None),
            ("SELECT count(*) FROM t WHERE v = 1", None),
            ("SELECT count(*) FROM t WHERE rowid > 1", None),
            ("SELECT count(*) FROM t, u", None),
            ("SELECT count(*) FROM t AS x, t AS y", None),
            ("SELECT count(*) FROM w", None),
            ("SELECT count(*) FROM t WHERE n IN (SELECT id FROM u)", None),
            ("SELECT count(*) OVER () FROM t", None),
            ("SELECT id FROM t", None),
        ] {
            let tally = ways(sql).tally;
            assert_eq!(tally.as_ref().map(|tally| &*tally.sql), expected, "{sql}");
        }
    }
}
