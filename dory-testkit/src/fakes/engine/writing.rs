//! How the fake engine makes a folder equal to what a snapshot holds.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use dory_core::domain::event::{Progress, Warning, WarningKind};
use dory_core::ports::{Capabilities, Events, MountFolder, RestoreReport};
use dory_core::{ErrorKind, Result};
use ignore::gitignore::Gitignore;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use super::node::{Content, Node, attributes_of, entry_path};
use super::reading::join;

/// What holes are made of, in bytes.
const BLOCK: usize = 4096;

/// Writes targets, one inode at a time.
pub(super) struct Writer<'a> {
    pub(super) events: &'a Events,
    pub(super) capabilities: Capabilities,
    pub(super) delete_extra: bool,
    /// What stays although the snapshot does not hold it.
    pub(super) keep: Gitignore,
    /// The contents of a file.
    pub(super) contents: &'a (dyn Fn(&Path, &Node) -> Result<Bytes> + Send + Sync),
    pub(super) progress: Progress,
    pub(super) report: RestoreReport,
}

impl Writer<'_> {
    /// Makes one target equal to `nodes`, which are below its mount; others may act between any two inodes.
    pub(super) async fn write(&mut self, target: &MountFolder, nodes: &BTreeMap<PathBuf, Node>) -> Result<()> {
        let key = target.key.as_str();
        if self.delete_extra {
            self.remove_extra(key, &target.path, nodes);
        }
        let mut spoiled = BTreeSet::new();
        for (rest, node) in nodes {
            let contents = if node.blob().is_some() && node.same_as.is_none() {
                (self.contents)(entry_path(key, rest).as_path(), node)
            } else {
                Ok(Bytes::new())
            };
            match contents {
                Ok(contents) => {
                    match self.write_inode(&target.path, rest, node, &contents) {
                        Ok(()) => self.report.files += 1,
                        Err(error) => self.warn(WarningKind::NotRestored, key, rest, &error),
                    }
                    self.report.bytes += contents.len() as u64;
                }
                // What has its name stays.
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.warn(WarningKind::NotRestored, key, rest, &error);
                    spoiled.insert(rest.clone());
                }
                Err(error) => return Err(error),
            }
            self.progress.files += 1;
            self.progress.bytes += node.bytes();
            self.events.progress(self.progress);
            tokio::task::yield_now().await;
        }
        // From the innermost out: what is written into a folder changes its time.
        let whole = |(rest, node): &(&PathBuf, &Node)| node.same_as.is_none() && !spoiled.contains(*rest);
        for (rest, node) in nodes.iter().rev().filter(whole) {
            if let Err(error) = self.dress(&join(&target.path, rest), node) {
                self.warn(WarningKind::MetadataNotRestored, key, rest, &error);
            }
        }
        Ok(())
    }

    fn remove_extra(&mut self, key: &str, root: &Path, nodes: &BTreeMap<PathBuf, Node>) {
        let mut waiting = vec![PathBuf::new()];
        while let Some(folder) = waiting.pop() {
            let Ok(entries) = fs::read_dir(join(root, &folder)) else { continue };
            for entry in entries.flatten() {
                let rest = folder.join(entry.file_name());
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                match nodes.get(&rest) {
                    Some(node) if is_folder && node.is_folder() => waiting.push(rest),
                    Some(_) => {}
                    None => match self.remove_unless_kept(&entry.path(), &rest) {
                        Ok((count, _)) => self.report.removed += count,
                        Err(error) => self.warn(WarningKind::NotRestored, key, &rest, &error),
                    },
                }
            }
        }
    }

    /// Removes a path but for what stays and the folders that is in; tells how many inodes went, and whether all did.
    fn remove_unless_kept(&self, path: &Path, rest: &Path) -> io::Result<(u64, bool)> {
        let is_folder = fs::symlink_metadata(path)?.is_dir();
        if self.keep.matched(rest, is_folder).is_ignore() {
            return Ok((0, false));
        }
        let (mut count, mut all) = (0, true);
        if is_folder {
            for entry in fs::read_dir(path)? {
                let name = entry?.file_name();
                let (more, gone) = self.remove_unless_kept(&path.join(&name), &rest.join(&name))?;
                count += more;
                all &= gone;
            }
        }
        Ok(if all { (count + remove(path)?, true) } else { (count, false) })
    }

    fn write_inode(&self, root: &Path, rest: &Path, node: &Node, contents: &[u8]) -> io::Result<()> {
        let real = join(root, rest);
        if rest.as_os_str().is_empty() {
            // The mount itself is never replaced: a bind mount of one file could not be.
            return if node.is_folder() {
                fs::create_dir_all(&real)
            } else {
                self.fill(&File::create(&real)?, contents)
            };
        }
        let there = fs::symlink_metadata(&real).ok();
        if node.is_folder() && there.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Ok(());
        }
        if there.is_some() {
            remove(&real)?;
        }
        if let Some(first) = &node.same_as {
            return fs::hard_link(join(root, first), &real);
        }
        let special = |kind, number| {
            rustix::fs::mknodat(CWD, &real, kind, Mode::from_raw_mode(0o600), number).map_err(io::Error::from)
        };
        match &node.content {
            Content::File { .. } => self.fill(&File::create_new(&real)?, contents),
            Content::Folder => fs::create_dir(&real),
            Content::Symlink(target) => symlink(target, &real),
            Content::Fifo => special(FileType::Fifo, 0),
            Content::Socket => special(FileType::Socket, 0),
            Content::Device { number, block: true } => special(FileType::BlockDevice, *number),
            Content::Device { number, block: false } => special(FileType::CharacterDevice, *number),
        }
    }

    fn fill(&self, file: &File, contents: &[u8]) -> io::Result<()> {
        file.set_len(contents.len() as u64)?;
        for (at, block) in contents.chunks(BLOCK).enumerate() {
            if !self.capabilities.keeps_holes || block.iter().any(|byte| *byte != 0) {
                file.write_all_at(block, (at * BLOCK) as u64)?;
            }
        }
        Ok(())
    }

    /// Sets owner, mode, attributes and times, in the order in which none undoes another.
    fn dress(&self, real: &Path, node: &Node) -> io::Result<()> {
        lchown(real, Some(node.owner.0), Some(node.owner.1))?;
        if !matches!(node.content, Content::Symlink(_)) {
            fs::set_permissions(real, Permissions::from_mode(node.mode))?;
        }
        if self.capabilities.keeps_extended_attributes {
            dress_with(real, &node.attributes)?;
        }
        let (tv_sec, tv_nsec) = node.modified;
        let time = Timespec { tv_sec, tv_nsec };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(rustix::fs::utimensat(CWD, real, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn warn(&self, kind: WarningKind, key: &str, rest: &Path, error: &impl ToString) {
        self.events.warn(Warning { kind, path: entry_path(key, rest), detail: error.to_string() });
    }
}

fn dress_with(real: &Path, attributes: &BTreeMap<OsString, Vec<u8>>) -> io::Result<()> {
    let there = attributes_of(real);
    for name in there.keys().filter(|name| !attributes.contains_key(*name)) {
        rustix::fs::lremovexattr(real, name.as_os_str())?;
    }
    for (name, value) in attributes.iter().filter(|(name, value)| there.get(*name) != Some(value)) {
        rustix::fs::lsetxattr(real, name.as_os_str(), value, XattrFlags::empty())?;
    }
    Ok(())
}

/// Removes a path with all that is below it, links not followed; tells how many inodes went.
fn remove(path: &Path) -> io::Result<u64> {
    if !fs::symlink_metadata(path)?.is_dir() {
        fs::remove_file(path)?;
        return Ok(1);
    }
    let mut count = 1;
    for entry in fs::read_dir(path)? {
        count += remove(&entry?.path())?;
    }
    fs::remove_dir(path)?;
    Ok(count)
}
