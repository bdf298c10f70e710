//! `tidebase token`, `user`, `policy` and `keys` against a running server: what people and scripts see of them.
#![allow(clippy::unwrap_used)]

#[path = "server/mod.rs"]
#[allow(dead_code)]
mod server;

use server::{Home, Server, TOKEN};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn run(server: &Server, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidebase"));
    command.env_clear().env("TIDEBASE_ADMIN_TOKEN", TOKEN).env("TIDEBASE_URL", format!("http://{}", server.address));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn good(server: &Server, arguments: &[&str], input: &str) -> String {
    let output = run(server, arguments, input);
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn bad(server: &Server, arguments: &[&str]) -> String {
    let output = run(server, arguments, "");
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_users_policies_and_keys_are_kept_from_the_command_line() {
    let server = Home::new().start().await;
    assert_eq!(good(&server, &["token", "list"], ""), "There are no tokens with a name.\n");
    let made = good(&server, &["token", "make", "till", "--claims", r#"{"shop": "north"}"#, "--expires-in", "30d"], "");
    let token = made.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(token.starts_with("tide_client_"), "{made}");
    let list = good(&server, &["token", "list"], "");
    assert!(list.contains("till  client") && !list.contains(&token), "{list}");
    let id = list.lines().nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(good(&server, &["token", "revoke", &id], "").contains("worth nothing"));
    assert!(bad(&server, &["token", "revoke", &id]).contains("There is no token"));
    assert!(bad(&server, &["token", "make", "x", "--claims", "[1]"]).contains("JSON object"));

    let added = good(&server, &["user", "add", "ann@example.org", "--password-stdin"], "correct horse\n");
    assert!(added.starts_with("New user usr_"), "{added}");
    assert!(good(&server, &["user", "list"], "").contains("ann@example.org"));
    assert!(good(&server, &["user", "change", "ann@example.org", "--disable"], "").contains("yes"));
    assert!(good(&server, &["user", "show", "ann@example.org"], "").contains("Signed in nowhere."));
    assert!(good(&server, &["user", "reset", "ann@example.org"], "").contains("tide_reset_"));
    assert!(bad(&server, &["user", "change", "ann@example.org"]).contains("What is to change?"));
    assert!(bad(&server, &["user", "add", "ann@example.org"]).contains("No account can be made"));
    assert!(good(&server, &["user", "sign-out", "ann@example.org"], "").contains("signed out everywhere"));
    assert!(good(&server, &["user", "remove", "ann@example.org"], "").contains("is removed"));
    assert_eq!(good(&server, &["user", "list", "--json"], ""), "[]\n");

    server.sql("CREATE TABLE note (owner TEXT, body TEXT)").await;
    assert!(good(&server, &["policy", "list"], "").contains("closed to everyone"));
    let own = ["policy", "add", "own/notes", "--table", "note", "--action", "all", "--using", "owner = auth.uid()"];
    assert!(bad(&server, &own).contains("no slash"));
    let own = ["policy", "add", "own notes", "--table", "note", "--action", "all", "--using", "owner = auth.uid()"];
    assert!(good(&server, &own, "").contains("owner = auth.uid()"));
    assert!(good(&server, &["policy", "show", "own notes"], "").contains("\"table\": \"note\""));
    assert!(good(&server, &["policy", "remove", "own notes"], "").contains("is gone"));
    let odd = ["policy", "add", "odd", "--table", "nowhere", "--action", "select", "--using", "true"];
    assert!(bad(&server, &odd).contains("nowhere"));

    assert_eq!(good(&server, &["keys", "list"], "").lines().count(), 2);
    assert_eq!(good(&server, &["keys", "rotate"], "").lines().count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_or_address_is_told_in_plain_words() {
    let server = Home::new().start().await;
    assert!(bad(&server, &["user", "list", "--token", "wrong"]).contains("The token is wrong"));
    let address = server.address.to_string();
    drop(server.stop().await);
    let gone = Home::new().start().await;
    assert!(bad(&gone, &["user", "list", "--url", &address]).contains("Is the server running"));
    assert!(bad(&gone, &["user", "list", "--url", "http://"]).contains("is no address"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_tried_as_somebody_from_the_command_line() {
    let server = Home::new().start().await;
    server.sql("CREATE TABLE note (id INTEGER PRIMARY KEY, owner TEXT)").await;
    server.sql("INSERT INTO note VALUES (1, 'ada'), (2, 'bob')").await;
    let own = ["--table", "note", "--action", "all", "--role", "user", "--using", "owner = auth.uid()"];
    good(&server, &[&["policy", "add", "own notes"][..], &own].concat(), "");
    let tried = good(&server, &["policy", "explain", "SELECT * FROM note", "--uid", "ada"], "");
    assert_eq!(tried, "id  owner\n1   ada\nRows: 1; without policies 2.\nAllowed. Nothing was changed.\n");
    let tried = good(&server, &["policy", "explain", "UPDATE note SET owner = 'bob'", "--uid", "ada"], "");
    assert!(tried.contains("Rows passed over: 1 that are not seen, 0 that are seen"), "{tried}");
    assert!(tried.contains("Said no: own notes (update on note).\nThe row: {\"id\":1,\"owner\":\"bob\"}"), "{tried}");
    let tried = good(&server, &["policy", "explain", "SELECT * FROM note", "--role", "client"], "");
    assert!(tried.contains("There is no policy for select on note for this role."), "{tried}");
    let told = good(&server, &["policy", "explain", "DELETE FROM note", "--uid", "bob", "--json"], "");
    assert!(told.contains("\"deleted\":1") && told.contains("\"allowed\":true"), "{told}");
    assert!(bad(&server, &["policy", "explain", "SELECT 1", "--claims", "[]"]).contains("JSON object"));
    assert_eq!(server.sql("SELECT count(*) AS n FROM note").await[0]["n"], 2);
}
