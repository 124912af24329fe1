//! What must be true of the fleet after bad weather: no update is lost, no restore point, and nothing was done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::trial::Trial;

/// How long an engine may take to remove a helper that ended.
const TIDYING: Duration = Duration::from_secs(60);

impl Trial {
    pub(super) fn nothing_was_lost_and_nothing_done_twice(&self) {
        let backups = self.json(&["list"])["backups"].as_array().unwrap().clone();
        let (mut points, mut ids): (BTreeMap<String, usize>, _) = (BTreeMap::new(), BTreeSet::new());
        for backup in &backups {
            for point in backup["points"].as_array().unwrap() {
                assert!(ids.insert(text(&point["id"])), "twice: {point}");
                if let Some(name) = point["name"].as_str() {
                    *points.entry(name.to_owned()).or_default() += 1;
                }
            }
            // All of it can be brought back.
            self.anywhere(&["verify", &text(&backup["id"])]).succeeded();
        }
        assert!(self.seen.is_subset(&ids), "these points are lost: {:?}", self.seen.difference(&ids));
        self.every_command_was_carried_out_once(&points, &ids);
        self.what_a_run_made_is_there(&backups, &ids);
        self.no_turn_was_taken_twice(&backups);
        for (backup, key) in &self.written {
            let backup = self.json(&["show", backup]);
            assert!(backup["metadata"][key].is_string(), "an update is lost: {key} of {backup}");
        }
        assert!(!self.written.is_empty() && !self.asked.is_empty(), "nothing came through at all");
    }

    /// Once or not at all, and its outcome says which.
    fn every_command_was_carried_out_once(&self, points: &BTreeMap<String, usize>, ids: &BTreeSet<String>) {
        let commands = self.json(&["commands"]);
        let mut known = BTreeSet::new();
        for command in commands.as_array().unwrap() {
            let begun: usize = self.hosts.iter().map(|host| host.words().matches(&begins(command)).count()).sum();
            assert!(begun <= 1, "it was begun {begun} times: {command}");
            let Some(name) = command["command"]["order"]["name"].as_str() else { continue };
            known.insert(name.to_owned());
            if name.starts_with("crossed") {
                continue;
            }
            let made = points.get(name).copied().unwrap_or_default();
            let failed = command["state"]["error"].is_object();
            assert!(made <= 1, "{name}: done {made} times");
            assert!(made == 1 || failed, "{name}: said to be done, and nothing is there: {command}");
            if let Some(point) = command["state"]["point"].as_str() {
                assert!(ids.contains(point), "said to be made, and not there: {command}");
            }
        }
        assert!(self.asked.is_subset(&known), "{:?} were taken and forgotten", self.asked.difference(&known));
    }

    fn what_a_run_made_is_there(&self, backups: &[Value], ids: &BTreeSet<String>) {
        let exists = |id: &Value| backups.iter().any(|backup| backup["id"] == *id);
        let crossed = self.crossed();
        for run in self.json(&["runs", "--limit", "100000"])["runs"].as_array().unwrap() {
            let Some(point) = run["point"].as_str().filter(|_| run["kind"] == "backup") else { continue };
            if exists(&run["backup"]) && !crossed.contains(point) {
                assert!(ids.contains(point), "a restore point is lost: {run}");
            }
        }
    }

    /// The points that were deleted by command.
    fn crossed(&self) -> BTreeSet<String> {
        let commands = self.json(&["commands"]);
        let deleted = commands.as_array().unwrap().iter().filter(|one| one["command"]["order"]["do"] == "delete-point");
        deleted.map(|command| text(&command["command"]["order"]["point"])).collect()
    }

    /// There are three turns a minute: each makes one point at most, whoever died meanwhile.
    fn no_turn_was_taken_twice(&self, backups: &[Value]) {
        let turns = self.age().as_secs() / 20 + 1;
        let of_schedule = |backup: &Value| {
            backup["points"].as_array().unwrap().iter().filter(|point| point["origin"] == "schedule").count() as u64
        };
        let made: Vec<_> = backups.iter().map(of_schedule).collect();
        assert!(made.iter().all(|made| *made <= turns), "{made:?} points of {turns} turns");
        assert!(made.iter().sum::<u64>() > 0, "no schedule was kept");
    }

    pub(super) fn everything_is_as_it_was(&mut self) {
        for at in 0..self.hosts.len() {
            let host = &self.hosts[at];
            let name = host.container.name();
            let expected = [name.to_owned(), host.scheduled(), host.spare()];
            self.until("every container runs, and no helper does", TIDYING, |trial| {
                let mut running = trial.hosts[at].running();
                running.sort();
                running == expected
            });
        }
    }
}

/// What a server says when it begins it.
fn begins(command: &Value) -> String {
    format!(": command {}\n", command["command"]["id"].as_str().unwrap())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text is expected: {value}")).to_owned()
}
