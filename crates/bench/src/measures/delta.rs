//! From an insert to the delta of the one subscriber who sees it, beside the disk's own fdatasync measured in the same
//! run. Writer and subscriber are two connections of one client, so no clocks are compared.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::cli::Settings;
use crate::disk;
use crate::http::Connection;
use crate::latency::Latencies;
use crate::procfs::Meter;
use crate::report::{Load, Report, ms};
use crate::socket::Subscriber;
use crate::targets;
use crate::tidebase::{NAME, Tidebase};
use crate::told::Listener;

const INSERTS_MAX: u64 = 5_000;
const WARM_UP: u64 = 50;
const DELTA_PATIENCE: Duration = Duration::from_secs(10);

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let server = Tidebase::fresh(settings).await?;
    server.sql("CREATE TABLE feed(id INTEGER PRIMARY KEY, room TEXT, body TEXT)", json!([])).await?;
    let sql = "SELECT * FROM feed WHERE room = ?1 ORDER BY id DESC LIMIT 20";
    let mut subscriber = Subscriber::open(server.address, &server.token, sql, &json!(["r1"])).await?;
    let mut writer = Connection::open(server.address).await?;
    // The disk is timed before and after, so that a change of its mood shows on both sides.
    let mut syncs = disk::overwrite(settings.work_dir())?;
    let (mut told, mut answered, mut request) = (Latencies::default(), Latencies::default(), Vec::new());
    let (mut meter, mut started) = (Meter::start(server.pid())?, Instant::now());
    for sequence in 0..INSERTS_MAX + WARM_UP {
        if sequence == WARM_UP {
            (told, answered) = (Latencies::default(), Latencies::default());
            (meter, started) = (Meter::start(server.pid())?, Instant::now());
        }
        if started.elapsed() > settings.window {
            break;
        }
        let body = format!(
            r#"{{"sql":"INSERT INTO feed(room,body) VALUES('r1',?1)","params":["message {sequence} of usual length"]}}"#
        );
        server.caller.post(&mut request, "/query", &body);
        let sent = Instant::now();
        let insert = async {
            let revision = writer.exchange(&request).await?.checked()?.revision;
            anyhow::Ok((revision.context("an insert's answer without a revision")?, sent.elapsed()))
        };
        let news = async {
            let news = tokio::time::timeout(DELTA_PATIENCE, subscriber.news()).await;
            anyhow::Ok((news.context("an insert was not told")??, sent.elapsed()))
        };
        let ((revision, insert_latency), (news, delta_latency)) = tokio::try_join!(insert, news)?;
        ensure!(news.to >= revision, "told up to {} when {revision} was due", news.to);
        told.push(delta_latency);
        answered.push(insert_latency);
    }
    let spent = meter.read()?;
    syncs.extend(&disk::overwrite(settings.work_dir())?);
    let (sync, delta) = (syncs.summary(), told.summary());
    report.loads.push(Load::new("insert, one subscriber: the answer", NAME, &answered, spent));
    report.loads.push(Load::new("insert, one subscriber: the delta", NAME, &told, spent));
    report.figure("fdatasync in the same run, p50", "disk", ms(sync.p50), "ms");
    report.judged("insert to a subscriber's delta, p50", ms(delta.p50), "ms", targets::delta(sync.p50));
    report.figure("insert to a subscriber's delta, p99", NAME, ms(delta.p99), "ms");
    server.stop()
}
