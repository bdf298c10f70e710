//! Damaged files are refused with words, and never bring the reader down: every bit of a file flipped, every length
//! cut, and much that never was a file.

#![allow(clippy::unwrap_used)]

mod world;

use std::io::Cursor;
use tidebase_ltx::wal::{self, Found};
use tidebase_ltx::{Code, Decoder, Encoder, Header, PageSize, Span, compact};
use world::random::Random;

type Pages = Vec<(u32, Vec<u8>)>;

fn header(first: u64, commit: u32) -> Header {
    let page_size = PageSize::new(512).unwrap();
    Header { page_size, commit, span: Span { first, last: 9 }, time_ms: 7, origin: None, node: 0 }
}

/// A page that packs, one of zeros, and one that does not pack.
fn data(number: u32) -> Vec<u8> {
    let mut random = Random::new(number.into());
    match number % 3 {
        0 => vec![0; 512],
        1 => (0..512).map(|at| (at / 40) as u8 ^ number as u8).collect(),
        _ => (0..512).map(|_| random.next() as u8).collect(),
    }
}

fn file(header: Header, pages: &[u32]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), header).unwrap();
    for &page in pages {
        encoder.page(page, &data(page)).unwrap();
    }
    encoder.finish().unwrap().0
}

fn samples() -> [Vec<u8>; 2] {
    [file(header(1, 4), &[1, 2, 3, 4]), file(header(5, 900), &[1, 2, 300, 900])]
}

fn decode(bytes: &[u8]) -> tidebase_ltx::Result<(Header, Pages)> {
    let mut decoder = Decoder::new(bytes)?;
    let mut pages = Vec::new();
    while let Some(page) = decoder.next()? {
        pages.push((page.number, page.data.to_vec()));
    }
    Ok((*decoder.header(), pages))
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let [snapshot, changes] = samples();
    let pages = |numbers: &[u32]| numbers.iter().map(|&number| (number, data(number))).collect::<Pages>();
    assert_eq!(decode(&snapshot).unwrap(), (header(1, 4), pages(&[1, 2, 3, 4])));
    assert_eq!(decode(&changes).unwrap(), (header(5, 900), pages(&[1, 2, 300, 900])));
    assert_eq!(decode(&file(header(5, 1), &[])).unwrap().1, []);
}

#[test]
fn a_flipped_bit_is_noticed_or_changes_nothing() {
    let mut harmless = 0;
    for good in samples() {
        let truth = decode(&good).unwrap();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                match decode(&bad) {
                    Err(error) => assert_eq!(error.code, Code::Damaged, "{error}"),
                    // LZ4 can say the same in two ways; the checksum is of what it says.
                    Ok(found) => {
                        harmless += 1;
                        assert_eq!(found, truth, "bit {bit} of byte {at}");
                    }
                }
            }
        }
    }
    assert!(harmless < 100, "{harmless} flips went unnoticed");
}

#[test]
fn a_cut_file_says_where_it_ends() {
    for good in samples() {
        for length in 0..good.len() {
            let error = decode(&good[..length]).unwrap_err();
            assert_eq!(error.code, Code::Damaged);
            assert!(error.to_string().contains("the file ends in"), "{length} bytes: {error}");
        }
        let longer = [&good[..], &[0]].concat();
        assert!(decode(&longer).unwrap_err().to_string().contains("goes on behind its end"));
    }
}

#[test]
fn random_bytes_are_refused() {
    let mut random = Random::new(1);
    let [snapshot, changes] = samples();
    for _ in 0..20_000 {
        // Bytes from nowhere behind a good start, bytes put in, parts of two files.
        let mut bad = [&snapshot, &changes][random.below(2)].clone();
        match random.below(3) {
            0 => {
                let keep = random.below(bad.len());
                bad.truncate(keep);
                bad.extend((0..random.below(2000)).map(|_| random.next() as u8));
            }
            1 => {
                for _ in 0..=random.below(20) {
                    let at = random.below(bad.len());
                    bad[at] = [0, 0xff, random.next() as u8][random.below(3)];
                }
            }
            _ => {
                let cut = random.below(snapshot.len().min(changes.len()));
                bad = [&snapshot[..cut], &changes[cut..]].concat();
            }
        }
        if let Ok(found) = decode(&bad) {
            assert!(found == decode(&snapshot).unwrap() || found == decode(&changes).unwrap());
        }
        let _ = compact([&bad[..], &changes[..]], Vec::new());
    }
}

#[test]
fn a_writer_that_asks_for_nonsense_is_refused() {
    let page_size = PageSize::new(65536).unwrap();
    let big = Header { page_size, commit: 20_000, ..header(5, 1) };
    let page = vec![0; 65536];
    for (header, pages, expected) in [
        (header(5, 0), &[][..], "no pages"),
        (header(5, 3), &[0], "page 0 is not in"),
        (header(5, 3), &[4], "page 4 is not in"),
        (header(5, 3), &[2, 2], "comes after page 2"),
        (header(5, 3), &[2, 1], "comes after page 2"),
        (header(1, 3), &[2], "a snapshot has all pages"),
        (header(1, 3), &[1, 3], "a snapshot has all pages"),
        (header(1, 3), &[1, 2], "ends after page 2"),
        (big, &[16385], "keeps its locks"),
    ] {
        let write = || {
            let mut encoder = Encoder::new(Vec::new(), header)?;
            pages.iter().try_for_each(|&number| encoder.page(number, &page[..header.page_size.bytes()]))?;
            encoder.finish()
        };
        let error = write().map(|_| ()).unwrap_err();
        assert_eq!(error.code, Code::Refused);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let mut encoder = Encoder::new(Vec::new(), header(5, 3)).unwrap();
    assert!(encoder.page(1, &[0; 511]).is_err());
}

#[test]
fn files_that_do_not_follow_each_other_are_not_merged() {
    let part = |first, last, page_size| {
        let page_size = PageSize::new(page_size).unwrap();
        let header = Header { page_size, span: Span { first, last }, ..header(5, 3) };
        Encoder::new(Vec::new(), header).unwrap().finish().unwrap().0
    };
    for (one, next, expected) in [
        (part(2, 3, 512), part(5, 6, 512), "transactions 2 to 3 are not followed by transactions 5 to 6"),
        (part(2, 3, 512), part(3, 6, 512), "are not followed by"),
        (part(4, 5, 512), part(2, 3, 512), "are not followed by"),
        (part(2, 3, 512), part(4, 6, 1024), "have pages of 512 bytes"),
    ] {
        let error = compact([&one[..], &next[..]], Vec::new()).map(|_| ()).unwrap_err();
        assert_eq!(error.code, Code::Gap);
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(compact::<&[u8], _>([], Vec::new()).map(|_| ()).unwrap_err().code, Code::Refused);
}

/// A WAL of three commits, of one, two and three frames.
fn wal_bytes(is_big_endian: bool) -> Vec<u8> {
    let word = |bytes: &[u8]| {
        let bytes = bytes.try_into().unwrap();
        if is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    let sum = |start: [u32; 2], bytes: &[u8]| {
        bytes.chunks(8).fold(start, |[one, other], pair| {
            let one = one.wrapping_add(word(&pair[..4])).wrapping_add(other);
            [one, other.wrapping_add(word(&pair[4..])).wrapping_add(one)]
        })
    };
    let be = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    let mut wal = be(&[0x377f_0682 | u32::from(is_big_endian), 3_007_000, 512, 5, 40, 41]);
    let mut state = sum([0, 0], &wal);
    wal.extend(be(&state));
    for (page, commit) in [(1, 4), (2, 0), (1, 2), (2, 0), (3, 0), (4, 4)] {
        let front = be(&[page, commit]);
        state = sum(sum(state, &front), &data(page));
        wal.extend([&front[..], &be(&[40, 41]), &be(&state), &data(page)].concat());
    }
    wal
}

fn read(wal: &[u8], from: Option<&wal::Position>, until: Option<u32>) -> Found {
    wal::read(&mut Cursor::new(wal), from, until).unwrap()
}

#[test]
fn a_wal_of_either_endianness_is_read_to_a_frame() {
    for is_big_endian in [false, true] {
        let wal = wal_bytes(is_big_endian);
        let commits = |until, expected_commit, expected_pages: &[u32]| {
            let Found::Committed(found) = read(&wal, None, until) else { panic!("{until:?}") };
            let mut pages = Vec::new();
            let each = |number, bytes: &[u8]| {
                assert_eq!(bytes, data(number));
                pages.push(number);
                Ok(())
            };
            found.each_page(&mut Cursor::new(&wal), each).unwrap();
            assert_eq!((found.commit, &pages[..]), (expected_commit, expected_pages));
            found
        };
        commits(Some(1), 4, &[1]);
        let second = commits(Some(3), 2, &[1, 2]);
        commits(None, 4, &[1, 2, 3, 4]);
        assert!(matches!(read(&wal, Some(&second.position), Some(3)), Found::Nothing));
        assert!(wal::read(&mut Cursor::new(&wal), Some(&second.position), Some(2)).is_err());
        let Found::Committed(third) = read(&wal, Some(&second.position), None) else { panic!() };
        assert_eq!((third.pages(), third.origin.offset, third.origin.size), (3, 32 + 3 * 536, 3 * 536));
        assert!(matches!(read(&wal, Some(&third.position), None), Found::Nothing));
        assert!(matches!(read(&wal, None, Some(2)), Found::Torn { frame: 2, .. }));
        assert!(matches!(read(&wal, None, Some(7)), Found::Torn { frame: 7, .. }));
    }
}

#[test]
fn a_wal_that_began_anew_is_told_from_one_without_news() {
    let old = wal_bytes(false);
    let Found::Committed(all) = read(&old, None, None) else { panic!() };
    let mut other = all.position;
    other.salts = [39, 7];
    assert!(matches!(read(&old, Some(&other), None), Found::BegunAnew { is_next: true, .. }));
    other.salts = [38, 7];
    assert!(matches!(read(&old, Some(&other), None), Found::BegunAnew { is_next: false, .. }));
    assert!(matches!(read(&[], Some(&all.position), None), Found::Nothing));
    assert!(matches!(read(&[], None, None), Found::Nothing));
    assert!(matches!(read(&[], None, Some(1)), Found::Torn { frame: 1, .. }));
}

#[test]
fn a_wal_cut_or_changed_anywhere_gives_whole_commits_only() {
    let wal = wal_bytes(false);
    let ends = [1, 3, 6].map(|frames| 32 + frames * 536);
    for length in 0..wal.len() {
        let whole = ends.iter().filter(|&&end| end <= length).count();
        match read(&wal[..length], None, None) {
            Found::Committed(found) => assert_eq!(found.position.frames, [0, 1, 3, 6][whole], "{length} bytes"),
            Found::Nothing | Found::Torn { .. } => assert_eq!(whole, 0, "{length} bytes"),
            Found::BegunAnew { .. } => panic!("{length} bytes"),
        }
    }
    for at in 0..wal.len() {
        let mut bad = wal.clone();
        bad[at] ^= 0x10;
        let whole = ends.iter().filter(|&&end| end <= at).count();
        match wal::read(&mut Cursor::new(&bad), None, Some(6)) {
            Err(error) => assert_eq!((error.code, at < 32), (Code::Damaged, true)),
            Ok(found) => assert!(matches!(found, Found::Torn { .. }), "byte {at}"),
        }
        if let Ok(Found::Committed(found)) = wal::read(&mut Cursor::new(&bad), None, None) {
            assert_eq!(found.position.frames, [0, 1, 3, 6][whole], "byte {at}");
        }
    }
}
