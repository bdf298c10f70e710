//! People who sign in: accounts, sessions, what they see, and for how long.

use crate::server::http::{Answer, Request};
use crate::server::socket::Socket;
use crate::server::{Home, Server};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use tokio_tungstenite::tungstenite::http::StatusCode;

pub const PASSWORD: &str = "correct horse battery";

/// A server where everybody may sign up.
pub async fn open_server(limits: &[&str]) -> Server {
    run(&Home::new(), limits).await
}

pub async fn run(home: &Arc<Home>, limits: &[&str]) -> Server {
    let mut command = home.command();
    command.args(["--signup", "open", "--anonymous", "open"]);
    for limit in limits {
        command.args(["--limit", limit]);
    }
    Server::run(home, command).await
}

pub async fn post(server: &Server, path: &str, body: Json) -> Answer {
    server.send(Request::post(path, body).without_token()).await
}

pub async fn sign_up(server: &Server, email: &str) -> Json {
    let answer = post(server, "/auth/signup", json!({"email": email, "password": PASSWORD})).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.result()
}

pub async fn sign_in(server: &Server, email: &str, password: &str) -> Answer {
    post(server, "/auth/login", json!({"email": email, "password": password})).await
}

pub fn as_(person: &Json, request: Request) -> Request {
    request.without_token().header("Authorization", format!("Bearer {}", person["access_token"].as_str().unwrap()))
}

pub async fn sql(server: &Server, person: &Json, sql: &str) -> Answer {
    server.send(as_(person, Request::post("/query", json!({ "sql": sql })))).await
}

async fn with_notes(server: &Server) {
    server.sql("CREATE TABLE notes (id INTEGER PRIMARY KEY, owner TEXT DEFAULT (auth_uid()), body TEXT)").await;
    let policy = json!({"name": "own notes", "table": "notes", "action": "all", "using": "owner = auth.uid()"});
    assert_eq!(server.send(Request::post("/policies", policy)).await.status, 201);
}

#[tokio::test]
async fn two_people_sign_up_and_each_sees_their_own_rows_live() {
    let server = open_server(&[]).await;
    with_notes(&server).await;
    let (ann, bob) = (sign_up(&server, "Ann@example.org").await, sign_up(&server, "bob@example.org").await);
    assert_eq!(ann["user"]["email"], "Ann@example.org");
    assert_eq!(ann["expires_in"], 900);
    sql(&server, &ann, "INSERT INTO notes (body) VALUES ('of ann')").await.result();
    let mut socket = Socket::try_open(server.address, "/ws", bob["access_token"].as_str()).await.unwrap();
    socket.next().await;
    let rows = socket.subscribe("q", "SELECT body FROM notes").await;
    assert_eq!(rows["rows"], json!([]));
    sql(&server, &ann, "INSERT INTO notes (body) VALUES ('ann again')").await.result();
    sql(&server, &bob, "INSERT INTO notes (body) VALUES ('of bob')").await.result();
    let delta = socket.until(|frame| frame["type"] == "delta" && frame["queries"][0]["insert"].is_array()).await;
    assert_eq!(delta["queries"][0]["insert"][0][1], "of bob", "{delta}");
    assert_eq!(sql(&server, &ann, "SELECT count(*) AS n FROM notes").await.result(), json!([{"n": 2}]));
    // The address is one whatever its case, and the answer for an account that is there tells no more than it must.
    let again = post(&server, "/auth/signup", json!({"email": "ANN@example.org", "password": PASSWORD})).await;
    again.is_refused(409, "conflict", "No account can be made");
    let me = server.send(as_(&ann, Request::get("/auth/me"))).await.result();
    assert_eq!((me["id"].clone(), me["role"].clone()), (ann["user"]["id"].clone(), json!("user")));
}

#[tokio::test]
async fn an_account_is_not_told_from_none_and_guessing_is_slowed() {
    let server = open_server(&[]).await;
    sign_up(&server, "ann@example.org").await;
    let (wrong, nobody) = (
        sign_in(&server, "ann@example.org", "wrong password").await,
        sign_in(&server, "no@example.org", PASSWORD).await,
    );
    assert_eq!((wrong.status, &wrong.body), (nobody.status, &nobody.body));
    wrong.is_refused(401, "unauthorized", "The e-mail address or the password is wrong.");
    // At one time, as somebody would who hopes to be faster than the count.
    for email in ["ann@example.org", "no@example.org"] {
        let tries = (0..8).map(|_| sign_in(&server, email, "wrong password"));
        let answers = futures_util::future::join_all(tries).await;
        let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 429).collect();
        assert!(refused.len() >= 3, "{} of 8 had to wait", refused.len());
        assert!(refused[0].header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
    sign_in(&server, "ann@example.org", PASSWORD).await.is_refused(429, "too_many", "Too many attempts");
}

#[tokio::test]
async fn a_refresh_token_serves_once_and_a_used_one_ends_the_session() {
    let server = open_server(&[]).await;
    let ann = sign_up(&server, "ann@example.org").await;
    let refresh = async |token: &Json| post(&server, "/auth/refresh", json!({"refresh_token": token})).await;
    let second = refresh(&ann["refresh_token"]).await.result();
    assert_ne!(second["refresh_token"], ann["refresh_token"]);
    // Two tabs, or an answer that was lost: what was never used is given again.
    for _ in 0..3 {
        let again = refresh(&ann["refresh_token"]).await.result();
        assert_eq!(again["refresh_token"], second["refresh_token"]);
        sql(&server, &again, "SELECT 1").await.result();
    }
    let third = refresh(&second["refresh_token"]).await.result();
    sql(&server, &third, "SELECT 1").await.result();
    // The first one again, when its successor has been used: somebody has a copy.
    refresh(&ann["refresh_token"]).await.is_refused(401, "unauthorized", "Sign in again");
    refresh(&third["refresh_token"]).await.is_refused(401, "unauthorized", "Sign in again");
    sql(&server, &third, "SELECT 1").await.is_refused(401, "unauthorized", "The token is wrong");
    for token in ["", "tide_refresh_x.y.z", "tide_refresh_'; --"] {
        refresh(&json!(token)).await.is_refused(401, "unauthorized", "Sign in again");
    }
    // Many at one time with one token: all get the same, and the session goes on.
    let ann = sign_in(&server, "ann@example.org", PASSWORD).await.result();
    let answers = futures_util::future::join_all((0..10).map(|_| refresh(&ann["refresh_token"]))).await;
    let told: Vec<Json> = answers.iter().map(Answer::result).collect();
    assert!(told.iter().all(|one| one["refresh_token"] == told[0]["refresh_token"]), "{told:?}");
    sql(&server, &told[0], "SELECT 1").await.result();
    // After its time the former token is a sign of theft, whether its successor was used or not.
    let last = refresh(&told[0]["refresh_token"]).await.result();
    let home = std::sync::Arc::clone(&server.home);
    home.outside().execute("UPDATE _tide_sessions SET turned_at = turned_at - 121", []).unwrap();
    refresh(&told[0]["refresh_token"]).await.is_refused(401, "unauthorized", "Sign in again");
    refresh(&last["refresh_token"]).await.is_refused(401, "unauthorized", "Sign in again");
}

#[tokio::test]
async fn signing_out_counts_at_once_also_on_open_sockets() {
    let server = open_server(&[]).await;
    with_notes(&server).await;
    let here = sign_up(&server, "ann@example.org").await;
    let there = sign_in(&server, "ann@example.org", PASSWORD).await.result();
    let sessions = server.send(as_(&here, Request::get("/auth/sessions"))).await.result();
    assert_eq!(sessions.as_array().unwrap().len(), 2, "{sessions}");
    assert_eq!(sessions.as_array().unwrap().iter().filter(|session| session["is_this"] == true).count(), 1);
    let mut socket = Socket::try_open(server.address, "/ws", there["access_token"].as_str()).await.unwrap();
    socket.next().await;
    socket.subscribe("q", "SELECT * FROM notes").await;
    let other = sessions.as_array().unwrap().iter().find(|session| session["is_this"] == false).unwrap()["id"].clone();
    let path = format!("/auth/sessions/{}", other.as_str().unwrap());
    assert_eq!(server.send(as_(&here, Request::new("DELETE", path))).await.status, 204);
    assert_eq!(socket.closed().await.0, 4401);
    sql(&server, &there, "SELECT 1").await.is_refused(401, "unauthorized", "token");
    sql(&server, &here, "SELECT 1").await.result();
    assert_eq!(server.send(as_(&here, Request::post("/auth/logout", json!({})))).await.status, 204);
    sql(&server, &here, "SELECT 1").await.is_refused(401, "unauthorized", "token");
    // A session of somebody else's is not there.
    let bob = sign_up(&server, "bob@example.org").await;
    let ann = sign_in(&server, "ann@example.org", PASSWORD).await.result();
    let hers = server.send(as_(&ann, Request::get("/auth/sessions"))).await.result()[0]["id"].clone();
    let path = format!("/auth/sessions/{}", hers.as_str().unwrap());
    server.send(as_(&bob, Request::new("DELETE", path))).await.is_refused(404, "not_found", "no session");
}

#[tokio::test]
async fn what_the_administrator_changes_of_a_user_counts_at_once() {
    let server = open_server(&[]).await;
    server.sql("CREATE TABLE plans (name TEXT)").await;
    server.sql("INSERT INTO plans VALUES ('free'), ('pro')").await;
    let policy =
        json!({"name": "own plan", "table": "plans", "action": "select", "using": "name = auth.claim('plan')"});
    server.send(Request::post("/policies", policy)).await.result();
    let ann = sign_up(&server, "ann@example.org").await;
    assert_eq!(sql(&server, &ann, "SELECT name FROM plans").await.result(), json!([]));
    let mut socket = Socket::try_open(server.address, "/ws", ann["access_token"].as_str()).await.unwrap();
    socket.next().await;
    let path = format!("/auth/users/{}", ann["user"]["id"].as_str().unwrap());
    let change = |body: Json| server.send(Request::new("PATCH", path.clone()).json(body));
    assert_eq!(change(json!({"claims": {"plan": "pro"}})).await.result()["claims"]["plan"], "pro");
    assert_eq!(socket.closed().await.0, 4401);
    assert_eq!(sql(&server, &ann, "SELECT name FROM plans").await.result(), json!([{"name": "pro"}]));
    assert_eq!(
        sql(&server, &ann, "SELECT auth.claim('email') AS email").await.result(),
        json!([{"email": "ann@example.org"}])
    );
    change(json!({"claims": [1]})).await.is_refused(400, "invalid", "claims");
    assert_eq!(change(json!({"is_disabled": true})).await.result()["is_disabled"], true);
    sql(&server, &ann, "SELECT 1").await.is_refused(401, "unauthorized", "token");
    sign_in(&server, "ann@example.org", PASSWORD).await.is_refused(401, "unauthorized", "wrong");
    change(json!({"is_disabled": false})).await.result();
    sign_in(&server, "ann@example.org", PASSWORD).await.result();
    assert_eq!(server.send(Request::new("DELETE", path.clone())).await.status, 204);
    sign_in(&server, "ann@example.org", PASSWORD).await.is_refused(401, "unauthorized", "wrong");
    server.send(Request::get(path)).await.is_refused(404, "not_found", "There is no user");
}

#[tokio::test]
async fn passwords_are_changed_and_reset_once() {
    let server = open_server(&[]).await;
    let ann = sign_up(&server, "ann@example.org").await;
    let other = sign_in(&server, "ann@example.org", PASSWORD).await.result();
    let change = |old: &str| {
        let body = json!({"old_password": old, "password": "another good one"});
        server.send(as_(&ann, Request::post("/auth/password", body)))
    };
    change("not the old one").await.is_refused(403, "forbidden", "old password");
    assert_eq!(change(PASSWORD).await.status, 204);
    sql(&server, &ann, "SELECT 1").await.result();
    sql(&server, &other, "SELECT 1").await.is_refused(401, "unauthorized", "token");
    sign_in(&server, "ann@example.org", "another good one").await.result();
    let made = server.send(Request::post("/auth/users/ann@example.org/reset", json!({}))).await.result();
    let reset = |password: &str| post(&server, "/auth/reset", json!({"token": made["token"], "password": password}));
    reset("short").await.is_refused(400, "invalid", "at least 8");
    assert_eq!(reset("a third password").await.status, 204);
    reset("a fourth password").await.is_refused(401, "unauthorized", "was used before");
    sql(&server, &ann, "SELECT 1").await.is_refused(401, "unauthorized", "token");
    sign_in(&server, "ann@example.org", "a third password").await.result();
    for secret in ["_tide_credentials", "_tide_signing_keys"] {
        let read = server.query(json!({"sql": format!("SELECT * FROM {secret}")})).await;
        read.is_refused(403, "forbidden", "holds secrets");
        // Columns that NATURAL joins by, SQLite does not ask about.
        let columns = "SELECT 1 AS user, 2 AS kind, 3 AS secret, 4 AS made_at, 5 AS id, 6 AS private, 7 AS retired_at";
        for sql in [
            format!("SELECT secret FROM {secret} NATURAL FULL JOIN ({columns})"),
            format!("SELECT secret FROM [{}] NATURAL JOIN ({columns})", secret.to_uppercase()),
            format!("CREATE VIEW told AS SELECT * FROM \"{secret}\" NATURAL FULL JOIN ({columns})"),
        ] {
            server.query(json!({"sql": sql})).await.is_refused(403, "forbidden", "holds secrets");
        }
    }
}

#[tokio::test]
async fn whoever_holds_a_token_cannot_guess_the_password_behind_it() {
    let server = open_server(&[]).await;
    let ann = sign_up(&server, "ann@example.org").await;
    let guess = |number: u32| {
        let change = json!({"old_password": format!("guess number {number}"), "password": "a new good one"});
        server.send(as_(&ann, Request::post("/auth/password", change)))
    };
    let answers = futures_util::future::join_all((0..8).map(guess)).await;
    let refused = answers.iter().filter(|answer| answer.status == 429);
    assert_eq!((refused.count(), answers.iter().filter(|answer| answer.status == 403).count()), (3, 5));
}

/// What the server's own key signs is a token only if it is of the kind that the server makes.
#[tokio::test]
async fn a_signature_of_our_own_key_alone_makes_no_token() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    let server = open_server(&[]).await;
    let ann = sign_up(&server, "ann@example.org").await;
    let token = ann["access_token"].as_str().unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let claims: Json = jsonwebtoken::dangerous::insecure_decode(token).unwrap().claims;
    let private = "SELECT private FROM _tide_signing_keys";
    let private: Vec<u8> = server.home.outside().query_row(private, [], |row| row.get(0)).unwrap();
    let signed = |header: &Header, claims: &Json| {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_ec_der(&private)).unwrap()
    };
    let ask = async |token: String| {
        let request = Request::post("/query", json!({"sql": "SELECT 1"})).without_token();
        server.send(request.header("Authorization", format!("Bearer {token}"))).await.status
    };
    let of_kind = |kind: Option<&str>| Header { typ: kind.map(str::to_owned), ..header.clone() };
    let with = |name: &str, value: Json| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    assert_eq!((header.alg, ask(signed(&header, &claims)).await), (Algorithm::ES256, 200));
    for kind in [None, Some("JWT"), Some("application/at+jwt"), Some("reset+jwt")] {
        assert_eq!(ask(signed(&of_kind(kind), &claims)).await, 401, "{kind:?}");
    }
    let (begun, ends) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    for altered in [
        with("exp", json!(begun - 1)),
        with("exp", json!(ends + 1)),
        with("iss", json!("elsewhere")),
        with("sid", json!("ses_other")),
        with("sub", json!("usr_other")),
    ] {
        assert_eq!(ask(signed(&header, &altered)).await, 401, "{altered}");
    }
    // What it says of a role is not listened to: the file knows.
    let said = signed(&header, &with("role", json!("admin")));
    assert_eq!(
        server.send(Request::get("/auth/users").header("Authorization", format!("Bearer {said}"))).await.status,
        403
    );
}

#[tokio::test]
async fn somebody_without_an_account_gets_one_and_keeps_the_rows() {
    let server = open_server(&[]).await;
    with_notes(&server).await;
    let guest = post(&server, "/auth/anonymous", json!({})).await.result();
    assert_eq!(guest["user"]["is_anonymous"], true);
    sql(&server, &guest, "INSERT INTO notes (body) VALUES ('mine')").await.result();
    assert_eq!(sql(&server, &guest, "SELECT auth.role() AS r").await.result(), json!([{"r": "anonymous"}]));
    sign_up(&server, "bob@example.org").await;
    let upgrade = |email: &str| {
        server.send(as_(&guest, Request::post("/auth/upgrade", json!({"email": email, "password": PASSWORD}))))
    };
    upgrade("bob@example.org").await.is_refused(409, "conflict", "No account can be made");
    assert_eq!(upgrade("ann@example.org").await.result()["is_anonymous"], false);
    upgrade("other@example.org").await.is_refused(409, "conflict", "No account can be made");
    let ann = sign_in(&server, "ann@example.org", PASSWORD).await.result();
    assert_eq!(ann["user"]["id"], guest["user"]["id"]);
    assert_eq!(
        sql(&server, &ann, "SELECT body, auth.role() AS r FROM notes").await.result(),
        json!([{"body": "mine", "r": "user"}])
    );
}

#[tokio::test]
async fn what_is_closed_stays_closed_and_bad_input_is_named() {
    let server = Server::start().await;
    let body = json!({"email": "ann@example.org", "password": PASSWORD});
    post(&server, "/auth/signup", body.clone()).await.is_refused(403, "forbidden", "Sign-up is closed");
    post(&server, "/auth/anonymous", json!({})).await.is_refused(403, "forbidden", "without an account");
    let added =
        server.send(Request::post("/auth/users", json!({"email": "ann@example.org", "password": PASSWORD}))).await;
    assert_eq!(added.status, 201, "{}", added.text());
    let ann = sign_in(&server, " ann@EXAMPLE.org ", PASSWORD).await.result();
    for (path, body, word) in [
        ("/auth/login", json!({"email": "ann@example.org"}), "password"),
        ("/auth/login", json!([]), "JSON object"),
        ("/auth/login", json!({"email": 1, "password": 2}), "expected a string"),
        ("/auth/refresh", json!({}), "refresh_token"),
        ("/auth/reset", json!({"token": "x"}), "password"),
    ] {
        post(&server, path, body).await.is_refused(400, "invalid", word);
    }
    for (body, word) in [
        (json!({"email": "nobody", "password": PASSWORD}), "ann@example.org"),
        (json!({"email": "bob@example.org", "password": "short"}), "at least 8"),
        (json!({"email": "bob@example.org", "password": "password123"}), "guessed"),
        (json!({"email": "bob@example.org", "password": PASSWORD, "claims": 5}), "claims"),
        (json!({"email": "bob@example.org", "role": "admin"}), "role"),
    ] {
        server.send(Request::post("/auth/users", body)).await.is_refused(400, "invalid", word);
    }
    for request in [
        Request::get("/auth/users"),
        Request::post("/auth/keys", json!({})),
        Request::new("PATCH", "/auth/users/ann@example.org").json(json!({"claims": {"admin": true}})),
        Request::post("/auth/users/ann@example.org/reset", json!({})),
    ] {
        server.send(as_(&ann, request)).await.is_refused(403, "forbidden", "admin token");
    }
    // A token of another kind has no sessions.
    server.send(Request::get("/auth/sessions")).await.is_refused(403, "forbidden", "people who have signed in");
    let list = server.send(Request::get("/auth/users?limit=1")).await.result();
    assert_eq!(list[0]["email"], "ann@example.org");
    server.send(Request::get("/auth/users?limit=0")).await.is_refused(400, "invalid", "limit");
}

#[tokio::test]
async fn sessions_and_keys_outlive_a_restart_and_keys_are_changed_on_command() {
    let home = Home::new();
    let server = run(&home, &[]).await;
    let ann = sign_up(&server, "ann@example.org").await;
    let (status, output) = server.stop().await;
    assert!(status.success(), "{output:?}");
    let server = run(&home, &[]).await;
    sql(&server, &ann, "SELECT 1").await.result();
    let public = server.send(Request::get("/.well-known/jwks.json").without_token()).await.json();
    assert_eq!((public["keys"][0]["kty"].clone(), public["keys"][0]["alg"].clone()), (json!("EC"), json!("ES256")));
    assert!(public["keys"][0].get("d").is_none(), "{public}");
    let keys = server.send(Request::post("/auth/keys", json!({}))).await.result();
    assert_eq!(keys.as_array().unwrap().len(), 2);
    sql(&server, &ann, "SELECT 1").await.result();
    let again = post(&server, "/auth/refresh", json!({"refresh_token": ann["refresh_token"]})).await.result();
    let key = |token: &Json| jsonwebtoken::decode_header(token.as_str().unwrap()).unwrap().kid.unwrap();
    assert_ne!(key(&again["access_token"]), key(&ann["access_token"]));
    assert_eq!(json!(key(&again["access_token"])), keys[0]["id"]);
    sql(&server, &again, "SELECT 1").await.result();
}

#[tokio::test]
async fn a_token_that_runs_out_closes_its_socket_unless_another_comes() {
    let server = open_server(&["access_token_time_max=2000"]).await;
    let (ann, bob) = (sign_up(&server, "ann@example.org").await, sign_up(&server, "bob@example.org").await);
    let mut kept = Socket::try_open(server.address, "/ws", ann["access_token"].as_str()).await.unwrap();
    let mut left = Socket::try_open(server.address, "/ws", ann["access_token"].as_str()).await.unwrap();
    kept.next().await;
    left.next().await;
    let other = kept.ask(json!({"id": 1, "action": "auth", "token": bob["access_token"]})).await;
    assert_eq!(other["code"], "conflict", "{other}");
    let wrong = kept.ask(json!({"id": 2, "action": "auth", "token": "nonsense"})).await;
    assert_eq!(wrong["code"], "unauthorized", "{wrong}");
    let next = post(&server, "/auth/refresh", json!({"refresh_token": ann["refresh_token"]})).await.result();
    let renewed = kept.ask(json!({"id": 3, "action": "auth", "token": next["access_token"]})).await;
    assert_eq!(renewed["result"], true, "{renewed}");
    assert_eq!(left.closed().await.0, 4401);
    // That one had to wait for its own.
    assert_eq!(kept.closed().await.0, 4401);
    sql(&server, &next, "SELECT 1").await.is_refused(401, "unauthorized", "token");
}

#[tokio::test]
async fn a_signed_token_that_is_altered_in_any_way_is_worth_nothing() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
    let server = open_server(&[]).await;
    let (ann, bob) = (sign_up(&server, "ann@example.org").await, sign_up(&server, "bob@example.org").await);
    let token = ann["access_token"].as_str().unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let part = |index: usize| -> Json { serde_json::from_slice(&BASE64.decode(parts[index]).unwrap()).unwrap() };
    let encoded = |json: &Json| BASE64.encode(json.to_string());
    let with_header = |name: &str, value: Json| {
        let mut header = part(0);
        header[name] = value;
        format!("{}.{}.{}", encoded(&header), parts[1], parts[2])
    };
    let with_claim = |name: &str, value: Json| {
        let mut claims = part(1);
        claims[name] = value;
        format!("{}.{}.{}", parts[0], encoded(&claims), parts[2])
    };
    let public = server.send(Request::get("/.well-known/jwks.json").without_token()).await.json();
    // The public key as the secret of an HMAC.
    let confused = {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        (header.kid, header.typ) = (part(0)["kid"].as_str().map(str::to_owned), Some("at+jwt".into()));
        let secret = jsonwebtoken::EncodingKey::from_secret(public["keys"][0].to_string().as_bytes());
        jsonwebtoken::encode(&header, &part(1), &secret).unwrap()
    };
    let theirs: Vec<&str> = bob["access_token"].as_str().unwrap().split('.').collect();
    for altered in [
        with_header("alg", json!("none")),
        format!("{}.{}.", with_header("alg", json!("none")).split('.').next().unwrap(), parts[1]),
        with_header("alg", json!("HS256")),
        confused,
        with_header("kid", json!("key_other")),
        with_header("kid", json!("' OR 1=1 --")),
        with_header("jku", json!("https://attacker.example/jwks.json")),
        with_header("typ", json!("JWT")),
        with_claim("sub", bob["user"]["id"].clone()),
        with_claim("exp", json!(9_999_999_999_i64)),
        format!("{}.{}.{}", parts[0], theirs[1], parts[2]),
        format!("{}.{}.{}", parts[0], parts[1], theirs[2]),
        format!("{token}A"),
        format!("{}.{}.", parts[0], parts[1]),
        format!(".{}.{}", parts[1], parts[2]),
        "..".into(),
        "a.b.c".into(),
    ] {
        let request = Request::post("/query", json!({"sql": "SELECT 1"})).without_token();
        let answer = server.send(request.header("Authorization", format!("Bearer {altered}"))).await;
        answer.is_refused(401, "unauthorized", "The token is wrong, or its time has passed.");
    }
    sql(&server, &ann, "SELECT 1").await.result();
}

#[tokio::test]
async fn one_caller_or_one_address_may_ask_only_so_much() {
    let home = Home::new();
    let limits = ["caller_requests_per_second_max=5", "stranger_requests_per_minute_max=6", "caller_sockets_max=2"];
    let server = run(&home, &limits).await;
    let ann = sign_up(&server, "ann@example.org").await;
    let answers = futures_util::future::join_all((0..12).map(|_| sql(&server, &ann, "SELECT 1"))).await;
    let refused = answers.iter().find(|answer| answer.status == 429).expect("twelve at one time are too many");
    refused.is_refused(429, "too_many", "Too many requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // The administrator is not bound.
    let answers = futures_util::future::join_all((0..12).map(|_| server.query(json!({"sql": "SELECT 1"})))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let wrong = |_| server.send(Request::get("/data").header("Authorization", "Bearer wrong"));
    let answers = futures_util::future::join_all((0..12).map(wrong)).await;
    assert!(answers.iter().any(|answer| answer.status == 429));
    sign_in(&server, "ann@example.org", PASSWORD).await.is_refused(429, "too_many", "Try again in");
}

#[tokio::test]
async fn a_caller_has_so_many_sockets_and_no_more() {
    let server = open_server(&["caller_sockets_max=2"]).await;
    let (ann, bob) = (sign_up(&server, "ann@example.org").await, sign_up(&server, "bob@example.org").await);
    let open =
        |person: Json| async move { Socket::try_open(server.address, "/ws", person["access_token"].as_str()).await };
    let first = open(ann.clone()).await.unwrap();
    let _second = open(ann.clone()).await.unwrap();
    match open(ann.clone()).await {
        Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => {
            assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        }
        other => panic!("a third socket: {:?}", other.map(|_| ())),
    }
    let _his = open(bob).await.unwrap();
    first.close().await;
    crate::server::within("a place to be free again", async {
        while open(ann.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
