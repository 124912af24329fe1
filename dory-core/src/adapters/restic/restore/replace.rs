//! Putting a new inode in the place of an old one, which stays as it is until the new one is complete.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, renameat, unlinkat};
use rustix::io::Errno;

use super::remove::remove;

/// How the names of inodes start that are not complete yet.
const PREFIX: &str = ".dory-restoring-";

/// Names that are tried: what has one already is somebody's, or was left by a restore that was killed.
const NAMES: u32 = 1000;

/// Makes an inode under a name that nothing has; `make` fails with `EXIST` where something does.
pub(super) fn draft<T>(mut make: impl FnMut(&OsStr) -> Result<T, Errno>) -> Result<(T, OsString), Errno> {
    for number in 0..NAMES {
        let name = OsString::from(format!("{PREFIX}{number}"));
        match make(&name) {
            Err(Errno::EXIST) => {}
            made => return made.map(|made| (made, name)),
        }
    }
    Err(Errno::EXIST)
}

/// Gives a draft its name, in the place of whatever has it; counts what went but for the one inode that is replaced.
/// Where that fails, the draft goes.
pub(super) fn put_in_place(folder: &OwnedFd, draft: &OsStr, name: &OsStr, removed: &mut u64) -> Result<(), Errno> {
    let placed = match renameat(folder, draft, folder, name) {
        // Only a folder can be renamed over a folder.
        Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
            remove(folder, name, removed).and_then(|()| renameat(folder, draft, folder, name))
        }
        placed => placed,
    };
    // Renaming one of an inode's names over another does nothing, and leaves both.
    discard(folder, draft);
    placed
}

/// Takes a draft back; one that is gone is no error.
pub(super) fn discard(folder: &OwnedFd, draft: &OsStr) {
    // If this fails, a later restore that removes what it does not know takes it away.
    let _ = unlinkat(folder, draft, AtFlags::empty());
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    fn create(folder: &std::path::Path, name: &OsStr) -> Result<File, Errno> {
        File::create_new(folder.join(name)).map_err(|error| Errno::from_io_error(&error).unwrap())
    }

    #[test]
    fn a_name_that_is_taken_is_left_to_whoever_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        fs::write(path.join(".dory-restoring-0"), "somebody's").unwrap();
        let (_, name) = draft(|name| create(path, name)).unwrap();
        assert_eq!(name, ".dory-restoring-1");
        assert_eq!(fs::read_to_string(path.join(".dory-restoring-0")).unwrap(), "somebody's");
    }

    #[test]
    fn a_folder_with_things_in_it_makes_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let folder = OwnedFd::from(File::open(path).unwrap());
        fs::create_dir_all(path.join("name/deep/er")).unwrap();
        let (_, name) = draft(|name| create(path, name)).unwrap();
        let mut removed = 0;
        put_in_place(&folder, &name, "name".as_ref(), &mut removed).unwrap();
        assert!(path.join("name").is_file());
        assert_eq!((removed, fs::read_dir(path).unwrap().count()), (3, 1));
    }

    #[test]
    fn two_names_of_one_inode_are_one_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let folder = OwnedFd::from(File::open(path).unwrap());
        fs::write(path.join("name"), "x").unwrap();
        fs::hard_link(path.join("name"), path.join("draft")).unwrap();
        put_in_place(&folder, "draft".as_ref(), "name".as_ref(), &mut 0).unwrap();
        assert_eq!(fs::read_dir(path).unwrap().count(), 1);
    }
}
