//! How fast a snapshot is written, compacted and restored.
//!
//! ```sh
//! cargo run --release -p tidebase-ltx --example speed -- [megabytes] [folder]
//! ```
//!
//! Half of the database's pages cannot be packed, half can well. If `TIDEBASE_LITESTREAM` names the stock program, it
//! restores the same folder, for comparison.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tidebase_ltx::{
    Crc, Encoder, Folder, Header, Level, PageSize, Rolling, Span, Stored, Target, compact_files, plan, restore_to,
    snapshot,
};

const PAGE: u32 = 4096;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let megabytes: u64 = arguments.next().map_or(Ok(256), |text| text.parse())?;
    let root = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    let directory = root.join(format!("tidebase-ltx-speed-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let measured = measure(&directory, megabytes);
    fs::remove_dir_all(&directory)?;
    measured
}

fn measure(directory: &Path, megabytes: u64) -> Result<(), Box<dyn std::error::Error>> {
    let page_size = PageSize::new(PAGE)?;
    let commit = u32::try_from(megabytes * 1_000_000 / u64::from(PAGE))?;
    let database = directory.join("live.db");
    make(&database, commit)?;
    let reader = || File::open(&database).map(|file| BufReader::with_capacity(1 << 20, file));

    let (mut crc, mut bytes, mut input) = (Crc::new(), vec![0; 1 << 20], reader()?);
    let mut in_crc = Duration::ZERO;
    loop {
        let length = input.read(&mut bytes)?;
        if length == 0 {
            break;
        }
        let start = Instant::now();
        crc.update(&bytes[..length]);
        in_crc += start.elapsed();
    }
    say("crc64 in memory", megabytes, in_crc);

    let start = Instant::now();
    let rolling = Rolling::of(page_size, reader()?)?;
    say("checksum of the database", megabytes, start.elapsed());

    let start = Instant::now();
    let (_, written, _) = snapshot(std::io::sink(), page_size, commit, (1, 1000), reader()?)?;
    say("encode, kept nowhere", megabytes, start.elapsed());
    println!("{:28} {:>8.2} of the database", "size", written.size as f64 / (f64::from(commit) * f64::from(PAGE)));

    let folder = Folder::new(directory.join("replica"));
    let start = Instant::now();
    let (draft, written, _) = snapshot(folder.draft(Level::SNAPSHOT)?, page_size, commit, (1, 1000), reader()?)?;
    let (whole, _) = draft.publish(&written)?;
    say("encode, SHA-256, synced", megabytes, start.elapsed());

    let start = Instant::now();
    folder.decode(whole.level, whole.span)?.verify()?;
    say("decode", megabytes, start.elapsed());

    let changed = changes(&folder, page_size, commit)?;
    let start = Instant::now();
    compact_files(&folder, &[&[whole][..], &changed].concat(), Level::HOUR)?;
    say("compact, synced", megabytes, start.elapsed());
    fs::remove_file(folder.path(Level::HOUR, Span { first: 1, last: 1 + changed.len() as u64 }))?;

    let files = plan(&folder.files()?, Target::Latest)?;
    let restored = directory.join("restored.db");
    let start = Instant::now();
    let told = restore_to(&folder, &files, None, &restored)?;
    say("restore, verified, synced", megabytes, start.elapsed());
    assert_ne!(told.checksum, rolling.value(), "the changes came after");
    fs::remove_file(&restored)?;

    if let Some(program) = std::env::var_os("TIDEBASE_LITESTREAM") {
        let replica = format!("file://{}", fs::canonicalize(directory.join("replica"))?.display());
        let start = Instant::now();
        let status = Command::new(program).args(["restore", "-o"]).arg(&restored).arg(replica).status()?;
        assert!(status.success(), "litestream restores it");
        say("litestream restore", megabytes, start.elapsed());
        assert_eq!(Rolling::of(page_size, BufReader::new(File::open(&restored)?))?.value(), told.checksum);
    }
    Ok(())
}

fn say(what: &str, megabytes: u64, took: Duration) {
    println!("{what:28} {:>8.0} MB/s {:>10.2} s", megabytes as f64 / took.as_secs_f64(), took.as_secs_f64());
}

fn make(path: &Path, commit: u32) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    (1..=commit).try_for_each(|number| out.write_all(&page(number, 0)))?;
    out.into_inner()?.sync_all()
}

/// Some SplitMix64; every second page repeats itself.
fn page(number: u32, seed: u64) -> Vec<u8> {
    let mut state = u64::from(number) ^ seed << 32;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)).to_le_bytes()
    };
    if number.is_multiple_of(2) {
        (0..PAGE / 8).flat_map(|_| next()).collect()
    } else {
        (0..PAGE / 64)
            .flat_map(|at| [next(), [b'x'; 8], [at as u8; 8], *b"of a row", [0; 8], [b'-'; 8], [1; 8], [b' '; 8]])
            .flatten()
            .collect()
    }
}

/// A hundred files, each with a hundredth of the pages.
fn changes(folder: &Folder, page_size: PageSize, commit: u32) -> tidebase_ltx::Result<Vec<Stored>> {
    let one = |transaction: u64| {
        let span = Span { first: transaction, last: transaction };
        let header = Header { page_size, commit, span, time_ms: 1000 * transaction, origin: None, node: 0 };
        let mut encoder = Encoder::new(folder.draft(Level::MINUTE)?, header)?;
        for number in (1..=commit).filter(|number| u64::from(number % 100) == transaction % 100) {
            encoder.page(number, &page(number, transaction))?;
        }
        let (draft, written) = encoder.finish()?;
        Ok(draft.publish(&written)?.0)
    };
    (2..102).map(one).collect()
}
