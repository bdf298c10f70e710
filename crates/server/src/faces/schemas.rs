//! `/schemas/{table}/{column}`: the JSON Schema of a column, kept and dropped by the administrator.

use super::body::whole;
use super::{Admin, App, Shared};
use crate::answer::{self, Failure, Reply};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value as Json, json};
use tidebase_engine::schemas::SchemaWrite;
use tidebase_engine::{Error, Result};

type Named = Result<Path<(String, String)>, PathRejection>;

fn named(path: Named) -> Result<(String, String)> {
    path.map(|Path(names)| names).map_err(|_| Error::invalid("The names in the address are not UTF-8."))
}

fn told((table, column, schema): &(String, String, String)) -> Json {
    let schema: Json = serde_json::from_str(schema).unwrap_or_default();
    json!({ "table": table, "column": column, "schema": schema })
}

pub async fn list(State(app): State<Shared>, _: Admin) -> Reply {
    let schemas = app.engine.schemas()?;
    Ok(answer::own(StatusCode::OK, schemas.iter().map(told).collect()))
}

pub async fn read(State(app): State<Shared>, _: Admin, path: Named) -> Reply {
    let (table, column) = named(path)?;
    Ok(answer::own(StatusCode::OK, found(&app, &table, &column)?))
}

fn found(app: &App, table: &str, column: &str) -> Result<Json, Failure> {
    let schemas = app.engine.schemas()?;
    let is = |kept: &str, name: &str| kept.eq_ignore_ascii_case(name);
    let found = schemas.iter().find(|(its_table, its_column, _)| is(its_table, table) && is(its_column, column));
    let schema = found.ok_or_else(|| Error::not_found(format!("There is no JSON Schema for {column} of {table}.")))?;
    Ok(told(schema))
}

/// The body is the schema.
pub async fn keep(State(app): State<Shared>, admin: Admin, path: Named, body: Result<Bytes, BytesRejection>) -> Reply {
    let (table, column) = named(path)?;
    let body = whole(&app, body)?;
    let schema = std::str::from_utf8(&body).map_err(|_| Error::invalid("The body is not UTF-8."))?.to_owned();
    let write = SchemaWrite::Keep { table: table.clone(), column: column.clone(), schema };
    app.engine.write_schema(write, &admin.who).await?;
    Ok(answer::own(StatusCode::OK, found(&app, &table, &column)?))
}

pub async fn remove(State(app): State<Shared>, admin: Admin, path: Named) -> Reply {
    let (table, column) = named(path)?;
    let write = SchemaWrite::Drop { table, column };
    Ok(answer::result(&app.engine.write_schema(write, &admin.who).await?))
}
