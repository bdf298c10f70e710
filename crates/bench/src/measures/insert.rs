//! Durable inserts over HTTP: each answer means that the row survives a power cut. At the end every acknowledged row
//! must be in the table, once.

use anyhow::{Result, ensure};
use serde_json::json;

use super::insert_name;
use crate::cli::Settings;
use crate::load::Plan;
use crate::report::{Load, Report};
use crate::targets::{INSERT_CPU, INSERT_RATE};
use crate::tidebase::{NAME, Tidebase};

const CLIENTS: [usize; 3] = [1, 64, 256];

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let server = Tidebase::fresh(settings).await?;
    server.sql("CREATE TABLE entry(id INTEGER PRIMARY KEY, owner TEXT, body TEXT, n INTEGER)", json!([])).await?;
    let mut acknowledged = 0;
    for clients in CLIENTS {
        let plan = Plan { address: server.address, pid: server.pid(), clients, window: settings.window };
        let caller = server.caller.clone();
        let outcome = plan
            .run(move |sequence, out| {
                let owner = sequence % 1000;
                let body = format!(
                    r#"{{"sql":"INSERT INTO entry(owner,body,n) VALUES(?1,?2,?3)","params":["owner{owner}","the body of an entry of usual length",{sequence}]}}"#
                );
                caller.post(out, "/query", &body);
            })
            .await?;
        acknowledged += outcome.answered;
        let load = Load::new(insert_name(clients), NAME, &outcome.latencies, outcome.spent);
        if clients > 1 {
            report.judged(format!("durable {}, CPU", load.name), load.server_cpu(), "µs", INSERT_CPU);
            report.judged(format!("durable {}, rate", load.name), load.per_second(), "/s", INSERT_RATE);
        }
        report.loads.push(load);
    }
    let stored = server.number("SELECT count(*) FROM entry").await?;
    ensure!(stored == acknowledged, "{acknowledged} inserts were acknowledged and {stored} rows are there");
    server.stop()
}
