//! What happens to the fleet: good weather, bad weather, and good weather again.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dory_testkit::live::LiveNetwork;
use serde_json::Value;
use tempfile::TempDir;

use super::host::Host;
use super::post::Post;
use super::weather::Store;
use crate::bench::Ran;

/// How far clocks are wrong, in seconds.
const SKEW: i64 = 600;

/// How long the fleet may take to be in order again once the weather is good: a lease's term, a look into the mailbox, a
/// backup or two on a slow machine.
pub(super) const RECOVERY: Duration = Duration::from_secs(240);

/// How long the bad weather lasts where nobody says so.
const SECONDS: u64 = 60;

pub(super) struct Trial {
    pub(super) hosts: Vec<Host>,
    pub(super) post: Post,
    store: Store,
    variables: Vec<(String, String)>,
    /// Where the laptop works.
    desk: TempDir,
    /// What was asked for and taken, by the name that its point is to have.
    pub(super) asked: BTreeSet<String>,
    /// What was written into backups from anywhere, and answered to be there.
    pub(super) written: Vec<(String, String)>,
    /// The points that somebody saw in the catalog while the weather was bad.
    pub(super) seen: BTreeSet<String>,
    began: Instant,
    dice: u64,
}

impl Trial {
    pub(super) fn start(network: &LiveNetwork, store: Store) -> Option<Self> {
        let began = Instant::now();
        let post = Post::start(network)?;
        let mut variables = store.variables();
        variables.extend(post.variables());
        variables.push(("DORY_PASSPHRASE".to_owned(), "correct horse battery".to_owned()));
        let skews = [("alpha", SKEW), ("beta", 0), ("gamma", -SKEW)];
        let hosts = thread::scope(|scope| {
            let start = |(name, skew)| Host::start(name, skew, network, &variables);
            let starting = skews.map(|host| scope.spawn(move || start(host)));
            starting.into_iter().map(|host| host.join().unwrap()).collect::<Option<Vec<_>>>()
        })?;
        let (asked, written, seen) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
        let desk = tempfile::tempdir().unwrap();
        Some(Self { hosts, post, store, variables, desk, asked, written, seen, began, dice: 1 })
    }

    pub(super) fn run(mut self) {
        // Founded by one, before the others come.
        self.anywhere(&["init"]).succeeded();
        self.post.let_it_write(|words| self.command(words));
        self.says("the fleet is founded");
        thread::scope(|scope| {
            for host in &self.hosts {
                scope.spawn(|| host.dory(&["backup", host.container.name()]).succeeded());
            }
        });
        self.begin_to_fail();
        self.hosts.iter_mut().for_each(Host::serve);
        self.until("all serve", RECOVERY, |trial| trial.serving() == trial.hosts.len());
        self.says("all serve");
        self.first_letter();
        self.says("a letter came");
        self.every_command_crosses();
        self.says("every command crossed");
        self.one_wrote_the_letters();
        self.says("one wrote the letters");

        let seconds = std::env::var("DORY_TRIAL_SECONDS").ok().and_then(|text| text.parse().ok());
        self.bad_weather(Duration::from_secs(seconds.unwrap_or(SECONDS)));
        self.says("the weather is good again");
        self.store.calm();
        for host in &mut self.hosts {
            host.cable.plug_in();
            if !host.is_serving() {
                host.serve();
            }
        }
        self.until("all serve again", RECOVERY, |trial| trial.serving() == trial.hosts.len());
        self.says("all serve again");
        self.until("nothing is under way", RECOVERY, Self::is_quiet);
        self.says("nothing is under way");
        self.nothing_was_lost_and_nothing_done_twice();
        self.post.told_everything_once();
        self.says("nothing was lost");
        for host in &mut self.hosts {
            assert_eq!(host.end(), Some(0), "{}: {}", host.name, host.words());
        }
        self.everything_is_as_it_was();
        self.says("all is as it was");
    }

    /// For whoever reads a test's output: how long the parts took.
    fn says(&self, what: &str) {
        eprintln!("{:>4} s: {what}", self.began.elapsed().as_secs());
    }

    /// Since when its containers are there.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// `dory` on a laptop: it has no Docker, and nothing but the store's address and the passphrase.
    pub(super) fn anywhere(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dory"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/nonexistent");
        command.env("DOCKER_HOST", "unix:///nonexistent.sock").env("DORY_SERVER", "laptop").current_dir(&self.desk);
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.anywhere(&[arguments, &["--json"]].concat()).succeeded();
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{}", ran.stdout))
    }

    pub(super) fn until(&mut self, what: &str, patience: Duration, holds: impl Fn(&mut Self) -> bool) {
        let end = Instant::now() + patience;
        while !holds(self) {
            let said = self.hosts.iter().map(|host| format!("== {}\n{}", host.name, host.words()));
            assert!(Instant::now() < end, "it was never so that {what}\n{}", said.collect::<String>());
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// How many servers say that they serve since they were started last.
    fn serving(&mut self) -> usize {
        self.hosts.iter_mut().map(|host| host.is_serving() && host.says("serving as")).filter(|serves| *serves).count()
    }

    /// Two are killed, one is cut off, and everybody goes on asking and writing; then the same again, by dice.
    fn bad_weather(&mut self, length: Duration) {
        self.store.storm(length);
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
            self.ask_write_and_look(step);
            step += 1;
            thread::sleep(Duration::from_secs(2));
        }
    }

    /// What fails here fails because of the weather; what is answered to be done must be.
    fn ask_write_and_look(&mut self, step: usize) {
        let at = self.roll(self.hosts.len());
        let (server, container) = (self.hosts[at].name, self.hosts[at].container.name().to_owned());
        let name = format!("asked {step}");
        if self.anywhere(&["backup", &container, "--on", server, "--no-wait", "--name", &name]).code == Some(0) {
            self.asked.insert(name);
        }
        let pair = format!("k{step}=v{step}");
        let writer = self.roll(self.hosts.len() + 1);
        let edit = ["edit", container.as_str(), "--set", &pair, "--json"];
        let wrote = match self.hosts.get(writer).filter(|_| writer != at) {
            Some(host) => host.dory(&edit),
            None => self.anywhere(&edit),
        };
        if wrote.code == Some(0) {
            let backup: Value = serde_json::from_str(&wrote.stdout).unwrap();
            let points = backup["points"].as_array().unwrap().iter();
            self.seen.extend(points.map(|point| point["id"].as_str().unwrap().to_owned()));
            self.written.push((container, format!("k{step}")));
        }
    }

    /// Every command is over, and no run says that it is under way.
    fn is_quiet(trial: &mut Self) -> bool {
        let commands = trial.json(&["commands"]);
        commands.as_array().unwrap().iter().all(|command| command["state"]["is"] == "over")
    }

    /// A number below `sides`, the same in each run.
    fn roll(&mut self, sides: usize) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.dice >> 33).unwrap_or_default() % sides
    }
}
