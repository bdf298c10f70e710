//! Several files that follow each other become one, which does the same to a database.
//!
//! All are read side by side, each page is taken from the newest file that has it, and written at once: memory is some
//! buffers a file. Pages that a later file cut off are left out. Blocks go over as they are, without compressing them a
//! second time.

use crate::decode::Decoder;
use crate::digest::Hash;
use crate::encode::{Encoder, Written};
use crate::error::{Error, Result};
use crate::folder::{Folder, Level, Stored};
use crate::format::{Header, Span};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{Read, Seek as _, Write};

/// Files that are merged at a time, for each is open meanwhile. More are merged in rounds.
pub const INPUTS_MAX: usize = 256;

/// Writes one file for all of `inputs`, which come oldest first.
///
/// # Errors
/// `Gap` if one does not start where the one before ends, or has other pages. `Refused` for none or too many. `Damaged`
/// with the span of the file; what was written is then worth nothing. `Io`.
pub fn compact<R: Read, W: Write>(inputs: impl IntoIterator<Item = R>, out: W) -> Result<(W, Written)> {
    let mut decoders = Vec::new();
    for input in inputs {
        if decoders.len() == INPUTS_MAX {
            return Err(Error::refused(format!("more than {INPUTS_MAX} files cannot be merged at a time")));
        }
        decoders.push(Decoder::new(input)?);
    }
    let header = header(&decoders)?;
    let limits = limits(&decoders);
    let mut encoder = Encoder::new(out, header)?;
    // The lowest page first; of equal ones the newest file's.
    let mut heap = BinaryHeap::with_capacity(decoders.len());
    for index in 0..decoders.len() {
        push(&mut heap, &mut decoders, index)?;
    }
    let mut before = 0;
    while let Some(Reverse((number, Reverse(index)))) = heap.pop() {
        if number != before && number <= limits[index] {
            let page = decoders[index].page();
            encoder.page_as_is(number, page.data, page.block)?;
            before = number;
        }
        push(&mut heap, &mut decoders, index)?;
    }
    encoder.finish()
}

/// The same with files of a folder, as many as there are, into one of another level.
///
/// More than `INPUTS_MAX` are merged in rounds, over files without names in the folder. What is told can go into the
/// manifest, with the checksum of the last input.
pub fn compact_files(folder: &Folder, files: &[Stored], level: Level) -> Result<(Stored, Hash)> {
    let mut inputs: Vec<Input> = files.iter().map(|file| Input::Stored(*file)).collect();
    while inputs.len() > INPUTS_MAX {
        let mut merged = Vec::new();
        let mut rest = inputs.into_iter().peekable();
        while rest.peek().is_some() {
            let part: Vec<Input> = rest.by_ref().take(INPUTS_MAX).collect();
            let (mut file, _) = compact(open(folder, part)?, folder.scratch(level)?)?;
            file.rewind().map_err(|error| Error::io("what was merged cannot be read again", error))?;
            merged.push(Input::Scratch(file));
        }
        inputs = merged;
    }
    let (draft, written) = compact(open(folder, inputs)?, folder.draft(level)?)?;
    draft.publish(&written)
}

enum Input {
    Stored(Stored),
    Scratch(File),
}

fn open(folder: &Folder, inputs: Vec<Input>) -> Result<Vec<File>> {
    let open = |input| match input {
        Input::Stored(file) => folder.open(file.level, file.span),
        Input::Scratch(file) => Ok(file),
    };
    inputs.into_iter().map(open).collect()
}

type Next = Reverse<(u32, Reverse<usize>)>;

fn push<R: Read>(heap: &mut BinaryHeap<Next>, decoders: &mut [Decoder<R>], index: usize) -> Result<()> {
    let decoder = &mut decoders[index];
    if decoder.advance().map_err(|error| error.within(decoder.header().span))? {
        heap.push(Reverse((decoder.page().number, Reverse(index))));
    }
    Ok(())
}

fn header<R: Read>(decoders: &[Decoder<R>]) -> Result<Header> {
    let (Some(first), Some(last)) = (decoders.first(), decoders.last()) else {
        return Err(Error::refused("there are no files to merge"));
    };
    for pair in decoders.windows(2) {
        follows(pair[0].header(), pair[1].header())?;
    }
    let span = Span { first: first.header().span.first, last: last.header().span.last };
    Ok(Header { span, origin: None, node: 0, ..*last.header() })
}

fn follows(one: &Header, next: &Header) -> Result<()> {
    if one.span.last.checked_add(1) != Some(next.span.first) {
        return Err(Error::gap(format!("{} are not followed by {}", one.span, next.span)));
    }
    if one.page_size != next.page_size {
        let (one_size, next_size) = (one.page_size.bytes(), next.page_size.bytes());
        return Err(Error::gap(format!("{} have pages of {one_size} bytes, {} of {next_size}", one.span, next.span)));
    }
    Ok(())
}

/// For each file the highest page that no later one cuts off.
fn limits<R: Read>(decoders: &[Decoder<R>]) -> Vec<u32> {
    let mut limit = u32::MAX;
    let mut limits = vec![limit; decoders.len()];
    for (index, decoder) in decoders.iter().enumerate().rev() {
        limits[index] = limit;
        limit = limit.min(decoder.header().commit);
    }
    limits
}
