//! In which order containers stop and start.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::container::Container;
use super::id::ContainerName;
use super::identity::{ComposePlace, compose};
use super::plan::Quiet;

/// What a container waits for before it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The container it waits for.
    pub on: ContainerName,
    /// How far that one must be.
    pub until: NeedCondition,
}

/// How far a container must be before those that need it start: compose's `depends_on` conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NeedCondition {
    /// It runs.
    Started,
    /// Its health check is content.
    Healthy,
    /// It has ended, and well.
    Completed,
}

/// The containers in the order they must start: what others need comes first. Stop them in reverse.
///
/// Compose's `depends_on` labels, shared network namespaces, links and `volumes_from` count as needs. Containers that
/// need nothing of each other keep the order they came in; needs that form a circle are followed as far as they go.
#[must_use]
pub fn start_order(containers: Vec<Container>) -> Vec<Container> {
    let needs: Vec<BTreeSet<usize>> = containers
        .iter()
        .map(|container| {
            let needed =
                |(at, other): (usize, &Container)| (other.id != container.id && needs(container, other)).then_some(at);
            containers.iter().enumerate().filter_map(needed).collect()
        })
        .collect();

    let mut order: Vec<usize> = Vec::with_capacity(containers.len());
    let mut visited = vec![false; containers.len()];
    for at in 0..containers.len() {
        visit(at, &needs, &mut visited, &mut order);
    }
    let mut slots: Vec<Option<Container>> = containers.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| slots.get_mut(at).and_then(Option::take)).collect()
}

fn visit(at: usize, needs: &[BTreeSet<usize>], visited: &mut [bool], order: &mut Vec<usize>) {
    if std::mem::replace(&mut visited[at], true) {
        return;
    }
    for &needed in &needs[at] {
        visit(needed, needs, visited, order);
    }
    order.push(at);
}

/// Whether `container` needs `other` up before it starts.
fn needs(container: &Container, other: &Container) -> bool {
    shares_network_of(container, other)
        || container.refers_to.iter().any(|reference| other.answers_to(reference))
        || depends_by_compose(container, other)
}

/// Whether `container` lives in `other`'s network namespace, so that it is cut off while `other` is down.
#[must_use]
pub fn shares_network_of(container: &Container, other: &Container) -> bool {
    container.network_of.as_deref().is_some_and(|reference| other.answers_to(reference))
}

fn depends_by_compose(container: &Container, other: &Container) -> bool {
    condition_by_compose(container, other).is_some()
}

/// What `container` waits for of `all`, in the order of `all`.
#[must_use]
pub fn needs_of(container: &Container, all: &[Container]) -> Vec<Need> {
    let need = |other: &Container| {
        let by_compose = condition_by_compose(container, other);
        let until = by_compose.or_else(|| needs(container, other).then_some(NeedCondition::Started))?;
        (other.id != container.id).then(|| Need { on: other.name.clone(), until })
    };
    all.iter().filter_map(need).collect()
}

/// Those of `quiet`, which is in start order, that may start together: what each needs is in an earlier group. They may
/// stop together too, the last group first. Needs that form a circle hold nobody up.
#[must_use]
pub fn start_groups(quiet: &[Quiet]) -> Vec<Vec<&Quiet>> {
    let mut groups: Vec<Vec<&Quiet>> = Vec::new();
    for one in quiet {
        let needed =
            |group: &Vec<&Quiet>| group.iter().any(|other| one.start.needs.iter().any(|need| need.on == other.name));
        let place = groups.iter().rposition(needed).map_or(0, |last| last + 1);
        match groups.get_mut(place) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups
}

/// The strongest condition that compose's label names; a word that is none of compose's asks for a start.
fn condition_by_compose(container: &Container, other: &Container) -> Option<NeedCondition> {
    let (mine, theirs) = (ComposePlace::of(&container.labels)?, ComposePlace::of(&other.labels)?);
    if mine.project != theirs.project {
        return None;
    }
    let entries = container.label(compose::DEPENDS_ON).unwrap_or_default().split(',');
    let condition = |entry: &str| {
        let mut parts = entry.trim().split(':');
        (parts.next() == Some(theirs.service.as_str())).then(|| match parts.next() {
            Some("service_healthy") => NeedCondition::Healthy,
            Some("service_completed_successfully") => NeedCondition::Completed,
            _ => NeedCondition::Started,
        })
    };
    entries.filter_map(condition).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::container::ContainerState;
    use crate::domain::plan::tests::container;
    use crate::domain::plan::{QuietReason, StartRules};
    use crate::domain::policy::StopMode;

    fn service(service: &str, depends_on: &str) -> Container {
        let labels = [(compose::PROJECT, "shop"), (compose::SERVICE, service), (compose::DEPENDS_ON, depends_on)];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Container { labels, ..container(&format!("shop-{service}-1")) }
    }

    #[test]
    fn conditions_are_read_as_compose_writes_them() {
        let web = service(
            "web",
            "db:service_healthy:false,cache:service_started:true,job:service_completed_successfully:false,old",
        );
        let all = ["db", "cache", "job", "old", "other"].map(|name| service(name, ""));
        let found = needs_of(&web, &all);
        let told: Vec<_> = found.iter().map(|need| (need.on.as_str(), need.until)).collect();
        let expected = [
            ("shop-db-1", NeedCondition::Healthy),
            ("shop-cache-1", NeedCondition::Started),
            ("shop-job-1", NeedCondition::Completed),
            ("shop-old-1", NeedCondition::Started),
        ];
        assert_eq!(told, expected);
        for needed in &all[..4] {
            assert!(needs(&web, needed), "{}", needed.name);
        }
        assert!(!needs(&web, &all[4]));
    }

    #[test]
    fn those_who_need_nothing_of_each_other_start_together() {
        let needs = |on: &[&str]| {
            let need = |name: &&str| Need { on: name.parse().unwrap(), until: NeedCondition::Started };
            StartRules { needs: on.iter().map(need).collect(), ..StartRules::default() }
        };
        let quiet = |name: &str, on: &[&str]| Quiet {
            id: container(name).id,
            name: name.parse().unwrap(),
            was: ContainerState::Running,
            mode: StopMode::Stop,
            why: QuietReason::SharesData,
            has_health_check: false,
            compose: None,
            start: needs(on),
        };
        let all = [quiet("db", &[]), quiet("cache", &[]), quiet("web", &["db", "cache"]), quiet("job", &["cache"])];
        let names = |groups: Vec<Vec<&Quiet>>| -> Vec<Vec<String>> {
            groups.iter().map(|group| group.iter().map(|one| one.name.to_string()).collect()).collect()
        };
        assert_eq!(names(start_groups(&all)), [["db", "cache"], ["web", "job"]]);
        // In a circle, whoever comes first in the order starts first.
        let circle = [quiet("a", &["b"]), quiet("b", &["a"])];
        assert_eq!(names(start_groups(&circle)), [["a"], ["b"]]);
    }

    #[test]
    fn what_is_needed_starts_first() {
        let order = start_order(vec![service("web", "db:service_healthy:false"), service("db", "")]);
        let names: Vec<_> = order.iter().map(|container| container.name.as_str()).collect();
        assert_eq!(names, ["shop-db-1", "shop-web-1"]);
    }
}
