//! JSON Schemas of columns: every way to write a document is held to them.

use crate::server::Server;
use crate::server::http::{Answer, Request};
use serde_json::{Value as Json, json};

async fn send(server: &Server, method: &'static str, path: &str, body: Json) -> Answer {
    server.send(Request::new(method, path).json(body)).await
}

fn schema() -> Json {
    json!({"type": "object", "properties": {"pages": {"type": "integer", "minimum": 1}, "tags": {"type": "array", "items": {"type": "string"}}},
        "required": ["pages"]})
}

async fn books() -> Server {
    let server = Server::start().await;
    server.sql("CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT, extra TEXT); INSERT INTO book VALUES (1, 'a', '{\"pages\": 3}')").await;
    let kept = send(&server, "PUT", "/schemas/BOOK/Extra", schema()).await;
    assert_eq!(kept.result(), json!({"table": "book", "column": "extra", "schema": schema()}));
    server
}

#[tokio::test]
async fn a_document_that_does_not_fit_is_refused_whichever_way_it_comes() {
    let server = books().await;
    let refused = send(&server, "POST", "/rest/book", json!({"title": "b", "extra": {"pages": 0}})).await;
    refused.is_refused(400, "invalid", "What is written to extra of book does not fit its JSON Schema");
    assert_eq!((&refused.json()["column"], &refused.json()["pointer"]), (&json!("extra"), &json!("/pages")));
    // Its column holds JSON now, in both directions.
    let made = send(&server, "POST", "/rest/book", json!({"title": "b", "extra": {"pages": 2, "tags": ["x"]}})).await;
    assert_eq!(made.result()["data"]["extra"], json!({"pages": 2, "tags": ["x"]}));
    for sql in [
        "INSERT INTO book (extra) VALUES ('{\"pages\": \"many\"}')",
        "INSERT INTO book (extra) VALUES ('no JSON')",
        "INSERT INTO book (extra) VALUES ('{\"pages\": 1, \"pages\": \"x\"}')",
        "INSERT INTO book (extra) VALUES (jsonb('{\"pages\": 1}'))",
        "UPDATE book SET extra = json_set(extra, '$.tags', json('[1]')) WHERE id = 1",
        "INSERT INTO book (id, extra) VALUES (1, '{}') ON CONFLICT DO UPDATE SET extra = excluded.extra",
        "REPLACE INTO book VALUES (1, 'a', '[]')",
        "CREATE TABLE other (x); UPDATE book SET extra = '[]'",
        "REINDEX; UPDATE book SET extra = '[]'",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100010) INSERT INTO book (extra) SELECT iif(i = 7, '[]', '{\"pages\": 1}') FROM n",
    ] {
        let refused = server.query(json!({ "sql": sql })).await;
        refused.is_refused(400, "invalid", "does not fit its JSON Schema");
        assert_eq!(refused.json()["column"], "extra", "{sql}");
    }
    server.sql("CREATE TABLE pile (doc TEXT); CREATE TRIGGER heap AFTER INSERT ON pile BEGIN INSERT INTO book (extra) VALUES (new.doc); END").await;
    server.query(json!({"sql": "INSERT INTO pile VALUES ('5')"})).await.is_refused(400, "invalid", "JSON Schema");
    let mut live = server.live().await;
    let refused = live.ask(json!({"id": 1, "action": "query", "sql": "UPDATE book SET extra = '{}'"})).await;
    assert_eq!(
        (&refused["code"], &refused["column"], &refused["pointer"]),
        (&json!("invalid"), &json!("extra"), &json!(""))
    );
    // One of several in a transaction undoes them all.
    let both = json!({"transaction": [{"sql": "UPDATE book SET title = 'z'"}, {"sql": "UPDATE book SET extra = '{}' WHERE id = 1"}]});
    server.query(both).await.is_refused(400, "invalid", "JSON Schema");
    assert_eq!(server.sql("SELECT count(*) AS n, min(title) AS t FROM book").await, json!([{"n": 2, "t": "a"}]));
    assert_eq!(server.sql("SELECT count(*) AS n FROM pile").await, json!([{"n": 0}]));

    // NULL is no document, and what is not written is not asked.
    server.sql("UPDATE book SET extra = NULL WHERE id = 2; UPDATE book SET title = 'c'").await;
    let retry = || Request::new("POST", "/rest/book").json(json!({"extra": {}})).header("Idempotency-Key", "k");
    let first = server.send(retry()).await;
    assert_eq!(server.send(retry()).await.json(), first.json());
    let server = server.restart().await;
    send(&server, "PATCH", "/rest/book/1", json!({"extra": []})).await.is_refused(400, "invalid", "JSON Schema");
}

#[tokio::test]
async fn schemas_are_kept_shown_and_dropped_by_the_administrator() {
    let server = books().await;
    assert_eq!(send(&server, "GET", "/schemas", json!(null)).await.result().as_array().unwrap().len(), 1);
    assert_eq!(send(&server, "GET", "/schemas/book/EXTRA", json!(null)).await.result()["schema"], schema());
    let described = send(&server, "GET", "/openapi.json", json!(null)).await.json();
    assert_eq!(described["components"]["schemas"]["book.insert"]["properties"]["extra"]["anyOf"][0], schema());
    // What is there must fit.
    let other = send(&server, "PUT", "/schemas/book/extra", json!({"required": ["isbn"]})).await;
    other.is_refused(409, "conflict", "does not fit");
    assert_eq!(send(&server, "GET", "/schemas/book/extra", json!(null)).await.result()["schema"], schema());
    for (path, body, status, code, words) in [
        ("/schemas/nothing/x", json!(true), 404, "not_found", "There is no table nothing."),
        ("/schemas/book/nothing", json!(true), 404, "not_found", "There is no column nothing in book."),
        ("/schemas/_tide_meta/value", json!(true), 404, "not_found", "There is no table"),
        ("/schemas/book/extra", json!({"type": "odd"}), 400, "invalid", "no JSON Schema that can be used"),
        (
            "/schemas/book/extra",
            json!({"$ref": "http://127.0.0.1:1/x"}),
            400,
            "invalid",
            "no JSON Schema that can be used",
        ),
        ("/schemas/book/extra", json!(5), 400, "invalid", "A JSON Schema is an object"),
    ] {
        send(&server, "PUT", path, body).await.is_refused(status, code, words);
    }
    let made = send(&server, "POST", "/auth/tokens", json!({"name": "c", "role": "client"})).await.result();
    let token = format!("Bearer {}", made["token"].as_str().unwrap());
    for (method, path) in [("GET", "/schemas"), ("PUT", "/schemas/book/extra"), ("DELETE", "/schemas/book/extra")] {
        let request = Request::new(method, path).json(json!(true)).header("Authorization", token.clone());
        server.send(request).await.is_refused(403, "forbidden", "admin token");
    }
    server.sql("ALTER TABLE book ADD COLUMN other").await;
    send(&server, "PATCH", "/rest/book/1", json!({"extra": {}})).await.is_refused(400, "invalid", "JSON Schema");
    assert_eq!(send(&server, "DELETE", "/schemas/book/extra", json!(null)).await.result(), json!(true));
    send(&server, "DELETE", "/schemas/book/extra", json!(null)).await.is_refused(
        404,
        "not_found",
        "There is no JSON Schema",
    );
    server.sql("UPDATE book SET extra = 'anything'").await;
    let row = send(&server, "GET", "/rest/book/1", json!(null)).await.result();
    assert_eq!(row["extra"], "anything");
}
