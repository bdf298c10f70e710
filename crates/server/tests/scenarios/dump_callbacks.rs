//! Callbacks: who has asked for a dump is told when it is over, by a POST that only this server can have signed.

use super::dumps::{ask, until};
use crate::server::http::Request;
use crate::server::{Home, Server, within};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Answers one request after the other with these, and gives what it was sent.
async fn hear(listener: &TcpListener, answers: &[&str]) -> Vec<String> {
    let mut heard = Vec::new();
    while heard.len() < answers.len() {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut piece).await {
            request.extend_from_slice(&piece[..read]);
            if request.ends_with(b"}") {
                let answer = answers[heard.len()];
                let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
                heard.push(String::from_utf8(request).unwrap());
                break;
            }
        }
    }
    heard
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let line = request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name}: {request}"))
}

fn body(request: &str) -> Json {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

async fn start(more: &[&str]) -> (Server, TcpListener, String) {
    let home = Home::new();
    let mut command = home.command();
    command.args(["--allow-private-callbacks", "--limit", "callback_pause_min=10"]).args(more);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/notify", listener.local_addr().unwrap());
    (Server::run(&home, command).await, listener, url)
}

#[tokio::test]
async fn whoever_has_asked_is_told_in_starbasedbs_words() {
    let (server, listener, url) = start(&[]).await;
    let key = ask(&server, json!({"format": "sql", "callbackUrl": url})).await;
    let heard = within("a callback", hear(&listener, &["204 No Content"])).await;
    let told = until(&server, &key, |status| status["callback"]["status"] == "delivered").await;
    assert_eq!(told["callback"], json!({"status": "delivered", "tries": 1}));
    assert_eq!(
        body(&heard[0]),
        json!({
            "status": "completed", "dumpId": key, "downloadUrl": told["downloadUrl"], "format": "sql",
            "size": told["size"], "completedAt": told["completedAt"],
        })
    );
    assert_eq!((header(&heard[0], "content-type"), header(&heard[0], "tidebase-id")), ("application/json", &*key));
    assert!(header(&heard[0], "tidebase-signature").starts_with("v1="));
    assert!(header(&heard[0], "tidebase-timestamp").parse::<u64>().unwrap() > 1_700_000_000);
}

#[tokio::test]
async fn a_callback_that_was_not_taken_is_sent_again_with_the_same_id_also_after_a_restart() {
    let (server, listener, url) = start(&[]).await;
    let key = ask(&server, json!({"format": "json", "callbackUrl": url})).await;
    let heard = within("two callbacks", hear(&listener, &["500 Oops", "302 Found"])).await;
    assert_eq!(header(&heard[0], "tidebase-id"), header(&heard[1], "tidebase-id"));
    assert_eq!(body(&heard[0]), body(&heard[1]));
    let waiting = until(&server, &key, |status| status["callback"]["tries"].as_u64() >= Some(2)).await;
    assert_eq!(waiting["callback"]["status"], "waiting", "{waiting}");
    let home = std::sync::Arc::clone(&server.home);
    server.stop().await;
    let mut command = home.command();
    command.args(["--allow-private-callbacks", "--limit", "callback_pause_min=10"]);
    let server = Server::run(&home, command).await;
    // The first may be one that the server before has left unanswered.
    let answering = async {
        loop {
            let again = hear(&listener, &["200 OK"]).await;
            assert_eq!(header(&again[0], "tidebase-id"), key);
        }
    };
    tokio::select! {
        () = answering => {}
        _ = until(&server, &key, |status| status["callback"]["status"] == "delivered") => {}
    }
}

#[tokio::test]
async fn a_callback_that_nobody_takes_is_given_up() {
    let (server, listener, url) = start(&["--limit", "callback_tries_max=3"]).await;
    drop(listener);
    let key = ask(&server, json!({"format": "sql", "callbackUrl": url})).await;
    let given_up = until(&server, &key, |status| status["callback"]["status"] == "failed").await;
    assert_eq!((&given_up["callback"]["tries"], &given_up["status"]), (&json!(3), &json!("completed")));
    assert!(given_up["callback"]["error"].as_str().unwrap().contains("connected"), "{given_up}");
}

#[tokio::test]
async fn a_dump_that_fails_is_told_too() {
    let (server, listener, url) = start(&["--limit", "dumps_bytes_max=10"]).await;
    let key = ask(&server, json!({"format": "sql", "callbackUrl": url})).await;
    let heard = within("a callback", hear(&listener, &["200 OK"])).await;
    let told = body(&heard[0]);
    assert_eq!((&told["status"], &told["dumpId"], &told["format"]), (&json!("failed"), &json!(key), &json!("sql")));
    assert!(told["error"].as_str().unwrap().contains("10 bytes") && told["failedAt"].is_string(), "{told}");
}

#[tokio::test]
async fn the_secret_is_shown_once_and_signs_from_then_on() {
    let (server, listener, url) = start(&[]).await;
    let when = server.send(Request::get("/export/dump/secret")).await.result();
    assert_eq!(when, json!({"madeAt": null}));
    let made = server.send(Request::post("/export/dump/secret", json!({}))).await;
    let secret = made.result()["secret"].as_str().unwrap().to_owned();
    assert!(made.status == 201 && secret.starts_with("tide_callback_"), "{}", made.text());
    let when = server.send(Request::get("/export/dump/secret")).await;
    assert!(when.result()["madeAt"].is_string() && !when.text().contains(&secret), "{}", when.text());
    for sql in ["SELECT secret FROM _tide_secrets", "SELECT hex(secret) FROM _tide_secrets"] {
        let answer = server.query(json!({ "sql": sql })).await;
        assert!(answer.status != 200 && answer.text().contains("holds secrets"), "{}", answer.text());
    }
    let system = server.send(Request::get("/export/dump?system=true")).await.text();
    assert!(system.contains("_tide_dumps") && !system.contains(&secret) && !system.contains("_tide_secrets"));
    ask(&server, json!({"format": "sql", "callbackUrl": url})).await;
    let heard = within("a callback", hear(&listener, &["200 OK"])).await;
    let (time, id) = (header(&heard[0], "tidebase-timestamp"), header(&heard[0], "tidebase-id"));
    let text = format!("{time}.{id}.{}", heard[0].split_once("\r\n\r\n").unwrap().1);
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let tag: String =
        aws_lc_rs::hmac::sign(&key, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(header(&heard[0], "tidebase-signature"), format!("v1={tag}"));
    let other = server.send(Request::post("/export/dump/secret", json!({}))).await.result();
    assert_ne!(other["secret"], secret);
}
