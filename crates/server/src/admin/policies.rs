//! `tidebase policy list | show | add | remove | explain`.

use super::{Remote, object, print};
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
        PolicyCommand::Explain { sql, role, uid, claims } => {
            let caller = json!({ "role": role, "uid": uid, "claims": object("claims", claims.as_ref())? });
            let told = remote.post(&["policies", "explain"], &json!({ "as": caller, "sql": sql }))?;
            remote.say(&told, &explained(&told));
        }
    }
    Ok(())
}

/// What a statement that was tried came to, in sentences.
fn explained(told: &Json) -> String {
    let count = |name: &str| told[name].as_i64().unwrap_or(0);
    let list = |value: &Json| value.as_array().cloned().unwrap_or_default();
    let mut lines = Vec::new();
    let columns: Vec<String> =
        list(&told["columns"]).iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
    if !columns.is_empty() {
        let row = |row: &Json| columns.iter().cloned().zip(list(row)).collect::<serde_json::Map<_, _>>().into();
        let rows: Vec<Json> = list(&told["rows"]).iter().map(row).collect();
        let names: Vec<&str> = columns.iter().map(String::as_str).collect();
        lines.push(print::table(&rows, &names));
        let all = told["rows_in_all"].as_i64().map(|all| format!("; without policies {all}")).unwrap_or_default();
        lines.push(format!("Rows: {}{all}.", count("rows_seen")));
    }
    for what in ["inserted", "updated", "deleted"] {
        if count(what) > 0 {
            lines.push(format!("Rows that would be {what}: {}.", count(what)));
        }
    }
    if count("hidden") + count("not_allowed") > 0 {
        lines.push(format!(
            "Rows passed over: {} that are not seen, {} that are seen and may not be changed so.",
            count("hidden"),
            count("not_allowed")
        ));
    }
    lines.push(refused(&told["refusal"]).unwrap_or_else(|| "Allowed. Nothing was changed.".into()));
    lines.join("\n")
}

/// Why it would not be carried out; nothing if it would.
fn refused(refusal: &Json) -> Option<String> {
    let mut text = format!("Refused: {}", refusal["error"].as_str()?);
    if let (Some(table), Some(action)) = (refusal["table"].as_str(), refusal["action"].as_str()) {
        let policies: Vec<&str> = refusal["policies"].as_array()?.iter().filter_map(Json::as_str).collect();
        text.push_str(&if policies.is_empty() {
            format!("\nThere is no policy for {action} on {table} for this role.")
        } else {
            format!("\nSaid no: {} ({action} on {table}).", policies.join(", "))
        });
    }
    if refusal["row"].is_object() {
        text.push_str(&format!("\nThe row: {}", refusal["row"]));
    }
    Some(text)
}
