//! `dory serve` on a real engine: it backs up what has a schedule, shows itself, and ends in order.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, Command};

use dory_testkit::live::docker;

use crate::bench::Bench;

/// A server under way, and what it says.
struct Serving {
    child: Child,
    words: Lines<BufReader<ChildStderr>>,
}

impl Serving {
    fn start(bench: &Bench) -> Self {
        Self::of(bench, &["serve"])
    }

    /// Any other command that takes its time.
    fn of(bench: &Bench, arguments: &[&str]) -> Self {
        let mut child = bench.start_dory(arguments);
        let words = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, words }
    }

    /// Waits until it says a line with `words` in it.
    fn says(&mut self, words: &str) {
        let mut heard = Vec::new();
        for line in self.words.by_ref() {
            heard.push(line.unwrap());
            if heard.last().unwrap().contains(words) {
                return;
            }
        }
        panic!("it ended and never said `{words}`: {heard:#?}");
    }

    /// Sends a signal, and gives the exit code.
    fn ends_by(mut self, signal: &str) -> Option<i32> {
        assert!(Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap().success());
        // What it still says must not fill the pipe.
        self.words.by_ref().for_each(drop);
        self.child.wait().unwrap().code()
    }
}

#[test]
fn what_has_a_schedule_is_backed_up_and_the_name_belongs_to_one() {
    let Some(bench) = Bench::start() else { return };
    let often = format!("{}-often", bench.name);
    let options = ["--label", "dory.schedule=*/5 * * * * *", "--label", "dory.keep=last=1", "-v"];
    bench.run_container(&often, &[&options[..], &[&format!("{often}:/data")]].concat());
    let mut serving = Serving::start(&bench);
    serving.says("serving as bench");
    serving.says("restore point");
    serving.says("1 point that the rules do not keep deleted");

    let servers = bench.dory(&["servers"]).succeeded().stdout;
    assert!(servers.contains("bench") && servers.contains("serving") && servers.contains("docker"), "{servers}");
    let second = bench.dory(&["serve"]);
    second.was_refused(5, &["has had that name since", "--server"]);

    assert_eq!(serving.ends_by("TERM"), Some(0));
    assert!(bench.dory(&["servers"]).succeeded().stdout.contains("ended"));
    assert_eq!(docker(&["inspect", "-f", "{{.State.Running}}", &often]), "true\n");
    assert_eq!(bench.dory(&["show", &bench.name]).code, Some(4), "what has no schedule is left alone");
    docker(&["rm", "-fv", &often]);
    docker(&["volume", "rm", "-f", &often]);
}

#[test]
fn a_server_is_asked_for_things_and_what_it_cannot_be_asked_for_is_refused_by_name() {
    let Some(bench) = Bench::start() else { return };
    bench.sh("echo one > /data/file");
    let name = bench.name.as_str();
    let mut serving = Serving::start(&bench);
    serving.says("serving as bench");

    bench.dory(&["backup", name, "--on", "nowhere"]).was_refused(4, &["nowhere", "hint:", "dory servers", "`bench`"]);
    bench.dory(&["backup", "--on", "bench"]).was_refused(2, &["no container is named"]);
    for flag in [&["--no-guardian"][..], &["--stop-limit", "5m"], &["--dry-run"]] {
        let words = [&["backup", name, "--on", "bench"], flag].concat();
        bench.dory(&words).was_refused(2, &["--on", flag[0], "hint:"]);
    }

    let asked = bench.dory(&["backup", name, "--on", "bench", "--stop", "none", "--name", "from afar"]).succeeded();
    assert!(asked.stdout.contains("made point"), "{}", asked.stdout);
    let points = bench.points();
    assert_eq!((points[0]["name"].as_str(), points[0]["consistency"].as_str()), (Some("from afar"), Some("live")));
    // A volume restore is not what `--dump` asks for: the point holds no dump, and nothing may be touched.
    let dump = bench.dory(&["restore", name, "--dump", "--on", "bench", "--yes"]);
    assert_eq!(dump.code, Some(4), "{}", dump.stderr);
    assert!(dump.stderr.contains("dump"), "{}", dump.stderr);

    let runs = bench.json(&["runs", name]);
    let run = runs["runs"][0]["id"].as_str().unwrap();
    assert!(bench.dory(&["runs", "--of", "bench"]).succeeded().stdout.contains("succeeded"));
    let log = bench.dory(&["logs", run, "-f"]).succeeded();
    assert!(log.stdout.contains("preparing\n"), "{}", log.stdout);
    bench.dory(&["cancel", run]).was_refused(5, &["it is over"]);
    bench.dory(&["logs", "nothing"]).was_refused(4, &["nothing", "hint:", "dory runs"]);

    assert!(bench.dory(&["verify", name, "--on", "bench", "--read-data"]).succeeded().stdout.contains("all is well"));
    assert!(bench.dory(&["verify", name]).succeeded().stdout.contains("all is well"));
    assert!(bench.dory(&["show", name]).succeeded().stdout.contains("verified"));

    let point = points[0]["id"].as_str().unwrap();
    let deleted = bench.dory(&["delete", name, "--at", point, "--on", "bench", "--yes"]).succeeded();
    assert!(deleted.stderr.contains("from afar") && deleted.stdout.contains("deleted 1 points"), "{}", deleted.stderr);
    assert_eq!(serving.ends_by("TERM"), Some(0));

    // It is gone now: who waits is told, and how to take it back.
    let waits = bench.dory(&["backup", name, "--on", "bench", "--no-wait"]).succeeded();
    assert!(waits.stdout.contains("waiting"), "{}", waits.stdout);
    let commands = bench.json(&["commands"]);
    let waiting = commands[0]["command"]["id"].as_str().unwrap();
    bench.dory(&["withdraw", waiting]).succeeded();
    let mut asker = Serving::of(&bench, &["backup", name, "--on", "bench"]);
    asker.says("bench was ended at");
    let commands = bench.json(&["commands"]);
    bench.dory(&["withdraw", commands[0]["command"]["id"].as_str().unwrap()]).succeeded();
    // It hears of that, and says that nothing was begun.
    asker.words.by_ref().for_each(drop);
    assert_eq!(asker.child.wait().unwrap().code(), Some(15));
}

#[test]
fn a_schedule_is_set_shown_skipped_and_paused_by_hand() {
    let Some(bench) = Bench::start() else { return };
    let name = bench.name.as_str();
    bench.dory(&["init"]).succeeded();
    let set = |words: &[&str]| bench.dory(&[&["schedule", name], words].concat());
    set(&["set", "61 2 * * *"]).was_refused(2, &["61 2 * * *", "Europe/Berlin"]);
    set(&["set", "30 2 * * *", "--zone", "Mars/Base"]).was_refused(2, &["Mars/Base", "Europe/Berlin"]);
    set(&["skip-next"]).was_refused(2, &[name, "no turn to skip", "hint:"]);
    bench.dory(&["schedule", "nobody", "pause"]).was_refused(4, &["nobody"]);
    let shown = set(&["set", "30 2 * * *", "--zone", "Europe/Berlin"]).succeeded().stdout;
    assert_eq!(shown.matches("(02:30:00 in Europe/Berlin)").count(), 5, "{shown}");
    let next = |json: serde_json::Value| json["next"][0].as_str().unwrap().to_owned();
    let first = next(bench.json(&["schedule", name])[0].clone());
    let second = next(bench.json(&["schedule", name, "skip-next"]));
    assert!(second > first, "{first} {second}");
    assert!(set(&["pause"]).succeeded().stdout.contains("paused since"));
    assert!(bench.dory(&["schedule"]).succeeded().stdout.contains("paused since"));
    assert_eq!(next(bench.json(&["schedule", name, "resume"])), first);
    assert!(set(&["clear"]).succeeded().stdout.contains("none"));

    let policy = bench.dory(&["policy", name, "--keep", "last=3", "--stop", "pause"]).succeeded().stdout;
    let says = |setting: &str, value: &str, by: &str| {
        let line = policy.lines().find(|line| line.starts_with(setting)).unwrap_or_default();
        assert!(line.contains(value) && line.ends_with(by), "{policy}");
    };
    says("keep", "last=3", "catalog");
    says("stop", "pause", "catalog");
    says("engine", "restic", "default");
    bench.dory(&["policy", name, "--keep", "daily=-1"]).was_refused(2, &["daily=-1"]);
    bench.dory(&["adopt", name, name]).was_refused(5, &["already"]);
}
