//! `/backups` and `/restore`: how backups fare, and going back to a moment of them, for the administrator.

use super::body::whole;
use super::requests::parse;
use super::{Admin, Shared};
use crate::answer::{self, REVISION, Reply};
use crate::backup::blocking;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use tidebase_engine::backups::Moment;
use tidebase_engine::{Error, Result};

/// `GET /backups`
pub async fn report(State(app): State<Shared>, _: Admin) -> Reply {
    let (engine, mirror) = (Arc::clone(&app.engine), app.mirror.clone());
    let looked = blocking(move || {
        let backups = engine.backups().ok_or_else(|| Error::unsupported(OFF))?;
        Ok((backups.report()?, mirror.map(|mirror| mirror.fares()).transpose()?))
    });
    let (report, mirror) = looked.await?;
    let mut report = json!(report);
    if let Some(mirror) = mirror {
        report["ok"] = json!(report["ok"] == true && mirror.ok);
        report["mirror"] = json!(mirror);
    }
    Ok(answer::own(StatusCode::OK, report))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    at: Option<At>,
    #[serde(default)]
    revision: Option<i64>,
}

/// As text, or in milliseconds since 1970.
#[derive(Deserialize)]
#[serde(untagged, expecting = "\"at\" is a text or a whole number of milliseconds since 1970")]
enum At {
    Text(String),
    Milliseconds(i64),
}

/// `POST /restore` `{"at": time}` or `{"revision": number}`: the database becomes what it was then, while it is being served.
pub async fn restore(State(app): State<Shared>, Admin { who }: Admin, body: Result<Bytes, BytesRejection>) -> Reply {
    let body = whole(&app, body)?;
    let moment = match parse(&body)? {
        Wanted { at: Some(At::Text(at)), revision: None } => Moment::at(&at)?,
        Wanted { at: Some(At::Milliseconds(at)), revision: None } => Moment::at(&at.to_string())?,
        Wanted { at: None, revision: Some(revision) } => Moment::Revision(revision),
        _ => return Err(Error::invalid("A restore wants \"at\", a time, or \"revision\", and not both.").into()),
    };
    let engine = Arc::clone(&app.engine);
    let fork = blocking(move || engine.fork(moment, &who)).await?;
    let restored = json!(fork.restored);
    // Once it has begun it is carried through, whoever goes away.
    let engine = Arc::clone(&app.engine);
    let swapped = tokio::spawn(async move { engine.swap(fork).await });
    let revision = swapped.await.map_err(|error| Error::internal("a restore panicked").caused_by(error))??.revision;
    let told = json!({ "revision": revision, "restored": restored, "undo": { "revision": revision - 1 } });
    let mut response = answer::own(StatusCode::OK, told);
    response.headers_mut().insert(REVISION, HeaderValue::from(revision));
    Ok(response)
}

const OFF: &str = "This server keeps no backups: start it with --backups FOLDER.";
