//! Characters taken from the ends of a text: by SQLite's rules, byte for byte.
//!
//! A character is a byte, or a first byte from 0xc0 on with all bytes behind it that continue one, however many. Where several of the
//! set fit, the one that stands first in the set is taken, which in a text that is no UTF-8 need not be the longest.

use super::search::continues;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Left,
    Right,
    Both,
}

/// The place of none.
const NONE: u32 = u32::MAX;

/// Characters to take away, each known by its place in the set.
pub struct Set<'s> {
    text: &'s [u8],
    /// Those of one byte.
    plain: [u32; 256],
    /// Those of several, where they begin and end: sorted, so that those with the same beginning stand together.
    long: Vec<(u32, u32)>,
}

impl<'s> Set<'s> {
    /// Up to a NUL. `None` for more characters than SQLite takes.
    pub fn of(text: &'s [u8], bytes_max: usize) -> Option<Self> {
        // It keeps an address and a length of each.
        const KEPT_BYTES: usize = size_of::<*const u8>() + 4;
        if characters(text).count() * KEPT_BYTES > bytes_max {
            return None;
        }
        let (mut plain, mut long) = ([NONE; 256], Vec::new());
        for (begin, end) in characters(text) {
            if end - begin > 1 {
                long.push((begin as u32, end as u32));
                continue;
            }
            let place = &mut plain[usize::from(text[begin])];
            *place = (*place).min(begin as u32);
        }
        let bytes = |(begin, end): (u32, u32)| &text[begin as usize..end as usize];
        long.sort_unstable_by(|one, other| bytes(*one).cmp(bytes(*other)).then(one.0.cmp(&other.0)));
        long.dedup_by(|later, first| bytes(*later) == bytes(*first));
        Some(Self { text, plain, long })
    }

    pub fn trim<'t>(&self, text: &'t [u8], ends: Ends) -> &'t [u8] {
        let text = if ends == Ends::Right { text } else { self.trim_left(text) };
        if ends == Ends::Left { text } else { self.trim_right(text) }
    }

    fn trim_left<'t>(&self, mut text: &'t [u8]) -> &'t [u8] {
        while let Some(first) = text.first() {
            let (mut length, mut place) = (1, self.plain[usize::from(*first)]);
            if *first >= 0xc0 {
                let run = 1 + text[1..].iter().take_while(|byte| continues(**byte)).count();
                self.walk(&text[..run], |at, here| {
                    if here < place {
                        (length, place) = (at, here);
                    }
                });
            }
            if place == NONE {
                break;
            }
            text = &text[length..];
        }
        text
    }

    fn trim_right<'t>(&self, mut text: &'t [u8]) -> &'t [u8] {
        // Of the run that is being taken away: the place of the character that ends behind so many bytes of it.
        let mut places = Vec::new();
        'runs: while !text.is_empty() {
            let behind = text.iter().rev().take_while(|byte| continues(**byte)).count();
            let begin = text.len().saturating_sub(behind + 1);
            places.clear();
            if behind > 0 && text[begin] >= 0xc0 {
                self.walk(&text[begin..], |at, here| {
                    places.resize(at, NONE);
                    places.push(here);
                });
            }
            for _ in 0..behind.max(1) {
                let Some((last, rest)) = text.split_last() else { break };
                let alone = self.plain[usize::from(*last)];
                let whole = places.get(text.len() - begin).copied().unwrap_or(NONE);
                if alone == NONE && whole == NONE {
                    break 'runs;
                }
                if whole < alone {
                    text = &text[..begin];
                    continue 'runs;
                }
                text = rest;
            }
        }
        text
    }

    /// Tells of each character of several bytes that the run begins with: its length, and its place.
    fn walk(&self, run: &[u8], mut tell: impl FnMut(usize, u32)) {
        let mut alike = &self.long[..];
        for (depth, byte) in run.iter().enumerate() {
            let at = |character: &(u32, u32)| {
                let (begin, end) = (character.0 as usize, character.1 as usize);
                self.text[begin..end].get(depth).copied()
            };
            let from = alike.partition_point(|character| at(character) < Some(*byte));
            let to = alike.partition_point(|character| at(character) <= Some(*byte));
            alike = &alike[from..to];
            // The shortest stands first.
            let Some((begin, end)) = alike.first() else { break };
            if (end - begin) as usize == depth + 1 {
                tell(depth + 1, *begin);
            }
        }
    }
}

fn characters(text: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut begin = 0;
    std::iter::from_fn(move || {
        let first = *text.get(begin).filter(|first| **first != 0)?;
        let mut end = begin + 1;
        if first >= 0xc0 {
            end += text[end..].iter().take_while(|byte| continues(**byte)).count();
        }
        let character = (begin, end);
        begin = end;
        Some(character)
    })
}
