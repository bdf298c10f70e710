//! Every route, asked by those who may not: nobody without a token, and no caller what is the administrator's.
//!
//! The routes are those of `/openapi.json`, which a unit test holds to the router. Whoever adds one finds it refused to everybody
//! here, or opens it in one of the two lists below.

use super::people::{as_, open_server, post, sign_up};
use crate::server::Server;
use crate::server::http::Request;
use serde_json::{Value as Json, json};

/// What needs no token.
const OF_EVERYBODY: [&str; 8] = [
    "GET /health",
    "GET /ready",
    "GET /.well-known/jwks.json",
    "POST /auth/signup",
    "POST /auth/login",
    "POST /auth/anonymous",
    "POST /auth/refresh",
    "POST /auth/reset",
];

/// What callers may ask: what they get there, policies say, or it is about themselves.
const OF_CALLERS: [&str; 28] = [
    "POST /query",
    "POST /query/raw",
    "GET /socket",
    "GET /ws",
    "GET /live",
    "GET /openapi.json",
    "GET /types.ts",
    "GET /data",
    "GET /docs/{path}",
    "POST /docs/{path}",
    "PUT /docs/{path}",
    "PATCH /docs/{path}",
    "DELETE /docs/{path}",
    "POST /docs:batch",
    "POST /docs:commit",
    "GET /data/{key}",
    "PUT /data/{key}",
    "POST /data/{key}",
    "DELETE /data/{key}",
    "POST /topics/{topic}",
    "POST /auth/ticket",
    "POST /auth/upgrade",
    "POST /auth/logout",
    "GET /auth/me",
    "GET /auth/sessions",
    "DELETE /auth/sessions",
    "DELETE /auth/sessions/{id}",
    "POST /auth/password",
];

/// `METHOD /path` of all that a document describes.
fn described(document: &Json) -> Vec<String> {
    let paths = document["paths"].as_object().unwrap().iter();
    let all = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys().filter(|key| *key != "parameters");
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    all.collect()
}

fn request(route: &str) -> Request {
    let (method, path) = route.split_once(' ').unwrap();
    let method = ["GET", "POST", "PUT", "PATCH", "DELETE"].into_iter().find(|known| *known == method).unwrap();
    let filled: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
    let request = Request::new(method, filled.join("/"));
    if method == "GET" { request } else { request.json(json!({})) }
}

async fn start() -> (Server, Vec<String>) {
    let server = open_server(&["stranger_requests_per_minute_max=0", "caller_requests_per_second_max=0"]).await;
    let document = server.send(Request::get("/openapi.json")).await.json();
    let routes = described(&document);
    assert!(routes.len() > 50, "{routes:?}");
    for known in OF_EVERYBODY.iter().chain(&OF_CALLERS) {
        assert!(routes.iter().any(|route| route == known), "there is no {known} any more");
    }
    (server, routes)
}

#[tokio::test]
async fn nobody_is_answered_without_a_token_but_where_the_list_says_so() {
    let (server, mut routes) = start().await;
    for path in ["/rest/t", "/rest/t/1", "/rest/main/t", "/rest/_tide_tokens"] {
        routes.extend(["GET", "POST", "PUT", "PATCH", "DELETE"].map(|method| format!("{method} {path}")));
    }
    for route in &routes {
        for authorization in ["", "Bearer tide_client_wrong"] {
            let answer = server.send(request(route).header("Authorization", authorization)).await;
            if OF_EVERYBODY.contains(&route.as_str()) {
                let is_about_a_token = answer.status == 401 && answer.text().contains("needs a token");
                assert!(!is_about_a_token, "{route}: {}", answer.text());
            } else {
                assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("unauthorized")), "{route}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_the_administrators_is_refused_to_callers_of_every_kind() {
    let (server, routes) = start().await;
    let client = server.send(Request::post("/auth/tokens", json!({"name": "c", "role": "client"}))).await.result();
    let client = json!({"access_token": client["token"]});
    let anonymous = post(&server, "/auth/anonymous", json!({})).await.result();
    let user = sign_up(&server, "ann@example.org").await;
    for caller in [&client, &anonymous, &user] {
        for route in &routes {
            if OF_EVERYBODY.contains(&route.as_str()) || OF_CALLERS.contains(&route.as_str()) {
                continue;
            }
            let answer = server.send(as_(caller, request(route))).await;
            assert_eq!(
                (answer.status, &answer.json()["error"]),
                (403, &json!("This takes an admin token.")),
                "{route}: {}",
                answer.text()
            );
        }
        // What callers are told of is what is open to them, and no more.
        let told = server.send(as_(caller, Request::get("/openapi.json"))).await.json();
        let mut open: Vec<&str> = OF_EVERYBODY.iter().chain(&OF_CALLERS).copied().collect();
        let mut told = described(&told);
        open.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, open);
    }
    for route in OF_CALLERS {
        let answer = server.send(as_(&client, request(route))).await;
        assert!(answer.status != 401 && !answer.text().contains("admin token"), "{route}: {}", answer.text());
    }
    // And nothing was done by what was refused.
    assert_eq!(server.send(Request::get("/auth/users")).await.result().as_array().unwrap().len(), 2);
    assert_eq!(server.send(Request::get("/auth/keys")).await.result().as_array().unwrap().len(), 1);
}
