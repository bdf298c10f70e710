//! Where a page goes on: the values of its last row in the columns it is sorted by, as one opaque word.
//!
//! A page is a list with a `limit`, sorted by a full order (its key decides ties). Rows that come or go meanwhile shift
//! nothing. The values come back from the client and are bound as any other; whoever changes them asks another question
//! of the same rows.

use super::asked::Order;
use super::text::Text;
use axum::http::HeaderName;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;
use serde_json::value::RawValue;
use tidebase_engine::tables::Table;
use tidebase_engine::{Error, Result, Value};

/// What to ask `after=` for the next page; there only if there may be one.
pub const NEXT: HeaderName = HeaderName::from_static("tidebase-next");

#[derive(Deserialize)]
struct Cursor {
    by: String,
    at: Vec<Value>,
}

/// Names an order.
fn by(order: &[Order], table: &Table) -> String {
    let names =
        order.iter().map(|order| (if order.is_descending { "-" } else { "" }, &*table.columns[order.column].name));
    serde_json::json!(names.collect::<Vec<_>>()).to_string()
}

/// The cursor behind a row with these values, JSON each.
pub fn write(order: &[Order], table: &Table, at: &[&RawValue]) -> String {
    let at: Vec<&str> = at.iter().map(|value| value.get()).collect();
    let by = serde_json::json!(by(order, table));
    BASE64.encode(format!("{{\"by\":{by},\"at\":[{}]}}", at.join(",")))
}

pub fn read(cursor: &str, order: &[Order], table: &Table) -> Result<Vec<Value>> {
    let odd = || Error::invalid("\"after\" is not a cursor that a page has given (the header Tidebase-Next).");
    let bytes = BASE64.decode(cursor).map_err(|_| odd())?;
    let cursor: Cursor = serde_json::from_slice(&bytes).map_err(|_| odd())?;
    if cursor.by != by(order, table) || cursor.at.len() != order.len() {
        return Err(Error::invalid("\"after\" is the cursor of another order: keep sort_by and order as they were."));
    }
    Ok(cursor.at)
}

/// The rows behind these values: behind in one column, and equal in those before it. NULL is less than any value.
pub fn behind(text: &mut Text, of: &str, table: &Table, order: &[Order], at: &[Value]) {
    text.say("(");
    text.list(0..order.len(), " OR ", |text, last| {
        text.say("(");
        for (Order { column, .. }, value) in order.iter().zip(at).take(last) {
            text.column(of, &table.columns[*column].name).say(" IS ").bind(value.clone()).say(" AND ");
        }
        let (Order { column, is_descending }, value) = (order[last], &at[last]);
        let name = &table.columns[column].name;
        match (is_descending, value) {
            (false, Value::Null) => text.column(of, name).say(" IS NOT NULL"),
            (true, Value::Null) => text.say("FALSE"),
            (false, value) => text.column(of, name).say(" > ").bind(value.clone()),
            (true, value) => {
                text.say("(").column(of, name).say(" < ").bind(value.clone());
                text.say(" OR ").column(of, name).say(" IS NULL)")
            }
        };
        text.say(")");
    });
    text.say(")");
}
