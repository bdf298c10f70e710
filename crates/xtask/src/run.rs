//! Running programs, and being honest about what could not be run.

use anyhow::{Context as _, Result, bail};
use std::process::Command;

/// Runs a program with its output shown; an error if it fails.
pub fn program(name: &str, arguments: &[&str]) -> Result<()> {
    program_with(name, arguments, &[])
}

/// A variable of the environment.
pub type Variable = (&'static str, String);

/// The same with variables in its environment.
pub fn program_with(name: &str, arguments: &[&str], variables: &[Variable]) -> Result<()> {
    let shown: String = variables.iter().map(|(variable, value)| format!("{variable}={value} ")).collect();
    println!("\n$ {shown}{name} {}", arguments.join(" "));
    let mut command = Command::new(name);
    let variables = variables.iter().map(|(variable, value)| (variable, value));
    let status =
        command.args(arguments).envs(variables).status().with_context(|| format!("{name} could not be started"))?;
    if !status.success() {
        bail!("{name} {} failed: {status}", arguments.join(" "));
    }
    Ok(())
}

pub fn cargo(arguments: &[&str]) -> Result<()> {
    cargo_with(arguments, &[])
}

pub fn cargo_with(arguments: &[&str], variables: &[Variable]) -> Result<()> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    program_with(&cargo, arguments, variables)
}

/// The beginning of the commit's name as a number; 1 where this is no checkout.
pub fn commit_number() -> u64 {
    let name = Command::new("git").args(["rev-parse", "--short=8", "HEAD"]).output().map(|output| output.stdout);
    let name = String::from_utf8(name.unwrap_or_default()).unwrap_or_default();
    u64::from_str_radix(name.trim().get(..8).unwrap_or_default(), 16).unwrap_or(1)
}

pub fn is_there(name: &str) -> bool {
    Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// A Debian package: as root on Debian it can be had; elsewhere it is the user's to install.
pub fn install(package: &str) {
    let is_root = || Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if is_there("apt-get") && is_root() {
        let updated = program("apt-get", &["update", "--quiet=2"]);
        let arguments = ["install", "--yes", "--quiet=2", "--no-install-recommends", package];
        if let Err(error) = updated.and_then(|()| program("apt-get", &arguments)) {
            println!("{package} could not be installed: {error}");
        }
    }
}

/// What was not run, and why.
#[derive(Debug, Default)]
pub struct Skips(Vec<String>);

impl Skips {
    pub fn add(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }

    /// In CI nothing may be skipped.
    pub fn report(self) -> Result<()> {
        if self.0.is_empty() {
            println!("\nAll tests passed, none was skipped.");
            return Ok(());
        }
        println!("\nAll tests that were run passed. Skipped:");
        self.0.iter().for_each(|skip| println!("  - {skip}"));
        if std::env::var_os("CI").is_some() {
            bail!("in CI nothing may be skipped");
        }
        Ok(())
    }
}

/// Is the program there? If not, what needs it is noted as skipped.
pub fn has(name: &str, skips: &mut Skips, what: &str) -> bool {
    let there = is_there(name);
    if !there {
        skips.add(format!("{what}: there is no {name} here"));
    }
    there
}
