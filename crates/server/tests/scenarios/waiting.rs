//! What the server waits for is bounded: another program's lock, a client's header.

use crate::server::http::Request;
use crate::server::{Server, within};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn another_programs_write_lock_is_waited_for_and_not_for_ever() {
    let server = Server::start_with(&["lock_wait_max=200"]).await;
    server.sql("CREATE TABLE t (a)").await;
    let mut socket = server.live().await;
    socket.subscribe("q", "SELECT a FROM t").await;
    let outside = server.home.outside();
    outside.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES ('outside')").unwrap();
    let asked = Instant::now();
    let refused = server.query(json!({ "sql": "INSERT INTO t VALUES ('inside')" })).await;
    refused.is_refused(503, "unavailable", "Another program holds the database's write lock");
    assert!(asked.elapsed() >= Duration::from_millis(200) && asked.elapsed() < Duration::from_secs(5));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(server.sql("SELECT a FROM t").await, json!([]), "reads go on");
    server.send(Request::post("/data/k", json!({ "value": 1 }))).await.is_refused(503, "unavailable", "lock");
    let on_the_socket = socket.ask(json!({ "id": 1, "action": "query", "sql": "INSERT INTO t VALUES (1)" })).await;
    assert_eq!(on_the_socket["code"], "unavailable", "{on_the_socket}");
    outside.execute_batch("COMMIT").unwrap();
    let revision = server.write("INSERT INTO t VALUES ('inside')").await;
    assert_eq!(server.sql("SELECT a FROM t").await, json!([{ "a": "outside" }, { "a": "inside" }]));
    socket.reaches(revision).await;
}

#[tokio::test]
async fn many_who_want_the_lock_do_not_wait_one_after_another() {
    let server = Server::start_with(&["lock_wait_max=500"]).await;
    server.sql("CREATE TABLE t (a)").await;
    let outside = server.home.outside();
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let asked = Instant::now();
    let insert = || server.query(json!({ "sql": "INSERT INTO t VALUES (1)" }));
    let answers = futures_util::future::join_all((0..20).map(|_| insert())).await;
    let took = asked.elapsed();
    answers.iter().for_each(|answer| answer.is_refused(503, "unavailable", "lock"));
    outside.execute_batch("ROLLBACK").unwrap();
    server.sql("INSERT INTO t VALUES (2)").await;
    assert!(took < Duration::from_secs(4), "20 writes with a bound of 0.5 s were answered after {took:?}");
}

#[tokio::test]
async fn who_sends_its_header_too_slowly_is_cut_off() {
    let server = Server::start_with(&["header_time_max=300"]).await;
    for start in ["", "GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let mut slow = TcpStream::connect(server.address).await.unwrap();
        slow.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let asked = Instant::now();
        let _ = within("the end of the connection", slow.read_to_end(&mut rest)).await;
        assert!(asked.elapsed() < Duration::from_secs(10), "{start:?}");
    }
    // A letter now and then does not help either.
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nX-Slow: ").await.unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    within("the end of the connection", async {
        while slow.write_all(b"x").await.is_ok() {
            ticks.tick().await;
        }
    })
    .await;
    server.sql("SELECT 1").await;
}

#[tokio::test]
async fn connections_that_say_nothing_do_not_keep_others_out_for_ever() {
    let server = Server::start_with(&["connections_max=2", "header_time_max=300"]).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    server.sql("SELECT 1").await;
    drop(silent);
}
