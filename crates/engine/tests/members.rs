//! Live queries of many callers under policies: who shares a result, and what a write costs when members of a table of their
//! own say who sees what.
#![allow(clippy::unwrap_used)]

mod client;

use client::{Client, Database, compare, next, user};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use tidebase_engine::access::policy::PolicyWrite;
use tidebase_engine::live::report::{Runs, TemplateReport};
use tidebase_engine::{Caller, Limits, Params, Principal, Role, Wanted};

const ROOMS: &str = "
CREATE TABLE message (id INTEGER PRIMARY KEY, room INTEGER, body TEXT, at INTEGER);
CREATE INDEX message_room ON message (room);
CREATE TABLE member (room INTEGER, user TEXT, PRIMARY KEY (room, user)) WITHOUT ROWID;
CREATE INDEX member_user ON member (user);
";

/// Columns of which not all compare alike.
const ODD_ROOMS: [&str; 5] = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, room, owner TEXT COLLATE NOCASE, n INTEGER)",
    "CREATE TABLE m (room, user TEXT, level INTEGER)",
    "CREATE INDEX m_user ON m (user)",
    "CREATE TABLE keyed (k TEXT PRIMARY KEY, room INTEGER, n)",
    "CREATE TABLE m2 (room INTEGER, user INTEGER)",
];

const MEMBERS: &str = "EXISTS (SELECT 1 FROM member WHERE member.room = message.room AND member.user = auth.uid())";

async fn keep(database: &Database, policy: Json) -> i64 {
    let policy = serde_json::from_value(policy).unwrap();
    database.engine.write_policy(PolicyWrite::Keep(policy)).await.unwrap().revision
}

async fn open_rooms(limits: Limits, using: &str) -> Database {
    let database = Database::with_limits(limits);
    database.sql(ROOMS).await.unwrap();
    keep(&database, json!({"name": "members", "table": "message", "action": "select", "using": using})).await;
    database
}

/// Looked at for all callers whenever that is possible, whatever it takes.
fn for_all() -> Limits {
    Limits { live_part_micros: 0, ..Limits::default() }
}

async fn told(database: &Database, sql: &str) -> TemplateReport {
    let lanes = database.engine.live_report().await.unwrap();
    let mut templates = lanes.into_iter().flat_map(|lane| lane.dearest);
    templates.find(|template| template.sql == sql).unwrap()
}

/// Runs for one result, and for many callers at once.
fn since(after: Runs, before: Runs) -> [u64; 2] {
    [
        after.whole + after.parts + after.counted - before.whole - before.parts - before.counted,
        after.for_all - before.for_all,
    ]
}

fn caller(role: Role, uid: Option<&str>, claims: Json) -> Principal {
    Principal::Caller(Arc::new(Caller { claims, ..Caller::new(role, uid.map(Into::into)) }))
}

fn odd_readers() -> [Principal; 6] {
    [
        caller(Role::User, Some("a"), json!({"level": 1})),
        caller(Role::User, Some("A"), json!({"level": "2"})),
        caller(Role::User, Some("1"), json!({"level": 2.0})),
        caller(Role::Client, Some("a"), json!({"level": null})),
        caller(Role::Anonymous, None, json!({"level": 2})),
        caller(Role::User, Some("a"), json!({"level": 2})),
    ]
}

#[tokio::test]
async fn callers_who_answer_alike_share_one_result() {
    let database = Database::new();
    database.sql("CREATE TABLE docs (id INTEGER PRIMARY KEY, org INTEGER, title TEXT)").await.unwrap();
    database.sql("INSERT INTO docs VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 1, 'c')").await.unwrap();
    keep(&database, json!({"name": "org", "table": "docs", "action": "select", "using": "org = auth.claim('org.id')"}))
        .await;
    let of = |uid: &str, org: i64| caller(Role::User, Some(uid), json!({"org": {"id": org}, "name": uid}));
    let readers = [of("a", 1), of("b", 1), of("c", 2), caller(Role::Client, Some("a"), json!({"org": {"id": 1}}))];
    let shared = "SELECT id, title FROM docs";
    let own = "SELECT id, auth.uid() FROM docs";
    let any = "SELECT id, auth.claim(title || 'x') FROM docs";
    let mut clients = Vec::new();
    for reader in &readers {
        let mut client = Client::connect_as(&database, reader.clone()).await;
        for sql in [shared, own, any] {
            client.live(&database, sql, sql).await;
        }
        clients.push(client);
    }
    let groups = async |sql: &str| -> usize {
        let lanes = database.engine.live_report().await.unwrap();
        lanes.iter().flat_map(|lane| &lane.dearest).filter(|told| told.sql == sql).map(|told| told.groups).sum()
    };
    // Two organisations and two roles; every caller; every caller.
    assert_eq!([groups(shared).await, groups(own).await, groups(any).await], [3, 4, 4]);
    let compare_all = async |clients: &mut Vec<Client>, revision: i64, after: &str| {
        for (reader, client) in readers.iter().zip(clients) {
            client.reach(&database, revision).await;
            for sql in [shared, own, any] {
                compare(&database, reader, client, sql, sql, after).await;
            }
        }
    };
    let write = "UPDATE docs SET org = 3 - org WHERE id < 3";
    let revision = database.sql(write).await.unwrap().revision;
    compare_all(&mut clients, revision, write).await;
    // Other policies ask something else: the listeners of one result fall into several.
    let policy = json!({"name": "org", "table": "docs", "action": "select", "using": "title = auth.uid() OR id = 3"});
    let revision = keep(&database, policy).await;
    compare_all(&mut clients, revision, "another policy").await;
    assert_eq!(groups(shared).await, 4);
    let policy = json!({"name": "org", "table": "docs", "action": "select", "using": "id > 1"});
    let revision = keep(&database, policy).await;
    compare_all(&mut clients, revision, "a third policy").await;
    let write = "UPDATE docs SET title = 'x' WHERE id = 2";
    let revision = database.sql(write).await.unwrap().revision;
    compare_all(&mut clients, revision, write).await;
    assert_eq!(groups(shared).await, 2);
    // A view, or a computed column, may ask whatever it likes.
    let revision = database.sql("CREATE VIEW me AS SELECT auth_uid() AS uid").await.unwrap().revision;
    compare_all(&mut clients, revision, "a view").await;
    assert_eq!(groups(shared).await, 4);
}

#[tokio::test]
async fn a_message_is_looked_at_once_for_all_who_may_read_it() {
    const READERS: usize = 200;
    let database = open_rooms(for_all(), MEMBERS).await;
    let fill = "INSERT INTO member WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 199)
        SELECT 1, 'u' || i FROM c UNION ALL SELECT 2, 'u' || i FROM c WHERE i < 100 UNION ALL SELECT 3, 'u7'";
    database.sql(fill).await.unwrap();
    database
        .sql("INSERT INTO message VALUES (1, 1, 'a', 1), (2, 2, 'b', 2), (3, 3, 'c', 3), (4, 4, 'd', 4)")
        .await
        .unwrap();
    let sql = "SELECT id, room, body FROM message";
    let mut clients = Vec::new();
    for number in 0..READERS {
        let reader = user(&format!("u{number}"));
        let mut client = Client::connect_as(&database, reader.clone()).await;
        client.live(&database, "0", sql).await;
        clients.push((reader, client));
    }
    let steps = [
        // Runs, for one and for all; and how many are told.
        ("INSERT INTO message VALUES (10, 1, 'to all', 5)", [0, 1], 200),
        ("UPDATE message SET body = 'other' WHERE id = 2", [0, 1], 100),
        ("UPDATE message SET room = 1 WHERE id = 2", [0, 1], 200),
        ("UPDATE message SET room = 2 WHERE id = 10", [0, 1], 200),
        ("UPDATE message SET at = 0 WHERE id = 10", [0, 1], 0),
        ("DELETE FROM message WHERE id = 3", [0, 1], 1),
        ("INSERT INTO message VALUES (11, 4, 'to nobody', 6)", [0, 0], 0),
        // Whoever comes to be a member, or is none any more.
        ("INSERT INTO member VALUES (4, 'u5')", [1, 0], 1),
        ("DELETE FROM member WHERE room = 1 AND user IN ('u1', 'u150')", [2, 0], 2),
        ("DELETE FROM message WHERE room = 1", [0, 2], 198),
    ];
    for (write, runs, deltas) in steps {
        let (before, deltas_before) = (told(&database, sql).await.runs, database.engine.metrics().live_deltas.get());
        let revision = database.sql(write).await.unwrap().revision;
        for (reader, client) in &mut clients {
            client.reach(&database, revision).await;
            compare(&database, reader, client, "0", sql, write).await;
        }
        assert_eq!(since(told(&database, sql).await.runs, before), runs, "{write}");
        assert_eq!(database.engine.metrics().live_deltas.get() - deltas_before, deltas, "{write}");
    }
    let report = told(&database, sql).await;
    assert!(report.is_found_by_value && report.is_read_by_parts && report.is_read_for_all);
}

#[tokio::test]
async fn an_ordered_result_is_run_once_for_all_who_show_the_same() {
    const READERS: usize = 60;
    let database = open_rooms(for_all(), MEMBERS).await;
    let fill = "INSERT INTO member WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 59)
        SELECT 1, 'u' || i FROM c UNION ALL SELECT 2, 'u' || i FROM c WHERE i < 20";
    database.sql(fill).await.unwrap();
    database
        .sql("INSERT INTO message VALUES (1, 1, 'a', 1), (2, 2, 'b', 2), (3, 1, 'c', 3), (4, 1, 'd', 4)")
        .await
        .unwrap();
    let (last, all) =
        ("SELECT id, body FROM message ORDER BY id DESC LIMIT 3", "SELECT id, at FROM message ORDER BY at");
    let mut clients = Vec::new();
    for number in 0..READERS {
        let reader = user(&format!("u{number}"));
        let mut client = Client::connect_as(&database, reader.clone()).await;
        client.live(&database, "0", last).await;
        client.live(&database, "1", all).await;
        clients.push((reader, client));
    }
    let steps = [
        // Those who see room 2, too, show something else.
        ("INSERT INTO message VALUES (10, 1, 'new', 10)", [2, 1], [2, 1]),
        ("INSERT INTO message VALUES (11, 2, 'new', 9)", [1, 1], [1, 1]),
        ("UPDATE message SET at = 0 WHERE id = 1", [0, 0], [2, 1]),
        // What comes for it may not be the same for all.
        ("DELETE FROM message WHERE id = 10", [60, 1], [2, 1]),
    ];
    for (write, of_last, of_all) in steps {
        let before = [told(&database, last).await.runs, told(&database, all).await.runs];
        let revision = database.sql(write).await.unwrap().revision;
        for (reader, client) in &mut clients {
            client.reach(&database, revision).await;
            compare(&database, reader, client, "0", last, write).await;
            compare(&database, reader, client, "1", all, write).await;
        }
        let of_now = since(told(&database, last).await.runs, before[0]);
        // A few of those that must be run are tried by parts before.
        assert!(of_now == of_last || of_last[0] == 60 && of_now[0] >= 60, "{write}: {of_now:?}");
        assert_eq!(since(told(&database, all).await.runs, before[1]), of_all, "{write}");
    }
}

#[tokio::test]
async fn whatever_members_and_policies_become_each_reader_sees_what_is_theirs() {
    for part_micros in [5, 0] {
        let limits = Limits { live_part_micros: part_micros, ..Limits::default() };
        let database = Database::with_limits(limits);
        for sql in ODD_ROOMS {
            database.sql(sql).await.unwrap();
        }
        let of_t = [
            "EXISTS (SELECT 1 FROM m WHERE m.room = t.room AND m.user = auth.uid())",
            "room IN (SELECT room FROM m WHERE user = auth.uid() AND level > 1)",
            "owner = auth.uid()",
            "EXISTS (SELECT * FROM m AS x WHERE x.room IS t.room AND x.user = auth.uid() AND x.level = auth.claim('level')) AND n <> 3",
            "owner = auth.uid() OR EXISTS (SELECT 1 FROM m WHERE user = auth.uid() AND level = n)",
            "NOT EXISTS (SELECT 1 FROM m WHERE m.room = t.room AND user = auth.uid())",
            "n > (SELECT count(*) FROM t)",
            "auth.role() = 'user' AND n IS NOT NULL",
        ];
        let of_keyed = "EXISTS (SELECT 1 FROM m2 WHERE m2.room = keyed.room AND m2.user = auth.uid())";
        keep(&database, json!({"name": "t", "table": "t", "action": "select", "using": of_t[0]})).await;
        keep(&database, json!({"name": "k", "table": "keyed", "action": "select", "using": of_keyed})).await;
        let readers = odd_readers();
        let queries = [
            "SELECT * FROM t",
            "SELECT id, n FROM t WHERE n > 1",
            "SELECT n, id AS x FROM t AS y WHERE y.room = 1",
            "SELECT id, room FROM t ORDER BY n, id",
            "SELECT id FROM t ORDER BY n DESC LIMIT 3",
            "SELECT n, count(*) FROM t GROUP BY n",
            "SELECT id, auth.uid() AS me FROM t",
            "SELECT room FROM t",
            "SELECT * FROM keyed",
            "SELECT k, n FROM keyed WHERE n IN (1, 2) OR k = 'a'",
        ];
        let mut clients = Vec::new();
        for reader in &readers {
            let mut client = Client::connect_as(&database, reader.clone()).await;
            for (index, sql) in queries.iter().enumerate() {
                client.live(&database, &index.to_string(), sql).await;
            }
            let wanted = |room: Json| Wanted::Query {
                sql: "SELECT id, room FROM t WHERE room = ?1".into(),
                params: serde_json::from_value::<Params>(json!([room])).unwrap(),
                since: None,
            };
            client.subscribe(&database, "p", wanted(json!(1)));
            client.subscribe(&database, "q", wanted(json!("b")));
            clients.push(client);
        }
        let mut state = 7 + part_micros;
        let values = ["'a'", "'A'", "'b'", "1", "'1'", "1.0", "2", "NULL", "x'61'", "2.5"];
        let mut pick = |list: &[&str]| list[next(&mut state, list.len() as u64) as usize].to_owned();
        let kinds: Vec<String> = (0..14).map(|kind| kind.to_string()).collect();
        let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
        let numbers = ["0", "1", "2", "3", "4", "5", "6", "7"];
        for step in 0..220 {
            let (id, n, room, user) = (pick(&numbers), pick(&numbers), pick(&values), pick(&values));
            let sql = match pick(&kinds).as_str() {
                "0" | "1" | "2" => format!("INSERT OR REPLACE INTO t VALUES ({id}, {room}, {user}, {n})"),
                "3" => format!("UPDATE t SET room = {room} WHERE id = {id}"),
                "4" => format!("UPDATE OR REPLACE t SET id = {id}, n = {n} WHERE owner = {user}"),
                "5" => format!("DELETE FROM t WHERE id = {id}"),
                "6" => format!("UPDATE t SET n = {n} WHERE id < {id}"),
                "7" | "8" => format!("INSERT INTO m VALUES ({room}, {user}, {n})"),
                "9" => format!("DELETE FROM m WHERE room = {room} OR level = {n}"),
                "10" => format!(
                    "UPDATE m SET user = {user} WHERE level = {n}; DELETE FROM t WHERE id = {id}; INSERT INTO t VALUES ({id}, {room}, {user}, {n})"
                ),
                "11" => format!("INSERT OR REPLACE INTO keyed VALUES ({user}, {n}, {room})"),
                "12" => format!("INSERT INTO m2 VALUES ({n}, {user}); UPDATE keyed SET room = {n} WHERE k = {room}"),
                _ => format!("DELETE FROM m2 WHERE room = {n}; DELETE FROM keyed WHERE room = {id}"),
            };
            let revision = if step % 30 == 29 {
                let using = of_t[next(&mut (step as u64 * 77), of_t.len() as u64) as usize];
                let columns = if step % 60 == 29 { json!(["id", "n", "room"]) } else { json!(null) };
                let name = if step % 90 == 29 { "second" } else { "t" };
                keep(
                    &database,
                    json!({"name": name, "table": "t", "action": "select", "using": using, "columns": columns}),
                )
                .await
            } else {
                database.sql(&sql).await.unwrap().revision
            };
            for (reader, client) in readers.iter().zip(&mut clients) {
                client.reach(&database, revision).await;
                for (index, query) in queries.iter().enumerate() {
                    compare(&database, reader, client, &index.to_string(), query, &sql).await;
                }
                compare(&database, reader, client, "p", "SELECT id, room FROM t WHERE room = 1", &sql).await;
                compare(&database, reader, client, "q", "SELECT id, room FROM t WHERE room = 'b'", &sql).await;
            }
        }
    }
}
