//! Promises about finding containers, and about the engine itself.

use dory_core::ErrorKind;
use dory_core::domain::container::{Container, ContainerState, Health};

use super::{Program, Subject};

/// The engine says what and where it is.
pub async fn the_engine_describes_itself(subject: Subject) {
    let info = subject.runtime().info().await.unwrap();
    assert!(info.name.split_once(' ').is_some_and(|(_, version)| !version.is_empty()), "{info:?}");
    assert!(!info.api_version.is_empty() && !info.host.is_empty(), "{info:?}");
    assert!(info.data_root.is_absolute(), "{info:?}");
}

/// Networks are listed in order.
pub async fn networks_are_sorted(subject: Subject) {
    let networks = subject.runtime().list_networks().await.unwrap();
    assert!(networks.iter().any(|network| network.as_str() == "bridge"), "{networks:?}");
    assert!(networks.is_sorted(), "{networks:?}");
}

/// A name, an id and the beginning of an id lead to the same container.
pub async fn a_container_is_found_by_name_and_id(subject: Subject) {
    let id = subject.made("web", Program::Idle).await;
    let runtime = subject.runtime();
    for reference in [subject.name("web"), format!("/{}", subject.name("web")), id.to_string(), id.short().to_owned()] {
        assert_eq!(runtime.inspect_container(&reference).await.unwrap().id, id, "{reference}");
    }
}

/// What a container is told when it is made can be read again.
pub async fn a_container_shows_its_mounts_and_labels(subject: Subject) {
    let (data, settings) = (subject.volume("data").await, subject.volume("settings").await);
    let id = subject
        .made_with("db", Program::Idle, |container| {
            container.volumes =
                vec![(data.clone(), "/var/lib/data".into(), true), (settings.clone(), "/etc/db".into(), false)];
            container.labels.insert("dory.stop".into(), "pause".into());
        })
        .await;
    // More than once: an engine may give them in another order each time.
    let mut container = subject.runtime().inspect_container(id.as_str()).await.unwrap();
    for _ in 0..50 {
        let mounts: Vec<_> = container
            .mounts
            .iter()
            .map(|mount| (mount.volume().cloned(), mount.destination.display().to_string(), mount.writable))
            .collect();
        let expected = [
            (Some(settings.clone()), "/etc/db".to_owned(), false),
            (Some(data.clone()), "/var/lib/data".to_owned(), true),
        ];
        assert_eq!(mounts, expected);
        container = subject.runtime().inspect_container(id.as_str()).await.unwrap();
    }
    assert!(container.mounts.iter().all(|mount| mount.source.is_absolute()));
    assert_eq!(container.label("dory.stop"), Some("pause"));
    assert_eq!((container.state, container.health), (ContainerState::Created, Health::None));
    assert_eq!((container.started_at, container.removed_when_ended), (None, false));

    subject.runtime().start(&id).await.unwrap();
    let started = subject.runtime().inspect_container(id.as_str()).await.unwrap();
    assert_eq!(started.state, ContainerState::Running);
    assert!(started.started_at.unwrap() >= started.created_at);
}

/// A name nobody has is not found, and the hint offers those that come near.
pub async fn an_unknown_container_is_not_found_and_near_names_are_offered(subject: Subject) {
    subject.made("database", Program::Idle).await;
    let wanted = subject.name("databsae");
    let error = subject.runtime().inspect_container(&wanted).await.unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::NotFound, wanted.as_str()));
    let hint = error.hint().unwrap();
    assert!(hint.contains(&format!("`{}`", subject.name("database"))), "{hint}");
}

/// Nothing is guessed, and nothing leaves the place where names belong.
pub async fn odd_references_are_not_found(subject: Subject) {
    let id = subject.made("web", Program::Idle).await;
    let middle = &id.as_str()[4..20];
    for reference in ["", "/", "..", "../images/json", "a b", "json?all=1", "é", middle] {
        let error = subject.runtime().inspect_container(reference).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{reference}");
    }
}

/// One character is the beginning of some id by chance, of one or of several.
pub async fn one_character_means_no_id(subject: Subject) {
    // One more than there are hex digits, so that two ids begin alike.
    let mut beginnings = std::collections::BTreeSet::new();
    for at in 0..17 {
        let id = subject.made(&format!("web-{at}"), Program::Idle).await;
        beginnings.insert(id.as_str()[..1].to_owned());
    }
    for reference in beginnings {
        let error = subject.runtime().inspect_container(&reference).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{reference}");
    }
}

/// The list holds containers that run and those that do not, by name, and no helper.
pub async fn containers_are_listed_by_name_without_helpers(subject: Subject) {
    let second = subject.idle("b").await;
    let first = subject.made("a", Program::Idle).await;
    let helper = subject.launch("helper", Program::Copy, Vec::new()).await;
    let listed = subject.runtime().list_containers().await.unwrap();
    assert!(listed.is_sorted_by(|a, b| a.name <= b.name));
    let ours = |container: &&Container| container.name.as_str().starts_with(&subject.name(""));
    let ours: Vec<_> = listed.iter().filter(ours).collect();
    assert_eq!(ours.iter().map(|container| &container.id).collect::<Vec<_>>(), [&first, &second]);
    assert_eq!(*ours[1], subject.runtime().inspect_container(second.as_str()).await.unwrap());
    let error = subject.runtime().inspect_container(helper.id.as_str()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
