//! What a file may hold after power loss: a durable image and the changes since, to one possible image.
//!
//! Pure: no files, no clock, no SQLite; the same dice give the same image. What counts as durable is decided by
//! [`super::disk`].
//!
//! A file is seen as sectors. Since the last sync each sector has had a series of changes, and the kernel may have
//! written it back after any of them, independently of every other sector; so a sector is found as its durable content
//! with the first k of its changes applied, k from none to all. The change that was being written when the power went
//! may have reached the sector in part, as zeroes, or as noise: but only in the bytes of that change, since SQLite
//! counts on neighbouring bytes of an overwrite staying whole (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`).
//! The length is one the file has had since the last sync, or lies between two of them where it grew. Bytes within it
//! that no surviving change filled are zero. A truncation has happened in all sectors or in none.

use std::collections::BTreeMap;
use std::ops::Range;

pub const SECTOR_BYTES: usize = 512;

pub type Sector = [u8; SECTOR_BYTES];

/// One change of a file that no sync has covered yet.
#[derive(Clone, Debug)]
pub enum Change {
    Write {
        at: u64,
        bytes: Box<[u8]>,
    },
    /// Cut to this many bytes; what grows there later starts as zeroes.
    Truncate(u64),
}

impl Change {
    pub fn length_after(&self, before: u64) -> u64 {
        match self {
            Self::Write { at, bytes } => before.max(at + bytes.len() as u64),
            Self::Truncate(length) => *length,
        }
    }

    /// Bytes it carries.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Write { bytes, .. } => bytes.len(),
            Self::Truncate(_) => 0,
        }
    }

    /// The bytes of the file this alters, in a file of `length` bytes.
    fn extent(&self, length: u64) -> Range<u64> {
        match self {
            Self::Write { at, bytes } => *at..at + bytes.len() as u64,
            Self::Truncate(to) => *to..length.max(*to),
        }
    }

    fn apply(&self, index: u64, sector: &mut Sector) {
        let start = index * SECTOR_BYTES as u64;
        match self {
            Self::Write { at, bytes } => {
                let within = within_sector(start, *at..at + bytes.len() as u64);
                let from = (start + within.start as u64 - at) as usize;
                sector[within.clone()].copy_from_slice(&bytes[from..from + within.len()]);
            }
            Self::Truncate(length) => sector[within_sector(start, *length..u64::MAX)].fill(0),
        }
    }
}

/// The part of `extent` that lies in the sector starting at byte `start`, as offsets into that sector.
fn within_sector(start: u64, extent: Range<u64>) -> Range<usize> {
    let clamp = |at: u64| at.saturating_sub(start).min(SECTOR_BYTES as u64) as usize;
    clamp(extent.start)..clamp(extent.end)
}

/// One possible image, as a difference from the durable one.
#[derive(Debug)]
pub struct Image {
    /// Of the whole file, in bytes.
    pub length: u64,
    /// Sectors to lay over the durable image, by index; some may lie past `length` and are then lost.
    pub sectors: BTreeMap<u64, Sector>,
    /// Sectors that lack at least one change made to them.
    pub sectors_stale: usize,
    /// Sectors in which a change arrived in part, as zeroes or as noise.
    pub sectors_torn: usize,
}

/// How the storage behaved in the moments before; drawn once per file and cut, so that the extremes are visited too.
struct Weather {
    /// The length and the truncations are those of this many changes.
    until: usize,
    order: Order,
    /// A change under way may have arrived in part.
    tears: bool,
}

enum Order {
    /// All sectors stand at the same changes.
    AsMade,
    /// Every sector for itself.
    Scrambled,
    /// Write-back had come down to this sector: from it on everything arrived, before it nothing.
    Downwards(u64),
    /// Write-back had come up to this sector.
    Upwards(u64),
}

impl Weather {
    /// `sectors` are those that have changed.
    fn draw(changes: usize, sectors: &[u64], dice: &mut Dice) -> Self {
        let until = if dice.below(3) == 0 { changes } else { dice.below(changes as u64 + 1) as usize };
        let front = sectors.get(dice.below(sectors.len().max(1) as u64) as usize).copied().unwrap_or_default();
        match dice.below(10) {
            0 => Self { until: 0, order: Order::AsMade, tears: false },
            1 => Self { until: changes, order: Order::AsMade, tears: false },
            2..=4 => Self { until, order: Order::AsMade, tears: true },
            5..=7 => Self { until, order: Order::Scrambled, tears: true },
            8 => Self { until, order: Order::Downwards(front), tears: false },
            _ => Self { until, order: Order::Upwards(front), tears: false },
        }
    }

    /// How many of the changes of the sector at `index` it shows. `history` numbers them.
    fn arrived(&self, index: u64, history: &[usize], unsynced: &[Change], dice: &mut Dice) -> usize {
        let before = history.partition_point(|&number| number < self.until);
        // A truncation holds for the whole file or not at all, and no write can be seen from across one that has not
        // happened.
        let truncates = |number: &usize| matches!(unsynced[*number], Change::Truncate(_));
        let least = history[..before].iter().rposition(truncates).map_or(0, |at| at + 1);
        let most = history[before..].iter().position(truncates).map_or(history.len(), |at| before + at);
        match self.order {
            Order::AsMade => before,
            Order::Scrambled => least + dice.below((most - least) as u64 + 1) as usize,
            Order::Downwards(front) if index < front => least,
            Order::Upwards(front) if index >= front => least,
            Order::Downwards(_) | Order::Upwards(_) => most,
        }
    }

    /// Whether a sector's last change, which has this number, was under way when the power went.
    fn tears(&self, number: usize, dice: &mut Dice) -> bool {
        let one_in = match self.order {
            Order::AsMade if number + 1 == self.until => 2,
            Order::Scrambled => 4,
            _ => return false,
        };
        self.tears && dice.below(one_in) == 0
    }

    /// `lengths` are those the file has had, the durable one first.
    fn length(&self, lengths: &[u64], dice: &mut Dice) -> u64 {
        let (before, after) = (lengths[self.until.saturating_sub(1)], lengths[self.until]);
        if after <= before || !self.tears {
            return after;
        }
        let between = before + dice.below(after - before + 1);
        match dice.below(4) {
            0 => between,
            1 => before.max(between - between % SECTOR_BYTES as u64),
            _ => after,
        }
    }
}

/// Draws one image that power loss could leave of a file whose synced content is `durable_length` bytes, readable by
/// sector through `durable_sector` (zeroes past the end), and which has since been altered by `unsynced`, oldest first.
pub fn possible_image(
    durable_length: u64,
    durable_sector: impl Fn(u64) -> Sector,
    unsynced: &[Change],
    dice: &mut Dice,
) -> Image {
    let mut lengths = vec![durable_length];
    let mut histories: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (number, change) in unsynced.iter().enumerate() {
        let extent = change.extent(lengths[number]);
        for index in extent.start / SECTOR_BYTES as u64..extent.end.div_ceil(SECTOR_BYTES as u64) {
            histories.entry(index).or_default().push(number);
        }
        lengths.push(change.length_after(lengths[number]));
    }
    let sectors: Vec<u64> = histories.keys().copied().collect();
    let weather = Weather::draw(unsynced.len(), &sectors, dice);
    let length = weather.length(&lengths, dice);
    let mut image = Image { length, sectors: BTreeMap::new(), sectors_stale: 0, sectors_torn: 0 };
    for (index, history) in histories {
        let arrived = &history[..weather.arrived(index, &history, unsynced, dice)];
        image.sectors_stale += usize::from(arrived.len() < history.len());
        let (mut before, mut sector) = (durable_sector(index), durable_sector(index));
        for &number in arrived {
            before = sector;
            unsynced[number].apply(index, &mut sector);
        }
        if let Some(&number) = arrived.last()
            && let Change::Write { at, bytes } = &unsynced[number]
            && weather.tears(number, dice)
        {
            let written = within_sector(index * SECTOR_BYTES as u64, *at..at + bytes.len() as u64);
            tear(&before[written.clone()], &mut sector[written], dice);
            image.sectors_torn += 1;
        }
        image.sectors.insert(index, sector);
    }
    image
}

/// Damages the bytes a change was being written to; they were `old`.
fn tear(old: &[u8], new: &mut [u8], dice: &mut Dice) {
    let seam = dice.below(new.len() as u64 + 1) as usize;
    match dice.below(5) {
        0 => new[seam..].copy_from_slice(&old[seam..]),
        1 => new[..seam].copy_from_slice(&old[..seam]),
        2 => new.fill(0),
        3 => new.fill_with(|| dice.below(256) as u8),
        _ => new[seam.min(new.len() - 1)] ^= 1 << dice.below(8),
    }
}

/// Seeded chance (SplitMix64): small, repeatable on every machine, and good enough to choose faults with.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn write(at: u64, byte: u8, count: usize) -> Change {
        Change::Write { at, bytes: vec![byte; count].into() }
    }

    /// One possible image, laid out.
    fn image_of(durable: &[u8], unsynced: &[Change], seed: u64) -> Vec<u8> {
        let read = |index: u64| {
            let start = (index as usize * SECTOR_BYTES).min(durable.len());
            let end = (start + SECTOR_BYTES).min(durable.len());
            let mut sector = [0; SECTOR_BYTES];
            sector[..end - start].copy_from_slice(&durable[start..end]);
            sector
        };
        let image = possible_image(durable.len() as u64, read, unsynced, &mut Dice::new(seed));
        let mut bytes = durable.to_vec();
        bytes.resize(image.length as usize, 0);
        for (index, sector) in image.sectors {
            for (at, byte) in (index as usize * SECTOR_BYTES..).zip(sector) {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
        }
        bytes
    }

    #[test]
    fn what_was_synced_is_found_as_it_was() {
        let durable: Vec<u8> = (0..3000u32).map(|at| at as u8).collect();
        assert!((0..200).all(|seed| image_of(&durable, &[], seed) == durable));
    }

    #[test]
    fn the_same_seed_gives_the_same_image() {
        let changes = [write(100, 1, 2000), Change::Truncate(700), write(600, 2, 5000)];
        let image = |seed| image_of(&[9; 1500], &changes, seed);
        assert!((0..50).all(|seed| image(seed) == image(seed)));
        assert!((0..50).map(image).collect::<BTreeSet<_>>().len() > 10);
    }

    #[test]
    fn bytes_next_to_an_overwrite_are_never_harmed() {
        for seed in 0..2000 {
            let image = image_of(&[7; 2048], &[write(600, 1, 300), write(1000, 2, 100)], seed);
            assert_eq!(image.len(), 2048);
            assert!(image[..600].iter().chain(&image[1100..]).all(|&byte| byte == 7), "seed {seed}");
        }
    }

    #[test]
    fn a_sector_shows_a_prefix_of_its_own_changes_and_each_prefix_occurs() {
        let changes = [write(0, 1, 512), write(0, 2, 512), write(512, 3, 512)];
        let seen: BTreeSet<_> = (0..500).map(|seed| image_of(&[0; 1024], &changes, seed)).collect();
        let has = |first: u8, second: u8| seen.iter().any(|i| i[..512] == [first; 512] && i[512..] == [second; 512]);
        for first in [0, 1, 2] {
            assert!(has(first, 0) && has(first, 3), "first sector at {first}");
        }
    }

    #[test]
    fn a_later_write_can_arrive_without_an_earlier_one_elsewhere() {
        let changes = [write(0, 1, 512), write(5120, 2, 512)];
        assert!((0..500).any(|seed| {
            let image = image_of(&[], &changes, seed);
            image.len() == 5632 && image[..5120].iter().all(|&b| b == 0) && image[5120..] == [2; 512]
        }));
    }

    #[test]
    fn growth_can_fall_short_and_a_truncation_is_whole_or_absent() {
        let grown: BTreeSet<_> = (0..500).map(|seed| image_of(&[5; 100], &[write(100, 1, 2000)], seed).len()).collect();
        assert!(grown.contains(&100) && grown.contains(&2100) && grown.len() > 10);
        assert!(grown.iter().all(|length| (100..=2100).contains(length)));
        let cut: BTreeSet<_> = (0..500).map(|seed| image_of(&[5; 2000], &[Change::Truncate(300)], seed)).collect();
        assert!(cut == BTreeSet::from([vec![5; 300], vec![5; 2000]]));
    }

    #[test]
    fn what_was_truncated_away_may_remain_but_only_as_it_was() {
        let changes = [Change::Truncate(0), write(0, 1, 600)];
        for seed in 0..2000 {
            let image = image_of(&[9; 1024], &changes, seed);
            assert!(image.len() <= 600 || image == [9; 1024], "seed {seed}");
        }
    }
}
