//! `Tidebase-Revision` on every answer, and `Tidebase-Min-Revision` to read what was written.

use crate::server::Server;
use crate::server::http::Request;
use serde_json::json;
use std::time::Instant;

#[tokio::test]
async fn every_write_has_a_revision_of_its_own_and_reads_carry_one_they_include() {
    let server = Server::start().await;
    let mut last = server.write("CREATE TABLE t (a)").await;
    assert!(last > 0);
    for number in 0..5 {
        let revision = server.write(&format!("INSERT INTO t VALUES ({number})")).await;
        assert!(revision > last, "{revision} after {last}");
        last = revision;
    }
    let read = server.query(json!({ "sql": "SELECT count(*) AS n FROM t" })).await;
    assert_eq!(read.revision(), last);
    let status = server.send(Request::get("/status/database")).await.result();
    assert_eq!(status["revision"], last);
    assert_eq!(server.write("UPDATE t SET a = a").await, last, "what changes nothing is no revision");
}

#[tokio::test]
async fn writes_at_one_time_have_different_revisions() {
    let server = Server::start().await;
    server.write("CREATE TABLE t (a)").await;
    let writes = (0..20).map(|number| server.write_number(number));
    let mut revisions = futures_util::future::join_all(writes).await;
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 20, "{revisions:?}");
}

impl Server {
    async fn write_number(&self, number: i64) -> i64 {
        self.write(&format!("INSERT INTO t VALUES ({number})")).await
    }
}

#[tokio::test]
async fn a_read_waits_for_the_revision_it_asks_for() {
    let server = Server::start().await;
    let now = server.write("CREATE TABLE t (a)").await;
    let count = Request::post("/query", json!({ "sql": "SELECT count(*) AS n FROM t" }));
    let reached = server.send(count.clone().header("Tidebase-Min-Revision", now.to_string())).await;
    assert_eq!(reached.result(), json!([{ "n": 0 }]));
    // Both orders are right; that the read sees the write in either is the promise.
    let waiting = server.send(count.header("Tidebase-Min-Revision", (now + 1).to_string()));
    let (read, written) = tokio::join!(waiting, server.write("INSERT INTO t VALUES (1)"));
    assert_eq!(written, now + 1);
    assert_eq!(read.json()["result"], json!([{ "n": 1 }]), "{}", read.text());
    assert!(read.revision() > now);
}

#[tokio::test]
async fn the_wait_for_a_revision_that_does_not_come_is_bounded() {
    let server = Server::start().await;
    let read = Request::post("/query", json!({ "sql": "SELECT 1" }));
    let asked = Instant::now();
    let answer = server.send(read.clone().header("Tidebase-Min-Revision", "1000000")).await;
    answer.is_refused(504, "timeout", "1000000");
    assert!(asked.elapsed().as_secs() < 20);
    let nonsense = server.send(read.header("Tidebase-Min-Revision", "tomorrow")).await;
    nonsense.is_refused(400, "invalid", "Tidebase-Min-Revision");
}
