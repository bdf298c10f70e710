//! Callbacks to servers on this machine, by names that only these tests know.

use super::{Callback, Callbacks, secret::Secret};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidebase_engine::{Code, Error};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server that answers so, and what it was sent.
async fn listener(answer: String) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let hears = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                let mut piece = [0; 4096];
                match stream.read(&mut piece).await {
                    Ok(read @ 1..) => request.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
            hears.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, heard)
}

/// The name stands for each of these in turn, and then for the last.
fn callbacks(may_be_private: bool, answers: &[&str]) -> (Callbacks, Arc<AtomicUsize>) {
    let answers: Vec<IpAddr> = answers.iter().map(|answer| answer.parse().unwrap()).collect();
    let asked = Arc::<AtomicUsize>::default();
    let counts = Arc::clone(&asked);
    let lookup: super::Lookup = Arc::new(move |_| {
        let at = counts.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
        let found = vec![answers[at]];
        Box::pin(async move { Ok(found) })
    });
    (Callbacks { lookup, may_be_private, time_max: Duration::from_secs(20) }, asked)
}

async fn send(callbacks: &Callbacks, url: &str) -> Result<(), Error> {
    let callback = Callback { url, id: "dump_1", body: "{\"a\":1}" };
    callbacks.send(callback, &Secret::new(b"key"), 1_700_000_000).await
}

fn answer(head: &str) -> String {
    format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_callback_goes_to_the_machine_that_was_vetted_and_is_signed() {
    let (address, heard) = listener(answer("204 No Content")).await;
    // Looked up again it would be another machine.
    let (callbacks, asked) = callbacks(true, &["127.0.0.1", "192.0.2.1"]);
    send(&callbacks, &format!("http://rebinding.test:{}/notify?x=1", address.port())).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let heard = heard.lock().unwrap().join("");
    let signature = Secret::new(b"key").sign(1_700_000_000, "dump_1", "{\"a\":1}");
    for part in [
        "POST /notify?x=1 HTTP/1.1",
        &format!("host: rebinding.test:{}", address.port()),
        "content-type: application/json",
        "tidebase-timestamp: 1700000000",
        "tidebase-id: dump_1",
        &format!("tidebase-signature: {signature}"),
        "\r\n\r\n{\"a\":1}",
    ] {
        assert!(heard.contains(part), "{part}: {heard}");
    }
}

#[tokio::test]
async fn a_name_that_comes_to_mean_a_private_machine_is_not_connected_to() {
    let (address, heard) = listener(answer("204 No Content")).await;
    for private in ["127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254"] {
        let (callbacks, _) = callbacks(false, &[private]);
        let error = send(&callbacks, &format!("https://rebinding.test:{}/", address.port())).await.unwrap_err();
        assert!(error.code == Code::Invalid && error.message.contains("open internet"), "{error:?}");
    }
    assert!(heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, heard_elsewhere) = listener(answer("200 OK")).await;
    let (address, heard) = listener(answer(&format!("307 Temporary Redirect\r\nLocation: http://{elsewhere}/"))).await;
    let (callbacks, _) = callbacks(true, &["127.0.0.1"]);
    let error = send(&callbacks, &format!("http://{address}/")).await.unwrap_err();
    assert!(error.message.contains("307") && error.message.contains("not followed"), "{error:?}");
    assert_eq!((heard.lock().unwrap().len(), heard_elsewhere.lock().unwrap().len()), (1, 0));
}

#[tokio::test]
async fn whoever_refuses_or_answers_without_end_is_left() {
    let (callbacks, _) = callbacks(true, &["127.0.0.1"]);
    let (refusing, _) = listener(answer("500 Oops")).await;
    let error = send(&callbacks, &format!("http://{refusing}/")).await.unwrap_err();
    assert!(error.message.contains("It answered 500."), "{error:?}");
    // Its head is enough; what follows is not waited for.
    let (endless, _) = listener("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nand so on".into()).await;
    send(&callbacks, &format!("http://{endless}/")).await.unwrap();
    let (silent, _) = listener(String::new()).await;
    let impatient = Callbacks { time_max: Duration::from_millis(300), ..callbacks };
    let silent = TcpListener::bind((silent.ip(), 0)).await.unwrap().local_addr().unwrap();
    assert!(send(&impatient, &format!("http://{silent}/")).await.is_err());
}
