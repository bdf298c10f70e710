//! What policies let a caller see and change, and what they do not, by any SQL.
#![allow(clippy::unwrap_used)]

mod client;

use client::{Client, Database, ask, compare, next, user};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use tidebase_engine::access::policy::PolicyWrite;
use tidebase_engine::{
    Answer, Caller, Code, Format, Limits, Params, Principal, Result, Role, SqlRequest, Value, Wanted,
};

const SCHEMA: &str = "
CREATE TABLE notes (id INTEGER PRIMARY KEY, owner TEXT, body TEXT, slug TEXT UNIQUE, done INTEGER DEFAULT 0);
CREATE INDEX notes_owner ON notes (owner);
CREATE TABLE secrets (id INTEGER PRIMARY KEY, secret TEXT);
CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT);
CREATE TRIGGER notes_made AFTER INSERT ON notes BEGIN
  INSERT INTO audit (what) SELECT new.body || count(*) FROM secrets;
END;
CREATE TRIGGER [É it's] AFTER DELETE ON audit BEGIN SELECT secret FROM secrets; END;
CREATE VIEW everything AS SELECT * FROM secrets;
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, salary INTEGER);
CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE members (room INTEGER, user TEXT, PRIMARY KEY (room, user)) WITHOUT ROWID;
CREATE TABLE keyed (a TEXT COLLATE NOCASE, b INTEGER, owner TEXT, v TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE replaced (id INTEGER PRIMARY KEY, owner TEXT, code TEXT UNIQUE ON CONFLICT REPLACE);
CREATE TABLE inbox (id INTEGER PRIMARY KEY, owner TEXT);
CREATE TRIGGER inbox_made AFTER INSERT ON inbox BEGIN
  UPDATE secrets SET secret = 'paid'; DELETE FROM inbox WHERE id = new.id;
END;
CREATE TABLE parents (id INTEGER PRIMARY KEY, owner TEXT);
CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id) ON DELETE CASCADE, secret TEXT);
CREATE VIRTUAL TABLE words USING fts5 (body);
CREATE VIEW titles AS SELECT id, owner, body FROM notes;
CREATE VIEW again AS SELECT * FROM titles;
CREATE TABLE drawers (code TEXT PRIMARY KEY, owner TEXT, label TEXT);
INSERT INTO drawers VALUES ('own', 'alice', 'mine');
INSERT INTO people VALUES (1, 'alice', 20), (2, 'bob', 30);
INSERT INTO notes VALUES (1, 'alice', 'mine 1', 'a1', 0), (3, 'alice', 'mine 3', 'a3', 1);
INSERT INTO rooms VALUES (1, 'ours');
INSERT INTO members VALUES (1, 'alice');
INSERT INTO keyed VALUES ('a', 1, 'alice', 'mine');
INSERT INTO replaced VALUES (1, 'alice', 'a');
INSERT INTO parents VALUES (1, 'alice');
DELETE FROM audit;
";

/// What Alice must not see, nor change.
const HIDDEN: &str = "
INSERT INTO notes VALUES (2, 'bob', 'hidden 2', 'b1', 0), (4, NULL, 'hidden 4', 'b2', 0);
INSERT INTO secrets VALUES (2, 'hidden');
INSERT INTO rooms VALUES (2, 'hidden');
INSERT INTO members VALUES (2, 'bob'), (1, 'bob');
INSERT INTO keyed VALUES ('b', 2, 'bob', 'hidden');
INSERT INTO replaced VALUES (2, 'bob', 'b');
INSERT INTO parents VALUES (2, 'bob');
INSERT INTO children VALUES (1, 1, 'hidden'), (2, 2, 'hidden');
INSERT INTO words VALUES ('hidden');
INSERT INTO drawers VALUES ('hidden', 'bob', 'hidden');
UPDATE drawers SET code = 'hidden too' WHERE owner = 'alice';
DELETE FROM audit;
";

/// In the words of `POST /policies`.
fn policies() -> Vec<Json> {
    vec![
        json!({"name": "own notes", "table": "notes", "action": "all", "role": "user", "using": "owner = auth.uid()"}),
        json!({"name": "people", "table": "people", "action": "select", "using": "true", "columns": ["id", "name"]}),
        json!({"name": "rename", "table": "people", "action": "update", "using": "name = auth.uid()", "check": "true", "columns": ["name"]}),
        json!({"name": "join", "table": "people", "action": "insert", "check": "name = auth.uid()", "columns": ["name"]}),
        json!({"name": "rooms", "table": "rooms", "action": "select",
            "using": "EXISTS (SELECT 1 FROM members AS m WHERE m.room = rooms.id AND m.user = auth.uid())"}),
        json!({"name": "keyed", "table": "keyed", "action": "all", "using": "owner = auth.uid()"}),
        json!({"name": "replaced", "table": "replaced", "action": "all", "using": "owner = auth.uid()"}),
        json!({"name": "inbox", "table": "inbox", "action": "all", "using": "owner = auth.uid()"}),
        json!({"name": "parents", "table": "parents", "action": "all", "using": "owner = auth.uid()"}),
        json!({"name": "titles", "table": "titles", "action": "select", "using": "owner = auth.uid()"}),
        json!({"name": "again", "table": "again", "action": "select", "using": "owner = auth.uid()", "columns": ["id"]}),
        json!({"name": "see drawers", "table": "drawers", "action": "select", "using": "owner = auth.uid()", "columns": ["owner", "label"]}),
        json!({"name": "fill drawers", "table": "drawers", "action": "insert", "check": "owner = auth.uid()"}),
        json!({"name": "move drawers", "table": "drawers", "action": "update", "using": "owner = auth.uid()"}),
        json!({"name": "empty drawers", "table": "drawers", "action": "delete", "using": "owner = auth.uid()"}),
    ]
}

async fn open(rows: &[&str]) -> Database {
    let database = Database::new();
    database.sql(SCHEMA).await.unwrap();
    for rows in rows {
        database.sql(rows).await.unwrap();
    }
    for policy in policies() {
        let policy = serde_json::from_value(policy).unwrap();
        database.engine.write_policy(PolicyWrite::Keep(policy)).await.unwrap();
    }
    database
}

async fn rows(database: &Database, principal: &Principal, sql: &str) -> Json {
    let answer = ask(database, principal, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    serde_json::from_slice(&answer.body).unwrap()
}

/// What a caller could tell two answers apart by.
fn told(answer: &Result<Answer>) -> String {
    match answer {
        Ok(answer) => String::from_utf8(answer.body.to_vec()).unwrap(),
        Err(error) => format!("{:?} {}", error.code, error.message),
    }
}

fn corpus(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| !line.starts_with("--") && !line.is_empty()).map(|line| line.replace('␤', "\n"))
}

#[tokio::test]
async fn no_read_tells_of_rows_that_are_hidden() {
    let with = open(&[HIDDEN]).await;
    let without = open(&[]).await;
    for principal in [user("alice"), user("' OR 1=1 --"), Principal::Caller(Arc::new(Caller::new(Role::Client, None)))]
    {
        for sql in corpus(include_str!("access/reads.sql")) {
            let (a, b) = (ask(&with, &principal, &sql).await, ask(&without, &principal, &sql).await);
            assert!(!a.as_ref().is_err_and(|error| error.code == Code::Internal), "{sql}: {a:?}");
            // Rooms 1 has the same members as far as Alice can see.
            assert_eq!(told(&a), told(&b), "{sql}");
            assert!(!told(&a).contains("hidden") || sql.contains("hidden"), "{sql}: {}", told(&a));
        }
    }
}

#[tokio::test]
async fn how_many_rows_were_changed_tells_of_no_hidden_ones() {
    let database = open(&[HIDDEN]).await;
    let alice = user("alice");
    let written = async |sql: &str| {
        let request =
            SqlRequest { principal: alice.clone(), format: Format::Raw, ..SqlRequest::query(sql, Params::None) };
        let answer = database.engine.query(request).await.unwrap();
        serde_json::from_slice::<Json>(&answer.body).unwrap()["meta"]["rows_written"].clone()
    };
    // One of its own; a child that nobody sees goes with it, and a trigger writes to a closed table.
    assert_eq!(written("DELETE FROM parents WHERE id = 1").await, json!(1));
    assert_eq!(written("INSERT INTO notes (owner, body) VALUES ('alice', 'x')").await, json!(1));
    assert_eq!(written("SELECT id FROM notes").await, json!(0));
}

#[tokio::test]
async fn no_refusal_of_a_write_tells_of_rows_that_are_hidden() {
    let (with, without) = (open(&[HIDDEN]).await, open(&[]).await);
    let is_hit = "body = 'hidden 2'";
    for (condition, from) in [
        (format!("json_valid('1', iif({is_hit}, 99, 1)) AND 0"), ""),
        (format!("auth_claim(iif({is_hit}, 1, 'x')) IS NOT NULL"), ""),
        (format!("(SELECT sum(column1) FROM (VALUES (9223372036854775807), ({is_hit}))) < 0"), ""),
        (format!("CASE WHEN {is_hit} THEN (SELECT 1 LIMIT 1 OFFSET 'x') END"), ""),
        (format!("CASE WHEN {is_hit} THEN 1 IN (SELECT 1 LIMIT 1.5) END"), ""),
        (format!("CASE WHEN {is_hit} THEN (SELECT count(*) OVER (ROWS -1 PRECEDING) FROM (VALUES (1))) = 77 END"), ""),
        (
            format!(
                "CASE WHEN {is_hit} THEN length(strftime(replace(printf('%.*c', 9000000, 'a'), 'a', '%J'), 'now')) END"
            ),
            "",
        ),
        ("0) END OR CASE WHEN abs(iif(body = 'hidden 2', -9223372036854775807 - 1, 1)) = 0 THEN (1".into(), ""),
        ("j.value IS NULL".into(), " FROM json_each(iif(notes.body = 'hidden 2', 'x', '[]')) AS j"),
    ] {
        let mut writes = vec![format!("UPDATE notes SET done = done{from} WHERE {condition}")];
        if from.is_empty() {
            writes.push(format!("DELETE FROM notes WHERE id = 2 AND {condition}"));
            writes.push(format!(
                "INSERT INTO notes (id, owner) VALUES (3, 'alice') ON CONFLICT (id) DO UPDATE SET done = done WHERE {condition}"
            ));
        }
        for sql in writes {
            let (a, b) = (ask(&with, &user("alice"), &sql).await, ask(&without, &user("alice"), &sql).await);
            assert_eq!(told(&a), told(&b), "{sql}");
        }
    }
}

/// The key's index compares byte by byte, the column does not: each row is admitted for itself.
#[tokio::test]
async fn keys_that_only_look_alike_are_two() {
    let database = Database::new();
    database
        .sql("CREATE TABLE pairs (k TEXT COLLATE NOCASE, owner TEXT, v TEXT, PRIMARY KEY (k COLLATE BINARY)) WITHOUT ROWID")
        .await
        .unwrap();
    database.sql("INSERT INTO pairs VALUES ('a', 'alice', 'mine'), ('A', 'bob', 'hidden')").await.unwrap();
    let policy = json!({"name": "own", "table": "pairs", "action": "all", "using": "owner = auth.uid()"});
    database.engine.write_policy(PolicyWrite::Keep(serde_json::from_value(policy).unwrap())).await.unwrap();
    for sql in ["UPDATE pairs SET v = 'told' WHERE owner = 'bob'", "DELETE FROM pairs WHERE owner <> 'alice'"] {
        ask(&database, &user("alice"), sql).await.unwrap();
    }
    let written = rows(&database, &user("alice"), "UPDATE pairs SET v = 'new' RETURNING k, v").await;
    assert_eq!(written, json!([{"k": "a", "v": "new"}]));
    assert_eq!(database.rows("SELECT v FROM pairs WHERE owner = 'bob'").await, json!([{"v": "hidden"}]));
}

#[tokio::test]
async fn a_callers_write_ends_before_the_administrators_would() {
    let limits = Limits {
        write_time_max: Duration::from_mins(1),
        caller_write_time_max: Duration::from_millis(50),
        ..Limits::default()
    };
    let database = Database::with_limits(limits);
    database.sql("CREATE TABLE notes (id INTEGER PRIMARY KEY, n INTEGER)").await.unwrap();
    let policy = json!({"name": "all", "table": "notes", "action": "all", "using": "true"});
    database.engine.write_policy(PolicyWrite::Keep(serde_json::from_value(policy).unwrap())).await.unwrap();
    let endless = "INSERT INTO notes (n) VALUES ((WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c))";
    let refused = ask(&database, &user("alice"), endless).await.unwrap_err();
    assert_eq!(refused.code, Code::Timeout);
    assert_eq!(database.rows("SELECT count(*) AS n FROM notes").await, json!([{"n": 0}]));
}

#[tokio::test]
async fn a_callers_write_that_took_too_long_in_one_step_is_not_kept() {
    let limits = Limits { caller_write_time_max: Duration::from_millis(20), ..Limits::default() };
    let database = Database::with_limits(limits);
    database.sql("CREATE TABLE notes (id INTEGER PRIMARY KEY, n INTEGER)").await.unwrap();
    let policy = json!({"name": "all", "table": "notes", "action": "all", "using": "true"});
    database.engine.write_policy(PolicyWrite::Keep(serde_json::from_value(policy).unwrap())).await.unwrap();
    // One step of some hundred milliseconds, behind which no look is taken before the end.
    let long = "INSERT INTO notes (n) VALUES (length(hex(randomblob(60000000))))";
    let refused = ask(&database, &user("alice"), long).await.unwrap_err();
    assert_eq!(refused.code, Code::Timeout);
    database.sql(long).await.unwrap();
    assert_eq!(database.rows("SELECT count(*) AS n FROM notes").await, json!([{"n": 1}]));
}

#[tokio::test]
async fn functions_that_no_budget_interrupts_are_not_open_to_callers() {
    let database = open(&[]).await;
    let alice = user("alice");
    for (call, instead) in [
        ("json_patch('{}', '{\"a\":1}')", "json_set"),
        ("hex(jsonb_patch('{}', '{\"a\":1}'))", "jsonb_set"),
        ("json_pretty('[1]')", "where it is shown"),
        ("\"json_pretty\"('[1]', '  ')", "where it is shown"),
    ] {
        let sql = format!("SELECT {call} AS a");
        let refused = ask(&database, &alice, &sql).await.unwrap_err();
        assert_eq!(refused.code, Code::Forbidden, "{sql}");
        assert!(refused.message.contains(instead), "{}", refused.message);
        database.sql(&sql).await.unwrap();
    }
    let paths = |count: usize| vec!["'$.a'"; count].join(", ");
    for (function, most) in [
        ("json_extract", 31),
        ("json_remove", 31),
        ("\"JSON_EXTRACT\"", 31),
        ("json_set", 63),
        ("json_insert", 63),
        ("jsonb_replace", 63),
    ] {
        let sql = |count| {
            format!("SELECT length({function}((SELECT '{{}}'), coalesce({}), {})) AS a", paths(40), paths(count))
        };
        rows(&database, &alice, &sql(most)).await;
        let refused = ask(&database, &alice, &sql(most + 2)).await.unwrap_err();
        assert_eq!(refused.code, Code::TooLarge, "{function}: {}", refused.message);
        database.sql(&sql(most + 2)).await.unwrap();
    }
    // What the administrator's policies and views call, they call.
    database.sql("CREATE VIEW shown AS SELECT json_pretty(json_patch('{}', '[1]')) AS a").await.unwrap();
    let policy = json!({"name": "shown", "table": "shown", "action": "select", "using": "json_pretty(a) IS NOT NULL"});
    database.engine.write_policy(PolicyWrite::Keep(serde_json::from_value(policy).unwrap())).await.unwrap();
    assert_eq!(rows(&database, &alice, "SELECT length(a) AS n FROM shown").await, json!([{"n": 9}]));
}

#[tokio::test]
async fn a_long_text_in_a_longer_one_is_found_within_a_callers_time() {
    let database = open(&[]).await;
    let alice = user("alice");
    for call in ["instr(a, b)", "length(replace(a, b, 'c'))", "length(trim(b, a))", "unhex(a, b) IS NULL"] {
        let sql = format!(
            "UPDATE notes SET body = (SELECT {call} FROM (SELECT replace(printf('%.*c', 2000, 'a'), 'a', printf('%.*c', 1000, 'é')) AS a,
               replace(printf('%.*c', 1000, 'a'), 'a', printf('%.*c', 1000, 'é')) || 'x' AS b)) WHERE id = 1 RETURNING id"
        );
        assert_eq!(rows(&database, &alice, &sql).await, json!([{"id": 1}]), "{call}");
    }
}

#[tokio::test]
async fn a_trigger_of_a_trigger_may_keep_keys_in_order_where_nothing_is_open() {
    let database = open(&[]).await;
    let script = "
        CREATE TABLE parts (id INTEGER PRIMARY KEY, of INTEGER REFERENCES parts (id) ON DELETE SET NULL);
        CREATE TABLE gone (id INTEGER);
        CREATE TRIGGER parts_gone AFTER INSERT ON gone BEGIN DELETE FROM parts WHERE id = NEW.id; END;
        CREATE TRIGGER notes_changed AFTER UPDATE ON notes BEGIN INSERT INTO gone VALUES (NEW.id); END;
        INSERT INTO parts VALUES (50, NULL), (51, 50);
        INSERT INTO notes (id, owner) VALUES (50, 'alice')";
    database.sql(script).await.unwrap();
    ask(&database, &user("alice"), "UPDATE notes SET done = 1 WHERE id = 50").await.unwrap();
    assert_eq!(database.rows("SELECT id, of FROM parts").await, json!([{"id": 51, "of": null}]));
}

#[tokio::test]
async fn a_write_is_no_live_query() {
    let database = open(&[HIDDEN]).await;
    let mut client = Client::connect_as(&database, user("alice")).await;
    for (id, sql) in [("a", "DELETE FROM notes"), ("b", "WITH x AS (SELECT 1) DELETE FROM notes RETURNING id")] {
        client.subscribe(&database, id, Wanted::Query { sql: sql.into(), params: Params::None, since: None });
        client.wait(|client| client.lives.get(id).is_some_and(|live| live.error.is_some())).await;
        let error = client.lives[id].error.as_deref().unwrap();
        assert!(error.contains("Only a SELECT can be live."), "{error}");
    }
}

#[tokio::test]
async fn a_pattern_that_is_too_long_tells_of_no_row() {
    let database = open(&[HIDDEN]).await;
    let pattern = Params::Positional(vec![Value::text("%".repeat(60_000))]);
    for sql in
        ["SELECT id FROM rooms WHERE id = 2 AND name LIKE ?1", "SELECT id FROM rooms WHERE id = 9 AND name GLOB ?1"]
    {
        let request = SqlRequest { principal: user("alice"), ..SqlRequest::query(sql, pattern.clone()) };
        let refused = database.engine.query(request).await.unwrap_err();
        assert_eq!(refused.code, Code::TooLarge, "{sql}: {refused}");
    }
}

#[tokio::test]
async fn no_write_changes_rows_that_are_hidden() {
    let look = "SELECT (SELECT json_group_array(json_array(id, owner, body, slug)) FROM notes WHERE owner IS NOT 'alice') AS notes,
        (SELECT json_group_array(json_array(id, secret)) FROM secrets) AS secrets,
        (SELECT json_group_array(json_array(id, salary)) FROM people) AS people,
        (SELECT json_group_array(json_array(id, name)) FROM rooms) AS rooms,
        (SELECT json_group_array(json_array(room, user)) FROM members) AS members,
        (SELECT json_group_array(json_array(a, v)) FROM keyed WHERE owner <> 'alice') AS keyed,
        (SELECT json_group_array(json_array(id, code)) FROM replaced WHERE owner <> 'alice') AS replaced,
        (SELECT json_group_array(json_array(id, owner)) FROM parents WHERE owner <> 'alice') AS parents,
        (SELECT json_group_array(json_array(id, parent)) FROM children WHERE parent = 2) AS children,
        (SELECT json_group_array(json_array(code, owner, label)) FROM drawers) AS drawers,
        (SELECT json_group_array(json_array(name, [using])) FROM _tide_policies) AS policies";
    let database = open(&[HIDDEN]).await;
    let before = database.rows(look).await;
    let alice = user("alice");
    for sql in corpus(include_str!("access/writes.sql")) {
        let answer = ask(&database, &alice, &sql).await;
        assert!(!answer.as_ref().is_err_and(|error| error.code == Code::Internal), "{sql}: {answer:?}");
        assert!(!told(&answer).contains("hidden"), "{sql}: {}", told(&answer));
        assert_eq!(database.rows(look).await, before, "{sql}: {}", told(&answer));
        let taken = database
            .rows("SELECT count(*) AS n FROM notes WHERE (body LIKE '%hidden%' OR body = 'told') AND owner = 'alice'")
            .await;
        assert_eq!(taken, json!([{"n": 0}]), "{sql}");
    }
}

#[tokio::test]
async fn own_rows_are_read_and_written_as_usual() {
    let database = open(&[HIDDEN]).await;
    let (alice, bob) = (user("alice"), user("bob"));
    for (sql, expected) in [
        ("SELECT id FROM notes ORDER BY id", json!([{"id": 1}, {"id": 3}])),
        ("SELECT n.body AS b FROM notes n WHERE id = 1", json!([{"b": "mine 1"}])),
        (
            "INSERT INTO notes (id, owner, body) VALUES (10, auth.uid(), 'new') RETURNING id, done",
            json!([{"id": 10, "done": 0}]),
        ),
        ("UPDATE notes SET done = 1 WHERE id >= 3 RETURNING id", json!([{"id": 3}, {"id": 10}])),
        ("UPDATE notes SET body = body || '!' WHERE length(body) > 3 AND abs(id) = 10 RETURNING body", json!([])),
        ("UPDATE notes SET body = body || '!' WHERE abs(id) = 10 RETURNING body", json!([{"body": "new!"}])),
        (
            "INSERT INTO notes (id, owner, body) VALUES (10, 'alice', 'x') ON CONFLICT (id) DO UPDATE SET body = excluded.body WHERE notes.id = 10 RETURNING body",
            json!([{"body": "x"}]),
        ),
        (
            "UPDATE notes SET body = r.name FROM rooms AS r WHERE r.id = notes.id RETURNING notes.id, body",
            json!([{"id": 1, "body": "ours"}]),
        ),
        ("DELETE FROM notes WHERE id = 10 RETURNING id", json!([{"id": 10}])),
        ("UPDATE people SET name = 'alice' WHERE id = 1 RETURNING name", json!([{"name": "alice"}])),
        ("INSERT INTO people (name) VALUES ('alice') RETURNING id", json!([{"id": 3}])),
        ("UPDATE keyed SET v = 'x' WHERE a = 'A' RETURNING a, b, v", json!([{"a": "a", "b": 1, "v": "x"}])),
        (
            "INSERT INTO keyed VALUES ('A', 1, 'alice', 'y') ON CONFLICT DO UPDATE SET v = excluded.v RETURNING v",
            json!([{"v": "y"}]),
        ),
        ("SELECT name FROM rooms", json!([{"name": "ours"}])),
        ("SELECT body FROM titles WHERE id = 1", json!([{"body": "ours"}])),
        ("SELECT count(*) AS n FROM titles AS t JOIN again AS a ON a.id = t.id", json!([{"n": 2}])),
        ("SELECT * FROM again", json!([{"id": 1}, {"id": 3}])),
        ("SELECT $_exclude(name) FROM people WHERE id = 2", json!([{"id": 2}])),
        ("SELECT 1 [one], `id` /* key */ FROM notes WHERE id = 1", json!([{"one": 1, "id": 1}])),
        ("UPDATE drawers SET code = 'new' WHERE label = 'mine' RETURNING label", json!([{"label": "mine"}])),
        ("INSERT INTO drawers VALUES ('made', 'alice', 'x') RETURNING code", json!([{"code": "made"}])),
        (
            "INSERT INTO drawers VALUES ('made', 'alice', 'y') ON CONFLICT (code) DO UPDATE SET label = excluded.label RETURNING label",
            json!([{"label": "y"}]),
        ),
        ("WITH mine AS (SELECT id FROM notes) SELECT count(*) AS n FROM mine", json!([{"n": 2}])),
        ("SELECT count(*) AS n FROM notes WHERE id IN (SELECT id FROM rooms)", json!([{"n": 1}])),
        // A cascade, and a trigger that writes to a closed table, are the schema's own doing.
        ("DELETE FROM parents WHERE id = 1 RETURNING id", json!([{"id": 1}])),
    ] {
        assert_eq!(rows(&database, &alice, sql).await, expected, "{sql}");
    }
    assert_eq!(database.rows("SELECT count(*) AS n FROM children").await, json!([{"n": 1}]));
    assert_eq!(database.rows("SELECT what FROM audit").await, json!([{"what": "new1"}]));
    assert_eq!(rows(&database, &bob, "SELECT id FROM notes").await, json!([{"id": 2}]));
    assert_eq!(rows(&database, &bob, "SELECT count(*) AS n FROM rooms").await, json!([{"n": 2}]));
    let admin =
        rows(&database, &Principal::Admin, "SELECT count(*) AS n, auth.role() AS r, auth_uid() AS u FROM notes").await;
    assert_eq!(admin, json!([{"n": 4, "r": "admin", "u": null}]));
}

#[tokio::test]
async fn a_policy_counts_from_its_answer_on() {
    let database = open(&[HIDDEN]).await;
    let alice = user("alice");
    let change = async |policy: Json| {
        let policy = serde_json::from_value(policy).unwrap();
        database.engine.write_policy(PolicyWrite::Keep(policy)).await
    };
    assert_eq!(ask(&database, &alice, "SELECT * FROM secrets").await.unwrap_err().code, Code::Forbidden);
    change(json!({"name": "s", "table": "secrets", "action": "select", "using": "id = 2"})).await.unwrap();
    assert_eq!(rows(&database, &alice, "SELECT secret FROM secrets").await, json!([{"secret": "hidden"}]));
    change(json!({"name": "s", "table": "secrets", "action": "select", "using": "id = 3"})).await.unwrap();
    assert_eq!(rows(&database, &alice, "SELECT secret FROM secrets").await, json!([]));
    database.engine.write_policy(PolicyWrite::Drop("s".into())).await.unwrap();
    assert_eq!(ask(&database, &alice, "SELECT * FROM secrets").await.unwrap_err().code, Code::Forbidden);
    // The table may change beneath its policy: then it is closed until they fit again.
    database.sql("ALTER TABLE notes RENAME COLUMN owner TO holder").await.unwrap();
    assert_eq!(ask(&database, &alice, "SELECT id FROM notes").await.unwrap_err().code, Code::Forbidden);
    assert_eq!(ask(&database, &alice, "DELETE FROM notes").await.unwrap_err().code, Code::Forbidden);
    database.sql("ALTER TABLE notes RENAME COLUMN holder TO owner").await.unwrap();
    assert_eq!(rows(&database, &alice, "SELECT count(*) AS n FROM notes").await, json!([{"n": 2}]));
    for (policy, why) in [
        (
            json!({"name": "x", "table": "notes", "action": "select", "using": "missing = 1"}),
            "\"using\": no such column: missing",
        ),
        (json!({"name": "x", "table": "nowhere", "action": "select", "using": "1"}), "There is no table nowhere."),
        (json!({"name": "x", "table": "_tide_log", "action": "select", "using": "1"}), "There is no table _tide_log."),
        (
            json!({"name": "x", "table": "notes", "action": "select", "using": "random() > 0"}),
            "\"using\" asks random(), which gives another answer each time.",
        ),
        (
            json!({"name": "x", "table": "notes", "action": "select", "using": "load_extension('x')"}),
            "\"using\": no such function: load_extension",
        ),
        (
            json!({"name": "x", "table": "words", "action": "select", "using": "1"}),
            "Virtual tables cannot be opened by policies; a view over one can, though without MATCH.",
        ),
        (
            json!({"name": "x", "table": "notes", "action": "insert", "check": "1", "columns": ["missing"]}),
            "There is no column missing in notes.",
        ),
    ] {
        assert_eq!(change(policy.clone()).await.unwrap_err().message, why, "{policy}");
    }
}

/// What each of them holds live is what they would be answered now, whoever writes and whatever becomes visible.
#[tokio::test]
async fn live_queries_show_what_their_reader_may_see() {
    let database = open(&[HIDDEN]).await;
    let queries = [
        "SELECT id, body FROM notes ORDER BY id",
        "SELECT count(*), max(body) FROM notes",
        "SELECT id FROM notes WHERE abs(id) > 1",
        "SELECT r.name, count(n.id) FROM rooms AS r LEFT JOIN notes AS n ON n.id = r.id GROUP BY r.id",
        "SELECT name FROM rooms",
        "SELECT id, name FROM people",
        "SELECT auth.uid(), v FROM keyed",
    ];
    let readers = [user("alice"), user("bob"), Principal::Caller(Arc::new(Caller::new(Role::Client, None)))];
    let mut clients = Vec::new();
    for reader in &readers {
        let mut client = Client::connect_as(&database, reader.clone()).await;
        for (index, sql) in queries.iter().enumerate() {
            client.live(&database, &index.to_string(), sql).await;
        }
        clients.push(client);
    }
    let alice = &readers[0];
    let admin = Principal::Admin;
    let steps: [(&Principal, &str); 16] = [
        (&admin, "UPDATE notes SET owner = 'bob' WHERE id = 1"),
        (&admin, "UPDATE notes SET owner = 'alice' WHERE id IN (1, 2)"),
        (alice, "UPDATE notes SET body = body || '!'"),
        (alice, "DELETE FROM notes WHERE id = 2"),
        (alice, "INSERT INTO notes (id, owner, body) VALUES (2, 'alice', 'again')"),
        (&admin, "DELETE FROM members WHERE user = 'alice'"),
        (&admin, "INSERT INTO members VALUES (1, 'alice'), (2, 'alice')"),
        (
            &admin,
            "UPDATE members SET user = 'bob' WHERE room = 2 AND user = 'alice'; DELETE FROM members WHERE room = 9",
        ),
        (&admin, "UPDATE rooms SET name = 'other' WHERE id = 1"),
        (&admin, "UPDATE people SET salary = 0"),
        (&admin, "UPDATE people SET name = 'carol' WHERE id = 2"),
        (&admin, "UPDATE keyed SET owner = 'bob'"),
        (&admin, "CREATE TABLE more (a)"),
        (&admin, "UPDATE notes SET owner = NULL"),
        (&admin, "INSERT INTO notes (id, owner, body) VALUES (20, 'alice', 'late')"),
        (&admin, "VACUUM"),
    ];
    for (principal, sql) in steps {
        let done = ask(&database, principal, sql).await;
        // One row of members cannot become another that is there.
        let revision = done.map_or_else(|_| database.engine.revision(), |answer| answer.revision);
        for (reader, client) in readers.iter().zip(&mut clients) {
            client.reach(&database, revision).await;
            for (index, query) in queries.iter().enumerate() {
                compare(&database, reader, client, &index.to_string(), query, sql).await;
            }
        }
    }
    // Another policy counts for what is open: rows go, come, and a closed table ends its queries.
    let change = async |policy: Json| {
        database.engine.write_policy(PolicyWrite::Keep(serde_json::from_value(policy).unwrap())).await.unwrap().revision
    };
    let revision =
        change(json!({"name": "own notes", "table": "notes", "action": "select", "using": "id = 20 OR id = 4"})).await;
    for (reader, client) in readers.iter().zip(&mut clients).take(2) {
        client.reach(&database, revision).await;
        compare(&database, reader, client, "0", queries[0], "another policy").await;
    }
    assert_eq!(clients[0].lives["0"].rows.len(), 2);
    let dropped = database.engine.write_policy(PolicyWrite::Drop("own notes".into())).await.unwrap();
    clients[0].reach(&database, dropped.revision).await;
    let error = clients[0].lives["0"].error.as_deref();
    assert_eq!(error, Some("forbidden: There is no table notes that is open to you."));
}

/// One write to a row of one owner is no work for the queries of the others.
#[tokio::test]
async fn a_write_is_looked_at_once_for_all_readers_of_a_policy() {
    const READERS: i64 = 200;
    let database = Database::new();
    database
        .sql("CREATE TABLE tasks (id INTEGER PRIMARY KEY, owner TEXT, title TEXT); CREATE INDEX o ON tasks (owner)")
        .await
        .unwrap();
    let fill = "INSERT INTO tasks WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 199) SELECT i, 'u' || i, 't' FROM c";
    database.sql(fill).await.unwrap();
    let policy = json!({"name": "own", "table": "tasks", "action": "all", "using": "owner = auth.uid()"});
    database.engine.write_policy(PolicyWrite::Keep(serde_json::from_value(policy).unwrap())).await.unwrap();
    let queries = [
        "SELECT * FROM tasks",
        "SELECT count(*) FROM tasks WHERE id > 5 OR title = 't'",
        "SELECT id FROM tasks AS t ORDER BY title LIMIT 3",
    ];
    let mut clients = Vec::new();
    for number in 0..READERS {
        let reader = user(&format!("u{number}"));
        let mut client = Client::connect_as(&database, reader.clone()).await;
        for (index, sql) in queries.iter().enumerate() {
            client.live(&database, &index.to_string(), sql).await;
        }
        clients.push((reader, client));
    }
    let evaluations = || database.engine.metrics().live_evaluations.get();
    let before = evaluations();
    let steps = [
        "UPDATE tasks SET title = 'x' WHERE id = 7",
        "UPDATE tasks SET owner = 'u8' WHERE id = 7",
        "DELETE FROM tasks WHERE id = 8",
    ];
    let mut revision = 0;
    for sql in steps {
        revision = database.sql(sql).await.unwrap().revision;
    }
    for (reader, client) in &mut clients {
        client.reach(&database, revision).await;
        for (index, sql) in queries.iter().enumerate() {
            compare(&database, reader, client, &index.to_string(), sql, "all of it").await;
        }
    }
    let run = evaluations() - before;
    assert!(run <= 3 * 2 * 3, "{run} evaluations for three writes that concern two of {READERS} readers");
}

#[tokio::test]
async fn whatever_is_written_each_reader_is_found_by_what_the_policy_asks() {
    let database = Database::new();
    let tables = [
        ("plain", "owner", "owner = auth.uid()"),
        ("nocase", "owner TEXT COLLATE NOCASE", "auth.uid() = owner AND n IS NOT 3"),
        ("number", "owner INTEGER", "owner = auth.claim('number')"),
        ("either", "owner TEXT", "owner = auth.uid() OR n = 1"),
        ("ranged", "owner TEXT", "n > auth.claim('least') AND n <= 9"),
    ];
    for (table, column, using) in tables {
        database.sql(&format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY, {column}, n)")).await.unwrap();
        let policy = json!({"name": table, "table": table, "action": "select", "using": using});
        database.engine.write_policy(PolicyWrite::Keep(serde_json::from_value(policy).unwrap())).await.unwrap();
    }
    let reader = |uid: Option<&str>, claims: Json| {
        Principal::Caller(Arc::new(Caller { claims, ..Caller::new(Role::User, uid.map(Into::into)) }))
    };
    let readers = [
        reader(Some("a"), json!({"number": 1, "least": 2})),
        reader(Some("B"), json!({"number": "2", "least": "3"})),
        reader(Some("1"), json!({"number": 1.0, "least": null})),
        reader(None, json!({"number": [1], "least": 2.5})),
    ];
    let mut clients = Vec::new();
    let mut queries = Vec::new();
    for (table, ..) in tables {
        queries.push(format!("SELECT * FROM {table}"));
        queries.push(format!("SELECT id, n FROM {table} AS x WHERE n > 2 ORDER BY n DESC, id LIMIT 2"));
        queries.push(format!("SELECT n, count(*) FROM {table} WHERE id <> 4 OR n = 1 GROUP BY n"));
    }
    for reader in &readers {
        let mut client = Client::connect_as(&database, reader.clone()).await;
        for (index, sql) in queries.iter().enumerate() {
            client.live(&database, &index.to_string(), sql).await;
        }
        clients.push(client);
    }
    let values = ["'a'", "'A'", "'b'", "'B'", "1", "'1'", "1.0", "2", "NULL", "x'61'"];
    let mut state = 11;
    for _ in 0..250 {
        let table = tables[next(&mut state, 5) as usize].0;
        let id = next(&mut state, 8);
        let owner = values[next(&mut state, values.len() as u64) as usize];
        let n = ["0", "1", "2", "3", "4", "9", "10", "NULL", "'x'", "2.5"][next(&mut state, 10) as usize];
        let sql = match next(&mut state, 6) {
            0 | 1 => format!("INSERT OR REPLACE INTO {table} VALUES ({id}, {owner}, {n})"),
            2 => format!("UPDATE {table} SET owner = {owner} WHERE id = {id}"),
            3 => format!("UPDATE {table} SET n = {n} WHERE id <= {id}"),
            4 => format!("UPDATE OR REPLACE {table} SET id = {id} WHERE owner = {owner}"),
            _ => format!("DELETE FROM {table} WHERE id = {id}"),
        };
        let revision = database.sql(&sql).await.unwrap().revision;
        for (reader, client) in readers.iter().zip(&mut clients) {
            client.reach(&database, revision).await;
            for (index, query) in queries.iter().enumerate().filter(|(_, query)| query.contains(table)) {
                compare(&database, reader, client, &index.to_string(), query, &sql).await;
            }
        }
    }
}

#[tokio::test]
async fn a_write_may_begin_with_its_parts() {
    let database = open(&[HIDDEN]).await;
    let alice = user("alice");
    for (sql, expected) in [
        ("WITH x AS (SELECT id FROM rooms) UPDATE notes SET body = 'x' WHERE id IN x RETURNING id", json!([{"id": 1}])),
        ("WITH x AS (SELECT id FROM rooms) DELETE FROM notes WHERE id IN x RETURNING id", json!([{"id": 1}])),
        (
            "WITH x(i) AS (VALUES (3), (2)) INSERT INTO notes (id, owner) SELECT i, 'alice' FROM x WHERE true \
             ON CONFLICT DO UPDATE SET body = 'again' RETURNING id, body",
            json!([{"id": 3, "body": "again"}]),
        ),
    ] {
        assert_eq!(rows(&database, &alice, sql).await, expected, "{sql}");
    }
    let hidden = database.rows("SELECT body FROM notes WHERE id = 2").await;
    assert_eq!(hidden, json!([{"body": "hidden 2"}]));
}

#[tokio::test]
async fn a_table_may_have_a_word_of_sql_for_its_name() {
    let database = open(&[]).await;
    database
        .sql("CREATE TABLE \"order\" (id INTEGER PRIMARY KEY, n); INSERT INTO \"order\" VALUES (1, 5)")
        .await
        .unwrap();
    let policy = json!({"name": "orders", "table": "order", "action": "all", "using": "true"});
    database.engine.write_policy(PolicyWrite::Keep(serde_json::from_value(policy).unwrap())).await.unwrap();
    let alice = user("alice");
    let sql = "UPDATE \"order\" SET n = (SELECT id FROM notes ORDER BY id DESC LIMIT 1) RETURNING n";
    assert_eq!(rows(&database, &alice, sql).await, json!([{"n": 3}]));
    let loose = "UPDATE \"order\" SET n = (SELECT o.n FROM json_each('[1]') window, \"order\" o)";
    assert_eq!(ask(&database, &alice, loose).await.unwrap_err().code, Code::Unsupported);
}

#[tokio::test]
async fn a_column_that_is_called_rowid_is_a_column() {
    let database = Database::new();
    let tables = "CREATE TABLE odd (a, rowid); CREATE TABLE odder (a, ROWID);
        CREATE TABLE keyed (a INTEGER PRIMARY KEY, rowid)";
    database.sql(tables).await.unwrap();
    for table in ["odd", "odder", "keyed"] {
        database.sql(&format!("INSERT INTO {table} VALUES (1, 'hidden')")).await.unwrap();
        for (action, columns) in [("select", json!(["a"])), ("update", json!(["a"]))] {
            let name = format!("{action} {table}");
            let policy = json!({"name": name, "table": table, "action": action, "using": "true", "columns": columns});
            database.engine.write_policy(PolicyWrite::Keep(serde_json::from_value(policy).unwrap())).await.unwrap();
        }
    }
    let alice = user("alice");
    for sql in ["UPDATE odd SET a = 2 RETURNING rowid", "UPDATE odd SET a = 2 RETURNING *", "UPDATE odd SET a = rowid"]
    {
        for sql in [sql.to_owned(), sql.replace("odd", "odder"), sql.replace("odd", "keyed")] {
            assert_eq!(ask(&database, &alice, &sql).await.unwrap_err().code, Code::Forbidden, "{sql}");
        }
    }
    // Its rows can be told by another name of the rowid.
    assert_eq!(rows(&database, &alice, "UPDATE odd SET a = 2 RETURNING a").await, json!([{"a": 2}]));
}

#[tokio::test]
async fn a_trigger_may_change_keys_that_others_refer_to() {
    let database = open(&[]).await;
    let tables = "CREATE TABLE made (id INTEGER PRIMARY KEY, n);
        CREATE TABLE named (k TEXT PRIMARY KEY, n);
        CREATE TABLE naming (k TEXT REFERENCES named (k) ON UPDATE CASCADE ON DELETE SET NULL);
        CREATE TRIGGER renames AFTER INSERT ON made BEGIN UPDATE named SET k = new.n WHERE n = 1; DELETE FROM named WHERE n = 2; END;
        INSERT INTO named VALUES ('a', 1), ('b', 2); INSERT INTO naming VALUES ('a'), ('b')";
    database.sql(tables).await.unwrap();
    let policy = json!({"name": "made", "table": "made", "action": "all", "using": "true"});
    database.engine.write_policy(PolicyWrite::Keep(serde_json::from_value(policy).unwrap())).await.unwrap();
    let alice = user("alice");
    assert_eq!(rows(&database, &alice, "INSERT INTO made (n) VALUES ('c') RETURNING n").await, json!([{"n": "c"}]));
    assert_eq!(database.rows("SELECT k FROM naming").await, json!([{"k": "c"}, {"k": null}]));
    for sql in
        ["INSERT INTO made (n) SELECT k FROM naming", "INSERT INTO made (n) VALUES ((SELECT count(*) FROM named))"]
    {
        assert_eq!(ask(&database, &alice, sql).await.unwrap_err().code, Code::Forbidden, "{sql}");
    }
    let loose = "INSERT INTO made (n) SELECT named.k FROM json_each('[1]') window, named";
    assert_eq!(ask(&database, &alice, loose).await.unwrap_err().code, Code::Unsupported);
}
