//! Crashes: `kill -9` of the real server, and simulated power loss below the engine, against a ledger of what was
//! acknowledged and what was told.
//!
//! ```text
//! tidebase-trials crash --rounds 200 --seed 7
//! ```
//!
//! Rounds take turns. A *kill* round lets a database file live through several servers, each ended at a bad moment
//! ([`kill`]): what the kernel was given survives that, so it tries what the server believes of itself when it comes
//! back. A *power* round runs the engine on [`crate::power_loss`] and looks at what could be left on the disk
//! ([`power`]): there only what was synced survives. [`ledger`] says what must be left, [`told`] what subscribers were
//! told, [`aftermath`] what a database that came back is asked.
//!
//! The seed chooses requests, moments and fates of sectors; threads and the machine choose how they meet, so a seed
//! gives the same kind of trouble again rather than the same trouble. What was lost is therefore kept: see the message.

mod aftermath;
mod client;
mod image;
mod kill;
mod ledger;
mod life;
mod listing;
mod operation;
mod power;
mod server;
mod socket;
mod state;
mod stream;
mod tally;
mod told;
mod violation;

use crate::random::Random;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tally::Tally;
use violation::violation;
