//! Keeps a new store out of a folder that holds something else.

use std::fs;
use std::path::Path;

use super::folder::translate;
use super::folder_files::FileError;
use crate::domain::store_url::StoreAccess;
use crate::error::{Error, ErrorKind, Result};

/// What a folder may hold that is to become a store: what a file system or an earlier attempt leaves there, and the place
/// of the data, where a disk of its own may be mounted.
const HARMLESS: [&str; 4] = ["lost+found", ".catalog-lock", ".catalog-draft", "data"];

/// Refuses a folder that holds other things than a store. One that is missing or empty, or a store already, is fine.
///
/// # Errors
/// `AlreadyExists`, naming one of the other things; `PermissionDenied`.
pub fn refuse_foreign_folder(access: &StoreAccess) -> Result<()> {
    // A store that lost its `dory.json` is still one: the catalog knows what to do about it.
    let is_store = |folder: &Path| ["dory.json", "backups", "copies"].iter().any(|part| folder.join(part).exists());
    match access.url.as_folder() {
        Some(folder) if folder.is_dir() && !is_store(&folder) => refuse_what_is_in(&folder),
        _ => Ok(()),
    }
}

fn refuse_what_is_in(folder: &Path) -> Result<()> {
    let failed = |source| translate(folder, "set up store", "", FileError::Io { path: folder.to_owned(), source });
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| !HARMLESS.contains(&name.as_str()));
    names.sort();
    let Some(first) = names.first() else { return Ok(()) };
    let place = format!("file://{}", folder.display());
    let reason = format!("the folder holds other things: `{first}`");
    Err(Error::new(ErrorKind::AlreadyExists, "set up store", &place, reason)
        .with_hint(format!("choose an empty folder, or one that is not there yet: `DORY_STORE={place}/dory`")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::store_url::{StoreCredentials, StoreUrl};

    #[test]
    fn a_folder_with_other_things_is_no_new_store() {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::folder(folder.path()).unwrap();
        let access = StoreAccess { url, credentials: StoreCredentials::Ambient, endpoint: None, region: None };
        fs::create_dir(folder.path().join("lost+found")).unwrap();
        refuse_foreign_folder(&access).unwrap();
        fs::write(folder.path().join("thesis.txt"), "").unwrap();
        let error = refuse_foreign_folder(&access).unwrap_err();
        assert!(error.reason().contains("`thesis.txt`"), "{error}");
        assert!(error.hint().unwrap().contains("/dory`"), "{error:?}");
        fs::create_dir(folder.path().join("backups")).unwrap();
        refuse_foreign_folder(&access).unwrap();
    }
}
