//! Helpers of the fake: programs in this process, at the end of pipes that can be cut.

use std::fmt::{self, Debug};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use dory_core::domain::id::{ContainerId, ContainerName, VolumeName};
use dory_core::ports::{Clock, HelperInfo, HelperNetwork, HelperRole, HelperSource, HelperSpec};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::super::FakeClock;

/// How much waits in a helper's pipe before it blocks.
const PIPE: usize = 64 << 10;

/// What a helper runs: it gets its pipes and what it sees, and gives its exit code.
pub type HelperProgram = Arc<dyn Fn(HelperIo, HelperView) -> BoxFuture<'static, i32> + Send + Sync>;

/// A helper's ends of its pipes.
pub struct HelperIo {
    /// Its standard input.
    pub stdin: Box<dyn AsyncRead + Send + Unpin>,
    /// Its standard output.
    pub stdout: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard error.
    pub stderr: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Debug for HelperIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HelperIo")
    }
}

/// What a helper sees of the world.
#[derive(Clone, Debug)]
pub struct HelperView {
    /// See [`HelperSpec::arguments`].
    pub arguments: Vec<String>,
    /// See [`HelperSpec::network`].
    pub network: HelperNetwork,
    /// See [`HelperSpec::role`].
    pub role: HelperRole,
    /// A folder that lives as long as the helper does: what its container can write to outside of its mounts.
    pub own_folder: PathBuf,
    mounts: Vec<RealMount>,
}

/// A mount of a helper: where it sees it, and where it really is.
#[derive(Clone, Debug)]
pub(super) struct RealMount {
    pub(super) target: PathBuf,
    pub(super) real: PathBuf,
    pub(super) writable: bool,
}

impl HelperView {
    pub(super) fn new(spec: &HelperSpec, own_folder: PathBuf, mounts: Vec<RealMount>) -> Self {
        Self { arguments: spec.arguments.clone(), network: spec.network, role: spec.role, own_folder, mounts }
    }

    /// Where a path inside the helper really is; `None` if no mount holds it.
    #[must_use]
    pub fn real_path(&self, inside: &Path) -> Option<PathBuf> {
        let (mount, rest) = self.mount_of(inside)?;
        Some(if rest.as_os_str().is_empty() { mount.real.clone() } else { mount.real.join(rest) })
    }

    /// Whether the helper may write to a path; it may not where no mount holds it.
    #[must_use]
    pub fn may_write(&self, inside: &Path) -> bool {
        self.mount_of(inside).is_some_and(|(mount, _)| mount.writable)
    }

    fn mount_of<'a>(&self, inside: &'a Path) -> Option<(&RealMount, &'a Path)> {
        let plain = inside.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let holding = self.mounts.iter().filter(|mount| plain && inside.starts_with(&mount.target));
        let mount = holding.max_by_key(|mount| mount.target.components().count())?;
        Some((mount, inside.strip_prefix(&mount.target).ok()?))
    }
}

/// A helper on the fake's host.
pub(super) struct HelperRecord {
    pub(super) id: ContainerId,
    info: HelperInfo,
    spec: HelperSpec,
    control: Arc<Control>,
    ended: watch::Receiver<Option<End>>,
}

/// What is done to a helper from outside.
#[derive(Default)]
struct Control {
    /// Counts the kills.
    kills: watch::Sender<u64>,
    /// Whether it starts again when it ends.
    kept: AtomicBool,
    /// Whether it ends for good, kept or not.
    removed: AtomicBool,
}

/// How a helper ended.
#[derive(Clone, Copy)]
struct End {
    at: Timestamp,
    code: i32,
}

/// The host's ends of a helper's pipes.
pub(super) struct HostPipes {
    pub(super) stdin: DuplexStream,
    pub(super) stdout: DuplexStream,
    pub(super) stderr: DuplexStream,
}

/// What becomes a helper.
pub(super) struct Launch<'a> {
    pub(super) info: HelperInfo,
    pub(super) spec: &'a HelperSpec,
    pub(super) program: HelperProgram,
    pub(super) view: HelperView,
    /// Kills it once it has written so many bytes.
    pub(super) die_after: Option<u64>,
    pub(super) clock: FakeClock,
    /// Where it runs: it outlives the threads of whoever launched it.
    pub(super) threads: Option<Handle>,
}

/// The code of what was killed.
const KILLED: i32 = 137;

impl HelperRecord {
    /// Runs a program in a task of its own until it ends or is killed, and again while it is kept.
    pub(super) fn launch(launch: Launch<'_>) -> (Self, HostPipes) {
        let Launch { info, spec, program, view, mut die_after, clock, threads } = launch;
        let control = Arc::<Control>::default();
        let (ending, ended) = watch::channel(None);
        let (host, mut pipes) = pipes();
        let its_control = Arc::clone(&control);
        let mut kill = control.kills.subscribe();
        threads.unwrap_or_else(Handle::current).spawn(async move {
            let mut silent: Option<DuplexStream> = None;
            loop {
                let code = live(&program, view.clone(), pipes, die_after.take(), &mut kill).await;
                let again = its_control.kept.load(SeqCst) && !its_control.removed.load(SeqCst);
                drop(silent.take());
                if !again {
                    // Nobody may be waiting for the end.
                    let _ = ending.send(Some(End { at: clock.now(), code }));
                    return;
                }
                // As with a real engine, nobody reads what it says, and its input is silent.
                let (host, own) = self::pipes();
                silent = Some(host.stdin);
                pipes = own;
            }
        });
        let record = Self { id: info.id.clone(), info, spec: spec.clone(), control, ended };
        (record, host)
    }

    /// See [`keep_helper`](dory_core::ports::ContainerRuntime::keep_helper).
    pub(super) fn keep(&self, keep: bool) {
        self.control.kept.store(keep, SeqCst);
    }

    /// Ends it at once and for good.
    pub(super) fn end(&self) {
        self.control.removed.store(true, SeqCst);
        self.kill();
    }

    /// Kills it; it stays on the host, and starts again if it is kept.
    pub(super) fn kill(&self) {
        self.control.kills.send_modify(|kills| *kills += 1);
    }

    /// Returns when it has ended for good: nothing of it touches a file any more.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.ended.clone();
        async move {
            // It fails only if the helper's task is gone already.
            let _ = ended.wait_for(Option::is_some).await;
        }
    }

    pub(super) fn info(&self) -> HelperInfo {
        let end = *self.ended.borrow();
        let exit_code = end.map(|end| i64::from(end.code));
        HelperInfo { running: end.is_none(), ended_at: end.map(|end| end.at), exit_code, ..self.info.clone() }
    }

    pub(super) fn role(&self) -> HelperRole {
        self.spec.role
    }

    pub(super) fn name(&self) -> &ContainerName {
        &self.spec.name
    }

    pub(super) fn is_named(&self, name: &ContainerName) -> bool {
        self.spec.name == *name
    }

    pub(super) fn mounts_volume(&self, volume: &VolumeName) -> bool {
        self.spec.mounts.iter().any(|mount| matches!(&mount.source, HelperSource::Volume(name) if name == volume))
    }

    pub(super) fn runs_from(&self, image: &str) -> bool {
        self.spec.image.as_str() == image
    }
}

/// One life of a helper, from its start to its end or its being killed; gives its exit code.
async fn live(
    program: &HelperProgram,
    view: HelperView,
    pipes: HelperPipes,
    die_after: Option<u64>,
    kill: &mut watch::Receiver<u64>,
) -> i32 {
    let (input, program_stdin) = tokio::io::duplex(PIPE);
    let (program_stdout, output) = tokio::io::duplex(PIPE);
    let (program_stderr, words) = tokio::io::duplex(PIPE);
    let io =
        HelperIo { stdin: Box::new(program_stdin), stdout: Box::new(program_stdout), stderr: Box::new(program_stderr) };
    let program = program(io, view);
    let (suicide, mut suicidal) = watch::channel(false);
    // What carries bytes between program and host ends with the helper, so a kill cuts every pipe at once, whatever
    // tasks of the program are left.
    let feed = async {
        // A pipe that broke has no more to carry.
        let _ = carry(pipes.stdin, input, None).await;
        std::future::pending::<()>().await;
    };
    let drain = async {
        let carried = carry(output, pipes.stdout, die_after).await;
        if carried.is_err_and(|error| error.kind() == io::ErrorKind::Other) {
            suicide.send_replace(true);
        }
    };
    let run = async { tokio::join!(program, drain, carry(words, pipes.stderr, None)).0 };
    tokio::select! {
        code = run => code,
        () = feed => unreachable!("it waits for ever"),
        // The senders live as long as this.
        _ = kill.changed() => KILLED,
        _ = suicidal.wait_for(|suicidal| *suicidal) => KILLED,
    }
}

/// A helper's own ends of its pipes.
struct HelperPipes {
    stdin: DuplexStream,
    stdout: DuplexStream,
    stderr: DuplexStream,
}

fn pipes() -> (HostPipes, HelperPipes) {
    let (host_stdin, stdin) = tokio::io::duplex(PIPE);
    let (stdout, host_stdout) = tokio::io::duplex(PIPE);
    let (stderr, host_stderr) = tokio::io::duplex(PIPE);
    let host = HostPipes { stdin: host_stdin, stdout: host_stdout, stderr: host_stderr };
    (host, HelperPipes { stdin, stdout, stderr })
}

/// Carries bytes until `from` ends; after `limit` bytes it fails with `Other` instead.
async fn carry(mut from: DuplexStream, mut to: DuplexStream, limit: Option<u64>) -> io::Result<()> {
    let mut left = limit;
    let mut chunk = vec![0; PIPE];
    loop {
        let room = left.map_or(PIPE, |left| PIPE.min(usize::try_from(left).unwrap_or(PIPE)));
        if room == 0 {
            return Err(io::Error::other("the limit is reached"));
        }
        let length = from.read(&mut chunk[..room]).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..length]).await?;
        left = left.map(|left| left - length as u64);
    }
}
