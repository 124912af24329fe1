//! The stand-in as a program, spoken to by curl: a signer of V4 requests that Dory had no hand in.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use dory_testkit::live::or_skip;

/// The program, and where it listens; killed on drop.
struct Program {
    child: Child,
    url: String,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-server"));
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }

    /// The status and the body of one request.
    fn curl(&self, path: &str, arguments: &[&str]) -> (u16, String) {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--write-out", "\n%{http_code}"]).args(arguments).arg(format!("{}{path}", self.url));
        let output = String::from_utf8(curl.output().unwrap().stdout).unwrap();
        let (body, status) = output.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    fn signed(&self, path: &str, secret: &str, arguments: &[&str]) -> (u16, String) {
        let user = format!("KEY:{secret}");
        let signing = ["--aws-sigv4", "goog:goog:auto:storage", "--user", &user];
        self.curl(path, &[&signing, arguments].concat())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// curl signs since 7.75.
fn has_curl() -> Option<()> {
    let help = Command::new("curl").args(["--help", "all"]).output().ok()?;
    String::from_utf8_lossy(&help.stdout).contains("--aws-sigv4").then_some(())
}

#[test]
fn curl_is_let_in_with_the_right_secret_alone() {
    if or_skip("curl", has_curl()).is_none() {
        return;
    }
    let server = Program::start(&["--bucket", "one", "--bucket", "two", "--access-key", "KEY", "--secret", "right/+="]);
    let upload = ["--request", "PUT", "--data-binary", "some bytes", "--header", "content-type: text/plain"];
    assert_eq!(server.signed("/two/a/b.txt", "right/+=", &upload).0, 200);
    assert_eq!(server.signed("/two/a/b.txt", "right/+=", &[]), (200, "some bytes".to_owned()));
    let (status, list) = server.signed("/two?list-type=2&prefix=a%2F", "right/+=", &[]);
    assert!(status == 200 && list.contains("<Key>a/b.txt</Key>"), "{list}");
    assert!(!server.signed("/one?list-type=2", "right/+=", &[]).1.contains("<Key>"));

    let (status, refusal) = server.signed("/two/a/b.txt", "wrong", &[]);
    assert!(status == 403 && refusal.contains("<Code>SignatureDoesNotMatch</Code>"), "{refusal}");
    assert_eq!(server.curl("/two/a/b.txt", &[]).0, 403);
    assert_eq!(server.signed("/three/a", "right/+=", &[]).0, 404);
}

#[test]
fn another_process_can_tell_it_to_misbehave_and_ask_what_it_cost() {
    if or_skip("curl", has_curl()).is_none() {
        return;
    }
    let server = Program::start(&["--access-key", "KEY", "--secret", "s"]);
    let rule = r#"{"method":"GET","path":"dory/a","times":1,"fault":{"status":503}}"#;
    assert_eq!(server.curl("/_gcs/faults", &["--data", rule]).0, 204);
    assert_eq!(server.curl("/_gcs/faults", &["--data", r#"{"fault":"no such fault"}"#]).0, 400);
    assert_eq!(server.signed("/dory/b", "s", &[]).0, 404);
    assert_eq!(server.signed("/dory/a", "s", &[]).0, 503);
    assert_eq!(server.signed("/dory/a", "s", &[]).0, 404);
    let (_, counts) = server.curl("/_gcs/counts", &[]);
    assert!(counts.contains(r#""class_b":3"#), "{counts}");

    let upload = ["--request", "PUT", "--data-binary", "x"];
    assert_eq!(server.curl("/_gcs/read-only", &["--request", "PUT", "--data", "true"]).0, 204);
    assert_eq!(server.signed("/dory/a", "s", &upload).0, 403);
    assert_eq!(server.curl("/_gcs/read-only", &["--request", "PUT", "--data", "false"]).0, 204);
    assert_eq!(server.signed("/dory/a", "s", &upload).0, 200);
}
