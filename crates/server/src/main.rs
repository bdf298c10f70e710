//! `tidebase`: one program, its commands in one table.

mod admin;
mod answer;
mod auth;
mod backup;
mod callbacks;
mod cli;
mod config;
mod cors;
mod delivery;
mod doctor;
mod dumps;
mod faces;
mod interrupt;
mod log;
mod migrate;
mod serve;
mod shell;
mod store;
mod token;
mod transfer;
mod types;
mod unread;
mod wire;

use admin::Tokens;
use clap::Parser as _;
use cli::{Cli, Command, RemoteArgs, ServeArgs, TokenCommand};
use std::process::ExitCode;
use std::time::Duration;
use tidebase_engine::{Error, Result};

/// For what is left in threads when a server has stopped.
const LEFT_TIME_MAX: Duration = Duration::from_secs(1);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => serve_command(&cli.serve),
        Some(Command::Serve(args)) => serve_command(&args),
        Some(Command::Sql(args)) => shell::run(&args),
        Some(Command::Token { remote, command }) => token_command(&remote, &command),
        Some(Command::User { remote, command }) => admin::users(&remote, &command),
        Some(Command::Policy { remote, command }) => admin::policies(&remote, &command),
        Some(Command::Keys { remote, command }) => admin::keys(&remote, &command),
        Some(Command::Types(args)) => types::run(&args),
        Some(Command::Config(args)) => load(&args).map(|config| print_lines(&config::print(&config, args.json))),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Backup(args)) => backup::run(&args),
        Some(Command::Restore(args)) => backup::restore(&args),
        Some(Command::Export(args)) => transfer::export(&args),
        Some(Command::Import(args)) => transfer::import(&args),
        Some(Command::Migrate { command }) => migrate::run(&command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidebase: {error}");
            ExitCode::FAILURE
        }
    }
}

/// To a pipe that may have been closed, as by `head`.
fn print_lines(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn load(args: &ServeArgs) -> Result<config::Config> {
    config::load(args, &|name| std::env::var(name).ok())
}

fn serve_command(args: &ServeArgs) -> Result<()> {
    let config = load(args)?;
    log::start(&config.log)?;
    let runtime = runtime()?;
    let served = runtime.block_on(serve::run(config));
    // The database is closed. A name that is being looked up, or a disk of dumps that does not answer, is not waited for.
    runtime.shutdown_timeout(LEFT_TIME_MAX);
    served
}

fn token_command(remote: &RemoteArgs, command: &TokenCommand) -> Result<()> {
    match command {
        TokenCommand::List => admin::tokens(remote, &Tokens::List),
        TokenCommand::Make(make) => admin::tokens(remote, &Tokens::Make(make)),
        TokenCommand::Revoke { id } => admin::tokens(remote, &Tokens::Revoke(id)),
        TokenCommand::ResetAdmin(args) => token::reset_admin(args),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::internal("the runtime could not be started").caused_by(error))
}
