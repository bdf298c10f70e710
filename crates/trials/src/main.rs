//! Seeded trials of Tidebase: does it keep its promises when anything may happen?
//!
//! | command | puts to the test |
//! |---|---|
//! | `fuzz` | live queries and change streams: rows + deltas = the query run now, after every commit |
//! | `capture` | the change stream alone, at speed: image + changes = the tables |

mod alteration;
mod cells;
mod client;
mod evidence;
mod expression;
mod frames;
mod fuzz;
mod image;
mod judge;
mod listener;
mod objects;
mod oracle;
mod query;
mod random;
mod request;
mod result;
mod run;
mod schema;
mod shapes;
mod traps;
mod values;
mod world;
mod write;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

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
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Fuzz(arguments) => fuzz::fuzz(&arguments),
    }
}
