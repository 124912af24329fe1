//! Pings around backups: they tell, and never stand in the way.

use dory_core::ErrorKind;
use dory_core::domain::ping::PingSignal;
use dory_core::services::SettingChange;

use super::bench::Bench;

async fn ping_at(bench: &Bench, pattern: &str) {
    let change = SettingChange::Set(pattern.to_owned());
    bench.dory.change_setting(&"ping".parse().unwrap(), &change).await.unwrap();
}

async fn bench() -> Bench {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    ping_at(&bench, "https://hc.example/{name}/{server}").await;
    bench
}

fn signals(bench: &Bench) -> Vec<PingSignal> {
    bench.channels.pings().into_iter().map(|(signal, ..)| signal).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_pings_that_it_began_and_how_it_ended() {
    let bench = bench().await;
    bench.back_up("db").await.unwrap();
    let pings = bench.channels.pings();
    let addresses: Vec<_> = pings.iter().map(|(_, address, _)| address.as_str()).collect();
    assert_eq!(addresses, ["https://hc.example/db/server-1/start", "https://hc.example/db/server-1"]);
    bench.faults.restic.fail_next("open", ErrorKind::Full);
    bench.back_up("db").await.unwrap_err();
    assert_eq!(signals(&bench)[2..], [PingSignal::Start, PingSignal::Fail]);
    let (_, address, words) = bench.channels.pings().remove(3);
    assert!(address.ends_with("/fail") && !words.is_empty(), "{address}: {words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_point_is_a_failure_for_who_watches() {
    let bench = bench().await;
    for entry in std::fs::read_dir(bench.folder("db-data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }
    bench.back_up("db").await.unwrap();
    assert_eq!(signals(&bench), [PingSignal::Start, PingSignal::Fail]);
    assert!(bench.channels.pings()[1].2.contains("suspect"), "{:?}", bench.channels.pings());
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_that_do_not_arrive_fail_no_backup() {
    let bench = bench().await;
    for kind in [ErrorKind::Unavailable, ErrorKind::PermissionDenied] {
        bench.channels.refuse_pings(kind);
        assert!(bench.back_up("db").await.unwrap().is_complete());
    }
    assert!(bench.channels.pings().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_comes_before_the_fleets_settings() {
    let bench = bench().await;
    for (name, wish) in [("quiet", "off"), ("own", "https://hc.example/of-its-own?x=1")] {
        bench.runtime.container(name).volume(&format!("{name}-data"), "/data").label("dory.ping", wish).running();
        bench.back_up(name).await.unwrap();
    }
    let addresses: Vec<_> = bench.channels.pings().into_iter().map(|(_, address, _)| address).collect();
    assert_eq!(addresses, ["https://hc.example/of-its-own/start?x=1", "https://hc.example/of-its-own?x=1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_pings_nobody() {
    let bench = bench().await;
    let request = dory_core::services::BackupRequest { container: "db".into(), ..Default::default() };
    bench.dory.plan_backup(&request).await.unwrap();
    assert!(bench.channels.pings().is_empty());
}
