//! The image that helpers run: our own where we run in a container, else one made from this executable.

use std::path::Path;
use std::time::Duration;

use bollard::models::{ImageSummary, SystemInfo};
use bollard::query_parameters::{ContainerArchiveInfoOptions, CreateImageOptions, ListImagesOptions};
use futures_util::TryStreamExt;
use jiff::Timestamp;

use super::image_content::ImageContent;
use super::{DockerRuntime, error, tar_stream};
use crate::domain::container::Mount;
use crate::domain::id::{ContainerId, ImageRef};
use crate::error::{Error, ErrorKind, Result};

/// Where a helper image holds Dory.
const DORY: &str = "/dory";

/// The name of images that Dory makes; the tag is the beginning of the content's digest.
const REPOSITORY: &str = "dory-helper";

/// How long the engine may take to store an image.
const IMPORT: Duration = Duration::from_secs(15 * 60);

/// How long an image of another version stays at least.
const SPARED: Duration = Duration::from_secs(60 * 60);

const OPERATION: &str = "make helper image";

impl DockerRuntime {
    pub(super) async fn helper_image(&self) -> Result<ImageRef> {
        if let Some(own) = self.own_container().await?
            && let Some(image) = self.image_with_dory(&own).await?
        {
            return Ok(image);
        }

        let mut cached = self.helper_content.lock().await;
        let content = match cached.take() {
            Some(content) => content,
            None => self.gather().await?,
        };
        // The executable of a running process does not change, so its digest is taken once.
        let content = &*cached.insert(content);
        let image = ImageRef::parse(format!("{REPOSITORY}:{}", &content.digest[..12]))?;
        if self.find_image(&image).await?.is_none() {
            let engine = self.docker.info().await.map_err(self.failed(OPERATION, image.as_str()))?;
            refuse_other_machines(&engine, &image)?;
            self.import(content, &image).await?;
            let now = engine.system_time.as_deref().and_then(|time| time.parse().ok());
            self.remove_old_images(&image, now.unwrap_or(Timestamp::UNIX_EPOCH)).await;
        }
        Ok(image)
    }

    /// The image of our own container, if it is what brought `/dory` there.
    async fn image_with_dory(&self, own: &ContainerId) -> Result<Option<ImageRef>> {
        let options = ContainerArchiveInfoOptions { path: DORY.to_owned() };
        let found = match self.docker.get_container_archive_info(own.as_str(), Some(options)).await {
            Ok(found) => found,
            Err(missing) if error::status(&missing) == Some(404) => return Ok(None),
            Err(other) => return Err(self.failed(OPERATION, own.short())(other)),
        };
        // A program that is mounted into some other image is not in that image.
        let container = self.container_for(OPERATION, own).await?;
        let places = [Path::new(DORY), Path::new(&found.link_target)];
        let mounted = |mount: &Mount| places.iter().any(|place| place.starts_with(&mount.destination));
        Ok((!container.mounts.iter().any(mounted)).then_some(container.image_id))
    }

    async fn gather(&self) -> Result<ImageContent> {
        let source = self.helper_source.clone();
        let unsupported = |cause: Box<dyn std::error::Error + Send + Sync>| {
            let reason = "this program or one of its libraries cannot be read";
            Error::new(ErrorKind::Unsupported, OPERATION, REPOSITORY, reason).with_source(cause)
        };
        tokio::task::spawn_blocking(move || ImageContent::gather(&source))
            .await
            .map_err(|panicked| unsupported(panicked.into()))?
            .map_err(|cause| unsupported(cause.into()))
    }

    async fn import(&self, content: &ImageContent, image: &ImageRef) -> Result<()> {
        let mut changes = vec![r#"ENTRYPOINT ["/dory"]"#.to_owned(), format!("LABEL {REPOSITORY}={}", content.digest)];
        if !content.library_folders.is_empty() {
            let folders: Vec<String> =
                content.library_folders.iter().map(|folder| folder.display().to_string()).collect();
            changes.push(format!("ENV LD_LIBRARY_PATH=\"{}\"", folders.join(":")));
        }
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(REPOSITORY.to_owned()),
            tag: Some(content.digest[..12].to_owned()),
            changes,
            ..CreateImageOptions::default()
        };
        let layer = bollard::body_try_stream(tar_stream::tar(content));
        let patient = self.docker.clone().with_timeout(IMPORT);
        let progress = patient.create_image(Some(options), Some(layer), None);
        progress.try_for_each(|_| std::future::ready(Ok(()))).await.map_err(self.failed(OPERATION, image.as_str()))
    }

    /// Removes images that other versions of Dory left. A failure costs only space.
    async fn remove_old_images(&self, current: &ImageRef, now: Timestamp) {
        let filters = Some([("reference".to_owned(), vec![REPOSITORY.to_owned()])].into());
        let options = ListImagesOptions { filters, ..ListImagesOptions::default() };
        let images = self.docker.list_images(Some(options)).await.unwrap_or_default();
        for tag in outdated(&images, current, now) {
            // Those that containers use stay.
            if let Err(error) = self.delete_image(&tag).await {
                tracing::debug!(%error, "an old helper image stays");
            }
        }
    }
}

/// The tags of `images` that no Dory is likely to use again.
fn outdated(images: &[ImageSummary], current: &ImageRef, now: Timestamp) -> Vec<ImageRef> {
    // Another version's may be about to be used, if it was made just now.
    let old = |image: &&ImageSummary| now.as_second() - image.created > SPARED.as_secs() as i64;
    let tags = images.iter().filter(old).flat_map(|image| &image.repo_tags);
    let ours = |tag: &&String| tag.split_once(':').is_some_and(|(name, _)| name == REPOSITORY);
    tags.filter(|tag| *tag != current.as_str()).filter(ours).filter_map(|tag| ImageRef::parse(tag).ok()).collect()
}

/// An engine elsewhere may be for other machines than this program.
fn refuse_other_machines(engine: &SystemInfo, image: &ImageRef) -> Result<()> {
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let theirs = format!("{}/{}", word(&engine.os_type), word(&engine.architecture));
    let ours = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    // The kernel's and Rust's words differ for 32-bit machines alone: `armv7l` and `arm`, `i686` and `x86`.
    if theirs == ours || cfg!(target_pointer_width = "32") {
        return Ok(());
    }
    let reason = format!("the engine's host is {theirs}, and this Dory is made for {ours}");
    Err(Error::new(ErrorKind::Unsupported, OPERATION, image.as_str(), reason)
        .with_hint("run Dory on the engine's own host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_images_go_and_young_or_foreign_ones_stay() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let image = |tag: &str, age: i64| ImageSummary {
            repo_tags: vec![tag.to_owned()],
            created: now.as_second() - age,
            ..ImageSummary::default()
        };
        let week = 7 * 24 * 3600;
        let images = [
            image("dory-helper:current", week),
            image("dory-helper:old", week),
            image("dory-helper:young", 60),
            image("dory-helper-of-somebody:else", week),
        ];
        let current = ImageRef::parse("dory-helper:current").unwrap();
        assert_eq!(outdated(&images, &current, now), [ImageRef::parse("dory-helper:old").unwrap()]);
    }

    #[test]
    fn an_engine_for_other_machines_is_refused() {
        let engine = |architecture: &str| SystemInfo {
            os_type: Some("linux".into()),
            architecture: Some(architecture.into()),
            ..SystemInfo::default()
        };
        let image = ImageRef::parse("dory-helper:x").unwrap();
        assert!(refuse_other_machines(&engine(std::env::consts::ARCH), &image).is_ok());
        let error = refuse_other_machines(&engine("riscv64"), &image).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.reason().contains("linux/riscv64"));
    }
}
