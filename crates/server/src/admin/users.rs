//! `tidebase user list | show | add | change | remove | sign-out | reset`.

use super::{Remote, object};
use crate::cli::{RemoteArgs, UserCommand};
use serde_json::{Value as Json, json};
use std::io::{BufRead as _, IsTerminal as _};
use tidebase_engine::{Error, Result};

const COLUMNS: [&str; 6] = ["id", "email", "is_anonymous", "is_disabled", "made_at", "claims"];
/// Users asked for at one time; all are shown.
const PAGE: usize = 1000;

pub fn users(args: &RemoteArgs, what: &UserCommand) -> Result<()> {
    let remote = Remote::new(args)?;
    match what {
        UserCommand::List => remote.show(&all(&remote)?, &COLUMNS, "There are no users."),
        UserCommand::Show { who } => {
            let user = remote.get(&["auth", "users", who])?;
            if remote.as_json {
                remote.say(&user, "");
            } else {
                remote.show(&json!([user]), &COLUMNS, "");
                let columns = ["id", "made_at", "used_at", "expires_at", "address", "agent"];
                println!();
                remote.show(&user["sessions"], &columns, "Signed in nowhere.");
            }
        }
        UserCommand::Add { email, password_stdin, claims } => {
            let password = if *password_stdin { Some(password()?) } else { None };
            let body = json!({ "email": email, "password": password, "claims": object("claims", claims.as_ref())? });
            let user = remote.post(&["auth", "users"], &body)?;
            let id = user["id"].as_str().unwrap_or_default();
            let next =
                if password.is_none() { format!("\nFor a password: tidebase user reset {id}") } else { String::new() };
            remote.say(&user, &format!("New user {id}.{next}"));
        }
        UserCommand::Change { who, claims, disable, enable } => {
            let mut body = json!({});
            if let Some(claims) = object("claims", claims.as_ref())? {
                body["claims"] = claims;
            }
            if *disable || *enable {
                body["is_disabled"] = (*disable).into();
            }
            if body == json!({}) {
                return Err(Error::invalid("What is to change? There are --claims, --disable and --enable."));
            }
            let user = remote.patch(&["auth", "users", who], &body)?;
            remote.show(&json!([user]), &COLUMNS, "");
        }
        UserCommand::Remove { who } => {
            let gone = remote.delete(&["auth", "users", who])?;
            remote.say(&gone, &format!("{who} is removed. Rows that name the user stay."));
        }
        UserCommand::SignOut { who } => {
            let gone = remote.delete(&["auth", "users", who, "sessions"])?;
            remote.say(&gone, &format!("{who} is signed out everywhere."));
        }
        UserCommand::Reset { who } => {
            let made = remote.post(&["auth", "users", who, "reset"], &json!({}))?;
            let token = made["token"].as_str().unwrap_or_default();
            remote.say(
                &made,
                &format!("Good once, for an hour:  {token}\nIt goes to POST /auth/reset with the new password."),
            );
        }
    }
    Ok(())
}

fn all(remote: &Remote) -> Result<Json> {
    let mut all: Vec<Json> = Vec::new();
    loop {
        let after = all.last().and_then(|last| last["id"].as_str()).unwrap_or_default().to_owned();
        let page = remote.get_with(&["auth", "users"], &[("after", &after), ("limit", &PAGE.to_string())])?;
        let page = page.as_array().cloned().unwrap_or_default();
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all.into());
        }
    }
}

/// One line of standard input: an argument would be seen by every user of the machine.
fn password() -> Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("Password (it is shown as you type; better pipe it in):");
    }
    let mut line = String::new();
    stdin
        .lock()
        .read_line(&mut line)
        .map_err(|error| Error::invalid(format!("No password could be read: {error}.")))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
