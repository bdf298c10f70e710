//! Callbacks: telling another server that something is done, by a POST that it can check to be ours.
//!
//! | file | |
//! |---|---|
//! | [`target`] | where one may go |
//! | [`address`] | which addresses are on the open internet |
//! | [`secret`] | what they are signed with |
//!
//! When one is sent, and again, is the business of whoever has something to tell.

mod address;
pub mod secret;
pub mod target;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use secret::Secret;
use std::net::SocketAddr;
use std::time::Duration;
use target::Lookup;
use tidebase_engine::{Error, Result};

pub struct Callbacks {
    pub lookup: Lookup,
    /// For development: private addresses, and http.
    pub may_be_private: bool,
    /// For all of one callback: looking the name up, connecting, the answer.
    pub time_max: Duration,
}

/// One that is to be sent. Sent again it has the same id, by which the other knows it.
#[derive(Clone, Copy, Debug)]
pub struct Callback<'a> {
    pub url: &'a str,
    pub id: &'a str,
    pub body: &'a str,
}

impl Callbacks {
    /// # Errors
    /// Why the other does not have it, or may not have understood it.
    pub async fn send(&self, callback: Callback<'_>, secret: &Secret, time: i64) -> Result<()> {
        let sent = tokio::time::timeout(self.time_max, self.attempt(callback, secret, time)).await;
        sent.unwrap_or_else(|_| Err(Error::timeout(format!("Nobody has answered for {:?}.", self.time_max))))
    }

    async fn attempt(&self, callback: Callback<'_>, secret: &Secret, time: i64) -> Result<()> {
        let url = target::check(callback.url, self.may_be_private)?;
        let addresses = target::vet(&url, &self.lookup, self.may_be_private).await?;
        let client = self.client(addresses)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let signature = secret.sign(time, callback.id, callback.body);
        for (name, value) in
            [(secret::TIME, time.to_string()), (secret::ID, callback.id.to_owned()), (secret::SIGNATURE, signature)]
        {
            let value = HeaderValue::try_from(value);
            headers.insert(name, value.map_err(|error| Error::internal("an odd header").caused_by(error))?);
        }
        let sent = client.post(url).headers(headers).body(callback.body.to_owned()).send().await;
        let status = sent.map_err(failed)?.status();
        // What else it says nobody reads, however long it is.
        if status.is_success() {
            Ok(())
        } else {
            let hint = if status.is_redirection() { ", and redirects are not followed" } else { "" };
            Err(Error::unavailable(format!("It answered {}{hint}.", status.as_u16())))
        }
    }

    /// For one callback. It knows no other machine than these, and no proxy that could.
    fn client(&self, addresses: Vec<SocketAddr>) -> Result<reqwest::Client> {
        reqwest::Client::builder()
            .dns_resolver(Pinned(addresses))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .https_only(!self.may_be_private)
            .pool_max_idle_per_host(0)
            .timeout(self.time_max)
            .user_agent(concat!("tidebase/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::internal("no client for a callback").caused_by(error))
    }
}

/// Whatever name is asked for, this is its answer.
struct Pinned(Vec<SocketAddr>);

impl Resolve for Pinned {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// In few words, and without addresses. What the address of a callback has in it, a token perhaps, no log shows.
fn failed(error: reqwest::Error) -> Error {
    let error = error.without_url();
    let what = if error.is_timeout() {
        "It did not answer in time."
    } else if error.is_connect() {
        "It cannot be connected to, or its certificate is not good."
    } else {
        "The connection broke before there was an answer."
    };
    tracing::info!(error = ?error, "a callback failed");
    Error::unavailable(what)
}

#[cfg(test)]
mod tests;
