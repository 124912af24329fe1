//! An engine at the other end of an agent's pipes keeps its promises about streams, however narrow the pipes are.

use std::sync::Arc;

use dory_core::ErrorKind;
use dory_core::agent::{self, AgentConnection, AgentOptions, RemoteEngine};
use dory_core::domain::id::{ContainerId, DumpName};
use dory_core::domain::policy::EngineKind;
use dory_core::ports::{BackupEngine, DumpRequest, Events, Helper, OpenMode};
use dory_testkit::contracts::backup_engine::Subject;
use dory_testkit::fakes::{FakeClock, FakeEngine};

use super::fake_engine::repository;

/// Less than any frame of a stream.
const PIPE: usize = 4 << 10;

dory_testkit::backup_engine_contract! { @promises behind_an_agent, async { Some(subject().await) };
    dumps_are_files_of_the_next_snapshot_alone
    a_frozen_snapshot_holds_dumps_too
    a_dump_needs_no_mounts
    a_dump_that_breaks_off_is_in_no_snapshot
    a_later_dump_of_a_name_takes_its_place
}

async fn subject() -> Subject {
    let engine = FakeEngine::new(EngineKind::Restic);
    Subject::new(behind_pipes(&engine).await, repository())
}

async fn behind_pipes(engine: &FakeEngine) -> Arc<dyn BackupEngine> {
    let (stdin, input) = tokio::io::duplex(PIPE);
    let (output, stdout) = tokio::io::duplex(PIPE);
    let options = AgentOptions { engines: vec![engine.port()], clock: FakeClock::new().port(), root: "/".into() };
    tokio::spawn(agent::serve(input, output, options));
    let helper = Helper {
        id: ContainerId::parse("4f1c").unwrap(),
        stdin: Box::new(stdin),
        stdout: Box::new(stdout),
        stderr: Box::new(tokio::io::empty()),
    };
    let connection = AgentConnection::connect(helper).await.unwrap();
    Arc::new(RemoteEngine::new(engine.port(), connection))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_gives_up_early_is_not_sent_the_rest_and_goes_on_working() {
    let engine = FakeEngine::new(EngineKind::Restic);
    let remote = behind_pipes(&engine).await;
    let repository = remote.open(&repository(), OpenMode::CreateIfMissing).await.unwrap();
    let request = DumpRequest { name: DumpName::parse("dump").unwrap(), scratch: None };
    for _ in 0..3 {
        engine.set_read_only(true);
        let error = repository.take_dump(&request, &mut tokio::io::repeat(7), &Events::ignored()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        engine.set_read_only(false);
        let length = repository.take_dump(&request, &mut &b"small"[..], &Events::ignored()).await.unwrap();
        assert_eq!(length, 5);
    }
}
