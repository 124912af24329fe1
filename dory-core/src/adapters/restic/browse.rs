//! Looking into snapshots: what is in them, and the contents of one file.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use rustic_core::repofile::{Node, NodeType, SnapshotFile, SnapshotSummary};
use rustic_core::{IndexedFullStatus, Repository, TreeId};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::fetch::Fetcher;
use super::go_mode;
use super::open::indexed;
use super::repository::Session;
use super::source::ROOT;
use super::translate::from_rustic;
use crate::domain::entry_path::EntryPath;
use crate::domain::id::SnapshotId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{FileEntry, FileKind};

/// A snapshot, with the index that leads to its contents.
pub(super) struct Browser {
    pub(super) repository: Repository<IndexedFullStatus>,
    top: Option<TreeId>,
    summary: Option<SnapshotSummary>,
    name: String,
}

impl Browser {
    pub(super) fn open(session: &Session, snapshot: &SnapshotId) -> Result<Self> {
        let repository = indexed(&session.backend, &session.key)?;
        let file = find_snapshot(&repository, session.backend.name(), snapshot)?;
        let mut browser = Self { repository, top: None, summary: file.summary, name: snapshot.to_string() };
        browser.top = browser.folder_of_mounts(file.tree)?;
        Ok(browser)
    }

    /// The mounts of another snapshot of the same repository.
    pub(super) fn mounts_of(&self, session: &Session, snapshot: &SnapshotId) -> Result<Vec<Node>> {
        let file = find_snapshot(&self.repository, session.backend.name(), snapshot)?;
        self.folder_of_mounts(file.tree)?.map_or_else(|| Ok(Vec::new()), |tree| self.children(tree))
    }

    fn folder_of_mounts(&self, root: TreeId) -> Result<Option<TreeId>> {
        let mut nodes = self.children(root)?.into_iter();
        Ok(nodes.find(|node| *node.name() == *ROOT.trim_start_matches('/')).and_then(|node| node.subtree))
    }

    /// Inodes and bytes of all the mounts, if these are so many and the snapshot tells.
    pub(super) fn totals(&self, mounts: usize) -> Option<(u64, u64)> {
        let summary = self.summary.as_ref()?;
        // The root and the folder of all mounts are counted there, and not restored.
        let folders = summary.total_dirs_processed.saturating_sub(2);
        let all = self.mounts().ok()?.len() == mounts;
        all.then_some((summary.total_files_processed + folders, summary.total_bytes_processed))
    }

    /// What is in a folder, in the format's order.
    pub(super) fn children(&self, tree: TreeId) -> Result<Vec<Node>> {
        let tree = self.repository.get_tree(&tree);
        let tree = tree.map_err(|error| from_rustic(&error, ErrorKind::Corrupt, "read snapshot", &self.name))?;
        Ok(tree.nodes)
    }

    /// The mounts.
    pub(super) fn mounts(&self) -> Result<Vec<Node>> {
        self.top.map_or_else(|| Ok(Vec::new()), |tree| self.children(tree))
    }

    /// The node at a path; `None` is the folder of all mounts.
    pub(super) fn find(&self, path: &Path) -> Result<Option<Node>> {
        let missing = || {
            let shown = EntryPath::new(path).to_string();
            Error::new(ErrorKind::NotFound, "find", shown, format!("snapshot `{}` does not hold it", self.name))
        };
        let mut found: Option<Node> = None;
        for part in path.components() {
            let name = match part {
                Component::Normal(name) => name,
                Component::RootDir | Component::CurDir => continue,
                Component::ParentDir | Component::Prefix(_) => return Err(missing()),
            };
            let children = match &found {
                None => self.mounts()?,
                Some(Node { subtree: Some(tree), .. }) => self.children(*tree)?,
                Some(_) => return Err(missing()),
            };
            found = Some(children.into_iter().find(|node| node.name() == name).ok_or_else(missing)?);
        }
        Ok(found)
    }
}

/// The record of a snapshot.
pub(super) fn find_snapshot<S: rustic_core::Open>(
    repository: &Repository<S>,
    repository_name: &str,
    snapshot: &SnapshotId,
) -> Result<SnapshotFile> {
    let missing = || {
        let reason = format!("repository `{repository_name}` has no such snapshot");
        Error::new(ErrorKind::NotFound, "find snapshot", snapshot.as_str(), reason)
    };
    let id: rustic_core::Id = snapshot.as_str().parse().map_err(|_| missing())?;
    repository.get_file::<SnapshotFile>(&id.into()).map_err(|error| {
        match from_rustic(&error, ErrorKind::Corrupt, "read snapshot", snapshot.as_str()) {
            error if error.kind() == ErrorKind::NotFound => missing().with_source(error),
            error => error,
        }
    })
}

pub(super) fn list_files(
    session: &Session,
    snapshot: &SnapshotId,
    folder: &EntryPath,
    recursive: bool,
) -> Result<Vec<FileEntry>> {
    let browser = Browser::open(session, snapshot)?;
    let mut entries = Vec::new();
    let mut waiting = VecDeque::new();
    match browser.find(folder.as_path())? {
        None => waiting.extend(browser.mounts()?.into_iter().map(|node| (PathBuf::new(), node))),
        Some(Node { subtree: Some(tree), .. }) => {
            let children = browser.children(tree)?.into_iter();
            waiting.extend(children.map(|node| (folder.to_path_buf(), node)));
        }
        Some(node) => return Ok(vec![entry(folder.to_path_buf(), &node)]),
    }
    while let Some((above, node)) = waiting.pop_front() {
        let path = above.join(node.name());
        if let Some(tree) = node.subtree.filter(|_| recursive) {
            waiting.extend(browser.children(tree)?.into_iter().map(|child| (path.clone(), child)));
        }
        entries.push(entry(path, &node));
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

fn entry(path: PathBuf, node: &Node) -> FileEntry {
    let (kind, link_target) = match &node.node_type {
        NodeType::File => (FileKind::File, None),
        NodeType::Dir => (FileKind::Folder, None),
        NodeType::Symlink { .. } => (FileKind::Symlink, Some(EntryPath::new(link_target(node)))),
        NodeType::Dev { .. } | NodeType::Chardev { .. } => (FileKind::Device, None),
        NodeType::Fifo => (FileKind::Fifo, None),
        NodeType::Socket => (FileKind::Socket, None),
    };
    FileEntry {
        path: EntryPath::new(path),
        kind,
        bytes: Some(if kind == FileKind::File { node.meta.size } else { 0 }),
        mode: Some(go_mode::permissions(node)),
        owner: node.meta.uid.zip(node.meta.gid),
        modified: node.meta.mtime,
        link_target,
    }
}

/// Where a symbolic link leads.
pub(super) fn link_target(node: &Node) -> &Path {
    match &node.node_type {
        NodeType::Symlink { linktarget_raw: Some(raw), .. } => Path::new(OsStr::from_bytes(raw)),
        NodeType::Symlink { linktarget, .. } => Path::new(linktarget),
        _ => Path::new(""),
    }
}

/// Contents on their way from the thread that reads to the task that writes.
pub(super) fn pieces() -> (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
    mpsc::channel(2)
}

pub(super) fn read_file(
    session: &Session,
    snapshot: &SnapshotId,
    path: &EntryPath,
    out: &mpsc::Sender<Bytes>,
) -> Result<()> {
    let browser = Browser::open(session, snapshot)?;
    let not_a_file = || Error::invalid("path", path.to_string(), "it is no regular file");
    let node = browser.find(path.as_path())?.filter(Node::is_file).ok_or_else(not_a_file)?;
    let content = node.content.unwrap_or_default();
    let mut fetcher = Fetcher::new(&session.backend, &browser.repository);
    fetcher.stream(&content, |bytes| {
        out.blocking_send(bytes)
            .map_err(|_| Error::new(ErrorKind::Cancelled, "read", path.to_string(), "nobody wants the rest"))
    })
}

pub(super) async fn write_out(
    mut pieces: mpsc::Receiver<Bytes>,
    out: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<u64> {
    let fail = |error: std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull => ErrorKind::Full,
            std::io::ErrorKind::BrokenPipe => ErrorKind::Cancelled,
            _ => ErrorKind::Internal,
        };
        Error::new(kind, "write", "contents", "the receiver does not take them").with_source(error)
    };
    let mut length = 0;
    while let Some(piece) = pieces.recv().await {
        out.write_all(&piece).await.map_err(fail)?;
        length += piece.len() as u64;
    }
    out.flush().await.map_err(fail)?;
    Ok(length)
}
