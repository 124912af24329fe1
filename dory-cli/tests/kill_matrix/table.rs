//! The table in the docs: written from the steps, so that it names what is tested and nothing else.

use std::fmt::Write;
use std::path::Path;

use crate::steps::{Point, STEPS, Task, Victim};

/// The test that compares the two.
pub(crate) const NAME: &str = "the_table_in_the_docs_is_this_one";

/// Set to anything, it has the test write the table anew.
const WRITE: &str = "DORY_WRITE_TABLE";

/// Where the docs include it from.
const FILE: &str = "../dory-core/src/agent/guard/kill_matrix.md";

const HEAD: &str = "\
Who is killed with SIGKILL at which step of a run, and what becomes of the four containers that use the data (one is
paused, one is restarted always): **back** to what they did, **down** on half-restored data with an alarm, or **left to
dockerd** where nobody guards them yet or any more and the engine itself dies: it starts again what it was told to. What
a deletion never stops is there to show it.

Of every point it is asserted besides: the containers are so within ten seconds of the guardian noticing (or of the
engine's return), what runs again runs on data that is whole, no restore point is lost and each can be read, the next
command tells what happened and leaves no helper, guardian or volume, the next run succeeds, what was half deleted is
deleted to the end. Pruning keeps what its rules keep, and is a part of deleting a point too. The sample of the ordinary
test run is marked with `*`; `scripts/soak.sh` runs all of it.
";

/// Checks that the docs hold the table of the steps.
///
/// # Panics
/// If they hold another one.
pub(crate) fn is_in_the_docs() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let table = markdown();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == table, "{} is not the table of the steps: {WRITE}=1 writes it anew", file.display());
}

fn markdown() -> String {
    let mut text = HEAD.to_owned();
    writeln!(text, "\n{} points at {} steps:\n", Point::all().count(), STEPS.len()).unwrap();
    let victims = Victim::ALL.map(Victim::as_str);
    writeln!(text, "| run | step | {} |\n| --- | --- |{}", victims.join(" | "), " --- |".repeat(victims.len()))
        .unwrap();
    for task in Task::ALL {
        for step in STEPS.iter().filter(|step| step.task == task) {
            let cells = Victim::ALL.map(|victim| {
                let death = step.deaths.iter().find(|death| death.victim == victim);
                death.map_or_else(String::new, |death| {
                    format!("{}{}", death.then.as_str(), if death.sampled { " *" } else { "" })
                })
            });
            writeln!(text, "| {} | {} | {} |", task.as_str(), step.name, cells.join(" | ")).unwrap();
        }
    }
    text
}
