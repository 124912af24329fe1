//! Owner, attributes, mode and times of an inode that is open, whatever it is.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustic_core::repofile::Node;
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, getxattr, getxattr_query,
    listxattr, listxattr_query, removexattr, setxattr, utimensat,
};
use rustix::io::Errno;

use super::words;
use crate::adapters::restic::go_mode;

/// What the host gives to files by itself, and takes back by itself.
const NOT_OURS: [&str; 2] = ["security.selinux", "security.ima"];

/// Makes an inode's metadata what the node's is; tells what could not be.
///
/// The order matters: a change of owner clears setuid and capabilities, an access list changes the mode, and
/// everything else changes the times.
pub(super) fn apply(inode: &OwnedFd, node: &Node) -> Vec<String> {
    // By this name the inode itself is meant, be it a link, a pipe or a device, and no name can be put in its place.
    let path = PathBuf::from(format!("/proc/self/fd/{}", inode.as_raw_fd()));
    let mut failures = Vec::new();
    let mut note = |what: &str, result: Result<(), Errno>| {
        if let Err(error) = result {
            failures.push(format!("{what}: {}", words(error)));
        }
    };
    note("owner", set_owner(inode, node));
    set_attributes(&path, node, &mut note);
    if !node.is_symlink() {
        let mode = Mode::from_raw_mode(go_mode::permissions(node));
        note("mode", chmodat(CWD, &path, mode, AtFlags::empty()));
    }
    note("times", set_times(&path, node));
    failures
}

fn set_owner(inode: &OwnedFd, node: &Node) -> Result<(), Errno> {
    let (uid, gid) = (node.meta.uid.map(Uid::from_raw), node.meta.gid.map(Gid::from_raw));
    chownat(inode, "", uid, gid, AtFlags::EMPTY_PATH)
}

fn set_attributes(path: &Path, node: &Node, note: &mut impl FnMut(&str, Result<(), Errno>)) {
    let wanted = &node.meta.extended_attributes;
    let present = match attributes(path) {
        Ok(present) => present,
        // Where none are kept, none need to go; those that should be there are told one by one.
        Err(Errno::OPNOTSUPP) => BTreeMap::new(),
        Err(error) => return note("extended attributes", Err(error)),
    };
    for name in present.keys().filter(|name| !NOT_OURS.contains(&name.as_str())) {
        if !wanted.iter().any(|attribute| attribute.name == *name) {
            note(name, removexattr(path, name.as_str()));
        }
    }
    for attribute in wanted {
        let value = attribute.value.as_deref().unwrap_or_default();
        if present.get(&attribute.name).is_none_or(|present| present != value) {
            note(&attribute.name, setxattr(path, attribute.name.as_str(), value, XattrFlags::empty()));
        }
    }
}

fn attributes(path: &Path) -> Result<BTreeMap<String, Vec<u8>>, Errno> {
    let mut names = vec![0; listxattr_query(path)?];
    let length = if names.is_empty() { 0 } else { listxattr(path, &mut names[..])? };
    let mut attributes = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; getxattr_query(path, name)?];
        let length = if value.is_empty() { 0 } else { getxattr(path, name, &mut value[..])? };
        value.truncate(length);
        attributes.insert(String::from_utf8_lossy(name).into_owned(), value);
    }
    Ok(attributes)
}

fn set_times(path: &Path, node: &Node) -> Result<(), Errno> {
    let Some(modified) = node.meta.mtime else {
        return Ok(());
    };
    let accessed = node.meta.atime.unwrap_or(modified);
    let times = Timestamps { last_access: timespec(accessed), last_modification: timespec(modified) };
    utimensat(CWD, path, &times, AtFlags::empty())
}

/// The system counts nanoseconds forward from the second, the other type away from the epoch.
fn timespec(time: Timestamp) -> Timespec {
    let nanoseconds = i64::from(time.subsec_nanosecond());
    let (seconds, nanoseconds) = if nanoseconds < 0 {
        (time.as_second() - 1, nanoseconds + 1_000_000_000)
    } else {
        (time.as_second(), nanoseconds)
    };
    Timespec { tv_sec: seconds, tv_nsec: nanoseconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_are_counted_forward() {
        let parts = |second, nanosecond| {
            let time = timespec(Timestamp::new(second, nanosecond).unwrap());
            (time.tv_sec, time.tv_nsec)
        };
        assert_eq!(parts(5, 7), (5, 7));
        assert_eq!(parts(-5, 7), (-5, 7));
        assert_eq!(parts(-5, -7), (-6, 999_999_993));
        assert_eq!(parts(-1, 0), (-1, 0));
    }
}
