//! The database is its owner's: it holds the keys that tokens are signed with. What Tidebase makes nobody else can read; a
//! file that is there already keeps its mode, and whoever may read it can be found out.
//!
//! SQLite gives the files that it makes beside a database (`-wal`, `-shm`, `-journal`) the mode of the database.

use std::fs::{OpenOptions, metadata};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Read and written by the owner.
const MODE: u32 = 0o600;

/// Makes an empty file, which to SQLite is a new database, if there is none. What stands in the way SQLite finds too, and says
/// better.
pub fn make(path: &Path) {
    let _ = OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(path);
}

/// What to say of a database that every user of this machine may read.
pub fn doubt(path: &Path) -> Option<String> {
    let shown = path.display();
    is_open_to_others(path).then(|| {
        format!(
            "Every user of this machine may read {shown}, and the keys that tokens are signed with are in it. To keep it to its owner: chmod 600 {shown}*"
        )
    })
}

/// Of the folders above only the nearest is looked at.
fn is_open_to_others(path: &Path) -> bool {
    let mode = |path: &Path| metadata(path).map_or(0, |file| file.permissions().mode());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    mode(path) & 0o004 != 0 && mode(folder) & 0o001 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions, write};

    #[test]
    fn a_file_is_made_for_its_owner_and_one_that_is_there_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (new, old) = (folder.path().join("new"), folder.path().join("old"));
        write(&old, "kept").expect("a file");
        set_permissions(&old, Permissions::from_mode(0o644)).expect("a mode");
        for path in [&new, &old] {
            make(path);
        }
        let mode = |path: &Path| metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&new), mode(&old)), (0o600, 0o644));
        assert_eq!(std::fs::read(&old).expect("it is there"), b"kept");
        for (folder_mode, is_open) in [(0o755, true), (0o711, true), (0o750, false), (0o700, false)] {
            set_permissions(folder.path(), Permissions::from_mode(folder_mode)).expect("a mode");
            assert_eq!((is_open_to_others(&new), is_open_to_others(&old)), (false, is_open), "{folder_mode:o}");
        }
        assert!(!is_open_to_others(&folder.path().join("nowhere")));
    }
}
