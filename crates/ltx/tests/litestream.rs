//! The stock `litestream` program restores our folders to the same bytes: the latest, at a transaction, at a time.
//!
//! `TIDEBASE_LITESTREAM` names the program; `cargo xtask test` installs one and sets it.

#![allow(clippy::unwrap_used)]

mod world;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use tidebase_ltx::{Level, Stored, compact_files};
use world::World;

/// The program, or none, said plainly.
#[allow(clippy::explicit_write)] // eprintln would be caught by the test runner.
fn litestream() -> Option<PathBuf> {
    let path = std::env::var_os("TIDEBASE_LITESTREAM").map(PathBuf::from);
    if path.is_none() {
        let skipped = "SKIPPED: TIDEBASE_LITESTREAM names no litestream program, so that its restores are not compared";
        writeln!(std::io::stderr(), "{skipped}").unwrap();
    }
    path
}

/// What it restores.
fn restored(world: &World, program: &PathBuf, options: &[&str]) -> Vec<u8> {
    let path = world.directory.path().join("stock.db");
    let replica = format!("file://{}", world.directory.path().join("replica").display());
    let mut command = Command::new(program);
    command.arg("restore").args(options).args(["-integrity-check", "full", "-o"]).arg(&path).arg(&replica);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
    let bytes = fs::read(&path).unwrap();
    for ending in ["", "-wal", "-shm", "-txid"] {
        let _ = fs::remove_file(format!("{}{ending}", path.display()));
    }
    bytes
}

/// 2023-11-14 is the day in which the world's clock starts, and it does not leave it.
fn timestamp(time_ms: u64) -> String {
    let of_day = time_ms % 86_400_000;
    let (seconds, ms) = (of_day / 1000, of_day % 1000);
    assert_eq!(time_ms / 86_400_000, 19_675);
    format!("2023-11-14T{:02}:{:02}:{:02}.{ms:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn files(world: &World, level: Level) -> Vec<Stored> {
    world.folder.files().unwrap().into_iter().filter(|file| file.level == level).collect()
}

#[test]
fn stock_litestream_restores_the_same_bytes() {
    let Some(program) = litestream() else { return };
    for seed in 100..108 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        while world.last() < 24 {
            world.step();
        }
        everywhere(&mut world, &program);
        let groups = files(&world, Level::GROUP);
        let minutes: Vec<Stored> =
            groups[1..].chunks(5).map(|part| compact_files(&world.folder, part, Level::MINUTE).unwrap().0).collect();
        compact_files(&world.folder, &minutes[..3], Level::HOUR).unwrap();
        compact_files(&world.folder, &groups[..7], Level::SNAPSHOT).unwrap();
        everywhere(&mut world, &program);
        // As retention leaves it: the snapshot, what is compacted, and the last groups.
        for file in &groups[..20] {
            fs::remove_file(world.folder.path(file.level, file.span)).unwrap();
        }
        world.compare(24, &restored(&world, &program, &[]));
        world.compare(16, &restored(&world, &program, &["-txid", "0000000000000010"]));
    }
}

/// The latest; three transactions; three times, each just before the next transaction.
fn everywhere(world: &mut World, program: &PathBuf) {
    world.compare(world.last(), &restored(world, program, &[]));
    for _ in 0..3 {
        let last = 8 + world.random.below(15) as u64;
        world.compare(last, &restored(world, program, &["-txid", &format!("{last:016x}")]));
        let next = world.truth[last as usize].0;
        world.compare(last, &restored(world, program, &["-timestamp", &timestamp(next)]));
    }
}
