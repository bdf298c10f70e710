//! Which column a refused write is about, where SQLite does not say it: a CHECK, a foreign key.

use super::text::Text;
use super::write::Plan;
use tidebase_engine::tables::{Reference, Table};
use tidebase_engine::{Code, Engine, Error, Principal, SqlRequest, Value};

/// The error with its column, if that can be told.
pub async fn blamed(engine: &Engine, principal: &Principal, table: &Table, plan: &Plan, error: Error) -> Error {
    if error.code != Code::Conflict || error.column().is_some() {
        return error;
    }
    let names = |columns: &[usize]| {
        let names: Vec<&str> = columns.iter().map(|&column| &*table.columns[column].name).collect();
        (!names.is_empty()).then(|| names.join(","))
    };
    let mut column = None;
    if let Some(called) = error.message.strip_prefix("CHECK constraint failed: ") {
        let check = table.checks.iter().find(|check| *check.called == *called);
        column = check.and_then(|check| names(&check.columns));
    } else if error.message.starts_with("FOREIGN KEY constraint failed") {
        let row = error.statement.map_or(plan.rows.first(), |statement| plan.rows.get(statement));
        let mut missing = Vec::new();
        for reference in &table.references {
            let value = |column: &usize| {
                let found = row.into_iter().flatten().find(|(known, _)| known == column);
                found.map(|(_, value)| value).filter(|value| **value != Value::Null)
            };
            let values: Option<Vec<&Value>> = reference.columns.iter().map(value).collect();
            if let Some(values) = values
                && !has_parent(engine, principal, reference, &values).await
            {
                missing.push(names(&reference.columns));
            }
        }
        // Of several, some may be there and hidden.
        column = missing.pop().filter(|_| missing.is_empty()).flatten();
    }
    match column {
        Some(column) => error.of_column(column),
        None => error,
    }
}

/// Does whoever asks see one?
async fn has_parent(engine: &Engine, principal: &Principal, reference: &Reference, values: &[&Value]) -> bool {
    let mut text = Text::of("SELECT 1 FROM ");
    text.name(&reference.parent).say(" WHERE ");
    text.list(reference.parent_columns.iter().zip(values), " AND ", |text, (column, value)| {
        text.column(&reference.parent, column).say(" = ").bind((*value).clone());
    });
    text.say(" LIMIT 1");
    let sql = text.done();
    let found =
        engine.query(SqlRequest { principal: principal.clone(), ..SqlRequest::query(sql.sql, sql.params) }).await;
    found.is_ok_and(|answer| &*answer.body != b"[]")
}
