//! SQL that would reach beyond its request or its database: refused, to the administrator too.

use crate::server::Server;
use serde_json::json;

async fn with_table() -> Server {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a)").await;
    server
}

#[tokio::test]
async fn what_would_reach_beyond_the_request_is_forbidden() {
    let server = with_table().await;
    for sql in [
        "ATTACH 'other.db' AS other",
        "DETACH main",
        "CREATE TEMP TABLE x (a)",
        "CREATE TEMPORARY VIEW x AS SELECT 1",
        "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA synchronous = OFF",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA writable_schema = 1",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA busy_timeout = 0",
        "VACUUM INTO 'copy.db'",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "BEGIN; INSERT INTO t (a) VALUES (1); ROLLBACK",
        "INSERT INTO t (a) VALUES (1); COMMIT; INSERT INTO t (a) VALUES (2)",
        "CREATE VIRTUAL TABLE v USING csv(filename = '/etc/passwd')",
    ] {
        for transaction in [false, true] {
            let statement = json!({ "sql": sql });
            let body = if transaction { json!({ "transaction": [statement] }) } else { statement };
            let answer = server.query(body).await;
            // VACUUM inside a transaction is a mistake before it is anything else.
            let code = answer.json()["code"].clone();
            let is_refused = code == "forbidden" || transaction && sql.starts_with("VACUUM") && code == "invalid";
            assert!(is_refused, "{sql}: {}", answer.text());
        }
    }
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{ "n": 0 }]));
    let mut files: Vec<_> =
        std::fs::read_dir(server.home.folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert!(files.iter().all(|name| name.to_string_lossy().starts_with("test.db")), "{files:?}");
}

#[tokio::test]
async fn a_temporary_table_by_its_full_name_is_refused_and_takes_nobodys_rows() {
    let server = with_table().await;
    for sql in [
        "CREATE TABLE temp.t (id, a)",
        "CREATE VIEW temp.v AS SELECT 1",
        "CREATE TRIGGER temp.x AFTER INSERT ON main.t BEGIN SELECT 1; END",
    ] {
        server.query(json!({ "sql": sql })).await.is_refused(403, "forbidden", "Temporary");
    }
    // With such a table on the writer's connection this would be acknowledged and lost.
    server.sql("INSERT INTO t (a) VALUES ('mine')").await;
    assert_eq!(server.sql("SELECT a FROM t").await, json!([{ "a": "mine" }]));
}

#[tokio::test]
async fn tables_of_tidebase_can_be_read_and_never_changed() {
    let server = with_table().await;
    server.sql("SELECT * FROM _tide_log").await;
    for sql in [
        "INSERT INTO _tide_meta VALUES ('history', 'mine')",
        "UPDATE _tide_meta SET value = ''",
        "DELETE FROM _tide_log",
        "DROP TABLE _tide_log",
        "ALTER TABLE _tide_meta RENAME TO meta",
        "ALTER TABLE _tide_meta ADD COLUMN mine",
        "CREATE TABLE _tide_new (a)",
        "CREATE TABLE _TIDE_new (a)",
        "CREATE VIEW _tide_view AS SELECT 1",
        "CREATE INDEX mine ON _tide_log (time)",
        "CREATE TRIGGER mine AFTER INSERT ON _tide_log BEGIN SELECT 1; END",
        "ALTER TABLE t RENAME TO _tide_t",
    ] {
        server.query(json!({ "sql": sql })).await.is_refused(403, "forbidden", "_tide");
    }
}

#[tokio::test]
async fn a_trigger_cannot_change_tables_of_tidebase_either() {
    let server = with_table().await;
    let trigger = "CREATE TRIGGER mine AFTER INSERT ON t BEGIN INSERT INTO _tide_meta VALUES ('history', 'mine'); END";
    if server.query(json!({ "sql": trigger })).await.status == 200 {
        let answer = server.query(json!({ "sql": "INSERT INTO t (a) VALUES (1)" })).await;
        answer.is_refused(403, "forbidden", "_tide_meta");
        assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{ "n": 0 }]));
    }
}

#[tokio::test]
async fn pragmas_that_tell_something_are_answered_and_those_that_may_be_set_are_set() {
    let server = with_table().await;
    let columns = server.sql("PRAGMA table_info(t)").await;
    assert_eq!(columns[0]["name"], "id");
    assert_eq!(server.sql("PRAGMA foreign_keys").await, json!([{ "foreign_keys": 1 }]));
    assert_eq!(server.sql("PRAGMA user_version").await, json!([{ "user_version": 0 }]));
    server.sql("PRAGMA user_version = 7").await;
    assert_eq!(server.sql("PRAGMA user_version").await, json!([{ "user_version": 7 }]), "it was acknowledged");
    for sql in ["VACUUM", "ANALYZE", "REINDEX", "PRAGMA optimize", "PRAGMA integrity_check"] {
        server.sql(sql).await;
    }
}

#[tokio::test]
async fn vacuum_is_one_word_sent_alone() {
    let server = with_table().await;
    for sql in ["VACUUM", "vacuum main;"] {
        assert_eq!(server.query(json!({ "sql": sql })).await.status, 200);
    }
    for body in [
        json!({ "sql": "VACUUM this is no syntax at all" }),
        json!({ "sql": "VACUUM 'x'" }),
        json!({ "sql": "VACUUM", "params": [1, 2] }),
        json!({ "transaction": [{ "sql": "VACUUM" }] }),
    ] {
        server.query(body).await.is_refused(400, "invalid", "alone");
    }
}

#[tokio::test]
async fn what_tidebase_keeps_cannot_be_live() {
    let server = with_table().await;
    let mut socket = server.live().await;
    for sql in ["SELECT count(*) FROM _tide_messages", "SELECT * FROM t, _tide_log"] {
        let refused = socket.ask(json!({ "id": sql, "action": "subscribe", "sql": sql })).await;
        assert_eq!(refused["code"], "unsupported", "{refused}");
    }
}

#[tokio::test]
async fn a_value_larger_than_a_server_should_hold_is_refused_before_it_is_made() {
    let server = with_table().await;
    for sql in ["SELECT zeroblob(900000000)", "INSERT INTO t (a) VALUES (zeroblob(900000000))"] {
        server.query(json!({ "sql": sql })).await.is_refused(413, "too_large", "too big");
    }
    assert!(server.memory() < 400 << 20, "{} bytes", server.memory());
}
