//! The statements of a GET: the rows, the rows embedded in them, and their number; all on one snapshot.

use super::address::Address;
use super::answer::{self, Part, Rows};
use super::asked::Asked;
use super::cursor;
use super::select::{Embed, What};
use super::text::{Text, has_key};
use crate::answer as envelope;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response};
use tidebase_engine::tables::{Kind, Table};
use tidebase_engine::{Answer, Error, Format, Result, Sql, Value};

/// How many rows there are in all, if that was asked.
pub const COUNT: HeaderName = HeaderName::from_static("tidebase-count");

/// What the table is called in its statements, and an embedded one in its own.
const MAIN: &str = "t0";
const OTHER: &str = "t1";
/// The rows whose relatives are asked, and the columns by which they are.
const ASKING: &str = "asking";
const LINK: &str = "link";

pub struct Plan<'a> {
    pub statements: Vec<Sql>,
    pub format: Format,
    asked: &'a Asked,
    /// One row is wanted, not a list.
    wants_one: bool,
    /// The columns that are read, those for cursors and embeds behind those that are shown.
    columns: Vec<usize>,
    is_counted: bool,
}

pub fn plan<'a>(address: &'a Address, asked: &'a Asked) -> Result<Plan<'a>> {
    let table = &*asked.table;
    let condition = condition(address, asked);
    let mut columns: Vec<usize> = Vec::new();
    let mut want = |column: usize| {
        if !columns.contains(&column) {
            columns.push(column);
        }
    };
    for shown in &asked.selection.0 {
        if let What::Column(column) = shown.what {
            want(column);
        }
    }
    asked.selection.embeds().flat_map(|embed| &embed.links).for_each(|(ours, _)| want(*ours));
    if gives_cursor(asked) {
        asked.order.iter().for_each(|order| want(order.column));
    }
    if columns.is_empty() {
        return Err(Error::invalid("\"select\" names nothing that is of the table itself."));
    }
    let mut statements = vec![rows(address, asked, &condition, &columns, 1).done()];
    statements.extend(asked.selection.embeds().map(|embed| relatives(address, asked, &condition, embed).done()));
    if asked.counts {
        statements.push(count(table, &condition).done());
    }
    let mut plan = Plan {
        statements,
        format: Format::Raw,
        asked,
        wants_one: address.id.is_some(),
        columns,
        is_counted: asked.counts,
    };
    if plan.is_plain() {
        plan.format = Format::Objects;
    }
    Ok(plan)
}

/// The order is full, so the next page begins behind the last row.
fn gives_cursor(asked: &Asked) -> bool {
    asked.limit.is_some_and(|limit| limit > 0) && asked.is_full_order
}

/// The key and the filters; what a page is after comes on top of it.
fn condition(address: &Address, asked: &Asked) -> Text {
    let mut text = Text::default();
    if let Some(id) = &address.id {
        has_key(&mut text, MAIN, &asked.table, id);
    }
    text.list(&asked.filters, " AND ", |text, filter| filter.write(text, MAIN, &asked.table));
    text
}

/// SELECT of these columns of the rows of this page, and one row `more` to see whether there is another page.
fn rows(address: &Address, asked: &Asked, condition: &Text, columns: &[usize], more: usize) -> Text {
    let table = &*asked.table;
    let mut text = Text::of("SELECT ");
    text.list(columns, ", ", |text, &column| {
        text.column(MAIN, &table.columns[column].name).say(" AS ").name(&table.columns[column].name);
    });
    from_where(&mut text, asked, condition);
    if address.id.is_some() {
        return text;
    }
    if !asked.order.is_empty() {
        text.say(" ORDER BY ").list(&asked.order, ", ", |text, order| {
            text.column(MAIN, &table.columns[order.column].name);
            text.say(if order.is_descending { " DESC" } else { "" });
        });
    }
    page(&mut text, asked, more);
    text
}

fn from_where(text: &mut Text, asked: &Asked, condition: &Text) {
    text.say(" FROM ").name(&asked.table.name).say(" AS ").name(MAIN);
    if !condition.is_empty() {
        text.say(" WHERE ").add(condition);
    }
    if let Some(at) = &asked.after {
        text.say(if condition.is_empty() { " WHERE " } else { " AND " });
        cursor::behind(text, MAIN, &asked.table, &asked.order, at);
    }
}

fn page(text: &mut Text, asked: &Asked, more: usize) {
    if asked.limit.is_none() && asked.offset == 0 {
        return;
    }
    let limit = match asked.limit {
        Some(0) => 0,
        Some(limit) => (limit + more) as i64,
        None => -1,
    };
    text.say(" LIMIT ").bind(Value::Integer(limit)).say(" OFFSET ").bind(Value::Integer(asked.offset as i64));
}

fn count(table: &Table, condition: &Text) -> Text {
    let mut text = Text::of("SELECT count(*) FROM ");
    text.name(&table.name).say(" AS ").name(MAIN);
    if !condition.is_empty() {
        text.say(" WHERE ").add(condition);
    }
    text
}

/// For each different value of the links among this page's rows, the other table's rows that have it: the links first.
fn relatives(address: &Address, asked: &Asked, condition: &Text, embed: &Embed) -> Text {
    let (table, other) = (&*asked.table, &*embed.table);
    let mut text = Text::of("SELECT ");
    let link = |number: usize| format!("{LINK}{number}");
    text.list(0..embed.links.len(), ", ", |text, number| {
        text.column(ASKING, &link(number));
    });
    for (_, column) in &embed.columns {
        text.say(", ").column(OTHER, &other.columns[*column].name);
    }
    text.say(" FROM (SELECT ").list(0..embed.links.len(), ", ", |text, number| {
        text.column("page", &link(number));
        text.say(" AS ").name(&link(number));
    });
    text.say(" FROM (SELECT ").list(embed.links.iter().enumerate(), ", ", |text, (number, (ours, _))| {
        text.column(MAIN, &table.columns[*ours].name).say(" AS ").name(&link(number));
    });
    from_where(&mut text, asked, condition);
    if address.id.is_none() && (asked.limit.is_some() || asked.offset > 0) {
        if !asked.order.is_empty() {
            text.say(" ORDER BY ").list(&asked.order, ", ", |text, order| {
                text.column(MAIN, &table.columns[order.column].name);
                text.say(if order.is_descending { " DESC" } else { "" });
            });
        }
        page(&mut text, asked, 0);
    }
    // One of each value exactly as it is stored, so that the rows can be given to theirs by what is read here.
    text.say(") AS ").name("page").say(" GROUP BY ").list(0..embed.links.len(), ", ", |text, number| {
        text.column("page", &link(number)).say(" COLLATE BINARY, typeof(").column("page", &link(number)).say(")");
    });
    text.say(") AS ").name(ASKING).say(" JOIN ").name(&other.name).say(" AS ").name(OTHER).say(" ON ");
    text.list(embed.links.iter().enumerate(), " AND ", |text, (number, (_, theirs))| {
        // The parent's collation counts, which is that of the left side.
        if embed.is_parent {
            text.column(OTHER, &other.columns[*theirs].name).say(" = ").column(ASKING, &link(number));
        } else {
            text.column(ASKING, &link(number)).say(" = ").column(OTHER, &other.columns[*theirs].name);
        }
    });
    let key: Vec<usize> =
        if other.has_key(tidebase_engine::tables::Open::READ) { other.key.clone() } else { Vec::new() };
    if !key.is_empty() && !embed.is_parent {
        text.say(" ORDER BY ").list(key, ", ", |text, column| {
            text.column(OTHER, &other.columns[column].name);
        });
    }
    text
}

impl Plan<'_> {
    /// Can SQLite's rows be told as they come?
    fn is_plain(&self) -> bool {
        let table = &self.asked.table;
        let is_as_stored = |shown: &super::select::Shown| match shown.what {
            What::Column(column) => {
                table.columns[column].kind != Kind::Json && *table.columns[column].name == *shown.label
            }
            What::Embed(_) => false,
        };
        !self.wants_one
            && self.statements.len() == 1
            && !gives_cursor(self.asked)
            && self.asked.limit != Some(0)
            && self.columns.len() == self.asked.selection.0.len()
            && self.asked.selection.0.iter().all(is_as_stored)
    }

    pub fn answer(&self, answer: &Answer) -> Result<Response<Body>> {
        if self.format == Format::Objects {
            return Ok(envelope::result(answer));
        }
        let all = Rows::read(&answer.body, self.statements.len() > 1)?;
        let mut rows = &all[0].rows[..];
        let more = self.asked.limit.is_some_and(|limit| !self.wants_one && rows.len() > limit);
        if more {
            rows = &rows[..rows.len() - 1];
        }
        if self.wants_one && rows.is_empty() {
            return Err(super::answer::no_row(&self.asked.table));
        }
        let parts = self.parts(&all);
        let out = answer::write(rows, &parts, self.wants_one);
        let told = Answer { body: out.into(), enveloped: None, ..answer.clone() };
        let mut response = envelope::result(&told);
        let headers = response.headers_mut();
        if more
            && gives_cursor(self.asked)
            && let Some(last) = rows.last()
        {
            let at: Vec<_> = self.asked.order.iter().map(|order| last[self.place(order.column)]).collect();
            let next = cursor::write(&self.asked.order, &self.asked.table, &at);
            if let Ok(next) = HeaderValue::from_str(&next) {
                headers.insert(cursor::NEXT, next);
            }
        }
        if self.is_counted
            && let Some(count) = all.last().and_then(|counted| counted.rows.first()).and_then(|row| row.first())
            && let Ok(count) = HeaderValue::from_str(count.get())
        {
            headers.insert(COUNT, count);
        }
        Ok(response)
    }

    /// Where a column stands in the rows.
    fn place(&self, column: usize) -> usize {
        self.columns.iter().position(|&known| known == column).unwrap_or_default()
    }

    fn parts<'r>(&self, all: &'r [Rows<'r>]) -> Vec<Part<'r>> {
        let table = &self.asked.table;
        let mut others = all.iter().skip(1);
        let part = |shown: &super::select::Shown| match &shown.what {
            What::Column(column) => {
                Part::column(&shown.label, self.place(*column), table.columns[*column].kind == Kind::Json)
            }
            What::Embed(embed) => {
                let links = embed.links.iter().map(|(ours, _)| self.place(*ours)).collect();
                let columns = embed.columns.iter().enumerate().map(|(number, (label, column))| {
                    Part::column(label, embed.links.len() + number, embed.table.columns[*column].kind == Kind::Json)
                });
                Part::embed(&shown.label, links, columns.collect(), others.next(), embed.is_parent)
            }
        };
        self.asked.selection.0.iter().map(part).collect()
    }
}
