//! Tidebase's stage for the fan-out: subscribers of one query on `/ws`, a writer over HTTP.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::json;

use crate::cli::Settings;
use crate::fan_out::{self, Key, SUBSCRIBERS, Stage};
use crate::report::Report;
use crate::socket::Subscriber;
use crate::tidebase::{NAME, Tidebase};
use crate::told::{Audience, Told, allow_sockets};

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    allow_sockets(SUBSCRIBERS.into_iter().max().unwrap_or(0))?;
    fan_out::run(settings.rounds, settings.window, report, async |subscribers| stage(settings, subscribers).await).await
}

async fn stage(settings: &Settings, subscribers: usize) -> Result<Stage> {
    let server = Tidebase::fresh(settings).await?;
    server.sql("CREATE TABLE feed(id INTEGER PRIMARY KEY, room TEXT, body TEXT)", json!([])).await?;
    let first = "INSERT INTO feed(room, body) VALUES('r1', 'the first')";
    let (_, revision) = server.sql(first, json!([])).await?;
    let told = Told::after(revision.context("an insert's answer without a revision")?);
    let sql = "SELECT id, room, body FROM feed WHERE room = ?1";
    let audience = Audience::gather(subscribers, told, async || {
        Subscriber::open(server.address, &server.token, sql, &json!(["r1"])).await
    })
    .await?;
    let caller = server.caller.clone();
    let request = Arc::new(move |sequence, out: &mut Vec<u8>| {
        let body = format!(
            r#"{{"sql":"INSERT INTO feed(room,body) VALUES('r1',?1)","params":["message {sequence} of usual length"]}}"#
        );
        caller.post(out, "/query", &body);
    });
    Ok(Stage {
        server: NAME,
        pid: server.pid(),
        address: server.address,
        request,
        audience,
        key: Key::Revision,
        sequence: 1,
        keep: Some(server),
    })
}
