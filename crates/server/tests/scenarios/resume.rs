//! A client that lost its connection goes on from where it was: nothing is missing and nothing comes twice.

use super::callers::token;
use crate::server::http::Request;
use crate::server::socket::Socket;
use crate::server::{Home, Server};
use serde_json::{Value as Json, json};

const SQL: &str = "SELECT id, a FROM t";

async fn with_table() -> Server {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a)").await;
    server.sql("INSERT INTO t VALUES (1, 'one'), (2, 'two')").await;
    server.sql("CREATE TABLE other (a)").await;
    server
}

/// What a client remembers when its socket breaks.
fn place(socket: &Socket, rows: &Json) -> Json {
    json!({ "history": socket.hello["history"], "revision": rows["revision"], "tag": rows["tag"] })
}

async fn left(server: &Server) -> (Json, Json) {
    let mut socket = server.live().await;
    let rows = socket.subscribe("q", SQL).await;
    let since = place(&socket, &rows);
    socket.close().await;
    (rows, since)
}

async fn come_back(server: &Server, since: Json) -> (Socket, Json) {
    let mut socket = server.live().await;
    socket.send(json!({ "id": "q", "action": "subscribe", "sql": SQL, "since": since })).await;
    let is_answer = |frame: &Json| frame["id"] == "q" || frame["type"] == "delta";
    let answer = socket.until(is_answer).await;
    (socket, answer)
}

#[tokio::test]
async fn nothing_has_changed_is_told_without_rows() {
    let server = with_table().await;
    let (_, since) = left(&server).await;
    let revision = server.write("INSERT INTO other VALUES (1)").await;
    let (mut socket, answer) = come_back(&server, since).await;
    assert_eq!(answer, json!({ "id": "q", "type": "unchanged", "revision": revision }));
    let revision = server.write("DELETE FROM t WHERE id = 1").await;
    let delta = socket.reaches(revision).await;
    assert_eq!(delta["queries"][0]["delete"].as_array().unwrap().len(), 1, "and then it goes on: {delta}");
}

#[tokio::test]
async fn what_was_missed_comes_as_one_delta() {
    let server = with_table().await;
    let (rows, since) = left(&server).await;
    server.write("INSERT INTO t VALUES (3, 'three')").await;
    server.write("UPDATE t SET a = 'changed' WHERE id = 1").await;
    let revision = server.write("DELETE FROM t WHERE id = 2").await;
    let (mut socket, answer) = come_back(&server, since).await;
    assert_eq!((&answer["type"], &answer["to"]), (&json!("delta"), &json!(revision)), "{answer}");
    let query = &answer["queries"][0];
    assert_eq!((&query["id"], &query["since"]), (&json!("q"), &rows["revision"]));
    let key_of = |id: i64| rows["rows"].as_array().unwrap().iter().find(|row| row[1] == id).unwrap()[0].clone();
    assert_eq!(query["delete"], json!([key_of(2)]));
    assert_eq!(query["update"], json!([[key_of(1), 1, "changed"]]));
    assert_eq!(query["insert"][0].as_array().unwrap()[1..], [json!(3), json!("three")]);
    let revision = server.write("DELETE FROM t WHERE id = 3").await;
    assert_eq!(socket.reaches(revision).await["from"], answer["to"]);
}

#[tokio::test]
async fn a_place_that_does_not_fit_gets_all_rows() {
    let server = with_table().await;
    let (_, since) = left(&server).await;
    for (name, value) in [
        ("tag", json!("another")),
        ("tag", json!(null)),
        ("history", json!("another")),
        ("revision", json!(1_000_000)),
        ("revision", json!(-1)),
    ] {
        let mut wrong = since.clone();
        wrong[name] = value;
        let (_, answer) = come_back(&server, wrong.clone()).await;
        assert_eq!(answer["type"], "rows", "{wrong}: {answer}");
        assert_eq!(answer["rows"].as_array().unwrap().len(), 2);
    }
    // The same text with other parameters is another query.
    let mut socket = server.live().await;
    let one = json!({ "id": 1, "action": "subscribe", "sql": "SELECT a FROM t WHERE id = ?", "params": [1] });
    let rows = socket.ask(one).await;
    let two = json!({ "id": 2, "action": "subscribe", "sql": "SELECT a FROM t WHERE id = ?", "params": [2],
                      "since": place(&socket, &rows) });
    assert_eq!(socket.ask(two).await["rows"][0][1], "two");
    let nonsense = socket.ask(json!({ "id": 3, "action": "subscribe", "sql": SQL, "since": "yesterday" })).await;
    assert_eq!(nonsense["code"], "invalid");
}

#[tokio::test]
async fn a_change_of_the_schema_gives_all_rows() {
    let server = with_table().await;
    let (_, since) = left(&server).await;
    server.write("ALTER TABLE t ADD COLUMN b").await;
    assert_eq!(come_back(&server, since).await.1["type"], "rows");
}

#[tokio::test]
async fn a_clean_restart_keeps_the_history_and_a_crash_begins_a_new_one() {
    let server = with_table().await;
    let (_, since) = left(&server).await;
    let server = server.restart().await;
    let (socket, answer) = come_back(&server, since.clone()).await;
    assert_eq!(socket.hello["history"], since["history"]);
    assert_eq!(answer["type"], "unchanged", "nobody wrote meanwhile: {answer}");
    server.write("INSERT INTO t VALUES (3, 'three')").await;
    let (_, answer) = come_back(&server, since.clone()).await;
    assert!(["delta", "rows"].contains(&answer["type"].as_str().unwrap()), "{answer}");
    assert!(answer.to_string().contains("three"));

    let server = server.crash_and_restart().await;
    let (socket, answer) = come_back(&server, since.clone()).await;
    assert_ne!(socket.hello["history"], since["history"]);
    assert_eq!(answer["type"], "rows");
    assert_eq!(answer["rows"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_file_changed_while_nobody_served_it_begins_a_new_history() {
    let server = with_table().await;
    let (_, since) = left(&server).await;
    let home = server.home.clone();
    server.stop().await;
    home.outside().execute("UPDATE t SET a = 'changed outside'", []).unwrap();
    let server = home.start().await;
    let (socket, answer) = come_back(&server, since.clone()).await;
    assert_ne!(socket.hello["history"], since["history"]);
    assert!(answer["type"] == "rows" && answer.to_string().contains("changed outside"), "{answer}");
}

#[tokio::test]
async fn a_socket_on_its_way_misses_nothing_while_others_write() {
    let server = with_table().await;
    let (rows, mut since) = left(&server).await;
    let mut held: Vec<Json> = rows["rows"].as_array().unwrap().clone();
    for round in 0..10 {
        let write = async {
            for number in 0..5 {
                let id = 100 + round * 5 + number;
                server.write(&format!("INSERT INTO t VALUES ({id}, 'x'); DELETE FROM t WHERE id = {id} - 7")).await;
            }
        };
        let ((mut socket, answer), ()) = tokio::join!(come_back(&server, since.clone()), write);
        match answer["type"].as_str().unwrap() {
            "rows" => held = answer["rows"].as_array().unwrap().clone(),
            "delta" => apply(&mut held, &answer["queries"][0]),
            _ => {}
        }
        let seen = socket.seen.len();
        let revision = server.write(&format!("INSERT INTO t VALUES (1000 + {round}, 'after')")).await;
        socket.reaches(revision).await;
        for frame in &socket.seen[seen..] {
            if frame["type"] == "delta" {
                apply(&mut held, &frame["queries"][0]);
            }
        }
        since["revision"] = socket.seen.last().unwrap()["to"].clone();
        if answer["type"] == "rows" {
            since["tag"] = answer["tag"].clone();
        }
        socket.close().await;
        let mut ids: Vec<i64> = held.iter().map(|row| row[1].as_i64().unwrap()).collect();
        ids.sort_unstable();
        let now = server.sql("SELECT id FROM t ORDER BY id").await;
        assert!(now.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).eq(ids), "in round {round}");
    }
}

/// For a result without an order: rows by key.
fn apply(held: &mut Vec<Json>, query: &Json) {
    let list = |name: &str| query[name].as_array().cloned().unwrap_or_default();
    held.retain(|row| !list("delete").contains(&row[0]));
    for new in list("update") {
        let row = held.iter_mut().find(|row| row[0] == new[0]).expect("an updated row is held");
        *row = new;
    }
    for new in list("insert") {
        assert!(!held.iter().any(|row| row[0] == new[0]), "{new} came twice");
        held.push(new);
    }
}

/// Subscribes to two queries, and gives their tags and their place.
async fn two(socket: &mut Socket) -> (Json, Json, Json) {
    let one = socket.subscribe("q", SQL).await;
    let other = socket.subscribe("r", "SELECT a FROM other").await;
    (
        one["tag"].clone(),
        other["tag"].clone(),
        json!({ "history": socket.hello["history"], "revision": other["revision"] }),
    )
}

async fn resume(socket: &mut Socket, since: &Json, queries: Json) -> Json {
    socket.ask(json!({ "id": "resume", "action": "resume", "since": since, "queries": queries })).await
}

#[tokio::test]
async fn queries_are_resumed_together_by_their_tags() {
    let server = with_table().await;
    let mut socket = server.live().await;
    let (q, r, since) = two(&mut socket).await;
    // Its connection may be lost without anybody having noticed.
    let mut again = server.live().await;
    let answer = resume(&mut again, &since, json!([["q", q], [7, "another"], ["r", r]])).await;
    assert_eq!(answer["result"], json!({ "unknown": [7] }));
    let unchanged = again.until_seen(|frame| frame["type"] == "unchanged").await;
    assert_eq!(unchanged, json!({ "type": "unchanged", "revision": since["revision"], "ids": ["q", "r"] }));
    let revision = server.write("DELETE FROM t WHERE id = 1").await;
    assert_eq!(again.reaches(revision).await["queries"][0]["id"], "q");
    // What was missed comes as for a query that is resumed alone.
    again.close().await;
    let mut third = server.live().await;
    resume(&mut third, &since, json!([["q", q], ["r", r]])).await;
    let delta = third.until_seen(|frame| frame["type"] == "delta").await;
    assert_eq!((&delta["queries"][0]["id"], &delta["queries"][0]["since"]), (&json!("q"), &since["revision"]));
    // After a change of the schema all rows come, still without the SQL being said.
    server.write("ALTER TABLE t ADD COLUMN b").await;
    let mut fourth = server.live().await;
    assert_eq!(resume(&mut fourth, &since, json!([["q", q]])).await["result"]["unknown"], json!([]));
    fourth.until_seen(|frame| frame["type"] == "rows" && frame["id"] == "q").await;
    // A restarted server knows no tag any more, and tells the same ones again.
    let server = server.restart().await;
    let mut fifth = server.live().await;
    assert_eq!(resume(&mut fifth, &since, json!([["q", q]])).await["result"]["unknown"], json!(["q"]));
    let rows = fifth.subscribe("q", SQL).await;
    assert_eq!(rows["tag"].as_str().unwrap()[..10], q.as_str().unwrap()[..10]);
}

#[tokio::test]
async fn a_resume_that_makes_no_sense_begins_nothing() {
    let server = with_table().await;
    let mut socket = server.live().await;
    let (q, r, since) = two(&mut socket).await;
    let many: Vec<Json> = (0..1001).map(|id| json!([id, q])).collect();
    for (queries, code) in [
        (json!([["q", q]]), "conflict"),
        (json!([[1, q], [1, r]]), "invalid"),
        (json!([["resume", q]]), "invalid"),
        (json!([[1, q], [2]]), "invalid"),
        (json!([[1, 2]]), "invalid"),
        (json!([[{}, q]]), "invalid"),
        (json!({}), "invalid"),
        (json!(null), "invalid"),
        (json!(many), "too_large"),
    ] {
        assert_eq!(resume(&mut socket, &since, queries.clone()).await["code"], code, "{queries}");
    }
    assert_eq!(resume(&mut socket, &json!(null), json!([])).await["code"], "invalid");
    assert_eq!(resume(&mut socket, &since, json!([])).await["result"]["unknown"], json!([]));
    // Ended at once: nothing of it follows.
    let frame = json!({ "id": 5, "action": "resume", "since": since, "queries": [[6, q], [7, r]] });
    let end = json!({ "id": 8, "action": "unsubscribe", "sub": 6 });
    socket.send_all([frame, end]).await;
    assert_eq!(socket.answer(8).await["result"], true);
    let seen = socket.seen.len();
    let revision = server.write("DELETE FROM t").await;
    socket.reaches(revision).await;
    assert!(socket.seen[seen..].iter().all(|frame| !frame.to_string().contains("\"id\":6")));
    // Behind a write it waits, and can be given up meanwhile, one by one.
    let write = json!({ "id": 10, "action": "query", "sql": "INSERT INTO t VALUES (9, 'nine')" });
    let frame = json!({ "id": 11, "action": "resume", "since": since, "queries": [[12, q], [13, r]] });
    let end = json!({ "id": 14, "action": "unsubscribe", "sub": 12 });
    socket.send_all([write, frame, end]).await;
    assert_eq!(socket.answer(14).await["result"], true);
    let seen = socket.seen.len();
    let revision = server.write("DELETE FROM t").await;
    socket.reaches(revision).await;
    assert!(socket.seen[seen..].iter().all(|frame| !frame.to_string().contains("\"id\":12")));
}

async fn history(server: &Server) -> Json {
    super::backups::read(server, "/status/database").await["history"].clone()
}

/// A client's socket, and what it asked for on it.
async fn as_client(server: &Server, token: &Json) -> (Socket, Json, Json) {
    let mut socket = Socket::try_open(server.address, "/ws", token["token"].as_str()).await.unwrap();
    let rows = socket.subscribe("q", SQL).await;
    (socket, rows["tag"].clone(), json!({ "history": history(server).await, "revision": rows["revision"] }))
}

#[tokio::test]
async fn who_comes_back_under_another_policy_is_told_what_that_shows() {
    let server = with_table().await;
    let policy = |using: &str| {
        Request::post("/policies", json!({"name": "p", "table": "t", "action": "select", "using": using}))
    };
    server.send(policy("true")).await.result();
    let token = token(&server, json!({})).await;
    let (socket, tag, since) = as_client(&server, &token).await;
    socket.close().await;
    server.send(policy("id = 2")).await.result();
    let mut socket = Socket::try_open(server.address, "/ws", token["token"].as_str()).await.unwrap();
    assert_eq!(resume(&mut socket, &since, json!([["q", tag]])).await["result"]["unknown"], json!([]));
    let rows = socket.until_seen(|frame| frame["type"] == "rows" && frame["id"] == "q").await;
    assert_eq!(rows["rows"].as_array().unwrap().len(), 1, "{rows}");
    assert!(socket.seen.iter().all(|frame| frame["type"] != "unchanged"));
    let since = json!({ "history": history(&server).await, "revision": rows["revision"] });
    socket.close().await;
    // And closed altogether.
    server.send(Request::new("DELETE", "/policies/p")).await.result();
    let mut socket = Socket::try_open(server.address, "/ws", token["token"].as_str()).await.unwrap();
    resume(&mut socket, &since, json!([["q", rows["tag"]]])).await;
    let refused = socket.until_seen(|frame| frame["id"] == "q").await;
    assert_eq!(refused["code"], "forbidden", "{refused}");
}

#[tokio::test]
async fn a_statement_that_is_registered_no_more_is_not_gone_on_with() {
    let home = Home::new();
    let mut command = home.command();
    command.args(["--statements", "registered"]);
    let server = Server::run(&home, command).await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a)").await;
    let open = json!({"name": "p", "table": "t", "action": "select", "using": "true"});
    server.send(Request::post("/policies", open)).await.result();
    let registered = server.send(Request::post("/statements", json!({ "sql": SQL }))).await.result();
    let token = token(&server, json!({})).await;
    let (socket, tag, since) = as_client(&server, &token).await;
    socket.close().await;
    let path = format!("/statements/{}", registered["id"].as_str().unwrap());
    server.send(Request::new("DELETE", path)).await;
    let mut socket = Socket::try_open(server.address, "/ws", token["token"].as_str()).await.unwrap();
    let answer = resume(&mut socket, &since, json!([["q", tag]])).await;
    assert_eq!(answer["result"]["unknown"], json!(["q"]), "{answer} {since} {tag}");
}

#[tokio::test]
async fn after_a_restore_all_rows_come() {
    let server = with_table().await;
    let mut socket = server.live().await;
    let rows = socket.subscribe("q", SQL).await;
    let since = json!({ "history": socket.hello["history"], "revision": rows["revision"] });
    socket.close().await;
    let before = super::backups::kept(&server).await;
    server.write("DELETE FROM t").await;
    super::backups::kept(&server).await;
    server.send(Request::post("/restore", json!({ "revision": before }))).await.result();
    let mut socket = server.live().await;
    assert_ne!(socket.hello["history"], since["history"]);
    assert_eq!(resume(&mut socket, &since, json!([["q", rows["tag"]]])).await["result"]["unknown"], json!([]));
    let again = socket.until_seen(|frame| frame["id"] == "q").await;
    assert_eq!((&again["type"], again["rows"].as_array().unwrap().len()), (&json!("rows"), 2));
}
