//! Trails: from a changed row of a joined table to the rows it is joined with, and by their values to the queries it may
//! matter to.
//!
//! `… FROM orders JOIN items ON items.order_id = orders.id WHERE orders.customer = ?`: a changed item matters to the
//! customer of its order, whom the order knows and the item does not. So for each changed row, before and after, the rows
//! at the other end of the joins are looked up, in the snapshot after the change.
//!
//! That this snapshot suffices: suppose a result had a row in which the old item met an order that is no longer what it
//! was. Then of the rows that linked them, the changed one nearest to the order leads there by links that still stand,
//! or is the order itself, whose values before the change are known.

use super::outline::{Holds, Outline};
use crate::changes::change::Shape;
use crate::error::Result;
use crate::sqlite::budget::Cancel;
use crate::sqlite::exclude::quoted;
use crate::sqlite::gate::Mode;
use crate::sqlite::schema::Table;
use crate::sqlite::{Sqlite, Statement};
use crate::value::{Params, Value};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Rows that a change may lead to; past it, everything counts.
const ROWS_MAX: usize = 1024;

#[derive(Debug)]
pub struct Trail {
    /// Lower case.
    pub table: Box<str>,
    /// Columns of that table whose values the trail begins with, by index and name.
    pub columns: Vec<(usize, Box<str>)>,
    /// Gives columns of the table it leads to. Its parameters are the values it begins with.
    pub sql: String,
    /// What it looks for without an index: `table (column)`.
    pub unindexed: Option<String>,
}

/// An equality between columns of two members of FROM.
#[derive(Debug)]
pub struct Link {
    pub ends: [End; 2],
    pub holds: Holds,
}

#[derive(Clone, Debug)]
pub struct End {
    pub member: usize,
    pub table: Arc<Table>,
    pub column: usize,
}

impl End {
    fn name(&self) -> String {
        format!("m{}.{}", self.member, quoted(&self.table.columns[self.column].name))
    }
}

impl Link {
    /// `None` if values are converted, or texts compared by two collations: then equal is not always equal.
    pub fn of(ends: [End; 2], holds: Holds) -> Option<Self> {
        let [a, b] = [&ends[0], &ends[1]].map(|end| &end.table.columns[end.column]);
        let is_plain = a.affinity == b.affinity && a.collation.is_some() && a.collation == b.collation;
        (is_plain && !a.is_virtual && !b.is_virtual).then_some(Self { ends, holds })
    }

    fn other(&self, member: usize) -> Option<(&End, &End)> {
        match &self.ends {
            [own, other] | [other, own] if own.member == member && other.member != member => Some((own, other)),
            _ => None,
        }
    }

    /// Is it true of every row of the result in which these members are not missing?
    fn holds_with(&self, present: &HashSet<usize>) -> bool {
        match self.holds {
            Holds::Always => true,
            Holds::With(member) => present.contains(&member),
        }
    }
}

impl Trail {
    /// From one member to another, and the columns `wanted` of it. `None` if the links do not lead there for certain.
    pub fn find(
        sqlite: &Sqlite,
        outline: &Outline<'_>,
        links: &[Link],
        from: &Table,
        to: &Table,
        wanted: &[usize],
    ) -> Option<Self> {
        let member = |table: &Table| outline.members.iter().position(|m| m.table.eq_ignore_ascii_case(&table.name));
        let (start, target) = (member(from)?, member(to)?);
        let here = HashSet::from([start]);
        for (_, next) in ties_of(links, &here, start) {
            let Some(path) = path(links, start, next.member, target) else { continue };
            let tables: Vec<String> = path
                .iter()
                .map(|member| format!("main.{} AS m{member}", quoted(&outline.members[*member].table)))
                .collect();
            // All that is known to link the path, and to tie its beginning to the changed row.
            let present = present(links, start, next.member, target);
            let inner = links
                .iter()
                .filter(|link| link.holds_with(&present) && link.ends.iter().all(|end| path.contains(&end.member)));
            let mut conditions: Vec<String> =
                inner.map(|link| format!("{} = {}", link.ends[0].name(), link.ends[1].name())).collect();
            let mut columns = Vec::new();
            for (own, other) in ties_of(links, &here, start) {
                if other.member == next.member {
                    columns.push((own.column, own.table.columns[own.column].name.clone()));
                    conditions.push(format!("{} = ?{}", other.name(), columns.len()));
                }
            }
            let shown: Vec<String> =
                wanted.iter().map(|&column| format!("m{target}.{}", quoted(&to.columns[column].name))).collect();
            let sql = format!(
                "SELECT DISTINCT {} FROM {} WHERE {}",
                shown.join(", "),
                tables.join(", "),
                conditions.join(" AND ")
            );
            let unindexed = reads_whole_table(sqlite, &sql).then(|| {
                let ends = ties_of(links, &here, start).filter(|(_, other)| other.member == next.member);
                let names: Vec<&str> = ends.map(|(_, other)| &*other.table.columns[other.column].name).collect();
                format!("{} ({})", next.table.name, names.join(", "))
            });
            return Some(Self { table: from.name.to_ascii_lowercase().into(), columns, sql, unindexed });
        }
        None
    }

    /// Are the columns where they were when the template was analysed?
    pub fn fits(&self, shape: &Shape) -> bool {
        shape.has(self.columns.iter().map(|(index, name)| (*index, &**name)))
    }

    /// The values at its end for a row with these at its beginning. `None` if they are too many.
    ///
    /// # Errors
    /// `timeout`, or SQLite's own.
    pub fn follow(&self, sqlite: &mut Sqlite, values: &[&Value], time: Duration) -> Result<Option<Vec<Box<[Value]>>>> {
        sqlite.bounded(time, None::<Cancel>, Mode::Caller, |sqlite| {
            let Some(mut statement) = sqlite.prepare(&self.sql, Mode::Caller)? else { return Ok(None) };
            let values: Vec<Value> = values.iter().map(|&value| value.clone()).collect();
            let found = statement.bind_more(&Params::None, &values).and_then(|()| read(&mut statement));
            sqlite.keep(&self.sql, statement);
            found
        })
    }
}

/// The links with which a trail from `start` can begin.
fn ties_of<'a>(links: &'a [Link], here: &HashSet<usize>, start: usize) -> impl Iterator<Item = (&'a End, &'a End)> {
    let firsts = links.iter().filter(|link| link.holds_with(here));
    firsts.filter_map(move |link| link.other(start))
}

/// Does SQLite look at every row of some table for it?
fn reads_whole_table(sqlite: &Sqlite, sql: &str) -> bool {
    scanned(sqlite, sql).is_ok_and(|scanned| !scanned.is_empty())
}

/// The tables, by their names in the statement, of which it reads every row.
pub fn scanned(sqlite: &Sqlite, sql: &str) -> Result<Vec<String>> {
    let mut plan = sqlite.own.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let mut rows = plan.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let detail: String = row.get("detail")?;
        let table = detail.strip_prefix("SCAN ").filter(|rest| *rest != "CONSTANT ROW");
        found.extend(table.and_then(|rest| rest.split(' ').next()).map(str::to_owned));
    }
    Ok(found)
}

fn read(statement: &mut Statement) -> Result<Option<Vec<Box<[Value]>>>> {
    let mut found = Vec::new();
    while statement.step()? {
        if found.len() == ROWS_MAX {
            return Ok(None);
        }
        found.push((0..statement.column_count()).map(|column| Value::from(statement.column(column))).collect());
    }
    Ok(Some(found))
}

/// The members that are surely not missing in a row of the result in which these two are not, without a look at `start`,
/// whose partners may stand in the result without it.
fn present(links: &[Link], start: usize, next: usize, target: usize) -> HashSet<usize> {
    let mut present = HashSet::from([next, target]);
    loop {
        let before = present.len();
        for link in links.iter().filter(|link| link.ends.iter().all(|end| end.member != start)) {
            if link.holds_with(&present) {
                present.extend(link.ends.iter().map(|end| end.member));
            }
        }
        if present.len() == before {
            return present;
        }
    }
}

/// The members on the shortest way from `next` to `target` that does not lead through `start`.
fn path(links: &[Link], start: usize, next: usize, target: usize) -> Option<Vec<usize>> {
    let present = present(links, start, next, target);
    let mut paths = vec![vec![next]];
    let mut seen = HashSet::from([start, next]);
    while let Some(path) = (!paths.is_empty()).then(|| paths.remove(0)) {
        let end = *path.last()?;
        if end == target {
            return Some(path);
        }
        for (_, other) in links.iter().filter(|link| link.holds_with(&present)).filter_map(|link| link.other(end)) {
            if seen.insert(other.member) {
                paths.push([&path[..], &[other.member]].concat());
            }
        }
    }
    None
}
