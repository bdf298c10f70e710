//! Tables as resources: `/rest/{table}` and `/rest/{table}/{id}`, with or without `main/` before the table.
//!
//! | file | does |
//! |---|---|
//! | [`address`] | path to table and key |
//! | [`asked`] | the parameters of a GET |
//! | [`select`] | which columns, and which rows of tables tied by foreign keys |
//! | [`filter`], [`cell`] | conditions; values of texts and of JSON |
//! | [`cursor`] | where a page goes on |
//! | [`read`], [`write`] | SQL of all that |
//! | [`patch`] | what a client wrote to one row while it was away |
//! | [`body`], [`answer`] | JSON objects in, JSON objects out |
//! | [`blame`] | which column a constraint is about |
//!
//! The SQL is made of quoted names of the schema and of bound values alone, and run for whoever asks, as any other SQL: what
//! policies say, the engine sees to. The description that names are looked up in holds only what is open to the caller.

mod address;
mod answer;
mod asked;
mod blame;
mod body;
mod cell;
mod cursor;
mod filter;
pub mod patch;
mod read;
mod select;
mod text;
mod write;

use super::body::{idempotency, whole};
use super::{Asker, Shared, query_string};
use crate::answer::{Failure, Reply};
use address::Address;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Method, Uri};
use std::sync::Arc;
use tidebase_engine::{Answer, Error, Format, Origin, Principal, Result, Sql, SqlRequest};
use write::Tells;

/// `/rest` alone, in StarbaseDB's words.
pub async fn nameless() -> Failure {
    Failure(Error::invalid("Expected a table name in the path"))
}

pub async fn read(State(app): State<Shared>, Asker(grant): Asker, uri: Uri) -> Reply {
    let tables = app.engine.tables(&grant.principal)?;
    let address = address::find(uri.path(), &tables, &grant.principal)?;
    let asked = asked::parse(uri.query(), &tables, &address, app.engine.limits())?;
    let plan = read::plan(&address, &asked)?;
    let request = request(&grant.principal, plan.statements.clone(), plan.format);
    Ok(plan.answer(&app.engine.query(request).await?)?)
}

pub async fn write(
    State(app): State<Shared>,
    Asker(grant): Asker,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    let principal = &grant.principal;
    let tables = app.engine.tables(principal)?;
    let Address { table, id } = address::find(uri.path(), &tables, principal)?;
    let body = whole(&app, body)?;
    let options = query_string::parse(uri.query())?;
    let mut whole = Arc::clone(&table);
    let plan = match method {
        Method::POST if id.is_some() => {
            return Err(Error::invalid("A new row has no id in the path: POST to the table.").into());
        }
        Method::POST => write::create(&table, &body, &options, app.engine.limits(), Tells::Row)?,
        Method::PATCH => write::change(&table, id, &body, &options, Tells::Row)?,
        // What it leaves out is replaced, too: also what the caller cannot know of.
        Method::PUT => {
            whole = app.engine.tables(&Principal::Admin)?.get(&table.name).map_or(whole, Arc::clone);
            write::replace(&app.engine, principal, &table, &whole, id, &body, &options)?
        }
        _ => write::remove(&table, id, &options)?,
    };
    let mut request = request(principal, plan.statements.clone(), Format::Raw);
    let what = format!("{method} {uri}");
    request.idempotency = idempotency(principal, &headers, &what, &body)?;
    let done = app.engine.query(request).await;
    let answer: Answer = match done {
        Ok(answer) => answer,
        Err(error) => return Err(blame::blamed(&app.engine, principal, &whole, &plan, error).await.into()),
    };
    Ok(plan.answer(&table, &answer)?)
}

fn request(principal: &Principal, statements: Vec<Sql>, format: Format) -> SqlRequest {
    let is_transaction = statements.len() > 1;
    SqlRequest {
        statements,
        is_transaction,
        format,
        idempotency: None,
        principal: principal.clone(),
        origin: Origin::Face,
        who: None,
    }
}
