//! Where only registered statements are run for clients.

use super::callers::{allow, bearer, sql, token};
use crate::server::events::Events;
use crate::server::http::Request;
use crate::server::socket::Socket;
use crate::server::{Home, Server};
use serde_json::{Value as Json, json};

const REFUSED: &str = "Only statements that the administrator has registered may be run here; this is none of them.";

async fn start() -> Server {
    let home = Home::new();
    let mut command = home.command();
    command.env("TIDEBASE_STATEMENTS", "registered");
    let server = Server::run(&home, command).await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)").await;
    server.sql("INSERT INTO t VALUES (1, 'x')").await;
    allow(&server, json!({"name": "all", "table": "t", "action": "all", "using": "true"})).await;
    server
}

async fn register(server: &Server, sql: &str) -> Json {
    let registered = server.send(Request::post("/statements", json!({ "sql": sql }))).await;
    assert_eq!(registered.status, 201, "{}", registered.text());
    registered.result()
}

#[tokio::test]
async fn a_client_runs_what_is_registered_and_nothing_else_on_every_face() {
    let server = start().await;
    let client = token(&server, json!({})).await;
    register(&server, "SELECT a FROM t WHERE id = ?1").await;
    register(&server, "INSERT INTO t (a) VALUES ('lit')").await;
    let good = "select  A\nfrom T where ID=?1 -- mine";
    let ask = |body: Json| bearer(Request::post("/query", body), &client);
    let answer = server.send(ask(json!({"sql": good, "params": [1]}))).await;
    assert_eq!(answer.result(), json!([{"a": "x"}]));
    sql(&server, &client, "INSERT INTO t (a) VALUES ('lit')").await.result();
    for bad in [
        "SELECT a FROM t WHERE id = 1",
        "SELECT a FROM t WHERE id = ?2",
        "SELECT a FROM t WHERE id = ?1 OR true",
        "INSERT INTO t (a) VALUES ('Lit')",
        "INSERT INTO t (a) VALUES (\"lit\")",
        "INSERT INTO t (a) VALUES ('lit'); DELETE FROM t",
        "SELECT 1",
        "nonsense",
        "PRAGMA user_version",
        "EXPLAIN LIVE SELECT a FROM t WHERE id = ?1",
    ] {
        sql(&server, &client, bad).await.is_refused(403, "forbidden", REFUSED);
    }
    let raw = |body: Json| bearer(Request::post("/query/raw", body), &client);
    assert_eq!(server.send(raw(json!({"sql": good, "params": [1]}))).await.result()["rows"], json!([["x"]]));
    server.send(raw(json!({"sql": "SELECT * FROM t"}))).await.is_refused(403, "forbidden", REFUSED);
    sql(&server, &client, " ; -- nothing").await.is_refused(400, "invalid", "");
    let both = json!({"transaction": [{"sql": "INSERT INTO t (a) VALUES ('lit')"}, {"sql": "DELETE FROM t"}]});
    let refused = server.send(ask(both)).await;
    refused.is_refused(403, "forbidden", REFUSED);
    assert_eq!(refused.json()["statement"], json!(1));
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{"n": 2}]));
    for path in ["/socket", "/ws"] {
        let mut socket = Socket::try_open(server.address, path, client["token"].as_str()).await.unwrap();
        let answer = socket.ask(json!({"id": 1, "action": "query", "sql": good, "params": [1]})).await;
        assert_eq!(answer["result"], json!([{"a": "x"}]), "{answer}");
        for bad in ["SELECT * FROM t", "DELETE FROM t"] {
            assert_eq!(socket.ask(json!({"id": 2, "action": "query", "sql": bad})).await["error"], json!(REFUSED));
        }
        if path == "/ws" {
            let rows = socket.ask(json!({"id": 3, "action": "subscribe", "sql": good, "params": [1]})).await;
            assert_eq!(rows["type"], "rows", "{rows}");
            let refused = socket.ask(json!({"id": 4, "action": "subscribe", "sql": "SELECT * FROM t"})).await;
            assert_eq!(refused["error"], json!(REFUSED));
        }
    }
    let live = Request::get("/live?sql=SELECT+*+FROM+t");
    server.send(bearer(live, &client)).await.is_refused(403, "forbidden", REFUSED);
    let live = Request::get("/live?sql=SELECT+a+FROM+t+WHERE+id+%3D+?1&params=[1]");
    let mut events = Events::open(server.address, bearer(live, &client)).await;
    events.next().await.unwrap();
    assert_eq!(events.next().await.unwrap().kind, "rows");
    // What is registered is still bound by policies; what a face makes by itself is bound by them alone.
    register(&server, "SELECT * FROM sqlite_schema").await;
    sql(&server, &client, "SELECT * FROM sqlite_schema").await.is_refused(403, "forbidden", "open to you");
    let row = server.send(bearer(Request::get("/rest/t/1?select=a"), &client)).await;
    assert_eq!(row.result(), json!({"a": "x"}));
    let key = bearer(Request::get("/data/k"), &client);
    server.send(key).await.is_refused(403, "forbidden", "No keys are open to you.");
}

#[tokio::test]
async fn what_was_refused_can_be_looked_at_and_registered() {
    let server = start().await;
    let client = token(&server, json!({})).await;
    for bad in ["SELECT 'one'", "select  'one'", "SELECT 'two'"] {
        sql(&server, &client, bad).await.is_refused(403, "forbidden", REFUSED);
    }
    let rejected = server.send(Request::get("/statements/rejected")).await.result();
    let one = rejected.as_array().unwrap().iter().find(|one| one["sql"] == "SELECT 'one'").unwrap();
    assert_eq!((one["count"].as_i64(), rejected.as_array().unwrap().len()), (Some(2), 2));
    assert_eq!(one["who"], json!(format!("client {}", client["id"].as_str().unwrap())));
    let first = register(&server, "SELECT 'one';").await;
    assert_eq!(first["sql"], "SELECT 'one'");
    assert_eq!(register(&server, "SELECT /* again */ 'one'").await, first);
    assert_eq!(server.send(Request::get("/statements/rejected")).await.result().as_array().unwrap().len(), 1);
    assert_eq!(server.send(Request::get("/statements")).await.result(), json!([first]));
    let home = server.home.clone();
    let (status, _) = server.stop().await;
    assert!(status.success());
    let mut command = home.command();
    command.args(["--statements", "registered"]);
    let server = Server::run(&home, command).await;
    sql(&server, &client, "SELECT 'one'").await.result();
    let path = format!("/statements/{}", first["id"].as_str().unwrap());
    server.send(bearer(Request::new("DELETE", path.clone()), &client)).await.is_refused(
        403,
        "forbidden",
        "admin token",
    );
    server.send(Request::new("DELETE", path.clone())).await.result();
    server.send(Request::new("DELETE", path)).await.is_refused(404, "not_found", "There is no statement");
    sql(&server, &client, "SELECT 'one'").await.is_refused(403, "forbidden", REFUSED);
    for (body, code, why) in [
        (json!({"sql": "SELECT 1; SELECT 2"}), "invalid", "One statement"),
        (json!({"sql": ""}), "invalid", "empty"),
        (json!({"sql": "DROP TABLE t"}), "invalid", "SELECT, INSERT, UPDATE and DELETE"),
        (json!({"sql": "SELECT nope FROM t"}), "invalid", "no such column: nope"),
        (json!({"sql": "SELECT 1", "name": ""}), "invalid", "name"),
        (json!({"sql": format!("SELECT '{}'", "x".repeat(17_000))}), "too_large", "bytes"),
    ] {
        let status = if code == "invalid" { 400 } else { 413 };
        server.send(Request::post("/statements", body)).await.is_refused(status, code, why);
    }
}
