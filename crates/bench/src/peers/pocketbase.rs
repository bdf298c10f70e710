//! PocketBase under the same loads: point reads, inserts, inserts beside subscribers.
//!
//! It runs with its default settings, so its commits are not fsynced, and with open access rules, which is the least
//! work it can have; inserts beside subscribers also with a rule that lets every row through. The collections hold what
//! Tidebase's tables hold.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::{AbortHandle, spawn_local};

use super::event_stream::EventStream;
use crate::child::{Child, clean_command, free_address};
use crate::cli::Settings;
use crate::fan_out::{self, Key, SUBSCRIBERS, Stage};
use crate::http::{Caller, Connection};
use crate::load::Plan;
use crate::measures::policies::{ALL_OF, ONE_OF, PACE, PEOPLE, Person, WRITES};
use crate::measures::{POINT_READ, POINT_READ_CLIENTS, insert_name, scattered};
use crate::procfs::all_threads_cpu;
use crate::report::{Load, Report};
use crate::told::{Audience, Listener as _, Told, allow_sockets};

pub const NAME: &str = "PocketBase";
const NAME_WITH_RULE: &str = "PocketBase, a rule";
/// True of every row, and asked for each row and subscriber.
const RULE: &str = "seq > 0 && room != ''";
const START_PATIENCE: Duration = Duration::from_mins(1);
const CLIENTS: [usize; 2] = [64, 256];
/// Records of one batch request while the table is filled.
const BATCH: u64 = 500;
const EMAIL: &str = "bench@example.com";

/// Fields run from first to last: the process must end before its folder goes.
struct PocketBase {
    child: Child,
    address: SocketAddr,
    /// Calls as nobody, as the loads do.
    caller: Caller,
    _home: TempDir,
}

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let Some(program) = settings.pocketbase.as_deref() else {
        report.remarks.push("PocketBase was not measured: no binary was named with --pocketbase.".into());
        return Ok(());
    };
    allow_sockets(SUBSCRIBERS.into_iter().max().unwrap_or(0))?;
    let server = PocketBase::start(settings, program).await?;
    server.point_read(settings, report).await?;
    server.inserts(settings, report).await?;
    let base = std::cell::Cell::new(1);
    for (name, collection) in [(NAME, "feed"), (NAME_WITH_RULE, "ruled_feed")] {
        fan_out::run(settings.rounds, settings.window, report, async |subscribers| {
            // Sequence numbers go on from stage to stage, since all stages write to one collection.
            let first = base.replace(base.get() + 1_000_000);
            server.stage(name, collection, subscribers, first).await
        })
        .await?;
    }
    server.child.stop()?;
    Ok(())
}

/// What a rule costs for each of a thousand subscribers who are different people: one may see a write, or all.
pub async fn policies(settings: &Settings, report: &mut Report) -> Result<()> {
    let Some(program) = settings.pocketbase.as_deref() else {
        report.remarks.push("PocketBase was not measured: no binary was named with --pocketbase.".into());
        return Ok(());
    };
    allow_sockets(PEOPLE)?;
    let server = PocketBase::start(settings, program).await?;
    let people = server.people(settings).await?;
    for (name, collection) in [(ONE_OF, "own_feed"), (ALL_OF, "open_feed")] {
        let spent = server.ruled(collection, &people).await?;
        report.figure(name, NAME, spent, "µs");
    }
    server.child.stop().map(drop)
}

impl PocketBase {
    /// µs of the server for a write and subscriber, beyond what the write costs alone.
    async fn ruled(&self, collection: &str, people: &[Person]) -> Result<f64> {
        let alone = self.paced(collection, people).await?;
        let topic = format!("{collection}/*");
        let mut listening = Vec::new();
        for person in people {
            let caller = Caller::new(self.address, Some(&person.token));
            let mut stream = EventStream::open(self.address, &caller, &topic).await?;
            listening.push(spawn_local(async move { while stream.news().await.is_ok() {} }).abort_handle());
        }
        let beside = self.paced(collection, people).await?;
        listening.iter().for_each(AbortHandle::abort);
        Ok((beside.as_secs_f64() - alone.as_secs_f64()).max(0.0) * 1e6 / (WRITES * PEOPLE as u64) as f64)
    }

    /// What the server spends on paced inserts.
    async fn paced(&self, collection: &str, people: &[Person]) -> Result<Duration> {
        let mut connection = Connection::open(self.address).await?;
        let (before, started) = (all_threads_cpu(self.child.pid())?, Instant::now());
        for sequence in 0..WRITES {
            tokio::time::sleep_until((started + PACE * sequence as u32).into()).await;
            let owner = &people[scattered(sequence, PEOPLE as u64) as usize - 1].id;
            let body = json!({ "owner": owner, "body": "a message of usual length", "seq": sequence + 1 });
            let mut request = Vec::new();
            let path = format!("/api/collections/{collection}/records");
            self.caller.post(&mut request, &path, &body.to_string());
            connection.exchange(&request).await?.checked()?;
        }
        tokio::time::sleep_until((started + PACE * WRITES as u32).into()).await;
        Ok(all_threads_cpu(self.child.pid())?.saturating_sub(before))
    }

    /// A thousand who have signed in. Their passwords are not asked for: the superuser makes their tokens.
    async fn people(&self, settings: &Settings) -> Result<Vec<Person>> {
        let admin = self.superuser(settings).await?;
        let mut people = Vec::new();
        for number in 0..PEOPLE {
            let email = format!("person{number}@example.com");
            let record = json!({ "email": email, "password": "12345678", "passwordConfirm": "12345678" });
            let made = self.call(&admin, "POST", "/api/collections/users/records", &record).await?;
            let id = made["id"].as_str().context("no id of a new user")?.to_owned();
            let path = format!("/api/collections/users/impersonate/{id}");
            let told = self.call(&admin, "POST", &path, &json!({ "duration": 3600 })).await?;
            people.push(Person { id, token: told["token"].as_str().context("no token of a new user")?.to_owned() });
        }
        Ok(people)
    }

    async fn superuser(&self, settings: &Settings) -> Result<Caller> {
        let sign_in = json!({ "identity": EMAIL, "password": settings.token });
        let path = "/api/collections/_superusers/auth-with-password";
        let token = self.call(&self.caller, "POST", path, &sign_in).await?;
        Ok(Caller::new(self.address, Some(token["token"].as_str().context("no token after signing in")?)))
    }

    async fn start(settings: &Settings, program: &Path) -> Result<Self> {
        let home = settings.temporary()?;
        let data = home.path().join("data");
        let mut create = clean_command(program, home.path());
        create.args(["superuser", "upsert", EMAIL, &settings.token]).arg("--dir").arg(&data);
        let created = create.output().context("making PocketBase's superuser")?;
        ensure!(created.status.success(), "no superuser: {}", String::from_utf8_lossy(&created.stderr));
        let address = free_address()?;
        let mut serve = clean_command(program, home.path());
        serve.args(["serve", "--http", &address.to_string()]).arg("--dir").arg(&data);
        let mut child = Child::spawn(&mut serve, home.path().join("server.log"))?;
        let caller = Caller::new(address, None);
        let mut request = Vec::new();
        caller.get(&mut request, "/api/health");
        child.first_answer(address, &request, START_PATIENCE).await?;
        let server = Self { child, address, caller, _home: home };
        server.prepare(settings).await?;
        Ok(server)
    }

    async fn prepare(&self, settings: &Settings) -> Result<()> {
        let admin = self.superuser(settings).await?;
        let batch = json!({ "batch": { "enabled": true, "maxRequests": BATCH, "timeout": 60 } });
        self.call(&admin, "PATCH", "/api/settings", &batch).await?;
        let text = |name: &str| json!({ "name": name, "type": "text" });
        let number = |name: &str| json!({ "name": name, "type": "number" });
        let collections = [
            ("t", vec![text("name"), text("owner"), number("n"), number("x"), text("created")], ""),
            ("entry", vec![text("owner"), text("body"), number("n")], ""),
            ("feed", vec![text("room"), text("body"), number("seq")], ""),
            ("ruled_feed", vec![text("room"), text("body"), number("seq")], RULE),
            ("own_feed", vec![text("owner"), text("body"), number("seq")], "owner = @request.auth.id"),
            ("open_feed", vec![text("owner"), text("body"), number("seq")], "@request.auth.id != ''"),
        ];
        for (name, fields, rule) in collections {
            let collection = json!({
                "name": name, "type": "base", "fields": fields, "listRule": rule, "viewRule": rule, "createRule": "",
            });
            self.call(&admin, "POST", "/api/collections", &collection).await.with_context(|| name.to_owned())?;
        }
        let mut first = 1;
        while first <= settings.rows {
            let last = (first + BATCH - 1).min(settings.rows);
            let requests: Vec<Value> = (first..=last).map(record_request).collect();
            self.call(&admin, "POST", "/api/batch", &json!({ "requests": requests })).await.context("filling")?;
            first = last + 1;
        }
        Ok(())
    }

    async fn call(&self, caller: &Caller, method: &str, path: &str, body: &Value) -> Result<Value> {
        let mut request = Vec::new();
        caller.send(&mut request, method, path, &body.to_string());
        let mut connection = Connection::open(self.address).await?;
        connection.exchange(&request).await?.checked()?.json()
    }

    async fn point_read(&self, settings: &Settings, report: &mut Report) -> Result<()> {
        let (caller, rows) = (self.caller.clone(), settings.rows);
        let outcome = self
            .plan(settings, POINT_READ_CLIENTS)
            .run(move |sequence, out| {
                let id = record_id(scattered(sequence, rows));
                caller.get(out, &format!("/api/collections/t/records/{id}"));
            })
            .await?;
        report.loads.push(Load::new(POINT_READ, NAME, &outcome.latencies, outcome.spent));
        Ok(())
    }

    async fn inserts(&self, settings: &Settings, report: &mut Report) -> Result<()> {
        for clients in CLIENTS {
            let caller = self.caller.clone();
            let outcome = self
                .plan(settings, clients)
                .run(move |sequence, out| {
                    let owner = sequence % 1000;
                    let body = format!(
                        r#"{{"owner":"owner{owner}","body":"the body of an entry of usual length","n":{sequence}}}"#
                    );
                    caller.post(out, "/api/collections/entry/records", &body);
                })
                .await?;
            report.loads.push(Load::new(insert_name(clients), NAME, &outcome.latencies, outcome.spent));
        }
        Ok(())
    }

    async fn stage(
        &self,
        name: &'static str,
        collection: &'static str,
        subscribers: usize,
        first: u64,
    ) -> Result<Stage> {
        let told = Told::after(first - 1);
        let topic = format!("{collection}/*");
        let open = async || EventStream::open(self.address, &self.caller, &topic).await;
        let audience = Audience::gather(subscribers, told, open).await?;
        let caller = self.caller.clone();
        let request = Arc::new(move |sequence, out: &mut Vec<u8>| {
            let body = format!(r#"{{"room":"r1","body":"message {sequence} of usual length","seq":{sequence}}}"#);
            caller.post(out, &format!("/api/collections/{collection}/records"), &body);
        });
        Ok(Stage {
            server: name,
            pid: self.child.pid(),
            address: self.address,
            request,
            audience,
            key: Key::Sequence,
            sequence: first,
            keep: None,
        })
    }

    fn plan(&self, settings: &Settings, clients: usize) -> Plan {
        Plan { address: self.address, pid: self.child.pid(), clients, window: settings.window }
    }
}

/// PocketBase's keys are 15 characters.
fn record_id(row: u64) -> String {
    format!("r{row:014}")
}

fn record_request(row: u64) -> Value {
    json!({
        "method": "POST", "url": "/api/collections/t/records",
        "body": {
            "id": record_id(row), "name": format!("name of row {row}"), "owner": format!("owner{}", row % 1000),
            "n": row * 7, "x": row as f64 / 3.0, "created": "2026-01-01 00:00:00",
        },
    })
}
