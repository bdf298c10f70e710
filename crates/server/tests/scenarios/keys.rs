//! Keys: the Go real-time database's contract, kept in a table, and what it lacked.

use crate::server::http::{Answer, Request};
use crate::server::{Home, Server, TOKEN};
use serde_json::{Value as Json, json};
use std::process::Command;

impl Server {
    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path)).await
    }

    async fn set(&self, key: &str, body: Json) -> Answer {
        self.send(Request::post(format!("/data/{key}"), body)).await
    }
}

#[tokio::test]
async fn the_examples_of_the_go_databases_page_work() {
    let server = Server::start().await;
    server.get("/data/temperature").await.is_refused(404, "not_found", "temperature");
    let set = server.set("temperature", json!({ "value": 22.5 })).await;
    assert_eq!(set.status, 200);
    let got = server.get("/data/temperature").await;
    let expected = json!({ "key": "temperature", "value": 22.5, "revision": set.revision() });
    assert_eq!((got.json(), set.json()), (expected.clone(), expected));

    let mut socket = server.live().await;
    socket.send(json!({ "action": "subscribe", "key": "temperature" })).await;
    let now = socket.next().await;
    assert_eq!((&now["key"], &now["value"]), (&json!("temperature"), &json!(22.5)));
    assert!(now["type"] == "key" && now.get("id").is_none(), "{now}");
    server.set("pressure", json!({ "value": 1 })).await;
    let set = server.set("temperature", json!({ "value": 23 })).await;
    let told = socket.next().await;
    assert_eq!((&told["value"], &told["revision"]), (&json!(23), &json!(set.revision())));

    let deleted = server.send(Request::new("DELETE", "/data/temperature")).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let told = socket.next().await;
    assert_eq!((&told["value"], &told["deleted"]), (&json!(null), &json!(true)), "{told}");
    server.get("/data/temperature").await.is_refused(404, "not_found", "temperature");
    server.send(Request::new("DELETE", "/data/temperature")).await.is_refused(404, "not_found", "temperature");
}

#[tokio::test]
async fn any_json_is_a_value_and_comes_back_as_it_was() {
    let server = Server::start().await;
    for value in [json!(null), json!(false), json!("text \u{1f30a}"), json!([1, [2]]), json!({ "a": { "b": "c" } })] {
        let set = server.send(Request::new("PUT", "/data/any").json(json!({ "value": value }))).await;
        assert_eq!((set.status, &set.json()["value"]), (200, &value), "{}", set.text());
        assert_eq!(server.get("/data/any").await.json()["value"], value);
    }
    let exact = Request::post("/data/any", json!(null)).body(r#"{"value": [12345678901234567890123, 1.10]}"#);
    server.send(exact).await;
    let text = String::from_utf8(server.get("/data/any").await.body).unwrap();
    assert!(text.contains("[12345678901234567890123, 1.10]"), "{text}");
    for body in [json!({}), json!([]), json!({ "value": 1, "tll": 5 }), json!({ "value": 1, "ttl": "soon" })] {
        server.set("any", body).await.is_refused(400, "invalid", "");
    }
    let broken = server.send(Request::post("/data/any", json!(null)).body("{\"value\":")).await;
    broken.is_refused(400, "invalid", "JSON");
}

#[tokio::test]
async fn keys_with_slashes_spaces_and_other_letters_are_keys() {
    let server = Server::start().await;
    for (path, key) in [("rooms/1/temperature", "rooms/1/temperature"), ("a%20b", "a b"), ("gr%C3%BC%C3%9Fe", "grüße")]
    {
        assert_eq!(server.set(path, json!({ "value": 1 })).await.json()["key"], key);
        assert_eq!(server.get(&format!("/data/{path}")).await.json()["key"], key);
    }
    let long = "k".repeat(1025);
    server.set(&long, json!({ "value": 1 })).await.is_refused(413, "too_large", "1024");
    let large = json!({ "value": "x".repeat(1 << 20) });
    server.set("large", large).await.is_refused(413, "too_large", "");
}

#[tokio::test]
async fn a_write_may_depend_on_the_revision() {
    let server = Server::start().await;
    let first = server.set("k", json!({ "value": 1, "if_revision": 0 })).await;
    assert_eq!(first.status, 200, "0 means that it must not exist: {}", first.text());
    let refused = server.set("k", json!({ "value": 2, "if_revision": 0 })).await;
    refused.is_refused(409, "conflict", "if_revision");
    let second = server.set("k", json!({ "value": 2, "if_revision": first.revision() })).await;
    assert_eq!(second.status, 200);
    // Every write by any path gives the row a new revision.
    server.sql("UPDATE kv SET value = '3' WHERE key = 'k'").await;
    let refused = server.set("k", json!({ "value": 4, "if_revision": second.revision() })).await;
    refused.is_refused(409, "conflict", "if_revision");
    let now = server.get("/data/k").await.json();
    assert_eq!(now["value"], 3);
    let path = |revision: &Json| format!("/data/k?if_revision={revision}");
    let refused = server.send(Request::new("DELETE", path(&json!(1)))).await;
    refused.is_refused(409, "conflict", "if_revision");
    assert_eq!(server.send(Request::new("DELETE", path(&now["revision"]))).await.status, 200);
}

#[tokio::test]
async fn of_many_who_saw_the_same_revision_one_writes() {
    let server = Server::start().await;
    let revision = server.set("k", json!({ "value": 0 })).await.revision();
    let write = |value: i64| server.set("k", json!({ "value": value, "if_revision": revision }));
    let answers = futures_util::future::join_all((1..=10).map(write)).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), 9);
}

#[tokio::test]
async fn a_key_written_by_sql_is_told_with_a_new_revision() {
    let server = Server::start().await;
    let set = server.set("k", json!({ "value": 1 })).await;
    let mut socket = server.live().await;
    let now = socket.ask(json!({ "id": "k", "action": "subscribe", "key": "k" })).await;
    assert_eq!(now["revision"], set.revision());
    let revision = server.write("UPDATE kv SET value = json('{\"by\": \"SQL\"}') WHERE key = 'k'").await;
    let told = socket.answer("k").await;
    assert_eq!((&told["value"], &told["revision"]), (&json!({ "by": "SQL" }), &json!(revision)));
    assert_eq!(server.get("/data/k").await.json()["revision"], revision);
    assert_eq!(server.sql("SELECT value FROM kv WHERE key = 'k'").await, json!([{ "value": "{\"by\":\"SQL\"}" }]));

    server.home.outside().execute("UPDATE kv SET value = '\"outside\"' WHERE key = 'k'", []).unwrap();
    let told = socket.answer("k").await;
    assert_eq!(told["value"], "outside");
    assert!(told["revision"].as_i64().unwrap() > revision, "{told}");
    let refused = server.set("k", json!({ "value": 1, "if_revision": revision })).await;
    refused.is_refused(409, "conflict", "if_revision");
    server.write("DELETE FROM kv").await;
    assert_eq!(socket.answer("k").await["deleted"], true);
    let ended = socket.ask(json!({ "id": "end", "action": "unsubscribe", "sub": "k" })).await;
    assert_eq!(ended["type"], "result");
    server.set("k", json!({ "value": "unheard" })).await;
    socket.still_serves().await;
    assert!(!format!("{:?}", socket.seen).contains("unheard"));
}

#[tokio::test]
async fn a_key_lives_as_long_as_it_was_given() {
    let server = Server::start().await;
    let mut socket = server.live().await;
    socket.ask(json!({ "id": "k", "action": "subscribe", "key": "k" })).await;
    let set = server.set("k", json!({ "value": "short", "ttl": 0.2 })).await;
    assert_eq!(socket.answer("k").await["value"], "short");
    let told = socket.answer("k").await;
    assert_eq!(told["deleted"], true);
    assert!(told["revision"].as_i64().unwrap() > set.revision(), "it is a write of the server");
    server.get("/data/k").await.is_refused(404, "not_found", "k");
    assert_eq!(server.sql("SELECT count(*) AS n FROM kv").await, json!([{ "n": 0 }]));
    server.set("late", json!({ "value": 1, "ttl": 0.1 })).await;
    let server = server.crash_and_restart().await;
    let mut socket = server.live().await;
    socket.send(json!({ "id": "late", "action": "subscribe", "key": "late" })).await;
    socket.until(|frame| frame["deleted"] == true).await;
    server.set("k", json!({ "value": 1, "ttl": 3600 })).await;
    server.set("k", json!({ "value": 2 })).await;
    let expires = server.sql("SELECT expires FROM kv").await;
    assert_eq!(expires, json!([{ "expires": null }]), "a new value without ttl stays");
    for ttl in [json!(0), json!(-1), json!(1e12)] {
        server.set("k", json!({ "value": 1, "ttl": ttl })).await.is_refused(400, "invalid", "ttl");
    }
}

#[tokio::test]
async fn keys_are_listed_by_prefix_and_page() {
    let server = Server::start().await;
    assert_eq!(server.get("/data").await.json(), json!({ "keys": [], "after": null }));
    for key in ["a/1", "a/2", "a/3", "b/1", "a%25x", "A/1"] {
        server.set(key, json!({ "value": key })).await;
    }
    let names = |answer: &Answer| {
        answer.json()["keys"].as_array().unwrap().iter().map(|entry| entry["key"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&server.get("/data").await), ["A/1", "a%x", "a/1", "a/2", "a/3", "b/1"]);
    assert_eq!(names(&server.get("/data?prefix=a/").await), ["a/1", "a/2", "a/3"]);
    assert_eq!(names(&server.get("/data?prefix=a%25").await), ["a%x"]);
    let first = server.get("/data?prefix=a/&limit=2").await;
    assert_eq!((names(&first), &first.json()["after"]), (vec![json!("a/1"), json!("a/2")], &json!("a/2")));
    let second = server.get("/data?prefix=a/&limit=2&after=a/2").await;
    assert_eq!((names(&second), &second.json()["after"]), (vec![json!("a/3")], &json!(null)));
    assert!(first.json()["keys"][0]["value"] == "a/1" && first.json()["keys"][0]["revision"].is_i64());
    for query in ["limit=0", "limit=1001", "limit=x", "prefx=a"] {
        server.get(&format!("/data?{query}")).await.is_refused(400, "invalid", "");
    }
}

#[tokio::test]
async fn a_number_can_be_counted_up() {
    let server = Server::start().await;
    let increment = async |body| server.set("n/increment", body).await;
    assert_eq!(increment(json!({})).await.json()["value"], 1, "a missing key counts as 0");
    assert_eq!(increment(json!({ "by": 41 })).await.json()["value"], 42);
    assert_eq!(increment(json!({ "by": -2.5 })).await.json()["value"], 39.5);
    let without_body = server.send(Request::new("POST", "/data/n/increment")).await;
    assert_eq!(without_body.json()["value"], 40.5);
    let all = futures_util::future::join_all((0..20).map(|_| server.set("c/increment", json!({})))).await;
    assert!(all.iter().all(|answer| answer.status == 200));
    assert_eq!(server.get("/data/c").await.json()["value"], 20);
    server.set("n", json!({ "value": 9_223_372_036_854_775_807_i64 })).await;
    increment(json!({})).await.is_refused(409, "conflict", "64 bits");
    server.set("n", json!({ "value": "text" })).await;
    increment(json!({})).await.is_refused(409, "conflict", "not a number");
}

#[tokio::test]
async fn a_table_kv_of_someone_elses_is_left_alone() {
    let server = Server::start().await;
    server.sql("CREATE TABLE kv (name, content)").await;
    server.sql("INSERT INTO kv VALUES ('a', 'b')").await;
    server.set("k", json!({ "value": 1 })).await.is_refused(409, "conflict", "kv");
    assert_eq!(server.sql("SELECT * FROM kv").await, json!([{ "name": "a", "content": "b" }]));
    let read = server.get("/data/k").await;
    assert!([404, 409].contains(&read.status), "{}", read.text());
}

#[tokio::test]
async fn the_port_is_taken_from_the_environment() {
    let home = Home::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidebase"));
    command.env_clear().current_dir(home.folder.path());
    // A free one. Hosts that set PORT forward from outside, so every address is listened on.
    command.env("PORT", "0").env("TIDEBASE_ADMIN_TOKEN", TOKEN);
    let server = Server::run(&home, command).await;
    assert!(server.address.ip().is_unspecified());
    assert_eq!(server.set("k", json!({ "value": 1 })).await.status, 200);
    assert!(home.folder.path().join("data/tidebase.db").exists(), "the default file is made in its folder");
}

#[tokio::test]
async fn a_row_that_only_sql_can_make_is_no_key_and_harms_nobody() {
    let server = Server::start().await;
    server.set("good", json!({ "value": 1 })).await;
    server.sql("INSERT INTO kv (key, value) VALUES ('odd', x'31'), ('odder', CAST(x'22ff22' AS TEXT)), (CAST(x'6fff' AS TEXT), '1')").await;
    server.get("/data/odd").await.is_refused(404, "not_found", "odd");
    server.get("/data/odder").await.is_refused(404, "not_found", "odder");
    let listed = server.get("/data?limit=1").await.json();
    assert_eq!((&listed["keys"][0]["key"], &listed["after"]), (&json!("good"), &json!(null)), "{listed}");

    let mut socket = server.live().await;
    for key in ["odd", "good"] {
        socket.send(json!({ "id": key, "action": "subscribe", "key": key })).await;
        assert_eq!(socket.next().await["id"], json!(key));
    }
    let set = server.set("good", json!({ "value": 2 })).await;
    let told = socket.next().await;
    assert_eq!((&told["value"], &told["revision"]), (&json!(2), &json!(set.revision())), "{told}");
    server.set("odd", json!({ "value": 3 })).await;
    assert_eq!(socket.next().await["value"], json!(3));
}

#[tokio::test]
async fn a_trigger_on_keys_may_do_what_its_author_may_and_no_more() {
    let server = Server::start().await;
    server.set("a", json!({ "value": 1 })).await;
    server.sql("CREATE TRIGGER e AFTER UPDATE OF revision ON kv BEGIN UPDATE _tide_meta SET value = '99' WHERE name = 'version'; END").await;
    server.sql("INSERT INTO kv (key, value) VALUES ('b', '1')").await;
    let version = server.sql("SELECT value FROM _tide_meta WHERE name = 'version'").await;
    assert_ne!(version[0]["value"], json!("99"));
    server.sql("DROP TRIGGER e").await;
    // Made and set off in one request.
    let both = "CREATE TRIGGER e AFTER UPDATE OF revision ON kv BEGIN DELETE FROM _tide_meta; END; INSERT INTO kv (key, value) VALUES ('c', '1')";
    server.sql(both).await;
    assert_eq!(server.sql("SELECT value FROM _tide_meta WHERE name = 'version'").await, version);
    server.sql("DROP TRIGGER e").await;
    server.sql("CREATE TRIGGER e AFTER INSERT ON kv BEGIN DELETE FROM _tide_meta; END").await;
    server.set("d", json!({ "value": 1 })).await.is_refused(403, "forbidden", "_tide_meta is kept by Tidebase");
    server.sql("DROP TRIGGER e").await;
    server.sql("CREATE TABLE seen (key); CREATE TRIGGER e AFTER INSERT ON kv BEGIN INSERT INTO seen VALUES (new.key); SELECT RAISE(ABORT, 'not this one') WHERE new.key = 'no'; END").await;
    let set = server.set("yes", json!({ "value": 1 })).await;
    assert_eq!(server.get("/data/yes").await.json()["revision"], json!(set.revision()));
    server.set("no", json!({ "value": 1 })).await.is_refused(409, "conflict", "not this one");
    assert_eq!(server.sql("SELECT key FROM seen").await, json!([{ "key": "yes" }]));
}

const ENDLESS: &str = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r)";

#[tokio::test]
async fn a_trigger_on_keys_that_never_ends_is_ended() {
    let server = Server::start_with(&["write_time_max=300"]).await;
    server.set("a", json!({ "value": 1 })).await;
    let trigger = format!(
        "CREATE TRIGGER s AFTER INSERT ON kv WHEN new.key = 'slow' BEGIN SELECT count(*) FROM ({ENDLESS} SELECT x FROM r); END"
    );
    server.sql(&trigger).await;
    server.set("slow", json!({ "value": 1 })).await.is_refused(504, "timeout", "300 ms");
    assert_eq!(server.set("quick", json!({ "value": 1 })).await.status, 200);
}

#[tokio::test]
async fn a_view_or_a_table_of_another_shape_under_the_name_of_keys_is_left_alone() {
    let server = Server::start().await;
    server
        .sql(&format!(
            "CREATE VIEW kv AS {ENDLESS} SELECT 'a' AS key, '1' AS value, max(x) AS revision, null AS expires FROM r"
        ))
        .await;
    let mut socket = server.live().await;
    socket.send(json!({ "id": 1, "action": "subscribe", "key": "a" })).await;
    let refused = socket.next().await;
    assert_eq!((&refused["id"], &refused["code"]), (&json!(1), &json!("conflict")), "{refused}");
    for answer in [server.get("/data/a").await, server.get("/data").await, server.set("a", json!({ "value": 1 })).await]
    {
        answer.is_refused(409, "conflict", "\"kv\"");
    }
    server.sql("DROP VIEW kv; CREATE TABLE kv (key, value, revision, expires); INSERT INTO kv VALUES ('x', 'not json', 1, null)").await;
    server.get("/data/x").await.is_refused(409, "conflict", "\"kv\"");
}

#[tokio::test]
async fn a_delete_is_repeated_only_for_the_same_condition() {
    let server = Server::start().await;
    let delete = |condition: String| {
        server.send(Request::new("DELETE", format!("/data/k{condition}")).header("Idempotency-Key", "d"))
    };
    let first = server.set("k", json!({ "value": 1 })).await.revision();
    assert_eq!(delete(format!("?if_revision={first}")).await.status, 200);
    let second = server.set("k", json!({ "value": 2 })).await.revision();
    delete(format!("?if_revision={second}")).await.is_refused(409, "conflict", "");
    assert_eq!(server.get("/data/k").await.json()["value"], json!(2));
    server.send(Request::new("DELETE", "/data/k?if_revison=1")).await.is_refused(400, "invalid", "if_revison");
}

#[tokio::test]
async fn a_name_that_cannot_be_a_key_is_refused_everywhere() {
    let server = Server::start().await;
    let long = "k".repeat(1025);
    server.get(&format!("/data/{long}")).await.is_refused(413, "too_large", "1024");
    let mut socket = server.live().await;
    for (key, code) in [(long.as_str(), "too_large"), ("", "invalid")] {
        socket.send(json!({ "id": 1, "action": "subscribe", "key": key })).await;
        assert_eq!(socket.next().await["code"], json!(code));
    }
}

#[tokio::test]
async fn large_values_make_short_pages() {
    let server = Server::start().await;
    let value = "v".repeat(900_000);
    for key in 0..12 {
        server.set(&format!("k{key:02}"), json!({ "value": value })).await;
    }
    let (mut seen, mut after, mut pages) = (0, String::new(), 0);
    loop {
        let page = server.get(&format!("/data?limit=100&after={after}")).await.json();
        seen += page["keys"].as_array().unwrap().len();
        pages += 1;
        match page["after"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((seen, pages), (12, 2));
}
