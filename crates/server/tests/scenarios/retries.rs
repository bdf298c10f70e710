//! `Idempotency-Key`: a client that does not know whether its write arrived sends it again.

use crate::server::Server;
use crate::server::http::{Answer, Request};
use serde_json::json;

async fn with_table() -> Server {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a)").await;
    server
}

fn keyed(key: &str, sql: &str) -> Request {
    Request::post("/query", json!({ "sql": sql })).header("Idempotency-Key", key)
}

#[track_caller]
fn is_same(again: &Answer, first: &Answer) {
    assert_eq!(String::from_utf8_lossy(&again.body), String::from_utf8_lossy(&first.body));
    assert_eq!(again.status, first.status);
    assert_eq!(again.header("tidebase-revision"), first.header("tidebase-revision"));
}

#[tokio::test]
async fn a_write_sent_again_is_answered_as_before_and_done_once() {
    let server = with_table().await;
    let insert = keyed("one", "INSERT INTO t (a) VALUES ('x') RETURNING id");
    let first = server.send(insert.clone()).await;
    server.sql("INSERT INTO t (a) VALUES ('between')").await;
    let again = server.send(insert.clone()).await;
    assert_eq!(first.result(), json!([{ "id": 1 }]));
    is_same(&again, &first);
    assert_eq!(server.sql("SELECT count(*) AS n FROM t WHERE a = 'x'").await, json!([{ "n": 1 }]));

    let server = server.restart().await;
    is_same(&server.send(insert.clone()).await, &first);
    let server = server.crash_and_restart().await;
    is_same(&server.send(insert).await, &first);
    assert_eq!(server.sql("SELECT count(*) AS n FROM t WHERE a = 'x'").await, json!([{ "n": 1 }]));
}

#[tokio::test]
async fn the_same_key_at_one_time_writes_once() {
    let server = with_table().await;
    let insert = keyed("one", "INSERT INTO t (a) VALUES ('x') RETURNING id");
    let answers = futures_util::future::join_all((0..10).map(|_| server.send(insert.clone()))).await;
    for answer in &answers {
        is_same(answer, &answers[0]);
    }
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{ "n": 1 }]));
}

#[tokio::test]
async fn a_key_with_another_request_is_a_conflict() {
    let server = with_table().await;
    server.send(keyed("one", "INSERT INTO t (a) VALUES (1)")).await.result();
    let other = server.send(keyed("one", "INSERT INTO t (a) VALUES (2)")).await;
    other.is_refused(409, "conflict", "Idempotency-Key");
    let raw = Request::post("/query/raw", json!({ "sql": "INSERT INTO t (a) VALUES (1)" }));
    server.send(raw.header("Idempotency-Key", "one")).await.is_refused(409, "conflict", "Idempotency-Key");
    assert_eq!(server.sql("SELECT a FROM t").await, json!([{ "a": 1 }]));
}

#[tokio::test]
async fn a_refusal_is_kept_although_it_would_succeed_by_now() {
    let server = with_table().await;
    server.sql("INSERT INTO t VALUES (1, 'in the way')").await;
    let insert = keyed("one", "INSERT INTO t VALUES (1, 'mine')");
    let first = server.send(insert.clone()).await;
    first.is_refused(409, "conflict", "UNIQUE constraint failed: t.id");
    server.sql("DELETE FROM t").await;
    is_same(&server.send(insert).await, &first);
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{ "n": 0 }]));
}

#[tokio::test]
async fn a_kept_refusal_of_a_transaction_still_names_the_statement() {
    let server = with_table().await;
    let insert = json!({ "sql": "INSERT INTO t VALUES (1, 'mine')" });
    let twice = Request::post("/query", json!({ "transaction": [insert, insert] })).header("Idempotency-Key", "one");
    let first = server.send(twice.clone()).await;
    assert_eq!(first.json()["statement"], 1);
    is_same(&server.send(twice).await, &first);
}

#[tokio::test]
async fn a_refusal_that_time_may_mend_is_not_kept() {
    let server = Server::start_with(&["write_time_max=200"]).await;
    server.sql("CREATE TABLE t (n)").await;
    let slow = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < (SELECT stop FROM s)) \
                INSERT INTO t SELECT max(n) FROM c";
    server.sql("CREATE TABLE s (stop)").await;
    server.sql("INSERT INTO s VALUES (1000000000000)").await;
    server.send(keyed("one", slow)).await.is_refused(504, "timeout", "200 ms");
    server.sql("UPDATE s SET stop = 3").await;
    server.send(keyed("one", slow)).await.result();
    assert_eq!(server.sql("SELECT n FROM t").await, json!([{ "n": 3 }]));
}

#[tokio::test]
async fn a_key_has_1_to_255_characters() {
    let server = with_table().await;
    let insert = "INSERT INTO t (a) VALUES (1)";
    server.send(keyed(&"k".repeat(255), insert)).await.result();
    server.send(keyed(&"k".repeat(256), insert)).await.is_refused(400, "invalid", "255");
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{ "n": 1 }]));
}

#[tokio::test]
async fn keys_are_written_once_too() {
    let server = Server::start().await;
    let increment = Request::post("/data/visits/increment", json!({ "by": 2 })).header("Idempotency-Key", "one");
    let first = server.send(increment.clone()).await;
    assert_eq!(first.json()["value"], 2);
    is_same(&server.send(increment).await, &first);
    let set = Request::post("/data/other", json!({ "value": 1 })).header("Idempotency-Key", "one");
    server.send(set).await.is_refused(409, "conflict", "Idempotency-Key");
}
