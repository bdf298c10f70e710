//! Conditions of the address: `?col=v`, `?col.op=v`.

use super::cell;
use super::text::Text;
use tidebase_engine::tables::{Column, Open, Table};
use tidebase_engine::{Error, Result, Value};

pub const OPERATORS: [&str; 9] = ["eq", "ne", "gt", "gte", "lt", "lte", "like", "in", "is"];

/// One condition on a column; all of a request must be fulfilled.
#[derive(Clone, Debug)]
pub struct Filter {
    pub column: usize,
    condition: Condition,
}

#[derive(Clone, Debug)]
enum Condition {
    /// An SQL operator.
    Compare(&'static str, Value),
    In(Vec<Value>),
    /// What stands behind IS.
    Is(&'static str),
}

impl Filter {
    /// # Errors
    /// `invalid` for a column that is not there or not open, an operator that is none, and a value that is no such one.
    pub fn parse(table: &Table, name: &str, value: &str) -> Result<Self> {
        let (index, operator) = column_and_operator(table, name)?;
        let column = &table.columns[index];
        let compare = |sql| cell::from_text(column, value).map(|value| Condition::Compare(sql, value));
        let condition = match operator {
            "eq" => compare(" = ")?,
            "ne" => compare(" <> ")?,
            "gt" => compare(" > ")?,
            "gte" => compare(" >= ")?,
            "lt" => compare(" < ")?,
            "lte" => compare(" <= ")?,
            "like" => Condition::Compare(" LIKE ", Value::text(value)),
            "in" => Condition::In(members(column, value)?),
            "is" => Condition::Is(state(column, value)?),
            _ => {
                return Err(Error::invalid(format!(
                    "There is no operator {operator:?}. There are {}.",
                    OPERATORS.join(", ")
                )));
            }
        };
        Ok(Self { column: index, condition })
    }

    pub fn write(&self, text: &mut Text, of: &str, table: &Table) {
        text.column(of, &table.columns[self.column].name);
        match &self.condition {
            Condition::Compare(sql, value) => {
                text.say(sql).bind(value.clone());
            }
            Condition::In(values) => {
                text.say(" IN (").list(values, ", ", |text, value| {
                    text.bind(value.clone());
                });
                text.say(")");
            }
            Condition::Is(state) => {
                text.say(" IS ").say(state);
            }
        }
    }
}

/// A column whose name itself looks like `col.op` is meant by it.
fn column_and_operator<'a>(table: &Table, name: &'a str) -> Result<(usize, &'a str)> {
    if let Some(column) = seen(table, name) {
        return Ok((column, "eq"));
    }
    let found = name.rsplit_once('.').and_then(|(column, operator)| Some((seen(table, column)?, operator)));
    found.ok_or_else(|| {
        let column =
            name.rsplit_once('.').filter(|(_, last)| OPERATORS.contains(last)).map_or(name, |(column, _)| column);
        no_column(table, column)
    })
}

/// A column that may be read.
pub fn seen(table: &Table, name: &str) -> Option<usize> {
    table.find(name).filter(|&column| table.columns[column].open.has(Open::READ))
}

/// The same words for what is not there and what is not open.
pub fn no_column(table: &Table, name: &str) -> Error {
    Error::invalid(format!("There is no column {name:?} in {}.", table.name))
}

/// With commas between them; one in double quotes may have commas, `\"` and `\\` in it.
fn members(column: &Column, list: &str) -> Result<Vec<Value>> {
    let mut values = Vec::new();
    let mut rest = list;
    loop {
        rest = rest.trim_start();
        let (value, behind) = if let Some(quoted) = rest.strip_prefix('"') {
            in_quotes(quoted)?
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (rest[..end].trim_end().to_owned(), &rest[end..])
        };
        values.push(cell::from_text(column, &value)?);
        rest = behind.trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None if rest.is_empty() => return Ok(values),
            None => return Err(Error::invalid("In a list for \"in\" a comma stands between values.")),
        }
    }
}

fn in_quotes(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.extend(chars.next().map(|(_, char)| char)),
            _ => value.push(char),
        }
    }
    Err(Error::invalid("In a list for \"in\" a quote is opened and not closed."))
}

fn state(column: &Column, value: &str) -> Result<&'static str> {
    Ok(match value {
        "null" => "NULL",
        "not_null" => "NOT NULL",
        "true" => "TRUE",
        "false" => "FALSE",
        _ => {
            return Err(Error::invalid("\"is\" asks for null, not_null, true or false.").of_column(&*column.name));
        }
    })
}
