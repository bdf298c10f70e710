//! Where the entries of earlier sessions are kept.

use std::path::PathBuf;

/// In the platform's folder for the data of programs; `None` for someone without a home.
pub fn path() -> Option<PathBuf> {
    folder(&|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
        .map(|folder| folder.join("tidebase").join("history"))
}

fn folder(environment: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // The specification wants relative paths to be ignored.
    if let Some(folder) = environment("XDG_DATA_HOME").filter(|folder| folder.is_absolute()) {
        return Some(folder);
    }
    let home = environment("HOME")?;
    Some(if cfg!(target_os = "macos") { home.join("Library/Application Support") } else { home.join(".local/share") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_folder_is_the_platforms() {
        let with = |variables: &'static [(&str, &str)]| {
            folder(&move |name| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value))
            })
        };
        assert_eq!(with(&[("XDG_DATA_HOME", "/data"), ("HOME", "/home/me")]), Some("/data".into()));
        assert_eq!(with(&[("XDG_DATA_HOME", "data")]), None);
        assert!(with(&[("HOME", "/home/me")]).is_some_and(|folder| folder.starts_with("/home/me")));
    }
}
