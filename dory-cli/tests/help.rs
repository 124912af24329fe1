//! What `--help` says, word by word: it is part of the interface.

use std::process::Command;

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dory")).env_clear().args(arguments).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn dory_helps() {
    insta::assert_snapshot!("dory", help(&["--help"]));
}

#[test]
fn dory_backup_helps() {
    insta::assert_snapshot!("dory_backup", help(&["backup", "--help"]));
}
