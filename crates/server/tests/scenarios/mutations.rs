//! What clients wrote while they were away: each of it once, in its order, and refused where policies say so.

use super::callers::{allow, token};
use super::people::{open_server, sign_up};
use crate::server::Server;
use crate::server::http::Request;
use crate::server::socket::Socket;
use serde_json::{Value as Json, json};

async fn start() -> (Server, Socket) {
    let server = Server::start().await;
    server.sql("CREATE TABLE todo (id TEXT PRIMARY KEY, title TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0 CHECK (done IN (0, 1)), owner TEXT)").await;
    let socket = server.live().await;
    (server, socket)
}

fn frame(id: i64, client: &str, mutations: Json) -> Json {
    json!({"id": id, "action": "mutate", "client_id": client, "mutations": mutations})
}

async fn mutate(socket: &mut Socket, id: i64, mutations: Json) -> Json {
    let answer = socket.ask(frame(id, "phone", mutations)).await;
    assert!(answer["result"].is_array(), "{answer}");
    answer["result"].clone()
}

fn insert(number: i64, id: &str, title: Json) -> Json {
    json!({"mutation_id": number, "table": "todo", "op": "insert", "values": {"id": id, "title": title}})
}

#[tokio::test]
async fn each_is_carried_out_in_order_and_once_however_often_it_is_sent() {
    let (server, mut socket) = start().await;
    let sent = json!([
        insert(1, "a", json!("milk")),
        {"mutation_id": 2, "table": "todo", "op": "update", "key": {"id": "a"}, "values": {"done": 1}},
        {"mutation_id": 4, "table": "todo", "op": "upsert", "values": {"id": "a", "title": "oat milk"}},
        {"mutation_id": 5, "table": "todo", "op": "upsert", "values": {"id": "b", "title": "bread"}},
        {"mutation_id": 6, "sql": "UPDATE todo SET title = title || '!' WHERE id = ?", "params": ["b"]},
        {"mutation_id": 7, "transaction": [{"sql": "INSERT INTO todo (id, title) VALUES ('c', 'c')"}, {"sql": "DELETE FROM todo WHERE id = 'c'"}]},
        {"mutation_id": 8, "writes": [{"op": "set", "path": "rooms/r1", "data": {"n": 1}}, {"op": "merge", "path": "rooms/r1", "data": {"n": {"$increment": 1}}}]},
    ]);
    let first = mutate(&mut socket, 1, sent.clone()).await;
    for (index, number) in [1, 2, 4, 5, 6, 7, 8].into_iter().enumerate() {
        assert_eq!(first[index]["mutation_id"], number);
        assert!(first[index]["applied"].is_i64(), "{first}");
    }
    let revision = first[6]["applied"].as_i64().unwrap();
    assert_eq!(mutate(&mut socket, 2, sent.clone()).await, first, "sent again, on the same socket");
    let server = server.crash_and_restart().await;
    let mut socket = server.live().await;
    assert_eq!(mutate(&mut socket, 1, sent).await, first, "sent again, after a crash");
    let rows = server.sql("SELECT id, title, done FROM todo ORDER BY id").await;
    assert_eq!(rows, json!([{"id": "a", "title": "oat milk", "done": 1}, {"id": "b", "title": "bread!", "done": 0}]));
    assert_eq!(server.sql("SELECT data ->> '$.n' AS n FROM rooms").await, json!([{"n": 2}]));
    let last = mutate(&mut socket, 2, json!([insert(9, "d", json!("d"))])).await;
    assert_eq!(last[0]["applied"], revision + 1, "nothing was written in between");
}

#[tokio::test]
async fn a_refused_one_stays_refused_and_holds_up_none_behind_it() {
    let (server, mut socket) = start().await;
    let sent = json!([
        insert(1, "a", Json::Null),
        insert(2, "b", json!("bread")),
        {"mutation_id": 3, "table": "todo", "op": "update", "key": {"id": "b"}, "values": {"done": 7}},
        {"mutation_id": 4, "table": "todo", "op": "update", "key": {"id": "gone"}, "values": {"done": 1}},
        {"mutation_id": 5, "table": "todo", "op": "delete", "key": {"id": "gone"}},
        {"mutation_id": 6, "table": "todo", "op": "update", "key": {"id": "b"}, "values": {"done": 1}},
        {"mutation_id": 7, "sql": "SELEC"},
        {"mutation_id": 8},
        {"mutation_id": 9, "table": "none", "op": "delete", "key": {"id": 1}},
        {"mutation_id": 10, "table": "todo", "op": "update", "key": {"title": "x"}, "values": {"done": 1}},
        {"mutation_id": 11, "table": "todo", "op": "delete", "key": {"id": "b"}, "values": {}},
        {"mutation_id": 12, "table": "todo", "op": "insert", "values": [{"id": "x", "title": "x"}]},
        {"mutation_id": 13, "writes": [{"op": "update", "path": "rooms/none", "data": {"n": 1}}]},
        {"mutation_id": 14, "sql": "ROLLBACK"},
        insert(15, "c", json!("cheese")),
    ]);
    let told = mutate(&mut socket, 1, sent.clone()).await;
    let outcomes: Vec<&str> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|one| if one["applied"].is_i64() { "applied" } else { one["refused"].as_str().unwrap() })
        .collect();
    let expected = [
        "conflict",
        "applied",
        "conflict",
        "not_found",
        "applied",
        "applied",
        "invalid",
        "invalid",
        "not_found",
        "invalid",
        "invalid",
        "invalid",
        "not_found",
        "forbidden",
        "applied",
    ];
    assert_eq!(outcomes, expected, "{told:#}");
    assert_eq!((&told[0]["column"], &told[2]["column"]), (&json!("title"), &json!("done")));
    assert!(told[0]["error"].as_str().unwrap().contains("NOT NULL"), "{told}");
    // What would be fine by now has been refused all the same.
    server.sql("INSERT INTO todo (id, title) VALUES ('gone', 'here')").await;
    assert_eq!(mutate(&mut socket, 2, sent).await, told);
    assert_eq!(server.sql("SELECT done FROM todo WHERE id = 'gone'").await, json!([{"done": 0}]));
}

#[tokio::test]
async fn a_number_serves_one_mutation_of_one_client_of_one_caller() {
    let (server, mut socket) = start().await;
    mutate(&mut socket, 1, json!([insert(1, "a", json!("a"))])).await;
    let other = mutate(&mut socket, 2, json!([insert(1, "b", json!("b"))])).await;
    assert_eq!(other[0]["refused"], "conflict", "{other}");
    let tablet = socket.ask(frame(3, "tablet", json!([insert(1, "b", json!("b"))]))).await;
    assert!(tablet["result"][0]["applied"].is_i64(), "{tablet}");
    allow(&server, json!({"name": "all", "table": "todo", "action": "all", "using": "true"})).await;
    let till = token(&server, json!({})).await;
    let mut caller = Socket::try_open(server.address, "/ws", till["token"].as_str()).await.unwrap();
    let own = mutate(&mut caller, 1, json!([insert(1, "c", json!("c"))])).await;
    assert!(own[0]["applied"].is_i64(), "{own}");
    assert_eq!(server.sql("SELECT count(*) AS n FROM todo").await, json!([{"n": 3}]));
}

#[tokio::test]
async fn a_callers_mutations_are_bound_by_policies() {
    let (server, _) = start().await;
    server.sql("INSERT INTO todo (id, title, owner) VALUES ('theirs', 'x', 'bob')").await;
    allow(
        &server,
        json!({"name": "own", "table": "todo", "action": "all", "role": "client", "using": "owner = auth.claim('name')"}),
    )
    .await;
    let alice = token(&server, json!({"name": "alice"})).await;
    let mut socket = Socket::try_open(server.address, "/ws", alice["token"].as_str()).await.unwrap();
    let told = mutate(
        &mut socket,
        1,
        json!([
            {"mutation_id": 1, "table": "todo", "op": "insert", "values": {"id": "a", "title": "mine", "owner": "alice"}},
            {"mutation_id": 2, "table": "todo", "op": "insert", "values": {"id": "b", "title": "not mine", "owner": "bob"}},
            {"mutation_id": 3, "table": "todo", "op": "update", "key": {"id": "theirs"}, "values": {"title": "mine now"}},
            {"mutation_id": 4, "table": "todo", "op": "update", "key": {"id": "none"}, "values": {"title": "mine now"}},
            {"mutation_id": 5, "table": "todo", "op": "delete", "key": {"id": "theirs"}},
            {"mutation_id": 6, "table": "secret", "op": "delete", "key": {"id": "theirs"}},
            {"mutation_id": 7, "sql": "UPDATE todo SET title = 'x'"},
            {"mutation_id": 8, "sql": "DROP TABLE todo"},
        ]),
    )
    .await;
    assert!(told[0]["applied"].is_i64() && told[6]["applied"].is_i64(), "{told}");
    assert_eq!(told[1]["refused"], "forbidden");
    let as_if_missing = |index: usize| told[index].to_string().replace(&format!("\"mutation_id\":{}", index + 1), "");
    assert_eq!(as_if_missing(2), as_if_missing(3), "a hidden row is as one that is not there");
    assert!(told[4]["applied"].is_i64(), "of a hidden row, too, it is not told whether it was there: {told}");
    assert_eq!((&told[5]["refused"], &told[7]["refused"]), (&json!("forbidden"), &json!("forbidden")));
    let rows = server.sql("SELECT id, title FROM todo ORDER BY id").await;
    assert_eq!(rows, json!([{"id": "a", "title": "x"}, {"id": "theirs", "title": "x"}]));
}

#[tokio::test]
async fn one_that_takes_its_transaction_with_it_takes_no_other() {
    let (server, mut socket) = start().await;
    server.sql("CREATE TABLE seat (id TEXT PRIMARY KEY, n INTEGER UNIQUE ON CONFLICT ROLLBACK)").await;
    let seat = |number: i64, n: i64| json!({"mutation_id": number, "table": "seat", "op": "insert", "values": {"id": format!("s{number}"), "n": n}});
    let sent = json!([seat(1, 1), seat(2, 2), seat(3, 3), seat(4, 1), seat(5, 5), seat(6, 2), seat(7, 7)]);
    let told = mutate(&mut socket, 1, sent.clone()).await;
    let is_applied: Vec<bool> = told.as_array().unwrap().iter().map(|one| one["applied"].is_i64()).collect();
    assert_eq!(is_applied, [true, true, true, false, true, false, true], "{told}");
    assert_eq!(mutate(&mut socket, 2, sent).await, told);
    assert_eq!(server.sql("SELECT count(*) AS n FROM seat").await, json!([{"n": 5}]));
}

#[tokio::test]
async fn what_was_carried_out_is_told_so_though_it_could_not_be_understood_any_more() {
    let (server, mut socket) = start().await;
    let sent =
        json!([insert(1, "a", json!("a")), {"mutation_id": 2, "table": "later", "op": "insert", "values": {"id": 1}}]);
    let told = mutate(&mut socket, 1, sent.clone()).await;
    assert_eq!((told[0]["applied"].is_i64(), &told[1]["refused"]), (true, &json!("not_found")), "{told}");
    server.sql("ALTER TABLE todo RENAME COLUMN title TO text").await;
    server.sql("CREATE TABLE later (id INTEGER PRIMARY KEY)").await;
    assert_eq!(mutate(&mut socket, 2, sent).await, told);
    assert_eq!(server.sql("SELECT count(*) AS n FROM later").await, json!([{"n": 0}]));
}

#[tokio::test]
async fn of_a_mutation_little_is_kept() {
    let (server, mut socket) = start().await;
    let long = json!([{"mutation_id": 1, "sql": "SELECT printf('%.*c', 100000, 'x')"}]);
    let told = mutate(&mut socket, 1, long.clone()).await;
    assert_eq!(mutate(&mut socket, 2, long).await, told);
    assert_eq!(server.sql("SELECT sum(length(body)) AS n FROM _tide_mutations").await, json!([{"n": 0}]));
}

#[tokio::test]
async fn what_somebody_else_has_written_is_not_carried_out_under_the_next_name() {
    let server = open_server(&[]).await;
    server.sql("CREATE TABLE todo (id TEXT PRIMARY KEY, title TEXT, owner TEXT DEFAULT (auth_uid()))").await;
    allow(&server, json!({"name": "own", "table": "todo", "action": "all", "using": "owner = auth.uid()"})).await;
    let (ann, bob) = (sign_up(&server, "ann@example.org").await, sign_up(&server, "bob@example.org").await);
    let mut socket = Socket::try_open(server.address, "/ws", bob["access_token"].as_str()).await.unwrap();
    let mut sent = frame(1, "tablet", json!([insert(1, "a", json!("Ann's"))]));
    sent["uid"] = ann["user"]["id"].clone();
    assert_eq!(socket.ask(sent.clone()).await["code"], "forbidden");
    assert_eq!(server.sql("SELECT count(*) AS n FROM todo").await, json!([{"n": 0}]));
    sent["uid"] = bob["user"]["id"].clone();
    assert!(socket.ask(sent).await["result"][0]["applied"].is_i64());
}

#[tokio::test]
async fn what_a_client_knows_of_is_kept_no_longer() {
    let (server, mut socket) = start().await;
    mutate(&mut socket, 1, json!([insert(1, "a", json!("a")), insert(2, "b", json!("b"))])).await;
    let kept = "SELECT number FROM _tide_mutations ORDER BY number";
    assert_eq!(server.sql(kept).await, json!([{"number": 1}, {"number": 2}]));
    let mut more = frame(2, "phone", json!([insert(3, "c", json!("c"))]));
    more["acknowledged"] = json!(2);
    assert!(socket.ask(more).await["result"][0]["applied"].is_i64());
    assert_eq!(server.sql(kept).await, json!([{"number": 2}, {"number": 3}]), "the last one tells how far it has come");
    let forgotten = mutate(&mut socket, 3, json!([insert(1, "a2", json!("a"))])).await;
    assert_eq!(forgotten[0]["refused"], "conflict", "by a page that has slept meanwhile: {forgotten}");
    assert_eq!(server.sql("SELECT count(*) AS n FROM todo").await, json!([{"n": 3}]));
}

#[tokio::test]
async fn what_cannot_be_carried_out_for_now_is_not_refused_and_those_before_it_are_told() {
    let (server, mut socket) = start().await;
    // The last number there is: to SQLite the same as a full disk.
    server.sql("CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, what); INSERT INTO log VALUES (9223372036854775807, 'last')").await;
    let sent = json!([
        insert(1, "a", json!("a")),
        {"mutation_id": 2, "table": "log", "op": "insert", "values": {"what": "more"}},
        insert(3, "c", json!("c")),
    ]);
    let told = mutate(&mut socket, 1, sent.clone()).await;
    assert_eq!((told.as_array().unwrap().len(), told[0]["applied"].is_i64()), (1, true), "{told}");
    let alone = socket.ask(frame(2, "phone", json!([sent[1], sent[2]]))).await;
    assert_eq!((&alone["type"], &alone["code"]), (&json!("error"), &json!("unavailable")), "{alone}");
    server.sql("DELETE FROM log; UPDATE sqlite_sequence SET seq = 0").await;
    let again = mutate(&mut socket, 3, sent).await;
    assert_eq!(again[0], told[0]);
    assert!(again[1]["applied"].is_i64() && again[2]["applied"].is_i64(), "{again}");
}

#[tokio::test]
async fn what_is_kept_for_one_caller_has_a_bound_and_acknowledging_makes_room() {
    let server = Server::start_with(&["kept_mutations_max=4"]).await;
    server.sql("CREATE TABLE todo (id TEXT PRIMARY KEY, title TEXT)").await;
    allow(&server, json!({"name": "all", "table": "todo", "action": "all", "using": "true"})).await;
    let mut socket = server.live().await;
    let three: Vec<Json> = (1..=3).map(|number| insert(number, &format!("p{number}"), json!("x"))).collect();
    assert_eq!(mutate(&mut socket, 1, json!(three)).await.as_array().unwrap().len(), 3);
    // Another client of the same caller: one finds room, and is told.
    let tablet = json!([insert(1, "t1", json!("x")), insert(2, "t2", json!("x"))]);
    let told = socket.ask(frame(2, "tablet", tablet.clone())).await;
    assert_eq!(told["result"].as_array().unwrap().len(), 1, "{told}");
    let full = socket.ask(frame(3, "tablet", json!([tablet[1]]))).await;
    assert_eq!(full["code"], "too_many", "{full}");
    assert!(full["error"].as_str().unwrap().contains("acknowledged"), "{full}");
    // What is kept is answered all the same, and others have room of their own.
    assert!(socket.ask(frame(4, "tablet", json!([tablet[0]]))).await["result"][0]["applied"].is_i64());
    let till = token(&server, json!({})).await;
    let mut other = Socket::try_open(server.address, "/ws", till["token"].as_str()).await.unwrap();
    assert!(mutate(&mut other, 1, json!([insert(1, "o1", json!("x"))])).await[0]["applied"].is_i64());
    let home = std::sync::Arc::clone(&server.home);
    assert!(server.stop().await.0.success());
    let server = home.start_with(&["kept_mutations_max=4"]).await;
    let mut socket = server.live().await;
    assert_eq!(socket.ask(frame(1, "tablet", json!([tablet[1]]))).await["code"], "too_many", "after a restart too");
    let mut more = frame(2, "phone", json!([insert(4, "p4", json!("x"))]));
    more["acknowledged"] = json!(3);
    assert!(socket.ask(more).await["result"][0]["applied"].is_i64());
    assert!(socket.ask(frame(3, "tablet", json!([tablet[1]]))).await["result"][0]["applied"].is_i64());
}

#[tokio::test]
async fn what_is_too_old_is_forgotten_as_fast_as_it_can_be_written() {
    let (server, mut socket) = start().await;
    mutate(&mut socket, 1, json!([insert(1, "a", json!("a"))])).await;
    let home = std::sync::Arc::clone(&server.home);
    assert!(server.stop().await.0.success());
    home.outside()
        .execute_batch(
            "INSERT INTO _tide_mutations (client, number, fingerprint, time, revision, body) WITH RECURSIVE n(i) AS
             (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) SELECT 'x/' || i, 1, x'', i, 1, x'' FROM n",
        )
        .unwrap();
    let server = home.start().await;
    let left = async {
        loop {
            let kept = server.sql("SELECT count(*) AS n FROM _tide_mutations").await;
            if kept == json!([{"n": 1}]) {
                return;
            }
        }
    };
    crate::server::within("the old ones to be forgotten", left).await;
}

#[tokio::test]
async fn one_socket_with_thousands_of_writes_holds_up_no_other() {
    let (server, mut socket) = start().await;
    let mut sent = 0;
    for id in 0..10 {
        let numbers = sent + 1..=sent + 500;
        sent += 500;
        let mutations: Vec<Json> = numbers.map(|number| insert(number, &format!("p{number}"), json!("x"))).collect();
        socket.send(frame(id, "phone", json!(mutations))).await;
    }
    // Of what stands in line only a few are with the writer at once, so that others come between.
    let mut other = server.live().await;
    let between = other
        .ask(json!({"id": 1, "action": "query", "sql": "INSERT INTO todo (id, title) VALUES ('other', 'x')"}))
        .await;
    let between = between["revision"].as_i64().unwrap_or_else(|| panic!("{between}"));
    for id in 0..10 {
        let told = socket.answer(id).await;
        let applied: Vec<i64> =
            told["result"].as_array().unwrap().iter().map(|one| one["applied"].as_i64().unwrap()).collect();
        assert_eq!(applied.len(), 500);
        assert!(applied.is_sorted(), "in their order");
        if id == 9 {
            assert!(between < applied[499], "the other came before the last: {between}, {}", applied[499]);
        }
    }
    assert_eq!(server.sql("SELECT count(*) AS n FROM todo").await, json!([{"n": 5001}]));
}

#[tokio::test]
async fn the_audit_log_tells_which_token_of_the_administrators_has_changed_the_schema_by_a_mutation() {
    let (server, _) = start().await;
    let made = Request::post("/auth/tokens", json!({"name": "deploy", "role": "admin"}));
    let deploy = server.send(made).await.result();
    let mut socket = Socket::try_open(server.address, "/ws", deploy["token"].as_str()).await.unwrap();
    let told = mutate(&mut socket, 1, json!([{"mutation_id": 1, "sql": "CREATE TABLE later (id INTEGER)"}])).await;
    assert!(told[0]["applied"].is_i64(), "{told}");
    let audited = server.sql("SELECT who FROM _tide_audit WHERE detail LIKE '%later%'").await;
    assert_eq!(audited, json!([{"who": format!("admin {}", deploy["id"].as_str().unwrap())}]));
}

#[tokio::test]
async fn a_frame_that_is_wrong_carries_out_nothing() {
    let (server, mut socket) = start().await;
    let many: Vec<Json> = (1..=501).map(|number| insert(number, "a", json!("a"))).collect();
    for (wrong, code) in [
        (json!({"mutations": []}), "invalid"),
        (json!({"client_id": "", "mutations": []}), "invalid"),
        (json!({"client_id": "x".repeat(65), "mutations": []}), "invalid"),
        (json!({"client_id": "phone"}), "invalid"),
        (json!({"client_id": "phone", "mutations": {}}), "invalid"),
        (json!({"client_id": "phone", "mutations": [1]}), "invalid"),
        (json!({"client_id": "phone", "mutations": [insert(0, "a", json!("a"))]}), "invalid"),
        (
            json!({"client_id": "phone", "mutations": [insert(2, "a", json!("a")), insert(2, "b", json!("b"))]}),
            "invalid",
        ),
        (json!({"client_id": "phone", "acknowledged": 5, "mutations": [insert(5, "a", json!("a"))]}), "invalid"),
        (json!({"client_id": "phone", "mutations": many}), "too_large"),
    ] {
        let mut frame = wrong;
        frame["id"] = json!(1);
        frame["action"] = json!("mutate");
        let answer = socket.ask(frame.clone()).await;
        assert_eq!(answer["code"], code, "{frame}: {answer}");
    }
    let empty = mutate(&mut socket, 2, json!([])).await;
    assert_eq!(empty, json!([]));
    assert_eq!(server.sql("SELECT count(*) AS n FROM todo").await, json!([{"n": 0}]));
}

#[tokio::test]
async fn first_rows_say_which_rows_of_a_table_they_are() {
    let (server, mut socket) = start().await;
    server.sql("CREATE TABLE other (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE)").await;
    let base = |frame: &Json| frame.get("base").cloned().unwrap_or(Json::Null);
    let all = json!({"table": "todo", "key": ["id"], "columns": ["id", "title", "done", "owner"]});
    for (id, (sql, expected)) in [
        ("SELECT * FROM todo", json!({"where": []})),
        (
            "SELECT * FROM todo WHERE done = 0 ORDER BY title DESC, id",
            json!({"where": [["done", "=", 0]], "order": [[1, true], [0, false]]}),
        ),
        (
            "SELECT * FROM todo AS x WHERE x.owner IS NULL AND done IN (0, 1) ORDER BY x.title LIMIT 3",
            json!({"where": [["owner", "is", null], ["done", "=", 0, 1]], "order": [[1, false]], "limit": 3}),
        ),
        ("SELECT * FROM todo WHERE done = 0 OR title = 'x'", json!({})),
        ("SELECT * FROM todo WHERE title > 'x' ORDER BY id", json!({"order": [[0, false]]})),
        ("SELECT * FROM todo LIMIT 3", json!({})),
        ("SELECT * FROM todo WHERE done = 0 ORDER BY title LIMIT 3 OFFSET 1", json!({"order": [[1, false]]})),
        ("SELECT * FROM todo WHERE done = 0 ORDER BY length(title)", json!({"where": [["done", "=", 0]]})),
    ]
    .into_iter()
    .enumerate()
    {
        let mut whole = all.clone();
        for (name, value) in expected.as_object().unwrap() {
            whole[name] = value.clone();
        }
        assert_eq!(base(&socket.subscribe(id as i64 + 1, sql).await), whole, "{sql}");
    }
    let unbounded = base(&socket.ask(json!({"id": 49, "action": "subscribe", "sql": "SELECT * FROM todo ORDER BY id LIMIT ?", "params": [-1]})).await);
    assert_eq!(unbounded["limit"], Json::Null, "a negative limit is none: {unbounded}");
    let named = base(&socket.subscribe(50, "SELECT id AS k, upper(title) AS t FROM todo").await);
    assert_eq!(named["columns"], json!(["id", null]));
    let nocase = base(&socket.subscribe(51, "SELECT * FROM other WHERE name = 'x' ORDER BY name").await);
    assert_eq!(nocase, json!({"table": "other", "key": ["id"], "columns": ["id", "name"]}));
    for (id, sql) in [
        "SELECT title FROM todo",
        "SELECT DISTINCT id FROM todo",
        "SELECT id, count(*) FROM todo",
        "SELECT id FROM todo GROUP BY id",
        "SELECT todo.id FROM todo JOIN other ON other.name = todo.title",
        "SELECT id FROM todo WHERE title IN (SELECT name FROM other)",
        "SELECT id, row_number() OVER () FROM todo",
        "SELECT id FROM todo UNION SELECT id FROM other",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(base(&socket.subscribe(100 + id as i64, sql).await), Json::Null, "{sql}");
    }
    allow(&server, json!({"name": "own", "table": "todo", "action": "select", "role": "client", "using": "owner = auth.claim('name')"})).await;
    let alice = token(&server, json!({"name": "alice"})).await;
    let mut caller = Socket::try_open(server.address, "/ws", alice["token"].as_str()).await.unwrap();
    let own = base(&caller.subscribe(1, "SELECT id, title FROM todo WHERE done = 0 ORDER BY title").await);
    assert_eq!(
        own,
        json!({"table": "todo", "key": ["id"], "columns": ["id", "title"], "where": [["done", "=", 0]], "order": [[1, false]]})
    );
}
