//! A server that speaks S3, for the tests of what is kept in buckets.
//!
//! It is moto, a Python program from PyPI. It is put into a folder under `target/`; nothing is installed for the user. It listens on this
//! machine alone, keeps everything in memory, and ends with the value that holds it.

use crate::run::{Skips, Variable, is_there, program};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PACKAGES: [&str; 3] = ["moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];
const FOLDER: &str = "target/moto";
/// The tests look for its address here.
const VARIABLE: &str = "TIDEBASE_S3";

pub struct S3 {
    child: Child,
    address: String,
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl S3 {
    /// Started, and installed before that if it is not there yet. Otherwise that is noted as skipped.
    pub fn start(skips: &mut Skips) -> Option<Self> {
        let started = installed().and_then(|()| run());
        if let Err(error) = &started {
            println!("an S3 server could not be started: {error}");
            skips.add("files in a bucket: moto (a Python program) could not be installed from PyPI");
        }
        started.ok()
    }

    /// For the environment of the tests.
    pub fn variable(&self) -> Variable {
        (VARIABLE, self.address.clone())
    }
}

fn installed() -> anyhow::Result<()> {
    if !is_there("python3") {
        anyhow::bail!("there is no python3 here");
    }
    if Path::new(FOLDER).join("moto-5.2.5.dist-info").exists() && Path::new(FOLDER).join("flask_cors").exists() {
        return Ok(());
    }
    let arguments = ["-m", "pip", "install", "--quiet", "--upgrade", "--target", FOLDER];
    program("python3", &[&arguments[..], &PACKAGES].concat())
}

/// It says on its standard error where it listens.
fn run() -> anyhow::Result<S3> {
    let mut command = Command::new("python3");
    command.args(["-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]).env("PYTHONPATH", FOLDER);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let said = child.stderr.take().ok_or_else(|| anyhow::anyhow!("it cannot be heard"))?;
    let mut lines = BufReader::new(said).lines();
    let mut heard = String::new();
    while let Some(Ok(line)) = lines.next() {
        if let Some((_, address)) = line.split_once("Running on ") {
            let address = address.trim().to_owned();
            println!("\n$ {VARIABLE}={address} (moto)");
            // Whoever logs to a pipe that nobody reads waits for ever.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(S3 { child, address });
        }
        heard.push_str(&line);
    }
    let _ = child.wait();
    anyhow::bail!("{heard}")
}
