//! How much one caller, or one address, may ask: on every way in, and with addresses as a proxy tells them only behind one.

use super::callers::{bearer, token};
use super::people::{as_, open_server, sign_up};
use crate::server::events::Events;
use crate::server::http::Request;
use crate::server::socket::Socket;
use crate::server::{Home, Server};
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::Error;

/// The status a socket is refused with.
async fn refusal(server: &Server, path: &str, token: Option<&str>) -> Option<u16> {
    match Socket::try_open(server.address, path, token).await {
        Ok(_) => None,
        Err(Error::Http(answer)) => Some(answer.status().as_u16()),
        Err(error) => panic!("{path}: {error}"),
    }
}

#[tokio::test]
async fn what_a_caller_asks_is_measured_on_every_way_in() {
    let server = Server::start_with(&["caller_requests_per_second_max=2"]).await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let refused_at = |statuses: &[u16]| statuses.iter().position(|status| *status == 429);
    // Each way with a caller of its own: nothing of the others is used up.
    for route in [
        Request::post("/query", json!({"sql": "SELECT 1"})),
        Request::post("/query/raw", json!({"sql": "SELECT 1"})),
        Request::get("/rest/t"),
        Request::get("/data/k"),
        Request::post("/topics/t", json!({"data": 1})),
        Request::post("/auth/ticket", json!({})),
        Request::get("/auth/me"),
        Request::get("/auth/tokens"),
        Request::get("/openapi.json"),
        Request::get("/live?nothing"),
    ] {
        let client = token(&server, json!({})).await;
        let asked = (0..12).map(|_| server.send(bearer(route.clone(), &client)));
        let answers = futures_util::future::join_all(asked).await;
        let refused = answers.iter().find(|answer| answer.status == 429);
        let refused = refused.unwrap_or_else(|| panic!("twelve at one time are too many: {}", route.head()));
        refused.is_refused(429, "too_many", "Too many requests");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    for path in ["/ws", "/socket"] {
        let client = token(&server, json!({})).await;
        let mut opened = Vec::new();
        for _ in 0..12 {
            opened.push(refusal(&server, path, client["token"].as_str()).await.unwrap_or(101));
        }
        assert!(refused_at(&opened).is_some(), "{path} is opened as often as one likes: {opened:?}");
        let client = token(&server, json!({})).await;
        let mut socket = Socket::try_open(server.address, path, client["token"].as_str()).await.unwrap();
        socket.send_all((0..12).map(|id| json!({"id": id, "action": "query", "sql": "SELECT 1"}))).await;
        let refused = socket.until(|frame| frame["code"] == "too_many").await;
        assert!(refused["error"].as_str().unwrap().contains("Try again in"), "{path}: {refused}");
    }
}

#[tokio::test]
async fn sockets_and_event_streams_of_a_caller_are_counted_together() {
    let server = Server::start_with(&["caller_sockets_max=2"]).await;
    let live = |client: &Json| bearer(Request::get("/live?sql=SELECT+1"), client);
    for (first, second) in [("/ws", "/socket"), ("/socket", "/ws"), ("/ws", "/ws"), ("/socket", "/socket")] {
        let client = token(&server, json!({})).await;
        let given = client["token"].as_str();
        let _first = Socket::try_open(server.address, first, given).await.unwrap();
        let _second = Socket::try_open(server.address, second, given).await.unwrap();
        for path in ["/ws", "/socket"] {
            assert_eq!(refusal(&server, path, given).await, Some(429), "{path} behind {first} and {second}");
        }
        let refused = server.send(live(&client)).await;
        refused.is_refused(429, "too_many", "You have 2 sockets and event streams open");
    }
    let client = token(&server, json!({})).await;
    let _first = Events::open(server.address, live(&client)).await;
    let _second = Events::open(server.address, live(&client)).await;
    for path in ["/ws", "/socket"] {
        assert_eq!(refusal(&server, path, client["token"].as_str()).await, Some(429), "{path}");
    }
}

async fn behind_proxy(limits: &[&str]) -> Server {
    let home = Home::new();
    let mut command = home.command();
    command.args(["--behind-proxy", "--signup", "open", "--anonymous", "open"]);
    for limit in limits {
        command.args(["--limit", limit]);
    }
    Server::run(&home, command).await
}

#[tokio::test]
async fn what_strangers_ask_is_measured_by_their_address_on_every_way_in() {
    let server = behind_proxy(&["stranger_requests_per_minute_max=2"]).await;
    let credentials = json!({"email": "nobody@example.org", "password": "wrong password"});
    let wrong = |request: Request| request.header("Authorization", "Bearer tide_client_wrong");
    let ways = [
        Request::post("/auth/signup", json!({})),
        Request::post("/auth/login", credentials),
        Request::post("/auth/anonymous", json!({})),
        Request::post("/auth/refresh", json!({"refresh_token": "tide_refresh_a.b.c"})),
        Request::post("/auth/reset", json!({"token": "tide_reset_x", "password": "a new password"})),
        wrong(Request::post("/query", json!({"sql": "SELECT 1"}))),
        wrong(Request::get("/rest/t")),
        wrong(Request::get("/data")),
        wrong(Request::get("/auth/tokens")),
        wrong(Request::get("/ws")),
        wrong(Request::get("/socket")),
        wrong(Request::get("/live?sql=SELECT+1")),
        Request::get("/ws?token=tide_client_wrong").without_token(),
        Request::get("/socket?token=ticket_wrong").without_token(),
        Request::get("/live?sql=SELECT+1&token=a.b.c").without_token(),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let way = way.header("X-Forwarded-For", format!("10.0.0.{number}"));
        for asked in 0..3 {
            let status = server.send(way.clone()).await.status;
            assert_eq!(status == 429, asked == 2, "{status} for the {asked}. of {}", way.head());
        }
    }
}

#[tokio::test]
async fn an_address_that_a_client_tells_counts_only_behind_a_proxy_and_only_the_proxys_word() {
    let ask = async |server: &Server, told: &str| {
        let wrong = Request::get("/data").header("Authorization", "Bearer tide_client_wrong");
        server.send(wrong.header("X-Forwarded-For", told)).await.status
    };
    let open = Server::start_with(&["stranger_requests_per_minute_max=2"]).await;
    let mut told = Vec::new();
    for last in 0..4 {
        told.push(ask(&open, &format!("10.0.0.{last}")).await);
    }
    assert_eq!(told, [401, 401, 429, 429], "without a proxy all of them come from here");
    let proxied = behind_proxy(&["stranger_requests_per_minute_max=2"]).await;
    let mut told = Vec::new();
    for invented in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        told.push(ask(&proxied, &format!("{invented}, 192.0.2.1")).await);
    }
    assert_eq!(told, [401, 401, 429], "what stands before the proxy's word anybody may write");
    assert_eq!(ask(&proxied, "192.0.2.1, 192.0.2.2").await, 401);
    // What a session was begun from is told as it is known.
    let account = Request::post("/auth/signup", json!({"email": "a@example.org", "password": "correct horse"}));
    let ann = proxied.send(account.without_token().header("X-Forwarded-For", "10.9.9.9, 192.0.2.3:4711")).await;
    let sessions = proxied.send(as_(&ann.result(), Request::get("/auth/sessions"))).await.result();
    assert_eq!(sessions[0]["address"], "192.0.2.3");
    let direct = open_server(&[]).await;
    let bob = sign_up(&direct, "bob@example.org").await;
    let listed = as_(&bob, Request::get("/auth/sessions")).header("X-Forwarded-For", "10.9.9.9");
    assert_eq!(direct.send(listed).await.result()[0]["address"], "127.0.0.1");
}
