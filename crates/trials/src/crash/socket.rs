//! `/ws` as a subscriber needs it.

use super::client::TOKEN;
use super::state::TOPIC;
use super::told::{MESSAGES, QUERIES, STREAM, Wish};
use anyhow::{Context as _, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tidebase_engine::Since;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

pub struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    pub async fn open(address: SocketAddr, wishes: &[Wish]) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{address}/ws?token={TOKEN}");
        let (stream, _) = tokio_tungstenite::client_async(url, stream).await.context("opening a WebSocket")?;
        let mut socket = Self { stream };
        for wish in wishes {
            socket.wish(wish).await?;
        }
        Ok(socket)
    }

    async fn wish(&mut self, wish: &Wish) -> Result<()> {
        let mut asked = match wish {
            Wish::Query { id, since } => json!({ "id": id, "sql": QUERIES[*id], "since": known(since.as_ref()) }),
            Wish::Changes { since } => json!({ "id": STREAM, "table": "*", "since": known(since.as_ref()) }),
            Wish::Messages { after } => json!({ "id": MESSAGES, "topic": TOPIC, "after": after }),
        };
        asked["action"] = "subscribe".into();
        Ok(self.stream.send(Message::text(asked.to_string())).await?)
    }

    /// The next frame; `None` once the connection has ended, in whatever way.
    pub async fn frame(&mut self) -> Option<String> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}

fn known(since: Option<&Since>) -> Value {
    since.map_or(Value::Null, |since| json!({ "history": since.history, "revision": since.revision, "tag": since.tag }))
}
