//! How files come to stand in a folder, and how restores refuse what they must not do.

#![allow(clippy::unwrap_used)]

mod world;

use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;
use tidebase_ltx::{Code, Encoder, Folder, Header, Level, Manifest, ManifestFile, PageSize, Span, Stored, Target};
use tidebase_ltx::{compact, compact_files, plan, restore, restore_to};
use world::World;

fn put(folder: &Folder, header: Header) -> tidebase_ltx::Result<(Stored, tidebase_ltx::Hash)> {
    let mut encoder = Encoder::new(folder.draft(Level::GROUP)?, header)?;
    (1..=header.commit).try_for_each(|number| encoder.page(number, &vec![number as u8; header.page_size.bytes()]))?;
    let (draft, written) = encoder.finish()?;
    draft.publish(&written)
}

fn header(first: u64, last: u64, bytes: u32, commit: u32) -> Header {
    let page_size = PageSize::new(bytes).unwrap();
    Header { page_size, commit, span: Span { first, last }, time_ms: 1_700_000_000_123, origin: None, node: 0 }
}

fn names(path: &Path) -> Vec<String> {
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn a_file_appears_whole_private_and_once() {
    let directory = tempfile::tempdir().unwrap();
    let folder = Folder::new(directory.path());
    let (stored, _) = put(&folder, header(1, 1, 512, 2)).unwrap();
    let path = folder.path(stored.level, stored.span);
    let before = fs::read(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = put(&folder, header(1, 1, 1024, 3)).unwrap_err();
    assert_eq!(error.code, Code::Refused);
    assert!(error.to_string().contains("is there already"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(names(path.parent().unwrap()), ["0000000000000001-0000000000000001.ltx"]);
    assert_eq!(folder.files().unwrap(), [stored]);
}

#[test]
fn what_a_crash_left_of_a_draft_harms_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let folder = Folder::new(directory.path());
    let (stored, _) = put(&folder, header(1, 1, 512, 2)).unwrap();
    let path = folder.path(stored.level, stored.span);
    let before = fs::read(&path).unwrap();
    // A crash between giving the name and taking away the draft's leaves two names of one file.
    for number in 0..50 {
        fs::hard_link(&path, path.with_file_name(format!("{}-{number}.tmp", std::process::id()))).unwrap();
    }
    put(&folder, header(2, 2, 512, 2)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    folder.sweep().unwrap();
    assert_eq!(names(path.parent().unwrap()).len(), 2);
    assert_eq!(folder.files().unwrap().len(), 2);
}

#[test]
fn a_file_under_a_wrong_name_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let folder = Folder::new(directory.path());
    let (stored, _) = put(&folder, header(1, 1, 512, 2)).unwrap();
    let path = folder.path(stored.level, stored.span);
    fs::rename(&path, path.with_file_name("0000000000000001-0000000000000002.ltx")).unwrap();
    assert!(folder.files().unwrap_err().to_string().contains("which is not its name"));
}

#[test]
fn many_files_are_merged_in_rounds() {
    let directory = tempfile::tempdir().unwrap();
    let folder = Folder::new(directory.path());
    let files: Vec<Stored> = (1..=300).map(|last| put(&folder, header(last, last, 512, 2)).unwrap().0).collect();
    let (stored, _) = compact_files(&folder, &files, Level::MINUTE).unwrap();
    assert_eq!(stored.span, Span { first: 1, last: 300 });
    assert_eq!(folder.decode(stored.level, stored.span).unwrap().verify().unwrap().commit, 2);
    assert_eq!(names(&directory.path().join("ltx/1")).len(), 1);
}

#[test]
fn a_plan_with_a_hole_or_of_two_page_sizes_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let folder = Folder::new(directory.path());
    for header in [header(1, 1, 512, 2), header(2, 2, 512, 2), header(3, 3, 512, 2), header(4, 4, 1024, 2)] {
        put(&folder, header).unwrap();
    }
    let spans = |numbers: &[u64]| numbers.iter().map(|&last| Span { first: last, last }).collect::<Vec<_>>();
    let restored = |numbers: &[u64]| {
        let spans = spans(numbers);
        let out = tempfile::tempfile().unwrap();
        restore(&spans, |index| folder.open(Level::GROUP, spans[index]), &out, None)
    };
    assert_eq!(restored(&[1, 2, 3]).unwrap().commit, 2);
    for (numbers, expected) in [
        (&[][..], "nothing to restore from"),
        (&[2, 3], "starts with a snapshot"),
        (&[1, 3], "nothing leads to"),
        (&[1, 1], "lead no further"),
        (&[1, 2, 3, 4], "a snapshot is missing"),
    ] {
        let error = restored(numbers).unwrap_err();
        assert_eq!(error.code, Code::Gap);
        assert!(error.to_string().contains(expected), "{error}");
    }
    // A file that is another than its name says.
    let wrong =
        restore(&spans(&[1]), |_| folder.open(Level::GROUP, spans(&[2])[0]), &tempfile::tempfile().unwrap(), None);
    assert_eq!(wrong.unwrap_err().code, Code::Gap);
}

#[test]
fn a_page_that_is_in_no_file_is_missed() {
    let snapshot = {
        let mut encoder = Encoder::new(Vec::new(), header(1, 1, 512, 1)).unwrap();
        encoder.page(1, &[1; 512]).unwrap();
        encoder.finish().unwrap().0
    };
    let grown = Encoder::new(Vec::new(), header(2, 2, 512, 4)).unwrap().finish().unwrap().0;
    let files = [snapshot, grown];
    let spans = [Span { first: 1, last: 1 }, Span { first: 2, last: 2 }];
    let error = restore(&spans, |index| Ok(&files[index][..]), &tempfile::tempfile().unwrap(), None).unwrap_err();
    assert!(error.to_string().contains("page 2 of 4 is in none of the files"), "{error}");
}

/// A database of four pages that shrinks to two and grows again: what was cut off does not come back.
#[test]
fn what_was_cut_off_does_not_come_back() {
    let file = |first, commit, pages: &[u32]| {
        let mut encoder = Encoder::new(Vec::new(), header(first, first, 512, commit)).unwrap();
        pages.iter().for_each(|&page| encoder.page(page, &[first as u8; 512]).unwrap());
        encoder.finish().unwrap().0
    };
    let start = [file(1, 4, &[1, 2, 3, 4]), file(2, 2, &[1])];
    let spans = [1, 2, 3].map(|last| Span { first: last, last });
    let restored = |last: &Vec<u8>| {
        let files = [&start[0], &start[1], last];
        let out = tempfile::tempfile().unwrap();
        restore(&spans, |index| Ok(&files[index][..]), &out, None).map(|_| {
            let mut bytes = vec![0; 4 * 512];
            out.read_exact_at(&mut bytes, 0).unwrap();
            bytes.iter().step_by(512).copied().collect::<Vec<u8>>()
        })
    };
    let merged = |last: &Vec<u8>| compact([&start[0][..], &start[1], last], Vec::new()).map(|(bytes, _)| bytes);

    let whole = file(3, 4, &[3, 4]);
    assert_eq!(restored(&whole).unwrap(), [2, 1, 3, 3]);
    let one = merged(&whole).unwrap();
    let out = tempfile::tempfile().unwrap();
    restore(&[Span { first: 1, last: 3 }], |_| Ok(&one[..]), &out, None).unwrap();

    let without_page_3 = file(3, 4, &[4]);
    assert!(restored(&without_page_3).unwrap_err().to_string().contains("page 3 of 4 is in none of the files"));
    assert!(merged(&without_page_3).unwrap_err().to_string().contains("page 4 comes after page 2"));
}

#[test]
fn a_restore_that_fails_leaves_nothing_and_writes_over_nothing() {
    let mut world = World::new(5);
    while world.last() < 6 {
        world.step();
    }
    let files = plan(&world.folder.files().unwrap(), Target::Latest).unwrap();
    let manifest = Manifest::read(BufReader::new(File::open(world.folder.manifest()).unwrap())).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new.db");
    let restored = |manifest: Option<&Manifest>| restore_to(&world.folder, &files, manifest, &path);
    // Another file than the one that was written, though a good one.
    let mut other = Manifest::read(BufReader::new(File::open(world.folder.manifest()).unwrap())).unwrap();
    other.records[2].sha256.0[0] ^= 1;
    let error = restored(Some(&other)).unwrap_err();
    assert_eq!(error.code, Code::Damaged);
    assert!(error.to_string().contains("not the one that the manifest tells of"), "{error}");
    // Another database than there was.
    let last = other.records.len() - 1;
    other.records[2].sha256.0[0] ^= 1;
    other.records[last].checksum ^= 1;
    let error = restored(Some(&other)).unwrap_err();
    assert!(error.to_string().contains("when it was written"), "{error}");
    assert_eq!(names(directory.path()).len(), 0);
    // The WAL of a database that was there once would be taken for the new one's.
    fs::write(directory.path().join("new.db-wal"), "").unwrap();
    assert_eq!(restored(Some(&manifest)).unwrap_err().code, Code::Refused);
    fs::remove_file(directory.path().join("new.db-wal")).unwrap();
    restored(Some(&manifest)).unwrap();
    world.compare(world.last(), &fs::read(&path).unwrap());
    assert_eq!(restored(None).unwrap_err().code, Code::Refused);
    assert_eq!(names(directory.path()), ["new.db"]);
}

#[test]
fn a_torn_line_of_the_manifest_is_cut_off_and_the_chain_goes_on() {
    let mut world = World::new(6);
    while world.last() < 4 {
        world.step();
    }
    let path = world.folder.manifest();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], b"{\"level\":0,\"fir"].concat()).unwrap();
    let (mut manifest, records) = ManifestFile::open(&path).unwrap();
    assert_eq!(records.len(), 4);
    assert_eq!(fs::read(&path).unwrap(), whole);
    manifest.add(records[3]).unwrap();
    assert_eq!(ManifestFile::open(&path).unwrap().1.len(), 5);
}
