//! Project chores: `cargo xtask test` does every set-up the tests need and runs all of them.
//!
//! What a chore runs is a program a developer could run by hand; each is printed before it starts.

mod api;
mod browser;
mod client;
mod litestream;
mod real_database;
mod run;
mod s3;

use anyhow::{Result, bail};
use run::{Skips, Variable, cargo, program};
use s3::S3;

const HELP: &str = "\
cargo xtask test                       every test: Rust, a minute of the oracles, the HTTP interface, client, page, browser
cargo xtask api                        the HTTP interface against its own description
cargo xtask client                     the TypeScript client against the server
cargo xtask ltx                        the page log's files, with the stock Litestream
cargo xtask s3                         files in a bucket, with an S3 server
cargo xtask tidy                       format and lint, as CI does
cargo xtask fuzz [--commits N] [--seed S] [--seconds T]   the live oracle, longer
cargo xtask capture [--commits N] [--seed S]              the capture oracle, longer
cargo xtask fuzz-policies [--statements N] [--seed S]     row-level policies against plain SQLite, longer
cargo xtask fuzz-members [--commits N] [--seed S]         live queries of many callers under policies, longer
cargo xtask crash [--rounds N] [--seed S]                 kill -9 and power loss against a ledger
cargo xtask restores [--seconds T] [--step T] [--kills N] moments of the backups against a ledger
cargo xtask bulk [--gigabytes N]       exports of a large database that is being written: their rows, memory and time
cargo xtask roundtrip [--megabytes N] [--schemas N] [--seed S]   exports and imports, as the stock sqlite3 sees them
cargo xtask bench [ARGS]               the benchmarks; see docs/benchmarks";

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        bail!("which chore?\n{HELP}");
    }
    let chore = arguments.remove(0);
    match chore.as_str() {
        "test" => test(),
        "tidy" => tidy(),
        "api" => {
            let mut skips = Skips::default();
            cargo(&["build", "--package", "tidebase"])?;
            api::test(&mut skips)?;
            skips.report()
        }
        "client" => {
            let mut skips = Skips::default();
            cargo(&["build", "--package", "tidebase"])?;
            client::test(&mut skips)?;
            skips.report()
        }
        "ltx" => {
            let mut skips = Skips::default();
            let variables: Vec<Variable> = litestream::environment(&mut skips).into_iter().collect();
            run::cargo_with(&["test", "--package", "tidebase-ltx"], &variables)?;
            skips.report()
        }
        "s3" => {
            let mut skips = Skips::default();
            let s3 = S3::start(&mut skips);
            let variables: Vec<Variable> = s3.iter().map(S3::variable).collect();
            run::cargo_with(&["test", "--package", "tidebase", "--", "store", "bucket"], &variables)?;
            skips.report()
        }
        "fuzz" | "capture" => {
            arguments.insert(0, chore);
            trial(&arguments)
        }
        "fuzz-members" => {
            arguments.insert(0, "members".into());
            trial(&arguments)
        }
        "fuzz-policies" => {
            arguments.insert(0, "policies".into());
            trial(&arguments)
        }
        "crash" | "bulk" => {
            cargo(&["build", "--release", "--package", "tidebase"])?;
            arguments.insert(0, chore);
            trial(&arguments)
        }
        "restores" => {
            cargo(&["build", "--release", "--package", "tidebase-trials"])?;
            let litestream = litestream::environment(&mut Skips::default());
            arguments.insert(0, chore);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            run::program_with("target/release/tidebase-trials", &arguments, litestream.as_slice())
        }
        "roundtrip" => {
            let mut skips = Skips::default();
            cargo(&["build", "--release", "--package", "tidebase", "--package", "tidebase-trials"])?;
            arguments.insert(0, chore);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            if has_shell(&mut skips) {
                let real = real_database::environment(&mut skips);
                run::program_with("target/release/tidebase-trials", &arguments, real.as_slice())?;
            }
            skips.report()
        }
        "bench" => {
            cargo(&["build", "--release", "--package", "tidebase", "--package", "tidebase-bench"])?;
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            program("target/release/tidebase-bench", &arguments)
        }
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        _ => bail!("there is no chore {chore:?}\n{HELP}"),
    }
}

fn trial(arguments: &[String]) -> Result<()> {
    cargo(&["build", "--release", "--package", "tidebase-trials"])?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    program("target/release/tidebase-trials", &arguments)
}

fn tidy() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])
}

/// A minute of the trials. Each prints its seed, and with it a failure comes again.
///
/// Every commit of the project tries something new, and whoever has the same commit tries the same.
fn oracles(litestream: &[Variable]) -> Result<()> {
    cargo(&["build", "--release", "--package", "tidebase-trials"])?;
    let seed = run::commit_number().to_string();
    for trial in [
        &["fuzz", "--seconds", "40"][..],
        &["capture", "--seconds", "10"],
        &["members", "--seconds", "12"],
        &["crash", "--rounds", "20", "--server", "target/debug/tidebase"],
        &["restores", "--seconds", "12", "--kills", "2", "--restores", "8"],
    ] {
        run::program_with("target/release/tidebase-trials", &[trial, &["--seed", &seed]].concat(), litestream)?;
    }
    // How long writes wait is a figure, and not one of a machine that does other things: half a minute means that they do not end.
    let bulk = ["bulk", "--server", "target/debug/tidebase", "--wait-max", "30000"];
    program("target/release/tidebase-trials", &bulk)?;
    // The same each time: what SQL leaves open is not all known, and must not be taken for a leak.
    program("target/release/tidebase-trials", &["policies", "--statements", "16000", "--seed", "1"])?;
    Ok(())
}

/// The stock `sqlite3`, installed where that is ours to do.
fn has_shell(skips: &mut Skips) -> bool {
    if !run::is_there("sqlite3") {
        run::install("sqlite3");
    }
    run::has("sqlite3", skips, "exports and imports beside SQLite's own shell")
}

/// What is exported comes back, by every way there is.
fn roundtrip(skips: &mut Skips) -> Result<()> {
    let (seed, real) = (run::commit_number().to_string(), real_database::environment(skips));
    let arguments = ["roundtrip", "--megabytes", "1", "--server", "target/debug/tidebase", "--seed", &seed];
    run::program_with("target/release/tidebase-trials", &arguments, real.as_slice())
}

fn test() -> Result<()> {
    let mut skips = Skips::default();
    let has_shell = has_shell(&mut skips);
    cargo(&["build", "--workspace"])?;
    let s3 = S3::start(&mut skips);
    let litestream = litestream::environment(&mut skips);
    let variables: Vec<Variable> = litestream.iter().cloned().chain(s3.iter().map(S3::variable)).collect();
    run::cargo_with(&["test", "--workspace"], &variables)?;
    drop(s3);
    oracles(litestream.as_slice())?;
    if has_shell {
        roundtrip(&mut skips)?;
    }
    api::test(&mut skips)?;
    if run::has("node", &mut skips, "the TypeScript client, the page's unit tests and its test in a browser") {
        client::test(&mut skips)?;
        browser::unit_tests()?;
        browser::test(&mut skips)?;
    }
    skips.report()
}
