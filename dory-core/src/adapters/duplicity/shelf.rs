//! A repository's files as files: their sizes, and deleting some. duplicity itself cannot tell sizes, deletes chains
//! only from the old end, and never the last.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::Deserialize;

use super::child::run_for_output;
use super::session::{Session, blocking};
use super::target::FilesAt;
use crate::error::{Error, ErrorKind, Result};

/// One file of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StoredFile {
    pub(super) name: String,
    #[serde(rename = "Size")]
    pub(super) bytes: u64,
}

/// What shows that a folder can be written to. It is no name of duplicity's, which passes it over.
const PROBE: &str = ".dory-probe";

/// What rclone answers where there is nothing.
const NO_SUCH_FOLDER: i32 = 3;

impl Session {
    /// All files in the repository's folder; none where there is no folder.
    pub(super) async fn stored_files(&self) -> Result<Vec<StoredFile>> {
        match &self.target.files {
            FilesAt::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || {
                    files_in(&folder).map_err(|error| {
                        let path = folder.display().to_string();
                        Error::new(ErrorKind::Unavailable, "list files in", path, "the folder cannot be read")
                            .with_source(error)
                    })
                })
                .await
            }
            FilesAt::Remote(address) => {
                let run = self.run_folder().await?;
                let mut invocation = self.rclone(&run, "lsjson")?;
                invocation
                    .argument("--files-only")
                    .argument("--no-modtime")
                    .argument("--no-mimetype")
                    .argument(address);
                let (status, output, words) = run_for_output(&invocation).await?;
                if status.code() == Some(NO_SUCH_FOLDER) {
                    return Ok(Vec::new());
                }
                if !status.success() {
                    return Err(self.rclone_failed("list files in", &words));
                }
                serde_json::from_slice(&output).map_err(|error| {
                    Error::new(ErrorKind::Internal, "list files in", &self.location, "rclone's answer makes no sense")
                        .with_source(error)
                })
            }
        }
    }

    /// Deletes files, in their order; those that are gone are no error.
    pub(super) async fn delete_files(&self, names: Vec<String>) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        match &self.target.files {
            FilesAt::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || {
                    names.iter().try_for_each(|name| delete(&folder.join(name))).map_err(|error| {
                        let path = folder.display().to_string();
                        Error::new(ErrorKind::PermissionDenied, "delete files in", path, "one cannot be deleted")
                            .with_source(error)
                    })
                })
                .await
            }
            FilesAt::Remote(address) => {
                let run = self.run_folder().await?;
                let list = run.join("names");
                let mut invocation = self.rclone(&run, "delete")?;
                // One after the other, since their order matters if this is cut short.
                invocation.argument("--transfers=1").argument("--checkers=1");
                invocation.option("--files-from-raw", &list).argument(address);
                let write = move || {
                    let written =
                        fs::File::create(&list).and_then(|mut file| file.write_all(names.join("\n").as_bytes()));
                    written.map_err(|error| {
                        Error::new(ErrorKind::Full, "write list", list.display().to_string(), "it cannot be written")
                            .with_source(error)
                    })
                };
                blocking(write).await?;
                let (status, _, words) = run_for_output(&invocation).await?;
                if status.success() || status.code() == Some(NO_SUCH_FOLDER) {
                    return Ok(());
                }
                Err(self.rclone_failed("delete files in", &words))
            }
        }
    }

    /// Proves that files can be made in the repository's folder, which is made if it is missing.
    pub(super) async fn try_folder(&self, folder: &Path) -> Result<()> {
        let (folder, location) = (folder.to_owned(), self.location.clone());
        let probe = move || {
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(PROBE), "this may be deleted\n")?;
            delete(&folder.join(PROBE))
        };
        blocking(move || {
            probe().map_err(|error| {
                let (kind, reason, hint) = match error.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
                        ErrorKind::Full,
                        "there is no space left",
                        "free space in the store, or choose another with DORY_STORE",
                    ),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
                        ErrorKind::PermissionDenied,
                        "its folder may not be written to",
                        "whoever makes backups must be able to write there: look at the owner and the mode",
                    ),
                    _ => (ErrorKind::Unavailable, "its folder cannot be written to", "look at the store's disk"),
                };
                Error::new(kind, "write to repository", location, reason).with_hint(hint).with_source(error)
            })
        })
        .await
    }

    fn rclone_failed(&self, operation: &str, words: &str) -> Error {
        let refused = ["403", "AccessDenied", "Forbidden", "SignatureDoesNotMatch", "401"];
        let (kind, reason) = if refused.iter().any(|sign| words.contains(sign)) {
            (ErrorKind::PermissionDenied, "the store refuses the credentials")
        } else {
            (ErrorKind::Unavailable, "rclone failed")
        };
        let last = words.lines().last().unwrap_or_default().to_owned();
        Error::new(kind, operation, &self.location, reason).with_source(io::Error::other(last))
    }
}

fn files_in(folder: &Path) -> io::Result<Vec<StoredFile>> {
    let mut files = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let meta = match entry.metadata() {
            Ok(meta) if meta.is_file() => meta,
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if let Ok(name) = entry.file_name().into_string() {
            files.push(StoredFile { name, bytes: meta.len() });
        }
    }
    Ok(files)
}

fn delete(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rclones_answer_is_understood() {
        let answer = r#"[{"Path":"a.gpg","Name":"a.gpg","Size":123,"ModTime":"","IsDir":false}]"#;
        let files: Vec<StoredFile> = serde_json::from_str(answer).unwrap();
        assert_eq!(files, [StoredFile { name: "a.gpg".into(), bytes: 123 }]);
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing() {
        assert!(files_in(Path::new("/no/such/folder")).unwrap().is_empty());
    }
}
