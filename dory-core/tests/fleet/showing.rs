//! What a server has under way is seen from anywhere, and can be ended from anywhere.

use std::time::Duration;

use dory_core::ErrorKind;
use dory_core::domain::command::Order;
use dory_core::domain::container::ContainerState;
use dory_core::domain::run::{Outcome, RunKind};
use dory_core::services::{RunFilter, RunTrace};
use dory_testkit::World;

use super::bench::{Running, let_pass};

const HOUR: Duration = Duration::from_secs(3600);

fn filter() -> RunFilter {
    RunFilter { limit: 20, ..RunFilter::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_schedule_shows_itself_while_it_lasts_and_is_ended_from_afar_in_order() {
    let world = World::new();
    world.runtime.container("db").volume("db-data", "/data").label("dory.schedule", "0 3 * * *").running();
    world.write("db-data", "rows", "one two three");
    let server = Running::with_passphrase(&world);
    server.tells(&world, "serving", 1).await;
    let asker = world.dory();
    let mut hold = world.faults.restic.hold_next("freeze");
    world.clock.advance(15 * HOUR);
    hold.reached().await;
    let_pass(&world, Duration::from_secs(10)).await;
    let live = asker.runs(&filter()).await.unwrap().live.remove(0);
    assert_eq!((live.kind, live.what.as_str()), (RunKind::Backup, "back up db"));
    assert!(!live.progress.is_empty() && live.log.iter().any(|line| line == "stopping db"), "{live:?}");

    asker.send_command(asker.server(), Order::CancelRun { run: live.id }, "ada").await.unwrap();
    server.tells(&world, "failed db: Cancelled", 1).await;
    assert_eq!(world.runtime.state_of("db"), ContainerState::Running);
    let RunTrace { live: None, run: Some(run) } = asker.trace_run(asker.server(), live.id).await.unwrap() else {
        panic!("it is over")
    };
    assert_eq!(run.outcome, Outcome::Cancelled);
    let_pass(&world, Duration::from_secs(60)).await;
    assert!(!world.catalog.keys().iter().any(|key| key.ends_with(".progress.json")), "nothing shows itself any more");
    assert_eq!(server.news().iter().filter(|told| told.starts_with("began")).count(), 1, "whoever ended it meant it");
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_found_by_backup_by_outcome_and_by_the_end_of_their_id() {
    let world = World::new();
    let asker = world.dory();
    for name in ["a", "b"] {
        world.database(name);
        let request = dory_core::services::BackupRequest { container: name.into(), ..Default::default() };
        let (cancel, events) = (dory_core::services::Cancel::new(), dory_core::services::RunEvents::ignored());
        let ticker = world.clock.tick();
        asker.run_backup(&request, &cancel, &events).await.unwrap();
        world.faults.restic.fail_next("open", ErrorKind::Full);
        asker.run_backup(&request, &cancel, &events).await.unwrap_err();
        drop(ticker);
    }
    let all = asker.runs(&filter()).await.unwrap().runs;
    assert_eq!(all.len(), 4);
    assert!(all.is_sorted_by_key(|run| std::cmp::Reverse(run.id)), "the newest first");
    let of_a = asker.runs(&RunFilter { backup: Some("a".into()), ..filter() }).await.unwrap().runs;
    assert_eq!(of_a.iter().map(|run| run.outcome).collect::<Vec<_>>(), [Outcome::Failed, Outcome::Succeeded]);
    let failed = asker.runs(&RunFilter { failed: true, limit: 1, ..filter() }).await.unwrap().runs;
    assert_eq!(failed.iter().map(|run| run.id).collect::<Vec<_>>(), [all[0].id]);
    let id = all[1].id.to_string();
    assert_eq!(asker.find_run(&id[16..].to_ascii_lowercase()).await.unwrap(), (asker.server().clone(), all[1].id));
    assert_eq!(asker.find_run("nothing").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_showed_goes_when_the_next_one_serves() {
    let world = World::new();
    let stale = "runs/server-1/01K9ZZZZZZZZZZZZZZZZZZZZZY.progress.json";
    world.catalog.put(stale, "{}");
    let server = Running::with_passphrase(&world);
    server.tells(&world, "serving", 1).await;
    let_pass(&world, Duration::from_secs(5)).await;
    assert_eq!(world.catalog.peek(stale), None);
    server.end().await.unwrap();
}
