//! Server-Sent Events as `curl -N` shows them.

use super::http::{Request, chunk};
use super::within;
use serde_json::Value as Json;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Clone, Debug)]
pub struct Event {
    pub kind: String,
    pub id: Option<String>,
    pub data: Json,
}

pub struct Events {
    stream: TcpStream,
    pub head: String,
    /// Bytes as they came, chunks not yet joined.
    raw: Vec<u8>,
    text: String,
}

impl Events {
    pub async fn open(address: SocketAddr, request: Request) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        stream.write_all(format!("{}\r\n", request.head()).as_bytes()).await.expect("the socket is open");
        let mut events = Self { stream, head: String::new(), raw: Vec::new(), text: String::new() };
        let answered = async {
            loop {
                if let Some(end) = events.raw.windows(4).position(|four| four == b"\r\n\r\n") {
                    return end;
                }
                assert!(events.read().await, "no answer to {}", request.head());
            }
        };
        let end = within("the stream's head", answered).await;
        events.head = String::from_utf8_lossy(&events.raw[..end]).to_ascii_lowercase();
        events.raw.drain(..end + 4);
        events
    }

    /// False at the end of the stream.
    async fn read(&mut self) -> bool {
        self.stream.read_buf(&mut self.raw).await.is_ok_and(|read| read > 0)
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        within("an event", self.read_event()).await
    }

    async fn read_event(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                if let Some(event) = event(&block) {
                    return Some(event);
                }
            } else if let Some((size, rest)) = chunk(&self.raw) {
                self.text.push_str(std::str::from_utf8(&rest[..size]).expect("chunks end between characters"));
                let used = self.raw.len() - rest.len() + size + 2;
                self.raw.drain(..used);
            } else if self.raw.starts_with(b"0\r\n") || !self.read().await {
                return None;
            }
        }
    }

    /// The next event of this kind.
    pub async fn until(&mut self, kind: &str) -> Event {
        let read = async {
            loop {
                let event = self.read_event().await.unwrap_or_else(|| panic!("the stream ended before {kind}"));
                if event.kind == kind {
                    return event;
                }
            }
        };
        within(kind, read).await
    }
}

/// `None` for a comment.
fn event(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let lines: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    };
    let data = serde_json::from_str(&field("data")?).expect("events carry JSON");
    Some(Event { kind: field("event").unwrap_or_default(), id: field("id"), data })
}
