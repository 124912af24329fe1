//! Good weather: each kind of command goes from one server to another and is done there, and one server writes letters.

use std::thread;
use std::time::Duration;

use super::host::Host;
use super::trial::Trial;

/// How soon the one that writes letters looks again, and a little more.
const POST: Duration = Duration::from_secs(90);

impl Trial {
    /// Lets a backup fail before anybody serves, for the first letter to tell of it.
    pub(super) fn begin_to_fail(&self) {
        let host = &self.hosts[0];
        host.dory(&["policy", host.container.name(), "--pre", "exit 7"]).succeeded();
        let failed = host.dory(&["backup", host.container.name()]);
        assert_ne!(failed.code, Some(0), "{failed:?}");
    }

    /// The first letter came; what it told of is mended, which asks for another one.
    pub(super) fn first_letter(&mut self) {
        let backup = self.hosts[0].container.name().to_owned();
        self.until("a letter tells that a backup fails", POST, |trial| !trial.post.tells("failing", &backup).is_empty());
        self.anywhere(&["policy", &backup, "--pre", ""]).succeeded();
        self.anywhere(&["backup", &backup, "--on", "alpha", "--name", "mended"]).succeeded();
    }

    /// Of three servers one wrote, and it wrote each notice once.
    pub(super) fn one_wrote_the_letters(&mut self) {
        let backup = self.hosts[0].container.name().to_owned();
        self.until("a letter tells that all is well", POST, |trial| !trial.post.tells("recovered", &backup).is_empty());
        let letters: Vec<_> = ["failing", "recovered"].iter().flat_map(|topic| self.post.tells(topic, &backup)).collect();
        assert_eq!(letters.len(), 2, "{letters:#?}");
        let tellers: Vec<_> = self.hosts.iter().filter(|host| host.words().contains("sends the fleet's reports")).collect();
        let [teller] = tellers.as_slice() else { panic!("{} servers write letters", tellers.len()) };
        assert!(letters.iter().all(|letter| letter.peer == teller.cable.address()), "{}: {letters:#?}", teller.name);
        self.post.told_everything_once();
    }

    /// From each host to the next one, all at the same time.
    pub(super) fn every_command_crosses(&self) {
        let [alpha, beta, gamma] = self.hosts.as_slice() else { panic!("three hosts are expected") };
        thread::scope(|scope| {
            for (from, to) in [(alpha, beta), (beta, gamma), (gamma, alpha)] {
                scope.spawn(move || cross(from, to));
            }
        });
        // Another server's data into a container there: a container moves from host to host.
        alpha.container.sh("echo moved >/data/count");
        let (moved, target) = (alpha.container.name(), beta.container.name());
        alpha.dory(&["backup", moved]).succeeded();
        self.anywhere(&["restore", moved, "--into", target, "--on", "beta", "--yes"]).succeeded();
        assert_eq!(beta.container.sh("cat /data/count"), "moved\n");
    }
}

fn cross(from: &Host, to: &Host) {
    let (server, container) = (to.name, to.container.name());
    let name = format!("crossed to {server}");
    let asks = |words: &[&str]| from.dory(&[words, &["--on", server]].concat());
    asks(&["backup", container, "--name", &name]).succeeded();
    to.container.sh("echo broken >/data/count");
    asks(&["restore", container, "--at", &name, "--yes"]).succeeded();
    assert_eq!(to.container.sh("cat /data/count"), "0\n");
    asks(&["verify", container]).succeeded();
    asks(&["mark", container]).succeeded();
    asks(&["unmark", container]).succeeded();
    asks(&["prune", container, "--yes"]).succeeded();
    asks(&["delete", container, "--at", &name, "--yes"]).succeeded();
    // A run that would never end, and is ended from elsewhere; what it did until then is undone.
    let spare = to.spare();
    from.dory(&["backup", &spare, "--on", server]).succeeded();
    from.dory(&["policy", &spare, "--pre", "sleep 1000"]).succeeded();
    let waits = asks(&["backup", &spare, "--no-wait", "--json"]).succeeded();
    let waits: serde_json::Value = serde_json::from_str(&waits.stdout).unwrap();
    let command = waits[0]["command"]["id"].as_str().unwrap();
    from.dory(&["cancel", command]).succeeded();
    to.is_over(command, "cancelled");
    asks(&["delete", &spare, "--yes"]).succeeded();
}
