//! Clients that stop reading: never at the cost of others, never at the cost of the server's memory.

use crate::server::Server;
use crate::server::events::Events;
use crate::server::http::Request;
use crate::server::socket::{Socket, stands_at};
use serde_json::{Value as Json, json};
use std::time::Duration;

/// A row of 100 kB that is written anew again and again.
async fn with_large_row() -> Server {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n, padding)").await;
    server.sql("INSERT INTO t VALUES (1, 0, '')").await;
    server
}

async fn write_much(server: &Server, times: i64) -> i64 {
    let mut last = 0;
    for number in 1..=times {
        let sql = format!("UPDATE t SET n = {number}, padding = hex(randomblob(50000))");
        last = server.write(&sql).await;
    }
    last
}

#[cfg(target_os = "linux")]
#[track_caller]
fn is_moderate(server: &Server) {
    assert!(server.memory() < 300 << 20, "{} MB", server.memory() >> 20);
}

#[cfg(not(target_os = "linux"))]
fn is_moderate(_: &Server) {}

#[tokio::test]
async fn a_live_query_that_is_not_read_is_merged_and_holds_up_nobody() {
    let server = with_large_row().await;
    let mut unread = server.live().await;
    unread.subscribe("q", "SELECT id, n, padding FROM t").await;
    let mut reader = server.live().await;
    reader.subscribe("q", "SELECT id, n, padding FROM t").await;
    let is_last = |frame: &Json| frame["queries"][0]["update"][0][2] == 300 || frame["rows"][0][2] == 300;
    let (_, ()) = tokio::join!(write_much(&server, 300), async {
        while !is_last(&reader.next().await) {
            reader.seen.clear();
        }
    });
    is_moderate(&server);
    // 30 MB were written; who reads again gets a few frames that lead to where everybody stands.
    unread.until(is_last).await;
    assert!(unread.seen.len() < 200, "{} frames were not merged", unread.seen.len());
}

#[tokio::test]
async fn a_change_stream_that_is_not_read_is_caught_up_from_the_log() {
    let server = with_large_row().await;
    let mut unread = server.live().await;
    unread.ask(json!({ "id": "s", "action": "subscribe", "table": "t" })).await;
    let last = write_much(&server, 150).await;
    is_moderate(&server);
    let mut expected = last - 149;
    while expected <= last {
        let frame = unread.answer("s").await;
        match frame["type"].as_str() {
            Some("changes") => {
                assert_eq!(frame["revision"], expected, "each is told once, in order");
                assert_eq!(frame["changes"][0]["op"], "UPDATE");
                expected += i64::from(frame["last"] == true);
            }
            Some("resync") => expected = frame["revision"].as_i64().unwrap() + 1,
            _ => panic!("{frame}"),
        }
        unread.seen.clear();
    }
}

#[tokio::test]
async fn a_topic_that_is_not_read_loses_nobody_elses_messages() {
    let server = Server::start().await;
    server.send(Request::new("PUT", "/topics/chat").json(json!({ "keep": 1000 }))).await.result();
    let mut sockets = [server.live().await, server.live().await];
    for socket in &mut sockets {
        socket.send(json!({ "id": "t", "action": "subscribe", "topic": "chat" })).await;
        socket.ask(json!({ "id": "settled", "action": "query", "sql": "SELECT 1" })).await;
    }
    let [mut unread, mut reader] = sockets;
    let text = "x".repeat(100_000);
    let speak = async {
        for number in 0..200 {
            let message = json!({ "data": { "n": number, "text": text } });
            server.send(Request::post("/topics/chat", message)).await.result();
        }
    };
    let listen = async |socket: &mut Socket| {
        for number in 0..200 {
            assert_eq!(socket.answer("t").await["data"]["n"], number, "kept messages are caught up, none missing");
            socket.seen.clear();
        }
    };
    tokio::join!(speak, listen(&mut reader));
    is_moderate(&server);
    listen(&mut unread).await;
}

#[tokio::test]
async fn who_asks_and_asks_and_does_not_read_is_closed_as_too_slow() {
    let server = Server::start_with(&["outbox_bytes_max=2000000"]).await;
    let mut other = server.live().await;
    let mut unread = server.live().await;
    let ask = |id: i64| json!({ "id": id, "action": "query", "sql": "SELECT hex(zeroblob(250000)) AS a" });
    unread.send_all((0..100).map(ask)).await;
    let too_slow = async || {
        let metrics = server.send(Request::get("/metrics")).await;
        String::from_utf8_lossy(&metrics.body).contains("tidebase_sessions_too_slow_total 1")
    };
    crate::server::within("the socket to be given up", async { while !too_slow().await {} }).await;
    let (code, reason) = unread.closed().await;
    assert_eq!(code, 4408, "{reason}");
    assert!(!reason.is_empty());
    other.still_serves().await;
    is_moderate(&server);
}

#[tokio::test]
async fn a_reader_is_not_too_slow_because_an_answer_is_large() {
    let server = Server::start().await;
    let mut socket = server.live().await;
    // More than may wait for a socket, less than an answer may have.
    let sql = "SELECT hex(zeroblob(20000000)) AS a";
    let answer = socket.ask(json!({ "id": "large", "action": "query", "sql": sql })).await;
    assert_eq!(answer["result"][0]["a"].as_str().map(str::len), Some(40_000_000));
    socket.seen.clear();
    socket.still_serves().await;
}

#[tokio::test]
async fn an_event_stream_that_is_not_read_is_merged_too() {
    let server = with_large_row().await;
    let request = Request::get("/live?sql=SELECT+n,+padding+FROM+t");
    let mut unread = Events::open(server.address, request).await;
    unread.until("rows").await;
    let last = write_much(&server, 200).await;
    is_moderate(&server);
    let mut events = 0;
    loop {
        let event = unread.next().await.expect("the stream goes on, or begins anew");
        events += 1;
        let reached = |frame: &Json| stands_at(frame).or(frame["revision"].as_i64()).is_some_and(|at| at >= last);
        if reached(&event.data) {
            break;
        }
    }
    assert!(events < 150, "{events} events were not merged");
}

/// 100 kB for each row.
const LARGE: &str = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < :rows) \
                     SELECT n, hex(zeroblob(50000)) AS a FROM c";

#[tokio::test]
async fn large_results_come_over_a_slow_line_too() {
    let server = Server::start().await;
    let mut socket = server.live().await;
    let subscribe = |id: i64| {
        let sql = format!("SELECT {id}, n, a FROM ({LARGE})");
        json!({ "id": id, "action": "subscribe", "sql": sql, "params": { "rows": 150 } })
    };
    // Each is within its bound, all together are more than may wait for a socket.
    socket.send_all((0..5).map(subscribe)).await;
    let mut pace = tokio::time::interval(Duration::from_millis(4));
    let mut done = 0;
    while done < 5 {
        let frame = socket.next().await;
        done += i64::from(frame["type"] == "rows" && frame["done"] == true);
        socket.seen.clear();
        pace.tick().await;
    }
    socket.still_serves().await;
}
