//! In which order containers stop and start.

use std::collections::BTreeSet;

use super::container::Container;
use super::identity::{ComposePlace, compose};

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
    let (Some(mine), Some(theirs)) = (ComposePlace::of(&container.labels), ComposePlace::of(&other.labels)) else {
        return false;
    };
    mine.project == theirs.project
        && container
            .label(compose::DEPENDS_ON)
            .unwrap_or_default()
            .split(',')
            .any(|entry| entry.split(':').next() == Some(theirs.service.as_str()))
}
