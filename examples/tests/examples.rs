//! Every example is short, and runs to its end.
#![allow(clippy::expect_used, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

use dory_testkit::live::LiveContainer;

/// What an example has at most, in lines.
const LONGEST: usize = 60;

/// The examples that need an engine and a store, tested one by one below.
const LIVE: &[&str] = &["back_up_a_container", "bring_back_a_file"];

macro_rules! examples {
    ($($name:ident),+ $(,)?) => {
        const ALONE: &[&str] = &[$(stringify!($name)),+];
        $(
            #[test]
            fn $name() {
                let told = run(Command::new(env!(concat!("CARGO_BIN_EXE_", stringify!($name)))).env_clear());
                assert!(!told.is_empty(), "an example shows what it did");
            }
        )+
    };
}

examples! {
    test_consistency,
    test_with_faults,
    test_without_docker,
    test_your_integration,
    test_your_own_port,
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("the example starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_container_is_backed_up_and_a_file_comes_back() {
    let Some(container) = LiveContainer::start() else { return };
    container.sh("echo remember > /data/note");
    let store = tempfile::tempdir().expect("a folder for the store");
    let with_store = |program: &str| {
        let mut command = Command::new(program);
        command.env_clear().env("DORY_STORE", format!("file://{}", store.path().display()));
        command.env("DORY_PASSPHRASE", "correct horse battery staple");
        command
    };
    let told = run(with_store(env!("CARGO_BIN_EXE_back_up_a_container")).arg(container.name()));
    assert!(told.contains(&format!("would be stopped: {}", container.name())), "{told}");
    assert!(told.ends_with(": 9 bytes\n"), "{told}");
    assert!(container.runs());
    let mut command = with_store(env!("CARGO_BIN_EXE_bring_back_a_file"));
    assert_eq!(run(command.args([container.name(), "/data/note"])), "remember\n");
}

#[test]
fn every_example_is_short_and_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of examples") {
        let path = entry.expect("an example").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let lines = fs::read_to_string(&path).expect("an example").lines().count();
        assert!(lines < LONGEST, "{name} has {lines} lines, and examples have less than {LONGEST}");
        found.push(name);
    }
    found.sort();
    let mut listed = [LIVE, ALONE].concat();
    listed.sort_unstable();
    assert_eq!(found, listed, "every example stands in one of the lists above");
}
