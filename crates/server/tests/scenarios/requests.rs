//! Requests on one `/ws`: their order, their ids, and their end.

use crate::server::socket::stands_at;
use crate::server::{PATIENCE, Server};
use serde_json::{Value as Json, json};
use std::time::Instant;

async fn with_table() -> Server {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a)").await;
    server
}

#[tokio::test]
async fn requests_of_a_socket_act_in_the_order_they_were_sent() {
    let server = with_table().await;
    let mut socket = server.live().await;
    let write = |id: i64| json!({ "id": format!("w{id}"), "action": "query", "sql": "INSERT INTO t VALUES (?, 0)", "params": [id] });
    let count = |id: &str| json!({ "id": id, "action": "query", "sql": "SELECT count(*) AS n FROM t" });
    let mut frames: Vec<Json> = (0..100).map(write).collect();
    frames.insert(50, count("half way"));
    frames.push(count("end"));
    frames.push(json!({ "id": "live", "action": "subscribe", "sql": "SELECT count(*) FROM t" }));
    socket.send_all(frames).await;
    let rows = socket.answer("live").await;
    assert_eq!(rows["rows"][0][1], 100);
    let answers: Vec<&Json> = socket.seen.iter().filter(|frame| frame["type"] == "result").collect();
    assert_eq!(answers.len(), 102);
    let result = |id: &str| answers.iter().find(|frame| frame["id"] == id).unwrap()["result"].clone();
    assert_eq!(result("half way"), json!([{ "n": 50 }]));
    assert_eq!(result("end"), json!([{ "n": 100 }]));
    // In which order writes of one commit are answered is left open; that they act in their order is not.
    let revision = |id: i64| answers.iter().find(|frame| frame["id"] == format!("w{id}")).unwrap()["revision"].as_i64();
    assert!((0..100).map(revision).is_sorted_by(|one, next| one < next));
}

#[tokio::test]
async fn after_an_answered_write_the_socket_is_told_that_its_queries_have_reached_it() {
    let server = with_table().await;
    server.sql("CREATE TABLE other (a)").await;
    let mut socket = server.live().await;
    socket.subscribe("q", "SELECT * FROM t").await;
    for (id, sql) in [("seen", "INSERT INTO t VALUES (1, 1)"), ("not seen", "INSERT INTO other VALUES (1)")] {
        let answer = socket.ask(json!({ "id": id, "action": "query", "sql": sql })).await;
        let revision = answer["revision"].as_i64().unwrap();
        let told = socket.until_seen(|frame| stands_at(frame).is_some_and(|at| at >= revision)).await;
        assert_eq!(told["type"], if id == "seen" { "delta" } else { "at" });
    }
    let transaction = json!({ "id": "both", "action": "transaction", "transaction": [
        { "sql": "INSERT INTO t VALUES (2, 2) RETURNING id" }, { "sql": "SELECT count(*) AS n FROM t" }] });
    assert_eq!(socket.ask(transaction).await["result"], json!([[{ "id": 2 }], [{ "n": 2 }]]));
}

#[tokio::test]
async fn after_its_end_a_subscription_says_nothing_more() {
    let server = with_table().await;
    let mut socket = server.live().await;
    socket.subscribe("gone", "SELECT a FROM t").await;
    socket.subscribe("stays", "SELECT a FROM t").await;
    let writer = async {
        for number in 0..50 {
            server.write(&format!("INSERT INTO t VALUES ({number}, 0)")).await;
        }
        server.write("INSERT INTO t VALUES (50, 0)").await
    };
    let ((), revision) = tokio::join!(
        async {
            socket.reaches(2).await;
            let ended = socket.ask(json!({ "id": "end", "action": "unsubscribe", "sub": "gone" })).await;
            assert_eq!(ended["type"], "result", "{ended}");
        },
        writer
    );
    let ended_at = socket.seen.len();
    socket.reaches(revision).await;
    assert!(!socket.seen[ended_at..].iter().any(|frame| frame.to_string().contains("\"gone\"")), "{:?}", socket.seen);
    let again = socket.ask(json!({ "id": "end", "action": "unsubscribe", "sub": "gone" })).await;
    assert_eq!((&again["type"], &again["code"]), (&json!("error"), &json!("not_found")));
    assert_eq!(socket.subscribe("gone", "SELECT count(*) FROM t").await["rows"][0][1], 51, "the id is free again");
}

#[tokio::test]
async fn a_running_query_can_be_cancelled() {
    let server = with_table().await;
    let mut socket = server.live().await;
    let endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c";
    let asked = Instant::now();
    socket.send(json!({ "id": "endless", "action": "query", "sql": endless })).await;
    assert_eq!(socket.ask(json!({ "id": "stop", "action": "cancel", "sub": "endless" })).await["type"], "result");
    let next = socket.ask(json!({ "id": "next", "action": "query", "sql": "SELECT 1 AS one" })).await;
    assert_eq!(next["result"], json!([{ "one": 1 }]), "{next}");
    assert!(asked.elapsed() < PATIENCE / 2, "it was not cancelled but timed out");
}

#[tokio::test]
async fn a_request_that_was_cancelled_while_it_waited_is_not_answered_and_its_id_is_free() {
    let server = with_table().await;
    let mut socket = server.live().await;
    let slow =
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000000) SELECT count(*) AS n FROM c";
    let select = |value: &str| json!({ "id": "x", "action": "query", "sql": "SELECT ? AS v", "params": [value] });
    socket
        .send_all([
            json!({ "id": "slow", "action": "query", "sql": slow }),
            select("cancelled"),
            json!({ "id": "stop", "action": "cancel", "sub": "x" }),
            select("new"),
            json!({ "id": "end", "action": "query", "sql": "SELECT 1" }),
        ])
        .await;
    socket.answer("end").await;
    let of_x: Vec<&Json> = socket.seen.iter().filter(|frame| frame["id"] == "x").collect();
    assert_eq!(of_x.len(), 1, "one answer, to the one that was not cancelled: {:?}", socket.seen);
    assert_eq!(of_x[0]["result"], json!([{ "v": "new" }]));
}

#[tokio::test]
async fn an_id_in_use_is_a_conflict_and_ids_are_echoed_as_sent() {
    let server = with_table().await;
    let mut socket = server.live().await;
    socket.subscribe(1, "SELECT a FROM t").await;
    socket.subscribe("1", "SELECT a FROM t").await;
    for request in [
        json!({ "id": 1, "action": "subscribe", "sql": "SELECT 1" }),
        json!({ "id": "1", "action": "query", "sql": "SELECT 1" }),
        json!({ "id": 1, "action": "subscribe", "topic": "chat" }),
    ] {
        let answer = socket.ask(request).await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("conflict")), "{answer}");
    }
    let revision = server.write("INSERT INTO t VALUES (1, 0)").await;
    let delta = socket.reaches(revision).await;
    let ids: Vec<&Json> = delta["queries"].as_array().unwrap().iter().map(|query| &query["id"]).collect();
    assert!(ids.contains(&&json!(1)) && ids.contains(&&json!("1")), "the subscriptions go on: {delta}");
}

#[tokio::test]
async fn a_subscription_that_was_ended_while_it_waited_does_not_begin() {
    let server = with_table().await;
    let mut socket = server.live().await;
    socket.subscribe("other", "SELECT count(*) FROM t").await;
    let slow =
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300000) SELECT count(*) AS n FROM c";
    socket
        .send_all([
            json!({ "id": "slow", "action": "query", "sql": slow }),
            json!({ "id": "x", "action": "subscribe", "sql": "SELECT a FROM t" }),
            json!({ "id": "t", "action": "subscribe", "topic": "chat" }),
            json!({ "id": "stop x", "action": "unsubscribe", "sub": "x" }),
            json!({ "id": "stop t", "action": "unsubscribe", "sub": "t" }),
            json!({ "id": "end", "action": "query", "sql": "INSERT INTO t VALUES (1, 1)" }),
            json!({ "id": "p", "action": "publish", "topic": "chat", "data": 1 }),
        ])
        .await;
    let revision = socket.answer("end").await["revision"].as_i64().unwrap();
    socket.answer("p").await;
    socket.until_seen(|frame| stands_at(frame).is_some_and(|at| at >= revision)).await;
    socket.still_serves().await;
    for id in ["x", "t"] {
        let ended = socket.seen.iter().position(|frame| frame["id"] == format!("stop {id}")).expect("it was answered");
        let about =
            |frame: &&Json| frame["id"] == id || frame["queries"].to_string().contains(&format!("\"id\":\"{id}\""));
        let after = socket.seen[ended..].iter().find(about);
        assert!(after.is_none(), "after its end: {after:?}");
    }
}

#[tokio::test]
async fn a_slow_request_with_many_behind_it_holds_up_no_live_query() {
    let server = with_table().await;
    let mut socket = server.live().await;
    socket.subscribe("q", "SELECT count(*) FROM t").await;
    let slow =
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000000) SELECT count(*) AS n FROM c";
    let ask = |id: &str, sql: &str| json!({ "id": id, "action": "query", "sql": sql });
    let behind = (0..1000).map(|number| ask(&number.to_string(), "SELECT 1 AS one"));
    socket.send_all([ask("slow", slow)].into_iter().chain(behind)).await;
    server.sql("INSERT INTO t VALUES (1, 1)").await;
    socket.until(|frame| frame["type"] == "delta").await;
    assert!(socket.seen.iter().all(|frame| frame["type"] != "result"), "the slow one was answered first");
    for id in ["slow", "0", "999"] {
        let answer = socket.until_seen(|frame| frame["id"] == id).await;
        assert_eq!(answer["type"], "result", "{answer}");
    }
}
