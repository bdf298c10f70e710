//! `GET /ws`: everything live over one WebSocket.
//!
//! Two things happen on a socket: requests come in and are acted on in their order (a write is queued at once, a read
//! waits for the writes before it), and frames go out as the engine fills the session's outbox, all that is queued in
//! one write ([`outgoing`]). A slow request holds up later requests of this socket, never its live queries.

mod mutate;
mod outgoing;
mod request;
mod worker;

use super::connection::{FAREWELL, Pulse, RESTARTING, SIGN_IN_AGAIN, SocketPlace, close_frame, tuned};
use super::{Shared, SocketAsker, stopped};
use crate::answer::Failure;
use crate::auth::Grant;
use crate::auth::allowance::Who;
use crate::wire::Shortcut;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt as _, StreamExt as _};
use outgoing::Handed;
pub use outgoing::Outgoing;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tidebase_engine::live::frame::{self, Frame};
use tidebase_engine::live::session::Ended;
use tidebase_engine::{Error, Session};
use tokio::sync::watch;
use tokio::time::Instant;

/// Close codes of the contract; restarting is in [`super::connection`].
const TOO_SLOW: u16 = 4408;
const TOO_LARGE: u16 = 4413;

pub async fn open(
    State(app): State<Shared>,
    SocketAsker(grant, who): SocketAsker,
    shortcut: Option<Extension<Shortcut>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let upgrade = upgrade.map_err(|_| Error::invalid("This path is a WebSocket; the request asks for no upgrade."))?;
    let place = SocketPlace::take(&app, who.clone())?;
    Ok(tuned(upgrade, &app).on_upgrade(async move |socket| {
        let delivery = app.delivery.clone();
        delivery.handle.spawn(async move {
            let session = app.engine.open_session_for(grant.principal.clone());
            let shortcut = shortcut.map(|Extension(shortcut)| shortcut);
            let outgoing = Outgoing::open(&app, &session, shortcut, app.delivery.courier(session.number));
            serve(&app, grant, who, &session, &outgoing, socket).await;
            outgoing.close();
            session.close();
            drop(place);
        });
    }))
}

async fn serve(app: &Shared, grant: Grant, who: Who, session: &Arc<Session>, outgoing: &Outgoing, socket: WebSocket) {
    let admin_token = grant.admin_token();
    let (renewals, grants) = watch::channel(grant);
    let ended = ended(grants);
    tokio::pin!(ended);
    let (mut sink, mut incoming) = socket.split();
    let mut stopping = app.stopping.clone();
    let mut worker = worker::Worker::new(Arc::clone(app), Arc::clone(session), who, admin_token, renewals);
    let mut pulse = Pulse::new();
    let mut stopped = std::pin::pin!(stopped(&mut stopping));
    let farewell = loop {
        // In random order, so that neither side starves the other. What is waited for every time is kept from turn to turn.
        tokio::select! {
            handed = outgoing.next() => match handed {
                Ok(Handed { batch, is_taken }) => {
                    // While a client does not read we wait here; its frames are merged in the engine meanwhile.
                    let fed = AtomicUsize::new(0);
                    let written = tokio::select! {
                        biased;
                        written = write(&mut sink, if is_taken { &[] } else { &batch.frames }, &fed) => written,
                        () = &mut ended => break close_frame(SIGN_IN_AGAIN, "the token is good no more"),
                        ended = overrun(session, &fed) => break ended,
                    };
                    if !written {
                        return;
                    }
                    pulse.heard();
                    for (topic, id) in session.written(&batch) {
                        worker::catch_up(app, session, topic, id);
                    }
                }
                Err(Ended::TooSlow) => break close_frame(TOO_SLOW, "too slow: the socket does not read"),
                Err(Ended::Restarting) => break close_frame(RESTARTING, "restarting; retry in 1 s"),
            },
            () = worker.room(), if worker.is_full() => pulse.heard(),
            message = incoming.next(), if !worker.is_full() => {
                pulse.heard();
                match message {
                    Some(Ok(Message::Text(text))) => worker.act(text),
                    Some(Ok(Message::Binary(_))) => {
                        session.push(frame::error(None, &Error::invalid("Frames are text.")));
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Close(_))) => {
                        // The answer to it is queued by the library; a flush sends it, and nothing may follow it.
                        outgoing.close();
                        let _ = tokio::time::timeout(FAREWELL, sink.close()).await;
                        return;
                    }
                    Some(Err(error)) if is_too_large(&error) => break close_frame(TOO_LARGE, "the frame is too large"),
                    Some(Err(_)) | None => return,
                }
            }
            () = pulse.beat() => {
                // If it is full, its pongs wait unread behind its requests.
                if worker.is_full() || outgoing.has_gone() {
                    pulse.heard();
                }
                let ping = tokio::time::timeout(Pulse::STUCK_AFTER, sink.send(Message::Ping(Bytes::new())));
                if pulse.is_dead() || !matches!(ping.await, Ok(Ok(()))) {
                    return;
                }
            }
            () = &mut ended => break close_frame(SIGN_IN_AGAIN, "the token is good no more"),
            () = &mut stopped => break close_frame(RESTARTING, "restarting; retry in 1 s"),
        }
    };
    // Whatever waits is not begun any more.
    drop(worker);
    outgoing.close();
    let _ = tokio::time::timeout(FAREWELL, sink.send(farewell)).await;
}

/// Waits until what the socket was opened with is good no more, and nothing has come in its place.
async fn ended(mut grants: watch::Receiver<Grant>) {
    loop {
        let grant = grants.borrow_and_update().clone();
        tokio::select! {
            () = grant.ended() => return,
            renewed = grants.changed() => if renewed.is_err() { std::future::pending().await },
        }
    }
}

/// While a write goes on: has so much piled up, or has nothing gone out for so long, that the socket is given up?
async fn overrun(session: &Session, fed: &AtomicUsize) -> Message {
    let mut last = (0, Instant::now());
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let fed = fed.load(Ordering::Relaxed);
        if fed != last.0 {
            last = (fed, Instant::now());
        }
        if session.is_ended() || last.1.elapsed() >= Pulse::STUCK_AFTER {
            return close_frame(TOO_SLOW, "too slow: the socket does not read");
        }
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    error.to_string().contains("Message too long") || error.to_string().contains("too big")
}

/// All frames in one go: fed, then flushed once.
async fn write(sink: &mut SplitSink<WebSocket, Message>, frames: &[Frame], fed: &AtomicUsize) -> bool {
    for Frame { text, .. } in frames {
        let Ok(text) = Utf8Bytes::try_from(text.clone()) else { return false };
        if sink.feed(Message::Text(text)).await.is_err() {
            return false;
        }
        fed.fetch_add(1, Ordering::Relaxed);
    }
    sink.flush().await.is_ok()
}
