//! What describes the server to programs: `/openapi.json`, `/types.ts` and `tidebase types`.

use crate::server::http::{Answer, Request};
use crate::server::{Process, Server, TOKEN};
use serde_json::{Value as Json, json};
use std::process::Command;

async fn shop() -> (Server, String) {
    let server = Server::start().await;
    server
        .sql(
            "CREATE TABLE sale (id INTEGER PRIMARY KEY, shop TEXT NOT NULL, amount INTEGER NOT NULL DEFAULT 1, secret TEXT, picture BLOB);
             CREATE TABLE \"odd {name}/\" (a TEXT, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID;
             CREATE VIEW totals AS SELECT shop, sum(amount) AS amount FROM sale GROUP BY shop;
             CREATE TABLE closed (x)",
        )
        .await;
    for policy in [
        json!({"name": "see", "table": "sale", "action": "select", "using": "true", "columns": ["id", "shop"]}),
        json!({"name": "sell", "table": "sale", "action": "insert", "check": "true", "columns": ["shop", "amount"]}),
    ] {
        assert_eq!(server.send(Request::post("/policies", policy)).await.status, 201);
    }
    let made = server.send(Request::post("/auth/tokens", json!({"name": "till", "role": "client"}))).await;
    (server, made.result()["token"].as_str().unwrap().to_owned())
}

async fn as_client(server: &Server, token: &str, path: &str) -> Answer {
    server.send(Request::get(path).header("Authorization", format!("Bearer {token}"))).await
}

#[tokio::test]
async fn the_document_describes_the_tables_as_they_are_now_and_as_they_are_open() {
    let (server, client) = shop().await;
    let all = server.send(Request::get("/openapi.json")).await.json();
    assert_eq!(all["openapi"], "3.1.0");
    let paths = all["paths"].as_object().unwrap();
    let methods = |path: &str| -> Vec<String> {
        let methods = paths[path].as_object().unwrap_or_else(|| panic!("{path}")).keys();
        methods.filter(|key| *key != "parameters").cloned().collect()
    };
    let mut row = methods("/rest/sale/{id}");
    row.sort();
    assert_eq!(row, ["delete", "get", "patch", "put"]);
    assert_eq!(methods("/rest/totals"), ["get"]);
    assert!(
        paths.contains_key("/rest/odd%20%7Bname%7D%2F/{id}") && paths.contains_key("/policies/{name}"),
        "{paths:?}"
    );
    assert!(!paths.keys().any(|path| path.contains("_tide")), "{paths:?}");
    let insert = &all["components"]["schemas"]["sale.insert"];
    assert_eq!(insert["required"], json!(["shop"]));
    assert_eq!(insert["properties"]["amount"]["type"], json!(["integer"]));
    assert_eq!(insert["properties"]["secret"]["type"], json!(["string", "null"]));
    let named = paths["/rest/sale"]["get"]["parameters"].as_array().unwrap();
    assert!(named.iter().any(|parameter| parameter["name"] == "amount"), "{named:?}");

    let open = as_client(&server, &client, "/openapi.json").await.json();
    let text = open.to_string();
    for hidden in ["closed", "secret", "totals", "odd", "/policies", "picture"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    let paths = open["paths"].as_object().unwrap();
    let keys = |value: &Json| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let schemas = &open["components"]["schemas"];
    assert_eq!(keys(&schemas["sale.row"]["properties"]), ["id", "shop"]);
    assert_eq!(keys(&schemas["sale.insert"]["properties"]), ["amount", "shop"]);
    assert!(paths["/rest/sale/{id}"].get("delete").is_none() && paths["/rest/sale"].get("post").is_some());
    server.sql("ALTER TABLE sale ADD COLUMN noted TEXT").await;
    let all = server.send(Request::get("/openapi.json")).await.json();
    assert!(all["components"]["schemas"]["sale.row"]["properties"].get("noted").is_some());
    server.send(Request::get("/openapi.json").without_token()).await.is_refused(401, "unauthorized", "");
}

#[tokio::test]
async fn types_are_written_by_the_server_and_by_the_command_alike() {
    let (server, client) = shop().await;
    let served = String::from_utf8(server.send(Request::get("/types.ts")).await.body).unwrap();
    assert!(served.contains("  sale: {\n    Row: {\n      id: number | bigint;\n      shop: string;\n"), "{served}");
    assert!(served.contains("      amount?: number | bigint;\n      secret?: string | null;\n"), "{served}");
    let run = async |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidebase"));
        command.env_clear().current_dir(server.home.folder.path()).arg("types").args(arguments);
        Process::run(command).ended().await
    };
    let url = format!("http://{}", server.address);
    let (status, output) = run(&["--url", &url, "--token", TOKEN]).await;
    assert!(status.success() && output.out == served, "{output:?}");
    let (status, output) = run(&["--db", server.home.db.to_str().unwrap()]).await;
    assert!(status.success() && output.out == served, "{output:?}");
    let (_, output) = run(&["--url", &url, "--token", &client]).await;
    assert!(
        output.out.contains("Insert: {\n      shop: string;") && output.out.contains("Update: never;"),
        "{output:?}"
    );
    assert!(!output.out.contains("closed") && !output.out.contains("secret"), "{output:?}");
    let (status, output) = run(&["--url", &url, "--token", "wrong"]).await;
    assert!(!status.success() && output.err.contains("token") && output.out.is_empty(), "{output:?}");
    let (status, output) = run(&["--db", "nowhere.db"]).await;
    assert!(!status.success() && output.err.contains("There is no database"), "{output:?}");
}
