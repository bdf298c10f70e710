//! A subscriber over Server-Sent Events, as PocketBase has them: the stream is opened, tells a client id, and that
//! client then says in a request of its own what it wants to hear.

use std::collections::VecDeque;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::{Caller, Connection};
use crate::told::{Listener, News};

/// A line longer than this is not an event of ours.
const LINE_BYTES_MAX: usize = 1 << 20;

pub struct EventStream {
    stream: TcpStream,
    received: Vec<u8>,
    /// Sequence numbers heard and not yet passed on.
    heard: VecDeque<u64>,
}

impl EventStream {
    pub async fn open(address: SocketAddr, caller: &Caller, topic: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut request = Vec::new();
        caller.get(&mut request, "/api/realtime");
        stream.write_all(&request).await?;
        let mut events = Self { stream, received: Vec::new(), heard: VecDeque::new() };
        let client = loop {
            let lines = events.lines().await?;
            if let Some(id) = lines.iter().find_map(|line| client_id(line)) {
                break id;
            }
        };
        let body = json!({ "clientId": client, "subscriptions": [topic] }).to_string();
        caller.post(&mut request, "/api/realtime", &body);
        let mut connection = Connection::open(address).await?;
        connection.exchange(&request).await?.checked().context("subscribing")?;
        Ok(events)
    }

    /// Complete lines, marks of chunks among them: an event is flushed as one chunk, so its lines are whole.
    async fn lines(&mut self) -> Result<Vec<String>> {
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the server closed an event stream");
        }
        let end = self.received.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if self.received.len() - end > LINE_BYTES_MAX {
            bail!("a line of more than {LINE_BYTES_MAX} bytes in an event stream");
        }
        let complete: Vec<u8> = self.received.drain(..end).collect();
        Ok(String::from_utf8_lossy(&complete).lines().map(str::to_owned).collect())
    }
}

impl Listener for EventStream {
    async fn news(&mut self) -> Result<News> {
        loop {
            if let Some(sequence) = self.heard.pop_front() {
                // Each event tells of one row, and they may come in any order.
                return Ok(News { after: sequence - 1, to: sequence });
            }
            let lines = self.lines().await?;
            self.heard.extend(lines.iter().filter_map(|line| sequence(line)));
        }
    }
}

fn client_id(line: &str) -> Option<String> {
    let event: serde_json::Value = serde_json::from_str(line.strip_prefix("data:")?).ok()?;
    Some(event["clientId"].as_str()?.to_owned())
}

/// The field `seq` of a created record, which counts from 1.
fn sequence(line: &str) -> Option<u64> {
    let record = line.strip_prefix("data:")?;
    let digits = &record[record.find("\"seq\":")? + 6..];
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    digits[..end].parse().ok().filter(|sequence| *sequence > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_its_sequence() {
        let line = r#"data:{"action":"create","record":{"body":"x","id":"a","room":"r1","seq":17}}"#;
        assert_eq!(sequence(line), Some(17));
        assert_eq!(sequence("event:feed/*"), None);
        assert_eq!(sequence(r#"data:{"record":{"seq":0}}"#), None);
    }

    #[test]
    fn the_first_event_names_the_client() {
        assert_eq!(client_id(r#"data:{"clientId":"c1"}"#).as_deref(), Some("c1"));
    }
}
