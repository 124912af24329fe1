//! What a restore has to do, in order and with the contents at hand, a window at a time.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::mem;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::vec;

use rustic_core::DataId;
use rustic_core::repofile::Node;
use rustix::fs::{AtFlags, fstatvfs, statat};

use super::existing::{holds, open_folder};
use super::root::{Root, RootKind};
use crate::adapters::restic::browse::Browser;
use crate::adapters::restic::fetch::{Fetcher, Pieces, WINDOW};
use crate::adapters::restic::repository::Session;
use crate::error::{Error, ErrorKind, Result};

/// Steps of one window at most: they take memory too.
const STEPS: usize = 2048;

/// Bytes that others may need meanwhile: what is planned already and not written yet, above all.
const MARGIN: u64 = 64 << 20;

/// One thing to do. Names are those in the folder entered last.
pub(super) enum Step {
    /// Make a folder; what follows is in it. These are the names that the snapshot holds there.
    Enter(Node, Vec<OsString>),
    /// The folder entered last is complete.
    Leave,
    /// Make an inode that has no contents.
    Make(Node),
    /// A regular file that has the right contents already.
    Keep(Node),
    /// Another name for what was made under this path below the root.
    Link(Node, PathBuf),
    /// Begin a regular file.
    Begin(Node, Room),
    /// Its next piece, of this length.
    Piece(DataId, u64),
    /// Its next piece is all zeros.
    Zeros(u64),
    /// It is complete.
    Commit,
    /// Its contents are not to be had.
    Abandon(Node, String),
}

/// Where a file is written until it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Beside the old one, which stays until then.
    Beside,
    /// In the place of the old one, for there is no room for both; all of its contents have been read once before.
    InPlace,
}

/// Steps, and the contents they need.
#[derive(Default)]
pub(super) struct Window {
    pub(super) steps: Vec<Step>,
    pub(super) pieces: Pieces,
}

/// Walks a snapshot and prepares windows.
pub(super) struct Planner<'a> {
    browser: &'a Browser,
    fetcher: Fetcher<'a>,
    root: &'a Root,
    windows: SyncSender<Window>,
    steps: Vec<Step>,
    wanted: HashSet<DataId>,
    wanted_bytes: u64,
    first_names: HashMap<(u64, u64), FirstName>,
}

/// The first of several names of an inode.
struct FirstName {
    below: PathBuf,
    size: u64,
    content: Option<DataId>,
}

/// A folder being walked.
struct Level {
    nodes: vec::IntoIter<Node>,
    below: PathBuf,
    /// What is there of it now, where that is a folder too.
    existing: Option<OwnedFd>,
}

/// Why planning ends early.
enum Stop {
    /// Nobody takes windows any more: whoever wrote them failed, and tells so.
    Unwanted,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<'a> Planner<'a> {
    pub(super) fn new(session: &'a Session, browser: &'a Browser, root: &'a Root, windows: SyncSender<Window>) -> Self {
        Self {
            browser,
            fetcher: Fetcher::new(&session.backend, &browser.repository),
            root,
            windows,
            steps: Vec::new(),
            wanted: HashSet::new(),
            wanted_bytes: 0,
            first_names: HashMap::new(),
        }
    }

    /// Plans all of a mount.
    pub(super) fn run(mut self, mount: Node) -> Result<()> {
        match self.plan(mount).and_then(|()| self.flush()) {
            Ok(()) | Err(Stop::Unwanted) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn plan(&mut self, mount: Node) -> Result<(), Stop> {
        let existing = match self.root.kind() {
            RootKind::Folder(root) => open_folder(root, ".".as_ref()),
            RootKind::File(_) => None,
        };
        if !mount.is_dir() {
            return self.plan_entry(mount, Path::new(""), None);
        }
        let mut levels = vec![self.enter(mount, PathBuf::new(), existing)?];
        while let Some(level) = levels.last_mut() {
            let Some(node) = level.nodes.next() else {
                levels.pop();
                self.push(Step::Leave)?;
                continue;
            };
            let name = node.name().into_owned();
            let below = level.below.join(&name);
            if node.is_dir() {
                let existing = level.existing.as_ref().and_then(|folder| open_folder(folder, &name));
                levels.push(self.enter(node, below, existing)?);
            } else {
                self.plan_entry(node, &below, level.existing.as_ref())?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, node: Node, below: PathBuf, existing: Option<OwnedFd>) -> Result<Level, Stop> {
        let nodes = node.subtree.map_or_else(|| Ok(Vec::new()), |tree| self.browser.children(tree))?;
        let names = nodes.iter().map(|node| node.name().into_owned()).collect();
        self.push(Step::Enter(node, names))?;
        Ok(Level { nodes: nodes.into_iter(), below, existing })
    }

    fn plan_entry(&mut self, mut node: Node, below: &Path, folder: Option<&OwnedFd>) -> Result<(), Stop> {
        if let Some(first) = self.first_name(&node, below) {
            return self.push(Step::Link(node, first));
        }
        if !node.is_file() {
            return self.push(Step::Make(node));
        }
        let mut content = Vec::new();
        for id in node.content.take().unwrap_or_default() {
            match self.fetcher.length(&id) {
                Ok(length) => content.push((id, length)),
                Err(error) => return self.push(Step::Abandon(node, error.to_string())),
            }
        }
        // A file of several names is made anew: the others it has now may not be those it should have.
        if node.meta.links <= 1 && folder.is_some_and(|folder| holds(folder, &node.name(), &content)) {
            return self.push(Step::Keep(node));
        }
        let room = self.room_for(&node, folder);
        if room == Room::InPlace
            && let Err(error) = self.prove(&content)
        {
            return if error.kind() == ErrorKind::Corrupt {
                self.push(Step::Abandon(node, error.to_string()))
            } else {
                Err(error.into())
            };
        }
        self.push(Step::Begin(node, room))?;
        for (id, length) in content {
            if self.fetcher.is_zeros(&id) {
                self.push(Step::Zeros(length))?;
                continue;
            }
            if self.wanted.insert(id) {
                self.wanted_bytes += length;
            }
            self.push(Step::Piece(id, length))?;
        }
        self.push(Step::Commit)
    }

    /// A file that is mounted can only be written to. Elsewhere, the new one comes beside the old one if it fits.
    fn room_for(&self, node: &Node, folder: Option<&OwnedFd>) -> Room {
        let RootKind::Folder(root) = self.root.kind() else {
            return Room::InPlace;
        };
        let Some(folder) = folder else {
            return Room::Beside;
        };
        let frees = statat(folder, &*node.name(), AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| stat.st_blocks > 0);
        let room = fstatvfs(root).map_or(u64::MAX, |room| room.f_bavail.saturating_mul(room.f_frsize));
        if frees && room < node.meta.size.saturating_add(MARGIN) { Room::InPlace } else { Room::Beside }
    }

    /// Reads contents, to know that they can be had.
    fn prove(&mut self, content: &[(DataId, u64)]) -> Result<()> {
        let ids: Vec<_> = content.iter().map(|(id, _)| *id).collect();
        self.fetcher.stream(&ids, |_| Ok(()))
    }

    /// The path under which the same inode was planned before, if it was.
    fn first_name(&mut self, node: &Node, below: &Path) -> Option<PathBuf> {
        if node.meta.links <= 1 || node.meta.inode == 0 {
            return None;
        }
        let content = node.content.as_ref().and_then(|content| content.first().copied());
        let size = node.meta.size;
        match self.first_names.get(&(node.meta.device_id, node.meta.inode)) {
            // A number that was given to another file between the two is no common inode.
            Some(first) if first.size == size && first.content == content => Some(first.below.clone()),
            _ => {
                let first = FirstName { below: below.to_path_buf(), size, content };
                self.first_names.insert((node.meta.device_id, node.meta.inode), first);
                None
            }
        }
    }

    fn push(&mut self, step: Step) -> Result<(), Stop> {
        self.steps.push(step);
        if self.steps.len() >= STEPS || self.wanted_bytes >= WINDOW { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let steps = mem::take(&mut self.steps);
        let pieces = self.fetcher.fetch(self.wanted.drain())?;
        self.wanted_bytes = 0;
        self.windows.send(Window { steps, pieces }).map_err(|_| Stop::Unwanted)
    }
}
