//! How often somebody may be wrong about a password. In memory: a restart forgives.
//!
//! Told apart by who is claimed and from where, so that a stranger cannot shut an owner out; and by who is claimed alone, with
//! more patience, for strangers with many addresses. The latter does not hold up whoever was right from the same place before.
//! Whether there is such an account makes no difference.

use crate::auth::allowance::network;
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
    /// Somebody was right from here.
    is_known: bool,
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
        let places = [(Some(network(from)), FREE_FROM_ONE_PLACE), (None, FREE_FROM_EVERYWHERE)];
        let here = remembered.get(&(claimed.to_owned(), places[0].0));
        let is_known = here.is_some_and(|attempts| attempts.is_known);
        for (place, free) in places {
            let Some(attempts) = remembered.get(&(claimed.to_owned(), place)) else { continue };
            if is_known && place.is_none() {
                continue;
            }
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
            let first = Attempts { count: 0, last: now, is_known: false };
            let attempts = remembered.entry((claimed.to_owned(), place)).or_insert(first);
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
        remembered.remove(&(claimed.to_owned(), None));
        if let Some(here) = remembered.get_mut(&(claimed.to_owned(), Some(network(from)))) {
            (here.count, here.is_known) = (0, true);
        }
    }

    /// Whatever was attempted, all begin anew.
    pub fn forgive(&self, claimed: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(whose, _), _| whose != claimed);
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
        // Strangers from everywhere do not hold up who was right from here.
        let others: Vec<bool> =
            (0..100u8).map(|last| patience.attempt("ann", [10, 1, 0, last].into(), start).is_ok()).collect();
        assert!(others.contains(&false));
        patience.attempt("ann", here, start + Duration::from_secs(5)).unwrap();
        patience.forgive("ann");
        patience.attempt("ann", [10, 1, 0, 200].into(), start).unwrap();
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
