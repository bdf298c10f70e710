//! `tidebase token`, `user`, `policy` and `keys`: what the administrator keeps, on a running server.
//!
//! Each command is one call of the HTTP interface, by the same rules as anybody's; [`print`] shows the answer to people, `--json` to
//! programs. What needs a stopped server (`token reset-admin`) is in [`crate::token`].

mod keys;
mod policies;
pub mod print;
mod tokens;
mod users;

pub use keys::keys;
pub use policies::policies;
pub use tokens::{Tokens, tokens};
pub use users::users;

use crate::cli::RemoteArgs;
use reqwest::{Method, Url};
use serde_json::Value as Json;
use std::time::Duration;
use tidebase_engine::{Code, Error, Result};

const DEFAULT_URL: &str = "http://127.0.0.1:8080";
/// A password takes its time, and a policy waits for the writer.
const TIME_MAX: Duration = Duration::from_mins(1);

/// A server, and the token for it.
pub struct Remote {
    url: Url,
    token: String,
    client: reqwest::Client,
    as_json: bool,
}

impl Remote {
    fn new(args: &RemoteArgs) -> Result<Self> {
        Self::with(args, reqwest::Client::builder().timeout(TIME_MAX))
    }

    /// For what takes as long as it takes, as long as something is heard.
    pub fn patient(args: &RemoteArgs) -> Result<Self> {
        Self::with(args, reqwest::Client::builder())
    }

    fn with(args: &RemoteArgs, client: reqwest::ClientBuilder) -> Result<Self> {
        let from = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let url = args.url.clone().or_else(|| from("TIDEBASE_URL")).unwrap_or_else(|| DEFAULT_URL.into());
        let full = if url.contains("://") { url.clone() } else { format!("http://{url}") };
        let no_address = || Error::invalid(format!("--url {url:?} is no address; it is like {DEFAULT_URL}."));
        let parsed = Url::parse(&full).ok().filter(Url::has_host).ok_or_else(no_address)?;
        let token = args.token.clone().or_else(|| from("TIDEBASE_ADMIN_TOKEN")).ok_or_else(|| {
            Error::unauthorized("This needs the admin token: set TIDEBASE_ADMIN_TOKEN, or give it with --token.")
        })?;
        let client = client
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tidebase/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::internal("no HTTP client").caused_by(error))?;
        Ok(Self { url: parsed, token, client, as_json: args.json })
    }

    /// Calls the path made of these parts; gives `result`, or nothing where there is none.
    pub fn call(&self, method: Method, path: &[&str], query: &[(&str, &str)], body: Option<&Json>) -> Result<Json> {
        let mut request = self.request(method, path, query)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        let (status, text) = crate::runtime()?.block_on(async {
            let response = request.send().await.map_err(|error| self.unreachable(&error))?;
            let status = response.status();
            Ok::<_, Error>((status, response.text().await.map_err(|error| self.unreachable(&error))?))
        })?;
        self.answered(status, &text)
    }

    /// A request to the path made of these parts.
    pub fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<reqwest::RequestBuilder> {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .map_err(|()| Error::invalid(format!("--url {} has no room for a path.", self.url)))?
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.client.request(method, url).bearer_auth(self.token.trim()))
    }

    pub fn unreachable(&self, error: &reqwest::Error) -> Error {
        let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(" ({cause})"));
        Error::unavailable(format!("Cannot reach {}{cause}. Is the server running, and is this its address?", self.url))
    }

    /// The `result` of an answer, or nothing where there is none.
    pub fn answered(&self, status: reqwest::StatusCode, text: &str) -> Result<Json> {
        if status == reqwest::StatusCode::NO_CONTENT {
            return Ok(Json::Null);
        }
        let mut answer: Json = serde_json::from_str(text)
            .map_err(|_| Error::unavailable(format!("{} answered {status}, and not as Tidebase does.", self.url)))?;
        match answer["error"].as_str() {
            Some(error) => Err(Error::new(Code::Invalid, error)),
            None => Ok(answer["result"].take()),
        }
    }

    fn get(&self, path: &[&str]) -> Result<Json> {
        self.get_with(path, &[])
    }

    fn get_with(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Json> {
        self.call(Method::GET, path, query, None)
    }

    fn post(&self, path: &[&str], body: &Json) -> Result<Json> {
        self.call(Method::POST, path, &[], Some(body))
    }

    fn patch(&self, path: &[&str], body: &Json) -> Result<Json> {
        self.call(Method::PATCH, path, &[], Some(body))
    }

    fn delete(&self, path: &[&str]) -> Result<Json> {
        self.call(Method::DELETE, path, &[], None)
    }

    /// For people a sentence, for programs the answer.
    pub fn say(&self, answer: &Json, sentence: &str) {
        crate::print_lines(&if self.as_json { answer.to_string() } else { sentence.to_owned() });
    }

    /// For people a table of these columns, for programs the answer.
    fn show(&self, answer: &Json, columns: &[&str], nothing: &str) {
        if self.as_json {
            return crate::print_lines(&answer.to_string());
        }
        let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        crate::print_lines(&if rows.is_empty() { nothing.to_owned() } else { print::table(rows, columns) });
    }
}

/// A JSON object given as an argument.
fn object(name: &str, text: Option<&String>) -> Result<Option<Json>> {
    let Some(text) = text else { return Ok(None) };
    match serde_json::from_str::<Json>(text) {
        Ok(json) if json.is_object() => Ok(Some(json)),
        _ => Err(Error::invalid(format!("--{name} is a JSON object such as '{{\"team\": \"north\"}}', not {text}."))),
    }
}
