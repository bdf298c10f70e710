//! Who may call: tokens, tickets, and pages of other origins.

use crate::server::events::Events;
use crate::server::http::Request;
use crate::server::socket::Socket;
use crate::server::{Home, Process, Server, TOKEN};
use serde_json::json;
use tokio_tungstenite::tungstenite::Error;

/// One request on every face.
fn everything() -> Vec<Request> {
    let sql = json!({ "sql": "SELECT 1" });
    vec![
        Request::post("/query", sql.clone()),
        Request::post("/query/raw", sql),
        Request::get("/data"),
        Request::get("/data/key"),
        Request::post("/data/key", json!({ "value": 1 })),
        Request::new("DELETE", "/data/key"),
        Request::post("/topics/chat", json!({ "data": 1 })),
        Request::new("PUT", "/topics/chat").json(json!({ "keep": 1 })),
        Request::post("/auth/ticket", json!({})),
        Request::get("/live?sql=SELECT%201"),
        Request::get("/metrics"),
        Request::get("/status/database"),
        Request::get("/status/live"),
    ]
}

#[tokio::test]
async fn without_a_token_or_with_a_wrong_one_nothing_is_answered() {
    let server = Server::start().await;
    for request in everything() {
        for authorization in ["", "Bearer wrong", "Bearer", "Basic dGhlOnRva2Vu", "Bearer the-token-of-these-test"] {
            let answer = server.send(request.clone().header("Authorization", authorization)).await;
            answer.is_refused(401, "unauthorized", "token");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        let path = request.head().split(' ').nth(1).unwrap().to_owned();
        if !path.starts_with("/live") {
            let in_the_address = Request::get(format!("{path}?token={TOKEN}")).without_token();
            let status = server.send(in_the_address).await.status;
            assert!([401, 405].contains(&status), "{path}: a token in the address is for sockets only, but {status}");
        }
    }
    for path in ["/ws", "/socket"] {
        for token in [None, Some("wrong")] {
            match Socket::try_open(server.address, path, token).await {
                Err(Error::Http(answer)) => assert_eq!(answer.status(), 401),
                Err(error) => panic!("{path}: {error}"),
                Ok(_) => panic!("{path} was opened with {token:?}"),
            }
        }
    }
    let alive = server.send(Request::get("/health").without_token()).await;
    assert_eq!(alive.status, 200);
}

#[tokio::test]
async fn a_browsers_socket_may_put_the_token_or_a_ticket_into_the_address() {
    let server = Server::start().await;
    let open = async |path: String| Socket::try_open(server.address, &path, None).await;
    assert!(open(format!("/ws?token={TOKEN}")).await.is_ok());
    assert!(open(format!("/socket?token={TOKEN}")).await.is_ok());
    let issued = server.send(Request::post("/auth/ticket", json!({}))).await.result();
    assert!(issued["expires_in"].as_i64().is_some_and(|seconds| seconds > 0), "{issued}");
    let ticket = issued["ticket"].as_str().unwrap();
    assert!(open(format!("/ws?token={ticket}")).await.is_ok());
    assert!(open(format!("/ws?token={ticket}")).await.is_err(), "a ticket serves once");
    let issued = server.send(Request::post("/auth/ticket", json!({}))).await.result();
    let stream = Request::get(format!("/live?sql=SELECT%201&token={}", issued["ticket"].as_str().unwrap()));
    let mut events = Events::open(server.address, stream.without_token()).await;
    assert_eq!(events.next().await.unwrap().kind, "hello");
}

#[tokio::test]
async fn a_preflight_is_answered_before_anyone_is_asked_for_a_token() {
    let server = Server::start().await;
    for path in ["/query", "/data/key", "/live", "/no/such/path"] {
        let preflight = Request::new("OPTIONS", path).without_token().header("Origin", "https://app.example");
        let answer = server.send(preflight.header("Access-Control-Request-Method", "POST")).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}: {}", answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let headers = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
        for header in ["authorization", "content-type", "idempotency-key", "tidebase-min-revision", "last-event-id"] {
            assert!(headers.contains(header), "{header} is not in {headers}");
        }
        let methods = answer.header("access-control-allow-methods").unwrap();
        assert!(["GET", "POST", "PUT", "PATCH", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
    }
    let refused = server.send(Request::get("/data").without_token()).await;
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"), "the script may read why");
    assert_eq!(refused.header("access-control-allow-credentials"), None);
    let read = server.query(json!({ "sql": "SELECT 1" })).await;
    assert!(read.header("access-control-expose-headers").unwrap().contains("Tidebase-Revision"));
}

#[tokio::test]
async fn only_the_named_origins_may_read_when_some_are_named() {
    let home = Home::new();
    let mut command = home.command();
    command.args(["--cors", "https://one.example, https://two.example"]);
    let server = Server::run(&home, command).await;
    for (origin, allowed) in [("https://two.example", Some("https://two.example")), ("https://three.example", None)] {
        for method in ["OPTIONS", "GET"] {
            let answer = server.send(Request::new(method, "/data").header("Origin", origin)).await;
            assert_eq!(answer.header("access-control-allow-origin"), allowed, "{method} {origin}");
            assert_eq!(answer.header("vary"), Some("Origin"));
        }
    }
}

#[tokio::test]
async fn a_token_is_never_in_a_page_a_log_or_an_answer() {
    let home = Home::new();
    let mut command = home.command();
    command.env("TIDEBASE_LOG", "trace");
    let mut server = Server::run(&home, command).await;
    let mut seen = String::new();
    for request in everything().into_iter().filter(|request| !request.head().contains("/live")) {
        seen.push_str(&server.send(request.clone()).await.text());
        seen.push_str(&server.send(request.header("Authorization", format!("Bearer {TOKEN}x"))).await.text());
    }
    for path in ["/", "/page.js", "/session.js", "/page.css", "/no/such/path"] {
        seen.push_str(&server.send(Request::get(format!("{path}?token={TOKEN}"))).await.text());
    }
    for path in ["/ws", "/socket"] {
        let mut socket = Socket::try_open(server.address, &format!("{path}?token={TOKEN}"), None).await.unwrap();
        socket.send_text("not JSON").await;
        seen.push_str(&socket.next().await.to_string());
        socket.close().await;
    }
    let stream = Request::get(format!("/live?nonsense=1&token={TOKEN}")).without_token();
    seen.push_str(&server.send(stream).await.text());
    server.process.signal("TERM");
    let (_, output) = server.process.ended().await;
    assert!(output.err.contains("stopping"), "there is a log: {output:?}");
    for text in [seen, output.out, output.err] {
        assert!(!text.contains(TOKEN), "{text}");
    }
    let file = std::fs::read(&home.db).unwrap();
    assert!(!file.windows(TOKEN.len()).any(|bytes| bytes == TOKEN.as_bytes()));
}

#[tokio::test]
async fn a_new_admin_token_is_shown_once_and_kept_as_a_hash() {
    let home = Home::new();
    let mut server = Server::run(&home, home.command_without_token()).await;
    let output = server.process.output_with("the token", |output| output.out.matches('\n').count() >= 5).await;
    let token = output.out.split_whitespace().find(|word| word.starts_with("tide_admin_")).expect("shown").to_owned();
    let read = Request::post("/query", json!({ "sql": "SELECT 1 AS one" }));
    let read = read.header("Authorization", format!("Bearer {token}"));
    assert_eq!(server.send(read.clone()).await.result(), json!([{ "one": 1 }]));
    let (_, output) = server.stop().await;
    assert!(!output.err.contains(&token), "the log has the token");

    let again = Server::run(&home, home.command_without_token()).await;
    assert_eq!(again.send(read.clone()).await.result(), json!([{ "one": 1 }]));
    let (_, output) = again.stop().await;
    assert!(!output.out.contains(&token) && !output.err.contains(&token), "shown again: {output:?}");
    let file = std::fs::read(&home.db).unwrap();
    assert!(!file.windows(token.len()).any(|bytes| bytes == token.as_bytes()), "the file has the token itself");

    let given = home.start().await;
    given.send(read).await.is_refused(401, "unauthorized", "token");
    given.sql("SELECT 1").await;
}

#[tokio::test]
async fn a_token_that_can_be_guessed_is_refused_at_the_start() {
    let home = Home::new();
    let mut command = home.command();
    command.env("TIDEBASE_ADMIN_TOKEN", "short");
    let (status, output) = Process::run(command).ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(output.err.contains("at least 8") && !output.err.contains("short"), "{output:?}");
    // One that is hardly longer works, and the log says what may come of it.
    for (token, is_short) in [("hunter-2-and-3", true), ("let-me-in-please", false)] {
        let home = Home::new();
        let mut command = home.command();
        command.env("TIDEBASE_ADMIN_TOKEN", token);
        let server = Server::run(&home, command).await;
        let asked = Request::post("/query", json!({"sql": "SELECT 1 AS one"}));
        let answer = server.send(asked.header("Authorization", format!("Bearer {token}"))).await;
        assert_eq!(answer.result(), json!([{ "one": 1 }]));
        let (_, output) = server.stop().await;
        assert_eq!(output.err.contains("fewer than 16 characters"), is_short, "{output:?}");
        assert!(!output.err.contains(token), "{output:?}");
    }
}
