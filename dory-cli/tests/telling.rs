//! `dory settings` and `dory report`: they need a store, and no container engine.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use dory_core::domain::contact::SmtpSecurity;
use dory_testkit::live;
use dory_testkit::servers::{SmtpServer, smtp};
use serde_json::Value;
use tempfile::TempDir;

/// A store in a folder, and the command on a host without containers.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(desk.folder.path().join("store")).unwrap();
        desk.does(&["init"]);
        desk
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let store = format!("file://{}", self.folder.path().join("store").display());
        let nowhere = format!("unix://{}", self.folder.path().join("no.sock").display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_dory"));
        command.env_clear().args(arguments).current_dir(&self.folder);
        command.envs([
            ("DORY_STORE", store.as_str()),
            ("DORY_PASSPHRASE", "correct horse battery"),
            ("DORY_SERVER", "desk"),
            ("DOCKER_HOST", nowhere.as_str()),
        ]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // One that refuses at once reads none of it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// What it prints, and it must do what it was asked.
    fn does(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, "");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it says when it refuses with that code.
    fn refuses(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments, "");
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {words}");
        words
    }

    /// Lets mail go by `server`.
    fn mails_by(&self, server: &SmtpServer) {
        self.does(&["settings", "set", "mail.smtp", server.account().smtp.as_str()]);
        self.does(&["settings", "set", "mail.from", "dory@example.org"]);
        self.does(&["settings", "set", "mail.to", "ada@example.org"]);
    }
}

#[test]
fn settings_are_set_shown_and_taken_back() {
    let desk = Desk::new();
    desk.does(&["settings", "set", "report.zone", "Europe/Berlin"]);
    desk.does(&["settings", "set", "webhook.ops.url", "https://hooks.example.org/dory"]);
    let shown: Value = serde_json::from_str(&desk.does(&["settings", "--json"])).unwrap();
    assert_eq!(shown["report.zone"], "Europe/Berlin");
    let words = desk.does(&["settings"]);
    assert!(words.contains("webhook.ops.events") && words.contains("mail.smtp"), "{words}");
    desk.does(&["settings", "unset", "webhook.ops.url"]);
    assert!(!desk.does(&["settings", "show"]).contains("webhook.ops"));
}

#[test]
fn a_setting_that_makes_no_sense_names_itself_and_what_is_allowed() {
    let desk = Desk::new();
    let words = desk.refuses(2, &["settings", "set", "report.hour", "25"]);
    assert!(words.contains("report.hour") && words.contains("`25`") && words.contains("0 to 23"), "{words}");
    let words = desk.refuses(2, &["settings", "set", "mail.port", "25"]);
    assert!(words.contains("mail.port") && words.contains("`mail.smtp`"), "{words}");
    let words = desk.refuses(2, &["settings", "set", "mail.to"]);
    assert!(words.contains("mail.to") && words.contains("value"), "{words}");
    assert!(!desk.folder.path().join("store/settings.json").exists());
}

#[test]
fn a_secret_is_read_from_standard_input_and_never_printed() {
    let desk = Desk::new();
    desk.does(&["settings", "set", "mail.smtp", "smtp://ada@mail.example.org"]);
    let words = desk.refuses(2, &["settings", "set", "mail.password", "hunter2"]);
    assert!(!words.contains("hunter2") && words.contains("< file"), "{words}");
    assert!(desk.run(&["settings", "set", "mail.password"], "hunter2\n").status.success());
    for shown in [desk.does(&["settings"]), desk.does(&["settings", "--json"])] {
        assert!(shown.contains("***") && !shown.contains("hunter2"), "{shown}");
    }
    let stored = std::fs::read_to_string(desk.folder.path().join("store/settings.json")).unwrap();
    assert!(!stored.contains("hunter2"), "{stored}");
    let output = desk.run(&["settings", "set", "mail.smtp", "smtp://ada@elsewhere.example"], "");
    assert!(String::from_utf8(output.stderr).unwrap().contains("mail.password"), "it is forgotten, and that is said");
}

#[test]
fn a_preview_comes_as_words_as_a_page_and_as_data() {
    let desk = Desk::new();
    let words = desk.does(&["report", "--preview"]);
    assert!(words.starts_with("Dory: all is well, 0 restore points made\nfrom "), "{words}");
    let page = desk.does(&["report", "--html"]);
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("all is well"), "{page}");
    let data: Value = serde_json::from_str(&desk.does(&["report", "--json"])).unwrap();
    assert_eq!(data["size"]["points"], 0);
    let words = desk.refuses(2, &["report", "--send"]);
    assert!(
        words.contains("nobody is to be told") && words.contains("hint: run `dory settings set mail.to"),
        "{words}"
    );
}

#[test]
fn a_test_mail_arrives_and_a_refusal_is_told_in_the_mail_servers_words() {
    let desk = Desk::new();
    let words = desk.refuses(2, &["report", "--send-test", "ada@example.org"]);
    assert!(words.contains("mail.smtp"), "{words}");
    let Some(server) = live::or_skip("smtp", smtp(SmtpSecurity::IfOffered)) else { return };
    desk.mails_by(&server);
    desk.does(&["report", "--send-test", "eve@example.org"]);
    desk.does(&["report", "--send"]);
    let letters = server.letters();
    assert_eq!(
        (letters[0].subject.as_str(), letters[0].recipients.as_slice()),
        ("Dory: a test", &["eve@example.org".to_owned()][..])
    );
    assert_eq!(
        (letters[1].subject.as_str(), letters[1].kind.as_str()),
        ("Dory: all is well, 0 restore points made", "multipart/alternative")
    );
    server.refuse_with("550 5.1.1 there is no eve here");
    let words = desk.refuses(2, &["report", "--send-test", "eve@example.org"]);
    assert!(words.contains("550 5.1.1 there is no eve here"), "{words}");
    let words = desk.refuses(2, &["report", "--send-test", "no address"]);
    assert!(words.contains("no address"), "{words}");
}
