//! `tidebase policy list | show | add | remove`.

use super::Remote;
use crate::cli::{PolicyCommand, RemoteArgs};
use serde_json::{Value as Json, json};
use tidebase_engine::Result;

const COLUMNS: [&str; 7] = ["name", "table", "action", "role", "using", "check", "columns"];

pub fn policies(args: &RemoteArgs, what: &PolicyCommand) -> Result<()> {
    let remote = Remote::new(args)?;
    match what {
        PolicyCommand::List => remote.show(
            &remote.get(&["policies"])?,
            &COLUMNS,
            "There are no policies: every table is closed to everyone but the administrator.",
        ),
        PolicyCommand::Show { name } => {
            let policy = remote.get(&["policies", name])?;
            let sentence = serde_json::to_string_pretty(&policy).unwrap_or_default();
            remote.say(&policy, &sentence);
        }
        PolicyCommand::Add { name, table, action, role, using, check, columns } => {
            let mut policy = json!({ "name": name, "table": table, "action": action });
            let mut set = |field: &str, value: Option<Json>| {
                if let Some(value) = value {
                    policy[field] = value;
                }
            };
            set("role", role.clone().map(Json::from));
            set("using", using.clone().map(Json::from));
            set("check", check.clone().map(Json::from));
            set(
                "columns",
                columns.as_ref().map(|columns| json!(columns.split(',').map(str::trim).collect::<Vec<_>>())),
            );
            let kept = remote.post(&["policies"], &policy)?;
            remote.show(&json!([kept]), &COLUMNS, "");
        }
        PolicyCommand::Remove { name } => {
            let gone = remote.delete(&["policies", name])?;
            remote.say(&gone, &format!("{name} is gone; what it alone had opened is closed."));
        }
    }
    Ok(())
}
