//! What a target holds already, so that what is right need not be fetched and written again.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use rustic_core::DataId;
use rustix::fs::{Mode, OFlags, openat};

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// A folder of this name, if there is one.
pub(super) fn open_folder(above: &OwnedFd, name: &OsStr) -> Option<OwnedFd> {
    openat(above, name, FLAGS | OFlags::DIRECTORY, Mode::empty()).ok()
}

/// Whether a regular file of this name, which has no other name, holds exactly these pieces. Sizes and times prove
/// nothing; hashes do.
pub(super) fn holds(folder: &OwnedFd, name: &OsStr, content: &[(DataId, u64)]) -> bool {
    let open = || openat(folder, name, FLAGS | OFlags::NOATIME, Mode::empty());
    let Ok(file) = open().or_else(|_| openat(folder, name, FLAGS, Mode::empty())).map(File::from) else {
        return false;
    };
    let size: u64 = content.iter().map(|(_, length)| length).sum();
    let same_size = file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == size && meta.nlink() == 1);
    if !same_size {
        return false;
    }
    let mut reader = BufReader::with_capacity(256 << 10, file);
    content.iter().all(|(id, length)| id.blob_matches_reader(*length, &mut reader.by_ref().take(*length)))
}
