//! What all long connections share: their number is bounded, their buffers are small, a silent one is found out.

use super::Shared;
use crate::answer::Failure;
use crate::auth::allowance::Who;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocketUpgrade};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidebase_engine::Error;
use tokio::time::{Instant, Sleep};

/// Close code: the server stops, come back.
pub const RESTARTING: u16 = 1012;

/// Close code: what the socket was opened with is good no more.
pub const SIGN_IN_AGAIN: u16 = 4401;

const PING_EVERY: Duration = Duration::from_secs(20);
const DEAD_AFTER: Duration = Duration::from_secs(45);

/// Time the last frames of a closing socket may take.
pub const FAREWELL: Duration = Duration::from_secs(2);

/// When a socket was last heard, and when it is to be pinged.
#[derive(Debug)]
pub struct Pulse {
    heard: Instant,
    next_ping: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Pulse {
    pub fn new() -> Self {
        let now = Instant::now();
        Self { heard: now, next_ping: now + PING_EVERY, timer: Box::pin(tokio::time::sleep_until(now + PING_EVERY)) }
    }

    pub fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// Waits for the next ping or for the end of patience.
    pub async fn beat(&mut self) {
        loop {
            self.timer.as_mut().await;
            // The timer is set anew only when it has gone off: a socket is heard of far more often than that.
            let due = self.next_ping.min(self.heard + DEAD_AFTER);
            let now = Instant::now();
            let is_due = now >= due;
            if now >= self.next_ping {
                self.next_ping = now + PING_EVERY;
            }
            self.timer.as_mut().reset(self.next_ping.min(self.heard + DEAD_AFTER));
            if is_due {
                return;
            }
        }
    }

    pub fn is_dead(&self) -> bool {
        self.heard.elapsed() >= DEAD_AFTER
    }

    /// For how long a write may make no progress at all.
    pub const STUCK_AFTER: Duration = DEAD_AFTER;
}

/// One of the sockets the server may have open.
pub struct SocketPlace(Shared, Who);

impl SocketPlace {
    pub fn take(app: &Shared, who: Who) -> Result<Self, Failure> {
        app.allowance.open_socket(&who)?;
        let open = app.sockets.fetch_add(1, Ordering::AcqRel);
        let place = Self(Arc::clone(app), who);
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
        self.0.allowance.close_socket(&self.1);
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
