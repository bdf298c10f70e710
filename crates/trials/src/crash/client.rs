//! HTTP/1.1 as a writer needs it: one request after the other on a connection that is kept open.

use super::operation::{Outcome, Planned, Request};
use super::state::{HEADS, TOPIC, heads};
use super::violation;
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;

/// What the servers here are started with.
pub const TOKEN: &str = "the-token-of-the-crash-trial";

pub struct Client {
    stream: BufStream<TcpStream>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub revision: Option<i64>,
    pub is_repeated: bool,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).context("an answer that is no JSON")
    }
}

impl Client {
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufStream::new(stream) })
    }

    /// # Errors
    /// If the connection ends before the whole answer has come.
    pub async fn exchange(&mut self, method: &str, path: &str, key: Option<&str>, body: &str) -> Result<Answer> {
        let key = key.map_or_else(String::new, |key| format!("Idempotency-Key: {key}\r\n"));
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\n{key}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.write_all(body.as_bytes()).await?;
        self.stream.flush().await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Answer> {
        let status = self.line().await?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no HTTP answer")?;
        let (mut length, mut revision, mut is_repeated) = (0, None, false);
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(": ") else { break };
            match name {
                "content-length" => length = value.parse()?,
                "tidebase-revision" => revision = Some(value.parse()?),
                "idempotent-replayed" => is_repeated = value == "true",
                "transfer-encoding" => bail!("an answer in chunks, which this client does not read"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(Answer { status, revision, is_repeated, body })
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }

    /// A request that must succeed.
    pub async fn ask(&mut self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let answer = self.exchange(method, path, None, &body.to_string()).await?;
        if !(200..300).contains(&answer.status) {
            bail!("{method} {path} was answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        answer.json()
    }

    /// Reads where the writers stand: with a revision that is surely included.
    pub async fn heads(&mut self) -> Result<(i64, Vec<(usize, i64)>)> {
        let answer = self.exchange("POST", "/query", None, &json!({ "sql": HEADS }).to_string()).await?;
        let revision = answer.revision.context("a read without a revision")?;
        Ok((revision, heads(&answer.json()?["result"])?))
    }

    /// Sends a writer's request. `None`: the server did not say what became of it.
    pub async fn send(&mut self, planned: &Planned) -> Result<Option<Outcome>> {
        let (method, path, body) = http(planned.request());
        let Ok(answer) = self.exchange(method, &path, planned.key().as_deref(), &body).await else { return Ok(None) };
        match answer.status {
            200..300 | 409 => Ok(Some(Outcome {
                is_refused: answer.status == 409,
                revision: answer.revision,
                is_repeated: answer.is_repeated,
            })),
            // It is stopping.
            503 => Ok(None),
            status => {
                let body = String::from_utf8_lossy(&answer.body);
                Err(violation!("{planned:?} was answered {status}: {body}"))
            }
        }
    }
}

fn http(request: Request) -> (&'static str, String, String) {
    match request {
        Request::Sql { statements, is_transaction } => {
            let mut statements: Vec<Value> =
                statements.into_iter().map(|(sql, params)| json!({ "sql": sql, "params": params })).collect();
            let body = if is_transaction { json!({ "transaction": statements }) } else { statements.remove(0) };
            ("POST", "/query".into(), body.to_string())
        }
        Request::SetKey { name, value } => ("PUT", format!("/data/{name}"), format!("{{\"value\":{value}}}")),
        Request::RemoveKey { name } => ("DELETE", format!("/data/{name}"), String::new()),
        Request::Say { data } => ("POST", format!("/topics/{TOPIC}"), format!("{{\"data\":{data}}}")),
    }
}
