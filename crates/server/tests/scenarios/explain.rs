//! What a statement would do if somebody ran it, and which policy says no.

use super::callers::{allow, sql, token};
use crate::server::Server;
use crate::server::http::{Answer, Request};
use serde_json::{Value as Json, json};

async fn explain(server: &Server, uid: &str, sql: &str) -> Json {
    let asked = asked(server, json!({"as": {"uid": uid, "role": "user", "claims": {"team": 1}}, "sql": sql})).await;
    assert_eq!(asked.status, 200, "{sql}: {}", asked.text());
    asked.result()
}

async fn asked(server: &Server, body: Json) -> Answer {
    server.send(Request::post("/policies/explain", body)).await
}

async fn start() -> Server {
    let server = Server::start().await;
    server.sql("CREATE TABLE note (id INTEGER PRIMARY KEY, owner TEXT, team INTEGER, body TEXT)").await;
    server.sql("CREATE TABLE made (id INTEGER PRIMARY KEY, what TEXT)").await;
    server
        .sql("CREATE TRIGGER note_made AFTER INSERT ON note BEGIN INSERT INTO made (what) VALUES (new.body); END")
        .await;
    server
        .sql("INSERT INTO note VALUES (1, 'ada', 1, 'a'), (2, 'ada', 2, 'b'), (3, 'bob', 1, 'c'), (4, 'bob', 2, 'd')")
        .await;
    let team = "team = auth.claim('team') OR owner = auth.uid()";
    allow(&server, json!({"name": "team sees", "table": "note", "action": "select", "using": team})).await;
    allow(&server, json!({"name": "own", "table": "note", "action": "update", "using": "owner = auth.uid()"})).await;
    allow(&server, json!({"name": "add", "table": "note", "action": "insert", "check": "owner = auth.uid()"})).await;
    server
}

#[tokio::test]
async fn it_tells_which_rows_are_seen_and_changed_and_why_not() {
    let server = start().await;
    let seen = explain(&server, "ada", "SELECT id, body FROM note ORDER BY id").await;
    assert_eq!(seen["rows"], json!([[1, "a"], [2, "b"], [3, "c"]]), "{seen}");
    assert_eq!((&seen["rows_seen"], &seen["rows_in_all"], &seen["allowed"]), (&json!(3), &json!(4), &json!(true)));
    assert_eq!(
        seen["tables"],
        json!([{"table": "note", "select": ["team sees"], "insert": ["add"], "update": ["own"], "delete": []}])
    );
    // Four rows in all, of which one is hidden and one is another's.
    let updated = explain(&server, "ada", "UPDATE note SET body = 'x'").await;
    let told = ["updated", "hidden", "not_allowed", "allowed"].map(|name| updated[name].clone());
    assert_eq!(told, [json!(2), json!(1), json!(1), json!(true)], "{updated}");
    let refused = explain(&server, "ada", "UPDATE note SET owner = 'bob' WHERE id = 1").await;
    let row = json!({"id": 1, "owner": "bob", "team": 1, "body": "a"});
    assert_eq!(
        refused["refusal"],
        json!({"error": "No policy lets you leave such a row in note.", "code": "forbidden", "table": "note", "action": "update",
            "policies": ["own"], "row": row})
    );
    let added = explain(&server, "ada", "INSERT INTO note (owner, body) VALUES ('ada', 'e') RETURNING id").await;
    assert_eq!((&added["inserted"], &added["rows"], &added["allowed"]), (&json!(1), &json!([[5]]), &json!(true)));
    let refused = explain(&server, "ada", "INSERT INTO note (owner) VALUES ('bob')").await;
    assert_eq!(
        (&refused["refusal"]["policies"], &refused["refusal"]["row"]["owner"]),
        (&json!(["add"]), &json!("bob"))
    );
    // No policy at all for that.
    let closed = explain(&server, "ada", "DELETE FROM note WHERE team = 1").await;
    let told = ["table", "action", "policies"].map(|name| closed["refusal"][name].clone());
    assert_eq!(told, [json!("note"), json!("delete"), json!([])], "{closed}");
    assert_eq!((&closed["deleted"], &closed["not_allowed"], &closed["hidden"]), (&json!(0), &json!(2), &json!(0)));
    let closed = explain(&server, "ada", "SELECT * FROM made").await;
    assert_eq!((&closed["refusal"]["table"], &closed["refusal"]["action"]), (&json!("made"), &json!("select")));
    assert_eq!(closed["rows"], json!([]));
    // What is refused for other reasons is told, too.
    for (sql, code) in [
        ("SELECT nope FROM note", "invalid"),
        ("INSERT INTO note (id, owner) VALUES (4, 'ada')", "conflict"),
        ("PRAGMA user_version", "forbidden"),
        ("DROP TABLE note", "forbidden"),
        ("REPLACE INTO note VALUES (1, 'ada', 1, 'x')", "unsupported"),
    ] {
        let refused = explain(&server, "ada", sql).await;
        assert_eq!(
            (&refused["allowed"], &refused["refusal"]["code"]),
            (&json!(false), &json!(code)),
            "{sql}: {refused}"
        );
    }
}

#[tokio::test]
async fn nothing_of_it_stays_and_nothing_is_told() {
    let server = start().await;
    let mut socket = server.live().await;
    socket.subscribe("q", "SELECT id, body FROM note").await;
    socket.ask(json!({"id": "all", "action": "subscribe", "table": "*"})).await;
    let before = server.sql("SELECT * FROM note").await;
    let revision = server.query(json!({"sql": "SELECT 1"})).await.revision();
    let log = server.sql("SELECT count(*) AS n FROM _tide_log").await;
    let seen = socket.seen.len();
    for sql in [
        "UPDATE note SET body = 'x'",
        "DELETE FROM note",
        "INSERT INTO note (owner, body) VALUES ('ada', 'e')",
        "INSERT INTO note (owner) VALUES ('bob')",
        "DROP TABLE note",
        "CREATE TABLE more (a)",
        "UPDATE note SET owner = 'bob'",
    ] {
        explain(&server, "ada", sql).await;
    }
    assert_eq!(server.sql("SELECT * FROM note").await, before);
    assert_eq!(server.sql("SELECT count(*) AS n FROM made").await, json!([{"n": 4}]));
    assert_eq!(server.sql("SELECT count(*) AS n FROM _tide_log").await, log);
    assert_eq!(server.sql("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'more'").await, json!([{"n": 0}]));
    // The next write has the next revision, and is the next thing that is told.
    let written = server.write("UPDATE note SET body = 'y' WHERE id = 4").await;
    assert_eq!(written, revision + 1);
    socket.reaches(written).await;
    let told: Vec<&str> = socket.seen[seen..].iter().map(|frame| frame["type"].as_str().unwrap()).collect();
    assert!(told.iter().all(|kind| ["changes", "delta"].contains(kind)) && told.len() <= 2, "{told:?}");
    // Callers' statements go on as before.
    let client = token(&server, json!({"team": 1})).await;
    assert_eq!(sql(&server, &client, "SELECT count(*) AS n FROM note").await.result(), json!([{"n": 2}]));
    let changed = sql(&server, &client, "UPDATE note SET body = 'z'").await;
    assert_eq!(changed.status, 200, "{}", changed.text());
}

#[tokio::test]
async fn an_odd_question_is_refused() {
    let server = start().await;
    let as_ada = json!({"uid": "ada", "role": "user"});
    for (body, why) in [
        (json!({"as": {"role": "admin"}, "sql": "SELECT 1"}), "role"),
        (json!({"as": {"role": "user", "claims": []}, "sql": "SELECT 1"}), "claims"),
        (json!({"as": as_ada, "sql": "SELECT 1; SELECT 2"}), "One statement"),
        (json!({"as": as_ada, "sql": ""}), "sql"),
        (json!({"as": as_ada, "sql": "SELECT 1", "params": 1}), "params"),
        (json!({"sql": "SELECT 1"}), "as"),
        (json!({"as": as_ada, "sql": "SELECT 1", "more": 1}), "more"),
    ] {
        asked(&server, body).await.is_refused(400, "invalid", why);
    }
    let with_params = json!({"as": as_ada, "sql": "SELECT body FROM note WHERE id = ?1", "params": [3]});
    assert_eq!(asked(&server, with_params).await.result()["rows_seen"], json!(0));
    let ended = json!({"name": "explain", "table": "note", "action": "select", "using": "true"});
    server.send(Request::post("/policies", ended)).await.is_refused(400, "invalid", "taken");
    // A trigger that ends the transaction ends the rehearsal, and nothing else.
    server.sql("CREATE TRIGGER never BEFORE DELETE ON note BEGIN SELECT raise(ROLLBACK, 'never'); END").await;
    allow(&server, json!({"name": "del", "table": "note", "action": "delete", "using": "owner = auth.uid()"})).await;
    let refused = asked(&server, json!({"as": as_ada, "sql": "DELETE FROM note"})).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(explain(&server, "ada", "SELECT * FROM note").await["rows_seen"], json!(3));
    server.sql("UPDATE note SET body = 'still'").await;
}
