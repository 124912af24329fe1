//! One look at a repository: the names of its files, and Dory's book, whose reading proves the key.

use std::fs;
use std::io;
use std::ops::ControlFlow;

use super::book::Book;
use super::collection::Collection;
use super::command::RunFolder;
use super::exit::{Failure, Phase};
use super::log::{Level, Record, unescape};
use super::names::SetTime;
use super::session::{Cache, Outcome, Session, blocking};
use super::target::FilesAt;
use crate::error::{Error, ErrorKind, Result};

/// What a look found.
#[derive(Debug)]
pub(super) struct Look {
    /// The backup sets.
    pub(super) collection: Collection,
    /// The sets of the book; the newest holds it.
    pub(super) books: Collection,
    /// `None` where there is none.
    pub(super) book: Option<Book>,
}

impl Look {
    /// Looks. Without a book, the key is not proven.
    ///
    /// # Errors
    /// `WrongKey`; the store's errors.
    pub(super) async fn at(session: &Session, phase: Phase) -> Result<Self> {
        if let FilesAt::Folder(folder) = &session.target.files {
            // duplicity would make it.
            let folder = folder.clone();
            if blocking(move || is_missing(&folder)).await? {
                return Ok(Self { collection: Collection::default(), books: Collection::default(), book: None });
            }
        }
        let run = session.run_folder().await?;
        let (mut look, failure) = Self::once(session, &run, phase, None).await?;
        session.check_encryption(&look.books)?;
        let Some(failure) = failure else { return Ok(look) };
        let Some(newest) = look.books.newest().map(|set| set.time.clone()) else {
            // There is no book, and duplicity says so as an exception.
            if failure.is_exception("CollectionsError") {
                return Ok(look);
            }
            return Err(failure.into_error("open repository", &session.location, phase));
        };
        if look.books.leftovers.is_empty() {
            return Err(failure.into_error("open repository", &session.location, phase));
        }
        // A writer that was killed left half a book, and duplicity tried to read that one.
        let run = session.run_folder().await?;
        let (again, failure) = Self::once(session, &run, phase, Some(&newest)).await?;
        if let Some(failure) = failure {
            return Err(failure.into_error("open repository", &session.location, phase));
        }
        look.book = again.book;
        Ok(look)
    }

    async fn once(
        session: &Session,
        run: &RunFolder,
        phase: Phase,
        time: Option<&SetTime>,
    ) -> Result<(Self, Option<Failure>)> {
        let to = run.join("book");
        let mut invocation = session.invocation(run, "restore", Cache::Fresh, phase);
        invocation.argument("-v9").option("--file-prefix", Book::PREFIX).option("--metadata-sync-mode", "partial");
        if let Some(time) = time {
            invocation.option("--restore-time", time.as_str());
        }
        invocation.argument(&session.target.url).argument(&to);
        let mut names = None;
        let outcome = session
            .run(&invocation, |record| {
                if names.is_none() {
                    names = listing(record);
                }
                ControlFlow::Continue(())
            })
            .await?;
        let failure = match outcome {
            Outcome::Failed(failure) if names.is_none() => {
                return Err(failure.into_error("open repository", &session.location, phase));
            }
            Outcome::Failed(failure) => Some(failure),
            Outcome::Done | Outcome::Stopped => None,
        };
        let names = names.ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "open repository",
                &session.location,
                "this duplicity does not log the files that it finds",
            )
            .with_hint("duplicity 3.2.1 does; Dory's own image has it (scripts/image.sh builds it)")
        })?;
        let names = || names.iter().map(String::as_str);
        let mut look = Self {
            collection: Collection::from_names("", names()),
            books: Collection::from_names(Book::PREFIX, names()),
            book: None,
        };
        if failure.is_none() {
            let path = to.join(Book::FILE);
            let text =
                blocking(move || fs::read(&path).map_err(|error| book_error("it is not there").with_source(error)));
            let book: Book = serde_json::from_slice(&text.await?)
                .map_err(|error| book_error("it is not in a form that Dory knows").with_source(error))?;
            if book.format > Book::FORMAT {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "read notes on snapshots",
                    &session.location,
                    format!("they are of format {}, and this Dory knows {}", book.format, Book::FORMAT),
                )
                .with_hint("use a newer Dory"));
            }
            look.book = Some(book);
        }
        Ok((look, failure))
    }
}

impl Session {
    /// Compares names of files, which tell whether they are encrypted, with what we have.
    fn check_encryption(&self, books: &Collection) -> Result<()> {
        let Some(newest) = books.newest() else { return Ok(()) };
        let (reason, hint) = match (newest.files.encrypted, &self.password) {
            (true, None) => {
                ("it is encrypted, and there is no key", "set DORY_PASSPHRASE to the key that it was made with")
            }
            (false, Some(_)) => ("it is not encrypted, and a key is set", "set DORY_ENCRYPTION=none for this store"),
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::WrongKey, "open repository", &self.location, reason).with_hint(hint))
    }
}

fn book_error(reason: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "read notes on snapshots", Book::FILE, reason)
}

fn is_missing(folder: &std::path::Path) -> Result<bool> {
    match fs::metadata(folder) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => {
            let kind = match error.kind() {
                io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                _ => ErrorKind::Unavailable,
            };
            Err(Error::new(kind, "open repository", folder.display().to_string(), "the folder cannot be looked at")
                .with_source(error))
        }
    }
}

/// The names that duplicity found in the repository, if this is the record that lists them.
pub(super) fn listing(record: &Record) -> Option<Vec<String>> {
    if record.level != Level::Debug {
        return None;
    }
    let list = record.text.strip_prefix("Extracting backup chains from list of files: [")?.strip_suffix(']')?;
    Some(python_strings(list))
}

/// Reads what is between the brackets of a Python list of strings.
fn python_strings(list: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut rest = list;
    while let Some(start) = rest.find(['\'', '"']) {
        let quote = rest.as_bytes()[start];
        let body = &rest[start + 1..];
        let mut escaped = false;
        let end = body.bytes().position(|byte| {
            let ends = byte == quote && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let Some(end) = end else { break };
        strings.push(String::from_utf8_lossy(&unescape(&body[..end])).into_owned());
        rest = &body[end + 1..];
    }
    strings
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_python_list_is_read() {
        assert_eq!(
            python_strings(r#"'a.gpg', "it's", 'back\\slash', 'q\'q'"#),
            ["a.gpg", "it's", "back\\slash", "q'q"]
        );
        assert!(python_strings("").is_empty());
    }

    proptest! {
        #[test]
        fn no_list_upsets_the_reader(list in ".{0,60}") {
            let _ = python_strings(&list);
        }
    }
}
