//! What was tried against signing in, sessions and tokens, and must go on failing: races, callers who hang up, secrets reached
//! through the schema.

use super::people::{PASSWORD, as_, open_server, post, sign_in, sign_up, sql};
use crate::server::http::Request;
use crate::server::socket::Socket;
use crate::server::{Server, within};
use futures_util::future::join_all;
use serde_json::{Value as Json, json};
use tokio::io::AsyncWriteExt as _;

async fn reset_token(server: &Server) -> Json {
    server.send(Request::post("/auth/users/ann@example.org/reset", json!({}))).await.result()["token"].clone()
}

#[tokio::test]
async fn no_session_begun_with_the_old_password_outlives_a_reset() {
    let server = open_server(&[]).await;
    sign_up(&server, "ann@example.org").await;
    for round in 0..3 {
        let (old, new) = if round == 0 {
            (PASSWORD.to_owned(), "password number 1".to_owned())
        } else {
            (format!("password number {round}"), format!("password number {}", round + 1))
        };
        let token = reset_token(&server).await;
        let thieves = join_all((0..4).map(|_| sign_in(&server, "ann@example.org", &old)));
        let owner = post(&server, "/auth/reset", json!({"token": token, "password": new}));
        let (got_in, reset) = tokio::join!(thieves, owner);
        assert_eq!(reset.status, 204, "{}", reset.text());
        for answer in got_in.iter().filter(|answer| answer.status == 200) {
            let signed_in = answer.result();
            sql(&server, &signed_in, "SELECT 1").await.is_refused(401, "unauthorized", "token");
            let refresh = json!({"refresh_token": signed_in["refresh_token"]});
            post(&server, "/auth/refresh", refresh).await.is_refused(401, "unauthorized", "Sign in again");
        }
        assert_eq!(sign_in(&server, "ann@example.org", &new).await.status, 200);
    }
}

#[tokio::test]
async fn who_knows_the_old_password_does_not_undo_a_reset() {
    let server = open_server(&[]).await;
    let thief = sign_up(&server, "ann@example.org").await;
    let older = reset_token(&server).await;
    let token = reset_token(&server).await;
    let change = json!({"old_password": PASSWORD, "password": "of the thief"});
    let theirs = server.send(as_(&thief, Request::post("/auth/password", change)));
    let hers = post(&server, "/auth/reset", json!({"token": token, "password": "of the owner"}));
    let (theirs, hers) = tokio::join!(theirs, hers);
    // One of them was first, and the other came too late.
    let owner_is_in = sign_in(&server, "ann@example.org", "of the owner").await.status == 200;
    assert_eq!((hers.status == 204, theirs.status != 204), (owner_is_in, owner_is_in));
    let late = post(&server, "/auth/reset", json!({"token": older, "password": "a third one"})).await;
    late.is_refused(401, "unauthorized", "reset token");
    // A changed password ends the tokens to reset it.
    let ann =
        sign_in(&server, "ann@example.org", if owner_is_in { "of the owner" } else { "of the thief" }).await.result();
    let token = reset_token(&server).await;
    let old = if owner_is_in { "of the owner" } else { "of the thief" };
    let change = json!({"old_password": old, "password": "another good one"});
    assert_eq!(server.send(as_(&ann, Request::post("/auth/password", change))).await.status, 204);
    let late = post(&server, "/auth/reset", json!({"token": token, "password": "a third one"})).await;
    late.is_refused(401, "unauthorized", "reset token");
}

#[tokio::test]
async fn a_change_of_a_user_touches_only_what_it_names() {
    let server = open_server(&[]).await;
    let ann = sign_up(&server, "ann@example.org").await;
    let path = format!("/auth/users/{}", ann["user"]["id"].as_str().unwrap());
    let change = |body: Json| server.send(Request::new("PATCH", path.clone()).json(body));
    change(json!({"claims": {"plan": "pro"}})).await.result();
    let (slow, quick) = tokio::join!(
        change(json!({"password": "another good one"})),
        change(json!({"is_disabled": true, "claims": null}))
    );
    assert_eq!((slow.status, quick.status), (200, 200));
    let user = server.send(Request::get(path.clone())).await.result();
    assert_eq!((user["is_disabled"].clone(), user.get("claims")), (json!(true), None), "{user}");
    change(json!({"is_disabled": false})).await.result();
    change(json!({"password": "a third good one", "claims": [1]})).await.is_refused(400, "invalid", "claims");
    assert_eq!(sign_in(&server, "ann@example.org", "another good one").await.status, 200);
}

/// Sends a request and hangs up without waiting for the answer; whether the server has begun with it is open.
async fn hang_up(server: &Server, request: Request) {
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = format!("{}Content-Length: 0\r\n\r\n", request.head());
    stream.write_all(head.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_revocation_is_in_force_even_if_its_caller_hangs_up() {
    let server = open_server(&[]).await;
    let people = join_all((0..12).map(|number| {
        let email = format!("person{number}@example.org");
        let server = &server;
        async move { sign_up(server, &email).await }
    }))
    .await;
    for person in &people {
        // Known to the server before it ends.
        sql(&server, person, "SELECT 1").await.result();
        hang_up(&server, as_(person, Request::new("POST", "/auth/logout"))).await;
    }
    for person in &people {
        let id = person["user"]["id"].as_str().unwrap();
        let left = server.sql(&format!("SELECT count(*) AS n FROM _tide_sessions WHERE user = '{id}'")).await;
        if left[0]["n"] == 0 {
            within("what is written to be in force", async {
                while sql(&server, person, "SELECT 1").await.status != 401 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_revoked_socket_does_nothing_more_of_what_was_sent_to_it() {
    let server = open_server(&[]).await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)").await;
    let policy = json!({"name": "t", "table": "t", "action": "all", "using": "true"});
    server.send(Request::post("/policies", policy)).await.result();
    let ann = sign_up(&server, "ann@example.org").await;
    for path in ["/socket", "/ws"] {
        let person = sign_in(&server, "ann@example.org", PASSWORD).await.result();
        let mut socket = Socket::try_open(server.address, path, person["access_token"].as_str()).await.unwrap();
        assert_eq!(server.send(as_(&person, Request::post("/auth/logout", json!({})))).await.status, 204);
        for id in 0..20 {
            socket
                .try_send(json!({"id": id, "action": "query", "sql": format!("INSERT INTO t (x) VALUES ('{path}')")}))
                .await;
        }
        assert_eq!(socket.closed().await.0, 4401, "{path}");
    }
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{"n": 0}]));
    sql(&server, &ann, "SELECT 1").await.result();
}

#[tokio::test]
async fn secrets_are_not_reached_through_what_an_administrator_makes() {
    let server = open_server(&[]).await;
    let (ann, bob) = (sign_up(&server, "ann@example.org").await, sign_up(&server, "bob@example.org").await);
    server.sql("CREATE TABLE leak (x)").await;
    server.sql("CREATE TABLE child (owner TEXT REFERENCES _tide_users (id) ON DELETE CASCADE)").await;
    server.sql(&format!("INSERT INTO child VALUES ('{}')", ann["user"]["id"].as_str().unwrap())).await;
    let remove = |person: &Json| {
        let path = format!("/auth/users/{}", person["user"]["id"].as_str().unwrap());
        server.send(Request::new("DELETE", path))
    };
    for (trigger, words) in [
        ("INSERT INTO leak SELECT secret FROM _tide_credentials", "holds secrets"),
        ("INSERT INTO leak SELECT hex(private) FROM _tide_signing_keys", "holds secrets"),
        ("UPDATE _tide_users SET claims = '{\"forged\": true}'", "kept by Tidebase"),
    ] {
        // By another program: our own SQL does not take the names of such tables.
        let made = format!("CREATE TRIGGER spy AFTER DELETE ON child BEGIN {trigger}; END");
        server.home.outside().execute_batch(&made).unwrap();
        remove(&ann).await.is_refused(403, "forbidden", words);
        server.sql("DROP TRIGGER spy").await;
    }
    assert_eq!(server.sql("SELECT count(*) AS n FROM leak").await, json!([{"n": 0}]));
    assert_eq!(remove(&ann).await.status, 204);
    assert_eq!(server.sql("SELECT count(*) AS n FROM child").await, json!([{"n": 0}]));
    // Rows that hold on to a user are told of, and nothing is half done.
    server.sql("CREATE TABLE holds (owner TEXT REFERENCES _tide_users (id))").await;
    server.sql(&format!("INSERT INTO holds VALUES ('{}')", bob["user"]["id"].as_str().unwrap())).await;
    remove(&bob).await.is_refused(409, "conflict", "FOREIGN KEY");
    sql(&server, &bob, "SELECT 1").await.result();
}

#[tokio::test]
async fn one_caller_cannot_take_all_tickets() {
    let server = open_server(&[]).await;
    let (ann, bob) = (sign_up(&server, "ann@example.org").await, sign_up(&server, "bob@example.org").await);
    let ticket = |person: Json| {
        let server = &server;
        async move { server.send(as_(&person, Request::post("/auth/ticket", json!({})))).await }
    };
    let answers = join_all((0..120).map(|_| ticket(ann.clone()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 100);
    ticket(bob).await.result();
    server.send(Request::post("/auth/ticket", json!({}))).await.result();
}

#[tokio::test]
async fn a_retired_key_is_believed_no_longer_than_its_tokens_live() {
    let server = open_server(&["access_token_time_max=1000"]).await;
    let keys =
        async || server.send(Request::get("/.well-known/jwks.json").without_token()).await.json()["keys"].clone();
    server.send(Request::post("/auth/keys", json!({}))).await.result();
    assert_eq!(keys().await.as_array().unwrap().len(), 2);
    within("the old key to go", async {
        while keys().await.as_array().unwrap().len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_of_another_origin_signs_nobody_in() {
    let server = open_server(&[]).await;
    sign_up(&server, "ann@example.org").await;
    let body = json!({"email": "ann@example.org", "password": PASSWORD}).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let request = Request::new("POST", "/auth/login").without_token().body(body.clone());
        let sent = request.header("Origin", "https://elsewhere.example").header("Content-Type", kind);
        server.send(sent).await.is_refused(400, "invalid", "application/json");
    }
}
