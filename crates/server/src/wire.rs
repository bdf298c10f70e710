//! A connection's stream, on which two may write: HTTP, and whatever it was upgraded to, through hyper; and, past all of
//! that, whoever has a whole frame and finds the way clear ([`Shortcut`]).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

struct Line {
    stream: TcpStream,
    /// The end of what took the shortcut and did not fit: it goes before anything else.
    rest: Vec<u8>,
    /// Hyper's side has written a part of something.
    is_mid: bool,
    /// The shortcut is not to be taken any more.
    is_closed: bool,
}

/// Hyper's side.
pub struct Wire(Arc<Mutex<Line>>);

/// The side of who writes whole frames.
#[derive(Clone)]
pub struct Shortcut(Arc<Mutex<Line>>);

/// What became of bytes that took the shortcut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    All,
    /// They are taken, but not all have gone: hyper's side must be flushed.
    InPart,
    /// Nothing was taken: the way is not clear, or the connection is gone, as hyper's side will find out.
    Nothing,
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self(Arc::new(Mutex::new(Line { stream, rest: Vec::new(), is_mid: false, is_closed: false })))
    }

    pub fn shortcut(&self) -> Shortcut {
        Shortcut(Arc::clone(&self.0))
    }
}

impl Shortcut {
    /// From now on only hyper's side writes.
    pub fn close(&self) {
        lock(&self.0).is_closed = true;
    }

    /// Writes whole frames without waiting.
    pub fn send(&self, frames: &[u8]) -> Sent {
        let mut line = lock(&self.0);
        if line.is_closed || line.is_mid || !line.rest.is_empty() {
            return Sent::Nothing;
        }
        match line.stream.try_write(frames) {
            Ok(sent) if sent == frames.len() => Sent::All,
            Ok(sent) => {
                line.rest.extend_from_slice(&frames[sent..]);
                Sent::InPart
            }
            Err(_) => Sent::Nothing,
        }
    }
}

impl Line {
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &self.rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.drain(..sent);
        }
        self.rest = Vec::new();
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        length: usize,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(context))?;
        let written = write(Pin::new(&mut self.stream), context);
        self.is_mid = !matches!(&written, Poll::Ready(Ok(written)) if *written == length);
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_write(context, bytes.len(), |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        lock(&self.0).poll_write(context, length, |stream, context| stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = lock(&self.0);
        ready!(line.poll_rest(context))?;
        Pin::new(&mut line.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = lock(&self.0);
        ready!(line.poll_rest(context))?;
        Pin::new(&mut line.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn two_writers_never_mix_their_frames() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut wire = Wire::new(listener.accept().await.unwrap().0);
        let shortcut = wire.shortcut();
        // Until the system takes no more: by the shortcut, then by both.
        let frame = vec![b'a'; 100_000];
        let mut expected = 0;
        wire.write_all(&frame).await.unwrap();
        let in_part = loop {
            expected += frame.len();
            match shortcut.send(&frame) {
                Sent::All => {}
                Sent::InPart => break true,
                Sent::Nothing => break false,
            }
        };
        assert_eq!(shortcut.send(&frame), Sent::Nothing);
        expected += if in_part { frame.len() } else { 0 };
        let other = tokio::spawn(async move {
            wire.write_all(&vec![b'b'; 100_000]).await.unwrap();
            wire.flush().await.unwrap();
            wire.shutdown().await.unwrap();
        });
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        other.await.unwrap();
        let (a, b) = all.split_at(expected);
        assert!(a.iter().all(|byte| *byte == b'a') && b.len() == 100_000 && b.iter().all(|byte| *byte == b'b'));
        assert_eq!(shortcut.send(&frame), Sent::Nothing);
    }

    #[tokio::test]
    async fn nothing_goes_by_a_shortcut_that_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut wire = Wire::new(listener.accept().await.unwrap().0);
        let shortcut = wire.shortcut();
        wire.write_all(b"a").await.unwrap();
        assert_eq!(shortcut.send(b"b"), Sent::All);
        shortcut.close();
        assert_eq!(shortcut.send(b"c"), Sent::Nothing);
    }
}
