//! Passwords: which are taken, and how they are kept (Argon2id, RFC 9106, with OWASP's first choice of parameters).
//!
//! What a keyboard makes of one letter is not the same everywhere: `é` comes as one character or as two. So a password is brought
//! into Unicode's form C before anything is done with it (RFC 8265, 4.2.2), and its owner can sign in from any device.
//!
//! To look at one costs 19 MiB and some 20 ms, on purpose; so few are looked at at one time, and few may wait.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use icu_normalizer::ComposingNormalizerBorrowed;
use std::sync::Arc;
use tidebase_engine::{Error, Result};
use tokio::sync::Semaphore;

/// Bytes of a password. More would be work for nothing.
const BYTES_MAX: usize = 1024;
/// Passwords that may wait to be looked at.
const WAITING_MAX: usize = 128;

/// Of those that are tried first, the ones that are long enough.
const COMMON: [&str; 24] = [
    "00000000",
    "11111111",
    "12341234",
    "12345678",
    "123456789",
    "1234567890",
    "123123123",
    "87654321",
    "abcd1234",
    "abcdefgh",
    "baseball",
    "football",
    "iloveyou",
    "letmein1",
    "passw0rd",
    "password",
    "password1",
    "password123",
    "princess",
    "qwerty123",
    "qwertyuiop",
    "sunshine",
    "superman",
    "trustno1",
];

pub struct Passwords {
    at_work: Arc<Semaphore>,
    places: Arc<Semaphore>,
    length_min: usize,
    /// Of a password nobody has: looked at where there is no account, so that it takes as long.
    nobody: String,
}

impl Passwords {
    pub fn new(length_min: usize) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let nobody = hash(&super::super::secret::new_token("")?)?;
        let (at_work, places) = (Arc::new(Semaphore::new(cores)), Arc::new(Semaphore::new(WAITING_MAX)));
        Ok(Self { at_work, places, length_min, nobody })
    }

    /// # Errors
    /// `invalid`, saying what a good one would be.
    pub fn check(&self, password: &str, email: Option<&str>) -> Result<()> {
        let composed = composed(password);
        if composed.chars().count() < self.length_min {
            return Err(Error::invalid(format!("A password has at least {} characters.", self.length_min)));
        }
        if password.len() > BYTES_MAX {
            return Err(Error::invalid(format!("A password has at most {BYTES_MAX} bytes.")));
        }
        let lower = composed.to_lowercase();
        if COMMON.contains(&&*lower) || email.is_some_and(|email| lower == email.to_lowercase()) {
            return Err(Error::invalid("That password would be guessed at once. Take another."));
        }
        Ok(())
    }

    /// What is kept of it.
    pub async fn hash(&self, password: String) -> Result<String> {
        self.work(move || hash(&password)).await?
    }

    /// Is it the one of which this is kept? Without anything kept it is wrong, and takes as long.
    pub async fn is_right(&self, password: String, kept: Option<String>) -> Result<bool> {
        let is_there = kept.is_some() && password.len() <= BYTES_MAX;
        let kept = kept.filter(|_| is_there).unwrap_or_else(|| self.nobody.clone());
        let password = if password.len() <= BYTES_MAX { password } else { String::new() };
        self.work(move || {
            let password = composed(&password);
            let kept = PasswordHash::new(&kept)
                .map_err(|error| Error::internal("a kept password cannot be read").caused_by(error.to_string()))?;
            Ok(Argon2::default().verify_password(password.as_bytes(), &kept).is_ok() && is_there)
        })
        .await?
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(Error::unavailable("Too many are signing in at this moment. Try again."));
        };
        let turn = Arc::clone(&self.at_work).acquire_owned().await;
        let turn = turn.map_err(|_| Error::unavailable("The server is stopping."))?;
        // The turn goes with the work: a caller who does not wait must not make room for another.
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|error| Error::internal("a password could not be looked at").caused_by(error))
    }
}

/// The one form of all texts that look the same.
fn composed(password: &str) -> std::borrow::Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(password)
}

fn hash(password: &str) -> Result<String> {
    let hashed = Argon2::default().hash_password(composed(password).as_bytes());
    hashed
        .map(|hash| hash.to_string())
        .map_err(|error| Error::internal("a password could not be kept").caused_by(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other() {
        let passwords = Passwords::new(8).unwrap();
        let kept = passwords.hash("correct horse".into()).await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(passwords.is_right("correct horse".into(), Some(kept.clone())).await.unwrap());
        assert!(!passwords.is_right("correct horsf".into(), Some(kept.clone())).await.unwrap());
        assert!(!passwords.is_right("correct horse".into(), None).await.unwrap());
        assert!(!passwords.is_right("x".repeat(2000), Some(kept)).await.unwrap());
    }

    #[tokio::test]
    async fn a_password_is_the_same_from_every_keyboard() {
        let passwords = Passwords::new(8).unwrap();
        // As one character for each letter, and as letters with accents that are put on them.
        let (one, two) = ("s\u{e9}same \u{d55c}", "se\u{301}same \u{1112}\u{1161}\u{11ab}");
        for (set, typed) in [(one, two), (two, one)] {
            let kept = passwords.hash(set.into()).await.unwrap();
            assert!(passwords.is_right(typed.into(), Some(kept.clone())).await.unwrap(), "{set:?} {typed:?}");
            assert!(!passwords.is_right("sesame \u{d55c}".into(), Some(kept)).await.unwrap());
        }
        // Made before passwords were composed; what was composed already is what it was.
        let plain = Argon2::default().hash_password(one.as_bytes()).unwrap().to_string();
        assert!(passwords.is_right(one.into(), Some(plain)).await.unwrap());
        // Only what is the same letter is one: a ligature is not its letters, a wide letter not a narrow one.
        let kept = passwords.hash("\u{fb01}ne \u{ff41}bcd".into()).await.unwrap();
        assert!(!passwords.is_right("fine abcd".into(), Some(kept)).await.unwrap());
        // Eight accents do not make a long password.
        assert!(passwords.check("e\u{301}e\u{301}e\u{301}e\u{301}", None).is_err());
        passwords.check("se\u{301}same12", None).unwrap();
    }

    #[test]
    fn what_would_be_guessed_is_refused() {
        let passwords = Passwords::new(8).unwrap();
        for (password, word) in [
            ("seven77", "at least 8"),
            ("PassWord", "guessed"),
            ("Ann@example.org", "guessed"),
            (&"x".repeat(1025), "1024"),
        ] {
            let error = passwords.check(password, Some("ann@example.org")).unwrap_err();
            assert!(error.message.contains(word), "{password}: {error}");
        }
        passwords.check("äöüßäöüß", None).unwrap();
    }
}
