//! What is looked for in a text: by SQLite's rules, byte for byte, in linear time. Trimming is in [`super::trim`].

use memchr::{memchr, memmem};
use std::borrow::Cow;
use std::collections::HashSet;

/// Is it one that goes on with a character, and begins none?
pub fn continues(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Where the part begins for the first time, counted from 1 in bytes; 0 if nowhere.
pub fn byte(bytes: &[u8], part: &[u8]) -> usize {
    memmem::find(bytes, part).map_or(0, |at| at + 1)
}

/// The same counted in characters. A part is found where a character begins, and the first byte of a text begins one whatever it is.
pub fn character(text: &[u8], part: &[u8]) -> usize {
    let Some(first) = part.first() else {
        // Of UTF-16, half a character is none. SQLite then looks for the NUL behind its text.
        return characters(&text[..memchr(0, text).unwrap_or(text.len())]) + 1;
    };
    if continues(*first) {
        return usize::from(text.starts_with(part));
    }
    memmem::find(text, part).map_or(0, |at| characters(&text[..at]) + 1)
}

fn characters(text: &[u8]) -> usize {
    match text.split_first() {
        Some((_, rest)) => 1 + rest.iter().filter(|byte| !continues(**byte)).count(),
        None => 0,
    }
}

/// With another text in the place of each part; `None` if that has more bytes than a value may have.
pub fn replaced<'a>(text: &'a [u8], part: &[u8], by: &[u8], bytes_max: usize) -> Option<Cow<'a, [u8]>> {
    let mut replaced = Vec::new();
    let mut copied = 0;
    for at in memmem::find_iter(text, part) {
        let behind = at + part.len();
        if replaced.len() + (at - copied) + by.len() + (text.len() - behind) > bytes_max {
            return None;
        }
        replaced.extend_from_slice(&text[copied..at]);
        replaced.extend_from_slice(by);
        copied = behind;
    }
    if copied == 0 {
        return Some(Cow::Borrowed(text));
    }
    replaced.extend_from_slice(&text[copied..]);
    Some(Cow::Owned(replaced))
}

/// The bytes that pairs of digits stand for, up to a NUL, with characters of the other text between them; `None` for anything else.
pub fn unhex(text: &[u8], between: &[u8]) -> Option<Vec<u8>> {
    let mut passed = HashSet::new();
    let mut passed_plain = [false; 128];
    let mut rest = between;
    while let Some(letter) = read(&mut rest) {
        match passed_plain.get_mut(letter as usize) {
            Some(plain) => *plain = true,
            None => drop(passed.insert(letter)),
        }
    }
    let is_passed =
        |letter: u32| passed_plain.get(letter as usize).copied().unwrap_or_else(|| passed.contains(&letter));
    let mut rest = &text[..memchr(0, text).unwrap_or(text.len())];
    let mut bytes = Vec::with_capacity(rest.len() / 2);
    while let Some(first) = rest.first() {
        let Some(high) = digit(*first) else {
            if !is_passed(read(&mut rest)?) {
                return None;
            }
            continue;
        };
        let low = digit(*rest.get(1)?)?;
        bytes.push(high << 4 | low);
        rest = &rest[2..];
    }
    Some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Takes one character as SQLite does: what is no UTF-8 is a number, too.
fn read(text: &mut &[u8]) -> Option<u32> {
    let (first, mut rest) = text.split_first()?;
    let mut letter = u32::from(*first);
    if *first >= 0xc0 {
        letter = match first {
            0xc0..0xe0 => letter & 0x1f,
            0xe0..0xf0 => letter & 0x0f,
            0xf0..0xf8 => letter & 0x07,
            0xf8..0xfc => letter & 0x03,
            0xfc..0xfe => letter & 0x01,
            _ => 0,
        };
        while let Some((next, behind)) = rest.split_first().filter(|(next, _)| continues(**next)) {
            letter = (letter << 6).wrapping_add(u32::from(next & 0x3f));
            rest = behind;
        }
        if letter < 0x80 || letter & 0xffff_f800 == 0xd800 {
            letter = 0xfffd;
        }
    }
    *text = rest;
    Some(letter)
}
