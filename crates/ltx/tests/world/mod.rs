//! A real database whose every group of commits is captured from its WAL, as the server will do it, and what SQLite
//! itself says the file was after each.

#![allow(dead_code)] // Each test uses a part.

pub mod random;

use random::Random;
use rusqlite::Connection;
use rusqlite::hooks::Wal;
use std::cell::Cell;
use std::fs::{self, File};
use std::path::PathBuf;
use tempfile::TempDir;
use tidebase_ltx::wal::{self, Committed, Found, Position};
use tidebase_ltx::{
    Encoder, Folder, Hash, Header, Level, ManifestFile, PageSize, Record, Rolling, Span, Stored, snapshot,
};

thread_local! {
    /// What SQLite told its WAL hook last: frames that are committed.
    static FRAMES: Cell<u32> = const { Cell::new(0) };
}

pub struct World {
    pub random: Random,
    pub folder: Folder,
    pub time_ms: u64,
    /// What the file was after each transaction, from 1 on, and when.
    pub truth: Vec<(u64, Vec<u8>)>,
    pub directory: TempDir,
    connection: Connection,
    page_size: PageSize,
    position: Option<Position>,
    rolling: Rolling,
    manifest: ManifestFile,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let page_size = 512 << random.below(8);
        let vacuum = ["none", "full", "incremental"][random.below(3)];
        let directory = TempDir::new().unwrap();
        let mut connection = Connection::open(directory.path().join("live.db")).unwrap();
        connection
            .execute_batch(&format!(
                "pragma page_size={page_size}; pragma auto_vacuum={vacuum}; pragma journal_mode=wal;
                 pragma wal_autocheckpoint=0; pragma synchronous=off; pragma secure_delete={};
                 create table t(id integer primary key, k text unique, v blob); create index i on t(length(v), k);
                 pragma wal_checkpoint(truncate)",
                ["on", "off", "fast"][random.below(3)]
            ))
            .unwrap();
        let hook = |_: &mut Wal, frames: i32| {
            FRAMES.set(frames as u32);
            Ok(())
        };
        connection.wal_hook(Some(hook)).unwrap();
        let folder = Folder::new(directory.path().join("replica"));
        fs::create_dir(directory.path().join("replica")).unwrap();
        let page_size = PageSize::new(page_size).unwrap();
        let (manifest, _) = ManifestFile::open(&folder.manifest()).unwrap();
        let mut world = Self {
            random,
            folder,
            time_ms: 1_700_000_000_000,
            truth: Vec::new(),
            directory,
            connection,
            page_size,
            position: None,
            rolling: Rolling::new(page_size),
            manifest,
        };
        world.begin();
        world
    }

    pub fn last(&self) -> u64 {
        self.truth.len() as u64
    }

    /// The first transaction is a snapshot of what there was, on level 0.
    fn begin(&mut self) {
        let database = self.bytes();
        let commit = self.page_size.pages_in(database.len() as u64).unwrap();
        self.rolling = Rolling::of(self.page_size, &database[..]).unwrap();
        let draft = self.folder.draft(Level::GROUP).unwrap();
        let (draft, written, checksum) =
            snapshot(draft, self.page_size, commit, (1, self.time_ms), &database[..]).unwrap();
        assert_eq!(checksum, self.rolling.value());
        let published = draft.publish(&written).unwrap();
        self.note(published, checksum);
        self.truth.push((self.time_ms, database));
    }

    /// A group of random commits, captured; at times a checkpoint after it.
    pub fn step(&mut self) {
        for _ in 0..=self.random.below(3) {
            self.commit();
        }
        self.capture();
        match self.random.below(12) {
            0 => self.checkpoint("truncate"),
            1 => self.checkpoint("restart"),
            2 => self.checkpoint("passive"),
            _ => {}
        }
    }

    fn checkpoint(&self, mode: &str) {
        // To truncate an empty WAL is a life of it in which nothing happened; it could not be told from a missed one.
        if fs::metadata(self.directory.path().join("live.db-wal")).unwrap().len() == 0 {
            return;
        }
        self.connection.query_row(&format!("pragma wal_checkpoint({mode})"), [], |_| Ok(())).unwrap();
    }

    fn commit(&mut self) {
        let key = self.random.below(300);
        let bytes = self.random.below(self.page_size.bytes() * 3);
        let many = 1 + self.random.below(30);
        let statement = match self.random.below(20) {
            0 => "vacuum".to_owned(),
            1 => format!("delete from t where id % 5 = {}", key % 5),
            2 => "delete from t where id > 20".to_owned(),
            3 => "pragma incremental_vacuum".to_owned(),
            4 => format!("pragma incremental_vacuum({many})"),
            5 => format!("create table if not exists more{} as select * from t limit {many}", key % 3),
            6 => format!("drop table if exists more{}", key % 3),
            7 => "savepoint a; insert into t(v) values(zeroblob(30000)); rollback to a; update t set k = k; release a"
                .into(),
            8 | 9 => format!("update t set v = randomblob({bytes}) where id % 7 = {}", key % 7),
            10 | 11 => format!("insert into t(v) values(zeroblob({bytes}))"),
            _ => format!(
                "with recursive n(i) as (select 1 union all select i + 1 from n where i < {many})
                 insert or replace into t(k, v) select 'k' || ({key} + i), randomblob({}) from n",
                bytes / 10
            ),
        };
        // To its last row: SQLite tells the hook of a commit when a statement is done, not when it is left before.
        if statement.starts_with("pragma") {
            let mut statement = self.connection.prepare(&statement).unwrap();
            let mut rows = statement.query([]).unwrap();
            while rows.next().unwrap().is_some() {}
        } else {
            self.connection.execute_batch(&statement).unwrap();
        }
    }

    /// What was committed since, as a file of level 0. Nothing, if nothing was.
    pub fn capture(&mut self) {
        let mut wal = File::open(self.directory.path().join("live.db-wal")).unwrap();
        // With the count that SQLite told, or to the end: nobody writes meanwhile, so both are the same.
        let until = self.random.percent(50).then(|| FRAMES.get());
        let found = wal::read(&mut wal, self.position.as_ref(), None).unwrap();
        let committed = match found {
            Found::Nothing => return,
            Found::BegunAnew { is_next, .. } => {
                assert!(is_next, "no life of the WAL is missed");
                match wal::read(&mut wal, None, until).unwrap() {
                    Found::Committed(committed) => committed,
                    other => panic!("a WAL that began anew has commits, not {other:?}"),
                }
            }
            Found::Committed(committed) => {
                if let Some(until) = until {
                    let again = wal::read(&mut wal, self.position.as_ref(), Some(until)).unwrap();
                    assert!(matches!(again, Found::Committed(again) if again.position == committed.position));
                }
                committed
            }
            Found::Torn { frame, what } => panic!("frame {frame}: {what}"),
        };
        self.time_ms += 1 + self.random.below(5000) as u64;
        self.encode(&committed, &mut wal);
        self.position = Some(committed.position);
        let truth = self.bytes();
        assert_eq!(self.rolling.value(), Rolling::of(self.page_size, &truth[..]).unwrap().value());
        self.truth.push((self.time_ms, truth));
    }

    fn encode(&mut self, committed: &Committed, wal: &mut File) {
        let next = self.last() + 1;
        let header = Header {
            page_size: committed.page_size,
            commit: committed.commit,
            span: Span::new(next, next).unwrap(),
            time_ms: self.time_ms,
            origin: Some(committed.origin),
            node: 0,
        };
        let mut encoder = Encoder::new(self.folder.draft(Level::GROUP).unwrap(), header).unwrap();
        self.rolling.resize(committed.commit);
        let each = |number, data: &[u8]| {
            self.rolling.set(number, data);
            encoder.page(number, data)
        };
        committed.each_page(wal, each).unwrap();
        let (draft, written) = encoder.finish().unwrap();
        let published = draft.publish(&written).unwrap();
        self.note(published, self.rolling.value());
    }

    pub fn note(&mut self, (stored, sha256): (Stored, Hash), checksum: u64) {
        let Stored { level, span, time_ms, size } = stored;
        let level = level.number();
        let (first, last) = (span.first, span.last);
        let (revision, previous) = (None, Hash::default());
        let record = Record { level, first, last, time_ms, size, sha256, checksum, revision, previous };
        self.manifest.add(record).unwrap();
    }

    /// The checksum after a transaction, by counting all of the truth.
    pub fn checksum(&self, last: u64) -> u64 {
        Rolling::of(self.page_size, &self.truth[last as usize - 1].1[..]).unwrap().value()
    }

    /// What SQLite makes of a copy of the database and its WAL.
    fn bytes(&self) -> Vec<u8> {
        let copy = self.directory.path().join("copy.db");
        let with = |ending: &str| PathBuf::from(format!("{}{ending}", copy.display()));
        fs::copy(self.directory.path().join("live.db"), &copy).unwrap();
        fs::copy(self.directory.path().join("live.db-wal"), with("-wal")).unwrap();
        let connection = Connection::open(&copy).unwrap();
        connection
            .query_row("pragma wal_checkpoint(truncate)", [], |row| {
                assert_eq!(row.get::<_, i64>(0).unwrap(), 0, "the copy's checkpoint was not blocked");
                Ok(())
            })
            .unwrap();
        drop(connection);
        let bytes = fs::read(&copy).unwrap();
        for ending in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(with(ending));
        }
        bytes
    }

    /// Are the bytes those of the truth? Says which page is not.
    pub fn compare(&self, last: u64, found: &[u8]) {
        let truth = &self.truth[last as usize - 1].1;
        let size = self.page_size.bytes();
        for (index, (truth, found)) in truth.chunks(size).zip(found.chunks(size)).enumerate() {
            assert!(truth == found, "page {} after transaction {last}", index + 1);
        }
        assert_eq!(truth.len(), found.len(), "the size after transaction {last}");
    }
}
