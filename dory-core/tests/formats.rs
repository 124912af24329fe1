//! The documents as they stand in stores, byte for byte: what was written once must be read for ever.
//!
//! A file in `golden/` is never edited. A change of format gets a new file beside the old ones, and both must read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dory_core::domain::backup::{Backup, ContainerSeen, SealedHooks};
use dory_core::domain::container::MountKind;
use dory_core::domain::dump::DumpSettings;
use dory_core::domain::dump_preset::DumpPreset;
use dory_core::domain::event::{Warning, WarningKind};
use dory_core::domain::fleet::{Fleet, FleetEncryption};
use dory_core::domain::half_restored::HalfRestored;
use dory_core::domain::hook::{HookOverrides, HookSettings, OnError};
use dory_core::domain::id::{
    BackupId, ContainerId, ContainerName, ImageRef, MountKey, PointId, RunId, ServerName, SnapshotId, VolumeName,
};
use dory_core::domain::identity::{ComposePlace, Identity};
use dory_core::domain::keys::MasterKey;
use dory_core::domain::policy::{EngineKind, PolicyOverrides, StopMode};
use dory_core::domain::restore_point::{
    Consistency, MountSize, PointDump, PointMount, PointOrigin, PointSize, RestorePoint,
};
use dory_core::domain::run::{Outcome, Run, RunKind};
use dory_core::domain::secret::Secret;
use dory_core::domain::suspect::{Clearance, Loss, Measure, Suspicion};
use dory_core::domain::turns::{LabelRules, Turns, Verified};
use dory_core::ports::DocumentKey;
use dory_core::services::Catalog;
use dory_core::{ErrorKind, ErrorRecord};
use dory_testkit::fakes::{FakeClock, MemoryCatalog};
use jiff::{SignedDuration, Timestamp};

fn store() -> (MemoryCatalog, Catalog) {
    let memory = MemoryCatalog::new();
    let catalog = Catalog::new(memory.port(), FakeClock::new().port());
    (memory, catalog)
}

/// What is in `golden/<name>`. The message of the failed test for a new one shows what to put there.
fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    fs::read_to_string(&path).unwrap_or_default()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn fleet() -> Fleet {
    Fleet {
        id: "01K9ZZZZZZZZZZZZZZZZZZZZZX".into(),
        created_at: at("2026-11-01T00:00:00Z"),
        encryption: FleetEncryption::Passphrase { check: "b3".repeat(32) },
    }
}

fn backup() -> Backup {
    let container_id = ContainerId::parse("4f1c".repeat(16)).unwrap();
    let container = ContainerName::parse("shop-db-1").unwrap();
    let volume = VolumeName::parse("shop_data").unwrap();
    Backup {
        id: BackupId::parse("shop-db-1-4f1c4f1c4f1c").unwrap(),
        name: "shop database".into(),
        server: ServerName::parse("alpha").unwrap(),
        identity: Identity {
            container: container.clone(),
            compose: Some(ComposePlace { project: "shop".into(), service: "db".into(), number: "1".into() }),
            label: Some("shop-db".into()),
            volumes: vec![volume.clone()],
        },
        containers: vec![ContainerSeen {
            id: container_id.clone(),
            name: container.clone(),
            first_seen: at("2026-11-01T00:00:00Z"),
        }],
        created_at: at("2026-11-01T00:00:00Z"),
        last_attempt_at: Some(at("2026-11-23T04:50:00Z")),
        turns: Turns::default(),
        label_rules: LabelRules::default(),
        verified: None,
        marked: Some(true),
        marked_by_label: false,
        policy: PolicyOverrides {
            stop: Some(StopMode::Pause),
            engine: Some(EngineKind::Duplicity),
            engine_options: BTreeMap::from([("volsize".into(), "50".into())]),
            exclude: Some(vec!["cache/**".into()]),
            ..PolicyOverrides::default()
        },
        hooks: None,
        description: Some("orders and customers".into()),
        metadata: BTreeMap::from([("owner".into(), "billing".into())]),
        points: vec![RestorePoint {
            id: PointId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZZ").unwrap(),
            taken_at: at("2026-11-23T04:50:12.345678901Z"),
            origin: PointOrigin::Manual,
            engine: EngineKind::Restic,
            snapshot: SnapshotId::parse("ab".repeat(32)).unwrap(),
            run: RunId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZY").unwrap(),
            container,
            container_id,
            image_id: ImageRef::parse("sha256:00ff").unwrap(),
            mounts: vec![PointMount {
                key: MountKey::parse("var-lib-postgresql-data").unwrap(),
                kind: MountKind::Volume { name: volume, driver: "local".into() },
                destination: "/var/lib/postgresql/data".into(),
                source: "/var/lib/docker/volumes/shop_data/_data".into(),
            }],
            dumps: Vec::new(),
            exclude: Vec::new(),
            consistency: Consistency::Stopped,
            stop_window: Some(SignedDuration::from_millis(2_345)),
            elapsed: SignedDuration::from_secs(17),
            size: PointSize { files: 1_369, bytes: 2_000_000_000, stored_bytes: 104_000_000 },
            mount_sizes: Vec::new(),
            suspect: None,
            warnings: vec![Warning {
                kind: WarningKind::Unreadable,
                path: r"var-lib-postgresql-data/odd\xff".parse().unwrap(),
                detail: "Input/output error".into(),
            }],
            warning_count: 1,
            name: Some("before production reload 2016-02-10".into()),
            description: Some("all is well".into()),
            protected: false,
            deleting: false,
        }],
        engines: vec![EngineKind::Restic, EngineKind::Duplicity],
        deleting_since: None,
        half_restored: Vec::new(),
    }
}

#[tokio::test]
async fn a_backup_document() {
    let (memory, catalog) = store();
    catalog.create_backup(&backup()).await.unwrap();
    let key = "backups/shop-db-1-4f1c4f1c4f1c.json";
    let written = memory.peek(key).unwrap();
    assert_eq!(written, golden("backup-1b.json"));

    // The first was written while options were spelt with a hyphen.
    for name in ["backup-1.json", "backup-1b.json"] {
        let (memory, catalog) = store();
        memory.put(key, golden(name));
        assert_eq!(catalog.backup(&backup().id).await.unwrap(), backup(), "{name}");
        let take_options_back = |backup: &mut Backup| {
            backup.policy.engine_options.clear();
            Ok(())
        };
        catalog.update_backup(&backup().id, take_options_back).await.unwrap();
        let changed = catalog.backup(&backup().id).await.unwrap();
        assert!(changed.policy.engine_options.is_empty(), "{name}");
    }
}

/// What a point left out stands on it; documents from before it did are read as if nothing had been.
#[tokio::test]
async fn a_backup_document_whose_point_left_something_out() {
    let mut backup = backup();
    backup.points[0].exclude = vec!["uploads/".into(), "*.tmp".into()];
    let (memory, catalog) = store();
    catalog.create_backup(&backup).await.unwrap();
    let key = "backups/shop-db-1-4f1c4f1c4f1c.json";
    let golden = golden("backup-1-exclude.json");
    assert_eq!(memory.peek(key).unwrap(), golden);

    let (memory, catalog) = store();
    memory.put(key, golden);
    assert_eq!(catalog.backup(&backup.id).await.unwrap(), backup);
}

/// A backup that says all that can be said since points can be suspect and hooks be set.
fn frozen_backup() -> Backup {
    let key = MasterKey::derive(&Secret::new("correct horse"), "01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
    let mut backup = backup();
    let pre = HookSettings {
        command: Some("sync && touch /tmp/flushed".parse().unwrap()),
        user: Some("postgres".into()),
        timeout: Some("90s".parse().unwrap()),
        on_error: Some(OnError::Continue),
    };
    let hooks = HookOverrides { pre, ..HookOverrides::default() };
    backup.hooks = Some(SealedHooks::new(&key, &backup.id, &backup.server, hooks.clone()).unwrap());
    assert_eq!(backup.proven_hooks(Some(&key)).unwrap(), hooks);
    backup.policy.healthy_timeout = Some("3m".parse().unwrap());
    backup.policy.suspect_below = Some("30%".parse().unwrap());
    let point = &mut backup.points[0];
    point.mount_sizes = vec![MountSize { key: point.mounts[0].key.clone(), files: 1_368, bytes: 2_000_000_000 }];
    point.exclude = vec!["cache/**".into()];
    point.suspect = Some(Suspicion {
        loss: Loss {
            mount: Some("/var/lib/postgresql/data".into()),
            of: Measure::Bytes,
            before: 9_000_000_000,
            now: 2_000_000_000,
        },
        compared_with: PointId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZW").unwrap(),
        cleared: Some(Clearance {
            at: at("2026-11-24T00:00:00Z"),
            server: ServerName::parse("alpha").unwrap(),
            by: Some("ada".into()),
        }),
    });
    backup
}

#[tokio::test]
async fn a_backup_document_with_hooks_and_a_suspect_point() {
    let (memory, catalog) = store();
    catalog.create_backup(&frozen_backup()).await.unwrap();
    let written = memory.peek("backups/shop-db-1-4f1c4f1c4f1c.json").unwrap();
    let golden = golden("backup-1-frozen.json");
    assert_eq!(written, golden);

    let (memory, catalog) = store();
    memory.put("backups/shop-db-1-4f1c4f1c4f1c.json", golden);
    assert_eq!(catalog.backup(&backup().id).await.unwrap(), frozen_backup());
}

/// A backup whose data a restore is about to write to.
fn half_restored_backup() -> Backup {
    let mut backup = backup();
    backup.half_restored = vec![HalfRestored {
        run: RunId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZV").unwrap(),
        server: ServerName::parse("alpha").unwrap(),
        since: at("2026-11-25T03:00:00Z"),
        safety_point: Some(PointId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZT").unwrap()),
        mounts: backup.points[0].mounts.clone(),
    }];
    backup.points[0].warnings[0].kind = WarningKind::HalfRestored;
    backup
}

#[tokio::test]
async fn a_backup_document_with_a_restore_under_way() {
    let (memory, catalog) = store();
    catalog.create_backup(&half_restored_backup()).await.unwrap();
    let written = memory.peek("backups/shop-db-1-4f1c4f1c4f1c.json").unwrap();
    let golden = golden("backup-1-half-restored.json");
    assert_eq!(written, golden);

    let (memory, catalog) = store();
    memory.put("backups/shop-db-1-4f1c4f1c4f1c.json", golden);
    assert_eq!(catalog.backup(&backup().id).await.unwrap(), half_restored_backup());
}

/// A backup whose point holds a dump, and whose catalog says how the next is made.
fn dumped_backup() -> Backup {
    let key = MasterKey::derive(&Secret::new("correct horse"), "01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
    let mut backup = backup();
    let dump = DumpSettings {
        method: Some("pg_dump shop".parse().unwrap()),
        restore: Some("psql shop".parse().unwrap()),
        name: Some("shop.sql".parse().unwrap()),
        user: Some("postgres".into()),
        timeout: Some("2h".parse().unwrap()),
        on_error: Some(OnError::Continue),
    };
    let hooks = HookOverrides { dump, ..HookOverrides::default() };
    backup.hooks = Some(SealedHooks::new(&key, &backup.id, &backup.server, hooks).unwrap());
    let dump = |name: &str, preset| PointDump {
        name: name.parse().unwrap(),
        bytes: 123_456_789,
        preset,
        elapsed: SignedDuration::from_millis(1_500),
    };
    backup.points[0].dumps = vec![dump("postgres.sql", Some(DumpPreset::Postgres)), dump("shop.sql", None)];
    backup.points[0].warnings[0].kind = WarningKind::NotDumped;
    backup
}

#[tokio::test]
async fn a_backup_document_with_dumps() {
    let (memory, catalog) = store();
    catalog.create_backup(&dumped_backup()).await.unwrap();
    let key = "backups/shop-db-1-4f1c4f1c4f1c.json";
    let golden = golden("backup-1-dumps.json");
    assert_eq!(memory.peek(key).unwrap(), golden);

    let (memory, catalog) = store();
    memory.put(key, golden);
    assert_eq!(catalog.backup(&backup().id).await.unwrap(), dumped_backup());
}

/// A backup with a schedule that was put off, with what its container's labels said, and with damage.
fn backup_with_turns() -> Backup {
    let turns = Turns {
        over_until: Some(at("2026-11-23T03:00:00Z")),
        paused_since: Some(at("2026-11-24T12:00:00Z")),
        skip: Some(at("2026-11-25T03:00:00Z")),
    };
    let label_rules = LabelRules {
        schedule: Some("TZ=Europe/Berlin 0 4 * * *".parse().unwrap()),
        keep: Some("last=3,daily=7".parse().unwrap()),
    };
    let verified = Some(Verified {
        at: at("2026-11-24T05:00:00Z"),
        elapsed: SignedDuration::from_secs(90),
        read_data: true,
        faults: vec!["pack 00ff is gone".into()],
    });
    Backup { turns, label_rules, verified, ..backup() }
}

#[tokio::test]
async fn a_backup_document_with_turns_labels_and_a_check() {
    let (memory, catalog) = store();
    catalog.create_backup(&backup_with_turns()).await.unwrap();
    let written = memory.peek("backups/shop-db-1-4f1c4f1c4f1c.json").unwrap();
    let golden = golden("backup-1-turns.json");
    assert_eq!(written, golden);

    let (memory, catalog) = store();
    memory.put("backups/shop-db-1-4f1c4f1c4f1c.json", golden);
    assert_eq!(catalog.backup(&backup().id).await.unwrap(), backup_with_turns());
}

#[tokio::test]
async fn a_fleet_document() {
    let fleet = fleet();
    let (memory, catalog) = store();
    catalog.create_fleet(&fleet).await.unwrap();
    let written = memory.peek("dory.json").unwrap();
    let golden = golden("fleet-1.json");
    assert_eq!(written, golden);

    let (memory, catalog) = store();
    memory.put("dory.json", golden);
    assert_eq!(catalog.fleet().await.unwrap(), Some(fleet));
}

#[tokio::test]
async fn a_run_document() {
    let run = Run {
        id: RunId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZY").unwrap(),
        server: ServerName::parse("alpha").unwrap(),
        kind: RunKind::Backup,
        backup: backup().id,
        started_at: at("2026-11-23T04:50:00Z"),
        elapsed: SignedDuration::from_secs(17),
        outcome: Outcome::Failed,
        point: None,
        error: Some(ErrorRecord {
            kind: ErrorKind::Full,
            operation: "write pack".into(),
            subject: "data/x".into(),
            reason: "no space left".into(),
            hint: Some("make room in the store".into()),
            causes: vec!["No space left on device (os error 28)".into()],
        }),
        log: vec!["stopping shop-db-1".into()],
    };
    let (memory, catalog) = store();
    catalog.record_run(&run).await.unwrap();
    let written = memory.peek("runs/alpha/01K9ZZZZZZZZZZZZZZZZZZZZZY.json").unwrap();
    assert_eq!(written, golden("run-1.json"));
}

#[tokio::test]
async fn a_run_document_of_a_run_that_was_broken_off() {
    let run = Run {
        id: RunId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZY").unwrap(),
        server: ServerName::parse("alpha").unwrap(),
        kind: RunKind::Restore,
        backup: backup().id,
        started_at: at("2026-11-23T04:50:00Z"),
        elapsed: SignedDuration::from_secs(17),
        outcome: Outcome::Interrupted,
        point: None,
        error: None,
        log: Vec::new(),
    };
    let (memory, catalog) = store();
    catalog.record_run(&run).await.unwrap();
    let written = memory.peek("runs/alpha/01K9ZZZZZZZZZZZZZZZZZZZZZY.json").unwrap();
    assert_eq!(written, golden("run-interrupted-1.json"));
}

#[tokio::test]
async fn a_newer_format_is_refused_with_what_to_do() {
    let (memory, catalog) = store();
    memory.put("dory.json", r#"{"format": 2, "counter": 1, "body": {"anything": true}}"#);
    let error = catalog.fleet().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint().unwrap().contains("update"));
}

#[tokio::test]
async fn a_damaged_document_is_named_and_the_others_still_work() {
    let (memory, catalog) = store();
    catalog.create_backup(&backup()).await.unwrap();
    memory.put("backups/broken.json", "{\"format\": 1, \"counter\"");
    let list = catalog.backups().await.unwrap();
    assert_eq!(list.backups.len(), 1);
    let [error] = list.damaged.as_slice() else { panic!("{:?}", list.damaged) };
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Corrupt, "backups/broken.json"));
}

#[tokio::test]
async fn unchanged_documents_are_read_once() {
    let (memory, catalog) = store();
    catalog.create_backup(&backup()).await.unwrap();
    catalog.backups().await.unwrap();
    memory.journal().clear();
    catalog.backups().await.unwrap();
    assert_eq!(memory.journal().only(&["catalog get"]), Vec::<String>::new());
}

#[tokio::test]
async fn a_change_keeps_what_a_newer_version_wrote() {
    let (memory, catalog) = store();
    let backup = backup();
    catalog.create_backup(&backup).await.unwrap();
    let key = format!("backups/{}.json", backup.id);
    let text = memory.peek(&key).unwrap().replacen("\"marked\"", "\"schedule\": \"@daily\", \"marked\"", 1);
    assert!(text.contains("@daily"), "{text}");
    memory.put(&key, text);
    let rename = |backup: &mut Backup| {
        backup.name = "another".into();
        Ok(())
    };
    catalog.update_backup(&backup.id, rename).await.unwrap();
    let written = memory.peek(&key).unwrap();
    assert!(written.contains("@daily") && written.contains("another"), "{written}");
}

#[tokio::test]
async fn a_lost_fleet_document_comes_back_from_a_copy() {
    let fleet = fleet();
    let (memory, catalog) = store();
    catalog.create_fleet(&fleet).await.unwrap();
    memory.port().delete(&DocumentKey::parse("dory.json").unwrap()).await.unwrap();
    assert_eq!(catalog.fleet().await.unwrap(), Some(fleet));
    assert!(memory.peek("dory.json").is_some());
}

#[tokio::test]
async fn no_new_fleet_is_founded_over_backups_that_it_could_not_read() {
    let (_, catalog) = store();
    catalog.create_backup(&backup()).await.unwrap();
    let error = catalog.fleet().await.unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Corrupt, "dory.json"));
    assert!(error.hint().is_some_and(|hint| hint.contains("--fleet")), "{error:?}");
}
