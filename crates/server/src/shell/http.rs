//! The little HTTP client the shell needs: one request at a time over plain HTTP/1.1, on a connection that is kept while
//! it is warm. No TLS, no redirects.

use super::failure::Failure;
use crate::interrupt::Interrupt;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidebase_engine::{Error, Result};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Servers close a quiet connection; one that was quiet this long is not trusted with a statement.
const WARM_TIME_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer. The server has a limit of its own, far below.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    /// A path in front of every call, for a server behind a proxy.
    prefix: String,
}

impl Address {
    /// # Errors
    /// `invalid` for what is no address, `unsupported` for other schemes than plain HTTP.
    pub fn parse(text: &str) -> Result<Self> {
        let no_address = || Error::invalid(format!("--url {text:?} is no address; it is like http://127.0.0.1:8080."));
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = full.parse().map_err(|_| no_address())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(Error::unsupported(
                    "This build of the shell speaks plain HTTP, not TLS. Give the server's own address, such as \
                     http://127.0.0.1:8080: on its machine, or through a tunnel (ssh -L 8080:127.0.0.1:8080 HOST).",
                ));
            }
            Some(scheme) => return Err(Error::unsupported(format!("--url speaks http, not {scheme}."))),
            None => return Err(no_address()),
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(no_address)?;
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(80), prefix })
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        match tokio::time::timeout(CONNECT_TIME_MAX, TcpStream::connect((host, self.port))).await {
            Ok(connected) => connected,
            Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time")),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.prefix)
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

type Sender = SendRequest<Full<Bytes>>;

#[derive(Debug)]
pub struct Client {
    pub address: Address,
    authorization: Option<HeaderValue>,
    runtime: Runtime,
    interrupt: Arc<Interrupt>,
    kept: Option<(Sender, Instant)>,
}

impl Client {
    pub fn new(address: Address, token: Option<&str>, interrupt: Arc<Interrupt>) -> Result<Self> {
        let header = |token: &str| -> Result<HeaderValue> {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
                .map_err(|_| Error::invalid("The token has characters that no token has."))?;
            value.set_sensitive(true);
            Ok(value)
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::internal("the runtime could not be started").caused_by(error))?;
        Ok(Self { address, authorization: token.map(header).transpose()?, runtime, interrupt, kept: None })
    }

    pub fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        let request = self.request(Method::GET, path, Vec::new())?;
        self.send(request, None)
    }

    /// Sends a body to `path` and waits for the whole answer, for Ctrl-C, or at most `time_max`.
    pub fn post(&mut self, path: &str, body: Vec<u8>, time_max: Option<Duration>) -> Result<Answer, Failure> {
        let request = self.request(Method::POST, path, body)?;
        self.send(request, time_max)
    }

    fn send(&mut self, request: Request<Full<Bytes>>, time_max: Option<Duration>) -> Result<Answer, Failure> {
        let Self { address, runtime, interrupt, kept, .. } = self;
        runtime.block_on(async {
            let exchange = exchange(address, kept, request);
            let time_max = time_max.unwrap_or(Duration::MAX);
            tokio::select! {
                answer = exchange => answer,
                () = interrupt.wait() => Err(Failure::Interrupted),
                () = tokio::time::sleep(time_max) => Err(Failure::refused(format!("{address} did not answer in time."))),
            }
        })
    }

    fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address.prefix))
            .header(HOST, format!("{}:{}", self.address.host, self.address.port))
            .header(USER_AGENT, concat!("tidebase/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::refused(format!("The request cannot be made: {error}.")))
    }
}

async fn exchange(
    address: &Address,
    kept: &mut Option<(Sender, Instant)>,
    mut request: Request<Full<Bytes>>,
) -> Result<Answer, Failure> {
    if let Some((mut sender, used)) = kept.take()
        && used.elapsed() < WARM_TIME_MAX
        && sender.ready().await.is_ok()
    {
        match sender.try_send_request(request).await {
            Ok(response) => return finish(address, kept, sender, response).await,
            Err(mut error) => match error.take_message() {
                // Closed before a byte of it was written: safe to send on a new connection.
                Some(unsent) => request = unsent,
                None => return Err(broken(address)),
            },
        }
    }
    let stream = address.connect().await.map_err(|error| {
        Failure::refused(format!("Cannot reach {address}: {error}. Is the server running, and is this its address?"))
    })?;
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| broken(address))?;
    // Its errors come to the sender as well.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|_| broken(address))?;
    finish(address, kept, sender, response).await
}

async fn finish(
    address: &Address,
    kept: &mut Option<(Sender, Instant)>,
    sender: Sender,
    response: Response<hyper::body::Incoming>,
) -> Result<Answer, Failure> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|_| broken(address))?;
    *kept = Some((sender, Instant::now()));
    Ok(Answer { status, body: body.to_bytes() })
}

fn broken(address: &Address) -> Failure {
    Failure::refused(format!(
        "The connection to {address} broke before the answer was here. Whether the statement was carried out is not \
         known: look before sending it again."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, expected) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://example.org/", "http://example.org:80"),
            ("localhost:8080", "http://localhost:8080"),
            ("http://[::1]:8080/tide/", "http://[::1]:8080/tide"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), expected);
        }
        for (text, word) in [
            ("https://example.org", "TLS"),
            ("ws://example.org", "not ws"),
            ("", "no address"),
            ("http://", "no address"),
            ("not an address", "no address"),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        // Bound and let go again: nobody listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = Address::parse(&format!("127.0.0.1:{port}")).unwrap();
        let mut client = Client::new(address, None, Arc::default()).unwrap();
        match client.post("/query/raw", Vec::new(), None) {
            Err(Failure::Refused(refusal)) => assert!(refusal.message.contains("Cannot reach"), "{}", refusal.message),
            other => panic!("{other:?}"),
        }
    }
}
