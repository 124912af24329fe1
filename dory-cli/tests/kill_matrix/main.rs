//! The kill matrix: SIGKILL to Dory, its helper, its guardian and the engine at every named step of a run.
//!
//! Each point of the table in `steps.rs` is a test of its own, so this binary lists and runs its tests itself, in the
//! way that test runners expect. What is not in the sample is listed as ignored: `scripts/soak.sh` runs it.
//!
//! The same program is the process that dies, the `dory` of the next command, and what runs in helpers: all that a
//! Dory does is in it, and the engine needs one helper image.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking, and what runs them prints"
)]

mod assassin;
mod objects;
mod promises;
mod scene;
mod steps;
mod table;
mod victim;

use std::env;
use std::fs::File;
use std::io::Write;
use std::panic::catch_unwind;
use std::process::ExitCode;

use crate::steps::Point;

/// Tells this program what it is, if it is not the tests.
const ROLE: &str = "KILL_MATRIX_ROLE";
const AS_DORY: &str = "dory";
const AS_VICTIM: &str = "victim";

/// The file that gets a line about each point that was kept, if anybody wants it.
const RESULTS: &str = "DORY_SOAK_RESULTS";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    // Helpers run this very program, and say so with the first word.
    let in_helper = matches!(arguments.first().map(String::as_str), Some("agent" | "guard"));
    match env::var(ROLE).as_deref() {
        Ok(AS_VICTIM) => victim::main(),
        Ok(AS_DORY) => dory_cli::main(env::args_os()),
        _ if in_helper => dory_cli::main(env::args_os()),
        _ => run_tests(&arguments),
    }
}

/// One test: a point, or the table's own.
struct Test {
    name: String,
    point: Option<Point>,
}

impl Test {
    fn all() -> Vec<Self> {
        let own = Self { name: table::NAME.to_owned(), point: None };
        let points = Point::all().map(|point| Self { name: point.name(), point: Some(point) });
        [own].into_iter().chain(points).collect()
    }

    fn is_ignored(&self) -> bool {
        self.point.is_some_and(|point| !point.death.sampled)
    }

    fn run(&self) {
        let Some(point) = self.point else { return table::is_in_the_docs() };
        let Some(measured) = promises::keeps_its_promises(point) else { return };
        let (back, quiet) = (measured.back.as_secs_f64(), measured.quiet.as_secs_f64());
        let (step, victim) = (point.step, point.death.victim.as_str());
        let (task, then) = (step.task.as_str(), point.death.then.as_str());
        let line = format!("| {task} | {} | {victim} | {then} | {back:.1} s | {quiet:.1} s |\n", step.name);
        print!("{line}");
        if let Some(results) = env::var_os(RESULTS) {
            let results = File::options().create(true).append(true).open(results);
            results.unwrap().write_all(line.as_bytes()).unwrap();
        }
    }
}

/// Lists or runs the tests, by the options of Rust's own test binaries that runners use.
fn run_tests(arguments: &[String]) -> ExitCode {
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    // `--format terse` is the only option with a value that runners give.
    let filters: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|word| !word.starts_with("--") && *word != "terse").collect();
    let named = |test: &Test, filter: &str| {
        if has("--exact") { test.name == filter } else { test.name.contains(filter) }
    };
    let chosen = |test: &Test| filters.is_empty() || filters.iter().any(|filter| named(test, filter));
    let tests: Vec<Test> = Test::all().into_iter().filter(chosen).collect();
    if has("--list") {
        tests
            .iter()
            .filter(|test| !has("--ignored") || test.is_ignored())
            .for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for test in tests {
        let wanted = has("--include-ignored") || has("--ignored") == test.is_ignored();
        let outcome = match wanted.then(|| catch_unwind(|| test.run())) {
            None => "ignored",
            Some(Ok(())) => "ok",
            Some(Err(_)) => {
                failed += 1;
                "FAILED"
            }
        };
        println!("test {} ... {outcome}", test.name);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
