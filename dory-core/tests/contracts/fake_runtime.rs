//! The testkit's container engine keeps the promises of a real one.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dory_core::domain::id::{ContainerId, ImageRef};
use dory_core::ports::{ContainerRuntime, ExecRequest, HelperRole};
use dory_testkit::contracts::container_runtime::{BenchContainer, BenchHealth, Program, RuntimeBench, Subject};
use dory_testkit::fakes::{ExecReply, ExecScript, FakeRuntime, HelperIo, HelperView, Ticker};
use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;

dory_testkit::container_runtime_contract!(fake_runtime, async { Some(Subject::new(FakeBench::new())) });

/// A fake whose programs are the suite's, and whose time passes by itself.
struct FakeBench {
    runtime: FakeRuntime,
    _time: Ticker,
}

impl FakeBench {
    fn new() -> Self {
        let runtime = FakeRuntime::new();
        runtime.run_helpers_with(Arc::new(|io, view| run_helper(io, view).boxed()));
        let time = runtime.clock().tick();
        Self { runtime, _time: time }
    }
}

#[async_trait]
impl RuntimeBench for FakeBench {
    fn runtime(&self) -> Arc<dyn ContainerRuntime> {
        self.runtime.port()
    }

    fn unique(&self) -> &'static str {
        "test"
    }

    async fn make_container(&self, container: BenchContainer) -> ContainerId {
        let name = container.name.as_str();
        let mut builder = self.runtime.container(name);
        for (volume, target, writable) in &container.volumes {
            let target = target.to_str().unwrap();
            builder = if *writable {
                builder.volume(volume.as_str(), target)
            } else {
                builder.read_only_volume(volume.as_str(), target)
            };
        }
        for (label, value) in &container.labels {
            builder = builder.label(label, value);
        }
        let soon = Duration::from_millis(50);
        builder = match container.health {
            BenchHealth::None => builder,
            BenchHealth::Healthy => builder.healthy_after(soon),
            BenchHealth::Unhealthy => builder.unhealthy_after(soon),
            BenchHealth::Undecided => builder.health_by_hand(),
        };
        builder = match container.program {
            Program::Idle => builder,
            Program::Stubborn => builder.stop_takes(Duration::from_secs(3600)),
            Program::Exit(code) => builder.ends_after(Duration::ZERO, code),
            Program::Missing => builder.refuses_to_start("no such program"),
            other => panic!("no container runs {other:?}"),
        };
        let made = builder.created();
        self.runtime.on_exec(name, ExecScript::reading(run_command));
        made.id
    }

    async fn remove_container(&self, id: &ContainerId) {
        let container = self.runtime.port().inspect_container(id.as_str()).await.unwrap();
        self.runtime.remove_container(container.name.as_str());
    }

    fn command(&self, program: &Program) -> Vec<String> {
        spell(program)
    }

    async fn helper(&self, program: &Program) -> (ImageRef, Vec<String>) {
        (self.runtime.port().ensure_helper_image().await.unwrap(), spell(program))
    }

    async fn host_folder(&self) -> PathBuf {
        let folder = self.runtime.host_folder("srv/hello");
        fs::write(folder.join("hello"), "world").unwrap();
        folder
    }
}

/// A program as words.
fn spell(program: &Program) -> Vec<String> {
    match program {
        Program::Copy => vec!["copy".to_owned()],
        Program::Flood => vec!["flood".to_owned()],
        Program::Complain(text, code) => vec!["complain".to_owned(), text.clone(), code.to_string()],
        Program::Variable(name) => vec!["variable".to_owned(), name.clone()],
        Program::Read(path) => vec!["read".to_owned(), path.display().to_string()],
        Program::Write(path, text) => vec!["write".to_owned(), path.display().to_string(), text.clone()],
        other => panic!("{other:?} is no command"),
    }
}

fn run_command(request: &ExecRequest, input: &[u8]) -> ExecReply {
    let words: Vec<_> = request.command.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["copy"] => ExecReply::ok(input),
        ["variable", name] => {
            let found = request.environment.iter().find(|(known, _)| known == name);
            ExecReply::ok(found.map(|(_, value)| value.clone()).unwrap_or_default())
        }
        ["complain", text, code] => ExecReply::failed(code.parse().unwrap(), *text),
        other => ExecReply::failed(127, format!("{other:?}: not found")),
    }
}

async fn run_helper(mut io: HelperIo, view: HelperView) -> i32 {
    let words: Vec<_> = view.arguments.iter().map(String::as_str).collect();
    let complaint = match words.as_slice() {
        ["copy"] => tokio::io::copy(&mut io.stdin, &mut io.stdout).await.err().map(|error| error.to_string()),
        ["flood"] => loop {
            if let Err(error) = io.stdout.write_all(&[0; 4096]).await {
                break Some(error.to_string());
            }
        },
        ["complain", text, _] => Some((*text).to_owned()),
        ["read", path] => match view.real_path(path.as_ref()) {
            Some(real) => io.stdout.write_all(&fs::read(real).unwrap()).await.err().map(|error| error.to_string()),
            None => Some(format!("{path}: no such file")),
        },
        ["write", path, text] => match view.real_path(path.as_ref()) {
            Some(real) if view.may_write(path.as_ref()) => fs::write(real, text).err().map(|error| error.to_string()),
            None if view.role == HelperRole::Guardian => {
                let own = view.own_folder.join(path.trim_start_matches('/'));
                fs::write(own, text).err().map(|error| error.to_string())
            }
            _ => Some(format!("{path}: read-only file system")),
        },
        other => Some(format!("{other:?}: not found")),
    };
    let Some(complaint) = complaint else { return 0 };
    io.stderr.write_all(complaint.as_bytes()).await.unwrap();
    1
}
