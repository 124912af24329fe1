//! A backup whose container is gone goes on with another one, by hand; and how a backup is made says who wants it so.

use dory_core::ErrorKind;
use dory_core::domain::policy::{PolicyOverrides, StopMode};
use dory_core::services::{BackupEdit, PolicySource};

use super::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn an_orphans_history_goes_on_with_another_container() {
    let bench = Bench::new();
    bench.database("db");
    let first = bench.back_up("db").await.unwrap();
    bench.runtime.remove_container("db");
    bench.database("successor");
    bench.dory.mark("successor", true).await.unwrap();
    let plan = bench.dory.plan_adopt("db", "successor").await.unwrap();
    assert_eq!((plan.points, plan.was.as_str(), plan.replaces.is_some()), (1, "db", true));
    bench.dory.run_adopt(&plan).await.unwrap();
    let second = bench.back_up("successor").await.unwrap();
    assert_eq!(second.backup, first.backup);
    let adopted = bench.dory.find_backup("successor").await.unwrap();
    assert_eq!((adopted.points.len(), adopted.containers.len()), (2, 2));
    assert_eq!(bench.dory.catalog().backups().await.unwrap().backups.len(), 1, "the empty record is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_orphan_and_who_has_a_history_of_its_own_is_left_as_it_is() {
    let bench = Bench::new();
    for name in ["db", "other"] {
        bench.database(name);
        bench.back_up(name).await.unwrap();
    }
    let refused = async |backup: &str, container: &str| bench.dory.plan_adopt(backup, container).await.unwrap_err();
    let own = refused("db", "other").await;
    assert!(own.kind() == ErrorKind::Conflict && own.reason().contains("no orphan"), "{own}");
    assert_eq!(refused("db", "nobody").await.kind(), ErrorKind::NotFound);
    bench.runtime.remove_container("db");
    let other = refused("db", "other").await;
    assert!(other.kind() == ErrorKind::Conflict && other.reason().contains("history of its own"), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_that_was_planned_on_something_else_is_not_carried_out() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    bench.runtime.remove_container("db");
    bench.database("successor");
    let plan = bench.dory.plan_adopt("db", "successor").await.unwrap();
    bench.back_up("successor").await.unwrap();
    assert_eq!(bench.dory.run_adopt(&plan).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_value_of_a_policy_says_where_it_comes_from() {
    let bench = Bench::new();
    let container = bench.runtime.container("db").volume("db-data", "/data");
    container.label("dory.stop", "pause").label("dory.keep", "last=3").running();
    bench.write("db-data", "rows", "one two three");
    bench.back_up("db").await.unwrap();
    let said = async |name: &str| {
        let values = bench.dory.policy_overview("db").await.unwrap().values;
        let value = values.into_iter().find(|value| value.name == name).unwrap();
        (value.value, value.source)
    };
    assert_eq!(said("stop").await, ("pause".into(), PolicySource::Label));
    assert_eq!(said("engine").await, ("restic".into(), PolicySource::Default));
    let policy = PolicyOverrides { stop: Some(StopMode::None), ..PolicyOverrides::default() };
    bench.dory.edit_backup("db", &BackupEdit { policy, ..BackupEdit::default() }).await.unwrap();
    assert_eq!(said("stop").await, ("none".into(), PolicySource::Catalog));
    bench.runtime.remove_container("db");
    assert_eq!(said("keep").await, ("last=3".into(), PolicySource::LastLabel));
}
