//! A keep-alive HTTP/1.1 client of as few instructions as possible: write the request's bytes, read until the answer is
//! complete. The load generator shares the machine with the server it measures, so its own cost is part of the result.
//!
//! Not here: redirects, compression, pipelining, TLS. Loopback only.

use std::borrow::Cow;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::answer::{self, Body, Chunks, Head};

/// An answer longer than this is a mistake of the run.
const ANSWER_BYTES_MAX: usize = 256 << 20;

pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

pub struct Answer<'a> {
    pub status: u16,
    pub revision: Option<u64>,
    /// Bytes of content.
    pub payload: usize,
    body: &'a [u8],
    chunked: bool,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096) })
    }

    /// One request, one answer. The answer borrows the connection's buffer, which the next request overwrites.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let head = self.read_head().await?;
        let payload = match head.body {
            Body::Length(length) => self.read_to(head.size, length).await?,
            Body::Chunked => self.read_chunks(head.size).await?,
        };
        Ok(Answer {
            status: head.status,
            revision: head.revision,
            payload,
            body: &self.received[head.size..],
            chunked: head.body == Body::Chunked,
        })
    }

    async fn read_head(&mut self) -> Result<Head> {
        loop {
            self.read_more().await?;
            if let Some(head) = answer::head(&self.received)? {
                return Ok(head);
            }
        }
    }

    async fn read_to(&mut self, head: usize, length: usize) -> Result<usize> {
        let wanted = head + length;
        // Capped: the length is the server's word, the memory is ours.
        self.received.reserve(wanted.saturating_sub(self.received.len()).min(1 << 20));
        while self.received.len() < wanted {
            self.read_more().await?;
        }
        Ok(length)
    }

    async fn read_chunks(&mut self, head: usize) -> Result<usize> {
        let mut chunks = Chunks::default();
        while !chunks.complete(&self.received[head..])? {
            self.received.reserve(64 << 10);
            self.read_more().await?;
        }
        Ok(chunks.payload)
    }

    async fn read_more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the server closed the connection in the middle of an answer");
        }
        if self.received.len() > ANSWER_BYTES_MAX {
            bail!("an answer of more than {ANSWER_BYTES_MAX} bytes");
        }
        Ok(())
    }
}

impl Answer<'_> {
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Refusals end a measurement: a rate of errors is not a rate of operations.
    pub fn checked(self) -> Result<Self> {
        if self.succeeded() {
            return Ok(self);
        }
        let text = self.content()?;
        let text = String::from_utf8_lossy(&text);
        bail!("answered {}: {}", self.status, text.chars().take(300).collect::<String>());
    }

    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.content()?).context("an answer that is not JSON")
    }

    fn content(&self) -> Result<Cow<'_, [u8]>> {
        Ok(if self.chunked { answer::joined(self.body)?.into() } else { self.body.into() })
    }
}

/// Everything of a request but its path and body, made once: where it goes and as whom.
#[derive(Debug, Clone)]
pub struct Caller {
    headers: String,
}

impl Caller {
    /// `authorization` is the whole header value; `None` calls as nobody.
    pub fn new(address: SocketAddr, authorization: Option<&str>) -> Self {
        let mut headers = format!("Host: {address}\r\n");
        if let Some(value) = authorization {
            headers.extend(["Authorization: ", value, "\r\n"]);
        }
        Self { headers }
    }

    /// Writes `GET path` over whatever `out` held.
    pub fn get(&self, out: &mut Vec<u8>, path: &str) {
        out.clear();
        for part in ["GET ", path, " HTTP/1.1\r\n", &self.headers, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// Writes `POST path` with a JSON body over whatever `out` held.
    pub fn post(&self, out: &mut Vec<u8>, path: &str, body: &str) {
        self.send(out, "POST", path, body);
    }

    pub fn send(&self, out: &mut Vec<u8>, method: &str, path: &str, body: &str) {
        out.clear();
        let length = body.len().to_string();
        for part in [
            method,
            " ",
            path,
            " HTTP/1.1\r\n",
            &self.headers,
            "Content-Type: application/json\r\nContent-Length: ",
            &length,
            "\r\n\r\n",
            body,
        ] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}
