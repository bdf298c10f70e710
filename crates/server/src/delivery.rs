//! The runtime on which sockets are served, apart from the one that answers requests.
//!
//! A write that a thousand sockets listen to makes a thousand tasks ready at once. On one runtime the next request
//! would stand behind all of them; on two the system shares the processors between them.

use tidebase_engine::{Error, Result};
use tokio::runtime::{Builder, Handle, Runtime};

pub struct Delivery {
    handle: Handle,
    /// `None` once dropped.
    runtime: Option<Runtime>,
}

impl Delivery {
    pub fn start() -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let runtime = Builder::new_multi_thread().worker_threads(threads).thread_name("delivery").enable_all().build();
        runtime
            .map(|runtime| Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
            .map_err(|error| Error::internal("the delivery runtime could not be started").caused_by(error))
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        // A runtime must not be waited for inside another; its sockets have been told to close before.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
