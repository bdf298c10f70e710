//! A promise that was not kept: what a round looks for, as opposed to what may go wrong with a round itself.

use std::fmt;

#[derive(Debug)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

/// An error that is a [`Violation`].
macro_rules! violation {
    ($($words:tt)*) => { anyhow::Error::new($crate::crash::violation::Violation(format!($($words)*))) };
}

pub(super) use violation;
