//! `GET /ws`: rows, then deltas, in the order of what was sent; mistakes answered, never punished.

use crate::server::http::Request;
use crate::server::socket::{Socket, stands_at};
use crate::server::{Server, within};
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant};

async fn with_table() -> Server {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a)").await;
    server
}

/// What a client holds after rows and deltas, by the contract's own recipe.
fn apply(rows: &mut Vec<Json>, query: &Json) {
    let list = |name: &str| query[name].as_array().cloned().unwrap_or_default();
    let places = list("place");
    let mut placed: Vec<Json> = Vec::new();
    rows.retain(|row| {
        let is_placed = places.iter().any(|place| place[0] == row[0]);
        if is_placed {
            placed.push(row.clone());
        }
        !is_placed && !list("delete").contains(&row[0])
    });
    for new in list("update") {
        if let Some(row) = rows.iter_mut().chain(&mut placed).find(|row| row[0] == new[0]) {
            *row = new;
        }
    }
    placed.extend(list("insert"));
    if places.is_empty() {
        rows.append(&mut placed);
    }
    for place in places {
        let at = place[1].as_u64().unwrap() as usize;
        rows.insert(at, placed.iter().find(|row| row[0] == place[0]).expect("a placed row is known").clone());
    }
}

#[tokio::test]
async fn a_socket_is_greeted_with_where_it_stands() {
    let server = with_table().await;
    let now = server.write("INSERT INTO t VALUES (1, 'x')").await;
    let mut first = server.live().await;
    assert_eq!(first.hello["protocol"], 1);
    assert_eq!(first.hello["revision"], now);
    assert!(first.hello["history"].as_str().is_some_and(|history| !history.is_empty()));
    assert_eq!(server.live().await.hello["history"], first.hello["history"]);
    first.still_serves().await;
}

#[tokio::test]
async fn rows_come_first_and_then_what_changed() {
    let server = with_table().await;
    server.sql("INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three')").await;
    let mut socket = server.live().await;
    let first = socket.subscribe("q", "SELECT id, a FROM t ORDER BY a LIMIT 3").await;
    assert_eq!(first["columns"], json!(["id", "a"]));
    assert_eq!((&first["ordered"], &first["done"]), (&json!(true), &json!(true)));
    let values = |rows: &[Json]| rows.iter().map(|row| json!([row[1], row[2]])).collect::<Vec<_>>();
    let mut rows = first["rows"].as_array().unwrap().clone();
    assert_eq!(values(&rows), [json!([1, "one"]), json!([3, "three"]), json!([2, "two"])]);
    for sql in [
        "INSERT INTO t VALUES (4, 'a')",
        "UPDATE t SET a = 'zzz' WHERE id = 4",
        "UPDATE t SET a = 'ones' WHERE id = 1",
        "DELETE FROM t WHERE id = 3",
        "UPDATE t SET id = id + 10",
        "DELETE FROM t",
    ] {
        let revision = server.write(sql).await;
        let frame = socket.reaches(revision).await;
        assert_eq!(frame["type"], "delta", "{sql}: {frame}");
        assert_eq!(frame["queries"].as_array().unwrap().len(), 1);
        assert_eq!(frame["queries"][0]["id"], "q");
        apply(&mut rows, &frame["queries"][0]);
        let now = server.raw(json!({ "sql": "SELECT id, a FROM t ORDER BY a LIMIT 3" })).await.result();
        assert_eq!(json!(values(&rows)), now["rows"], "after {sql} and {frame}");
    }
}

#[tokio::test]
async fn deltas_follow_each_other_without_a_gap() {
    let server = with_table().await;
    let mut socket = server.live().await;
    let rows = socket.subscribe(1, "SELECT * FROM t").await;
    server.sql("CREATE TABLE other (a)").await;
    let mut last = 0;
    for number in 0..30 {
        server.sql("INSERT INTO other VALUES (1)").await;
        last = server.write(&format!("INSERT INTO t VALUES ({number}, 0)")).await;
    }
    socket.reaches(last).await;
    let mut stands = rows["revision"].as_i64().unwrap();
    let mut inserted = 0;
    for frame in &socket.seen {
        if frame["type"] == "delta" {
            assert_eq!(frame["from"], stands, "{frame}");
            inserted += frame["queries"][0]["insert"].as_array().unwrap().len();
        }
        stands = stands_at(frame).unwrap_or(stands);
    }
    assert_eq!(inserted, 30);
}

#[tokio::test]
async fn all_queries_of_a_socket_change_in_one_frame() {
    let server = with_table().await;
    let mut socket = server.live().await;
    socket.subscribe("count", "SELECT count(*) FROM t").await;
    socket.subscribe("rows", "SELECT a FROM t").await;
    let two = "INSERT INTO t (a) VALUES ('x'); INSERT INTO t (a) VALUES ('y')";
    let revision = server.write(two).await;
    let frame = socket.reaches(revision).await;
    assert_eq!(frame["to"], revision);
    let queries = frame["queries"].as_array().unwrap();
    let of = |id: &str| queries.iter().find(|query| query["id"] == id).expect("both are told");
    assert_eq!(of("rows")["insert"].as_array().unwrap().len(), 2, "a transaction arrives whole: {frame}");
    assert!(of("count").to_string().contains(",2]"), "{frame}");
    assert_eq!(queries.len(), 2);
}

#[tokio::test]
async fn a_quiet_socket_is_told_now_and_then_where_it_stands() {
    let server = Server::start_with(&["at_interval=200"]).await;
    server.sql("CREATE TABLE t (a)").await;
    server.sql("CREATE TABLE other (a)").await;
    let mut socket = server.live().await;
    socket.subscribe("q", "SELECT a FROM t").await;
    let revision = server.write("INSERT INTO other VALUES (1)").await;
    assert_eq!(socket.next().await, json!({ "type": "at", "revision": revision }));
}

#[tokio::test]
async fn a_write_that_is_undone_is_never_told() {
    let server = with_table().await;
    let mut socket = server.live().await;
    socket.subscribe("q", "SELECT a FROM t").await;
    let undone = "INSERT INTO t VALUES (1, 'never'); INSERT INTO t VALUES (1, 'never')";
    server.query(json!({ "sql": undone })).await.is_refused(409, "conflict", "UNIQUE");
    let revision = server.write("INSERT INTO t VALUES (2, 'kept')").await;
    socket.reaches(revision).await;
    assert!(!format!("{:?}", socket.seen).contains("never"));
}

#[tokio::test]
async fn what_cannot_be_live_is_refused_with_a_reason_and_the_socket_goes_on() {
    let server = with_table().await;
    let mut socket = server.live().await;
    for (sql, code) in [
        ("INSERT INTO t VALUES (1, 1)", "invalid"),
        ("INSERT INTO t VALUES (1, 1) RETURNING id", "invalid"),
        ("SELECT 1; SELECT 2", "invalid"),
        ("SELEC", "invalid"),
        ("SELECT * FROM nowhere", "invalid"),
        ("", "invalid"),
        ("SELECT random()", "unsupported"),
        ("SELECT * FROM t ORDER BY random()", "unsupported"),
        ("SELECT CURRENT_TIMESTAMP", "unsupported"),
        ("SELECT date('now')", "unsupported"),
        ("SELECT datetime()", "unsupported"),
        ("SELECT * FROM pragma_table_info('t')", "unsupported"),
        ("PRAGMA table_info(t)", "invalid"),
        ("EXPLAIN SELECT 1", "invalid"),
    ] {
        let answer = socket.ask(json!({ "id": "q", "action": "subscribe", "sql": sql })).await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{sql}: {answer}");
    }
    let bound =
        socket.ask(json!({ "id": "q", "action": "subscribe", "sql": "SELECT date(?)", "params": ["now"] })).await;
    assert_eq!(bound["type"], "error", "{bound}");
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{ "n": 0 }]));
    assert_eq!(socket.subscribe("q", "SELECT date(0, 'unixepoch')").await["rows"][0][1], "1970-01-01");
}

#[tokio::test]
async fn two_sockets_with_the_same_query_are_told_the_same() {
    let server = with_table().await;
    let (mut one, mut two) = (server.live().await, server.live().await);
    let sql = "SELECT a, count(*) FROM t GROUP BY a";
    one.subscribe("a", sql).await;
    server.write("INSERT INTO t (a) VALUES ('x')").await;
    two.subscribe("b", sql).await;
    let revision = server.write("INSERT INTO t (a) VALUES ('x'), ('y')").await;
    let (a, b) = (one.reaches(revision).await, two.reaches(revision).await);
    let without_id = |frame: &Json| {
        let mut query = frame["queries"][0].clone();
        query.as_object_mut().unwrap().remove("id");
        query
    };
    assert_eq!(without_id(&a), without_id(&b));
    one.close().await;
    let revision = server.write("DELETE FROM t").await;
    assert_eq!(two.reaches(revision).await["queries"][0]["delete"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn another_programs_write_is_seen_within_a_second() {
    let server = with_table().await;
    let mut socket = server.live().await;
    let rows = socket.subscribe("q", "SELECT a FROM t").await;
    let mut stands = rows["revision"].as_i64().unwrap();
    let outside = server.home.outside();
    let mut fastest = Duration::MAX;
    // The best of a few: a busy machine may be late once, a late server always is.
    for number in 0..5 {
        let before = Instant::now();
        outside.execute("INSERT INTO t (a) VALUES (?1)", [format!("outside {number}")]).unwrap();
        let delta = socket.reaches(stands + 1).await;
        fastest = fastest.min(before.elapsed());
        assert!(delta.to_string().contains(&format!("outside {number}")), "{delta}");
        stands = delta["to"].as_i64().unwrap();
    }
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
    assert!(server.query(json!({ "sql": "SELECT 1" })).await.revision() >= stands);
    let next = server.write("INSERT INTO t (a) VALUES ('inside')").await;
    assert!(next > stands, "outside writes have revisions of their own");
}

#[tokio::test]
async fn large_first_rows_come_in_chunks() {
    let server = with_table().await;
    let many = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000) \
                INSERT INTO t SELECT n, printf('%0100d', n) FROM c";
    server.write(many).await;
    let mut socket: Socket = server.live().await;
    let mut chunk = socket.subscribe("q", "SELECT id, a FROM t ORDER BY id").await;
    let (revision, mut ids) = (chunk["revision"].clone(), Vec::new());
    assert_eq!(chunk["done"], false);
    within("all chunks", async {
        loop {
            assert_eq!((&chunk["type"], &chunk["revision"]), (&json!("rows"), &revision));
            ids.extend(chunk["rows"].as_array().unwrap().iter().map(|row| row[1].as_i64().unwrap()));
            if chunk["done"] == true {
                break;
            }
            chunk = socket.next().await;
        }
    })
    .await;
    assert!(ids.into_iter().eq(1..=5000));
}

#[tokio::test]
async fn the_status_of_live_queries_shows_what_they_cost_by_their_text() {
    let server = with_table().await;
    let mut socket = server.live().await;
    for (id, a) in [(1, "x"), (2, "y"), (3, "it''s")] {
        socket.subscribe(id, &format!("SELECT id FROM t WHERE a = '{a}'")).await;
    }
    let revision = server.write("INSERT INTO t VALUES (1, 'x')").await;
    socket.reaches(revision).await;
    let status = server.send(Request::get("/status/live")).await.result();
    assert_eq!(status["live_queries"], 3);
    assert!(status["bytes"].as_u64().is_some_and(|bytes| bytes > 100), "{status}");
    let lane = &status["lanes"][0];
    assert_eq!((&lane["revisions_behind"], &lane["sockets"], &lane["templates"]), (&json!(0), &json!(1), &json!(1)));
    let dearest = &lane["dearest"][0];
    assert_eq!(dearest["sql"], "SELECT id FROM t WHERE a = ?1 ");
    assert_eq!((&dearest["live_queries"], &dearest["runs"]), (&json!(3), &json!(1)));
    assert_eq!((&dearest["found_by_value"], &dearest["read_by_parts"]), (&json!(true), &json!(true)));
}
