//! Options belong to the engine that they were set for, whatever the backup's engine becomes.

use std::path::Path;

use dory_core::domain::backup::PointChoice;
use dory_core::domain::policy::{EngineKind, PolicyOverrides};
use dory_core::services::BackupEdit;
use dory_core::{ErrorKind, Result};

use super::bench::{Bench, restore_of};

fn policy(engine: Option<EngineKind>, options: &[(&str, &str)]) -> BackupEdit {
    let engine_options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    BackupEdit {
        policy: PolicyOverrides { engine, engine_options, ..PolicyOverrides::default() },
        ..BackupEdit::default()
    }
}

async fn edit(bench: &Bench, edit: &BackupEdit) -> Result<Vec<String>> {
    let backup = bench.dory.edit_backup("db", edit).await?;
    Ok(backup.policy.engine_options.iter().map(|(name, value)| format!("{name}={value}")).collect())
}

async fn cat(bench: &Bench, choice: &PointChoice) -> Result<String> {
    let mut contents = Vec::new();
    bench.dory.read_file("db", choice, Path::new("/var/lib/db/rows"), &mut contents).await?;
    Ok(String::from_utf8(contents).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_survives_a_change_of_its_engine_and_the_way_back() {
    let bench = Bench::new();
    bench.database("db");
    let first = bench.back_up("db").await.unwrap();
    let first = PointChoice::Named(first.point.id.to_string());

    let to_duplicity = policy(Some(EngineKind::Duplicity), &[("volsize", "50")]);
    assert_eq!(edit(&bench, &to_duplicity).await.unwrap(), ["volsize=50"]);
    let second = bench.back_up("db").await.unwrap();
    assert_eq!(second.point.engine, EngineKind::Duplicity);
    assert_eq!(cat(&bench, &first).await.unwrap(), "one two three", "another engine's point, without its options");

    assert!(edit(&bench, &policy(Some(EngineKind::Restic), &[])).await.unwrap().is_empty());
    assert_eq!(bench.back_up("db").await.unwrap().point.engine, EngineKind::Restic);
    let second = PointChoice::Named(second.point.id.to_string());
    assert_eq!(cat(&bench, &second).await.unwrap(), "one two three");
    bench.restore(&dory_core::services::RestoreChoice { point: second.clone(), ..restore_of("db") }).await.unwrap();
    let plan = bench.dory.plan_delete("db", Some(&second)).await.unwrap();
    bench.dory.run_delete(&plan).await.unwrap();
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn options_are_checked_against_the_engine_in_force() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    let error = edit(&bench, &policy(None, &[("volsize", "50")])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    bench.back_up("db").await.unwrap();

    let to_duplicity = policy(Some(EngineKind::Duplicity), &[]);
    edit(&bench, &to_duplicity).await.unwrap();
    assert_eq!(edit(&bench, &policy(None, &[("volsize", "50")])).await.unwrap(), ["volsize=50"]);
    let error = edit(&bench, &policy(None, &[("foo", "bar")])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(edit(&bench, &policy(None, &[("volsize", "")])).await.unwrap().is_empty(), "an empty value removes it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_of_a_label_is_in_force_too() {
    let bench = Bench::new();
    let database = bench.runtime.container("db").volume("db-data", "/var/lib/db");
    database.label("dory.engine", "duplicity").running();
    bench.write("db-data", "rows", "one");
    bench.back_up("db").await.unwrap();
    assert_eq!(edit(&bench, &policy(None, &[("volsize", "50")])).await.unwrap(), ["volsize=50"]);
    let backup = bench.dory.find_backup("db").await.unwrap();
    assert_eq!(backup.policy.engine, Some(EngineKind::Duplicity), "the options' engine is kept with them");
    bench.back_up("db").await.unwrap();
}
