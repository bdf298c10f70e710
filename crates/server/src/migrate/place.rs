//! The database that is migrated: a local file, or a running server, asked at `/migrations` by the same rules as anybody.

use crate::admin::Remote;
use crate::cli::PlaceArgs;
use crate::config;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use tidebase_engine::migrations::shape::OBJECTS;
use tidebase_engine::migrations::{Applied, Migration, Shape, Wanted, Way, kept, plan};
use tidebase_engine::storage::backup;
use tidebase_engine::{Engine, Error, Result};

pub enum Place {
    File(PathBuf),
    Server(Remote),
}

impl Place {
    pub fn of(args: &PlaceArgs) -> Result<Self> {
        match args.remote() {
            Some(remote) => Ok(Self::Server(Remote::patient(&remote)?)),
            None => Ok(Self::File(config::database(args.db.as_ref())?)),
        }
    }

    /// What has been applied. A file is only read, also beside a server; one that is not there has nothing.
    pub fn applied(&self) -> Result<Vec<Applied>> {
        match self {
            Self::File(path) if !path.exists() => Ok(Vec::new()),
            Self::File(path) => kept::list(&backup::open(path)?),
            Self::Server(remote) => read(remote.call(Method::GET, &["migrations"], &[], None)?),
        }
    }

    /// What the database is made of now.
    pub fn shape(&self) -> Result<Shape> {
        match self {
            Self::File(path) if !path.exists() => {
                Err(Error::not_found(format!("There is no database {}.", config::display(path))))
            }
            Self::File(path) => {
                let connection = backup::open(path)?;
                connection.execute_batch("BEGIN")?;
                Shape::read(&connection)
            }
            Self::Server(remote) => {
                let objects = remote.call(Method::POST, &["query"], &[], Some(&json!({ "sql": OBJECTS })))?;
                let policies = remote.call(Method::GET, &["policies"], &[], None)?;
                Shape::of(read(objects)?, read(policies)?)
            }
        }
    }

    /// Gives the report as the server tells it.
    pub fn migrate(&self, wanted: Wanted) -> Result<Json> {
        match self {
            Self::File(path) => {
                let engine = Engine::open(config::opening(path.clone())?)?;
                let done = crate::runtime()?.block_on(engine.migrate(wanted));
                engine.close();
                done.map(|report| report.to_json())
            }
            Self::Server(remote) => {
                let body = body(wanted, &self.applied()?)?;
                remote.call(Method::POST, &["migrations"], &[], Some(&body))
            }
        }
    }
}

fn read<T: DeserializeOwned>(answer: Json) -> Result<T> {
    serde_json::from_value(answer)
        .map_err(|error| Error::unavailable(format!("The server answers as no server of this version does: {error}.")))
}

/// Only the files that matter are sent, so that those of many years need not fit into one request.
fn body(wanted: Wanted, applied: &[Applied]) -> Result<Json> {
    let Wanted { migrations, way, to, dry_run, .. } = wanted;
    let numbers: Vec<i64> = match way {
        Way::Up | Way::Mark => plan::up(&migrations, applied, to)?.0.iter().map(|file| file.number).collect(),
        Way::Down => plan::down(&migrations, applied, to)?.iter().map(|undo| undo.number).collect(),
    };
    let sent = migrations.iter().filter(|file| numbers.contains(&file.number));
    let sent: Vec<Json> =
        sent.map(|file| json!({ "number": file.number, "name": file.name, "sql": whole(file) })).collect();
    let direction = if way == Way::Down { "down" } else { "up" };
    // Up to which one has been seen to here.
    let to = to.filter(|_| way == Way::Down);
    Ok(json!({ "migrations": sent, "direction": direction, "to": to, "dryRun": dry_run, "mark": way == Way::Mark }))
}

/// The file again, with each line where it was.
fn whole(file: &Migration) -> String {
    let mut text = file.up.text.clone();
    if let Some(down) = &file.down {
        let lines = text.lines().count();
        text.push_str(&"\n".repeat((down.first_line - 1).saturating_sub(lines).max(1)));
        text.push_str("-- down\n");
        text.push_str(&down.text);
    }
    text
}
