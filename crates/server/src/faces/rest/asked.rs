//! The parameters of a GET, all of them known or refused.

use super::address::{Address, readable_key};
use super::cursor;
use super::filter::{Filter, no_column, seen};
use super::select::{self, Selection};
use crate::faces::query_string;
use std::sync::Arc;
use tidebase_engine::access::passage::closed;
use tidebase_engine::tables::{Open, Table, Tables};
use tidebase_engine::{Error, Limits, Result, Value};

/// One column of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub column: usize,
    pub is_descending: bool,
}

#[derive(Debug)]
pub struct Asked {
    pub table: Arc<Table>,
    pub selection: Selection,
    pub filters: Vec<Filter>,
    /// With the key at its end, if there is one.
    pub order: Vec<Order>,
    /// Its end is the key: no two rows are equal in it.
    pub is_full_order: bool,
    pub limit: Option<usize>,
    pub offset: u64,
    pub after: Option<Vec<Value>>,
    pub counts: bool,
}

/// Of parameters with a fixed name; a column of such a name is asked for as `name.eq`.
#[derive(Default)]
struct Given {
    select: Option<String>,
    sort_by: Option<String>,
    order: Option<String>,
    limit: Option<String>,
    offset: Option<String>,
    after: Option<String>,
    count: Option<String>,
}

impl Given {
    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "select" => &mut self.select,
            "sort_by" => &mut self.sort_by,
            "order" => &mut self.order,
            "limit" => &mut self.limit,
            "offset" => &mut self.offset,
            "after" => &mut self.after,
            "count" => &mut self.count,
            _ => return None,
        })
    }
}

pub fn parse(query: Option<&str>, tables: &Tables, address: &Address, limits: &Limits) -> Result<Asked> {
    let table = &address.table;
    if !table.open.has(Open::READ) {
        return Err(Error::forbidden(closed(&table.name)));
    }
    let (mut given, mut filters) = (Given::default(), Vec::new());
    for (name, value) in query_string::parse(query)? {
        match given.slot(&name) {
            Some(slot) if slot.is_some() => {
                return Err(Error::invalid(format!("The parameter {name:?} is given twice.")));
            }
            Some(slot) => *slot = Some(value),
            None => filters.push(Filter::parse(table, &name, &value)?),
        }
    }
    let is_of_list = [&given.sort_by, &given.order, &given.limit, &given.offset, &given.after, &given.count];
    if address.id.is_some() {
        readable_key(table)?;
        if !filters.is_empty() || is_of_list.iter().any(|given| given.is_some()) {
            return Err(Error::invalid("Of one row only \"select\" can be asked."));
        }
    }
    let selection = match &given.select {
        Some(select) => select::parse(select, tables, table)?,
        None => Selection::all(table),
    };
    let order = order(table, given.sort_by.as_deref(), given.order.as_deref())?;
    let is_full_order = table.has_key(Open::READ);
    let limit = given.limit.map(|limit| number("limit", &limit, limits.result_rows_max as u64)).transpose()?;
    let offset = given.offset.map(|offset| number("offset", &offset, i64::MAX as u64)).transpose()?;
    let after = match given.after {
        Some(_) if !is_full_order => {
            return Err(Error::invalid(format!(
                "{} has no primary key by which \"after\" could go on; there is \"offset\".",
                table.name
            )));
        }
        Some(_) if offset.is_some() => {
            return Err(Error::invalid("\"after\" goes on behind a row, \"offset\" counts rows: one of them."));
        }
        Some(after) => Some(cursor::read(&after, &order, table)?),
        None => None,
    };
    let counts = match given.count.as_deref() {
        None => false,
        Some("exact") => true,
        Some(_) => return Err(Error::invalid("\"count\" can be exact.")),
    };
    Ok(Asked {
        table: Arc::clone(table),
        selection,
        filters,
        order,
        is_full_order,
        limit: limit.map(|limit| limit as usize),
        offset: offset.unwrap_or(0),
        after,
        counts,
    })
}

fn number(name: &str, text: &str, max: u64) -> Result<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| is_digits && *number <= max);
    number.ok_or_else(|| Error::invalid(format!("\"{name}\" is a number from 0 to {max}.")))
}

fn order(table: &Table, sort_by: Option<&str>, order: Option<&str>) -> Result<Vec<Order>> {
    let mut sorted: Vec<Order> = Vec::new();
    for name in sort_by.map(select::names).transpose()?.unwrap_or_default() {
        let column = seen(table, &name).ok_or_else(|| no_column(table, &name))?;
        if sorted.iter().any(|known| known.column == column) {
            return Err(Error::invalid(format!("\"sort_by\" names {name:?} twice.")));
        }
        sorted.push(Order { column, is_descending: false });
    }
    if let Some(order) = order {
        let ways: Vec<bool> = order.split(',').map(direction).collect::<Result<_>>()?;
        if sorted.is_empty() {
            return Err(Error::invalid("\"order\" says in which direction \"sort_by\" sorts; name a column there."));
        }
        if ways.len() != 1 && ways.len() != sorted.len() {
            return Err(Error::invalid("\"order\" has one direction for all of \"sort_by\", or one for each."));
        }
        for (index, sorted) in sorted.iter_mut().enumerate() {
            sorted.is_descending = *ways.get(index).unwrap_or(&ways[0]);
        }
    }
    if table.has_key(Open::READ) {
        for &column in &table.key {
            if !sorted.iter().any(|known| known.column == column) {
                sorted.push(Order { column, is_descending: false });
            }
        }
    }
    Ok(sorted)
}

fn direction(text: &str) -> Result<bool> {
    match text.trim() {
        way if way.eq_ignore_ascii_case("asc") => Ok(false),
        way if way.eq_ignore_ascii_case("desc") => Ok(true),
        _ => Err(Error::invalid("\"order\" is asc or desc.")),
    }
}
