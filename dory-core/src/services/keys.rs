//! What plain restic and duplicity need to open a backup's repositories without Dory.

use serde::Serialize;

use super::Dory;
use crate::domain::policy::EngineKind;
use crate::domain::secret::Secret;
use crate::domain::store_url::{StoreAccess, StoreScheme};
use crate::error::Result;

/// What opens one repository.
#[derive(Clone, Debug, Serialize)]
pub struct RepositoryKey {
    /// Which engine wrote it.
    pub engine: EngineKind,
    /// Where it is, as the engine's own program wants to be told: what follows `restic -r`, or duplicity's address.
    pub place: String,
    /// Its password; `None` where it is not encrypted.
    pub password: Option<Secret>,
}

impl Dory {
    /// What opens a backup's repositories. The passwords are secrets: show them only to whoever asked.
    ///
    /// # Errors
    /// `NotFound`; `WrongKey`; the store's.
    pub async fn repository_keys(&self, reference: &str) -> Result<Vec<RepositoryKey>> {
        let (_, key) = self.open_fleet().await?;
        let backup = self.find_backup(reference).await?;
        let key_of = |engine: &EngineKind| RepositoryKey {
            engine: *engine,
            place: place(&self.config.store, &format!("data/{}/{engine}", backup.id), *engine),
            password: key.as_ref().map(|key| key.repository_password(&backup.id, *engine)),
        };
        Ok(backup.engines.iter().map(key_of).collect())
    }
}

/// Where a repository is, in the words of the engine's own program.
fn place(store: &StoreAccess, path: &str, engine: EngineKind) -> String {
    let below = [store.url.path.as_str(), path].into_iter().filter(|part| !part.is_empty());
    let (bucket, key) = (&store.url.bucket, below.collect::<Vec<_>>().join("/"));
    match (engine, store.url.scheme) {
        (EngineKind::Restic, StoreScheme::File) => key,
        (EngineKind::Restic, StoreScheme::Gs) => format!("gs:{bucket}:/{key}"),
        (EngineKind::Restic, StoreScheme::Az) => format!("azure:{bucket}:/{key}"),
        (EngineKind::Restic, StoreScheme::S3) => {
            let amazon = || match &store.region {
                Some(region) => format!("https://s3.{region}.amazonaws.com"),
                None => "https://s3.amazonaws.com".to_owned(),
            };
            let endpoint = store.endpoint.clone().unwrap_or_else(amazon);
            format!("s3:{}/{bucket}/{key}", endpoint.trim_end_matches('/'))
        }
        (EngineKind::Duplicity, StoreScheme::File) => format!("file://{key}"),
        (EngineKind::Duplicity, StoreScheme::S3 | StoreScheme::Gs) => format!("s3:///{bucket}/{key}"),
        (EngineKind::Duplicity, StoreScheme::Az) => format!("azure://{bucket}/{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::store_url::StoreCredentials;

    #[test]
    fn each_program_is_told_the_place_in_its_own_words() {
        let store = |url: &str, endpoint: Option<&str>| StoreAccess {
            url: url.parse().unwrap(),
            credentials: StoreCredentials::Ambient,
            endpoint: endpoint.map(str::to_owned),
            region: Some("eu-1".to_owned()),
        };
        for (url, endpoint, restic, duplicity) in [
            ("file:///srv/dory", None, "/srv/dory/data/x", "file:///srv/dory/data/x"),
            ("gs://shop/a/b", None, "gs:shop:/a/b/data/x", "s3:///shop/a/b/data/x"),
            ("s3://shop", None, "s3:https://s3.eu-1.amazonaws.com/shop/data/x", "s3:///shop/data/x"),
            ("s3://shop", Some("http://h:1/"), "s3:http://h:1/shop/data/x", "s3:///shop/data/x"),
            ("az://shop/a", None, "azure:shop:/a/data/x", "azure://shop/a/data/x"),
        ] {
            let store = store(url, endpoint);
            assert_eq!(place(&store, "data/x", EngineKind::Restic), restic);
            assert_eq!(place(&store, "data/x", EngineKind::Duplicity), duplicity);
        }
    }
}
