//! Every example is short, and runs to its end.
#![allow(clippy::expect_used, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// What an example has at most, in lines.
const LONGEST: usize = 60;

macro_rules! examples {
    ($($name:ident),+ $(,)?) => {
        const EXAMPLES: &[&str] = &[$(stringify!($name)),+];
        $(
            #[test]
            fn $name() {
                run(env!(concat!("CARGO_BIN_EXE_", stringify!($name))));
            }
        )+
    };
}

examples! {
    test_consistency,
    test_with_faults,
    test_without_docker,
    test_your_own_port,
}

fn run(program: &str) {
    let output = Command::new(program).output().expect("the example starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(!output.stdout.is_empty(), "an example shows what it did");
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
    assert_eq!(found, EXAMPLES, "every example stands in the list above, in order");
}
