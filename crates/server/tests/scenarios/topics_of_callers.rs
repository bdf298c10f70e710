//! Topics as callers hear and use them: what policies on messages open, for as long as they do.

use super::callers::{allow, bearer, token};
use crate::server::Server;
use crate::server::events::Events;
use crate::server::http::{Answer, Request};
use crate::server::socket::Socket;
use serde_json::{Value as Json, json};

const TABLE: &str = "_tide_messages";

async fn publish(server: &Server, token: &Json, topic: &str, data: Json) -> Answer {
    server.send(bearer(Request::post(format!("/topics/{topic}"), json!({ "data": data })), token)).await
}

async fn socket(server: &Server, token: &Json) -> Socket {
    Socket::try_open(server.address, "/ws", token["token"].as_str()).await.unwrap()
}

fn listen(id: &str, topic: &str) -> Json {
    json!({"id": id, "action": "subscribe", "topic": topic})
}

/// Listens, and waits until that is so: requests of one socket act in their order.
async fn listens(socket: &mut Socket, listen: Json) {
    socket.send(listen).await;
    let after = socket.ask(json!({"id": "after", "action": "query", "sql": "SELECT 1"})).await;
    assert_eq!(after["type"], "result", "{after}");
}

/// Members of a room listen to its topic, and publish there in their own name.
async fn rooms() -> Server {
    let server = Server::start().await;
    server.sql("CREATE TABLE member (room TEXT, name TEXT, PRIMARY KEY (room, name))").await;
    server.sql("INSERT INTO member VALUES ('room/1', 'ada'), ('room/1', 'bob'), ('room/2', 'bob')").await;
    let is_member = "EXISTS (SELECT 1 FROM member WHERE room = topic AND name = auth.claim('name'))";
    allow(&server, json!({"name": "listen", "table": TABLE, "action": "select", "using": is_member})).await;
    let in_own_name = format!("{is_member} AND data ->> '$.name' = auth.claim('name')");
    allow(&server, json!({"name": "speak", "table": TABLE, "action": "insert", "check": in_own_name})).await;
    server
}

#[tokio::test]
async fn who_listens_publishes_and_is_seen_policies_say() {
    let server = rooms().await;
    let (ada, bob) = (token(&server, json!({"name": "ada"})).await, token(&server, json!({"name": "bob"})).await);
    let (mut hers, mut his) = (socket(&server, &ada).await, socket(&server, &bob).await);
    let show = |name: &str| json!({"id": "p", "action": "subscribe", "topic": "room/1", "presence": {"name": name}});
    assert_eq!(hers.ask(show("bob")).await["code"], "forbidden");
    assert_eq!(hers.ask(show("ada")).await["join"][0]["state"], json!({"name": "ada"}));
    assert_eq!(his.ask(show("bob")).await["join"].as_array().unwrap().len(), 2);
    let cursor = publish(&server, &ada, "room/1", json!({"name": "ada", "says": 1})).await.result()["cursor"].clone();
    let heard = his.until(|frame| frame["type"] == "message").await;
    assert_eq!((&heard["cursor"], &heard["data"]["says"]), (&cursor, &json!(1)), "{heard}");
    publish(&server, &ada, "room/1", json!({"name": "bob"})).await.is_refused(
        403,
        "forbidden",
        "No policy lets you publish this",
    );
    for topic in ["room/2", "room/3", "it's%20%22quoted%22"] {
        publish(&server, &ada, topic, json!({"name": "ada"})).await.is_refused(
            403,
            "forbidden",
            "No policy lets you publish this",
        );
    }
    for (id, topic) in [("a", "room/2"), ("b", "room/3"), ("c", "it's \"quoted\"")] {
        let refused = hers.ask(listen(id, topic)).await;
        assert_eq!(refused["error"], json!(format!("No policy lets you listen to the topic {topic:?}.")));
        let refused = hers.ask(json!({"id": id, "action": "publish", "topic": topic, "data": {"name": "ada"}})).await;
        assert_eq!(refused["code"], "forbidden");
    }
    // To hear, without being seen, is open to her; and what a topic keeps is the administrator's.
    listens(&mut hers, listen("q", "room/1")).await;
    publish(&server, &bob, "room/1", json!({"name": "bob", "says": 2})).await.result();
    assert_eq!(hers.answer("q").await["data"]["says"], json!(2));
    let keep = Request::new("PUT", "/topics/room/1").json(json!({"keep": 5}));
    server.send(bearer(keep, &ada)).await.is_refused(403, "forbidden", "admin token");
}

#[tokio::test]
async fn a_topic_named_with_quotes_is_a_topic_like_any_other() {
    let server = Server::start().await;
    let name = "a'b\"c') OR 1=1 --";
    let quoted = name.replace('\'', "''");
    allow(&server, json!({"name": "one", "table": TABLE, "action": "all", "using": format!("topic = '{quoted}'")}))
        .await;
    let client = token(&server, json!({})).await;
    let mut socket = socket(&server, &client).await;
    socket.send(listen("q", name)).await;
    let done = socket.ask(json!({"id": 2, "action": "publish", "topic": name, "data": 1})).await;
    assert_eq!(done["type"], "result", "{done}");
    assert_eq!(socket.until_seen(|frame| frame["type"] == "message").await["topic"], json!(name));
    assert_eq!(socket.ask(listen("r", "a' OR 1=1 --")).await["code"], "forbidden");
}

#[tokio::test]
async fn what_is_no_longer_allowed_ends_also_without_an_id() {
    let server = rooms().await;
    let bob = token(&server, json!({"name": "bob"})).await;
    let (mut admin, mut his) = (server.live().await, socket(&server, &bob).await);
    admin.ask(json!({"id": "p", "action": "subscribe", "topic": "room/1", "presence": {"name": "admin"}})).await;
    his.ask(json!({"id": "p", "action": "subscribe", "topic": "room/1", "presence": {"name": "bob"}})).await;
    admin.until(|frame| frame["join"][0]["state"]["name"] == "bob").await;
    listens(&mut his, json!({"action": "subscribe", "topic": "room/2"})).await;
    let mut events = Events::open(server.address, bearer(Request::get("/live?topic=room/2"), &bob)).await;
    events.next().await.unwrap();
    // A member who is none any more, by whatever write.
    server.sql("DELETE FROM member WHERE name = 'bob' AND room = 'room/1'").await;
    let ended = his.answer("p").await;
    assert_eq!((&ended["type"], &ended["code"]), (&json!("error"), &json!("forbidden")), "{ended}");
    admin.until(|frame| frame["leave"].as_array().is_some_and(|gone| gone.len() == 1)).await;
    server.send(Request::post("/topics/room/1", json!({"data": "unheard"}))).await.result();
    server.send(Request::post("/topics/room/2", json!({"data": "heard"}))).await.result();
    assert_eq!(his.until(|frame| frame["type"] == "message").await["data"], json!("heard"));
    assert_eq!(events.next().await.unwrap().data["data"], json!("heard"));
    // The id is free again.
    assert_eq!(his.ask(listen("p", "room/1")).await["code"], "forbidden");
    // A policy that is dropped.
    server.send(Request::new("DELETE", "/policies/listen")).await.result();
    let ended = his.until(|frame| frame["type"] == "error" && frame["id"].is_null()).await;
    assert_eq!(ended["error"], json!("No policy lets you listen to the topic \"room/2\"."));
    assert_eq!(events.next().await.unwrap().kind, "error");
    assert!(events.next().await.is_none());
    assert!(!his.seen.iter().any(|frame| frame["data"] == "unheard"));
    his.still_serves().await;
}

#[tokio::test]
async fn who_may_no_longer_show_themselves_leaves_though_they_may_listen() {
    let server = rooms().await;
    let (ada, bob) = (token(&server, json!({"name": "ada"})).await, token(&server, json!({"name": "bob"})).await);
    let (mut hers, mut his) = (socket(&server, &ada).await, socket(&server, &bob).await);
    let show = |name: &str| json!({"id": "p", "action": "subscribe", "topic": "room/1", "presence": {"name": name}});
    hers.ask(show("ada")).await;
    his.ask(show("bob")).await;
    hers.until(|frame| frame["join"][0]["state"]["name"] == "bob").await;
    let only_ada = json!({"name": "speak", "table": TABLE, "action": "insert", "check": "data ->> '$.name' = 'ada'"});
    allow(&server, only_ada).await;
    let ended = his.until(|frame| frame["type"] == "error").await;
    assert_eq!((&ended["id"], &ended["code"]), (&json!("p"), &json!("forbidden")), "{ended}");
    assert_eq!(ended["error"], json!("No policy lets you show yourself like this in the topic \"room/1\"."));
    hers.until(|frame| frame["leave"].as_array().is_some_and(|gone| gone.len() == 1)).await;
    listens(&mut his, listen("q", "room/1")).await;
    publish(&server, &ada, "room/1", json!({"name": "ada", "says": 3})).await.result();
    assert_eq!(his.answer("q").await["data"]["says"], json!(3));
}

#[tokio::test]
async fn a_topic_that_keeps_messages_asks_the_same() {
    let server = rooms().await;
    let (ada, bob) = (token(&server, json!({"name": "ada"})).await, token(&server, json!({"name": "bob"})).await);
    server.send(Request::new("PUT", "/topics/room/1").json(json!({"keep": 10}))).await.result();
    let said = |name: &str| json!({"data": {"name": name}});
    let send = async |token: &Json, name: &str| {
        let request = Request::post("/topics/room/1", said(name)).header("Idempotency-Key", "same");
        server.send(bearer(request, token)).await
    };
    let first = send(&ada, "ada").await.result();
    assert_eq!(send(&ada, "ada").await.result(), first);
    // Another caller with the same key and body is another request.
    send(&bob, "ada").await.is_refused(403, "forbidden", "No policy lets you publish this");
    assert_eq!(server.sql("SELECT count(*) AS n FROM _tide_messages").await, json!([{"n": 1}]));
    let mut his = socket(&server, &bob).await;
    let kept = his.ask(json!({"id": 1, "action": "subscribe", "topic": "room/1", "after": 0})).await;
    assert_eq!(kept["type"], "resync", "{kept}");
    assert_eq!(his.until(|frame| frame["type"] == "message").await["cursor"], first["cursor"]);
    let carl = token(&server, json!({"name": "carl"})).await;
    let mut others = socket(&server, &carl).await;
    let refused = others.ask(json!({"id": 1, "action": "subscribe", "topic": "room/1", "after": 0})).await;
    assert_eq!(refused["code"], "forbidden");
    others.still_serves().await;
    assert!(!others.seen.iter().any(|frame| frame["type"] == "message" || frame["type"] == "resync"));
    server
        .send(bearer(Request::post("/query", json!({"sql": "SELECT * FROM _tide_messages"})), &carl))
        .await
        .is_refused(403, "forbidden", "");
    let insert = json!({"sql": "INSERT INTO _tide_messages VALUES ('room/1', 1, '{}')"});
    server.send(bearer(Request::post("/query", insert), &ada)).await.is_refused(403, "forbidden", "");
}

#[tokio::test]
async fn a_policy_on_topics_that_fails_is_a_no_and_one_that_is_slow_is_stopped() {
    let server = Server::start().await;
    let client = token(&server, json!({})).await;
    let mut socket = socket(&server, &client).await;
    publish(&server, &client, "t", json!(1)).await.is_refused(403, "forbidden", "No policy lets you publish this");
    for failing in ["abs(-9223372036854775807 - length(topic)) > 0", "json_extract('{', '$.a') IS NULL OR topic = ''"] {
        allow(&server, json!({"name": "p", "table": TABLE, "action": "all", "using": failing})).await;
        publish(&server, &client, "t", json!(1)).await.is_refused(403, "forbidden", "No policy lets you publish this");
        assert_eq!(socket.ask(listen("q", "t")).await["error"], "No policy lets you listen to the topic \"t\".");
    }
    server
        .sql("CREATE TABLE big AS WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000) SELECT i FROM n")
        .await;
    let slow = "(SELECT count(*) FROM big AS a, big AS b, big AS c) > 0";
    allow(&server, json!({"name": "p", "table": TABLE, "action": "all", "using": slow})).await;
    publish(&server, &client, "t", json!(1)).await.is_refused(504, "timeout", "");
    assert_eq!(socket.ask(listen("q", "t")).await["code"], "timeout");
    server.send(Request::new("PUT", "/topics/t").json(json!({"keep": 1}))).await.result();
    publish(&server, &client, "t", json!(1)).await.is_refused(504, "timeout", "");
    // Who listens when the policy becomes slow is ended, too.
    allow(&server, json!({"name": "p", "table": TABLE, "action": "all", "using": "true"})).await;
    assert_eq!(publish(&server, &client, "t", json!(1)).await.status, 200);
    listens(&mut socket, listen("r", "t")).await;
    allow(&server, json!({"name": "p", "table": TABLE, "action": "all", "using": slow})).await;
    assert_eq!(socket.answer("r").await["type"], "error");
}

#[tokio::test]
async fn policies_on_topics_are_checked_when_they_are_made() {
    let server = Server::start().await;
    for (policy, (status, code), why) in [
        (
            json!({"name": "x", "table": TABLE, "action": "update", "using": "true"}),
            (400, "invalid"),
            "select, insert or all",
        ),
        (
            json!({"name": "x", "table": TABLE, "action": "select", "using": "data = 1"}),
            (400, "invalid"),
            "no such column: data",
        ),
        (
            json!({"name": "x", "table": TABLE, "action": "select", "using": "true", "columns": ["topic"]}),
            (400, "invalid"),
            "columns",
        ),
        (
            json!({"name": "x", "table": TABLE, "action": "insert", "check": "random() > topic"}),
            (400, "invalid"),
            "random()",
        ),
        (
            json!({"name": "x", "table": TABLE, "action": "insert", "check": "cursor > 1"}),
            (400, "invalid"),
            "no such column: cursor",
        ),
        (
            json!({"name": "x", "table": "_tide_tokens", "action": "select", "using": "true"}),
            (404, "not_found"),
            "no table",
        ),
        (
            json!({"name": "x", "table": TABLE, "action": "select", "using": "topic IN (SELECT topic FROM _tide_messages)"}),
            (403, "forbidden"),
            "own",
        ),
    ] {
        server.send(Request::post("/policies", policy)).await.is_refused(status, code, why);
    }
    let named =
        json!({"name": "x", "table": TABLE, "action": "insert", "check": "message.topic = 'a' AND message.data = '1'"});
    allow(&server, named).await;
    let client = token(&server, json!({})).await;
    assert_eq!(publish(&server, &client, "a", json!(1)).await.status, 200);
    publish(&server, &client, "a", json!(2)).await.is_refused(403, "forbidden", "");
}
