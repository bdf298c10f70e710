//! Many WebSockets with many live queries each: opened together, and what all of them are told, counted.
//!
//! Frames are looked at as text: a JSON parser for each of 10,000 sockets would be measured instead of the server.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, spawn_local};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::tidebase::Tidebase;
use crate::told::allow_sockets;

const OPENING_MAX: usize = 16;

pub type Socket = WebSocketStream<TcpStream>;

/// What one subscription asks, its id aside.
pub struct Query {
    pub sql: &'static str,
    pub params: Value,
}

/// What all have heard together.
#[derive(Debug, Default)]
pub struct Heard {
    /// Changes of single queries.
    pub changes: u64,
    pub bytes: u64,
    pub last: Option<Instant>,
    trouble: Option<anyhow::Error>,
}

/// Sockets that listen for as long as this lives.
pub struct Crowd {
    heard: Rc<RefCell<Heard>>,
    tasks: Vec<AbortHandle>,
}

impl Crowd {
    /// Opens so many sockets with the queries of each, and waits for all first rows.
    pub async fn gather(server: &Tidebase, sockets: usize, queries: impl Fn(usize) -> Vec<Query>) -> Result<Self> {
        Self::gather_as(server, &vec![server.token.as_str(); sockets], queries).await
    }

    /// The same, a socket for each token.
    pub async fn gather_as(server: &Tidebase, tokens: &[&str], queries: impl Fn(usize) -> Vec<Query>) -> Result<Self> {
        allow_sockets(tokens.len())?;
        let opened: Vec<Socket> = stream::iter(tokens.iter().enumerate())
            .map(|(number, token)| subscribed(server, token, queries(number)))
            .buffer_unordered(OPENING_MAX)
            .try_collect()
            .await?;
        let heard = Rc::new(RefCell::new(Heard::default()));
        let listen = |socket| spawn_local(listen(socket, Rc::clone(&heard))).abort_handle();
        let tasks = opened.into_iter().map(listen).collect();
        Ok(Self { heard, tasks })
    }

    /// How many changes of single queries have been heard.
    pub fn changes(&self) -> u64 {
        self.heard.borrow().changes
    }

    /// Waits until so many have been heard, and gives when the last of them was.
    pub async fn hears(&self, changes: u64, patience: Duration) -> Result<Instant> {
        let asked = Instant::now();
        loop {
            {
                let mut heard = self.heard.borrow_mut();
                if let Some(trouble) = heard.trouble.take() {
                    return Err(trouble.context("a subscriber was lost"));
                }
                if heard.changes >= changes {
                    return heard.last.context("nothing was heard");
                }
            }
            ensure!(asked.elapsed() < patience, "{} of {changes} changes were heard", self.changes());
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

pub async fn connected(server: &Tidebase) -> Result<Socket> {
    connected_as(server, &server.token).await
}

async fn connected_as(server: &Tidebase, token: &str) -> Result<Socket> {
    let stream = TcpStream::connect(server.address).await.context("connecting a WebSocket")?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(2048);
    let url = format!("ws://{}/ws?token={token}", server.address);
    Ok(tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await?.0)
}

/// The next frame's text.
pub async fn heard(socket: &mut Socket) -> Result<String> {
    loop {
        match socket.next().await.context("the server closed a WebSocket")?? {
            Message::Text(text) if text.contains("\"type\":\"error\"") => bail!("the server answered {text}"),
            Message::Text(text) => return Ok(text.to_string()),
            Message::Close(reason) => bail!("the server closed a WebSocket: {reason:?}"),
            _ => {}
        }
    }
}

async fn subscribed(server: &Tidebase, token: &str, queries: Vec<Query>) -> Result<Socket> {
    let mut socket = connected_as(server, token).await?;
    let mut missing = queries.len();
    for (id, Query { sql, params }) in queries.into_iter().enumerate() {
        let frame = json!({ "id": id, "action": "subscribe", "sql": sql, "params": params });
        socket.feed(Message::text(frame.to_string())).await?;
    }
    socket.flush().await?;
    while missing > 0 {
        missing -= usize::from(heard(&mut socket).await?.contains("\"done\":true"));
    }
    Ok(socket)
}

async fn listen(mut socket: Socket, all: Rc<RefCell<Heard>>) {
    loop {
        match heard(&mut socket).await {
            Ok(text) => {
                let mut all = all.borrow_mut();
                all.bytes += text.len() as u64;
                if text.starts_with("{\"type\":\"delta\"") {
                    all.changes += text.matches("{\"id\":").count() as u64;
                    all.last = Some(Instant::now());
                }
            }
            Err(error) => {
                all.borrow_mut().trouble.get_or_insert(error);
                return;
            }
        }
    }
}
