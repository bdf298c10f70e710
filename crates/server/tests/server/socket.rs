//! A WebSocket client that keeps every frame it was sent.

use super::{PATIENCE, TOKEN, within};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// Of `/ws`: its first frame.
    pub hello: Json,
    /// Every frame so far, but for `hello`.
    pub seen: Vec<Json>,
}

/// Browsers have no bound for what they are sent.
fn unbounded() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(None).max_frame_size(None)
}

impl Socket {
    pub async fn open(address: SocketAddr, path: &str) -> Self {
        let opened = Self::try_open(address, path, Some(TOKEN)).await;
        opened.unwrap_or_else(|error| panic!("{path} could not be opened: {error}"))
    }

    pub async fn try_open(address: SocketAddr, path: &str, token: Option<&str>) -> Result<Self, Error> {
        let mut request = format!("ws://{address}{path}").into_client_request()?;
        if let Some(token) = token {
            let bearer = HeaderValue::from_str(&format!("Bearer {token}")).expect("a plain token");
            request.headers_mut().insert("authorization", bearer);
        }
        let tcp = TcpStream::connect(address).await.expect("the server listens");
        let (stream, _) =
            within("a WebSocket", tokio_tungstenite::client_async_with_config(request, tcp, Some(unbounded()))).await?;
        Ok(Self { stream, hello: Json::Null, seen: Vec::new() })
    }

    pub async fn send(&mut self, frame: Json) {
        self.send_text(frame.to_string()).await;
    }

    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.send_message(Message::text(text.into())).await;
    }

    pub async fn send_message(&mut self, message: Message) {
        within("room to send", self.stream.send(message)).await.expect("the socket is open");
    }

    /// Sends a frame if the socket is still open.
    pub async fn try_send(&mut self, frame: Json) {
        let _ = within("room to send", self.stream.send(Message::text(frame.to_string()))).await;
    }

    /// Several frames in one go, without waiting for what they do.
    pub async fn send_all(&mut self, frames: impl IntoIterator<Item = Json>) {
        for frame in frames {
            let fed = within("room to send", self.stream.feed(Message::text(frame.to_string()))).await;
            fed.expect("the socket is open");
        }
        within("room to send", self.stream.flush()).await.expect("the socket is open");
    }

    /// The next frame.
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Json> {
        self.until(|_| true)
    }

    /// Reads up to the frame that is wanted.
    #[track_caller]
    pub fn until(&mut self, wanted: impl Fn(&Json) -> bool) -> impl Future<Output = Json> {
        let caller = std::panic::Location::caller();
        async move {
            let read = async {
                loop {
                    match self.stream.next().await {
                        Some(Ok(Message::Text(text))) => {
                            let frame: Json = serde_json::from_str(&text).expect("frames are JSON");
                            self.seen.push(frame.clone());
                            if wanted(&frame) {
                                return Ok(frame);
                            }
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        other => return Err(format!("the socket ended with {other:?}")),
                    }
                }
            };
            // Bounded as a whole: the server's pings must not prolong it.
            let read = tokio::time::timeout(PATIENCE, read).await;
            let read = read.unwrap_or_else(|_| Err(format!("no such frame in {PATIENCE:?}")));
            read.unwrap_or_else(|error| panic!("{caller}: {error}, after {}", self.last_frames()))
        }
    }

    /// The first such frame, be it among those already seen.
    pub async fn until_seen(&mut self, wanted: impl Fn(&Json) -> bool) -> Json {
        match self.seen.iter().find(|frame| wanted(frame)) {
            Some(seen) => seen.clone(),
            None => self.until(wanted).await,
        }
    }

    fn last_frames(&self) -> String {
        let start = |frame: &Json| frame.to_string().chars().take(300).collect::<String>();
        self.seen.iter().rev().take(5).rev().map(start).collect::<Vec<_>>().join("\n")
    }

    /// The next frame for this id.
    #[track_caller]
    pub fn answer(&mut self, id: impl Into<Json>) -> impl Future<Output = Json> {
        let id = id.into();
        self.until(move |frame| frame["id"] == id)
    }

    /// Sends a request and gives its answer.
    pub async fn ask(&mut self, request: Json) -> Json {
        let id = request["id"].clone();
        self.send(request).await;
        self.answer(id).await
    }

    /// Subscribes to SQL and gives its first rows.
    pub async fn subscribe(&mut self, id: impl Into<Json>, sql: &str) -> Json {
        let rows = self.ask(json!({ "id": id.into(), "action": "subscribe", "sql": sql })).await;
        assert_eq!(rows["type"], "rows", "{rows}");
        rows
    }

    /// Reads until the socket has been told that it stands at this revision or later.
    #[track_caller]
    pub fn reaches(&mut self, revision: i64) -> impl Future<Output = Json> {
        self.until(move |frame| stands_at(frame).is_some_and(|at| at >= revision))
    }

    /// Asks for something harmless: what was sent before it has been dealt with, what it caused has been seen.
    pub async fn still_serves(&mut self) {
        let pong = self.ask(json!({ "id": "still here?", "action": "ping" })).await;
        assert_eq!(pong["type"], "result", "{pong}");
    }

    /// Reads to the end and gives the code and the reason it was closed with.
    pub async fn closed(&mut self) -> (u16, String) {
        let end = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
                    Some(Ok(_)) => {}
                    other => panic!("closed without a code: {other:?}"),
                }
            }
        };
        within("the end of the socket", end).await
    }

    /// Closes it as a browser does.
    pub async fn close(mut self) {
        let _ = self.stream.close(None).await;
    }

    /// The bytes below the frames.
    pub fn tcp(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }
}

/// The revision at which a frame says that the socket's queries stand.
pub fn stands_at(frame: &Json) -> Option<i64> {
    match frame["type"].as_str()? {
        "delta" => frame["to"].as_i64(),
        "at" => frame["revision"].as_i64(),
        _ => None,
    }
}
