//! Requests that make no sense: each gets an answer that says why, and the server goes on.

use crate::server::http::Request;
use crate::server::socket::Socket;
use crate::server::{Server, TOKEN, within};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// `[[[…]]]`, as deep as no honest client writes.
fn deep() -> String {
    format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))
}

#[tokio::test]
async fn a_body_that_is_not_the_expected_json_is_answered_with_what_is_wrong() {
    let server = Server::start().await;
    for body in
        ["", "{", "nonsense", "null", "1", "\"text\"", "[]", "{\"sql\": \"SELECT 1\"", "{\"sql\": \"SELECT 1\"} x"]
    {
        for path in ["/query", "/query/raw", "/data/key", "/topics/chat"] {
            let answer = server.send(Request::post(path, json!(null)).body(body)).await;
            answer.is_refused(400, "invalid", "");
        }
    }
    for body in [json!({ "sql": ["SELECT 1"] }), json!({ "sql": { "a": 1 } }), json!({ "transaction": [1, null] })] {
        server.query(body).await.is_refused(400, "invalid", "\"sql\"");
    }
}

#[tokio::test]
async fn sql_with_a_nul_is_refused_whole() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (a)").await;
    for sql in ["INSERT INTO t VALUES (1)\0; DROP TABLE t", "SELECT 1\0", "\0"] {
        server.query(json!({ "sql": sql })).await.is_refused(400, "invalid", "NUL");
    }
    let mut socket = server.live().await;
    let live = socket.ask(json!({ "id": 1, "action": "subscribe", "sql": "SELECT 1\0 FROM t" })).await;
    assert_eq!(live["code"], "invalid", "{live}");
    assert_eq!(server.query(json!({ "sql": "SELECT count(*) AS n FROM t" })).await.result(), json!([{ "n": 0 }]));
}

#[tokio::test]
async fn bytes_that_are_not_utf8_are_refused_and_never_stored() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (a)").await;
    let body = [b"{\"sql\": \"INSERT INTO t VALUES ('".as_slice(), &[0xff, 0xfe], b"')\"}"].concat();
    server.send(Request::post("/query", json!(null)).body(body)).await.is_refused(400, "invalid", "");
    let value = [b"{\"value\": \"".as_slice(), &[0xc3], b"\"}"].concat();
    server.send(Request::post("/data/key", json!(null)).body(value)).await.is_refused(400, "invalid", "");
    let lone_surrogate = r#"{"sql": "INSERT INTO t VALUES (?)", "params": ["\ud800"]}"#;
    server.send(Request::post("/query", json!(null)).body(lone_surrogate)).await.is_refused(400, "invalid", "");
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{ "n": 0 }]));
}

#[tokio::test]
async fn json_ten_thousand_levels_deep_breaks_nothing() {
    let server = Server::start().await;
    let deep = deep();
    for (path, body) in [
        ("/query", deep.clone()),
        ("/query", format!("{{\"sql\": {deep}}}")),
        ("/query", format!("{{\"sql\": \"SELECT ?\", \"params\": {deep}}}")),
        ("/query", format!("{{\"transaction\": {deep}}}")),
        ("/query", format!("{{\"sql\": \"SELECT ?\", \"params\": {{\"a\": {deep}}}}}")),
        ("/data/key", format!("{{\"value\": {deep}}}")),
    ] {
        let answer = server.send(Request::post(path, json!(null)).body(body)).await;
        answer.is_refused(400, "invalid", "");
    }
    let mut socket = server.live().await;
    for text in [
        deep.clone(),
        format!("{{\"id\": 1, \"action\": \"query\", \"sql\": \"SELECT ?\", \"params\": {deep}}}"),
        format!("{{\"id\": 1, \"action\": \"transaction\", \"transaction\": {deep}}}"),
        format!("{{\"id\": {deep}, \"action\": \"ping\"}}"),
        format!("{{\"id\": 1, \"action\": \"subscribe\", \"sql\": \"SELECT 1\", \"since\": {deep}}}"),
    ] {
        socket.send_text(text).await;
        let answer = socket.next().await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("invalid")), "{answer}");
    }
    let in_sql = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    server.query(json!({ "sql": in_sql })).await.is_refused(400, "invalid", "");
    socket.still_serves().await;
}

#[tokio::test]
async fn sql_with_a_nul_in_it_is_not_cut_short_in_silence() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (a)").await;
    let body = json!({ "sql": "INSERT INTO t VALUES (1)\u{0}; INSERT INTO t VALUES (2)" });
    let answer = server.query(body).await;
    let rows = server.sql("SELECT count(*) AS n FROM t").await[0]["n"].clone();
    assert!(answer.status == 400 && rows == 0 || rows == 2, "{rows} rows, {}", answer.text());
    let bound = json!({ "sql": "SELECT length(CAST(? AS BLOB)) AS n, ?1 AS a", "params": ["a\u{0}b"] });
    assert_eq!(server.query(bound).await.result(), json!([{ "n": 3, "a": "a\u{0}b" }]));
}

#[tokio::test]
async fn every_refusal_has_the_envelope() {
    let server = Server::start().await;
    for (request, status) in [
        (Request::get("/no/such/path"), 404),
        (Request::get("/query"), 405),
        (Request::new("DELETE", "/topics/chat"), 405),
        (Request::get("/ws"), 400),
        (Request::get("/socket"), 400),
        (Request::get("/data/%ff"), 400),
        (Request::post("/topics/%ff", json!({ "data": 1 })), 400),
        (Request::get("/data?prefix=%ff"), 400),
        (Request::get("/data?prefix=%zz"), 400),
    ] {
        let path = request.head().lines().next().unwrap().to_owned();
        let answer = server.send(request).await;
        let body: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
        assert!(body["error"].is_string() && body["code"].is_string(), "{path}: {}", answer.text());
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn what_is_not_http_is_cut_and_nobody_else_notices() {
    let server = Server::start().await;
    let large_head = format!("GET /data HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "x".repeat(1 << 20));
    let half_a_body = format!(
        "POST /query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
         Content-Length: 1000\r\n\r\n{{\"sql\":"
    );
    for bytes in ["\u{16}\u{3}\u{1}\u{2} a TLS greeting", "GET\r\n\r\n", "\r\n\r\n\r\n", &large_head, &half_a_body] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let _ = stream.write_all(bytes.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = within("the end of the connection", stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    server.sql("SELECT 1").await;
}

#[tokio::test]
async fn a_frame_that_cannot_be_read_gets_an_error_and_the_socket_goes_on() {
    let server = Server::start().await;
    let mut socket = server.live().await;
    socket.subscribe("q", "SELECT 1").await;
    for text in [
        "",
        "nonsense",
        "{",
        "null",
        "[]",
        "1",
        "{}",
        r#"{"action": 1}"#,
        r#"{"id": {}, "action": "ping"}"#,
        r#"{"id": 1.5, "action": "ping"}"#,
        r#"{"id": null, "action": "ping"}"#,
        r#"{"action": "ping"}"#,
        r#"{"action": "query", "sql": "SELECT 1"}"#,
        r#"{"action": "subscribe", "sql": "SELECT 1"}"#,
    ] {
        socket.send_text(text).await;
        let answer = socket.next().await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("invalid")), "{text}: {answer}");
        assert!(answer.get("id").is_none(), "{text}: {answer}");
    }
    socket.send_message(Message::binary(b"{}".to_vec())).await;
    assert_eq!(socket.next().await["code"], "invalid");
    socket.still_serves().await;
}

#[tokio::test]
async fn a_mistake_in_a_frame_whose_id_can_be_read_is_answered_under_it() {
    let server = Server::start().await;
    let mut socket = server.live().await;
    for request in [
        json!({}),
        json!({ "action": "drop" }),
        json!({ "action": "subscribe" }),
        json!({ "action": "subscribe", "sql": "SELECT 1", "table": "t" }),
        json!({ "action": "subscribe", "sql": 1 }),
        json!({ "action": "subscribe", "table": 1 }),
        json!({ "action": "subscribe", "sql": "SELECT ?", "params": "x" }),
        json!({ "action": "subscribe", "sql": "SELECT ?", "params": [] }),
        json!({ "action": "subscribe", "topic": "a", "after": "yesterday" }),
        json!({ "action": "query" }),
        json!({ "action": "query", "sql": "SELECT ?", "params": [1, 2] }),
        json!({ "action": "transaction" }),
        json!({ "action": "transaction", "transaction": [] }),
        json!({ "action": "transaction", "transaction": [{ "sql": "" }] }),
        json!({ "action": "unsubscribe" }),
    ] {
        let mut with_id = request.clone();
        with_id["id"] = json!("mine");
        socket.send(with_id).await;
        let answer = socket.until(|frame| frame["type"] == "error").await;
        assert_eq!((&answer["id"], &answer["code"]), (&json!("mine"), &json!("invalid")), "{request}: {answer}");
    }
    for action in ["unsubscribe", "cancel"] {
        let answer = socket.ask(json!({ "id": 1, "action": action, "sub": "never subscribed" })).await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("not_found")), "{answer}");
    }
    socket.still_serves().await;
}

#[tokio::test]
async fn a_text_frame_that_is_not_utf8_ends_no_more_than_its_socket() {
    let server = Server::start().await;
    let mut other = server.live().await;
    for path in ["/ws", "/socket"] {
        let mut socket = Socket::open(server.address, path).await;
        let frame = Frame::message(vec![b'{', 0xff, 0xfe, b'}'], OpCode::Data(Data::Text), true);
        socket.send_message(Message::Frame(frame)).await;
        let mut rest = Vec::new();
        let _ = socket.tcp().shutdown().await;
        let _ = within("the end of the socket", socket.tcp().read_to_end(&mut rest)).await;
    }
    other.still_serves().await;
}
