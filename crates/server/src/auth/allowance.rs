//! How much one caller, or one address, may ask: requests in a time, and sockets at a time. The administrator may ask anything.
//!
//! A person is one caller wherever they are; of a token that many clients share each address is one.

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tidebase_engine::{Error, Principal, Result, Role};

/// Checks between two looks for those who have asked nothing lately.
const SWEEP_EVERY: u64 = 4096;

/// Whom a bound is for; nobody for the administrator.
pub type Who = Option<Arc<str>>;

/// The bounds; none is no bound.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What needs no token, and wrong tokens, from one address in a minute.
    pub strangers_per_minute: u32,
    /// Requests of one caller in a second.
    pub caller_per_second: u32,
    pub caller_sockets: usize,
}

pub struct Allowance {
    strangers: Option<Meter<IpAddr>>,
    callers: Option<Meter<Arc<str>>>,
    sockets: Mutex<HashMap<Arc<str>, usize>>,
    sockets_max: usize,
}

struct Meter<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    checks: AtomicU64,
}

impl<K: Hash + Eq + Clone> Meter<K> {
    fn new(quota: Quota) -> Self {
        Self { limiter: RateLimiter::dashmap(quota), checks: AtomicU64::new(0) }
    }

    fn check(&self, key: &K) -> Result<()> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|refused| {
            let seconds = refused.wait_time_from(DefaultClock::default().now()).as_secs() + 1;
            Error::too_many(format!("Too many requests. Try again in {seconds} s.")).retry_after(seconds)
        })
    }
}

impl Allowance {
    pub fn new(bounds: Bounds) -> Self {
        let strangers = NonZeroU32::new(bounds.strangers_per_minute).map(|count| Meter::new(Quota::per_minute(count)));
        let callers = NonZeroU32::new(bounds.caller_per_second).map(|count| Meter::new(Quota::per_second(count)));
        Self { strangers, callers, sockets: Mutex::default(), sockets_max: bounds.caller_sockets }
    }

    /// # Errors
    /// `too_many`, with how long to wait; so have all of these.
    pub fn stranger(&self, address: IpAddr) -> Result<()> {
        self.strangers.as_ref().map_or(Ok(()), |meter| meter.check(&network(address)))
    }

    pub fn caller(&self, who: &Who) -> Result<()> {
        let (Some(meter), Some(who)) = (&self.callers, who) else { return Ok(()) };
        meter.check(who)
    }

    /// One more socket of a caller.
    pub fn open_socket(&self, who: &Who) -> Result<()> {
        let Some(who) = who else { return Ok(()) };
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let open = sockets.entry(Arc::clone(who)).or_insert(0);
        if *open >= self.sockets_max {
            let most = self.sockets_max;
            return Err(Error::too_many(format!("You have {most} sockets and event streams open, all you may.")));
        }
        *open += 1;
        Ok(())
    }

    pub fn close_socket(&self, who: &Who) {
        let Some(who) = who else { return };
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = sockets.get_mut(who) {
            *open -= 1;
            if *open == 0 {
                sockets.remove(who);
            }
        }
    }
}

/// Whom bounds are for.
pub fn who(principal: &Principal, address: IpAddr) -> Who {
    let caller = principal.caller()?;
    let uid = caller.uid.as_deref().unwrap_or_default();
    Some(match caller.role {
        Role::Client => format!("{uid} {}", network(address)).into(),
        Role::User | Role::Anonymous => uid.into(),
    })
}

/// The address, or of the many that one line has in IPv6, what they have in common.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => four.into(),
            None => Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX)).into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_measure_and_a_line_is_one_address() {
        let allowance = Allowance::new(Bounds { strangers_per_minute: 2, caller_per_second: 0, caller_sockets: 1 });
        let here = |text: &str| text.parse::<IpAddr>().unwrap();
        allowance.stranger(here("2001:db8::1")).unwrap();
        allowance.stranger(here("2001:db8::2")).unwrap();
        let refused = allowance.stranger(here("2001:db8::3")).unwrap_err();
        assert!(refused.retry_after_seconds.is_some_and(|seconds| seconds > 1), "{refused:?}");
        allowance.stranger(here("2001:db8:0:1::1")).unwrap();
        allowance.stranger(here("10.0.0.1")).unwrap();
        allowance.stranger(here("::ffff:10.0.0.1")).unwrap();
        assert!(allowance.stranger(here("10.0.0.1")).is_err());
    }

    #[test]
    fn sockets_are_counted_by_caller() {
        let allowance = Allowance::new(Bounds { strangers_per_minute: 0, caller_per_second: 0, caller_sockets: 1 });
        let (ann, bob) = (Some("ann".into()), Some("bob".into()));
        allowance.open_socket(&ann).unwrap();
        assert!(allowance.open_socket(&ann).is_err());
        allowance.open_socket(&bob).unwrap();
        allowance.close_socket(&ann);
        allowance.open_socket(&ann).unwrap();
        assert_eq!(allowance.sockets.lock().unwrap().len(), 2);
        allowance.open_socket(&None).unwrap();
        allowance.open_socket(&None).unwrap();
    }
}
