//! Real databases with random histories: whatever is captured, compacted and restored is SQLite's own file, page by
//! page, after every transaction.
//!
//! `SEEDS` says how many histories, `SEED` which one alone.

#![allow(clippy::unwrap_used)]

mod world;

use std::fs::File;
use std::io::BufReader;
use tidebase_ltx::{Folder, Level, Manifest, Stored, Target, compact_files, plan, restore_to};
use world::World;

#[test]
fn every_transaction_comes_back_page_by_page() {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    let seeds = number("SEED").map_or(1..number("SEEDS").unwrap_or(12) + 1, |seed| seed..seed + 1);
    for seed in seeds {
        println!("seed {seed}");
        let mut world = World::new(seed);
        while world.last() < 30 {
            world.step();
        }
        // First from groups alone, then from what compaction makes of them.
        for last in 1..=world.last() {
            check(&world, Target::Transaction(last), last);
        }
        for _ in 0..6 {
            compact_some(&mut world);
            let last = 1 + world.random.below(world.last() as usize) as u64;
            check(&world, Target::Transaction(last), last);
            let later = world.truth.get(last as usize).map_or(u64::MAX, |next| next.0);
            check(&world, Target::Time(later - 1), last);
            check(&world, Target::Latest, world.last());
        }
        remove_groups(&world);
        check(&world, Target::Latest, world.last());
    }
}

fn check(world: &World, target: Target, last: u64) {
    let files = plan(&world.folder.files().unwrap(), target).unwrap();
    let manifest = Manifest::read(BufReader::new(File::open(world.folder.manifest()).unwrap())).unwrap();
    let path = world.directory.path().join("restored.db");
    let restored = restore_to(&world.folder, &files, Some(&manifest), &path).unwrap();
    assert_eq!((restored.last, restored.checksum), (last, world.checksum(last)));
    assert_eq!(restored.time_ms, world.truth[last as usize - 1].0);
    world.compare(last, &std::fs::read(&path).unwrap());
    std::fs::remove_file(path).unwrap();
}

/// Files of one level that follow each other, into one of a higher level; or all from the first, into a snapshot.
fn compact_some(world: &mut World) {
    let folder: Folder = world.folder.clone();
    let (from, to) = [(0, 1), (0, 1), (1, 2), (0, 9)][world.random.below(4)];
    let files: Vec<Stored> = folder.files().unwrap().into_iter().filter(|file| file.level.number() == from).collect();
    if files.is_empty() {
        return;
    }
    let start = if to == 9 { 0 } else { world.random.below(files.len()) };
    let most = start + 1 + world.random.below(files.len() - start);
    let follows = |pair: &[Stored]| pair[0].span.last + 1 == pair[1].span.first;
    let end = (start + 1..most).find(|&end| !follows(&files[end - 1..=end])).unwrap_or(most);
    let level = Level::new(to).unwrap();
    let already = folder.spans(level).unwrap();
    let span = tidebase_ltx::Span::new(files[start].span.first, files[end - 1].span.last).unwrap();
    if !already.contains(&span) {
        let published = compact_files(&folder, &files[start..end], level).unwrap();
        let checksum = world.checksum(span.last);
        world.note(published, checksum);
    }
}

/// What a snapshot of everything covers is not needed.
fn remove_groups(world: &World) {
    let groups: Vec<Stored> =
        world.folder.files().unwrap().into_iter().filter(|file| file.level == Level::GROUP).collect();
    if !world.folder.spans(Level::SNAPSHOT).unwrap().contains(&tidebase_ltx::Span { first: 1, last: world.last() }) {
        compact_files(&world.folder, &groups, Level::SNAPSHOT).unwrap();
    }
    for file in groups {
        std::fs::remove_file(world.folder.path(file.level, file.span)).unwrap();
    }
}
