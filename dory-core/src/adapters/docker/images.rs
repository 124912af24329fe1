//! Images that are on the host.

use bollard::errors::Error as Bollard;
use bollard::models::ImageInspect;
use bollard::query_parameters::RemoveImageOptions;

use super::{DockerRuntime, error};
use crate::domain::container::Image;
use crate::domain::id::ImageRef;
use crate::error::{Error, Result};

impl DockerRuntime {
    pub(super) async fn find_image(&self, reference: &ImageRef) -> Result<Option<Image>> {
        match self.docker.inspect_image(checked(reference)?).await {
            Ok(raw) => image(raw).map(Some),
            Err(gone) if error::status(&gone) == Some(404) => Ok(None),
            Err(other) => Err(self.failed("inspect image", reference.as_str())(other)),
        }
    }

    pub(super) async fn delete_image(&self, reference: &ImageRef) -> Result<()> {
        match self.docker.remove_image(checked(reference)?, None::<RemoveImageOptions>, None).await {
            Ok(_) => Ok(()),
            Err(gone) if error::status(&gone) == Some(404) => Ok(()),
            Err(Bollard::DockerResponseServerError { status_code: 409, message }) => Err(Error::new(
                crate::error::ErrorKind::Conflict,
                "remove image",
                reference.as_str(),
                "a container uses it, or it has several names",
            )
            .with_source(message)),
            Err(other) => Err(self.failed("remove image", reference.as_str())(other)),
        }
    }
}

/// The reference as part of a URL: what can be no image must not end up there.
fn checked(reference: &ImageRef) -> Result<&str> {
    let text = reference.as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if text.chars().all(plain) && !text.starts_with('/') && !text.contains("..") {
        Ok(text)
    } else {
        Err(Error::invalid("image", text, "letters, digits and `. _ - / : @` are allowed"))
    }
}

fn image(raw: ImageInspect) -> Result<Image> {
    Ok(Image {
        id: ImageRef::parse(raw.id.unwrap_or_default())?,
        tags: raw.repo_tags.unwrap_or_default(),
        bytes: raw.size.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
        labels: raw.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stay_within_their_url() {
        for good in ["postgres", "postgres:17", "ghcr.io/a/b:1.2@sha256:00ff", "sha256:00ff", "localhost:5000/x"] {
            assert!(checked(&ImageRef::parse(good).unwrap()).is_ok(), "{good}");
        }
        for bad in ["../containers", "a/../../b", "a?force=1", "a#b", "a b", "a%2e"] {
            assert!(checked(&ImageRef::parse(bad).unwrap()).is_err(), "{bad}");
        }
    }
}
