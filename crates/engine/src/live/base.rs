//! Which rows of one table a result consists of: what a client needs to show its own writes in it before the server has
//! carried them out.
//!
//! It is told with the first rows, as JSON: `{"table", "key", "columns", "where"?, "order"?, "limit"?}`. `columns` has for each
//! result column the table's, or null. `where` is there if it is all of the query's WHERE: then a client can tell of a new row
//! whether it belongs to the result. Nothing that the server does rests on it.

use super::outline::{Asks, Condition, Operand, OrderName, Outline};
use crate::json;
use crate::sqlite::exclude::unquoted;
use crate::sqlite::gate::Reads;
use crate::sqlite::schema::{Collation, Relation, Schema, Table};
use crate::sqlite::tokens::tokens;
use crate::value::{Params, Value};
use serde_json::{Value as Json, json};

/// What was found out of the query already.
pub struct Known<'a> {
    pub schema: &'a Schema,
    /// Where each result column comes from, if it is a column, and what it is called.
    pub origins: &'a [Option<(String, String)>],
    pub names: &'a [String],
    pub reads: &'a Reads,
    /// The highest number of a parameter.
    pub parameters: usize,
}

/// The same for all values of the query's parameters.
#[derive(Debug)]
pub struct Base {
    table: Box<str>,
    key: Vec<Box<str>>,
    columns: Vec<Option<Box<str>>>,
    conditions: Option<Vec<Equals>>,
    /// Result columns, and whether the greatest come first.
    order: Option<Vec<(usize, bool)>>,
    limit: Option<Operand>,
}

/// A column is one of these.
#[derive(Debug)]
struct Equals {
    column: Box<str>,
    is_null_safe: bool,
    operands: Vec<Operand>,
}

impl Base {
    /// `None` unless the result is rows of one table, each with its primary key. `sql` is as the client wrote it.
    pub fn of(sql: &str, known: &Known<'_>) -> Option<Self> {
        let outline = Outline::of(sql, known.parameters)?;
        let [member] = &outline.members[..] else { return None };
        let Some(Relation::Table(table)) = known.schema.get(&member.table) else { return None };
        let is_plain = !outline.is_distinct()
            && !outline.is_grouped()
            && outline.count_of("select") == 1
            && outline.count_of("over") == 0;
        if !is_plain || table.key.is_empty() || GATHERING.iter().any(|name| known.reads.functions.contains(*name)) {
            return None;
        }
        let columns: Vec<Option<&str>> = known.origins.iter().map(|origin| column_of(table, origin.as_ref())).collect();
        let key: Vec<&str> = table.key.iter().map(|&index| &*table.columns[index].name).collect();
        if !key.iter().all(|part| columns.contains(&Some(part))) {
            return None;
        }
        let order = order(&outline, table, known, &columns);
        let limit = outline.limit();
        let is_whole = outline.count_of("limit") == 0 || limit.is_some() && order.is_some();
        Some(Self {
            table: table.name.clone(),
            key: key.into_iter().map(Into::into).collect(),
            columns: columns.into_iter().map(|column| column.map(Into::into)).collect(),
            conditions: conditions(&outline, table).filter(|_| is_whole),
            order,
            limit,
        })
    }

    /// As it is told for these values.
    pub fn told(&self, params: &Params) -> Vec<u8> {
        let value = |operand: &Operand| operand.value(params).map(json);
        let one = |Equals { column, is_null_safe, operands }: &Equals| {
            let mut one = vec![json!(column), json!(if *is_null_safe { "is" } else { "=" })];
            one.extend(operands.iter().map(value).collect::<Option<Vec<_>>>()?);
            Some(Json::Array(one))
        };
        let conditions = self.conditions.as_ref().and_then(|all| all.iter().map(one).collect::<Option<Vec<_>>>());
        let mut told = json!({ "table": self.table, "key": self.key, "columns": self.columns });
        if let Some(conditions) = conditions {
            told["where"] = Json::Array(conditions);
            let limit = self.limit.as_ref().and_then(|limit| limit.value(params));
            // A negative one is none.
            if let Some(limit @ Value::Integer(0..)) = limit {
                told["limit"] = json(limit);
            }
        }
        if let Some(order) = &self.order {
            told["order"] = json!(order);
        }
        told.to_string().into()
    }
}

/// A value as rows have it.
fn json(value: &Value) -> Json {
    let mut text = Vec::new();
    json::write_value(&mut text, value.as_ref());
    serde_json::from_slice(&text).unwrap_or_default()
}

/// With one of these a result has no row for each row of the table.
const GATHERING: [&str; 19] = [
    "avg",
    "count",
    "group_concat",
    "json_group_array",
    "json_group_object",
    "max",
    "min",
    "string_agg",
    "sum",
    "total",
    "row_number",
    "rank",
    "dense_rank",
    "lag",
    "lead",
    "ntile",
    "first_value",
    "last_value",
    "nth_value",
];

fn column_of<'a>(table: &'a Table, origin: Option<&(String, String)>) -> Option<&'a str> {
    let (of, name) = origin?;
    let column = table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))?;
    of.eq_ignore_ascii_case(&table.name).then_some(&*column.name)
}

/// The column that a name in a query of this table alone stands for. Only of such as compare byte by byte a client knows how.
fn named<'a>(table: &'a Table, name: &str) -> Option<&'a str> {
    let last = tokens(name).last().map(|token| unquoted(token.text))?;
    let column = table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(&last))?;
    (column.collation == Some(Collation::Binary)).then_some(&*column.name)
}

/// All of WHERE, if it says nothing but what columns are equal to.
fn conditions(outline: &Outline<'_>, table: &Table) -> Option<Vec<Equals>> {
    let one = |condition: Condition<'_>| match condition {
        Condition::Asks { column, asks: Asks::Equal { operands, is_null_safe } } => {
            Some(Equals { column: named(table, column)?.into(), is_null_safe, operands })
        }
        Condition::Asks { .. } | Condition::Links { .. } => None,
    };
    outline.whole_filter()?.into_iter().map(one).collect()
}

/// All of ORDER BY, if it is columns that are shown.
fn order(
    outline: &Outline<'_>,
    table: &Table,
    known: &Known<'_>,
    columns: &[Option<&str>],
) -> Option<Vec<(usize, bool)>> {
    let shown = |name: &str| {
        let column = named(table, name)?;
        columns.iter().position(|shown| *shown == Some(column))
    };
    let one = |(name, is_descending): (OrderName<'_>, bool)| {
        let index = match &name {
            OrderName::Alone(name) => {
                known.names.iter().position(|known| known.eq_ignore_ascii_case(name)).or_else(|| shown(name))
            }
            OrderName::Of(name) => shown(name),
        };
        index
            .filter(|&index| columns[index].is_some_and(|column| named(table, column).is_some()))
            .map(|index| (index, is_descending))
    };
    outline.orders()?.into_iter().map(one).collect()
}
