//! `tidebase-bench`: what Tidebase costs and how fast it answers, beside its peers where they are present.
//!
//! One thread drives the load and only the writer of the fan-out has another, because the generator shares the machine
//! with the server. Each measurement is a file under `measures/`; each peer a file under `peers/`.

mod answer;
mod child;
mod cli;
mod crowd;
mod disk;
mod fan_out;
mod http;
mod latency;
mod load;
mod measures;
mod page;
mod peers;
mod plot;
mod procfs;
mod report;
mod socket;
mod table;
mod targets;
mod tidebase;
mod told;
mod writer;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use crate::cli::{Cli, Measure, Settings};
use crate::report::Report;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidebase-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let as_json = cli.options.json;
    let settings = cli.options.checked()?;
    let mut report = Report::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    let work = tasks.run_until(async {
        // Giving up drops the measurement, and with it every server it has started.
        tokio::select! {
            done = measure(&cli.measure, &settings, &mut report) => done,
            () = interrupted() => bail!("interrupted"),
        }
    });
    let done = runtime.block_on(work);
    // What was found before a failure is still worth reading.
    if as_json {
        println!("{:#}", report.json());
    } else {
        println!("{}", report.text());
    }
    done
}

async fn measure(measure: &Measure, settings: &Settings, report: &mut Report) -> Result<()> {
    match measure {
        Measure::Read => measures::read::run(settings, report).await,
        Measure::Insert => measures::insert::run(settings, report).await,
        Measure::Json => measures::json::run(settings, report).await,
        Measure::Delta => measures::delta::run(settings, report).await,
        Measure::FanOut => measures::fan_out::run(settings, report).await,
        Measure::Flat => measures::flat::run(settings, report).await.map(drop),
        Measure::Scale { out } => measures::scale::run(settings, report, out.as_deref()).await,
        Measure::Reach => measures::reach::run(settings, report).await,
        Measure::Transfer => measures::transfer::run(settings, report).await,
        Measure::Storm => measures::storm::run(settings, report).await,
        Measure::Policies => measures::policies::run(settings, report).await,
        Measure::Data => measures::data::run(settings, report).await,
        Measure::Idle => measures::idle::run(settings, report).await,
        Measure::Start => measures::start::run(settings, report).await,
        Measure::Pocketbase => peers::pocketbase::run(settings, report).await,
        Measure::Broker => peers::broker::run(settings, report).await,
        Measure::Disk => measures::disk::run(settings, report),
        Measure::All { out } => measures::all::run(settings, report, out.as_deref()).await,
    }
}

async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
