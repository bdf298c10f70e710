//! `GET /socket`: StarbaseDB's WebSocket, with answers to mistakes.

use crate::server::Server;
use crate::server::socket::Socket;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

async fn open() -> (Server, Socket) {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a)").await;
    let socket = Socket::open(server.address, "/socket").await;
    (server, socket)
}

#[tokio::test]
async fn the_example_of_starbasedbs_page_gets_a_bare_array_of_rows() {
    let (_server, mut socket) = open().await;
    socket.send(json!({ "sql": "SELECT 1 AS a, 'b' AS b", "params": [], "action": "query" })).await;
    assert_eq!(socket.next().await, json!([{ "a": 1, "b": "b" }]));
    socket.send(json!({ "sql": "INSERT INTO t (a) VALUES (?)", "params": ["x"], "action": "query" })).await;
    assert_eq!(socket.next().await, json!([]));
    socket.send(json!({ "sql": "SELECT * FROM t", "action": "query" })).await;
    assert_eq!(socket.next().await, json!([{ "id": 1, "a": "x" }]));
}

#[tokio::test]
async fn with_an_id_the_answer_has_it_too() {
    let (_server, mut socket) = open().await;
    for id in [json!(7), json!("seven"), json!(0), json!("")] {
        let answer = socket.ask(json!({ "id": id, "sql": "SELECT 1 AS a", "action": "query" })).await;
        assert_eq!(answer, json!({ "id": id, "result": [{ "a": 1 }] }));
        let answer = socket.ask(json!({ "id": id, "sql": "SELEC", "action": "query" })).await;
        assert_eq!((&answer["id"], &answer["code"]), (&id, &json!("invalid")));
        assert!(answer["error"].as_str().unwrap().contains("syntax error") && answer.get("result").is_none());
    }
}

#[tokio::test]
async fn a_mistake_is_answered_and_the_socket_goes_on() {
    let (_server, mut socket) = open().await;
    for (text, code) in [
        ("not JSON", "invalid"),
        ("[]", "invalid"),
        ("null", "invalid"),
        ("{}", "invalid"),
        (r#"{"sql":"SELECT 1"}"#, "invalid"),
        (r#"{"sql":"SELECT 1","action":"drop"}"#, "invalid"),
        (r#"{"sql":"SELECT 1","action":1}"#, "invalid"),
        (r#"{"action":"query"}"#, "invalid"),
        (r#"{"sql":"","action":"query"}"#, "invalid"),
        (r#"{"sql":"SELECT 1","params":"x","action":"query"}"#, "invalid"),
        (r#"{"sql":"SELECT ?","action":"query"}"#, "invalid"),
        (r#"{"id":{},"sql":"SELECT 1","action":"query"}"#, "invalid"),
        (r#"{"sql":"INSERT INTO t VALUES (1, 1), (1, 1)","action":"query"}"#, "conflict"),
        (r#"{"sql":"ATTACH 'x' AS x","action":"query"}"#, "forbidden"),
    ] {
        socket.send_text(text).await;
        let answer = socket.next().await;
        assert_eq!(answer["code"], code, "{text}: {answer}");
        assert!(answer["error"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
    }
    socket.send_message(Message::binary(b"bytes".to_vec())).await;
    assert_eq!(socket.next().await["code"], "invalid");
    socket.send(json!({ "sql": "SELECT count(*) AS n FROM t", "action": "query" })).await;
    assert_eq!(socket.next().await, json!([{ "n": 0 }]));
}

#[tokio::test]
async fn a_transaction_is_whole_or_not_at_all() {
    let (server, mut socket) = open().await;
    let insert = json!({ "sql": "INSERT INTO t VALUES (?, 'x')", "params": [1] });
    let count = json!({ "sql": "SELECT count(*) AS n FROM t" });
    socket.send(json!({ "action": "transaction", "transaction": [insert, insert] })).await;
    let refused = socket.next().await;
    assert_eq!((&refused["code"], &refused["statement"]), (&json!("conflict"), &json!(1)), "{refused}");
    socket.send(json!({ "action": "transaction", "transaction": [insert, count] })).await;
    assert_eq!(socket.next().await, json!([[], [{ "n": 1 }]]));
    let with_id = socket.ask(json!({ "id": 1, "action": "transaction", "transaction": [count] })).await;
    assert_eq!(with_id["result"], json!([[{ "n": 1 }]]));
    for transaction in [json!([]), json!({}), json!([{ "sql": "" }])] {
        let answer = socket.ask(json!({ "id": 1, "action": "transaction", "transaction": transaction })).await;
        assert_eq!(answer["code"], "invalid", "{answer}");
    }
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{ "n": 1 }]));
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_requests() {
    let (_server, mut socket) = open().await;
    let requests = (0..100).map(|number| match number % 2 {
        0 => json!({ "sql": "INSERT INTO t VALUES (?, 0) RETURNING id AS n", "params": [number], "action": "query" }),
        _ => json!({ "sql": "SELECT ? AS n, count(*) AS c FROM t", "params": [number], "action": "query" }),
    });
    socket.send_all(requests).await;
    for number in 0..100 {
        let answer = socket.next().await;
        assert_eq!(answer[0]["n"], number);
        if number % 2 == 1 {
            assert_eq!(answer[0]["c"], (number + 1) / 2, "a read sees the writes before it");
        }
    }
}

#[tokio::test]
async fn a_row_written_here_is_seen_by_a_live_query() {
    let (server, mut socket) = open().await;
    let mut live = server.live().await;
    live.subscribe("q", "SELECT a FROM t").await;
    socket.send(json!({ "sql": "INSERT INTO t (a) VALUES ('from the socket')", "action": "query" })).await;
    let delta = live.until(|frame| frame["type"] == "delta").await;
    assert_eq!(delta["queries"][0]["insert"][0][1], "from the socket");
}
