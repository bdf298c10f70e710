//! Data out, in and back in time, beside SQLite's own shell and Litestream (--litestream): time, CPU and the most memory of each.
//!
//! A database of --size-mb is made by the shell: rows of a few hundred bytes, half of them text, with an index. The same is then asked of
//! both, each on its own copy, in turns.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::insert_name;
use crate::child::clean_command;
use crate::cli::Settings;
use crate::load::Plan;
use crate::procfs;
use crate::report::{Load, Report, median, ratio};
use crate::targets::{BACKUP_CPU_RATIO, EXPORT_MEMORY, EXPORT_RATIO, IMPORT_RATIO, RESTORE_RATIO};
use crate::tidebase::{NAME, Tidebase};

const SHELL: &str = "SQLite's shell";
const LITESTREAM: &str = "Litestream";
const CLIENTS: usize = 64;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// What one run of a program took.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    wall: Duration,
    cpu: Duration,
    /// Resident bytes at the most.
    memory: u64,
}

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    let home = settings.temporary()?;
    make(home.path(), settings.size_bytes)?;
    let (mut ours, mut theirs) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..settings.rounds {
        println!("round {}", round + 1);
        out_and_in(settings, home.path(), &mut ours, &mut theirs)?;
    }
    let [exports, imports] = &ours;
    let [dumps, reads] = &theirs;
    tell(report, "export as SQL", exports, dumps, SHELL);
    report.judged("export as SQL: rows a second, the shell's = 1", quicker(exports, dumps), "x", EXPORT_RATIO);
    report.judged("export as SQL: memory at the most", most(exports), "MB", EXPORT_MEMORY);
    tell(report, "import of it", imports, reads, SHELL);
    report.judged("import: rows a second, the shell's = 1", quicker(imports, reads), "x", IMPORT_RATIO);
    back(settings, home.path(), report).await?;
    beside(settings, report).await
}

fn make(home: &Path, bytes: u64) -> Result<()> {
    let rows = bytes / 400;
    let sql = format!(
        "PRAGMA journal_mode = WAL; CREATE TABLE entry (id INTEGER PRIMARY KEY, owner TEXT, body TEXT, picture BLOB, n REAL);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO entry SELECT i, 'owner' || (i % 1000), hex(randomblob(80)) || ' it''s', randomblob(100), i / 7.0 FROM n;
         CREATE INDEX by_owner ON entry (owner);"
    );
    let made = Command::new("sqlite3").arg(home.join("source.db")).arg(sql).stdout(Stdio::null()).status();
    ensure!(
        made.context("sqlite3 cannot be run; it is the peer here")?.success(),
        "sqlite3 could not make the database"
    );
    Ok(())
}

fn out_and_in(settings: &Settings, home: &Path, ours: &mut [Vec<Took>; 2], theirs: &mut [Vec<Took>; 2]) -> Result<()> {
    let file = |name: &str| home.join(name);
    for name in ["ours.sql", "theirs.sql", "ours.db", "ours.db-tide", "ours.db-tide-lock", "theirs.db"] {
        let _ = std::fs::remove_file(file(name));
    }
    let mut export = clean_command(settings.server()?, home);
    ours[0].push(took(export.args(["export", "--db", "source.db", "--to", "ours.sql"]))?);
    let mut dump = clean_command(Path::new("sqlite3"), home);
    dump.args(["source.db", ".dump"]).stdout(std::fs::File::create(file("theirs.sql"))?);
    theirs[0].push(took(&mut dump)?);
    let mut import = clean_command(settings.server()?, home);
    ours[1].push(took(import.args(["import", "ours.sql", "--db", "ours.db"]))?);
    let mut read = clean_command(Path::new("sqlite3"), home);
    read.arg("theirs.db").stdin(std::fs::File::open(file("theirs.sql"))?);
    theirs[1].push(took(&mut read)?);
    Ok(())
}

/// A restore of all of it from its backups.
async fn back(settings: &Settings, home: &Path, report: &mut Report) -> Result<()> {
    std::fs::rename(home.join("source.db"), home.join("bench.db"))?;
    let (server, _) = Tidebase::start(settings, home, None).await?;
    server.stop()?;
    let folder = home.join("bench.db-backups");
    let bytes = size(&folder)?;
    let database = std::fs::metadata(home.join("bench.db"))?.len();
    report.figure(
        "backups of a database that does not change, for each GB of it",
        NAME,
        ratio(bytes as f64, database as f64),
        "GB",
    );
    let Some(litestream) = &settings.litestream else {
        report.remarks.push("Litestream was not asked: name it with --litestream.".into());
        return Ok(());
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        for name in ["ours-back.db", "theirs-back.db"] {
            let _ = std::fs::remove_file(home.join(name));
        }
        let mut restore = clean_command(settings.server()?, home);
        restore.arg("restore").arg("--from").arg(&folder).args(["--to", "ours-back.db"]);
        ours.push(took(&mut restore)?);
        let mut stock = clean_command(litestream, home);
        stock.args(["restore", "-o", "theirs-back.db"]).arg(format!("file://{}", folder.display()));
        theirs.push(took(&mut stock)?);
    }
    tell(report, "restore of it", &ours, &theirs, LITESTREAM);
    report.judged("restore: time, Litestream's = 1", 1.0 / quicker(&ours, &theirs), "x", RESTORE_RATIO);
    Ok(())
}

/// Durable inserts with backups and without, in turns.
async fn beside(settings: &Settings, report: &mut Report) -> Result<()> {
    let mut cpus = [Vec::new(), Vec::new()];
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..settings.rounds {
        for (index, arguments) in [&["--backups", "off"][..], &[]].into_iter().enumerate() {
            let load = inserts(settings, arguments, index == 1).await?;
            cpus[index].push(load.server_cpu());
            rates[index].push(load.per_second());
            report.loads.push(load);
        }
    }
    let name = insert_name(CLIENTS);
    let by = |of: &[Vec<f64>; 2]| median(&of[1]) / median(&of[0]);
    report.judged(format!("{name} with backups: CPU, without = 1"), by(&cpus), "x", BACKUP_CPU_RATIO);
    report.figure(format!("{name} with backups: rate, without = 1"), NAME, by(&rates), "x");
    Ok(())
}

async fn inserts(settings: &Settings, arguments: &[&str], is_kept: bool) -> Result<Load> {
    let server = Tidebase::fresh_with(settings, arguments).await?;
    server
        .sql("CREATE TABLE entry(id INTEGER PRIMARY KEY, owner TEXT, body TEXT, n INTEGER)", serde_json::json!([]))
        .await?;
    let plan = Plan { address: server.address, pid: server.pid(), clients: CLIENTS, window: settings.window };
    let caller = server.caller.clone();
    let outcome = plan
        .run(move |sequence, out| {
            let body = format!(
                r#"{{"sql":"INSERT INTO entry(owner,body,n) VALUES(?1,?2,?3)","params":["owner{}","the body of an entry of usual length",{sequence}]}}"#,
                sequence % 1000
            );
            caller.post(out, "/query", &body);
        })
        .await?;
    let kept = if is_kept { "with backups" } else { "without" };
    let load = Load::new(format!("{}, {kept}", insert_name(CLIENTS)), NAME, &outcome.latencies, outcome.spent);
    server.stop()?;
    Ok(load)
}

/// Runs a program to its end.
fn took(command: &mut Command) -> Result<Took> {
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{} cannot be run", command.get_program().display()))?;
    let mut took = Took::default();
    let status = loop {
        // What a process that has just ended has used nobody tells any more; the last look is a moment old.
        took.cpu = procfs::cpu(child.id()).unwrap_or(took.cpu).max(took.cpu);
        took.memory = took.memory.max(procfs::resident_bytes(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    };
    took.wall = began.elapsed();
    if !status.success() {
        bail!("{} has failed: {status}", command.get_program().display());
    }
    Ok(took)
}

fn tell(report: &mut Report, name: &str, ours: &[Took], theirs: &[Took], peer: &'static str) {
    for (server, all) in [(NAME, ours), (peer, theirs)] {
        let middle = |part: fn(&Took) -> f64| median(&all.iter().map(part).collect::<Vec<_>>());
        report.figure(format!("{name}: time"), server, middle(|took| took.wall.as_secs_f64()), "s");
        report.figure(format!("{name}: CPU"), server, middle(|took| took.cpu.as_secs_f64()), "s");
        report.figure(format!("{name}: memory at the most"), server, most(all), "MB");
    }
}

/// How often as quick as they.
fn quicker(ours: &[Took], theirs: &[Took]) -> f64 {
    let wall = |all: &[Took]| median(&all.iter().map(|took| took.wall.as_secs_f64()).collect::<Vec<_>>());
    ratio(wall(theirs), wall(ours))
}

fn most(all: &[Took]) -> f64 {
    all.iter().map(|took| took.memory).max().unwrap_or(0) as f64 / 1e6
}

fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.path().is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
