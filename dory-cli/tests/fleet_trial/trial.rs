//! What happens to the fleet, and what must be true of it afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dory_testkit::live::LiveNetwork;
use serde_json::Value;

use super::host::Host;
use super::weather::Store;
use crate::bench::Ran;

/// How far clocks are wrong, in seconds.
const SKEW: i64 = 600;

/// How long the fleet may take to be in order again once the weather is good: a lease's term, a look into the mailbox, a
/// backup or two on a slow machine.
const RECOVERY: Duration = Duration::from_secs(240);

/// How long the bad weather lasts where nobody says so.
const SECONDS: u64 = 60;

pub(super) struct Trial {
    hosts: Vec<Host>,
    store: Store,
    variables: Vec<(String, String)>,
    /// What was asked for and taken, by the name that its point is to have.
    asked: BTreeSet<String>,
    /// What was written into backups from anywhere, and answered to be there.
    written: Vec<(String, String)>,
    dice: u64,
}

impl Trial {
    pub(super) fn start(network: &LiveNetwork, store: Store) -> Option<Self> {
        let mut variables = store.variables();
        variables.push(("DORY_PASSPHRASE".to_owned(), "correct horse battery".to_owned()));
        let skews = [("alpha", SKEW), ("beta", 0), ("gamma", -SKEW)];
        let hosts = skews.into_iter().map(|(name, skew)| Host::start(name, skew, network, &variables));
        let hosts = hosts.collect::<Option<Vec<_>>>()?;
        Some(Self { hosts, store, variables, asked: BTreeSet::new(), written: Vec::new(), dice: 1 })
    }

    pub(super) fn run(mut self) {
        // Founded by one, before the others come.
        self.anywhere(&["init"]).succeeded();
        for host in &self.hosts {
            host.dory(&["backup", host.container.name()]).succeeded();
        }
        self.hosts.iter_mut().for_each(Host::serve);
        self.until("all serve", |trial| trial.serving() == trial.hosts.len());
        self.every_command_crosses();

        let seconds = std::env::var("DORY_TRIAL_SECONDS").ok().and_then(|text| text.parse().ok());
        self.bad_weather(Duration::from_secs(seconds.unwrap_or(SECONDS)));
        self.store.calm();
        for host in &mut self.hosts {
            host.cable.plug_in();
            if !host.is_serving() {
                host.serve();
            }
        }
        self.until("all serve again", |trial| trial.serving() == trial.hosts.len());
        self.until("nothing is under way", Self::is_quiet);
        self.nothing_was_lost_and_nothing_done_twice();
        for host in &mut self.hosts {
            assert_eq!(host.end(), Some(0), "{}: {}", host.name, host.words());
        }
        self.everything_is_as_it_was();
    }

    /// `dory` on a laptop: it has no Docker, and nothing but the store's address and the passphrase.
    fn anywhere(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dory"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/nonexistent");
        command.env("DOCKER_HOST", "unix:///nonexistent.sock").env("DORY_SERVER", "laptop");
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).args(arguments);
        Ran::of(&command.stdin(Stdio::null()).output().unwrap())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.anywhere(&[arguments, &["--json"]].concat()).succeeded();
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{}", ran.stdout))
    }

    fn until(&mut self, what: &str, holds: impl Fn(&mut Self) -> bool) {
        let end = Instant::now() + RECOVERY;
        while !holds(self) {
            let said =
                || self.hosts.iter().map(|host| format!("== {}\n{}", host.name, host.words())).collect::<String>();
            assert!(Instant::now() < end, "it was never so that {what}\n{}", said());
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// How many servers say that they serve since they were started last.
    fn serving(&mut self) -> usize {
        let serves = |host: &mut Host| {
            let words = host.words();
            let since = words.rfind("serving as").unwrap_or_default();
            host.is_serving() && words[since..].contains("serving as") && !words[since..].contains("waiting")
        };
        self.hosts.iter_mut().map(serves).filter(|serves| *serves).count()
    }

    /// From each host and from the laptop to each server, in good weather: each kind of command arrives and is done.
    fn every_command_crosses(&mut self) {
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            let (server, container) = (self.hosts[to].name, self.hosts[to].container.name().to_owned());
            let name = format!("crossed to {server}");
            self.hosts[from].dory(&["backup", &container, "--on", server, "--name", &name]).succeeded();
            self.hosts[to].container.sh("echo broken >/data/count");
            let restore = ["restore", &container, "--at", &name, "--on", server, "--yes"];
            self.hosts[from].dory(&restore).succeeded();
            assert_eq!(self.hosts[to].container.sh("cat /data/count"), "0\n");
            self.hosts[from].dory(&["verify", &container, "--on", server]).succeeded();
            self.hosts[from].dory(&["mark", &container, "--on", server]).succeeded();
            self.hosts[from].dory(&["prune", &container, "--on", server, "--yes"]).succeeded();
            self.hosts[from].dory(&["delete", &container, "--at", &name, "--on", server, "--yes"]).succeeded();
        }
        // Another server's data into a container there: a container moves from host to host.
        self.hosts[0].container.sh("echo moved >/data/count");
        let (moved, target) = (self.hosts[0].container.name().to_owned(), self.hosts[1].container.name().to_owned());
        self.hosts[0].dory(&["backup", &moved]).succeeded();
        self.anywhere(&["restore", &moved, "--into", &target, "--on", "beta", "--yes"]).succeeded();
        assert_eq!(self.hosts[1].container.sh("cat /data/count"), "moved\n");
    }

    /// Two are killed, one is cut off, and everybody goes on asking and writing; then the same again, by dice.
    fn bad_weather(&mut self, length: Duration) {
        self.store.storm();
        let begun = Instant::now();
        let (mut step, mut cut) = (0_usize, None);
        while begun.elapsed() < length {
            match step % 12 {
                1 => {
                    let host = self.roll(self.hosts.len());
                    self.hosts[host].cable.pull();
                    cut = Some(host);
                }
                3 => {
                    let spared = self.roll(self.hosts.len());
                    for (at, host) in self.hosts.iter_mut().enumerate() {
                        if at != spared {
                            host.kill();
                            host.serve();
                        }
                    }
                }
                7 => {
                    if let Some(host) = cut.take() {
                        self.hosts[host].cable.plug_in();
                    }
                }
                10 => {
                    for host in &mut self.hosts {
                        if !host.is_serving() {
                            host.serve();
                        }
                    }
                }
                _ => {}
            }
            self.ask_and_write(step);
            step += 1;
            thread::sleep(Duration::from_secs(2));
        }
    }

    /// What fails here fails because of the weather; what is answered to be done must be.
    fn ask_and_write(&mut self, step: usize) {
        let at = self.roll(self.hosts.len());
        let (server, container) = (self.hosts[at].name, self.hosts[at].container.name().to_owned());
        let name = format!("asked {step}");
        if self.anywhere(&["backup", &container, "--on", server, "--no-wait", "--name", &name]).code == Some(0) {
            self.asked.insert(name);
        }
        let pair = format!("k{step}=v{step}");
        let writer = self.roll(self.hosts.len() + 1);
        let edit = ["edit", container.as_str(), "--set", &pair];
        let wrote = match self.hosts.get(writer).filter(|_| writer != at) {
            Some(host) => host.dory(&edit),
            None => self.anywhere(&edit),
        };
        if wrote.code == Some(0) {
            self.written.push((container, format!("k{step}")));
        }
    }

    fn is_quiet(trial: &mut Self) -> bool {
        let commands = trial.json(&["commands"]);
        let over = |command: &Value| command["state"].to_string().contains("over");
        commands.as_array().unwrap().iter().all(over)
    }

    fn nothing_was_lost_and_nothing_done_twice(&self) {
        let mut points: BTreeMap<String, usize> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for backup in self.json(&["list"]).as_array().unwrap() {
            let backup = self.json(&["show", backup["id"].as_str().unwrap()]);
            for point in backup["points"].as_array().unwrap() {
                assert!(ids.insert(point["id"].as_str().unwrap().to_owned()), "twice: {point}");
                if let Some(name) = point["name"].as_str() {
                    *points.entry(name.to_owned()).or_default() += 1;
                }
            }
            let id = backup["id"].as_str().unwrap();
            self.anywhere(&["verify", id]).succeeded();
        }
        // Each command was carried out once or not at all, and its outcome says which.
        for command in self.json(&["commands"]).as_array().unwrap() {
            let Some(name) = command["command"]["order"]["name"].as_str() else { continue };
            let made = points.get(name).copied().unwrap_or_default();
            let outcome = &command["state"]["over"];
            let failed = outcome["error"].is_object();
            assert!(made <= 1, "{name}: done {made} times");
            assert!(made == 1 || failed, "{name}: said to be done, and nothing is there: {command}");
        }
        let known: BTreeSet<_> = self
            .json(&["commands"])
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|command| Some(command["command"]["order"]["name"].as_str()?.to_owned()))
            .collect();
        assert!(self.asked.is_subset(&known), "{:?} were taken and forgotten", self.asked.difference(&known));
        assert!(!self.asked.is_empty(), "nothing came through at all");

        // What a run made is in the catalog.
        for run in self.json(&["runs", "--limit", "100000"]).as_array().unwrap() {
            let (kind, outcome) = (run["kind"].as_str().unwrap(), run["outcome"].as_str().unwrap_or_default());
            if let (true, Some(point)) = (kind == "backup" && outcome == "succeeded", run["point"].as_str()) {
                let deleted = run["backup"].is_null();
                assert!(deleted || ids.contains(point) || self.was_deleted(run), "a restore point is lost: {run}");
            }
        }
        for (backup, key) in &self.written {
            let backup = self.json(&["show", backup]);
            assert!(backup["metadata"][key].is_string(), "an update is lost: {key} of {backup}");
        }
    }

    /// Whether the point of `run` is one of those that `every_command_crosses` deleted.
    fn was_deleted(&self, run: &Value) -> bool {
        run["point_name"].as_str().is_some_and(|name| name.starts_with("crossed"))
    }

    fn everything_is_as_it_was(&self) {
        for host in &self.hosts {
            let mut running = host.running();
            running.sort();
            assert_eq!(
                running,
                [host.container.name().to_owned(), host.scheduled()],
                "{}: {}",
                host.name,
                host.words()
            );
        }
    }

    /// A number below `sides`, the same in each run.
    fn roll(&mut self, sides: usize) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.dice >> 33).unwrap_or_default() % sides
    }
}
