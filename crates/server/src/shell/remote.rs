//! A running server, by `POST /query/raw`: a step of the shell is one request, and so one transaction.

use super::backend::Sink;
use super::failure::{Failure, Refusal};
use super::http::{Address, Answer, Client};
use super::script::changes_rows;
use crate::interrupt::Interrupt;
use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tidebase_engine::sqlite::tokens::{Class, class};
use tidebase_engine::{Result, Value};

#[derive(Debug)]
pub struct Remote {
    client: Client,
}

#[derive(Debug, Deserialize)]
struct Envelope<T> {
    result: T,
}

/// What a statement without a result leaves out is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Raw {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Meta {
    rows_written: u64,
}

#[derive(Debug, Deserialize)]
struct Problem {
    error: String,
    statement: Option<usize>,
}

impl Remote {
    pub fn new(url: &str, token: Option<&str>, interrupt: Arc<Interrupt>) -> Result<Self> {
        Ok(Self { client: Client::new(Address::parse(url)?, token, interrupt)? })
    }

    pub fn place(&self) -> String {
        self.client.address.to_string()
    }

    pub fn run(&mut self, statements: &[&str], sink: &mut dyn Sink) -> Result<(), Failure> {
        // BEGIN and COMMIT around it are understood: the request is a transaction by itself.
        let (sent, skipped) = match statements {
            [first, middle @ .., last] if class(first) == Class::Begin && class(last) == Class::Commit => (middle, 1),
            [first, ..] if class(first) == Class::Begin => {
                return Err(Failure::refused(
                    "Over --url a transaction is one entry, BEGIN; …; COMMIT; this one has no COMMIT. Nothing was sent.",
                ));
            }
            all => (all, 0),
        };
        self.send(sent, None, sink).map_err(|failure| match failure {
            Failure::Refused(refusal) => {
                Failure::Refused(Refusal { statement: refusal.statement + skipped, ..refusal })
            }
            other => other,
        })
    }

    pub fn ask(&mut self, sql: &str, time_max: Option<Duration>, sink: &mut dyn Sink) -> Result<(), Failure> {
        self.send(&[sql], time_max, sink)
    }

    fn send(&mut self, statements: &[&str], time_max: Option<Duration>, sink: &mut dyn Sink) -> Result<(), Failure> {
        let body = match statements {
            [] => return sink.done(None),
            [one] => json!({ "sql": one }),
            all => json!({ "transaction": all.iter().map(|sql| json!({ "sql": sql })).collect::<Vec<_>>() }),
        };
        let answer = self.client.post("/query/raw", body.to_string().into_bytes(), time_max)?;
        let results: Vec<Raw> = match statements {
            [_] => vec![self.result(&answer)?],
            _ => self.result(&answer)?,
        };
        statements.iter().zip(results).try_for_each(|(sql, result)| tell(sql, result, sink))
    }

    /// The body of a GET.
    pub fn get(&mut self, path: &str) -> Result<Bytes, Failure> {
        let answer = self.client.get(path)?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        self.result::<()>(&answer).map(|()| Bytes::new())
    }

    fn result<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Failure> {
        let what = if answer.status.is_success() {
            match serde_json::from_slice::<Envelope<T>>(&answer.body) {
                Ok(envelope) => return Ok(envelope.result),
                Err(error) => format!("with something else than a result ({error})"),
            }
        } else {
            match serde_json::from_slice::<Problem>(&answer.body) {
                Ok(problem) => return Err(self.refused(answer, problem)),
                Err(_) => format!("with {} and no reason", answer.status),
            }
        };
        let address = &self.client.address;
        Err(Failure::refused(format!("{address} answered {what}. Is it a Tidebase, and is the address right?")))
    }

    fn refused(&self, answer: &Answer, problem: Problem) -> Failure {
        let mut message = problem.error;
        match answer.status {
            StatusCode::UNAUTHORIZED => message.push_str(" Give it with --token, or in TIDEBASE_ADMIN_TOKEN."),
            StatusCode::NOT_FOUND => message.push_str(&format!(" Is {} the right address?", self.client.address)),
            _ => {}
        }
        Failure::Refused(Refusal { message, statement: problem.statement.unwrap_or(0), at: None })
    }
}

fn tell(sql: &str, result: Raw, sink: &mut dyn Sink) -> Result<(), Failure> {
    if result.columns.is_empty() {
        return sink.done(changes_rows(sql).then_some(result.meta.rows_written));
    }
    sink.columns(result.columns)?;
    result.rows.into_iter().try_for_each(|row| sink.row(row))?;
    sink.done(None)
}
