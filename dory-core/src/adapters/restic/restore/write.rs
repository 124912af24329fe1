//! Carrying out the steps of a restore.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustic_core::repofile::{Node, NodeType};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ftruncate, linkat, mkdirat, mknodat, openat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::contents::ContentWriter;
use super::plan::{Room, Step, Window};
use super::remove::{is_mounted_on, remove, remove_unless};
use super::replace::{discard, draft, put_in_place};
use super::root::{Root, RootKind};
use super::{Ledger, fatal, metadata, words};
use crate::adapters::restic::browse::link_target;
use crate::domain::event::WarningKind;
use crate::error::Result;
use crate::ports::RestoreReport;
use crate::source::{Excludes, names};

/// Nobody else may look into what is not complete.
const PRIVATE_FOLDER: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// What is mounted below a target is no part of it.
const ELSEWHERES: &str = "something else is mounted here, and was left alone";

const MADE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC);

/// Makes a target equal to what the steps say.
pub(super) struct TreeWriter<'a> {
    root: &'a Root,
    /// What stays of what the snapshot does not hold; `None` if all of that stays.
    delete_but: Option<&'a Excludes>,
    ledger: &'a Ledger<'a>,
    report: &'a mut RestoreReport,
    levels: Vec<Level>,
    /// Folders that were entered although they could not be made: what is in them is passed over.
    passed_over: usize,
    file: Option<OpenFile>,
}

/// A folder being filled.
struct Level {
    node: Node,
    folder: OwnedFd,
    below: PathBuf,
}

/// A file being written; without a writer, one that failed.
struct OpenFile {
    node: Node,
    below: PathBuf,
    writer: Option<ContentWriter>,
    /// The name it has until it is complete; `None` where it is written in the place of the old one.
    draft: Option<OsString>,
}

impl<'a> TreeWriter<'a> {
    pub(super) fn new(
        root: &'a Root,
        delete_but: Option<&'a Excludes>,
        ledger: &'a Ledger<'a>,
        report: &'a mut RestoreReport,
    ) -> Self {
        Self { root, delete_but, ledger, report, levels: Vec::new(), passed_over: 0, file: None }
    }

    /// Carries out a window's steps.
    ///
    /// # Errors
    /// Those that the rest would meet too; what concerns one path is a warning.
    pub(super) fn write(&mut self, window: Window) -> Result<()> {
        let Window { steps, pieces } = window;
        for step in steps {
            match step {
                Step::Enter(node, names) => self.enter(node, names)?,
                Step::Leave => self.leave(),
                _ if self.passed_over > 0 => {}
                Step::Make(node) => self.one(&node, |writer, folder, name| writer.make(folder, name, &node))?,
                Step::Keep(node) => {
                    self.ledger.tally.add_bytes(node.meta.size);
                    self.one(&node, |_, folder, name| openat(folder, name, MADE | OFlags::PATH, Mode::empty()))?;
                }
                Step::Link(node, first) => {
                    self.ledger.tally.add_bytes(node.meta.size);
                    self.one(&node, |writer, folder, name| writer.link(folder, name, &first))?;
                }
                Step::Abandon(node, reason) => {
                    let below = self.below(&node);
                    self.ledger.warn(WarningKind::NotRestored, &below, reason);
                }
                Step::Begin(node, room) => self.begin(node, room)?,
                Step::Zeros(length) => self.piece(length, |writer| {
                    writer.zeros(length);
                    Ok(())
                })?,
                Step::Piece(id, length) => match pieces.get(&id) {
                    Some(Ok(bytes)) => self.piece(length, |writer| writer.write(bytes))?,
                    Some(Err(error)) => {
                        let reason = crate::error::Error::from(error.clone()).to_string();
                        self.give_up_file(reason);
                    }
                    None => self.give_up_file("its contents were not fetched".to_owned()),
                },
                Step::Commit => self.commit()?,
            }
        }
        Ok(())
    }

    fn below(&self, node: &Node) -> PathBuf {
        self.levels.last().map(|level| level.below.join(node.name())).unwrap_or_default()
    }

    /// Fails if everything else would fail too; else warns of the path.
    fn not_restored(&self, below: &Path, error: Errno) -> Result<()> {
        match fatal(error, self.root.name()) {
            Some(error) => Err(error),
            None => {
                self.ledger.warn(WarningKind::NotRestored, below, words(error));
                Ok(())
            }
        }
    }

    fn done(&mut self, inode: &OwnedFd, node: &Node, below: &Path) {
        let failures = metadata::apply(inode, node);
        if !failures.is_empty() {
            self.ledger.warn(WarningKind::MetadataNotRestored, below, failures.join("; "));
        }
        self.report.files += 1;
        self.ledger.tally.add_file();
    }

    fn enter(&mut self, node: Node, names: Vec<OsString>) -> Result<()> {
        if self.passed_over > 0 {
            self.passed_over += 1;
            return Ok(());
        }
        let below = self.below(&node);
        let is_empty = names.is_empty();
        match self.open_level(node, below.clone()) {
            Ok((level, is_new)) => {
                if let Some(keep) = self.delete_but.filter(|_| !is_new) {
                    self.remove_extra(keep, &level, names);
                }
                self.levels.push(level);
                Ok(())
            }
            Err(error) => {
                self.passed_over = 1;
                if error == Errno::BUSY && is_empty {
                    self.ledger.warn(WarningKind::NotKept, &below, ELSEWHERES);
                    return Ok(());
                }
                self.not_restored(&below, error)
            }
        }
    }

    /// Opens a folder, which is made if it is missing, and tells whether it was.
    fn open_level(&mut self, node: Node, below: PathBuf) -> Result<(Level, bool), Errno> {
        let flags = MADE | OFlags::RDONLY | OFlags::DIRECTORY;
        let (folder, is_new) = match (self.levels.last(), self.root.kind()) {
            (None, RootKind::Folder(root)) => (openat(root, ".", flags, Mode::empty())?, false),
            (None, RootKind::File(_)) => return Err(Errno::NOTDIR),
            (Some(above), _) => {
                let name = node.name();
                match statat(&above.folder, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => {}
                    Ok(_) => unlinkat(&above.folder, &*name, AtFlags::empty())?,
                    Err(Errno::NOENT) => {}
                    Err(error) => return Err(error),
                }
                let is_new = match mkdirat(&above.folder, &*name, PRIVATE_FOLDER) {
                    Ok(()) => true,
                    Err(Errno::EXIST) => false,
                    Err(error) => return Err(error),
                };
                let folder = openat(&above.folder, &*name, flags, Mode::empty())?;
                if !is_new && is_mounted_on(&above.folder, &folder)? {
                    // It is no part of this target.
                    return Err(Errno::BUSY);
                }
                (folder, is_new)
            }
        };
        Ok((Level { node, folder, below }, is_new))
    }

    fn remove_extra(&mut self, keep: &Excludes, level: &Level, mut kept: Vec<OsString>) {
        kept.sort_unstable();
        let there = match names(&level.folder) {
            Ok(there) => there,
            Err(error) => return self.not_removed(&level.below, error),
        };
        for name in there.into_iter().filter(|name| kept.binary_search(name).is_err()) {
            let below = level.below.join(name);
            if let Err(error) = remove_unless(keep, &level.folder, &below, &mut self.report.removed) {
                self.not_removed(&below, error);
            }
        }
    }

    fn not_removed(&self, below: &Path, error: Errno) {
        if error == Errno::BUSY {
            return self.ledger.warn(WarningKind::NotKept, below, ELSEWHERES);
        }
        let detail = format!("the snapshot does not hold it, and it could not be removed: {}", words(error));
        self.ledger.warn(WarningKind::NotRestored, below, detail);
    }

    fn leave(&mut self) {
        if self.passed_over > 0 {
            self.passed_over -= 1;
        } else if let Some(Level { node, folder, below, .. }) = self.levels.pop() {
            self.done(&folder, &node, &below);
        }
    }

    /// Makes one inode that is not a folder, and sets its metadata.
    fn one(
        &mut self,
        node: &Node,
        make: impl FnOnce(&mut Self, &OwnedFd, &OsStr) -> Result<OwnedFd, Errno>,
    ) -> Result<()> {
        let below = self.below(node);
        let made = match self.levels.pop() {
            Some(level) => {
                let made = make(self, &level.folder, &node.name());
                self.levels.push(level);
                made
            }
            // A target that is a file can only be written to.
            None => Err(Errno::NOTSUP),
        };
        match made {
            Ok(inode) => {
                self.done(&inode, node, &below);
                Ok(())
            }
            Err(error) => self.not_restored(&below, error),
        }
    }

    fn make(&mut self, folder: &OwnedFd, name: &OsStr, node: &Node) -> Result<OwnedFd, Errno> {
        let special = |name: &OsStr, kind, device| mknodat(folder, name, kind, PRIVATE_FILE, device);
        let ((), made) = draft(|name| match &node.node_type {
            NodeType::Symlink { .. } => symlinkat(link_target(node), folder, name),
            NodeType::Dev { device } => special(name, FileType::BlockDevice, *device),
            NodeType::Chardev { device } => special(name, FileType::CharacterDevice, *device),
            NodeType::Fifo => special(name, FileType::Fifo, 0),
            NodeType::Socket => special(name, FileType::Socket, 0),
            NodeType::File | NodeType::Dir => Err(Errno::INVAL),
        })?;
        put_in_place(folder, &made, name, &mut self.report.removed)?;
        openat(folder, name, MADE | OFlags::PATH, Mode::empty())
    }

    fn link(&mut self, folder: &OwnedFd, name: &OsStr, first: &Path) -> Result<OwnedFd, Errno> {
        let inode = self.root.reach(first)?;
        // Linking a descriptor itself takes a privilege; linking what this names does not.
        let path = format!("/proc/self/fd/{}", inode.as_raw_fd());
        let ((), made) = draft(|name| linkat(CWD, &path, folder, name, AtFlags::SYMLINK_FOLLOW))?;
        put_in_place(folder, &made, name, &mut self.report.removed)?;
        Ok(inode)
    }

    fn begin(&mut self, node: Node, room: Room) -> Result<()> {
        let below = self.below(&node);
        let opened = match (self.levels.pop(), self.root.kind()) {
            (Some(level), _) => {
                let opened = self.create(&level.folder, &node.name(), room);
                self.levels.push(level);
                opened
            }
            (None, RootKind::File(file)) => {
                ftruncate(file, 0).and_then(|()| Ok((rustix::io::fcntl_dupfd_cloexec(file, 0)?, None)))
            }
            (None, RootKind::Folder(_)) => Err(Errno::ISDIR),
        };
        let (writer, draft) = match opened {
            Ok((file, draft)) => (Some(ContentWriter::new(file)), draft),
            Err(error) => {
                self.not_restored(&below, error)?;
                (None, None)
            }
        };
        self.file = Some(OpenFile { node, below, writer, draft });
        Ok(())
    }

    /// Makes an empty file, always a new one: what has the name now may have other names elsewhere.
    fn create(&mut self, folder: &OwnedFd, name: &OsStr, room: Room) -> Result<(OwnedFd, Option<OsString>), Errno> {
        let create =
            |name: &OsStr| openat(folder, name, MADE | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, PRIVATE_FILE);
        match room {
            Room::Beside => draft(create).map(|(file, draft)| (file, Some(draft))),
            Room::InPlace => {
                remove(folder, name, &mut 0)?;
                create(name).map(|file| (file, None))
            }
        }
    }

    fn piece(&mut self, length: u64, write: impl FnOnce(&mut ContentWriter) -> Result<(), Errno>) -> Result<()> {
        self.ledger.tally.add_bytes(length);
        let Some(writer) = self.file.as_mut().and_then(|file| file.writer.as_mut()) else {
            return Ok(());
        };
        match write(writer) {
            Ok(()) => Ok(()),
            Err(error) => {
                let fatal = fatal(error, self.root.name());
                self.give_up_file(words(error));
                fatal.map_or(Ok(()), Err)
            }
        }
    }

    /// Takes back a file that cannot be completed: a part of it could be taken for the whole.
    fn give_up_file(&mut self, reason: String) {
        if let Some(file) = self.file.as_mut().filter(|file| file.writer.is_some()) {
            file.writer = None;
            if let Some(level) = self.levels.last() {
                discard(&level.folder, file.draft.as_deref().unwrap_or(&file.node.name()));
            }
            self.ledger.warn(WarningKind::NotRestored, &file.below, reason);
        }
    }

    fn commit(&mut self) -> Result<()> {
        let Some(OpenFile { node, below, writer: Some(writer), draft }) = self.file.take() else {
            return Ok(());
        };
        let placed = match (draft, self.levels.last()) {
            (Some(draft), Some(level)) => {
                let (folder, removed) = (&level.folder, &mut self.report.removed);
                let placed = writer.finish().and_then(|()| put_in_place(folder, &draft, &node.name(), removed));
                placed.inspect_err(|_| discard(folder, &draft))
            }
            _ => writer.finish(),
        };
        match placed {
            Ok(()) => {
                self.report.bytes += writer.length();
                self.done(writer.file(), &node, &below);
                Ok(())
            }
            Err(error) => self.not_restored(&below, error),
        }
    }
}
