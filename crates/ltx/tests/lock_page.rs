//! Around a gibibyte, where SQLite keeps its locks in a page that is in no WAL and no file.
//!
//! A small database is made long with a hole up to just before that page. Then SQLite writes over the edge, and it is
//! captured, compacted and restored. The hole costs neither disk nor, packed, bytes.

#![allow(clippy::unwrap_used)]

use rusqlite::Connection;
use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use tidebase_ltx::wal::{self, Found};
use tidebase_ltx::{
    Encoder, Folder, Header, Level, PageSize, Rolling, Span, Target, compact_files, plan, restore_to, snapshot,
};

#[test]
fn of_4_kib() {
    over_the_edge(4096);
}

#[test]
fn of_8_kib() {
    over_the_edge(8192);
}

#[test]
fn of_64_kib() {
    over_the_edge(65536);
}

fn over_the_edge(bytes: u32) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live.db");
    let page_size = PageSize::new(bytes).unwrap();
    let commit = page_size.lock_page() - 3;
    make(&path, bytes, commit);
    let folder = Folder::new(directory.path().join("replica"));

    let database = || BufReader::with_capacity(1 << 20, File::open(&path).unwrap());
    let (draft, written, checksum) =
        snapshot(folder.draft(Level::SNAPSHOT).unwrap(), page_size, commit, (1, 1000), database()).unwrap();
    draft.publish(&written).unwrap();
    let mut rolling = Rolling::of(page_size, database()).unwrap();
    assert_eq!(rolling.value(), checksum);

    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("pragma wal_autocheckpoint=0; pragma synchronous=off").unwrap();
    let page = bytes as usize;
    for (transaction, statement) in [
        (2, format!("insert into t select value, randomblob({page}) from generate_series")),
        (3, "delete from t where id % 2".to_owned()),
    ] {
        let series = "create temp view if not exists generate_series as
                      with recursive n(value) as (select 10 union all select value + 1 from n where value < 30)
                      select value from n";
        connection.execute_batch(&format!("{series}; {statement}")).unwrap();
        let header = capture(&folder, &path, page_size, transaction, &mut rolling);
        assert!(header.commit > page_size.lock_page(), "it went over the edge");
    }
    let groups = folder.files().unwrap().into_iter().filter(|file| file.level == Level::GROUP).collect::<Vec<_>>();
    compact_files(&folder, &groups, Level::MINUTE).unwrap();

    let restored = directory.path().join("restored.db");
    let files = plan(&folder.files().unwrap(), Target::Latest).unwrap();
    assert_eq!(files.iter().map(|file| file.level).collect::<Vec<_>>(), [Level::SNAPSHOT, Level::MINUTE]);
    let told = restore_to(&folder, &files, None, &restored).unwrap();
    assert_eq!(told.checksum, rolling.value());

    connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).unwrap();
    drop(connection);
    compare(&path, &restored);

    // The same of the whole as one snapshot, compacted from all.
    let all = [&files[..1], &groups[..]].concat();
    let (whole, _) = compact_files(&folder, &all, Level::HOUR).unwrap();
    let again = directory.path().join("again.db");
    assert_eq!(restore_to(&folder, &[whole], None, &again).unwrap(), told);
}

/// A database of so many pages, nearly all of them a hole.
fn make(path: &Path, bytes: u32, commit: u32) {
    let connection = Connection::open(path).unwrap();
    let make =
        "pragma journal_mode=wal; create table t(id integer primary key, v blob); pragma wal_checkpoint(truncate)";
    connection.execute_batch(&format!("pragma page_size={bytes}; {make}")).unwrap();
    drop(connection);
    let file = File::options().read(true).write(true).open(path).unwrap();
    file.set_len(u64::from(commit) * u64::from(bytes)).unwrap();
    file.write_all_at(&commit.to_be_bytes(), 28).unwrap();
}

fn capture(folder: &Folder, path: &Path, page_size: PageSize, transaction: u64, rolling: &mut Rolling) -> Header {
    let mut wal = File::open(format!("{}-wal", path.display())).unwrap();
    let Found::Committed(committed) = wal::read(&mut wal, None, None).unwrap() else { panic!("there is a commit") };
    let span = Span { first: transaction, last: transaction };
    let commit = committed.commit;
    let header =
        Header { page_size, commit, span, time_ms: 1000 * transaction, origin: Some(committed.origin), node: 0 };
    let mut encoder = Encoder::new(folder.draft(Level::GROUP).unwrap(), header).unwrap();
    rolling.resize(commit);
    let each = |number, data: &[u8]| {
        assert_ne!(number, page_size.lock_page());
        rolling.set(number, data);
        encoder.page(number, data)
    };
    committed.each_page(&mut wal, each).unwrap();
    let (draft, written) = encoder.finish().unwrap();
    draft.publish(&written).unwrap();
    header
}

/// The lock page too: nobody ever wrote into it, so that it is zeros in both.
fn compare(one: &Path, other: &Path) {
    assert_eq!(fs::metadata(one).unwrap().len(), fs::metadata(other).unwrap().len());
    let [mut one, mut other] = [one, other].map(|path| File::open(path).unwrap());
    let (mut a, mut b) = (vec![0; 1 << 20], Vec::new());
    let mut at = 0_usize;
    loop {
        let length = one.read(&mut a).unwrap();
        if length == 0 {
            break;
        }
        b.resize(length, 0);
        other.read_exact(&mut b).unwrap();
        assert!(a[..length] == b[..], "within {length} bytes from {at}");
        at += length;
    }
    assert!(at > 1 << 30);
}
