//! Change streams: every change of a table, or of all, by whatever path it was made (ThunderBase's promise).

use crate::server::socket::Socket;
use crate::server::{Server, within};
use serde_json::{Value as Json, json};

async fn with_table() -> Server {
    let server = Server::start().await;
    server.sql("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)").await;
    server
}

/// The first frame of a stream says from where it tells.
async fn listen(server: &Server, table: &str) -> (Socket, i64) {
    let mut socket = server.live().await;
    let first = socket.ask(json!({ "id": "s", "action": "subscribe", "table": table })).await;
    assert_eq!((&first["type"], &first["changes"]), (&json!("changes"), &json!([])), "{first}");
    (socket, first["revision"].as_i64().unwrap())
}

/// The changes of a whole transaction.
async fn transaction(socket: &mut Socket) -> (i64, Vec<Json>) {
    let mut changes = Vec::new();
    loop {
        let frame = socket.answer("s").await;
        assert_eq!(frame["type"], "changes", "{frame}");
        changes.extend(frame["changes"].as_array().unwrap().iter().cloned());
        if frame["last"] == true {
            return (frame["revision"].as_i64().unwrap(), changes);
        }
    }
}

#[tokio::test]
async fn every_change_is_told_with_the_row_before_and_after() {
    let server = with_table().await;
    let (mut socket, _) = listen(&server, "users").await;
    let john = json!({ "id": 1, "name": "John Doe" });
    let jane = json!({ "id": 1, "name": "Jane Doe" });
    let key = json!({ "id": 1 });
    for (sql, expected) in [
        (
            "INSERT INTO users (name) VALUES ('John Doe')",
            json!([{ "table": "users", "op": "INSERT", "key": key, "new": john }]),
        ),
        (
            "UPDATE users SET name = 'Jane Doe'",
            json!([{ "table": "users", "op": "UPDATE", "key": key, "old": john, "new": jane }]),
        ),
        (
            "INSERT OR REPLACE INTO users VALUES (1, 'John Doe')",
            json!([{ "table": "users", "op": "UPDATE", "key": key, "old": jane, "new": john }]),
        ),
        ("DELETE FROM users", json!([{ "table": "users", "op": "DELETE", "key": key, "old": john }])),
    ] {
        let revision = server.write(sql).await;
        assert_eq!(transaction(&mut socket).await, (revision, expected.as_array().unwrap().clone()), "{sql}");
    }
}

#[tokio::test]
async fn a_transaction_is_told_whole_and_what_it_undid_itself_is_not() {
    let server = with_table().await;
    let (mut socket, _) = listen(&server, "users").await;
    let sql = "INSERT INTO users VALUES (1, 'a'), (2, 'b'), (3, 'c'); UPDATE users SET name = 'B' WHERE id = 2; \
               DELETE FROM users WHERE id = 3";
    let revision = server.write(sql).await;
    let (told, changes) = transaction(&mut socket).await;
    assert_eq!(told, revision);
    let of = |change: &Json| json!([change["op"], change["new"]["name"]]);
    assert_eq!(changes.iter().map(of).collect::<Vec<_>>(), [json!(["INSERT", "a"]), json!(["INSERT", "B"])]);
    let moved = server.write("UPDATE users SET id = 9 WHERE id = 1").await;
    let (told, changes) = transaction(&mut socket).await;
    let ops: Vec<Json> = changes.iter().map(|change| json!([change["op"], change["key"]["id"]])).collect();
    assert_eq!((told, ops.len()), (moved, 2), "{changes:?}");
    assert!(ops.contains(&json!(["DELETE", 1])) && ops.contains(&json!(["INSERT", 9])), "{ops:?}");
}

#[tokio::test]
async fn a_large_transaction_comes_in_pieces_of_which_the_last_says_so() {
    let server = with_table().await;
    let (mut socket, _) = listen(&server, "users").await;
    let many = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000) \
                INSERT INTO users SELECT n, printf('%0100d', n) FROM c";
    let revision = server.write(many).await;
    let (told, changes) = transaction(&mut socket).await;
    assert_eq!((told, changes.len()), (revision, 3000));
    assert!(socket.seen.iter().filter(|frame| frame["id"] == "s").count() > 2);
}

#[tokio::test]
async fn all_tables_are_heard_those_created_later_included() {
    let server = with_table().await;
    let (mut socket, _) = listen(&server, "*").await;
    server.write("INSERT INTO users VALUES (1, 'a')").await;
    assert_eq!(transaction(&mut socket).await.1[0]["table"], "users");
    let created = server.write("CREATE TABLE later (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID").await;
    let resync = socket.answer("s").await;
    assert_eq!((&resync["type"], &resync["revision"]), (&json!("resync"), &json!(created)), "{resync}");
    let revision = server.write("INSERT INTO later VALUES (1, 2)").await;
    let (told, changes) = transaction(&mut socket).await;
    assert_eq!(told, revision);
    let change = json!({ "table": "later", "op": "INSERT", "key": { "b": 2, "a": 1 }, "new": { "a": 1, "b": 2 } });
    assert_eq!(changes, [change]);
    let (mut only_users, _) = listen(&server, "USERS").await;
    server.write("INSERT INTO later VALUES (3, 4)").await;
    server.write("INSERT INTO users VALUES (2, 'b')").await;
    assert_eq!(transaction(&mut only_users).await.1[0]["new"]["name"], "b");
}

#[tokio::test]
async fn changes_by_triggers_cascades_and_keys_are_told_too() {
    let server = with_table().await;
    server.sql("CREATE TABLE post (id INTEGER PRIMARY KEY, by REFERENCES users ON DELETE CASCADE)").await;
    server.sql("CREATE TABLE audit (what)").await;
    let trigger = "CREATE TRIGGER t AFTER DELETE ON users BEGIN INSERT INTO audit VALUES (old.name); END";
    server.sql(trigger).await;
    server.sql("INSERT INTO users VALUES (1, 'a')").await;
    server.sql("INSERT INTO post VALUES (7, 1)").await;
    let (mut socket, _) = listen(&server, "*").await;
    server.write("DELETE FROM users").await;
    let (_, changes) = transaction(&mut socket).await;
    let mut told: Vec<String> = changes.iter().map(|one| format!("{} {}", one["op"], one["table"])).collect();
    told.sort();
    assert_eq!(told, ["\"DELETE\" \"post\"", "\"DELETE\" \"users\"", "\"INSERT\" \"audit\""]);
    server.send(crate::server::http::Request::post("/data/first", json!({ "value": 1 }))).await;
    let resync = socket.answer("s").await;
    assert_eq!(resync["type"], "resync", "the table kv was made: {resync}");
    server.send(crate::server::http::Request::post("/data/second", json!({ "value": 2 }))).await;
    assert_eq!(transaction(&mut socket).await.1[0]["key"], json!({ "key": "first" }));
    assert_eq!(transaction(&mut socket).await.1[0]["new"]["key"], "second");
}

#[tokio::test]
async fn a_stream_goes_on_from_where_the_client_was() {
    let server = with_table().await;
    let (socket, revision) = listen(&server, "users").await;
    let history = socket.hello["history"].clone();
    socket.close().await;
    let first = server.write("INSERT INTO users VALUES (1, 'a')").await;
    let second = server.write("INSERT INTO users VALUES (2, 'b')").await;
    let subscribe = |revision: i64, history: &Json| json!({ "id": "s", "action": "subscribe", "table": "users", "since": { "history": history, "revision": revision } });
    let mut socket = server.live().await;
    socket.send(subscribe(revision, &history)).await;
    let told = [transaction(&mut socket).await, transaction(&mut socket).await];
    assert_eq!(told.map(|(revision, changes)| (revision, changes.len())), [(first, 1), (second, 1)]);
    let third = server.write("INSERT INTO users VALUES (3, 'c')").await;
    assert_eq!(transaction(&mut socket).await.0, third);

    let server = server.restart().await;
    let mut socket = server.live().await;
    socket.send(subscribe(second, &history)).await;
    assert_eq!(transaction(&mut socket).await.0, third, "the log survives a restart");
    let mut stranger = server.live().await;
    let answer = stranger.ask(subscribe(second, &json!("another"))).await;
    assert_eq!((&answer["type"], &answer["revision"]), (&json!("resync"), &json!(third)), "{answer}");
}

#[tokio::test]
async fn what_the_log_has_forgotten_and_what_others_wrote_is_to_be_read_again() {
    let server = Server::start_with(&["log_age_max=1"]).await;
    server.sql("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)").await;
    let (mut socket, revision) = listen(&server, "users").await;
    for number in 0..5 {
        server.write(&format!("INSERT INTO users VALUES ({number}, 'x')")).await;
        transaction(&mut socket).await;
    }
    let outside = server.home.outside();
    let kept = || outside.query_row("SELECT count(*) FROM _tide_log", [], |row| row.get(0)).unwrap_or(0);
    within("the log to be forgotten", async {
        while kept() != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let since = json!({ "history": socket.hello["history"], "revision": revision });
    let late = json!({ "id": "late", "action": "subscribe", "table": "users", "since": since });
    assert_eq!(socket.ask(late).await["type"], "resync");
    outside.execute("UPDATE users SET name = 'outside'", []).unwrap();
    let resync = socket.answer("s").await;
    assert_eq!(resync["type"], "resync", "{resync}");
    let revision = server.write("DELETE FROM users WHERE id = 1").await;
    assert!(resync["revision"].as_i64().unwrap() < revision);
    assert_eq!(transaction(&mut socket).await.0, revision, "and then it goes on");
}

#[tokio::test]
async fn a_transaction_too_large_to_tell_row_by_row_is_to_be_read_again() {
    let server = Server::start_with(&["change_rows_max=10"]).await;
    server.sql("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)").await;
    let (mut socket, _) = listen(&server, "users").await;
    socket.subscribe("count", "SELECT count(*) FROM users").await;
    let many = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100) INSERT INTO users SELECT n, n FROM c";
    let revision = server.write(many).await;
    let resync = socket.answer("s").await;
    assert_eq!((&resync["type"], &resync["revision"]), (&json!("resync"), &json!(revision)));
    socket.until_seen(|frame| frame["type"] == "delta" && frame.to_string().contains(",100]")).await;
}

#[tokio::test]
async fn a_table_that_does_not_exist_yet_can_be_listened_to() {
    let server = with_table().await;
    let (mut socket, _) = listen(&server, "future").await;
    server.write("CREATE TABLE future (a)").await;
    assert_eq!(socket.answer("s").await["type"], "resync");
    server.write("INSERT INTO future VALUES (1)").await;
    let (_, changes) = transaction(&mut socket).await;
    assert_eq!(changes[0]["key"], json!({ "rowid": 1 }));
    let ended = socket.ask(json!({ "id": "end", "action": "unsubscribe", "sub": "s" })).await;
    assert_eq!(ended["type"], "result");
    server.write("INSERT INTO future VALUES (2)").await;
    socket.still_serves().await;
    assert_eq!(socket.seen.last().unwrap()["id"], "still here?");
}
