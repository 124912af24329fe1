//! One server for many test processes: nextest gives each test a process of its own, and some servers take ten seconds
//! to start.
//!
//! Whoever uses the server holds a shared lock on a file. A watchdog beside the server ends it once nobody has held
//! that lock for a while, so it goes even if every test was killed.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

const PATIENCE: Duration = Duration::from_secs(90);

/// `$1` is the folder, the rest the server's command. Seconds of quiet bridge the gap between two tests.
const WATCHDOG: &str = r#"
cd "$1" || exit 1; shift
"$@" >log 2>&1 </dev/null &
server=$!
quiet=0
while [ "$quiet" -lt 8 ]; do
    sleep 1
    kill -0 "$server" 2>/dev/null || break
    if flock -n -x users true; then quiet=$((quiet + 1)); else quiet=0; fi
done
exec 9>>users
flock 9
kill -9 "$server" 2>/dev/null
rm -rf address data
xargs -d '\n' -r rm -f <leaves
"#;

/// The right to use a shared server; it stays up while this is held.
#[derive(Debug)]
pub(super) struct Lease {
    /// What [`Startup::address`] said.
    pub(super) address: String,
    _users: File,
}

/// How a server is started.
pub(super) struct Startup {
    /// The command; it runs in the folder given to it, where `data` is its own.
    pub(super) command: Vec<String>,
    /// What its users need to know.
    pub(super) address: String,
    /// Asked again and again until it is.
    pub(super) is_ready: Box<dyn Fn() -> bool>,
    /// Files that it leaves outside its folder.
    pub(super) leaves: Vec<String>,
}

/// Joins the users of the server called `name`, and starts it if they are the first.
pub(super) fn join(name: &str, start: impl FnOnce(&Path) -> Startup) -> Lease {
    let folder = folder(name);
    fs::create_dir_all(folder.join("data")).unwrap();
    let users = open(&folder.join("users"));
    flock(&users, FlockOperation::LockShared).unwrap();
    let starting = open(&folder.join("starting"));
    flock(&starting, FlockOperation::LockExclusive).unwrap();
    let address = folder.join("address");
    if let Ok(address) = fs::read_to_string(&address) {
        return Lease { address, _users: users };
    }
    fs::create_dir_all(folder.join("data")).unwrap();
    let startup = start(&folder);
    fs::write(folder.join("leaves"), startup.leaves.join("\n")).unwrap();
    watch(&folder, &startup.command);
    wait(&folder, &startup.is_ready);
    fs::write(&address, &startup.address).unwrap();
    Lease { address: startup.address, _users: users }
}

fn folder(name: &str) -> PathBuf {
    let owner = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("dory-test-{owner}")).join(name)
}

fn open(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

#[expect(clippy::zombie_processes, reason = "it outlives this process, and nobody needs its status")]
fn watch(folder: &Path, command: &[String]) {
    let mut watchdog = Command::new("sh");
    watchdog.args(["-c", WATCHDOG, "sh"]).arg(folder).args(command);
    // Its own group: a test runner that ends a test's group leaves the server to the others.
    watchdog.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    watchdog.spawn().unwrap();
}

/// A server tells nobody when it is ready.
fn wait(folder: &Path, is_ready: &dyn Fn() -> bool) {
    let begun = Instant::now();
    while !is_ready() {
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(begun.elapsed() < PATIENCE, "not ready after {PATIENCE:?}: {}", log());
        sleep(Duration::from_millis(50));
    }
}

/// The status of one plain request; `None` where nobody answers.
pub(super) fn status(method: &str, port: u16, path: &str, body: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    let mut line = [0; 12];
    stream.read_exact(&mut line).ok()?;
    std::str::from_utf8(&line).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}
