//! Which servers fell silent, as one process saw it by its own clock: no host's clock is trusted for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::id::ServerName;
use super::server::ServerRecord;

/// How long a server's sign of life may stand still until it counts as silent.
const SILENT_AFTER: Duration = Duration::from_secs(300);

/// How each server's lease looked last, and since when, by the watcher's own clock.
#[derive(Clone, Debug, Default)]
pub struct Stillness(BTreeMap<ServerName, Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Epoch and beat.
    looks: (u64, u64),
    since: Duration,
    /// Whether it was seen to change at the last look.
    moved: bool,
}

impl Stillness {
    /// Notes how the servers look at `monotonic`, and gives those that stood still for too long. One that gave its name
    /// back is not silent.
    pub fn look(&mut self, servers: &[ServerRecord], monotonic: Duration) -> BTreeSet<ServerName> {
        let mut seen = BTreeMap::new();
        let mut silent = BTreeSet::new();
        for server in servers.iter().filter(|server| !server.lease.released) {
            let looks = (server.lease.epoch, server.lease.beat);
            let now = match self.0.get(&server.name) {
                Some(before) if before.looks == looks => Seen { moved: false, ..*before },
                before => Seen { looks, since: monotonic, moved: before.is_some() },
            };
            if monotonic.saturating_sub(now.since) >= SILENT_AFTER {
                silent.insert(server.name.clone());
            }
            seen.insert(server.name.clone(), now);
        }
        self.0 = seen;
        silent
    }

    /// Whether a server was seen to live between the last two looks.
    #[must_use]
    pub fn moved(&self, server: &ServerName) -> bool {
        self.0.get(server).is_some_and(|seen| seen.moved)
    }

    /// Forgets what was seen.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::lease::Lease;
    use crate::domain::server::Ping;

    fn server(name: &str, beat: u64, released: bool) -> ServerRecord {
        let lease = Lease::next(None, "holder".to_owned(), 60, Timestamp::UNIX_EPOCH);
        ServerRecord {
            name: ServerName::parse(name).unwrap(),
            lease: Lease { beat, released, ..lease },
            ping: Ping::bare(Timestamp::UNIX_EPOCH, name, "1.0.0"),
        }
    }

    #[test]
    fn one_that_stands_still_for_five_minutes_is_silent_until_it_moves_or_ends() {
        let mut stillness = Stillness::default();
        let second = Duration::from_secs;
        let all = |beat, released| [server("alpha", beat, false), server("beta", 7, released)];
        assert!(stillness.look(&all(1, false), second(1000)).is_empty());
        assert!(stillness.look(&all(2, false), second(1299)).is_empty());
        assert!(stillness.moved(&ServerName::parse("alpha").unwrap()));
        assert!(!stillness.moved(&ServerName::parse("beta").unwrap()));
        let silent = stillness.look(&all(3, false), second(1300));
        assert_eq!(silent.iter().map(ServerName::as_str).collect::<Vec<_>>(), ["beta"]);
        assert!(stillness.look(&all(4, true), second(1301)).is_empty(), "it ended in order");
    }
}
