//! `GET /ws`: everything live over one WebSocket.
//!
//! Two things happen on a socket: requests come in and are acted on in their order (a write is queued at once, a read
//! waits for the writes before it), and frames go out as the engine fills the session's outbox, all that is queued in
//! one write. A slow request holds up later requests of this socket, never its live queries.

mod request;
mod worker;

use super::{Shared, SocketAdmin, stopped};
use crate::answer::Failure;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt as _, StreamExt as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidebase_engine::live::frame::{self, Frame};
use tidebase_engine::live::session::{Batch, Ended};
use tidebase_engine::{Error, Session};
use tokio::time::Instant;

/// Close codes of the contract.
pub const RESTARTING: u16 = 1012;
const TOO_SLOW: u16 = 4408;
const TOO_LARGE: u16 = 4413;

const PING_EVERY: Duration = Duration::from_secs(20);
const DEAD_AFTER: Duration = Duration::from_secs(45);
/// Time the last frames of a closing socket may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// One of the sockets the server may have open.
pub struct SocketPlace(Shared);

impl SocketPlace {
    pub fn take(app: &Shared) -> Result<Self, Failure> {
        let open = app.sockets.fetch_add(1, Ordering::AcqRel);
        let place = Self(Arc::clone(app));
        if open >= app.limits.sockets_max {
            return Err(Error::too_many(format!(
                "The server has {} sockets open, all it may.",
                app.limits.sockets_max
            ))
            .into());
        }
        Ok(place)
    }
}

impl Drop for SocketPlace {
    fn drop(&mut self) {
        self.0.sockets.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Small buffers: by default every idle socket would hold 128 KiB.
pub fn tuned(upgrade: WebSocketUpgrade, app: &Shared) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(2048)
        .write_buffer_size(16 << 10)
        .max_message_size(app.limits.frame_bytes_max)
        .max_frame_size(app.limits.frame_bytes_max)
}

pub fn close_frame(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }))
}

pub async fn open(State(app): State<Shared>, _: SocketAdmin, upgrade: WebSocketUpgrade) -> Result<Response, Failure> {
    let place = SocketPlace::take(&app)?;
    Ok(tuned(upgrade, &app).on_upgrade(async move |socket| {
        let delivery = app.delivery.clone();
        delivery.spawn(async move {
            let session = app.engine.open_session();
            serve(&app, &session, socket).await;
            session.close();
            drop(place);
        });
    }))
}

async fn serve(app: &Shared, session: &Arc<Session>, socket: WebSocket) {
    let (mut sink, mut incoming) = socket.split();
    let mut stopping = app.stopping.clone();
    let mut worker = worker::Worker::new(Arc::clone(app), Arc::clone(session));
    let mut heard = Instant::now();
    let mut next_ping = heard + PING_EVERY;
    let farewell = loop {
        tokio::select! {
            batch = session.next_batch() => match batch {
                Ok(batch) => {
                    // While a client does not read we wait here; its frames are merged in the engine meanwhile.
                    let written = tokio::select! {
                        written = write(&mut sink, &batch) => written,
                        ended = overrun(session, heard) => { break ended; }
                    };
                    if !written {
                        return;
                    }
                    for (topic, id) in session.written(&batch) {
                        worker.catch_up(topic, id);
                    }
                }
                Err(Ended::TooSlow) => break close_frame(TOO_SLOW, "too slow: the socket does not read"),
                Err(Ended::Restarting) => break close_frame(RESTARTING, "restarting; retry in 1 s"),
            },
            message = incoming.next() => {
                heard = Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => worker.act(text).await,
                    Some(Ok(Message::Binary(_))) => {
                        session.push(frame::error(None, &Error::invalid("Frames are text.")));
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Close(_))) | None => return,
                    Some(Err(error)) if is_too_large(&error) => break close_frame(TOO_LARGE, "the frame is too large"),
                    Some(Err(_)) => return,
                }
            }
            () = tokio::time::sleep_until(next_ping) => {
                if heard.elapsed() >= DEAD_AFTER {
                    return;
                }
                next_ping = Instant::now() + PING_EVERY;
                if sink.send(Message::Ping(Bytes::new())).await.is_err() {
                    return;
                }
            }
            () = stopped(&mut stopping) => break close_frame(RESTARTING, "restarting; retry in 1 s"),
        }
    };
    let _ = tokio::time::timeout(FAREWELL, sink.send(farewell)).await;
}

/// While a write is stuck: has so much piled up, or so long passed, that the socket is given up?
async fn overrun(session: &Session, heard: Instant) -> Message {
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        if session.is_ended() || heard.elapsed() >= DEAD_AFTER {
            return close_frame(TOO_SLOW, "too slow: the socket does not read");
        }
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    error.to_string().contains("Message too long") || error.to_string().contains("too big")
}

/// All frames in one go: fed, then flushed once.
async fn write(sink: &mut SplitSink<WebSocket, Message>, batch: &Batch) -> bool {
    for Frame { text, .. } in &batch.frames {
        let Ok(text) = Utf8Bytes::try_from(text.clone()) else { return false };
        if sink.feed(Message::Text(text)).await.is_err() {
            return false;
        }
    }
    sink.flush().await.is_ok()
}
