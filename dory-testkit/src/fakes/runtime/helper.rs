//! Helpers of the fake: programs in this process, at the end of pipes that can be cut.

use std::fmt::{self, Debug};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use dory_core::domain::id::{ContainerId, ContainerName, VolumeName};
use dory_core::ports::{HelperInfo, HelperNetwork, HelperSource, HelperSpec};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

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
    pub(super) fn new(spec: &HelperSpec, mounts: Vec<RealMount>) -> Self {
        Self { arguments: spec.arguments.clone(), network: spec.network, mounts }
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
    pub(super) info: HelperInfo,
    spec: HelperSpec,
    killed: Arc<watch::Sender<bool>>,
    ended: watch::Receiver<bool>,
}

/// The host's ends of a helper's pipes.
pub(super) struct HostPipes {
    pub(super) stdin: DuplexStream,
    pub(super) stdout: DuplexStream,
    pub(super) stderr: DuplexStream,
}

impl HelperRecord {
    /// Runs `program` in a task of its own until it ends or is killed; `die_after` bytes of output kill it too.
    pub(super) fn launch(
        info: HelperInfo,
        spec: &HelperSpec,
        program: &HelperProgram,
        view: HelperView,
        die_after: Option<u64>,
    ) -> (Self, HostPipes) {
        let killed = Arc::new(watch::Sender::new(false));
        let (ending, ended) = watch::channel(false);
        let (stdin, from_host) = tokio::io::duplex(PIPE);
        let (to_host, stdout) = tokio::io::duplex(PIPE);
        let (words_to_host, stderr) = tokio::io::duplex(PIPE);
        let (input, program_stdin) = tokio::io::duplex(PIPE);
        let (program_stdout, output) = tokio::io::duplex(PIPE);
        let (program_stderr, words) = tokio::io::duplex(PIPE);
        let io = HelperIo {
            stdin: Box::new(program_stdin),
            stdout: Box::new(program_stdout),
            stderr: Box::new(program_stderr),
        };
        let program = program(io, view);
        let mut kill = killed.subscribe();
        let suicide = Arc::clone(&killed);
        tokio::spawn(async move {
            // What carries bytes between program and host ends with the helper, so a kill cuts every pipe at once,
            // whatever tasks of the program are left.
            let feed = async {
                // A pipe that broke has no more to carry.
                let _ = carry(from_host, input, None).await;
                std::future::pending::<()>().await;
            };
            let drain = async {
                if carry(output, to_host, die_after).await.is_err_and(|error| error.kind() == io::ErrorKind::Other) {
                    suicide.send_replace(true);
                }
            };
            let run = async { tokio::join!(program, drain, carry(words, words_to_host, None)).0 };
            tokio::select! {
                _ = run => {}
                () = feed => {}
                // The sender lives as long as this task.
                _ = kill.wait_for(|killed| *killed) => {}
            }
            // Nobody may be waiting for the end.
            let _ = ending.send(true);
        });
        let record = Self { id: info.id.clone(), info, spec: spec.clone(), killed, ended };
        (record, HostPipes { stdin, stdout, stderr })
    }

    /// Ends it at once; it stays on the host.
    pub(super) fn kill(&self) {
        self.killed.send_replace(true);
    }

    /// Tells when it has ended: nothing of it touches a file any more.
    pub(super) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }

    pub(super) fn info(&self) -> HelperInfo {
        HelperInfo { running: !*self.ended.borrow(), ..self.info.clone() }
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
