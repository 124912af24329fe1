//! The fleet's documents, to the byte: servers of several versions share a store.

use std::fmt::Debug;

use dory_core::domain::audit::AuditEntry;
use dory_core::domain::command::{BackupHow, CommandOutcome, FleetCommand, Order, SealedCommand, Shortfall};
use dory_core::domain::id::{AuditId, CommandId, RunId, TokenId, UserName};
use dory_core::domain::keys::MasterKey;
use dory_core::domain::lease::Lease;
use dory_core::domain::ledger::{CommandLedger, SealedLedger};
use dory_core::domain::password::PasswordHash;
use dory_core::domain::policy::{PolicyOverrides, StopMode};
use dory_core::domain::run::{LiveRun, RunKind};
use dory_core::domain::secret::Secret;
use dory_core::domain::server::{NextRun, Ping, ServerRecord};
use dory_core::domain::user::{ApiToken, Role, SealedUsers, User, Users};
use dory_core::{Error, ErrorKind, ErrorRecord};
use dory_testkit::World;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bench::dory;

fn golden(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR")))
        .unwrap()
        .trim_end()
        .to_owned()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The document as it is written.
fn written(counter: u64, body: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        format: u32,
        counter: u64,
        body: &'a T,
    }
    serde_json::to_string_pretty(&Envelope { format: 1, counter, body }).unwrap()
}

#[tokio::test]
async fn a_server_document() {
    let record = ServerRecord {
        name: "alpha".parse().unwrap(),
        lease: Lease {
            holder: "0123456789abcdef0123".into(),
            epoch: 3,
            beat: 42,
            term_seconds: 60,
            taken_at: at("2026-11-23T04:00:00Z"),
            released: false,
        },
        ping: Ping {
            at: at("2026-11-23T04:10:00Z"),
            started_at: at("2026-11-23T03:59:00Z"),
            host: "docker-1".into(),
            version: "0.1.0".into(),
            runtime: Some("docker 20.10.24".into()),
            next_run: Some(NextRun { container: "shop-db-1".parse().unwrap(), at: at("2026-11-24T03:00:00Z") }),
            running: vec!["shop-web-1".parse().unwrap()],
        },
    };
    assert_eq!(written(7, &record), golden("server-1.json"));
    let world = World::new();
    world.catalog.put("servers/alpha.json", golden("server-1.json"));
    assert_eq!(dory(&world).catalog().servers().await.unwrap(), [record]);
}

fn key() -> MasterKey {
    MasterKey::derive(&Secret::new("correct horse"), "01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap()
}

fn command(order: Order) -> FleetCommand {
    FleetCommand {
        id: CommandId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZA").unwrap(),
        server: "alpha".parse().unwrap(),
        order,
        by: "ada@docker-2".into(),
        issued_at: at("2026-11-23T04:10:00Z"),
        expires_at: at("2026-11-24T04:10:00Z"),
    }
}

/// The golden file holds `SEAL` in the seal's place: it is HMAC-SHA256 over the compact JSON, which changes with the
/// format, and servers must not disagree.
fn check_sealed<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, counter: u64, sealed: &T, seal: &str) {
    let golden = golden(name).replace("SEAL", seal);
    assert_eq!(written(counter, sealed), golden);
    let read: serde_json::Value = serde_json::from_str(&golden).unwrap();
    assert_eq!(serde_json::from_value::<T>(read["body"].clone()).unwrap(), *sealed);
}

#[test]
fn a_command_document() {
    let restore = command(Order::Restore {
        backup: "shop-db-1-4f1c4f1c4f1c".parse().unwrap(),
        point: "01K9ZZZZZZZZZZZZZZZZZZZZZZ".to_owned().try_into().unwrap(),
        into: Some("shop-db-copy".into()),
        maps: vec!["/data=/other".into()],
        safety: true,
        delete_extra: false,
    });
    let sealed = SealedCommand::new(&key(), restore).unwrap();
    check_sealed("command-1.json", 1, &sealed, &sealed.seal);

    let how = Box::new(BackupHow {
        policy: PolicyOverrides {
            stop: Some(StopMode::Pause),
            exclude: Some(vec!["cache/**".into()]),
            ..PolicyOverrides::default()
        },
        no_hooks: true,
        continue_backup: Some("shop-db-1-4f1c4f1c4f1c".parse().unwrap()),
        ..BackupHow::default()
    });
    let name = Some("before the reload".to_owned());
    let backup = command(Order::Backup { container: "shop-db-1".into(), name, description: None, how });
    let sealed = SealedCommand::new(&key(), backup).unwrap();
    check_sealed("command-1-backup.json", 1, &sealed, &sealed.seal);
}

#[test]
fn a_ledger_document() {
    let ledger = CommandLedger {
        server: "alpha".parse().unwrap(),
        holder: "0123456789abcdef0123".into(),
        since: at("2026-11-01T00:00:00Z"),
        taken: [(CommandId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZA").unwrap(), at("2026-11-24T04:10:00Z"))].into(),
    };
    let sealed = SealedLedger::new(&key(), ledger).unwrap();
    check_sealed("ledger-1.json", 3, &sealed, &sealed.seal);
}

#[test]
fn a_document_of_a_run_under_way() {
    let live = LiveRun {
        id: RunId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZY").unwrap(),
        server: "alpha".parse().unwrap(),
        kind: RunKind::Backup,
        what: "back up shop-db-1".into(),
        started_at: at("2026-11-23T04:50:00Z"),
        at: at("2026-11-23T04:50:05Z"),
        progress: "stopping shop-db-1".into(),
        lines_before: 0,
        log: vec!["preparing".into(), "stopping shop-db-1".into()],
    };
    check_sealed("live-run-1.json", 2, &live, "");
}

#[test]
fn an_outcome_document() {
    let error = ErrorRecord {
        kind: ErrorKind::ContainerDown,
        operation: "start container".into(),
        subject: "shop-db-1".into(),
        reason: "it does not run".into(),
        hint: None,
        causes: Vec::new(),
    };
    let outcome = CommandOutcome {
        at: at("2026-11-23T04:51:00Z"),
        run: Some(RunId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZY").unwrap()),
        point: Some("01K9ZZZZZZZZZZZZZZZZZZZZZZ".to_owned().try_into().unwrap()),
        words: "made point 01K9ZZZZZZZZZZZZZZZZZZZZZZ of shop-db-1-4f1c4f1c4f1c".into(),
        error: None,
        shortfalls: vec![
            Shortfall::LostData { warnings: 3 },
            Shortfall::Suspect,
            Shortfall::ContainerDown { error },
            Shortfall::GuardianLost { reason: "somebody removed it".into() },
        ],
    };
    check_sealed("outcome-1.json", 1, &outcome, "");
}

#[test]
fn a_users_document() {
    let name = |name: &str| UserName::parse(name).unwrap();
    let password =
        PasswordHash { memory_kib: 19_456, passes: 2, lanes: 1, salt: "07".repeat(16), hash: "ab".repeat(32) };
    let created_at = at("2026-11-25T12:00:00Z");
    let ada = User { name: name("ada@example.org"), role: Role::Admin, password: Some(password), created_at };
    let bob = User { name: name("bob"), role: Role::Viewer, password: None, created_at };
    let token = ApiToken {
        id: TokenId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZA").unwrap(),
        name: "ci".into(),
        scope: Role::Operator,
        hash: "cd".repeat(32),
        made_by: name("ada@example.org"),
        expires_at: Some(at("2027-02-25T12:00:00Z")),
    };
    let users = Users { users: vec![ada, bob], tokens: vec![token] };
    let sealed = SealedUsers { users, seal: "ef".repeat(32) };
    assert_eq!(written(2, &sealed), golden("users-1.json"));
    assert_eq!(body_of::<SealedUsers>("users-1.json"), sealed);
}

#[test]
fn an_audit_document() {
    let entry = AuditEntry {
        id: AuditId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZA").unwrap(),
        by: "ada@example.org".into(),
        from: Some("192.0.2.7".into()),
        action: "edit backup".into(),
        subject: "shop-db-1-4f1c4f1c4f1c".into(),
        error: Some(Error::new(ErrorKind::Conflict, "name backup", "shop", "another has it").to_record()),
    };
    assert_eq!(written(1, &entry), golden("audit-1.json"));
    assert_eq!(body_of::<AuditEntry>("audit-1.json"), entry);
}

fn body_of<T: DeserializeOwned>(name: &str) -> T {
    let document: serde_json::Value = serde_json::from_str(&golden(name)).unwrap();
    serde_json::from_value(document["body"].clone()).unwrap()
}
