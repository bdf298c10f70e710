//! HTTP/1.1 by hand, one connection a request: what is sent can be as broken as a test wants it.

use super::TOKEN;
use serde_json::Value as Json;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Clone, Debug)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// With the right token and no body.
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        let headers = vec![("Authorization".into(), format!("Bearer {TOKEN}"))];
        Self { method, path: path.into(), headers, body: Vec::new() }
    }

    pub fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    pub fn post(path: impl Into<String>, body: Json) -> Self {
        Self::new("POST", path).json(body)
    }

    pub fn json(self, body: Json) -> Self {
        self.header("Content-Type", "application/json").body(body.to_string())
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a header; an empty value takes it away.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        let value = value.into();
        if !value.is_empty() {
            self.headers.push((name.into(), value));
        }
        self
    }

    pub fn without_token(self) -> Self {
        self.header("Authorization", "")
    }

    pub fn head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: tidebase\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    pub async fn send(self, address: SocketAddr) -> Answer {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        let (mut from, mut to) = stream.into_split();
        let head = format!("{}Connection: close\r\nContent-Length: {}\r\n\r\n", self.head(), self.body.len());
        // Whoever refuses a body may answer before it has read all of it.
        let sending = async move {
            let _ = to.write_all(head.as_bytes()).await;
            let _ = to.write_all(&self.body).await;
            to
        };
        let receiving = async {
            let mut bytes = Vec::new();
            let _ = from.read_to_end(&mut bytes).await;
            bytes
        };
        let (bytes, _open_until_answered) = tokio::join!(receiving, sending);
        Answer::parse(&bytes)
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| {
            panic!("no answer, only {:?}", String::from_utf8_lossy(bytes));
        });
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status line");
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = lines.filter_map(header).collect();
        let mut answer = Self { status, headers, body: bytes[end + 4..].to_vec() };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = unchunked(&answer.body);
        }
        answer
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        let headers: Vec<String> = self.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        format!("{} {headers:?} {}", self.status, String::from_utf8_lossy(&self.body))
    }

    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn result(&self) -> Json {
        assert!([200, 201].contains(&self.status), "{}", self.text());
        self.json()["result"].take()
    }

    pub fn revision(&self) -> i64 {
        let revision = self.header("tidebase-revision").and_then(|text| text.parse().ok());
        revision.unwrap_or_else(|| panic!("no Tidebase-Revision: {}", self.text()))
    }

    /// A refusal has its status, its code and a message with these words.
    #[track_caller]
    pub fn is_refused(&self, status: u16, code: &str, words: &str) {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{}", self.text());
        assert!(body["error"].as_str().is_some_and(|message| message.contains(words)), "{words:?}? {}", self.text());
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some((size, rest)) = chunk(bytes) {
        whole.extend_from_slice(&rest[..size]);
        bytes = &rest[size + 2..];
    }
    whole
}

/// The size of a chunk that is here in full, and the bytes from its first one on.
pub fn chunk(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
    let rest = &bytes[end + 2..];
    (size > 0 && rest.len() >= size + 2).then_some((size, rest))
}
