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
        let mut child = bench.start_dory(&["serve"]);
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
