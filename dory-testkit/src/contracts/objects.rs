//! A store as it is beneath its port: for promises about what the port itself does not show.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

/// The objects of one store. Names are relative to the store's root, with `/` between their parts.
#[async_trait]
pub trait StoreObjects: Debug + Send + Sync {
    /// The names of all objects at `folder` and below, sorted; of the whole store where it is empty.
    async fn names(&self, folder: &str) -> Vec<String>;

    /// The bytes of one.
    async fn read(&self, name: &str) -> Vec<u8>;

    /// Writes one, whatever was there.
    async fn write(&self, name: &str, bytes: Vec<u8>);
}

/// Flips the middle byte of the largest object below `folder`, as a failing disk does.
///
/// # Panics
/// If nothing is there.
pub async fn flip_a_byte(objects: &dyn StoreObjects, folder: &str) {
    let mut largest: Option<(String, Vec<u8>)> = None;
    for name in objects.names(folder).await {
        let bytes = objects.read(&name).await;
        if largest.as_ref().is_none_or(|(_, known)| known.len() < bytes.len()) {
            largest = Some((name, bytes));
        }
    }
    let (name, mut bytes) = largest.filter(|(_, bytes)| !bytes.is_empty()).expect("the store holds something");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    objects.write(&name, bytes).await;
}

/// The files of a store that is a folder.
#[derive(Debug)]
pub struct FolderObjects(PathBuf);

impl FolderObjects {
    /// Of the store at `root`, which need not be there yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }
}

#[async_trait]
impl StoreObjects for FolderObjects {
    async fn names(&self, folder: &str) -> Vec<String> {
        let mut names = Vec::new();
        gather(&self.0, &self.0.join(folder), &mut names);
        names.sort();
        names
    }

    async fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }

    async fn write(&self, name: &str, bytes: Vec<u8>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn gather(root: &Path, folder: &Path, names: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            gather(root, &entry.path(), names);
        } else {
            let path = entry.path();
            names.push(path.strip_prefix(root).unwrap().to_str().expect("a name in UTF-8").to_owned());
        }
    }
}
