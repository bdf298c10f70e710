//! Seeded trials of Tidebase: does it keep its promises when anything may happen?
//!
//! | command | puts to the test |
//! |---|---|
//! | `fuzz` | live queries and change streams: rows + deltas = the query run now, after every commit |
//! | `capture` | the change stream alone, at speed: image + changes = the tables |
//! | `policies` | row-level policies: a caller is answered what a database of the visible rows alone would answer, and changes what policies let it |
//! | `members` | live queries of many callers: rows + deltas = what each would be answered now, whatever policies and members become |
//! | `crash` | durability: `kill -9` and power loss against a ledger of what was acknowledged and told |
//! | `restores` | backups: what is restored is what was there at that moment, also around a `kill -9` |
//! | `bulk` | exports of a large database: each of one revision, in little memory, while others write |
//! | `roundtrip` | exports and imports: what comes back is what left, as the stock `sqlite3` sees it |

mod bulk;
mod crash;
mod fuzz;
mod live;
mod members;
mod policies;
mod power_loss;
mod random;
mod restores;
mod roundtrip;
mod shrink;
mod traps;
mod world;
mod worlds;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use world::World;

#[derive(Debug, Parser)]
#[command(name = "tidebase-trials", about, version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Random histories over random schemas and random live queries, judged after every commit.
    Fuzz(fuzz::Arguments),
    /// The same without live queries, at speed: change streams alone.
    Capture(fuzz::Arguments),
    /// Random statements under random policies, against databases of plain SQLite that hold what policies let be seen and done.
    Policies(policies::Arguments),
    /// Live queries of many callers under random policies, judged after every commit.
    Members(members::Arguments),
    /// `kill -9` of the real server, and simulated power loss below the engine, against a ledger.
    Crash(crash::Arguments),
    /// Moments of a database that is written and killed, restored and held against a ledger.
    Restores(restores::Arguments),
    /// Exports of a large database that is being written, judged row by row, with the memory and the time they take.
    Bulk(bulk::Arguments),
    /// Databases that are exported and imported in every way there is, and must come back as they were.
    Roundtrip(roundtrip::Arguments),
    /// The process that `restores` kills.
    #[command(hide = true)]
    RestoresWriter(restores::WriterArguments),
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Fuzz(arguments) => fuzz::fuzz(&arguments, World::random),
        Command::Capture(arguments) => fuzz::fuzz(&arguments, World::of_changes),
        Command::Policies(arguments) => Ok(policies::policies(&arguments)),
        Command::Members(arguments) => Ok(members::members(&arguments)),
        Command::Crash(arguments) => Ok(crash::crash(&arguments)),
        Command::Restores(arguments) => restores::restores(&arguments),
        Command::Bulk(arguments) => bulk::bulk(&arguments),
        Command::Roundtrip(arguments) => roundtrip::roundtrip(&arguments),
        Command::RestoresWriter(arguments) => restores::write(&arguments),
    }
}
