//! Topics: messages to whoever listens, kept ones for who comes back, and who is present.

use crate::server::Server;
use crate::server::http::{Answer, Request};
use crate::server::socket::Socket;
use serde_json::{Value as Json, json};

impl Server {
    async fn publish(&self, topic: &str, data: Json) -> i64 {
        let answer = self.send(Request::post(format!("/topics/{topic}"), json!({ "data": data }))).await;
        answer.result()["cursor"].as_i64().unwrap_or_else(|| panic!("no cursor: {}", answer.text()))
    }

    async fn keep(&self, topic: &str, keep: i64) -> Answer {
        self.send(Request::new("PUT", format!("/topics/{topic}")).json(json!({ "keep": keep }))).await
    }

    /// A socket that listens to the topic, or goes on after a cursor.
    async fn listen(&self, topic: &str, after: Option<i64>) -> Socket {
        let mut socket = self.live().await;
        let mut subscribe = json!({ "id": "t", "action": "subscribe", "topic": topic });
        if let Some(after) = after {
            subscribe["after"] = json!(after);
        }
        socket.send(subscribe).await;
        socket.still_served_after_requests().await;
        socket
    }
}

impl Socket {
    /// A read waits for the requests before it: afterwards a subscription is in place.
    async fn still_served_after_requests(&mut self) {
        self.ask(json!({ "id": "settled", "action": "query", "sql": "SELECT 1" })).await;
    }

    async fn message(&mut self) -> Json {
        let old = self.seen.iter().position(|frame| frame["type"] == "message");
        if let Some(at) = old {
            self.seen.remove(at)
        } else {
            let message = self.until(|frame| frame["type"] == "message").await;
            self.seen.pop();
            message
        }
    }
}

#[tokio::test]
async fn a_topics_name_may_have_slashes_written_either_way() {
    let server = Server::start().await;
    let mut socket = server.listen("chat/lobby", None).await;
    for path in ["chat/lobby", "chat%2Flobby"] {
        server.publish(path, json!(path)).await;
        let message = socket.message().await;
        assert_eq!((&message["topic"], &message["data"]), (&json!("chat/lobby"), &json!(path)));
    }
}

#[tokio::test]
async fn a_message_reaches_all_who_listen_by_whatever_face_it_came() {
    let server = Server::start().await;
    let mut one = server.listen("chat", None).await;
    let mut two = server.live().await;
    two.send(json!({ "action": "subscribe", "topic": "chat" })).await;
    two.still_served_after_requests().await;
    let mut elsewhere = server.listen("other", None).await;
    let cursor = server.publish("chat", json!({ "text": "hi" })).await;
    assert_eq!(
        one.message().await,
        json!({ "id": "t", "type": "message", "topic": "chat", "cursor": cursor, "data": { "text": "hi" } })
    );
    assert_eq!(
        two.message().await,
        json!({ "type": "message", "topic": "chat", "cursor": cursor, "data": { "text": "hi" } })
    );
    let answer = one.ask(json!({ "id": "p", "action": "publish", "topic": "chat", "data": "from a socket" })).await;
    let second = answer["result"]["cursor"].as_i64().unwrap();
    assert!(second > cursor);
    assert_eq!(two.message().await["cursor"], second);
    assert_eq!(one.message().await["data"], "from a socket", "its own, too");
    one.send(json!({ "action": "publish", "topic": "chat", "data": null })).await;
    assert_eq!(two.message().await["data"], json!(null));
    elsewhere.still_serves().await;
    assert!(!elsewhere.seen.iter().any(|frame| frame["type"] == "message"));
}

#[tokio::test]
async fn messages_come_in_order_and_none_after_the_end() {
    let server = Server::start().await;
    let mut listener = server.listen("chat", None).await;
    let mut speaker = server.live().await;
    let publish = |number: i64| json!({ "action": "publish", "topic": "chat", "data": number });
    speaker.send_all((0..200).map(publish)).await;
    let mut last = 0;
    for number in 0..200 {
        let message = listener.message().await;
        assert_eq!(message["data"], number);
        assert!(message["cursor"].as_i64().unwrap() > last);
        last = message["cursor"].as_i64().unwrap();
    }
    let ended = listener.ask(json!({ "id": "end", "action": "unsubscribe", "sub": "t" })).await;
    assert_eq!(ended["type"], "result");
    server.publish("chat", json!("unheard")).await;
    listener.still_serves().await;
    assert!(!listener.seen.iter().any(|frame| frame["type"] == "message"));
}

#[tokio::test]
async fn who_comes_back_gets_the_kept_messages_first_also_after_a_restart() {
    let server = Server::start().await;
    assert_eq!(server.keep("chat", 10).await.result(), json!({ "topic": "chat", "keep": 10 }));
    let mut cursors = Vec::new();
    for number in 0..4 {
        cursors.push(server.publish("chat", json!(number)).await);
    }
    let mut socket = server.listen("chat", Some(cursors[1])).await;
    assert_eq!([socket.message().await["data"].clone(), socket.message().await["data"].clone()], [json!(2), json!(3)]);
    server.publish("chat", json!(4)).await;
    assert_eq!(socket.message().await["data"], 4);

    let server = server.restart().await;
    let mut socket = server.listen("chat", Some(cursors[2])).await;
    assert_eq!([socket.message().await["data"].clone(), socket.message().await["data"].clone()], [json!(3), json!(4)]);
    let server = server.crash_and_restart().await;
    let mut socket = server.listen("chat", Some(cursors[3])).await;
    assert_eq!(socket.message().await["data"], 4, "they were durable when they were answered");
    let next = server.publish("chat", json!(5)).await;
    assert!(next > cursors[3]);
    assert_eq!(socket.message().await["data"], 5);
    assert!(!socket.seen.iter().any(|frame| frame["type"] == "resync"));
}

#[tokio::test]
async fn who_comes_too_late_is_told_that_messages_are_gone() {
    let server = Server::start().await;
    server.keep("chat", 3).await.result();
    let mut cursors = Vec::new();
    for number in 0..6 {
        cursors.push(server.publish("chat", json!(number)).await);
    }
    let mut socket = server.live().await;
    socket.send(json!({ "id": "t", "action": "subscribe", "topic": "chat", "after": cursors[0] })).await;
    let resync = socket.answer("t").await;
    assert_eq!((&resync["type"], &resync["topic"]), (&json!("resync"), &json!("chat")), "{resync}");
    let missing_to = resync["cursor"].as_i64().unwrap();
    assert!(missing_to >= cursors[2] && missing_to < cursors[3], "{missing_to} in {cursors:?}");
    server.publish("chat", json!("next")).await;
    for left in [json!(3), json!(4), json!(5), json!("next")] {
        assert_eq!(socket.message().await["data"], left, "what is left follows");
    }
    let mut in_time = server.listen("chat", Some(cursors[3])).await;
    assert_eq!(in_time.message().await["data"], 4);

    let nothing_kept = server.publish("fleeting", json!(1)).await;
    server.publish("fleeting", json!(2)).await;
    let mut socket = server.live().await;
    socket.send(json!({ "id": "t", "action": "subscribe", "topic": "fleeting", "after": nothing_kept })).await;
    assert_eq!(socket.answer("t").await["type"], "resync");
    let last = server.publish("fleeting", json!(3)).await;
    let mut socket = server.listen("fleeting", Some(last)).await;
    server.publish("fleeting", json!(4)).await;
    assert_eq!(socket.message().await["data"], 4, "who saw the last one has missed nothing");
    assert!(!socket.seen.iter().any(|frame| frame["type"] == "resync"));
}

#[tokio::test]
async fn a_cursor_from_the_future_keeps_no_message_away() {
    let server = Server::start().await;
    server.keep("kept", 10).await.result();
    for topic in ["kept", "fleeting"] {
        let now = server.publish(topic, json!(1)).await;
        let mut socket = server.listen(topic, Some(now + 3_600_000_000)).await;
        server.publish(topic, json!("new")).await;
        let told = socket.until_seen(|frame| frame["id"] == "t" && frame["data"] == "new").await;
        assert_eq!(told["topic"], topic);
    }
}

#[tokio::test]
async fn those_who_show_themselves_see_each_other_come_and_go() {
    let server = Server::start().await;
    let enter = |name: &str| json!({ "id": "t", "action": "subscribe", "topic": "room", "presence": { "name": name } });
    let states = |frame: &Json| {
        frame["join"].as_array().unwrap().iter().map(|one| one["state"]["name"].clone()).collect::<Vec<_>>()
    };
    let mut ann = server.live().await;
    let first = ann.ask(enter("Ann")).await;
    assert_eq!((&first["type"], states(&first)), (&json!("presence"), vec![json!("Ann")]), "{first}");
    let mut bob = server.live().await;
    let all = bob.ask(enter("Bob")).await;
    assert_eq!(states(&all), [json!("Ann"), json!("Bob")], "the first frame lists all");
    let join = ann.answer("t").await;
    assert_eq!((states(&join), &join["leave"]), (vec![json!("Bob")], &json!([])));
    let mut unseen = server.listen("room", None).await;

    // Not closed but gone, as with a phone in a tunnel.
    drop(bob);
    let leave = ann.answer("t").await;
    let bobs_session = &join["join"][0]["session"];
    assert_eq!((&leave["join"], &leave["leave"]), (&json!([]), &json!([{ "session": bobs_session }])));
    let mut cal = server.live().await;
    cal.ask(enter("Cal")).await;
    ann.answer("t").await;
    cal.ask(json!({ "id": "end", "action": "unsubscribe", "sub": "t" })).await;
    assert_eq!(ann.answer("t").await["leave"].as_array().unwrap().len(), 1);
    unseen.still_serves().await;
    assert!(!unseen.seen.iter().any(|frame| frame["type"] == "presence"), "who does not show itself is not told");
}

#[tokio::test]
async fn mistakes_with_topics_are_answered() {
    let server = Server::start().await;
    let mut socket = server.live().await;
    for (request, code) in [
        (json!({ "id": 1, "action": "subscribe", "topic": "" }), "invalid"),
        (json!({ "id": 1, "action": "subscribe", "topic": "x".repeat(256) }), "too_large"),
        (json!({ "id": 1, "action": "subscribe", "topic": "a", "presence": "x".repeat(20_000) }), "too_large"),
        (json!({ "id": 1, "action": "publish", "topic": "a" }), "invalid"),
        (json!({ "id": 1, "action": "publish", "data": 1 }), "invalid"),
        (json!({ "id": 1, "action": "publish", "topic": "a", "data": "x".repeat(300_000) }), "too_large"),
    ] {
        let answer = socket.ask(request).await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{answer}");
    }
    assert_eq!(socket.ask(json!({ "id": 1, "action": "publish", "topic": "a", "data": 1 })).await["type"], "result");
    server.send(Request::post("/topics/a", json!({ "message": 1 }))).await.is_refused(400, "invalid", "");
    server.send(Request::post("/topics/a", json!({}))).await.is_refused(400, "invalid", "data");
    server.keep("a", -1).await.is_refused(400, "invalid", "");
    server.keep("a", 1_000_000).await.is_refused(413, "too_large", "100000");
}

#[tokio::test]
async fn a_publish_sent_again_under_its_key_is_kept_once() {
    let server = Server::start().await;
    server.keep("chat", 10).await.result();
    let publish = Request::post("/topics/chat", json!({ "data": "once" })).header("Idempotency-Key", "one");
    let first = server.send(publish.clone()).await.result();
    assert_eq!(server.send(publish).await.result(), first, "it is a write like any other");
    assert_eq!(server.sql("SELECT count(*) AS n FROM _tide_messages").await, json!([{ "n": 1 }]));
}
