//! How the server is: for load balancers (`/health`, `/ready`), for Prometheus (`/metrics`), for people (`/status/database`,
//! `/status/live`).

use super::{Admin, Shared};
use crate::answer::{self, Reply};
use crate::backup::blocking;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use tidebase_engine::live::report::{LaneReport, TemplateReport};
use tidebase_engine::{Params, Result, SqlRequest};

/// The process is alive.
pub async fn health() -> Response {
    answer::own(StatusCode::OK, json!({ "status": "alive" }))
}

/// The database answers, and the server is not stopping.
pub async fn ready(State(app): State<Shared>) -> Response {
    let answers = app.engine.query(SqlRequest::query("SELECT 1", Params::None)).await.is_ok();
    if answers && !*app.stopping.borrow() {
        answer::own(StatusCode::OK, json!({ "status": "ready" }))
    } else {
        answer::own(StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "not ready" }))
    }
}

/// What live queries cost: by lane, and there by template.
pub async fn live(State(app): State<Shared>, _: Admin) -> Reply {
    let revision = app.engine.revision();
    let template = |template: &TemplateReport| {
        let runs = &template.runs;
        let average = template.took.as_micros() as u64 / runs.sum().max(1);
        json!({
            "sql": template.sql,
            "live_queries": template.groups,
            "runs": runs.sum(),
            "runs_by_way": { "whole": runs.whole, "parts": runs.parts, "counted": runs.counted, "for_all": runs.for_all },
            "run_micros": average,
            "found_by_value": template.is_found_by_value,
            "read_by_parts": template.is_read_by_parts,
            "read_for_all": template.is_read_for_all,
        })
    };
    let lane = |lane: &LaneReport| {
        json!({
            "lane": lane.lane,
            "revision": lane.revision,
            "revisions_behind": (revision - lane.revision).max(0),
            "sockets": lane.sockets,
            "live_queries": lane.groups,
            "templates": lane.templates,
            "dearest": lane.dearest.iter().map(template).collect::<Vec<_>>(),
        })
    };
    let lanes: Vec<_> = app.engine.live_report().await?.iter().map(lane).collect();
    let metrics = app.engine.metrics();
    Ok(answer::own(
        StatusCode::OK,
        json!({
            "revision": revision,
            "subscriptions": metrics.subscriptions.get(),
            "live_queries": metrics.live_groups.get(),
            "bytes": metrics.live_bytes.get(),
            "merged": metrics.live_merged.get(),
            "resyncs": metrics.live_resyncs.get(),
            "lanes": lanes,
        }),
    ))
}

pub async fn database(State(app): State<Shared>, _: Admin) -> Reply {
    let path = app.engine.path();
    let size = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::fs::metadata(name).map_or(0, |file| file.len())
    };
    Ok(answer::own(
        StatusCode::OK,
        json!({
            "file": path.display().to_string(),
            "file_bytes": size(""),
            "wal_bytes": size("-wal"),
            "history": *app.engine.history(),
            "revision": app.engine.revision(),
            "sqlite": rusqlite::version(),
            "tidebase": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": app.started.elapsed().as_secs(),
            "sockets": app.sockets.load(Ordering::Relaxed),
            "subscriptions": app.engine.metrics().subscriptions.get(),
            "live_queries": app.engine.metrics().live_groups.get(),
        }),
    ))
}

pub async fn metrics(State(app): State<Shared>, _: Admin) -> Reply {
    let engine = app.engine.metrics();
    let counters = [
        ("reads_total", "SQL reads", engine.reads.get()),
        ("writes_total", "requests given to the writer", engine.writes.get()),
        ("live_steps_total", "steps of the live lanes", engine.live_steps.get()),
        ("live_evaluations_total", "live queries run", engine.live_evaluations.get()),
        (
            "live_spared_total",
            "live queries not run because no changed row's values led to them",
            engine.live_spared.get(),
        ),
        ("live_behind_total", "live results whose LIMIT keeps out all that changed", engine.live_behind.get()),
        ("live_parts_total", "live results of which only the changed parts were read", engine.live_parts.get()),
        (
            "live_for_all_total",
            "runs that told for many callers at once who of them sees a changed row",
            engine.live_for_all.get(),
        ),
        ("live_tallies_total", "live counts and sums that went on from the changed rows", engine.live_tallies.get()),
        ("live_trails_total", "joins followed from a changed row to live queries", engine.live_trails.get()),
        (
            "live_missing_indexes_total",
            "joins of live queries without an index to follow them by; the log names them",
            engine.live_missing_indexes.get(),
        ),
        ("live_deltas_total", "live results that changed", engine.live_deltas.get()),
        ("live_frames_total", "delta frames sent", engine.live_frames.get()),
        ("live_bytes_total", "bytes of live rows, deltas and changes queued for sockets", engine.live_bytes.get()),
        ("live_merged_total", "times a socket had no room and its changes were merged", engine.live_merged.get()),
        ("live_resyncs_total", "live results told anew because the difference was gone", engine.live_resyncs.get()),
        ("live_moved_to_slow_lane_total", "sockets moved to a slow lane", engine.live_moved_to_slow_lane.get()),
        ("messages_published_total", "messages published to topics", engine.messages_published.get()),
        ("messages_delivered_total", "messages queued for listeners", engine.messages_delivered.get()),
        ("queries_unlogged_total", "requests that the query log had no place for", engine.queries_unlogged.get()),
        ("sessions_too_slow_total", "sessions ended because they did not read", engine.sessions_too_slow.get()),
    ];
    let gauges = [
        ("revision", "last durable revision", app.engine.revision().unsigned_abs()),
        ("sockets", "open WebSockets and event streams", app.sockets.load(Ordering::Relaxed) as u64),
        ("sessions", "clients of the live face", engine.sessions.get()),
        ("subscriptions", "subscriptions of all sessions", engine.subscriptions.get()),
        ("live_queries", "distinct live queries held", engine.live_groups.get()),
        ("topic_listeners", "listeners of all topics", app.engine.topic_listeners() as u64),
        ("uptime_seconds", "time since the start", app.started.elapsed().as_secs()),
    ];
    let its = Shared::clone(&app);
    let kept = blocking(move || kept(&its)).await?;
    let mut text = String::new();
    let all = counters.iter().map(|row| ("counter", row)).chain(gauges.iter().chain(&kept).map(|row| ("gauge", row)));
    for (kind, (name, help, value)) in all {
        writeln!(text, "# HELP tidebase_{name} {help}\n# TYPE tidebase_{name} {kind}\ntidebase_{name} {value}")
            .expect("writing to memory");
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// How backups fare, if some are kept. Blocks.
fn kept(app: &Shared) -> Result<Vec<(&'static str, &'static str, u64)>> {
    let Some(backups) = app.engine.backups() else { return Ok(Vec::new()) };
    let reached = backups.shelf.archive().last().and_then(|record| record.revision);
    let mut gauges = vec![
        (
            "backups_ok",
            "1 if all that is committed is in the backups, or about to be",
            backups.shelf.state().is_ok().into(),
        ),
        ("backups_revision", "newest revision in the backups", reached.unwrap_or(0).unsigned_abs()),
    ];
    if let Some(mirror) = &app.mirror {
        let fares = mirror.fares()?;
        gauges.push(("backup_mirror_ok", "1 if backups are carried to the second place", fares.ok.into()));
        let revision = fares.revision.unwrap_or(0).unsigned_abs();
        gauges.push(("backup_mirror_revision", "newest revision in the second place", revision));
    }
    Ok(gauges)
}
