//! `tidebase token list | make | revoke`.

use super::{Remote, object};
use crate::cli::{RemoteArgs, TokenMake};
use serde_json::json;
use tidebase_engine::{Error, Result};

pub enum Tokens<'a> {
    List,
    Make(&'a TokenMake),
    Revoke(&'a str),
}

pub fn tokens(args: &RemoteArgs, what: &Tokens<'_>) -> Result<()> {
    let remote = Remote::new(args)?;
    match what {
        Tokens::List => {
            let columns = ["id", "name", "role", "hint", "made_at", "expires_at", "claims"];
            remote.show(&remote.get(&["auth", "tokens"])?, &columns, "There are no tokens with a name.");
        }
        Tokens::Make(make) => {
            let expires_in = make.expires_in.as_deref().map(seconds).transpose()?;
            let claims = object("claims", make.claims.as_ref())?;
            let body = json!({ "name": make.name, "role": make.role, "claims": claims, "expires_in": expires_in });
            let made = remote.post(&["auth", "tokens"], &body)?;
            let token = made["token"].as_str().unwrap_or_default();
            remote.say(&made, &format!("New token, shown this once:  {token}"));
        }
        Tokens::Revoke(id) => {
            let gone = remote.delete(&["auth", "tokens", id])?;
            remote.say(&gone, &format!("{id} is worth nothing any more, and its sockets are closed."));
        }
    }
    Ok(())
}

/// `90`, `15m`, `12h`, `30d`
fn seconds(text: &str) -> Result<u32> {
    let wrong = || Error::invalid(format!("--expires-in {text:?} is a time such as 90s, 15m, 12h or 30d."));
    let number = text.trim_end_matches(['s', 'm', 'h', 'd']);
    let unit = match &text[number.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    number.parse::<u32>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, expected) in [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000)] {
            assert_eq!(seconds(text).unwrap(), expected);
        }
        for text in ["", "d", "1w", "1.5h", "-1", "1dd", "99999999d"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
