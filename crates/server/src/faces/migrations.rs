//! `/migrations`: what was applied, and more of it, by the administrator. The files are the client's.

use super::body::whole;
use super::requests::parse;
use super::{Admin, Shared, to_the_end};
use crate::answer::{self, Reply};
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tidebase_engine::migrations::{Migration, Wanted, Way};
use tidebase_engine::{Answer, Error, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    migrations: Vec<Sent>,
    #[serde(default)]
    direction: Option<String>,
    #[serde(default)]
    to: Option<i64>,
    #[serde(default)]
    dry_run: bool,
    /// Noted as applied without being run.
    #[serde(default)]
    mark: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    number: i64,
    name: String,
    sql: String,
}

pub async fn list(State(app): State<Shared>, _: Admin) -> Reply {
    Ok(answer::own(StatusCode::OK, json!(app.engine.migrations()?)))
}

/// Those that are applied already, and are the same, are passed over.
pub async fn apply(State(app): State<Shared>, admin: Admin, body: Result<Bytes, BytesRejection>) -> Reply {
    let Body { migrations, direction, to, dry_run, mark } = parse(&whole(&app, body)?)?;
    let way = match (direction.as_deref(), mark) {
        (None | Some("up"), false) => Way::Up,
        (None | Some("up"), true) => Way::Mark,
        (Some("down"), false) => Way::Down,
        _ => return Err(Error::invalid("\"direction\" is \"up\" or \"down\"; \"mark\" goes with \"up\".").into()),
    };
    // Megabytes are looked through, for which other requests need not wait.
    let read = move || migrations.iter().map(|sent| Migration::new(sent.number, &sent.name, &sent.sql)).collect();
    let read: Result<Vec<Migration>> = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Error::internal("migrations could not be read").caused_by(error))?;
    let migrations = read?;
    let wanted = Wanted { to, dry_run, ..Wanted::new(migrations, way, admin.who) };
    let engine = app.engine.clone();
    let report = to_the_end(async move { engine.migrate(wanted).await }).await?;
    let revision = app.engine.revision();
    let answer = Answer { body: Bytes::new(), revision, enveloped: None, rows: 0, is_repeated: false };
    Ok(answer::about(StatusCode::OK, report.to_json(), &answer))
}
