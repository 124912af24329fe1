//! Whatever dies when, what is to be told is told; twice only where its teller died between sending and striking out.

use std::collections::BTreeSet;

use dory_core::ErrorKind;
use dory_testkit::World;
use dory_testkit::fakes::FakeChannels;
use dory_testkit::faults::Faulty;
use futures_util::future::join_all;

use super::bench::Running;
use super::telling::{MINUTE, fail, pass, world};

/// The same world as another host sees it, with a line to the store and to the mail server of its own.
fn seen_from_another_host(world: &World) -> World {
    let mut other = world.clone();
    other.faults.catalog = Faulty::new(world.catalog.port());
    other.faults.notifier = Faulty::new(world.notifier.port());
    other.channels = FakeChannels::to(other.faults.notifier.port(), world.webhooks.port(), &world.journal);
    other
}

/// Where a teller dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Before it writes to the store for that time, from when there is something to tell.
    BeforeWrite(usize),
    /// When it has written for that time, before it hears of it.
    AfterWrite(usize),
    /// Before it sends.
    BeforeSending,
    /// When it has sent, before it hears of it.
    AfterSending,
}

/// Ends everything that a host does to the world outside.
fn dies(host: &World) -> impl Fn() + Send + Sync + 'static {
    let (catalog, notifier) = (host.faults.catalog.clone(), host.faults.notifier.clone());
    move || {
        for method in ["get", "create", "replace", "delete", "list"] {
            catalog.fail_always(method, ErrorKind::Unavailable);
        }
        notifier.fail_always("send", ErrorKind::Unavailable);
    }
}

/// One teller dies there, another takes over; gives how often people got the notice.
async fn told_despite(death: Death) -> usize {
    let world = world().await;
    let (one, two) = (seen_from_another_host(&world), seen_from_another_host(&world));
    let first = Running::called(&one, "server-a");
    first.tells(&world, "tells", 1).await;
    let second = Running::called(&two, "server-b");
    second.tells(&world, "serving", 1).await;
    pass(&world, 2 * MINUTE).await;
    let dies = dies(&one);
    match death {
        Death::BeforeWrite(nth) => {
            one.faults.catalog.act_before("replace", nth, dies);
            one.faults.catalog.fail_nth("replace", nth, ErrorKind::Unavailable);
        }
        Death::AfterWrite(nth) => one.faults.catalog.act_after("replace", nth, dies),
        Death::BeforeSending => {
            one.faults.notifier.act_before("send", 1, dies);
            one.faults.notifier.fail_next("send", ErrorKind::Unavailable);
        }
        Death::AfterSending => one.faults.notifier.act_after("send", 1, dies),
    }
    fail(&world).await;
    for _ in 0..30 {
        pass(&world, MINUTE).await;
        if second.news().iter().any(|told| told == "tells") {
            break;
        }
    }
    first.kill().await;
    pass(&world, 5 * MINUTE).await;
    second.end().await.unwrap();
    let failing: Vec<_> =
        world.notifier.deliveries().into_iter().filter(|notice| notice.subject.contains("backup is failing")).collect();
    let ids: BTreeSet<_> = failing.iter().map(|notice| &notice.id).collect();
    assert_eq!(ids.len(), 1, "{death:?}: {failing:#?}");
    world.assert_tidy();
    failing.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_teller_dies_the_next_one_tells() {
    let deaths: Vec<_> = (1..=6).flat_map(|nth| [Death::BeforeWrite(nth), Death::AfterWrite(nth)]).collect();
    for some in deaths.chunks(4) {
        for (death, times) in some.iter().zip(join_all(some.iter().copied().map(told_despite)).await) {
            assert!((1..=2).contains(&times), "{death:?}: {times} times");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_twice_only_if_its_teller_died_right_after_sending() {
    assert_eq!(told_despite(Death::BeforeSending).await, 1);
    assert_eq!(told_despite(Death::AfterSending).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_teller_that_ends_in_order_strikes_out_what_it_sends() {
    let world = world().await;
    let server = Running::start(&world);
    server.tells(&world, "tells", 1).await;
    let mut hold = world.faults.notifier.hold_next("send");
    fail(&world).await;
    pass(&world, MINUTE).await;
    hold.reached().await;
    let ending = tokio::spawn(server.end());
    // It has heard that it is to end, and has nothing left to do but this.
    pass(&world, MINUTE).await;
    hold.release();
    ending.await.unwrap().unwrap();
    let next = Running::start(&world);
    next.tells(&world, "tells", 1).await;
    pass(&world, 3 * MINUTE).await;
    next.end().await.unwrap();
    assert_eq!(world.notifier.deliveries().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_servers_one_tells_and_after_a_partition_still_one() {
    let world = world().await;
    let hosts: Vec<_> = (0..3).map(|_| seen_from_another_host(&world)).collect();
    let mut servers = Vec::new();
    for (number, host) in hosts.iter().enumerate() {
        let server = Running::called(host, &format!("server-{number}x"));
        server.tells(&world, "serving", 1).await;
        servers.push(server);
    }
    pass(&world, 2 * MINUTE).await;
    let tellers = |servers: &[Running]| -> Vec<usize> {
        let tells = |server: &Running| server.news().iter().any(|told| told == "tells");
        (0..servers.len()).filter(|number| tells(&servers[*number])).collect()
    };
    let [teller] = tellers(&servers)[..] else { panic!("{:?}", tellers(&servers)) };
    // It reaches people, and the store no more.
    for method in ["get", "create", "replace", "list"] {
        hosts[teller].faults.catalog.fail_always(method, ErrorKind::Unavailable);
    }
    fail(&world).await;
    pass(&world, 8 * MINUTE).await;
    assert_eq!(tellers(&servers).len(), 2, "{:?}", tellers(&servers));
    hosts[teller].faults.catalog.heal();
    pass(&world, 5 * MINUTE).await;
    let about_db = |world: &World| {
        let deliveries = world.notifier.deliveries().into_iter();
        deliveries.filter(|notice| notice.subject.contains("failing")).count()
    };
    assert_eq!(about_db(&world), 1);
    for server in servers {
        // The one that was cut off lost its name, and says so.
        let _ = server.end().await;
    }
}
