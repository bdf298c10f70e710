//! Every bound: what is past it gets its named error, and everybody else goes on.

use crate::server::http::Request;
use crate::server::socket::Socket;
use crate::server::{PATIENCE, Server, within};
use serde_json::{Value as Json, json};
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;

const ENDLESS: &str = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) AS n FROM c";

#[tokio::test]
async fn the_results_of_a_transaction_are_bounded_together() {
    let server = Server::start_with(&["result_bytes_max=1000000"]).await;
    let select = |bytes: i64| json!({ "sql": format!("SELECT hex(zeroblob({})) AS a", bytes / 2) });
    let transaction = |count: usize| json!({ "transaction": vec![select(100_000); count] });
    assert_eq!(server.send(Request::post("/query", transaction(9))).await.status, 200);
    server.send(Request::post("/query", transaction(11))).await.is_refused(413, "too_large", "1000000");
}

#[tokio::test]
async fn a_body_over_the_limit_is_too_large() {
    let server = Server::start_with(&["body_bytes_max=100000"]).await;
    let sql = |size: usize| format!("{{\"sql\": \"SELECT 1\", \"padding\": \"{}\"}}", "x".repeat(size));
    for path in ["/query", "/query/raw"] {
        let fits = server.send(Request::post(path, json!(null)).body(sql(90_000))).await;
        assert_eq!(fits.status, 200, "{}", fits.text());
    }
    for path in ["/query", "/query/raw", "/data/key", "/topics/chat"] {
        let answer = server.send(Request::post(path, json!(null)).body(sql(5_000_000))).await;
        answer.is_refused(413, "too_large", "100000");
    }
    // Nor does it help not to say how long it will be.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = Request::post("/query", json!(null)).head();
    stream.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let mut answer = vec![0; 12];
    let (mut from, mut to) = stream.split();
    let sending = async {
        while to.write_all(chunk.as_bytes()).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        read = within("an answer", from.read_exact(&mut answer)) => { read.unwrap(); }
        () = sending => {}
    }
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");
}

/// As `fetch` does: everything is sent before the answer is looked at. Gives how much could be sent, and what was answered.
async fn sent_blindly(server: &Server, head: String, length: usize) -> (usize, String) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n").as_bytes()).await.unwrap();
    let piece = vec![b' '; 16 << 10];
    let mut sent = 0;
    while sent < length {
        let piece = &piece[..piece.len().min(length - sent)];
        if within("room to send", stream.write_all(piece)).await.is_err() {
            break;
        }
        sent += piece.len();
        tokio::task::yield_now().await;
    }
    let mut answer = vec![0; 4096];
    let read = if sent == length { within("an answer", stream.read(&mut answer)).await.unwrap_or(0) } else { 0 };
    (sent, String::from_utf8_lossy(&answer[..read]).into_owned())
}

#[tokio::test]
async fn who_sends_too_much_before_looking_is_told_so_and_who_does_not_end_is_cut_off() {
    let server = Server::start().await;
    let length = 9 << 20;
    for path in ["/query", "/data/key", "/docs/rooms/r1"] {
        let (sent, answer) = sent_blindly(&server, Request::post(path, json!(null)).head(), length).await;
        assert_eq!(sent, length, "{path}");
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("too_large"), "{path}: {answer}");
    }
    // What is refused before anybody looks at the body is told as well.
    let head = Request::post("/query", json!(null)).without_token().head();
    let (sent, answer) = sent_blindly(&server, head, 3 << 20).await;
    assert!(sent == 3 << 20 && answer.starts_with("HTTP/1.1 401"), "{sent}: {answer}");
    let (sent, _) = sent_blindly(&server, Request::post("/query", json!(null)).head(), 1 << 30).await;
    assert!(sent < 100 << 20, "cut off, not read to the end: {sent}");
    server.sql("SELECT 1").await;
}

#[tokio::test]
async fn a_frame_over_the_limit_closes_its_socket_as_too_large() {
    let server = Server::start_with(&["frame_bytes_max=10000"]).await;
    let mut other = server.live().await;
    let mut socket = server.live().await;
    let fits = json!({ "id": 1, "action": "query", "sql": "SELECT length(?) AS n", "params": ["x".repeat(9000)] });
    assert_eq!(socket.ask(fits).await["result"], json!([{ "n": 9000 }]));
    socket.send_text("x".repeat(20_000)).await;
    assert_eq!(socket.closed().await.0, 4413);
    other.still_serves().await;
}

#[tokio::test]
async fn ten_thousand_subscriptions_on_one_socket_are_too_many() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (a)").await;
    let mut other = server.live().await;
    other.subscribe("q", "SELECT a FROM t").await;
    let mut socket = server.live().await;
    let subscribe =
        |id: i64| json!({ "id": id, "action": "subscribe", "sql": "SELECT a FROM t WHERE a = ?", "params": [id] });
    socket.send_all((0..10_000).map(subscribe)).await;
    let (mut rows, mut refused) = (0, 0);
    while rows + refused < 10_000 {
        let frame = socket.next().await;
        match frame["type"].as_str().unwrap() {
            "rows" => rows += 1,
            "error" => {
                assert_eq!(frame["code"], "too_many", "{frame}");
                refused += 1;
            }
            other => assert_eq!(other, "at", "{frame}"),
        }
    }
    assert_eq!((rows, refused), (1000, 9000));
    socket.send_all((0..2000).map(|_| json!({ "action": "subscribe", "key": "k" }))).await;
    socket.until(|frame| frame["code"] == "too_many").await;
    let revision = server.write("INSERT INTO t VALUES (5)").await;
    other.reaches(revision).await;
    let delta = socket.until(|frame| frame["type"] == "delta").await;
    assert_eq!(delta["queries"][0]["id"], 5);
}

#[tokio::test]
async fn an_endless_read_is_ended_and_others_are_served_meanwhile() {
    let server = Server::start_with(&["read_time_max=700", "reader_threads=2"]).await;
    server.sql("CREATE TABLE t (a)").await;
    let asked = Instant::now();
    let endless = async {
        let many = futures_util::future::join_all((0..4).map(|_| server.query(json!({ "sql": ENDLESS })))).await;
        many.iter().for_each(|answer| answer.is_refused(504, "timeout", "700 ms"));
    };
    let quick = async {
        for number in 0..20 {
            server.write(&format!("INSERT INTO t VALUES ({number})")).await;
            server.sql("SELECT count(*) AS n FROM t").await;
        }
        asked.elapsed()
    };
    let ((), quick) = tokio::join!(endless, quick);
    // Four at two at a time: a quick one that had waited for them would be later than this.
    assert!(quick < asked.elapsed(), "the quick ones waited: {quick:?}");
    assert!(asked.elapsed() < PATIENCE / 2);
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{ "n": 20 }]));
}

#[tokio::test]
async fn an_endless_write_is_ended_and_undone_and_the_next_one_is_done() {
    let server = Server::start_with(&["write_time_max=300"]).await;
    server.sql("CREATE TABLE t (a)").await;
    let sql = format!("INSERT INTO t VALUES (1); INSERT INTO t {ENDLESS}");
    let endless = json!({ "sql": sql });
    let (refused, written) =
        tokio::join!(server.query(endless), server.query(json!({ "sql": "INSERT INTO t VALUES (2)" })));
    refused.is_refused(504, "timeout", "300 ms");
    assert_eq!(written.status, 200, "{}", written.text());
    assert_eq!(server.sql("SELECT a FROM t").await, json!([{ "a": 2 }]));
}

#[tokio::test]
async fn an_endless_live_query_ends_with_an_error_and_others_go_on() {
    let server = Server::start_with(&["live_slow_time_max=500"]).await;
    server.sql("CREATE TABLE t (a)").await;
    let (mut socket, mut other) = (server.live().await, server.live().await);
    other.subscribe("q", "SELECT a FROM t").await;
    socket.subscribe("good", "SELECT a FROM t").await;
    socket.send(json!({ "id": "endless", "action": "subscribe", "sql": ENDLESS })).await;
    for number in 0..5 {
        let revision = server.write(&format!("INSERT INTO t VALUES ({number})")).await;
        other.reaches(revision).await;
    }
    let error = socket.until_seen(|frame| frame["id"] == "endless").await;
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("timeout")), "{error}");
    let revision = server.write("DELETE FROM t").await;
    socket.reaches(revision).await;
}

#[tokio::test]
async fn a_result_of_a_gigabyte_is_too_large_and_leaves_no_trace_in_memory() {
    let server = Server::start_with(&["read_time_max=20000", "write_time_max=20000"]).await;
    server.sql("CREATE TABLE t (a)").await;
    let rows = |n| format!("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {n})");
    let read = format!("{} SELECT hex(zeroblob(500000)) AS a FROM c", rows(1000));
    let write = format!("INSERT INTO t {} SELECT n FROM c RETURNING hex(zeroblob(500000))", rows(200));
    server.query(json!({ "sql": read })).await.is_refused(413, "too_large", "larger than");
    server.query(json!({ "sql": write })).await.is_refused(413, "too_large", "larger than");
    server.query(json!({ "sql": "SELECT zeroblob(1073741824)" })).await.is_refused(413, "too_large", "");
    let mut socket = server.live().await;
    let live = socket.ask(json!({ "id": "q", "action": "subscribe", "sql": read })).await;
    assert_eq!((&live["type"], &live["code"]), (&json!("error"), &json!("too_large")), "{live}");
    let asked = socket.ask(json!({ "id": "q", "action": "query", "sql": read })).await;
    assert_eq!((&asked["type"], &asked["code"]), (&json!("error"), &json!("too_large")), "{asked}");
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{ "n": 0 }]), "a write is undone");
    #[cfg(target_os = "linux")]
    assert!(server.memory() < 500 << 20, "{} bytes", server.memory());
}

#[tokio::test]
async fn other_bounds_have_their_names_too() {
    let server = Server::start_with(&[
        "result_rows_max=10",
        "statements_max=3",
        "sql_bytes_max=200",
        "live_rows_max=5",
        "topics_max=2",
        "sockets_max=2",
    ])
    .await;
    server.sql("CREATE TABLE t (a)").await;
    let rows = |n: i64| {
        format!("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {n}) SELECT n FROM c")
    };
    assert_eq!(server.sql(&rows(10)).await.as_array().unwrap().len(), 10);
    server.query(json!({ "sql": rows(11) })).await.is_refused(413, "too_large", "10 rows");
    let undone = json!({ "sql": format!("INSERT INTO t {} RETURNING a", rows(11)) });
    server.query(undone).await.is_refused(413, "too_large", "10 rows");
    let four = json!({ "transaction": vec![json!({ "sql": "INSERT INTO t VALUES (1)" }); 4] });
    server.query(four).await.is_refused(413, "too_large", "3 statements");
    server.query(json!({ "sql": format!("SELECT '{}'", "x".repeat(200)) })).await.is_refused(413, "too_large", "200");
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{ "n": 0 }]));

    let mut socket = server.live().await;
    let large = socket.ask(json!({ "id": "q", "action": "subscribe", "sql": rows(6) })).await;
    assert_eq!((&large["type"], &large["code"]), (&json!("error"), &json!("too_large")), "{large}");
    socket.subscribe("q", "SELECT a FROM t").await;
    server.write(&format!("INSERT INTO t {}", rows(6))).await;
    let grown: Json = socket.until(|frame| frame["type"] == "error").await;
    assert_eq!((&grown["id"], &grown["code"]), (&json!("q"), &json!("too_large")), "it ends when it grows too large");
    for (id, expected) in [("a", None), ("b", None), ("c", Some("too_many"))] {
        socket.send(json!({ "id": id, "action": "subscribe", "topic": id })).await;
        if let Some(code) = expected {
            assert_eq!(socket.answer(id).await["code"], code);
        }
    }

    let second = server.live().await;
    let third = Socket::try_open(server.address, "/ws", Some(crate::server::TOKEN)).await;
    assert!(matches!(third, Err(Error::Http(answer)) if answer.status() == 429));
    server.send(Request::get("/live?sql=SELECT+1")).await.is_refused(429, "too_many", "sockets");
    second.close().await;
    within("a free place", async {
        while Socket::try_open(server.address, "/ws", Some(crate::server::TOKEN)).await.is_err() {}
    })
    .await;
}

#[tokio::test]
async fn different_live_queries_are_bounded_and_those_that_are_live_go_on() {
    let server = Server::start_with(&["live_templates_max=2", "live_queries_max=5"]).await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a)").await;
    let mut socket = server.live().await;
    socket.subscribe(1, "SELECT id FROM t WHERE a = 1").await;
    socket.subscribe(2, "SELECT id, a FROM t").await;
    let third = json!({ "id": 3, "action": "subscribe", "sql": "SELECT a FROM t" });
    let refused = socket.ask(third.clone()).await;
    assert_eq!(refused["code"], "too_many", "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("parameters"), "{refused}");
    // Values in the text make no text of its own.
    for (id, value) in [(4, 2), (5, 3), (6, 4)] {
        socket.subscribe(id, &format!("SELECT id FROM t WHERE a = {value}")).await;
    }
    let refused = socket.ask(json!({ "id": 7, "action": "subscribe", "sql": "SELECT id FROM t WHERE a = 5" })).await;
    assert_eq!(refused["code"], "too_many", "{refused}");
    // The same for another client is nothing new.
    server.live().await.subscribe(1, "SELECT id FROM t WHERE a = 4").await;
    let revision = server.write("INSERT INTO t VALUES (1, 4)").await;
    let delta = socket.reaches(revision).await;
    assert_eq!(delta["queries"].as_array().map(Vec::len), Some(2), "{delta}");
}

#[tokio::test]
async fn an_index_may_go_while_many_queries_listen() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b)").await;
    server.sql("CREATE INDEX t_a ON t (a)").await;
    let mut socket = server.live().await;
    for id in 0..500 {
        let sql = "SELECT id, b FROM t WHERE a = ?";
        socket.ask(json!({ "id": id, "action": "subscribe", "sql": sql, "params": [id] })).await;
    }
    server.write("INSERT INTO t VALUES (1, 7, 'x')").await;
    server.sql("DROP INDEX t_a").await;
    server.sql("ALTER TABLE t ADD COLUMN c").await;
    let revision = server.write("UPDATE t SET a = 8, b = 'y' WHERE id = 1").await;
    let seven_loses = socket.until_seen(|frame| frame["queries"].to_string().contains("\"delete\":[\"1\"]")).await;
    let eight_gains = socket.until_seen(|frame| frame["queries"].to_string().contains("[\"1\",1,\"y\"]")).await;
    assert_eq!((&seven_loses["to"], &eight_gains["to"]), (&json!(revision), &json!(revision)));
    socket.still_serves().await;
}

#[tokio::test]
async fn a_group_of_half_a_million_rows_and_a_transaction_that_touches_them_all_hold_up_nobody() {
    let server = Server::start_with(&["write_time_max=60000", "read_time_max=60000"]).await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, n INTEGER)").await;
    server.sql("CREATE TABLE other (a)").await;
    let many = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500000)";
    server.sql(&format!("INSERT INTO t (a, n) {many} SELECT n % 2, 1 FROM c")).await;
    let (mut socket, mut quick) = (server.live().await, server.live().await);
    quick.subscribe("q", "SELECT a FROM other").await;
    let refused = socket.ask(json!({ "id": "all", "action": "subscribe", "sql": "SELECT id, n FROM t" })).await;
    assert_eq!((&refused["code"], refused["id"].as_str()), (&json!("too_large"), Some("all")), "{refused}");
    let groups = socket.subscribe("groups", "SELECT a, count(*), sum(n) FROM t GROUP BY a").await;
    assert_eq!(groups["rows"], json!([["0", 0, 250_000, 250_000], ["1", 1, 250_000, 250_000]]));
    socket.subscribe("top", "SELECT id, n FROM t ORDER BY n DESC LIMIT 1").await;
    socket.subscribe("one", "SELECT n FROM t WHERE id = 7").await;
    let write = server.query(json!({ "sql": "UPDATE t SET n = n + id" }));
    let (written, revision) = tokio::join!(write, server.write("INSERT INTO other VALUES (1)"));
    quick.reaches(revision).await;
    socket.reaches(written.revision()).await;
    let revision = server.write("UPDATE t SET n = 0 WHERE id = 7").await;
    let delta = socket.until_seen(|frame| frame["to"] == revision).await;
    let sums: i64 = (1..=500_000).filter(|id| id % 2 == 1).map(|id| id + 1).sum::<i64>() - 8;
    assert!(delta["queries"].to_string().contains(&format!("[\"1\",1,250000,{sums}]")), "{delta}");
    quick.still_serves().await;
}

#[tokio::test]
async fn a_storm_of_subscriptions_to_a_new_template_is_analysed_once_and_answered() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)").await;
    let mut sockets = Vec::new();
    for _ in 0..100 {
        sockets.push(server.live().await);
    }
    for (number, socket) in (0..).zip(&mut sockets) {
        let ask = |id: i64| json!({ "id": id, "action": "subscribe", "sql": "SELECT id FROM t WHERE a = ?", "params": [100 * number + id] });
        socket.send_all((0..100).map(ask)).await;
    }
    for socket in &mut sockets {
        for id in 0..100 {
            let rows = socket.answer(id).await;
            assert_eq!((&rows["type"], &rows["rows"]), (&json!("rows"), &json!([])), "{rows}");
        }
    }
    let told = server.send(Request::get("/status/live")).await.result();
    assert_eq!((&told["live_queries"], &told["lanes"][0]["templates"]), (&json!(10_000), &json!(1)), "{told}");
    let revision = server.write("INSERT INTO t VALUES (1, 4242)").await;
    let delta = sockets[42].reaches(revision).await;
    assert_eq!(delta["queries"], json!([{ "id": 42, "insert": [["1", 1]] }]));
}
