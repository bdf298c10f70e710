//! What goes out on one socket. A courier writes it at once where the way is clear, past all layers: that is most of it,
//! and a third cheaper. Otherwise the socket's own task writes it, as slowly as the client reads.
//!
//! Only one of them writes at a time, so frames stay in their order: whose turn it is says [`Turn`].

use crate::delivery::Courier;
use crate::faces::Shared;
use crate::wire::{Sent, Shortcut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidebase_engine::Session;
use tidebase_engine::live::session::{Batch, Ended};
use tokio::sync::Notify;

/// More than that is not for a courier, who has others to serve.
const COURIER_BYTES_MAX: usize = 64 << 10;

pub struct Outgoing {
    app: Shared,
    session: Arc<Session>,
    shortcut: Option<Shortcut>,
    turn: Mutex<Turn>,
    /// It has become the task's turn.
    handed: Notify,
    /// A courier has written since the task last asked.
    has_gone: AtomicBool,
}

enum Turn {
    /// Nothing waits, or it is about to be taken.
    Nobody,
    /// It stands in the courier's line.
    Courier,
    /// The task's, until it finds nothing more to write; perhaps with what the courier could not write.
    Task(Option<Handed>),
    /// A courier has lost something.
    Lost,
    /// The socket is closing.
    Over,
}

/// What the task is to write.
pub struct Handed {
    pub batch: Batch,
    /// Its frames are on the wire, but not all of their bytes have gone: a flush is what is left to do.
    pub is_taken: bool,
}

impl Outgoing {
    /// From now on the session's frames go this way.
    pub fn open(app: &Shared, session: &Arc<Session>, shortcut: Option<Shortcut>, courier: &Arc<Courier>) -> Arc<Self> {
        let outgoing = Arc::new(Self {
            app: Arc::clone(app),
            session: Arc::clone(session),
            shortcut,
            turn: Mutex::new(Turn::Nobody),
            handed: Notify::new(),
            has_gone: AtomicBool::new(false),
        });
        let (theirs, weak) = (Arc::clone(courier), Arc::downgrade(&outgoing));
        session.on_filled(move || {
            if let Some(outgoing) = weak.upgrade() {
                outgoing.queue(&theirs);
            }
        });
        // What was there before.
        Arc::clone(&outgoing).queue(courier);
        outgoing
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(self: Arc<Self>, courier: &Courier) {
        let mut turn = self.turn();
        if matches!(*turn, Turn::Nobody) {
            *turn = Turn::Courier;
            drop(turn);
            courier.queue(self);
        }
    }

    /// Called by the courier: writes what waits, or hands it to the task. `buffer` is any.
    pub fn deliver(&self, buffer: &mut Vec<u8>) {
        let mut turn = self.turn();
        if !matches!(*turn, Turn::Courier) {
            return;
        }
        // What comes from now on stands in the line again, behind this.
        *turn = Turn::Nobody;
        drop(turn);
        match self.session.try_batch() {
            Ok(None) => {}
            Ok(Some(batch)) => match self.send(&batch, buffer) {
                Sent::All => {
                    self.has_gone.store(true, Ordering::Relaxed);
                    for (topic, id) in self.session.written(&batch) {
                        super::worker::catch_up(&self.app, &self.session, topic, id);
                    }
                }
                sent => self.hand(Some(Handed { batch, is_taken: sent == Sent::InPart })),
            },
            // The task closes the socket.
            Err(_) => self.hand(None),
        }
    }

    fn send(&self, batch: &Batch, buffer: &mut Vec<u8>) -> Sent {
        let Some(shortcut) = &self.shortcut else { return Sent::Nothing };
        if batch.bytes() > COURIER_BYTES_MAX {
            return Sent::Nothing;
        }
        buffer.clear();
        for frame in &batch.frames {
            write_frame(buffer, &frame.text);
        }
        shortcut.send(buffer)
    }

    fn hand(&self, handed: Option<Handed>) {
        let mut turn = self.turn();
        if !matches!(*turn, Turn::Over) {
            *turn = Turn::Task(handed);
            drop(turn);
            self.handed.notify_one();
        }
    }

    /// A courier has failed at it: what it had taken is gone, so the client must come back.
    pub fn give_up(&self) {
        *self.turn() = Turn::Lost;
        self.handed.notify_one();
    }

    /// Waits for something that the task is to write; an error when the session has been ended by the server.
    pub async fn next(&self) -> Result<Handed, Ended> {
        loop {
            if let Some(handed) = self.try_next()? {
                return Ok(handed);
            }
            self.handed.notified().await;
        }
    }

    fn try_next(&self) -> Result<Option<Handed>, Ended> {
        let mut turn = self.turn();
        let handed = match &mut *turn {
            Turn::Task(handed) => handed,
            Turn::Lost => return Err(Ended::Restarting),
            Turn::Nobody | Turn::Courier | Turn::Over => return Ok(None),
        };
        if let Some(handed) = handed.take() {
            return Ok(Some(handed));
        }
        // Asked while the turn is held: what comes after is the courier's.
        let batch = self.session.try_batch()?;
        if batch.is_none() {
            *turn = Turn::Nobody;
        }
        Ok(batch.map(|batch| Handed { batch, is_taken: false }))
    }

    /// Has anything gone past the task since it last asked?
    pub fn has_gone(&self) -> bool {
        self.has_gone.swap(false, Ordering::Relaxed)
    }

    /// Nothing more goes out but the task's farewell.
    pub fn close(&self) {
        *self.turn() = Turn::Over;
        // A courier may be on its way.
        self.shortcut.iter().for_each(Shortcut::close);
    }
}

/// A text frame of a server: whole, without a mask (RFC 6455, section 5.2).
fn write_frame(out: &mut Vec<u8>, text: &[u8]) {
    out.push(0x81);
    match text.len() {
        short @ 0..126 => out.push(short as u8),
        middle @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(text);
}
