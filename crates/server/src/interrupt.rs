//! Ctrl-C while something runs that is to end in good order: in the shell a statement, which ends alone (while a line is edited, the line
//! editor has the keyboard to itself and no signal comes), or an export or import. The server has its own, in `serve.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tidebase_engine::{Error, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub struct Interrupt {
    is_hit: AtomicBool,
    told: Notify,
}

impl Interrupt {
    /// From now on Ctrl-C is heard here and no longer ends the process; `also` is called at each, on another thread.
    pub fn listen(self: &Arc<Self>, also: impl Fn() + Send + 'static) -> Result<()> {
        let cannot = |error: std::io::Error| Error::internal("Ctrl-C cannot be caught").caused_by(error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(cannot)?;
        // Before this returns, not when the thread gets to it: the line editor puts its own handler in the place of the
        // one it finds, and brings back that one when the line is done.
        let mut signals = {
            let _entered = runtime.enter();
            signal(SignalKind::interrupt()).map_err(cannot)?
        };
        let this = Arc::clone(self);
        let listen = async move {
            while signals.recv().await.is_some() {
                this.is_hit.store(true, Ordering::Relaxed);
                this.told.notify_waiters();
                also();
            }
        };
        std::thread::Builder::new().name("interrupt".into()).spawn(move || runtime.block_on(listen)).map_err(cannot)?;
        Ok(())
    }

    /// Forgets a Ctrl-C that came while nothing ran.
    pub fn clear(&self) {
        self.is_hit.store(false, Ordering::Relaxed);
    }

    pub fn is_hit(&self) -> bool {
        self.is_hit.load(Ordering::Relaxed)
    }

    /// Until the next Ctrl-C.
    pub async fn wait(&self) {
        self.told.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_is_caught_from_the_very_moment_it_is_listened_for() {
        let interrupt = Arc::<Interrupt>::default();
        let (hit, is_hit) = std::sync::mpsc::channel();
        interrupt.listen(move || hit.send(()).expect("the test waits for it")).unwrap();
        // Not caught, it would end the tests.
        std::process::Command::new("sh").args(["-c", "kill -INT $PPID"]).status().unwrap();
        is_hit.recv().unwrap();
        assert!(interrupt.is_hit());
        interrupt.clear();
        assert!(!interrupt.is_hit());
    }
}
