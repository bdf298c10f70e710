//! How often somebody may be wrong about a password. In memory: a restart forgives.
//!
//! Told apart by who is claimed and from where, so that a stranger cannot shut an owner out so soon; and by who is claimed
//! alone, with more patience, for strangers with many addresses. Whether there is such an account makes no difference.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidebase_engine::{Error, Result};

/// Attempts that are free of waiting, from one place and from everywhere; each one more doubles the wait.
const FREE_FROM_ONE_PLACE: u32 = 5;
const FREE_FROM_EVERYWHERE: u32 = 50;
const PAUSE_MAX: Duration = Duration::from_mins(15);
/// Who has not been wrong for so long is forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_hours(1);
/// Of whom something is remembered; past it those who were wrong longest ago are forgiven.
const REMEMBERED_MAX: usize = 50_000;

type Who = (String, Option<IpAddr>);

#[derive(Debug)]
struct Attempts {
    count: u32,
    last: Instant,
}

#[derive(Debug, Default)]
pub struct Patience(Mutex<HashMap<Who, Attempts>>);

impl Patience {
    /// Counts an attempt, as wrong until [`Self::right`] says otherwise: many at one time are no way around.
    ///
    /// # Errors
    /// `too_many`, with how long to wait.
    pub fn attempt(&self, claimed: &str, from: IpAddr, now: Instant) -> Result<()> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let places = [(Some(from), FREE_FROM_ONE_PLACE), (None, FREE_FROM_EVERYWHERE)];
        for (place, free) in places {
            let Some(attempts) = remembered.get(&(claimed.to_owned(), place)) else { continue };
            let until = attempts.last + pause(attempts.count, free);
            if until > now {
                let seconds = (until - now).as_secs() + 1;
                return Err(
                    Error::too_many(format!("Too many attempts. Try again in {seconds} seconds.")).retry_after(seconds)
                );
            }
        }
        if remembered.len() >= REMEMBERED_MAX {
            forgive(&mut remembered, now);
        }
        for (place, _) in places {
            let attempts = remembered.entry((claimed.to_owned(), place)).or_insert(Attempts { count: 0, last: now });
            if now.duration_since(attempts.last) > FORGIVEN_AFTER {
                attempts.count = 0;
            }
            attempts.count = attempts.count.saturating_add(1);
            attempts.last = now;
        }
        Ok(())
    }

    /// The attempt was right.
    pub fn right(&self, claimed: &str, from: IpAddr) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for place in [Some(from), None] {
            remembered.remove(&(claimed.to_owned(), place));
        }
    }
}

fn pause(count: u32, free: u32) -> Duration {
    match count.checked_sub(free) {
        None => Duration::ZERO,
        Some(more) => Duration::from_secs(1 << more.min(20)).min(PAUSE_MAX),
    }
}

/// Those of long ago, and if that is too few, the older half.
fn forgive(remembered: &mut HashMap<Who, Attempts>, now: Instant) {
    remembered.retain(|_, attempts| now.duration_since(attempts.last) <= FORGIVEN_AFTER);
    if remembered.len() < REMEMBERED_MAX / 2 {
        return;
    }
    let mut times: Vec<Instant> = remembered.values().map(|attempts| attempts.last).collect();
    let middle = times.len() / 2;
    let median = *times.select_nth_unstable(middle).1;
    remembered.retain(|_, attempts| attempts.last > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_is_bounded_and_ends_with_the_right_password() {
        let (patience, start) = (Patience::default(), Instant::now());
        let [here, there] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse::<IpAddr>().unwrap());
        for _ in 0..FREE_FROM_ONE_PLACE {
            patience.attempt("ann", here, start).unwrap();
        }
        let refused = patience.attempt("ann", here, start).unwrap_err();
        assert_eq!(refused.retry_after_seconds, Some(2), "{refused}");
        patience.attempt("ann", there, start).unwrap();
        patience.attempt("bob", here, start).unwrap();
        patience.attempt("ann", here, start + Duration::from_secs(1)).unwrap();
        assert!(patience.attempt("ann", here, start + Duration::from_millis(2500)).is_err());
        patience.attempt("ann", here, start + Duration::from_secs(4)).unwrap();
        patience.right("ann", here);
        patience.attempt("ann", here, start + Duration::from_secs(4)).unwrap();
        assert_eq!(pause(1000, 5), PAUSE_MAX);
    }

    #[test]
    fn many_places_are_told_apart_but_not_without_end() {
        let (patience, start) = (Patience::default(), Instant::now());
        let refused = (0..200u8).find(|&last| patience.attempt("ann", [10, 0, 0, last].into(), start).is_err());
        assert_eq!(refused, Some(FREE_FROM_EVERYWHERE as u8));
    }

    #[test]
    fn no_more_is_remembered_than_may_be() {
        let (patience, start) = (Patience::default(), Instant::now());
        for number in 0..REMEMBERED_MAX {
            let at = start + Duration::from_millis(number as u64);
            patience.attempt(&number.to_string(), [10, 0, 0, 1].into(), at).unwrap();
        }
        assert!(patience.0.lock().unwrap().len() <= REMEMBERED_MAX + 2);
    }
}
