//! What is left of a body when its request has been answered: read on for a while, and thrown away.
//!
//! A connection that is closed over bytes nobody has read is reset, and the reset overtakes the answer: a browser that is still
//! sending would see a broken connection in the place of a 413 or a 401.

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// What is read on at most, how long all of it may take, and how long a client may send nothing.
const BYTES_MAX: usize = 4 << 20;
const TIME_MAX: Duration = Duration::from_secs(5);
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// Where the body of a request comes back to.
#[derive(Default)]
pub struct Unread(Arc<Mutex<Option<Incoming>>>);

/// Lends the body to whoever serves the request.
pub fn lend(body: Incoming) -> (Body, Unread) {
    if body.is_end_stream() {
        return (Body::empty(), Unread::default());
    }
    let unread = Unread::default();
    let lent = Lent { body: Some(body), back: Arc::clone(&unread.0) };
    (Body::new(lent), unread)
}

impl Unread {
    /// Reads what came back, if anything did.
    pub async fn read_on(self) {
        let Some(mut body) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let reading = async {
            let mut left = BYTES_MAX;
            while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE_MAX, body.frame()).await {
                let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
                left = rest;
            }
        };
        let _ = tokio::time::timeout(TIME_MAX, reading).await;
    }
}

struct Lent {
    body: Option<Incoming>,
    back: Arc<Mutex<Option<Incoming>>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.back.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}
