//! Where a callback goes: what an address may be, and which of the machines behind its name it is sent to.
//!
//! The name is looked up once, all that is found must be on the open internet, and only to that is connected: whoever owns the name cannot
//! give another answer in between.

use super::address::is_global;
use reqwest::Url;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tidebase_engine::{Error, Result};

const URL_BYTES_MAX: usize = 2048;
const LOOKUP_TIME_MAX: Duration = Duration::from_secs(5);
/// Ports below are those of mail, shells and other things that are no web server.
const PORT_MIN: u16 = 1024;

pub type Found = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;
/// What a name stands for.
pub type Lookup = Arc<dyn Fn(String) -> Found + Send + Sync>;

/// As this machine looks names up.
pub fn lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|found| found.ip()).collect()) })
    })
}

/// The address, as far as it can be judged by its text.
///
/// # Errors
/// `invalid` with what it may be.
pub fn check(text: &str, may_be_private: bool) -> Result<Url> {
    let wrong = |what: &str| Error::invalid(format!("The callbackUrl {what}"));
    if text.len() > URL_BYTES_MAX {
        return Err(wrong(&format!("may have {URL_BYTES_MAX} bytes.")));
    }
    let url = Url::parse(text).map_err(|error| wrong(&format!("is no address: {error}.")))?;
    match url.scheme() {
        "https" => {}
        "http" if may_be_private => {}
        _ => return Err(wrong("must begin with https://.")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must have no user and no password. What comes is signed; look at the signature instead."));
    }
    let port = url.port_or_known_default().unwrap_or_default();
    if !may_be_private && port != 443 && port < PORT_MIN {
        return Err(wrong(&format!("may name the port 443, or one from {PORT_MIN} on, not {port}.")));
    }
    if let Some(address) = literal(&url) {
        vetted(&[address], may_be_private)?;
    } else if !may_be_private && is_of_this_machine(url.host_str().unwrap_or_default()) {
        return Err(closed());
    }
    Ok(url)
}

/// Where to connect to, now.
///
/// # Errors
/// `invalid` if any machine behind the name is not on the open internet; `unavailable` if there is none.
pub async fn vet(url: &Url, lookup: &Lookup, may_be_private: bool) -> Result<Vec<SocketAddr>> {
    let port = url.port_or_known_default().unwrap_or_default();
    let addresses = match (literal(url), url.host_str()) {
        (Some(address), _) => vec![address],
        (None, Some(name)) => found(name, lookup).await?,
        (None, None) => Vec::new(),
    };
    vetted(&addresses, may_be_private)?;
    Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

async fn found(name: &str, lookup: &Lookup) -> Result<Vec<IpAddr>> {
    let unknown = |why: String| Error::unavailable(format!("The name {name} cannot be looked up: {why}."));
    let found = tokio::time::timeout(LOOKUP_TIME_MAX, lookup(name.to_owned())).await;
    let found = found.map_err(|_| unknown("nobody answers".into()))?;
    let found = found.map_err(|error| unknown(error.to_string()))?;
    if found.is_empty() { Err(unknown("it has no address".into())) } else { Ok(found) }
}

/// However it was spelt: `2130706433` and `0x7f.1` are 127.0.0.1 to whoever parses addresses, and to us.
fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn vetted(addresses: &[IpAddr], may_be_private: bool) -> Result<()> {
    if may_be_private || addresses.iter().all(|address| is_global(*address)) { Ok(()) } else { Err(closed()) }
}

fn is_of_this_machine(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

/// Which of them, is not told: it would be a map of a network.
fn closed() -> Error {
    Error::invalid(
        "The callbackUrl leads to a machine that is not on the open internet. For development --allow-private-callbacks allows it.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(addresses: &[&str]) -> Lookup {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(move |_| {
            let addresses = addresses.clone();
            Box::pin(async move { Ok(addresses) })
        })
    }

    #[test]
    fn what_an_address_says_of_itself_is_judged_however_it_is_spelt() {
        for (text, words) in [
            ("", "no address"),
            ("/notify", "no address"),
            ("http://example.org/", "https://"),
            ("ftp://example.org/", "https://"),
            ("file:///etc/passwd", "https://"),
            ("https://user@example.org/", "no user"),
            ("https://user:pass@example.org/", "no user"),
            ("https://example.org:22/", "port"),
            ("https://example.org:80/", "port"),
            ("https://127.0.0.1/", "open internet"),
            ("https://169.254.169.254/latest/meta-data", "open internet"),
            ("https://[::1]/", "open internet"),
            ("https://[::ffff:10.0.0.1]/", "open internet"),
            ("https://[::ffff:a00:1]/", "open internet"),
            ("https://[64:ff9b::10.0.0.1]/", "open internet"),
            ("https://[2002:7f00:1::]/", "open internet"),
            ("https://2130706433/", "open internet"),
            ("https://017700000001/", "open internet"),
            ("https://0x7f000001/", "open internet"),
            ("https://0x7f.1/", "open internet"),
            ("https://127.1/", "open internet"),
            ("https://0/", "open internet"),
            ("https://①②⑦.0.0.1/", "open internet"),
            ("https://127.0.0.1./", "open internet"),
            ("https://localhost/", "open internet"),
            ("https://LOCALHOST./", "open internet"),
            ("https://a.localhost/", "open internet"),
        ] {
            let error = check(text, false).expect_err(text);
            assert!(error.message.contains(words), "{text}: {}", error.message);
        }
        for good in
            ["https://example.org/notify?x=1", "https://example.org:8443/", "https://8.8.8.8/", "https://134744072/"]
        {
            assert!(check(good, false).is_ok(), "{good}");
        }
        assert!(check("http://127.0.0.1:80/", true).is_ok());
        assert!(check("ftp://127.0.0.1/", true).is_err());
        assert!(check(&format!("https://example.org/{}", "a".repeat(3000)), false).is_err());
    }

    #[tokio::test]
    async fn a_name_counts_by_all_that_is_behind_it() {
        let url = check("https://example.org:8443/", false).unwrap();
        let open = vet(&url, &finds(&["8.8.8.8", "2606:4700::1111"]), false).await.unwrap();
        assert_eq!(
            open.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["8.8.8.8:8443", "[2606:4700::1111]:8443"]
        );
        for bad in ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "fd00::1"] {
            let refused = vet(&url, &finds(&["8.8.8.8", bad]), false).await.unwrap_err();
            assert!(refused.message.contains("open internet") && !refused.message.contains(bad), "{refused:?}");
        }
        assert!(vet(&url, &finds(&[]), false).await.unwrap_err().message.contains("no address"));
        assert!(vet(&url, &finds(&["127.0.0.1"]), true).await.is_ok());
    }
}
