//! Who has been told what: for every insert, how many subscribers know of it and when the last one learned.
//!
//! Peer-neutral. A *key* is what a subscriber's news is about: a revision of Tidebase (news may cover several at once),
//! or a sequence number in the row itself for servers that have no revisions.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::{AbortHandle, spawn_local};

/// More keys than any run makes; news beyond it would be a mistake, not a reason to take memory.
const KEYS_MAX: u64 = 4_000_000;
/// Connections being opened at once.
const OPENING_MAX: usize = 32;

/// A subscriber now knows every key above `after` up to and including `to`.
#[derive(Debug, Clone, Copy)]
pub struct News {
    pub after: u64,
    pub to: u64,
}

/// One subscriber's connection, whatever it speaks.
pub trait Listener {
    async fn news(&mut self) -> Result<News>;
}

#[derive(Debug, Default)]
pub struct Told {
    base: u64,
    keys: Vec<(u32, Option<Instant>)>,
    trouble: Option<anyhow::Error>,
}

impl Told {
    /// Keys up to and including `base` are of no interest.
    pub fn after(base: u64) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { base, ..Self::default() }))
    }

    fn note(&mut self, news: News, now: Instant) {
        let (after, to) = (news.after.max(self.base), news.to.min(self.base + KEYS_MAX));
        if to <= after {
            return;
        }
        let (first, end) = ((after - self.base) as usize, (to - self.base) as usize);
        if self.keys.len() < end {
            self.keys.resize(end, (0, None));
        }
        for key in &mut self.keys[first..end] {
            *key = (key.0 + 1, Some(now));
        }
    }

    /// When the last of `subscribers` learned of `key`; `None` while one does not know.
    pub fn everyone_knew(&self, key: u64, subscribers: usize) -> Option<Instant> {
        let index = key.checked_sub(self.base + 1)? as usize;
        let (count, last) = self.keys.get(index)?;
        last.filter(|_| *count as usize >= subscribers)
    }
}

/// Subscribers that listen for as long as this lives.
pub struct Audience {
    told: Rc<RefCell<Told>>,
    tasks: Vec<AbortHandle>,
}

impl Audience {
    /// Opens `size` subscribers and lets each write what it hears into `told`.
    pub async fn gather<L: Listener + 'static>(
        size: usize,
        told: Rc<RefCell<Told>>,
        open: impl AsyncFn() -> Result<L>,
    ) -> Result<Self> {
        let listeners: Vec<L> =
            stream::iter(0..size).map(|_| open()).buffer_unordered(OPENING_MAX).try_collect().await?;
        let tasks = listeners.into_iter().map(|one| spawn_local(listen(one, told.clone())).abort_handle()).collect();
        Ok(Self { told, tasks })
    }

    pub fn size(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until all know `key`, within `patience`; false when someone still does not.
    pub async fn knows(&self, key: u64, patience: Duration) -> Result<bool> {
        let asked = Instant::now();
        while asked.elapsed() < patience {
            if let Some(trouble) = self.told.borrow_mut().trouble.take() {
                return Err(trouble.context("a subscriber was lost"));
            }
            if self.size() == 0 || self.told.borrow().everyone_knew(key, self.size()).is_some() {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(false)
    }

    /// When the last subscriber learned of `key`.
    pub fn last_told(&self, key: u64) -> Option<Instant> {
        self.told.borrow().everyone_knew(key, self.size())
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn listen(mut listener: impl Listener, told: Rc<RefCell<Told>>) {
    let trouble = loop {
        match listener.news().await {
            Ok(News { after, to }) if to < after => break anyhow::anyhow!("a subscriber was told {to} after {after}"),
            Ok(news) => told.borrow_mut().note(news, Instant::now()),
            Err(error) => break error,
        }
    };
    told.borrow_mut().trouble.get_or_insert(trouble);
}

/// Raises the number of files this process and its children may open to what the sockets need.
pub fn allow_sockets(sockets: usize) -> Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let wanted = sockets as u64 + 512;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if let Some(maximum) = limit.maximum.filter(|maximum| *maximum < wanted) {
        bail!("{sockets} sockets need {wanted} open files, and this user may open {maximum}");
    }
    limit.current = Some(wanted);
    setrlimit(Resource::Nofile, limit)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_when_the_last_subscriber_knows_it() {
        let told = Told::after(10);
        let mut told = told.borrow_mut();
        let (early, late) = (Instant::now(), Instant::now() + Duration::from_millis(5));
        told.note(News { after: 10, to: 12 }, early);
        assert_eq!(told.everyone_knew(11, 2), None);
        told.note(News { after: 8, to: 11 }, late);
        assert_eq!(told.everyone_knew(11, 2), Some(late));
        assert_eq!(told.everyone_knew(12, 2), None);
        assert_eq!(told.everyone_knew(10, 2), None, "what came before is of no interest");
        assert_eq!(told.everyone_knew(99, 1), None);
    }

    #[test]
    fn absurd_news_takes_no_memory() {
        let told = Told::after(0);
        told.borrow_mut().note(News { after: u64::MAX - 1, to: u64::MAX }, Instant::now());
        assert!(told.borrow().keys.is_empty());
    }
}
