//! Names of files: the same ones everywhere, and none that leads out of a folder.

use tidebase_engine::{Error, Result};

const BYTES_MAX: usize = 512;

/// # Errors
/// `invalid` for a name that not every place could keep.
pub fn check(name: &str) -> Result<()> {
    // What begins with a dot is a folder's own affair.
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if name.len() <= BYTES_MAX && name.split('/').all(is_part) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{name:?} is no name of a file: its parts, with / between them, are of letters, digits, \"-\", \"_\" and \".\", and do not begin with \".\"."
    )))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn no_name_leads_out_of_its_folder() {
        for good in ["a", "dump_20240315-123456.sql", "0000/0001-0002.ltx", "A_b-c.d"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "/etc/passwd", "a/../b", "..", ".a", "a//b", "a/", "a b", "a\\b", "a\0", "ä", "%2e%2e"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"a".repeat(513)).is_err());
    }
}
