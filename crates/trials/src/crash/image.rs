//! What a power cut left: opened by an engine on the ordinary disk, and looked through.

use super::aftermath::examine;
use super::inside::{Subscriber, send};
use super::ledger::{Ledger, Promises};
use super::state::Found;
use super::tally::Tally;
use super::told::Told;
use super::violation;
use crate::power_loss::Cut;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tidebase_engine::{Engine, Options};

pub const DATABASE: &str = "trial.db";

/// One image to be looked at.
pub struct Image {
    pub path: PathBuf,
    pub cut: Cut,
    /// What had been promised before the cut.
    pub promises: Promises,
    /// A subscriber of the server that lost its power, and comes back.
    pub told: Told,
}

impl Image {
    /// Works on a copy, so that a bad image can be looked at as it was; removes both if it is good.
    pub fn check(self, ledger: &Mutex<Ledger>, tally: &mut Tally) -> Result<()> {
        tally.cut(self.cut);
        let opened = self.path.with_extension("opened");
        fs::create_dir(&opened)?;
        for file in fs::read_dir(&self.path)? {
            let file = file?;
            fs::copy(file.path(), opened.join(file.file_name()))?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let path = self.path.clone();
        runtime
            .block_on(self.open(&opened.join(DATABASE), ledger, tally))
            .with_context(|| format!("in the image of a power cut kept in {}", path.display()))?;
        fs::remove_dir_all(&opened)?;
        Ok(fs::remove_dir_all(&path)?)
    }

    async fn open(self, database: &Path, ledger: &Mutex<Ledger>, tally: &mut Tally) -> Result<()> {
        let engine =
            Engine::open(Options::new(database)).map_err(|error| violation!("it cannot be opened: {error}"))?;
        let aftermath = examine(database, ledger, &self.promises, tally, async |planned| send(&engine, planned).await);
        let Some(aftermath) = aftermath.await? else {
            tally.cuts_early += 1;
            return Ok(());
        };
        if engine.revision() < self.promises.revision {
            return Err(violation!("the engine begins at revision {}", engine.revision()));
        }
        // From here on this is a history of its own.
        let ledger = Mutex::new(Ledger::of(&aftermath.found));
        let mut subscriber = Subscriber::open(&engine, self.told).await?;
        subscriber.settle(&ledger).await?;
        tally.told(subscriber.told.counts);
        engine.close();
        drop(engine);
        match Found::read(database)? {
            Some(found) if found.states == aftermath.found.states => Ok(()),
            _ => Err(violation!("closing the database changed it")),
        }
    }
}
