//! What the threads of a power round share, and how a cut is taken: first what was promised is noted, then the power
//! fails, then the image is handed to those who look at it.

use super::aftermath::lock;
use super::image::Image;
use super::ledger::Ledger;
use super::told::Told;
use crate::power_loss::{self, Cut, PowerLoss};
use crate::random::Random;
use anyhow::Result;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub cuts: usize,
    /// Once the tables are there, the disk says that it has synced, and has not: like `PRAGMA synchronous = OFF`.
    pub disk_lies: bool,
}

/// Where images go to be looked at.
pub type Images = SyncSender<Result<Image>>;

pub struct Stage {
    pub power: PowerLoss,
    pub plan: Plan,
    /// The folder of the database.
    pub live: PathBuf,
    images: PathBuf,
    pub ledger: Mutex<Ledger>,
    /// What a subscriber knew a moment ago.
    told: Mutex<Told>,
    /// Of the fates of the sectors.
    seed: u64,
    taken: AtomicUsize,
    is_over: AtomicBool,
}

impl Stage {
    pub fn new(home: &Path, plan: Plan, random: &mut Random) -> io::Result<Arc<Self>> {
        let live = home.join("live");
        std::fs::create_dir(&live)?;
        Ok(Arc::new(Self {
            power: power_loss::install(),
            plan,
            live,
            images: home.join("images"),
            ledger: Mutex::default(),
            told: Mutex::new(Told::new(0)),
            seed: random.below(usize::MAX) as u64,
            taken: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        }))
    }

    /// Something was found, or all is done: no more cuts.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    pub fn is_before(&self, cuts: usize) -> bool {
        !self.is_over.load(Ordering::Acquire) && self.taken.load(Ordering::Acquire) < cuts
    }

    pub fn subscriber_knows(&self, told: &Told) {
        told.clone_into(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Takes a cut as `take` does it, with a seed, into a folder. False once there are enough.
    fn cut(&self, images: &Images, take: impl FnOnce(u64, &Path) -> io::Result<Cut>) -> bool {
        let number = self.taken.fetch_add(1, Ordering::AcqRel);
        if self.is_over.load(Ordering::Acquire) || number >= self.plan.cuts {
            return false;
        }
        let path = self.images.join(number.to_string());
        let promises = lock(&self.ledger).promises();
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let image = match take(self.seed.wrapping_add(number as u64), &path) {
            Ok(cut) => Ok(Image { path, cut, promises, told }),
            Err(error) => Err(error.into()),
        };
        images.send(image).is_ok()
    }

    /// Cuts now, on this thread, while the others go on.
    pub fn cut_now(&self, images: &Images) -> bool {
        self.cut(images, |seed, path| self.power.cut(seed, &self.live, path))
    }

    /// Cuts right after operations of the disk, until there are enough.
    pub fn schedule(self: &Arc<Self>, images: Images, mut random: Random) -> io::Result<()> {
        let stage = Arc::clone(self);
        let first = random.between(1, 200) as u64;
        self.power.after(first, &self.live, move |moment| {
            let mut goes_on = stage.cut(&images, |seed, path| moment.cut(seed, path));
            if random.percent(20) {
                // Another fate of the same moment.
                goes_on = stage.cut(&images, |seed, path| moment.cut(seed, path));
            }
            let distance = if random.percent(60) { 6 } else { 250 };
            goes_on.then(|| random.between(1, distance) as u64)
        })
    }
}
