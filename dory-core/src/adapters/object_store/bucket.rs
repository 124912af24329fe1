//! Makes the place of a store where it is missing.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use futures_util::TryStreamExt;
use object_store::ObjectStore;
use object_store::gcp::GoogleCloudStorage;

use super::bucket_requests::BucketRequests;
use super::connect::{ConnectOptions, amazon, azure, google};
use super::failure::Place;
use super::folder::{refuse_network, translate};
use super::folder_files::FileError;
use super::network_folder::network_file_system;
use crate::domain::store_url::{StoreAccess, StoreScheme};
use crate::error::{Error, ErrorKind, Result};

/// What [`ensure_bucket`] found or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketState {
    /// It was missing and has been made.
    Created,
    /// It was there, and it is the caller's as far as that can be told.
    Present,
    /// It was there and can be used, but the key may not ask whose it is: somebody else may own it.
    PresentOwnerUnknown,
}

/// Sees to it that the store's bucket, container or folder is there.
///
/// On Google Cloud Storage a missing bucket is made in `project`, and one that is there must be of `project`: bucket
/// names are the whole world's, and a name that can be guessed can be taken first. Whose a bucket is can be asked in
/// one way only, by listing the project's buckets, for which a key may lack the permission.
///
/// # Errors
/// `InvalidInput` where a bucket is to be made and no project is named, or the name is no bucket's; `AlreadyExists`
/// where it is somebody else's; `PermissionDenied`; `Unavailable`; `Unsupported` for a folder on a network file system.
pub async fn ensure_bucket(access: &StoreAccess, project: Option<&str>) -> Result<BucketState> {
    ensure_bucket_with(access, project, &ConnectOptions::default()).await
}

/// As [`ensure_bucket`], with other patience, clock or transport.
///
/// # Errors
/// As [`ensure_bucket`].
pub async fn ensure_bucket_with(
    access: &StoreAccess,
    project: Option<&str>,
    options: &ConnectOptions,
) -> Result<BucketState> {
    let requests = || BucketRequests::new(access, options);
    match access.url.scheme {
        StoreScheme::Gs => {
            let client = google(access, options)?;
            if is_there(access, &client).await? {
                return owner(&requests()?, &client, access, project).await;
            }
            let project = project.ok_or_else(|| no_project(access))?;
            requests()?.create_google(&client, project).await
        }
        StoreScheme::S3 => {
            let client = amazon(access, options)?;
            if is_there(access, &client).await? {
                return Ok(BucketState::Present);
            }
            requests()?.create_amazon(&client).await
        }
        StoreScheme::Az => {
            let client = azure(access, options)?;
            if is_there(access, &client).await? {
                return Ok(BucketState::Present);
            }
            requests()?.create_azure(&client).await
        }
        StoreScheme::File => ensure_folder(access).await,
    }
}

const OPERATION: &str = "create store";

/// One page of a listing tells whether there is a bucket and whether the key may read it.
async fn is_there(access: &StoreAccess, client: &dyn ObjectStore) -> Result<bool> {
    let place = Place::of(access);
    match client.list(None).try_next().await {
        Ok(_) => Ok(true),
        Err(error) => {
            let error = place.failure("open store", &access.url.to_string(), &error);
            if error.kind() == ErrorKind::NotFound { Ok(false) } else { Err(error) }
        }
    }
}

async fn owner(
    requests: &BucketRequests<'_>,
    client: &GoogleCloudStorage,
    access: &StoreAccess,
    project: Option<&str>,
) -> Result<BucketState> {
    let Some(project) = project else { return Ok(BucketState::PresentOwnerUnknown) };
    match requests.is_in_project(client, project).await? {
        Some(true) => Ok(BucketState::Present),
        Some(false) => Err(Error::new(
            ErrorKind::AlreadyExists,
            OPERATION,
            access.url.to_string(),
            format!("the bucket is there, but not in project `{project}`"),
        )
        .with_hint("set DORY_STORE to a bucket of your own, or GS_PROJECT_ID to the project that the bucket is in")),
        None => Ok(BucketState::PresentOwnerUnknown),
    }
}

fn no_project(access: &StoreAccess) -> Error {
    Error::new(ErrorKind::InvalidInput, OPERATION, access.url.to_string(), "no project is named to make the bucket in")
        .with_hint("set GS_PROJECT_ID")
}

async fn ensure_folder(access: &StoreAccess) -> Result<BucketState> {
    let url = access.url.clone();
    let made = tokio::task::spawn_blocking(move || make_folder(Path::new(&url.path))).await;
    made.map_err(|error| {
        Error::new(ErrorKind::Internal, OPERATION, access.url.to_string(), "the work was cut off").with_source(error)
    })?
}

fn make_folder(folder: &Path) -> Result<BucketState> {
    let failed =
        |path: &Path, source| translate(folder, OPERATION, "", FileError::Io { path: path.to_owned(), source });
    let present = folder.ancestors().find(|path| path.exists()).unwrap_or(folder);
    if let Some(kind) = network_file_system(present).map_err(|error| failed(present, error))? {
        return Err(refuse_network(folder, &kind));
    }
    if present == folder && folder.is_dir() {
        return Ok(BucketState::Present);
    }
    // For the owner's eyes alone: what is in there is encrypted, but names and sizes are not.
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let reason = format!("no folder can be made in `{}`", present.display());
            Error::new(ErrorKind::InvalidInput, OPERATION, format!("file://{}", folder.display()), reason)
                .with_hint("choose a folder on a disk with DORY_STORE")
        }
        _ => failed(folder, error),
    })?;
    for parent in folder.ancestors().skip(1).take_while(|path| path.starts_with(present)) {
        fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| failed(parent, error))?;
    }
    Ok(BucketState::Created)
}
