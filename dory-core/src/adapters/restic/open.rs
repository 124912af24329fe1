//! Finding, making and unlocking a repository.

use std::sync::Arc;

use rustic_core::repofile::MasterKey;
use rustic_core::{
    ConfigOptions, Credentials, FileType, Id, IndexedFullStatus, IndexedIdsStatus, KeyOptions, OpenStatus,
    ProgressBars, ReadBackend, Repository, RepositoryBackends, RepositoryOptions, RusticError, RusticResult,
};

use super::backend::StoreBackend;
use super::lock::wait_for_turn;
use super::translate::{carried, from_rustic, wrong_key};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::OpenMode;

const OPERATION: &str = "open repository";

/// The size of a pack: restic's own default, half of `rustic_core`'s, which holds several of them in memory.
const PACK_SIZE: &str = "16 MiB";

/// How often an index may be replaced while it is read.
const INDEX_ATTEMPTS: u32 = 3;

/// What the password unlocked: what everything in the repository is encrypted with.
pub(super) fn unlock(backend: &Arc<StoreBackend>, password: &str, mode: OpenMode) -> Result<MasterKey> {
    if !backend.has_config()? {
        match mode {
            OpenMode::Existing => return Err(missing(backend.name())),
            OpenMode::CreateIfMissing => {
                if let Some(key) = create(backend, password)? {
                    return Ok(key);
                }
            }
        }
    }
    let key = find_key(backend, password)?;
    if mode == OpenMode::CreateIfMissing {
        backend.prove_writable()?;
        wait_for_turn(backend, &key)?;
    }
    Ok(key)
}

pub(super) fn missing(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, OPERATION, name, "there is none")
}

/// Makes the repository; `None` if somebody else was faster.
fn create(backend: &Arc<StoreBackend>, password: &str) -> Result<Option<MasterKey>> {
    let mut options = ConfigOptions::default();
    options.set_datapack_size = PACK_SIZE.parse().ok();
    let result = repository(backend, rustic_core::NoProgressBars {}).and_then(|repository| {
        let key = KeyOptions::default().with_created(true);
        repository.init(&Credentials::password(password), &key, &options)
    });
    match result {
        Ok(repository) => Ok(Some(repository.key())),
        Err(error) if carried(&error).is_some_and(|error| error.kind() == ErrorKind::AlreadyExists) => {
            // The key was written first, for a repository that never came to be.
            for key in backend.keys_written() {
                backend.delete(FileType::Key, &key)?;
            }
            Ok(None)
        }
        Err(error) => Err(from_rustic(&error, ErrorKind::Internal, "make repository", backend.name())),
    }
}

/// Finds the key that the password opens, and that opens the repository.
///
/// One that the password opens but that does not open the repository was left by somebody who lost the race to make
/// it and died before taking it back. restic would stumble over it, so it is removed.
fn find_key(backend: &Arc<StoreBackend>, password: &str) -> Result<MasterKey> {
    let fail = |error: &RusticError| from_rustic(error, ErrorKind::Corrupt, OPERATION, backend.name());
    let mut keys = backend.list(FileType::Key).map_err(|error| fail(&error))?;
    keys.sort_unstable();
    let mut astray: Vec<(Id, Error)> = Vec::new();
    let mut found = None;
    for key in keys {
        let alone = Arc::new(backend.with_only_key(key));
        match open(&alone, &Credentials::password(password), rustic_core::NoProgressBars {}) {
            Ok(repository) => {
                found = Some(repository.key());
                break;
            }
            Err(error) if error.is_incorrect_password() => {}
            Err(error) => match fail(&error) {
                // It was taken back meanwhile.
                error if error.kind() == ErrorKind::NotFound => {}
                error if error.kind() == ErrorKind::Corrupt => astray.push((key, error)),
                error => return Err(error),
            },
        }
    }
    let Some(found) = found else {
        let damage = astray.into_iter().next().map(|(_, error)| error);
        return Err(damage.unwrap_or_else(|| wrong_key(OPERATION, backend.name())));
    };
    for (key, _) in astray {
        backend.delete(FileType::Key, &key)?;
    }
    Ok(found)
}

fn repository(backend: &Arc<StoreBackend>, bars: impl ProgressBars) -> RusticResult<Repository<()>> {
    let backends = RepositoryBackends::new(Arc::<StoreBackend>::clone(backend), None);
    Repository::new_with_progress(&RepositoryOptions::default().no_cache(true), &backends, bars)
}

fn open(
    backend: &Arc<StoreBackend>,
    credentials: &Credentials,
    bars: impl ProgressBars,
) -> RusticResult<Repository<OpenStatus>> {
    repository(backend, bars)?.open(credentials)
}

/// An unlocked repository, as `rustic_core` works on it.
pub(super) fn opened(
    backend: &Arc<StoreBackend>,
    key: &MasterKey,
    bars: impl ProgressBars,
) -> Result<Repository<OpenStatus>> {
    if !backend.has_config()? {
        return Err(missing(backend.name()));
    }
    open(backend, &Credentials::Masterkey(key.clone()), bars)
        .map_err(|error| from_rustic(&error, ErrorKind::Corrupt, OPERATION, backend.name()))
}

/// With its whole index: what reading contents takes.
pub(super) fn indexed(backend: &Arc<StoreBackend>, key: &MasterKey) -> Result<Repository<IndexedFullStatus>> {
    with_index(backend, || opened(backend, key, rustic_core::NoProgressBars {}), Repository::to_indexed)
}

/// With an index of what is there, not where: what writing takes.
pub(super) fn indexed_for_writing(
    backend: &Arc<StoreBackend>,
    key: &MasterKey,
    bars: &(impl ProgressBars + Clone),
) -> Result<Repository<IndexedIdsStatus>> {
    with_index(backend, || opened(backend, key, bars.clone()), Repository::to_indexed_ids)
}

fn with_index<T>(
    backend: &Arc<StoreBackend>,
    open: impl Fn() -> Result<Repository<OpenStatus>>,
    index: impl Fn(Repository<OpenStatus>) -> RusticResult<T>,
) -> Result<T> {
    for _ in 1..INDEX_ATTEMPTS {
        match index(open()?) {
            Err(error) if carried(&error).is_some_and(|error| error.kind() == ErrorKind::Conflict) => {}
            result => return result.map_err(|error| index_error(backend, &error)),
        }
    }
    index(open()?).map_err(|error| index_error(backend, &error))
}

fn index_error(backend: &StoreBackend, error: &RusticError) -> Error {
    from_rustic(error, ErrorKind::Corrupt, "read the index of", backend.name())
}
