//! `tidebase keys list | rotate`: the keys with which tokens of people are signed.

use super::Remote;
use crate::cli::{KeysCommand, RemoteArgs};
use serde_json::json;
use tidebase_engine::Result;

pub fn keys(args: &RemoteArgs, what: &KeysCommand) -> Result<()> {
    let remote = Remote::new(args)?;
    let keys = match what {
        KeysCommand::List => remote.get(&["auth", "keys"])?,
        KeysCommand::Rotate => remote.post(&["auth", "keys"], &json!({}))?,
    };
    remote.show(&keys, &["id", "made_at", "retired_at"], "There are no keys.");
    Ok(())
}
