//! `EXPLAIN LIVE SELECT …`: what a live query costs and why, in words for its author.

use super::edge::Edge;
use super::query::{self, Template};
use super::term::Term;
use super::trail;
use crate::error::Result;
use crate::limits::Limits;
use crate::sqlite::Sqlite;
use crate::sqlite::schema::Schema;
use crate::sqlite::tokens::tokens;
use crate::value::Value;

/// The words before the SELECT.
const WORDS: [&str; 2] = ["explain", "live"];

/// A topic and a sentence.
type Said = (&'static str, String);

/// The SELECT behind `EXPLAIN LIVE`, if it is one.
pub fn explained(sql: &str) -> Option<&str> {
    let mut text = tokens(sql);
    if !WORDS.iter().all(|word| text.next().is_some_and(|token| token.is(word))) {
        return None;
    }
    Some(text.next().map_or("", |first| &sql[first.at..]))
}

/// What there is to say of a query.
///
/// # Errors
/// What a subscription to it would be refused with.
pub fn explain(sqlite: &mut Sqlite, sql: &str, limits: &Limits) -> Result<Vec<Said>> {
    let schema = Schema::load(&sqlite.own)?;
    let template = query::analyse(sqlite, &schema, 0, sql, limits, None)?;
    let mut said = watched(&template);
    said.extend(found(&template));
    said.extend(left_out(&template));
    said.push(read_again(&template));
    said.extend(template.ways.lacks.iter().map(|why| ("because", why.clone())));
    for trail in template.ways.trails.iter().filter_map(|trail| trail.unindexed.as_deref()) {
        said.push(("index", format!("{trail} has none: a changed row that is followed there reads the whole table.")));
    }
    let run = template.ways.part.as_ref().map_or(&template.sql, |part| &part.sql);
    let scanned = trail::scanned(sqlite, run)?;
    said.extend(scanned.iter().map(|table| ("index", format!("{table} is read from first row to last at each run."))));
    Ok(said)
}

/// A statement that gives these rows, and its parameters.
pub fn as_rows(said: Vec<Said>) -> (String, Vec<Value>) {
    let row = |number: usize| format!("(?{}, ?{})", 2 * number + 1, 2 * number + 2);
    let rows: Vec<String> = (0..said.len()).map(row).collect();
    let sql = format!("SELECT column1 AS topic, column2 AS says FROM (VALUES {})", rows.join(", "));
    let values = said.into_iter().flat_map(|(topic, says)| [Value::text(topic), Value::text(says)]).collect();
    (sql, values)
}

fn sorted<'a>(tables: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut tables: Vec<&str> = tables.collect();
    tables.sort_unstable();
    tables
}

fn watched(template: &Template) -> Vec<Said> {
    let reads = &template.reads;
    if reads.is_everything() {
        return vec![("watches", "every commit: it reads what no change is told of".into())];
    }
    let columns = |table: &str| reads.columns(table).map_or_else(|| "all columns".into(), |columns| columns.join(", "));
    sorted(reads.tables()).into_iter().map(|table| ("watches", format!("{table} ({})", columns(table)))).collect()
}

fn found(template: &Template) -> Vec<Said> {
    let ways = &template.ways;
    let mut said: Vec<Said> = Vec::new();
    for route in &ways.routes {
        let terms: Vec<String> = route.terms.iter().map(Term::words).collect();
        said.push(("found by", format!("{}: {}", route.table, terms.join(" and "))));
    }
    for trail in &ways.trails {
        let columns: Vec<&str> = trail.columns.iter().map(|(_, name)| &**name).collect();
        let columns = columns.join(", ");
        said.push(("found by", format!("{}: through {columns} to the rows of {}", trail.table, ways.target)));
    }
    for table in sorted(template.reads.tables().filter(|table| !ways.lead_from(table))) {
        said.push(("found by", format!("{table}: every change of what is watched, whatever the parameters")));
    }
    said
}

fn left_out(template: &Template) -> Option<Said> {
    let Edge { table, name, is_descending, .. } = template.ways.edge.as_ref()?;
    let direction = if *is_descending { "falling" } else { "rising" };
    Some(("left out", format!("{table}: changes behind the last row shown, by {name}, {direction}")))
}

fn read_again(template: &Template) -> Said {
    if template.ways.tally.is_some() {
        return ("read again", "nothing if it takes long: its counts and sums go on from the changed rows".into());
    }
    let Some(part) = &template.ways.part else { return ("read again", "the whole result".into()) };
    let columns: Vec<String> = part.names().map(|name| format!("{}.{name}", part.table)).collect();
    let what = if part.is_grouped { "groups" } else { "rows" };
    let order = if template.is_ordered { ", and the whole if one of them is or was shown, for its place" } else { "" };
    ("read again", format!("the {what} of the changed {}{order}", columns.join(", ")))
}
