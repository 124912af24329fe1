//! Volumes.

use std::collections::BTreeMap;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions};

use super::{DockerRuntime, error};
use crate::domain::container::Volume;
use crate::domain::id::VolumeName;
use crate::error::{Error, ErrorKind, Result};

impl DockerRuntime {
    pub(super) async fn all_volumes(&self) -> Result<Vec<Volume>> {
        self.volumes_named(None).await
    }

    pub(super) async fn find_volume(&self, name: &VolumeName) -> Result<Option<Volume>> {
        // A list of one, as some drivers answer an inspection with details that bollard cannot read.
        Ok(self.volumes_named(Some(name)).await?.into_iter().find(|volume| volume.name == *name))
    }

    pub(super) async fn make_volume(&self, name: &VolumeName, labels: &BTreeMap<String, String>) -> Result<Volume> {
        let operation = "create volume";
        // The engine hands out the old volume where there is one, and tells no difference.
        if self.find_volume(name).await?.is_some() {
            return Err(Error::new(ErrorKind::AlreadyExists, operation, name.as_str(), "there is one of that name"));
        }
        let request = VolumeCreateRequest {
            name: Some(name.to_string()),
            labels: Some(labels.clone().into_iter().collect()),
            ..VolumeCreateRequest::default()
        };
        let made = self.docker.create_volume(request).await.map_err(self.failed(operation, name.as_str()))?;
        volume(made).ok_or_else(|| {
            Error::new(ErrorKind::Internal, operation, name.as_str(), "the engine made one of another name")
        })
    }

    pub(super) async fn delete_volume(&self, name: &VolumeName) -> Result<()> {
        match self.docker.remove_volume(name.as_str(), None::<RemoveVolumeOptions>).await {
            Ok(()) => Ok(()),
            Err(gone) if error::status(&gone) == Some(404) => Ok(()),
            Err(used) if error::status(&used) == Some(409) => {
                Err(Error::new(ErrorKind::Conflict, "remove volume", name.as_str(), "a container uses it")
                    .with_source(used))
            }
            Err(other) => Err(self.failed("remove volume", name.as_str())(other)),
        }
    }

    /// All volumes, or those whose name holds `part`, sorted.
    async fn volumes_named(&self, part: Option<&VolumeName>) -> Result<Vec<Volume>> {
        let filters = part.map(|part| [("name".to_owned(), vec![part.to_string()])].into());
        let answer = self.docker.list_volumes(Some(ListVolumesOptions { filters })).await;
        let answer = answer.map_err(self.failed("list volumes of", &self.host()))?;
        let mut volumes: Vec<Volume> = answer.volumes.unwrap_or_default().into_iter().filter_map(volume).collect();
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }
}

/// `None` for a name that only a foreign driver can give: no mount of it has a volume's name either.
fn volume(raw: bollard::models::Volume) -> Option<Volume> {
    Some(Volume {
        name: VolumeName::parse(raw.name).ok()?,
        driver: raw.driver,
        mountpoint: raw.mountpoint.into(),
        in_memory: raw.options.get("type").is_some_and(|kind| kind == "tmpfs"),
        labels: raw.labels.into_iter().collect(),
    })
}
