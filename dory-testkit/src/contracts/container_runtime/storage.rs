//! Promises about volumes and images.

use std::collections::BTreeMap;

use dory_core::ErrorKind;
use dory_core::domain::id::ImageRef;

use super::bench::volume_mount;
use super::{Program, Subject};

/// A volume that was made is there, with its labels, and is listed by name.
pub async fn a_volume_is_made_found_and_listed(subject: Subject) {
    let runtime = subject.runtime();
    let labels = BTreeMap::from([("dory.test".to_owned(), "yes".to_owned())]);
    let (first, second) = (subject.volume_name("a"), subject.volume_name("b"));
    for name in [&second, &first] {
        assert_eq!(runtime.inspect_volume(name).await.unwrap(), None);
        let made = runtime.create_volume(name, &labels).await.unwrap();
        assert_eq!((&made.name, &made.labels), (name, &labels));
        assert!(made.mountpoint.is_absolute());
        assert_eq!(runtime.inspect_volume(name).await.unwrap(), Some(made));
    }
    let listed = runtime.list_volumes().await.unwrap();
    assert!(listed.is_sorted_by(|a, b| a.name <= b.name));
    let ours = listed.iter().map(|volume| &volume.name).filter(|name| name.as_str().starts_with(&subject.name("")));
    assert_eq!(ours.collect::<Vec<_>>(), [&first, &second]);
}

/// A volume is not made over another one.
pub async fn a_volume_is_not_made_twice(subject: Subject) {
    let name = subject.volume("data").await;
    let error = subject.runtime().create_volume(&name, &BTreeMap::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

/// A name that is part of another one means only itself.
pub async fn a_volume_is_found_by_its_whole_name(subject: Subject) {
    subject.volume("data-old").await;
    assert_eq!(subject.runtime().inspect_volume(&subject.volume_name("data")).await.unwrap(), None);
    subject.volume("data").await;
}

/// A removed volume is gone, and removing it again is no error.
pub async fn a_volume_is_removed(subject: Subject) {
    let name = subject.volume("data").await;
    subject.runtime().remove_volume(&name).await.unwrap();
    assert_eq!(subject.runtime().inspect_volume(&name).await.unwrap(), None);
    subject.runtime().remove_volume(&name).await.unwrap();
}

/// A volume that a container mounts, running or not, stays.
pub async fn a_volume_in_use_is_not_removed(subject: Subject) {
    let name = subject.volume("data").await;
    let id = subject
        .made_with("db", Program::Idle, |container| container.volumes = vec![(name.clone(), "/data".into(), true)])
        .await;
    let error = subject.runtime().remove_volume(&name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    subject.bench().remove_container(&id).await;
    subject.runtime().remove_volume(&name).await.unwrap();
}

/// Removing a helper leaves the volumes that it saw alone.
pub async fn a_volume_outlives_its_helpers(subject: Subject) {
    let name = subject.volume("data").await;
    let write = Program::Write("/backup/data/hello".into(), "world".to_owned());
    subject.run("writer", write, vec![volume_mount(&name, "/backup/data", true)]).await;
    let read = Program::Read("/backup/data/hello".into());
    let (said, _) = subject.run("reader", read, vec![volume_mount(&name, "/backup/data", false)]).await;
    assert_eq!(said, "world");
}

/// An image is found by the id that a container gives; one that is not there is none, and removing it is no error.
pub async fn an_image_is_there_or_not(subject: Subject) {
    let id = subject.made("web", Program::Idle).await;
    let runtime = subject.runtime();
    let container = runtime.inspect_container(id.as_str()).await.unwrap();
    let image = runtime.inspect_image(&container.image_id).await.unwrap().unwrap();
    assert_eq!(image.id, container.image_id);
    assert!(image.bytes > 0);
    assert_eq!(runtime.inspect_image(&container.image).await.unwrap().unwrap().id, image.id);

    let missing = ImageRef::parse(format!("{}:none", subject.name("image"))).unwrap();
    assert_eq!(runtime.inspect_image(&missing).await.unwrap(), None);
    runtime.remove_image(&missing).await.unwrap();
}

/// An image that a container was made from stays.
pub async fn an_image_in_use_is_not_removed(subject: Subject) {
    let id = subject.made("web", Program::Idle).await;
    let image = subject.runtime().inspect_container(id.as_str()).await.unwrap().image;
    let error = subject.runtime().remove_image(&image).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(subject.runtime().inspect_image(&image).await.unwrap().is_some());
}
