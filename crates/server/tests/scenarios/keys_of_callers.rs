//! Keys as callers see and write them: what policies on `kv` open, and nothing about the rest.

use super::callers::{allow, bearer, sql, token};
use crate::server::Server;
use crate::server::events::Events;
use crate::server::http::{Answer, Request};
use crate::server::socket::Socket;
use serde_json::{Value as Json, json};

/// Keys under a caller's own name are its own; those under `open/` all may read.
async fn start() -> Server {
    let server = Server::start().await;
    own(&server).await;
    allow(&server, json!({"name": "open", "table": "kv", "action": "select", "using": "key GLOB 'open/*'"})).await;
    for (key, value) in [("alice/1", "hers"), ("bob/1", "hidden"), ("open/1", "open"), ("secret", "hidden")] {
        set(&server, key, json!(value)).await;
    }
    server
}

async fn own(server: &Server) {
    let own = "substr(key, 1, instr(key, '/')) = auth.claim('name') || '/'";
    allow(server, json!({"name": "own", "table": "kv", "action": "all", "using": own})).await;
}

async fn set(server: &Server, key: &str, value: Json) -> i64 {
    let set = server.send(Request::new("PUT", format!("/data/{key}")).json(json!({ "value": value }))).await;
    assert_eq!(set.status, 200, "{}", set.text());
    set.revision()
}

async fn put(server: &Server, token: &Json, key: &str, body: Json) -> Answer {
    server.send(bearer(Request::new("PUT", format!("/data/{key}")).json(body), token)).await
}

async fn get(server: &Server, token: &Json, path: &str) -> Answer {
    server.send(bearer(Request::get(path), token)).await
}

#[tokio::test]
async fn a_caller_reads_and_writes_its_own_keys() {
    let server = start().await;
    let alice = token(&server, json!({"name": "alice"})).await;
    let written = put(&server, &alice, "alice/2", json!({"value": {"a": 1}})).await;
    assert_eq!(written.status, 200, "{}", written.text());
    let revision = written.json()["revision"].as_i64().unwrap();
    assert_eq!(written.revision(), revision);
    assert_eq!(
        get(&server, &alice, "/data/alice/2").await.json(),
        json!({"key": "alice/2", "value": {"a": 1}, "revision": revision})
    );
    // The same value again is a write all the same.
    let again = put(&server, &alice, "alice/2", json!({"value": {"a": 1}, "if_revision": revision, "ttl": 500})).await;
    assert_eq!(again.json()["revision"], json!(revision + 1), "{}", again.text());
    put(&server, &alice, "alice/2", json!({"value": 2, "if_revision": revision})).await.is_refused(
        409,
        "conflict",
        "stands at",
    );
    assert_eq!(
        server.sql("SELECT expires IS NULL AS forever FROM kv WHERE key = 'alice/2'").await,
        json!([{"forever": 0}])
    );
    put(&server, &alice, "alice/2", json!({"value": 2})).await.json();
    assert_eq!(
        server.sql("SELECT expires IS NULL AS forever FROM kv WHERE key = 'alice/2'").await,
        json!([{"forever": 1}])
    );
    for expected in [1, 2] {
        let counted = server.send(bearer(Request::post("/data/alice/n/increment", json!({})), &alice)).await;
        assert_eq!(counted.json()["value"], json!(expected), "{}", counted.text());
    }
    let listed = get(&server, &alice, "/data").await.json();
    let names: Vec<&str> = listed["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap()).collect();
    assert_eq!((names, &listed["after"]), (vec!["alice/1", "alice/2", "alice/n", "open/1"], &json!(null)));
    // Behind the last one she sees there is more, of which nothing is told.
    let last = get(&server, &alice, "/data?after=alice/n&limit=1").await.json();
    assert_eq!((&last["keys"][0]["key"], &last["after"]), (&json!("open/1"), &json!(null)));
    let deleted = server.send(bearer(Request::new("DELETE", "/data/alice/1"), &alice)).await;
    assert_eq!(deleted.json()["deleted"], json!(true), "{}", deleted.text());
    // SQL tells the same.
    let rows = sql(&server, &alice, "SELECT key FROM kv WHERE key GLOB 'alice*' ORDER BY key").await.result();
    assert_eq!(rows, json!([{"key": "alice/2"}, {"key": "alice/n"}]));
    put(&server, &alice, "open/1", json!({"value": 0})).await.is_refused(403, "forbidden", "No policy lets you write");
    server.send(bearer(Request::new("DELETE", "/data/open/1"), &alice)).await.is_refused(403, "forbidden", "");
    put(&server, &alice, "alice/x", json!({"value": 1, "if_revision": 7})).await.is_refused(
        409,
        "conflict",
        "does not exist",
    );
}

#[tokio::test]
async fn without_a_policy_keys_are_closed_whether_there_are_any_or_not() {
    let server = Server::start().await;
    let client = token(&server, json!({})).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let mut answers = Vec::new();
        for request in [
            Request::get("/data/k"),
            Request::get("/data"),
            Request::get("/data?prefix=k&after=a&limit=1"),
            Request::new("PUT", "/data/k").json(json!({"value": 1})),
            Request::new("PUT", "/data/k").json(json!({"value": 1, "if_revision": 0})),
            Request::new("PUT", "/data/k").json(json!({"value": 1, "if_revision": 1})),
            Request::post("/data/k/increment", json!({})),
            Request::new("DELETE", "/data/k"),
        ] {
            let answer = server.send(bearer(request, &client)).await;
            answers.push((answer.status, answer.json().to_string()));
        }
        let mut socket = Socket::try_open(server.address, "/ws", client["token"].as_str()).await.unwrap();
        answers.push((0, socket.ask(json!({"id": 1, "action": "subscribe", "key": "k"})).await.to_string()));
        told.push(answers);
        // No caller has made the table; now there is a key.
        assert_eq!(
            server.sql("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'kv' AND sql LIKE '%json_valid%'").await,
            json!([{"n": i32::from(told.len() > 1)}])
        );
        set(&server, "k", json!(1)).await;
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0][0].0, 403);
    assert!(told[0][8].1.contains("forbidden"), "{}", told[0][8].1);
    // A policy may come before the first key.
    let early = Server::start().await;
    own(&early).await;
    let alice = token(&early, json!({"name": "alice"})).await;
    assert_eq!(put(&early, &alice, "alice/1", json!({"value": 1})).await.status, 200);
}

#[tokio::test]
async fn nothing_a_caller_asks_tells_a_hidden_key_from_one_that_is_not_there() {
    let (with, without) = (start().await, start().await);
    for key in ["alice/hidden", "zed/hidden", "m"] {
        set(&with, key, json!("hidden")).await;
        without.sql("UPDATE kv SET value = value WHERE key = 'bob/1'").await;
    }
    let mut told = Vec::new();
    for server in [&with, &without] {
        // Of Alice's own only those of this policy are shown: one is hidden that she may not write either.
        allow(server, json!({"name": "own", "table": "kv", "action": "all", "using": "key GLOB 'alice/?'"})).await;
        let alice = token(server, json!({"name": "alice"})).await;
        let mut answers = Vec::new();
        for key in ["alice/hidden", "zed/hidden", "m"] {
            for request in [
                Request::get(format!("/data/{key}")),
                Request::get(format!("/data?prefix={key}")),
                Request::get(format!("/data?after={key}&limit=1")),
                Request::get("/data?limit=2"),
                Request::new("DELETE", format!("/data/{key}")),
                Request::new("DELETE", format!("/data/{key}?if_revision=0")),
                Request::new("DELETE", format!("/data/{key}?if_revision=6")),
                Request::new("PUT", format!("/data/{key}")).json(json!({"value": 1})),
                Request::new("PUT", format!("/data/{key}")).json(json!({"value": 1, "ttl": 5})),
                Request::new("PUT", format!("/data/{key}")).json(json!({"value": 1, "if_revision": 0})),
                Request::new("PUT", format!("/data/{key}")).json(json!({"value": 1, "if_revision": 6})),
                Request::post(format!("/data/{key}/increment"), json!({})),
                Request::post(format!("/data/{key}/increment"), json!({"by": 0.5})),
            ] {
                let answer = server.send(bearer(request, &alice)).await;
                answers.push((key, answer.status, answer.json().to_string()));
            }
            let path = format!("/live?key={key}");
            let mut events = Events::open(server.address, bearer(Request::get(path), &alice)).await;
            events.next().await.unwrap();
            let mut frame = events.next().await.unwrap().data;
            frame["revision"] = json!("at");
            answers.push((key, 0, frame.to_string()));
        }
        told.push(answers);
    }
    for (with, without) in told[0].iter().zip(&told[1]) {
        assert_eq!(with, without);
        assert!(!with.2.contains("\"hidden\""), "{with:?}");
    }
    assert_eq!(with.sql("SELECT count(*) AS n FROM kv WHERE value = '\"hidden\"'").await, json!([{"n": 5}]));
}

#[tokio::test]
async fn a_hidden_key_in_the_way_is_refused_like_one_that_may_not_be_written() {
    let server = start().await;
    let anything = json!({"name": "write", "table": "kv", "action": "insert", "check": "key NOT GLOB 'no/*'"});
    allow(&server, anything).await;
    let alice = token(&server, json!({"name": "alice"})).await;
    let refusal = |key: &str| format!("No policy lets you write the key \"{key}\" like this.");
    put(&server, &alice, "no/1", json!({"value": 1})).await.is_refused(403, "forbidden", &refusal("no/1"));
    put(&server, &alice, "secret", json!({"value": 1})).await.is_refused(403, "forbidden", &refusal("secret"));
    let counted = server.send(bearer(Request::post("/data/secret/increment", json!({})), &alice)).await;
    counted.is_refused(403, "forbidden", &refusal("secret"));
    assert_eq!(put(&server, &alice, "new", json!({"value": 1})).await.status, 200);
    get(&server, &alice, "/data/new").await.is_refused(404, "not_found", "");
    assert_eq!(server.sql("SELECT value FROM kv WHERE key = 'secret'").await, json!([{"value": "\"hidden\""}]));
}

#[tokio::test]
async fn an_answer_kept_for_one_caller_is_not_given_to_another() {
    let server = start().await;
    let (alice, other) =
        (token(&server, json!({"name": "alice"})).await, token(&server, json!({"name": "other"})).await);
    let write = |token: &Json| {
        let request = Request::new("PUT", "/data/alice/k").json(json!({"value": "mine"}));
        bearer(request.header("Idempotency-Key", "same"), token)
    };
    assert_eq!(server.send(write(&alice)).await.status, 200);
    server.send(write(&other)).await.is_refused(403, "forbidden", "");
    let again = server.send(write(&alice)).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
}

#[tokio::test]
async fn a_watched_key_comes_and_goes_with_what_its_policies_say() {
    let server = Server::start().await;
    server.sql("CREATE TABLE member (room TEXT, user TEXT)").await;
    let member = "EXISTS (SELECT 1 FROM member WHERE room = kv.key AND user = auth.claim('name'))";
    allow(&server, json!({"name": "members", "table": "kv", "action": "select", "using": member})).await;
    set(&server, "room/1", json!("hidden")).await;
    let alice = token(&server, json!({"name": "alice"})).await;
    let mut socket = Socket::try_open(server.address, "/ws", alice["token"].as_str()).await.unwrap();
    let first = socket.ask(json!({"id": "k", "action": "subscribe", "key": "room/1"})).await;
    assert_eq!((&first["deleted"], &first["value"]), (&json!(true), &json!(null)), "{first}");
    // What the policy asks changes: the key comes into sight, with the revision at which it stands.
    let stands_at = set(&server, "room/1", json!(2)).await;
    server.sql("INSERT INTO member VALUES ('room/1', 'alice')").await;
    let come = socket.answer("k").await;
    assert_eq!((&come["value"], &come["revision"]), (&json!(2), &json!(stands_at)), "{come}");
    set(&server, "room/1", json!(3)).await;
    assert_eq!(socket.answer("k").await["value"], json!(3));
    server.sql("DELETE FROM member").await;
    assert_eq!(socket.answer("k").await["deleted"], json!(true));
    set(&server, "room/1", json!("unseen")).await;
    // The policy changes, and in the end there is none.
    allow(&server, json!({"name": "members", "table": "kv", "action": "select", "using": "true"})).await;
    assert_eq!(socket.answer("k").await["value"], json!("unseen"));
    server.send(Request::new("DELETE", "/policies/members")).await.result();
    let ended = socket.answer("k").await;
    assert_eq!((&ended["type"], &ended["code"]), (&json!("error"), &json!("forbidden")), "{ended}");
    socket.still_serves().await;
    assert!(!socket.seen.iter().any(|frame| frame.to_string().contains("hidden")));
}

#[tokio::test]
async fn a_policy_on_keys_that_fails_or_is_slow_hides_them() {
    let server = Server::start_with(&["read_time_max=300", "write_time_max=300"]).await;
    for key in ["a", "b"] {
        set(&server, key, json!(1)).await;
    }
    let client = token(&server, json!({})).await;
    let failing = "abs(-9223372036854775807 - value) > 0";
    allow(&server, json!({"name": "p", "table": "kv", "action": "all", "using": failing})).await;
    get(&server, &client, "/data/a").await.is_refused(404, "not_found", "");
    get(&server, &client, "/data").await.is_refused(403, "forbidden", "No keys are open to you.");
    put(&server, &client, "c", json!({"value": 1})).await.is_refused(403, "forbidden", "No policy lets you");
    put(&server, &client, "a", json!({"value": 1})).await.is_refused(403, "forbidden", "No policy lets you");
    server
        .sql("CREATE TABLE big AS WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000) SELECT i FROM n")
        .await;
    let slow = "(SELECT count(*) FROM big AS a, big AS b, big AS c) > 0";
    allow(&server, json!({"name": "p", "table": "kv", "action": "all", "using": slow})).await;
    get(&server, &client, "/data/a").await.is_refused(504, "timeout", "");
    put(&server, &client, "a", json!({"value": 1})).await.is_refused(504, "timeout", "");
    let mut socket = Socket::try_open(server.address, "/ws", client["token"].as_str()).await.unwrap();
    let ended = socket.ask(json!({"id": 1, "action": "subscribe", "key": "a"})).await;
    assert_eq!(ended["code"], "timeout", "{ended}");
    assert_eq!(
        set(&server, "a", json!(2)).await,
        server.sql("SELECT revision FROM kv WHERE key = 'a'").await[0]["revision"]
    );
}

#[tokio::test]
async fn columns_that_are_not_granted_are_not_told() {
    let server = Server::start().await;
    allow(
        &server,
        json!({"name": "see", "table": "kv", "action": "select", "using": "true", "columns": ["key", "value"]}),
    )
    .await;
    allow(&server, json!({"name": "set", "table": "kv", "action": "update", "using": "true", "columns": ["value"]}))
        .await;
    set(&server, "a", json!(1)).await;
    let client = token(&server, json!({})).await;
    assert_eq!(get(&server, &client, "/data/a").await.json(), json!({"key": "a", "value": 1, "revision": null}));
    put(&server, &client, "a", json!({"value": 2, "if_revision": 0})).await.is_refused(403, "forbidden", "if_revision");
    put(&server, &client, "a", json!({"value": 2, "ttl": 9})).await.is_refused(403, "forbidden", "No policy lets you");
    assert_eq!(put(&server, &client, "a", json!({"value": 2})).await.status, 200);
    let blind = json!({"name": "see", "table": "kv", "action": "select", "using": "true", "columns": ["key"]});
    allow(&server, blind).await;
    get(&server, &client, "/data/a").await.is_refused(403, "forbidden", "No keys are open to you.");
}
