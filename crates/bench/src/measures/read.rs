//! Point reads over HTTP: one row of six columns by its key, from a table that fits into memory.

use anyhow::Result;

use super::{POINT_READ, POINT_READ_CLIENTS, scattered};
use crate::cli::Settings;
use crate::load::Plan;
use crate::report::{Load, Report};
use crate::targets::POINT_READ_CPU;
use crate::tidebase::{NAME, Tidebase};

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let server = Tidebase::fresh(settings).await?;
    server.fill_t(settings.rows).await?;
    let plan =
        Plan { address: server.address, pid: server.pid(), clients: POINT_READ_CLIENTS, window: settings.window };
    let (caller, rows) = (server.caller.clone(), settings.rows);
    let outcome = plan
        .run(move |sequence, out| {
            let id = scattered(sequence, rows);
            let body = format!(r#"{{"sql":"SELECT id,name,owner,n,x,created FROM t WHERE id=?1","params":[{id}]}}"#);
            caller.post(out, "/query", &body);
        })
        .await?;
    let load = Load::new(POINT_READ, NAME, &outcome.latencies, outcome.spent);
    report.judged("point read over HTTP, CPU", load.server_cpu(), "µs", POINT_READ_CPU);
    report.loads.push(load);
    server.stop()
}
