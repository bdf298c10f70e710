//! Does the server do what its `/openapi.json` says? Schemathesis asks it thousands of odd things to find out.
//!
//! It is a Python program. It is put into a virtual environment under `target/`, or where Python cannot make one, beside
//! it as plain packages; nothing is installed for the user.

use crate::run::{Skips, is_there, program};
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const TIDEBASE: &str = "target/debug/tidebase";
/// It tries many wrong tokens, and wants each to be refused as such.
const PATIENCE: &str = "stranger_requests_per_minute_max=1000000";
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// Of whatever kind: keys of several columns, odd names, all types, views, full text.
const SCHEMA: &str = include_str!("api.sql");
const TOKEN: &str = "schemathesis-asks-as-admin";
const CLIENT_TOKEN: &str = "schemathesis-asks-as-client";
/// What is open to the client: rows, columns and writes of some tables.
const POLICIES: [&str; 4] = [
    r#"{"name": "books", "table": "book", "action": "all", "using": "year > 1900 OR year IS NULL"}"#,
    r#"{"name": "names", "table": "author", "action": "select", "using": "id < 100", "columns": ["id", "name"]}"#,
    r#"{"name": "praise", "table": "review", "action": "insert", "check": "stars > 2"}"#,
    r#"{"name": "loved", "table": "loved", "action": "select", "using": "true"}"#,
];
/// Cases for each operation and phase: about half a minute for the administrator.
const CASES: &str = "20";
const SETTINGS: &str = "crates/xtask/src/schemathesis.toml";
/// The same for every commit: what it finds is of the commit, not of the day.
const SEED: &str = "1";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,ignored_auth,use_after_free,ensure_resource_availability";

pub fn test(skips: &mut Skips) -> Result<()> {
    let Some(command) = schemathesis() else {
        skips.add("the HTTP interface against its description: schemathesis (a Python program) could not be installed");
        return Ok(());
    };
    let folder = Path::new("target/schemathesis-database");
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    let server = Server::start(folder)?;
    program(TIDEBASE, &["sql", "--url", &server.address, "--token", TOKEN, SCHEMA])?;
    for policy in POLICIES {
        server.post("/policies", policy)?;
    }
    // The client first: what the administrator does to policies leaves it little.
    for token in [CLIENT_TOKEN, TOKEN] {
        ask(&command, &server.address, token)?;
    }
    Ok(())
}

fn ask(command: &[String], address: &str, token: &str) -> Result<()> {
    let (url, header) = (format!("{address}/openapi.json"), format!("Authorization: Bearer {token}"));
    let mut arguments: Vec<&str> = command[1..].iter().map(String::as_str).collect();
    arguments.extend([
        "--config-file",
        SETTINGS,
        "run",
        &url,
        "--header",
        &header,
        "--seed",
        SEED,
        "--max-examples",
        CASES,
        "--checks",
        CHECKS,
    ]);
    arguments.extend(["--request-timeout", "20", "--no-color", "--continue-on-failure", "--warnings", "off"]);
    // They do not end by themselves; scenarios test them.
    arguments.extend(["--exclude-path", "/live", "--exclude-path", "/ws", "--exclude-path", "/socket"]);
    // It would go back to before there were the tables that are asked about.
    arguments.extend(["--exclude-path", "/restore"]);
    program(&command[0], &arguments)
}

/// How it is started; installed if it is not there yet.
fn schemathesis() -> Option<Vec<String>> {
    const FOLDER: &str = "target/schemathesis";
    const PACKAGES: &str = "target/schemathesis-packages";
    let python = format!("{FOLDER}/bin/python");
    let runs = |python: &str| {
        let asked = Command::new(python).args(["-m", "schemathesis.cli", "--version"]).output();
        asked.is_ok_and(|asked| asked.status.success() && String::from_utf8_lossy(&asked.stdout).contains(version()))
    };
    let command = |python: &str| Some([python, "-m", "schemathesis.cli"].map(str::to_owned).to_vec());
    if runs(&python) {
        return command(&python);
    }
    if !is_there("python3") {
        return None;
    }
    let made = program("python3", &["-m", "venv", "--clear", FOLDER])
        .and_then(|()| program(&python, &["-m", "pip", "install", "--quiet", SCHEMATHESIS]));
    match made {
        Ok(()) if runs(&python) => return command(&python),
        Ok(()) => {}
        Err(error) => println!("no virtual environment: {error}"),
    }
    // A Python without ensurepip, as Debian has it, may have pip all the same.
    let installed =
        program("python3", &["-m", "pip", "install", "--quiet", "--upgrade", "--target", PACKAGES, SCHEMATHESIS]);
    if let Err(error) = installed {
        println!("schemathesis could not be installed: {error}");
        return None;
    }
    Some(["env", &format!("PYTHONPATH={PACKAGES}"), "python3", "-m", "schemathesis.cli"].map(str::to_owned).to_vec())
}

fn version() -> &'static str {
    SCHEMATHESIS.split("==").nth(1).unwrap_or_default()
}

/// The real binary on a new database; ended with this value.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(folder: &Path) -> Result<Self> {
        let mut child = Command::new(TIDEBASE)
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "error", "--limit", PATIENCE, "--db"])
            .arg(folder.join("test.db"))
            .env("TIDEBASE_ADMIN_TOKEN", TOKEN)
            .env("TIDEBASE_CLIENT_TOKEN", CLIENT_TOKEN)
            .stdout(Stdio::piped())
            .spawn()
            .context("the server could not be started")?;
        let mut first = String::new();
        let out = child.stdout.take().context("its output is piped")?;
        BufReader::new(out).read_line(&mut first)?;
        let address = first.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned);
        let Some(address) = address else {
            let _ = child.kill();
            bail!("the server did not say where it listens: {first:?}");
        };
        Ok(Self { child, address })
    }

    fn post(&self, path: &str, body: &str) -> Result<()> {
        let mut stream = TcpStream::connect(self.address.trim_start_matches("http://"))?;
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: tidebase\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 2") { Ok(()) } else { bail!("POST {path} {body}: {answer}") }
    }
}
