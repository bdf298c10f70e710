//! Results of 1000 rows: how much JSON a second of server CPU makes, SQLite's scan and HTTP included.

use anyhow::Result;

use super::scattered;
use crate::cli::Settings;
use crate::load::Plan;
use crate::report::{Load, Report, ratio};
use crate::targets::JSON_RATE;
use crate::tidebase::{NAME, Tidebase};

const CLIENTS: usize = 8;
const ROWS: u64 = 1000;

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let server = Tidebase::fresh(settings).await?;
    server.fill_t(settings.rows).await?;
    for path in ["/query/raw", "/query"] {
        let plan = Plan { address: server.address, pid: server.pid(), clients: CLIENTS, window: settings.window };
        let (caller, rows) = (server.caller.clone(), settings.rows);
        let outcome = plan
            .run(move |sequence, out| {
                let first = scattered(sequence, rows - ROWS + 1);
                let last = first + ROWS - 1;
                let body = format!(
                    r#"{{"sql":"SELECT id,name,owner,n,x,created FROM t WHERE id BETWEEN ?1 AND ?2","params":[{first},{last}]}}"#
                );
                caller.post(out, path, &body);
            })
            .await?;
        let load = Load::new(format!("1000 rows over {path}, 8 connections"), NAME, &outcome.latencies, outcome.spent);
        let megabytes = outcome.payload_bytes as f64 / 1e6;
        let rate = ratio(megabytes, outcome.spent.server.as_secs_f64());
        report.judged(format!("1000-row JSON over {path}, per CPU-second"), rate, "MB", JSON_RATE);
        let size = ratio(outcome.payload_bytes as f64, load.operations as f64);
        report.figure(format!("1000-row JSON over {path}, size"), NAME, size / 1e3, "KB");
        report.loads.push(load);
    }
    server.stop()
}
