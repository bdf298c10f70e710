//! Many tenants: a thousand callers, each a member of some rooms, hold one live query, and a write is looked at once for all.

use crate::server::Server;
use crate::server::http::Request;
use crate::server::socket::Socket;
use futures_util::future::join_all;
use serde_json::{Value as Json, json};

const CALLERS: usize = 1000;

async fn token(server: &Server, number: usize) -> Socket {
    let claims = json!({"user": format!("u{number}")});
    let made = server
        .send(Request::post("/auth/tokens", json!({"name": format!("u{number}"), "role": "client", "claims": claims})));
    let token = made.await.result()["token"].as_str().unwrap().to_owned();
    Socket::try_open(server.address, "/ws", Some(&token)).await.unwrap()
}

async fn runs(server: &Server) -> (Json, u64) {
    let status = server.send(Request::get("/status/live")).await.result();
    let template = &status["lanes"][0]["dearest"][0];
    assert_eq!(template["sql"], "SELECT id, body FROM message");
    (template["runs_by_way"].clone(), template["live_queries"].as_u64().unwrap())
}

#[tokio::test]
async fn a_write_makes_one_evaluation_for_a_thousand_callers() {
    let server = Server::start().await;
    for sql in [
        "CREATE TABLE message (id INTEGER PRIMARY KEY, room INTEGER, body TEXT)",
        "CREATE TABLE member (room INTEGER, user TEXT, PRIMARY KEY (room, user)) WITHOUT ROWID",
        "INSERT INTO member WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 999)
         SELECT 1, 'u' || i FROM c UNION ALL SELECT 2, 'u' || i FROM c WHERE i < 500 UNION ALL SELECT 1000 + i, 'u' || i FROM c",
        "INSERT INTO message SELECT room, room, 'first of ' || room FROM member WHERE room > 999",
    ] {
        server.sql(sql).await;
    }
    let using = "EXISTS (SELECT 1 FROM member WHERE member.room = message.room AND member.user = auth.claim('user'))";
    let policy = json!({"name": "members", "table": "message", "action": "select", "using": using});
    assert_eq!(server.send(Request::post("/policies", policy)).await.status, 201);
    let mut sockets = Vec::new();
    for some in (0..CALLERS).collect::<Vec<_>>().chunks(50) {
        sockets.extend(join_all(some.iter().map(|&number| token(&server, number))).await);
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        let rows = socket.subscribe(1, "SELECT id, body FROM message").await;
        let id = 1000 + number;
        assert_eq!(rows["rows"], json!([[id.to_string(), id, format!("first of {id}")]]));
    }
    let none = json!({"whole": 0, "parts": 0, "counted": 0, "for_all": 0});
    assert_eq!(runs(&server).await, (none, CALLERS as u64));
    // To all, to half of them, and to one: each is told, nobody else is.
    let revision = server.write("INSERT INTO message VALUES (1, 1, 'to all')").await;
    for socket in &mut sockets {
        let delta = socket.until(|frame| frame["type"] == "delta").await;
        assert_eq!(delta["to"], revision);
        assert_eq!(delta["queries"][0]["insert"][0][2], "to all");
    }
    let (after, _) = runs(&server).await;
    assert_eq!(after, json!({"whole": 0, "parts": 0, "counted": 0, "for_all": 1}));
    let revision = server.write("INSERT INTO message VALUES (2, 2, 'to half')").await;
    let third = server.write("INSERT INTO message VALUES (3, 1007, 'to one')").await;
    assert_eq!(third, revision + 1);
    for socket in &mut sockets[..500] {
        let delta = socket.until(|frame| frame["type"] == "delta").await;
        assert_eq!(delta["queries"][0]["insert"][0][2], "to half");
    }
    let delta = sockets[7].until(|frame| frame["type"] == "delta").await;
    assert_eq!(delta["queries"][0]["insert"][0][2], "to one");
    // The one member of a room is read alone.
    let (after, _) = runs(&server).await;
    assert_eq!(after["for_all"], 2);
    assert_eq!(after["whole"].as_u64().unwrap() + after["parts"].as_u64().unwrap(), 1, "{after}");
    server.write("DELETE FROM member WHERE room = 2 AND user = 'u3'").await;
    let delta = sockets[3].until(|frame| frame["type"] == "delta").await;
    assert_eq!(delta["queries"][0]["delete"], json!(["2"]));
    let (last, _) = runs(&server).await;
    assert_eq!(last["whole"].as_u64().unwrap(), after["whole"].as_u64().unwrap() + 1);
}
