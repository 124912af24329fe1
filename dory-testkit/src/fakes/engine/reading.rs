//! How the fake engine reads folders.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind as IoKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::event::{Progress, Warning, WarningKind};
use dory_core::ports::{Capabilities, Events, MountFolder};
use dory_core::{Error, Result};
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::Hook;
use super::node::{BlobId, Content, Node, attributes_of, entry_path};

/// Reads sources, one inode at a time.
pub(super) struct Reader<'a> {
    pub(super) exclude: Gitignore,
    pub(super) events: &'a Events,
    pub(super) hook: Option<Hook>,
    pub(super) capabilities: Capabilities,
    /// Keeps contents and gives their name.
    pub(super) keep: &'a (dyn Fn(Vec<u8>) -> Result<BlobId> + Send + Sync),
    pub(super) nodes: BTreeMap<EntryPath, Node>,
    pub(super) progress: Progress,
}

/// Patterns in gitignore's syntax, relative to each source.
pub(super) fn patterns(lines: &[String]) -> Result<Gitignore> {
    let bad = |line: &str, error: ignore::Error| Error::invalid("exclude", line, "it is no pattern").with_source(error);
    let mut builder = GitignoreBuilder::new("");
    for line in lines {
        builder.add_line(None, line).map_err(|error| bad(line, error))?;
    }
    builder.build().map_err(|error| bad("", error))
}

impl Reader<'_> {
    /// Reads one source; others may act between any two inodes.
    pub(super) async fn read(&mut self, source: &MountFolder) -> Result<()> {
        let key = source.key.as_str();
        let mut first_names = BTreeMap::new();
        let mut waiting = vec![PathBuf::new()];
        while let Some(rest) = waiting.pop() {
            match self.read_inode(&source.path, &rest, &mut first_names) {
                Ok(None) => {}
                Ok(Some((node, changed))) => {
                    if node.is_folder() {
                        match names(&join(&source.path, &rest)) {
                            // Popped from the end, they come in the order of their names.
                            Ok(names) => waiting.extend(names.into_iter().rev().map(|name| rest.join(name))),
                            Err(error) => self.warn_io(key, &rest, &error),
                        }
                    }
                    if changed {
                        self.warn(WarningKind::ChangedWhileRead, key, &rest, "its size or time changed");
                    }
                    self.progress.files += 1;
                    self.progress.bytes += node.bytes();
                    self.nodes.insert(entry_path(key, &rest), node);
                    self.events.progress(self.progress);
                }
                Err(Trouble::Vault(error)) => return Err(error),
                Err(Trouble::Io(error)) if rest.as_os_str().is_empty() => {
                    let path = source.path.display().to_string();
                    return Err(Error::invalid("source", path, "it cannot be read").with_source(error));
                }
                Err(Trouble::Io(error)) => self.warn_io(key, &rest, &error),
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Reads one inode, and tells whether it changed meanwhile; `None` if it is excluded.
    fn read_inode(
        &self,
        root: &Path,
        rest: &Path,
        first_names: &mut BTreeMap<(u64, u64), PathBuf>,
    ) -> Result<Option<(Node, bool)>, Trouble> {
        let real = join(root, rest);
        // A mount's own path may be a link to it; what is below is taken as it is.
        let top = rest.as_os_str().is_empty();
        let look = || if top { fs::metadata(&real) } else { fs::symlink_metadata(&real) };
        let meta = look()?;
        if !top && self.exclude.matched(rest, meta.is_dir()).is_ignore() {
            return Ok(None);
        }
        if let Some(hook) = &self.hook {
            hook(&real);
        }
        let mut changed = false;
        let content = if meta.is_file() {
            let mut contents = Vec::new();
            fs::File::open(&real)?.read_to_end(&mut contents)?;
            changed = look().is_ok_and(|now| moment(&now) != moment(&meta));
            Content::File { bytes: contents.len() as u64, blob: (self.keep)(contents).map_err(Trouble::Vault)? }
        } else {
            Content::of_special(&real, &meta)?
        };
        let attributes =
            if self.capabilities.keeps_extended_attributes { attributes_of(&real) } else { BTreeMap::new() };
        let mut node = Node::new(&meta, content, attributes);
        if self.capabilities.keeps_hard_links && meta.nlink() > 1 && !meta.is_dir() {
            let first = first_names.entry((meta.dev(), meta.ino())).or_insert_with(|| rest.to_path_buf());
            node.same_as = (first != rest).then(|| first.clone());
        }
        Ok(Some((node, changed)))
    }

    fn warn_io(&self, key: &str, rest: &Path, error: &io::Error) {
        let kind = if error.kind() == IoKind::NotFound { WarningKind::Vanished } else { WarningKind::Unreadable };
        self.warn(kind, key, rest, &error.to_string());
    }

    fn warn(&self, kind: WarningKind, key: &str, rest: &Path, detail: &str) {
        self.events.warn(Warning { kind, path: entry_path(key, rest), detail: detail.to_owned() });
    }
}

/// What is otherwise after a file was written.
fn moment(meta: &Metadata) -> (u64, i64, i64, i64, i64) {
    (meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec())
}

/// Why an inode could not be read.
enum Trouble {
    Io(io::Error),
    Vault(Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// `root` itself for an empty `rest`: a trailing slash would make a folder of a file.
pub(super) fn join(root: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { root.to_path_buf() } else { root.join(rest) }
}
