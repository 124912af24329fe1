//! The fleet's documents, to the byte: servers of several versions share a store.

use dory_core::domain::command::{FleetCommand, Order, SealedCommand};
use dory_core::domain::id::CommandId;
use dory_core::domain::keys::MasterKey;
use dory_core::domain::lease::Lease;
use dory_core::domain::secret::Secret;
use dory_core::domain::server::{NextRun, Ping, ServerRecord};
use dory_testkit::World;
use jiff::Timestamp;
use serde::Serialize;

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

#[test]
fn a_command_document() {
    let command = FleetCommand {
        id: CommandId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZA").unwrap(),
        server: "alpha".parse().unwrap(),
        order: Order::Restore {
            backup: "shop-db-1-4f1c4f1c4f1c".parse().unwrap(),
            point: "01K9ZZZZZZZZZZZZZZZZZZZZZZ".to_owned().try_into().unwrap(),
            into: Some("shop-db-copy".into()),
            maps: vec!["/data=/other".into()],
            safety: true,
            delete_extra: false,
        },
        by: "ada@docker-2".into(),
        issued_at: at("2026-11-23T04:10:00Z"),
        expires_at: at("2026-11-24T04:10:00Z"),
    };
    let key = MasterKey::derive(&Secret::new("correct horse"), "01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
    let sealed = SealedCommand::new(&key, command).unwrap();
    // The seal is HMAC-SHA256 over the command's compact JSON: it changes with the format, and servers must not disagree.
    let golden = golden("command-1.json").replace("SEAL", &sealed.seal);
    assert_eq!(written(1, &sealed), golden);
    let read: serde_json::Value = serde_json::from_str(&golden).unwrap();
    assert_eq!(serde_json::from_value::<SealedCommand>(read["body"].clone()).unwrap(), sealed);
}
