//! One WebSocket on `/ws` with one live query, and the revision it has been told up to.
//!
//! Frames are recognised by their first bytes: with a thousand sockets on the machine that also runs the server, a JSON
//! parser here would be measured instead of the server.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::told::{Listener, News};

pub struct Subscriber {
    socket: WebSocketStream<TcpStream>,
    told: u64,
}

/// What a frame means to a listener that only counts.
#[derive(Debug, PartialEq, Eq)]
enum Frame {
    /// Rows of the live query changed, and it now stands at this revision.
    Delta(u64),
    /// The last chunk of the result at this revision.
    Rows(u64),
    Other,
}

impl Subscriber {
    /// Connects, subscribes, and returns when all rows of the result have come.
    pub async fn open(address: SocketAddr, token: &str, sql: &str, params: &Value) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting a WebSocket")?;
        stream.set_nodelay(true)?;
        // Small buffers: the default of 128 KiB a socket would make 5,000 of them expensive on this side.
        let config = WebSocketConfig::default().read_buffer_size(2048);
        let url = format!("ws://{address}/ws?token={token}");
        let (mut socket, _) = tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await?;
        let subscribe = json!({ "id": 1, "action": "subscribe", "sql": sql, "params": params });
        socket.send(Message::text(subscribe.to_string())).await?;
        let mut subscriber = Self { socket, told: 0 };
        loop {
            match subscriber.frame().await? {
                Frame::Rows(revision) => break subscriber.told = revision,
                Frame::Delta(revision) => bail!("a delta to {revision} came before the rows were complete"),
                Frame::Other => {}
            }
        }
        Ok(subscriber)
    }

    async fn frame(&mut self) -> Result<Frame> {
        match self.socket.next().await.context("the server closed a WebSocket")?? {
            Message::Text(text) => read(&text),
            Message::Close(reason) => bail!("the server closed a WebSocket: {reason:?}"),
            _ => Ok(Frame::Other),
        }
    }
}

impl Listener for Subscriber {
    async fn news(&mut self) -> Result<News> {
        loop {
            if let Frame::Delta(to) | Frame::Rows(to) = self.frame().await? {
                let after = std::mem::replace(&mut self.told, to);
                return Ok(News { after, to });
            }
        }
    }
}

fn read(text: &str) -> Result<Frame> {
    let start = head(text);
    if start.contains("\"type\":\"delta\"") {
        // A delta that inserts nothing tells of no insert, and the inserts are what is counted.
        let inserts = text.contains("\"insert\":[[");
        let to = number_after(start, "\"to\":").context("a delta without \"to\"")?;
        return Ok(if inserts { Frame::Delta(to) } else { Frame::Other });
    }
    if start.contains("\"type\":\"rows\"") {
        // `done` stands behind the rows as a rule, but its place is not promised.
        let frame: Value = serde_json::from_str(text)?;
        let revision = frame["revision"].as_u64().context("rows without a revision")?;
        return Ok(if frame["done"] == true { Frame::Rows(revision) } else { Frame::Other });
    }
    if start.contains("\"type\":\"error\"") {
        bail!("the server answered a subscription with {}", text.chars().take(300).collect::<String>());
    }
    Ok(Frame::Other)
}

/// The part of a frame that names it. Cut at a character, not in one.
fn head(text: &str) -> &str {
    let mut end = text.len().min(120);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn number_after(text: &str, mark: &str) -> Option<u64> {
    let digits = &text[text.find(mark)? + mark.len()..];
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delta_with_inserted_rows_tells_its_revision() {
        let text = r#"{"type":"delta","from":7,"to":9,"queries":[{"id":1,"insert":[["k",1,"r1"]]}]}"#;
        assert_eq!(read(text).unwrap(), Frame::Delta(9));
    }

    #[test]
    fn a_delta_without_inserts_tells_nothing() {
        let text = r#"{"type":"delta","from":7,"to":9,"queries":[{"id":1,"delete":["k"]}]}"#;
        assert_eq!(read(text).unwrap(), Frame::Other);
    }

    #[test]
    fn only_the_last_chunk_of_rows_counts() {
        let chunk =
            r#"{"id":1,"type":"rows","revision":5,"tag":"t","columns":["é"],"ordered":false,"rows":[],"done":false}"#;
        assert_eq!(read(chunk).unwrap(), Frame::Other);
        assert_eq!(read(&chunk.replace("false}", "true}")).unwrap(), Frame::Rows(5));
    }

    #[test]
    fn an_error_ends_the_measurement() {
        assert!(read(r#"{"id":1,"type":"error","error":"no such table: t","code":"invalid"}"#).is_err());
        assert_eq!(read(r#"{"type":"at","revision":5}"#).unwrap(), Frame::Other);
    }
}
