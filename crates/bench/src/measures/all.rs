//! Everything in one run, so that its figures may be compared with each other. A measurement that fails is reported and
//! does not take the others with it.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{POINT_READ, delta, disk, fan_out, idle, insert, insert_name, json, policies, read, start};
use crate::cli::Settings;
use crate::page::{self, Conditions};
use crate::peers::pocketbase;
use crate::report::Report;

pub async fn run(settings: &Settings, report: &mut Report, out: Option<&Path>) -> Result<()> {
    let conditions = Conditions::now(settings);
    let mut failed = 0;
    // A macro would hide the list; a list of boxed futures would be longer than this.
    let mut ended = |report: &mut Report, name: &str, done: Result<()>| {
        eprintln!("{name}: {}", if done.is_ok() { "done" } else { "failed" });
        if let Err(error) = done {
            failed += 1;
            report.remarks.push(format!("Not measured: {name}: {error:#}"));
        }
    };
    let done = disk::run(settings, report);
    ended(report, "disk", done);
    let done = read::run(settings, report).await;
    ended(report, "point read", done);
    let done = insert::run(settings, report).await;
    ended(report, "insert", done);
    let done = json::run(settings, report).await;
    ended(report, "1000-row JSON", done);
    let done = delta::run(settings, report).await;
    ended(report, "delta", done);
    let done = fan_out::run(settings, report).await;
    ended(report, "fan-out", done);
    let done = policies::run(settings, report).await;
    ended(report, "policies", done);
    let done = idle::run(settings, report).await;
    ended(report, "idle sockets", done);
    let done = start::run(settings, report).await;
    ended(report, "start", done);
    let done = pocketbase::run(settings, report).await;
    ended(report, "PocketBase", done);
    report.compare(pocketbase::NAME, &[POINT_READ, &insert_name(64), &insert_name(256)]);
    if let Some(out) = out {
        std::fs::write(out, page::markdown(&conditions, report, &page::ALL))
            .with_context(|| format!("writing {}", out.display()))?;
    }
    if failed > 0 {
        bail!("{failed} measurements failed; see the remarks");
    }
    Ok(())
}
