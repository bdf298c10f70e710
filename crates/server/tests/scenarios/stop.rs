//! The end of a server, asked for or not: what was acknowledged is there afterwards.

use crate::server::http::Request;
use crate::server::{Server, within};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One connection that inserts row after row until it ends; gives the ids that were acknowledged.
async fn insert_until_the_end(address: std::net::SocketAddr, next: Arc<AtomicI64>) -> Vec<i64> {
    let mut acknowledged = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address).await else { return acknowledged };
    loop {
        let id = next.fetch_add(1, Ordering::Relaxed);
        let body = json!({ "sql": "INSERT INTO t VALUES (?)", "params": [id] }).to_string();
        let head = Request::post("/query", json!(null)).head();
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(request.as_bytes()).await.is_err() {
            return acknowledged;
        }
        let mut answer = vec![0; 4096];
        match stream.read(&mut answer).await {
            Ok(read @ 1..) if answer[..read].starts_with(b"HTTP/1.1 200") => acknowledged.push(id),
            _ => return acknowledged,
        }
    }
}

async fn under_load() -> (Server, JoinSet<Vec<i64>>) {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let next = Arc::new(AtomicI64::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..16 {
        writers.spawn(insert_until_the_end(server.address, Arc::clone(&next)));
    }
    let count = async || server.sql("SELECT count(*) AS n FROM t").await[0]["n"].as_i64().unwrap();
    within("some load", async { while count().await < 300 {} }).await;
    (server, writers)
}

async fn all_acknowledged(writers: JoinSet<Vec<i64>>) -> Vec<i64> {
    within("the writers' end", writers.join_all()).await.concat()
}

async fn is_all_there(server: &Server, acknowledged: &[i64]) {
    assert!(acknowledged.len() >= 300 - 16);
    let rows = server.sql("SELECT id FROM t").await;
    let kept: std::collections::HashSet<i64> =
        rows.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
    let lost: Vec<&i64> = acknowledged.iter().filter(|id| !kept.contains(id)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

#[tokio::test]
async fn a_stop_under_load_loses_nothing_that_was_acknowledged() {
    let (server, writers) = under_load().await;
    let home = Arc::clone(&server.home);
    let mut live = server.live().await;
    live.subscribe("q", "SELECT count(*) FROM t").await;
    let (status, output) = server.stop().await;
    assert_eq!(status.code(), Some(0), "{output:?}");
    let acknowledged = all_acknowledged(writers).await;
    assert_eq!(live.closed().await.0, 1012);
    let wal = home.folder.path().join("test.db-wal");
    assert!(!wal.exists(), "one plain file is left");
    is_all_there(&home.start().await, &acknowledged).await;
}

#[tokio::test]
async fn a_crash_under_load_loses_nothing_that_was_acknowledged() {
    let (server, writers) = under_load().await;
    let server = server.crash_and_restart().await;
    is_all_there(&server, &all_acknowledged(writers).await).await;
    assert_eq!(server.sql("PRAGMA integrity_check").await, json!([{ "integrity_check": "ok" }]));
}

#[tokio::test]
async fn sockets_are_told_that_the_server_restarts_and_when_to_come_back() {
    let server = Server::start().await;
    let mut live = server.live().await;
    let mut socket = crate::server::socket::Socket::open(server.address, "/socket").await;
    let (status, _) = server.stop().await;
    assert!(status.success());
    let (code, reason) = live.closed().await;
    assert_eq!(code, 1012);
    assert!(reason.contains("retry"), "a hint when to come back: {reason:?}");
    assert_eq!(socket.closed().await.0, 1012);
}

#[tokio::test]
async fn an_interrupt_stops_it_too() {
    let mut server = Server::start().await;
    server.process.signal("INT");
    let (status, output) = server.process.ended().await;
    assert_eq!(status.code(), Some(0), "{output:?}");
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_stop() {
    let server = Server::start_with(&["stop_time_max=60000"]).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let head = Request::get("/health").head();
    idle.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 4096];
    within("an answer", idle.read(&mut answer)).await.unwrap();
    let (status, _) = server.stop().await;
    assert!(status.success());
}

#[tokio::test]
async fn a_request_that_does_not_finish_is_cut_off_in_time() {
    let server = Server::start_with(&["stop_time_max=500", "read_time_max=600000"]).await;
    server.sql("CREATE TABLE t (a)").await;
    let endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c";
    let mut reading = server.live().await;
    reading.send(json!({ "id": 1, "action": "query", "sql": endless })).await;
    let head = Request::post("/query", json!(null)).head();
    let body = json!({ "sql": endless }).to_string();
    let mut held = Vec::new();
    for sent in [body.as_str(), "{\"sql\":"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("{head}Content-Length: {}\r\n\r\n{sent}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        held.push(stream);
    }
    server.sql("SELECT 1").await;
    let (status, output) = server.stop().await;
    assert_eq!(status.code(), Some(0), "{output:?}");
}

#[tokio::test]
async fn after_a_crash_the_answer_to_a_retry_is_the_first_one() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n)").await;
    let add = Request::post("/query", json!({ "sql": "INSERT INTO t (n) VALUES (1) RETURNING id" }));
    let add = add.header("Idempotency-Key", "after the crash");
    let first: Json = server.send(add.clone()).await.result();
    let server = server.crash_and_restart().await;
    assert_eq!(server.send(add).await.result(), first);
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{ "n": 1 }]));
}
