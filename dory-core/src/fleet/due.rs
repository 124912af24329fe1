//! What of a timetable is due now, and when the next of it is: rules without any waiting.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::domain::id::{BackupId, ContainerName};
use crate::domain::server::NextRun;
use crate::error::ErrorKind;
use crate::services::TimetableEntry;

/// How long after a failure the same is tried again: first, second and third time. Then it waits for its next turn.
const AGAIN_AFTER: [SignedDuration; 3] =
    [SignedDuration::from_mins(1), SignedDuration::from_mins(5), SignedDuration::from_mins(15)];

/// What became of the turns of each container since this server runs.
#[derive(Debug, Default)]
pub(super) struct Turns(BTreeMap<ContainerName, Turn>);

#[derive(Clone, Copy, Debug)]
struct Turn {
    /// The moment that was due.
    moment: Timestamp,
    failures: usize,
    /// When it is tried again.
    again_at: Option<Timestamp>,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) container: ContainerName,
    /// The backup that holds its data.
    pub(super) backup: Option<BackupId>,
    pub(super) moment: Timestamp,
}

impl Turns {
    /// What of `entries` is due at `now`, and the next that will be.
    pub(super) fn due(
        &self,
        entries: &[TimetableEntry],
        now: Timestamp,
        zone: &TimeZone,
    ) -> (Vec<Due>, Option<NextRun>) {
        let (mut due, mut next) = (Vec::new(), None::<NextRun>);
        for entry in entries {
            let at = match self.next_of(entry, now, zone) {
                Some((moment, at)) if at <= now => {
                    due.push(Due { container: entry.container.clone(), backup: entry.backup.clone(), moment });
                    continue;
                }
                Some((_, at)) => at,
                None => continue,
            };
            if next.as_ref().is_none_or(|next| at < next.at) {
                next = Some(NextRun { container: entry.container.clone(), at });
            }
        }
        (due, next)
    }

    /// The moment whose turn is next, and when that is.
    fn next_of(&self, entry: &TimetableEntry, now: Timestamp, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let turn = self.0.get(&entry.container);
        if let Some(Turn { moment, again_at: Some(again_at), .. }) = turn {
            return Some((*moment, *again_at));
        }
        let since = turn.map_or(entry.since, |turn| turn.moment.max(entry.since));
        let moment = entry.turns.next(&entry.schedule, since, now, zone)?;
        let delayed = moment.checked_add(entry.schedule.delay(&entry.subject, moment)).unwrap_or(moment);
        Some((moment, delayed))
    }

    /// Notes that a turn is over: it had its backup, or it failed in a way that trying again may mend, or will not. Tells
    /// whether it is tried again.
    pub(super) fn over(&mut self, due: Due, failure: Option<ErrorKind>, now: Timestamp) -> bool {
        let failures =
            self.0.get(&due.container).filter(|turn| turn.moment == due.moment).map_or(0, |turn| turn.failures);
        let may_pass = matches!(failure, Some(ErrorKind::Conflict | ErrorKind::Unavailable | ErrorKind::TimedOut));
        let wait = AGAIN_AFTER.get(failures).filter(|_| may_pass);
        let again_at = wait.map(|wait| now.checked_add(*wait).unwrap_or(Timestamp::MAX));
        self.0.insert(due.container, Turn { moment: due.moment, failures: failures + 1, again_at });
        again_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn entry(schedule: &str, since: &str) -> TimetableEntry {
        TimetableEntry {
            container: "db".parse().unwrap(),
            subject: "db-1".into(),
            schedule: schedule.parse().unwrap(),
            since: at(since),
            turns: crate::domain::turns::Turns::default(),
            backup: None,
        }
    }

    /// What is due now (`None`), or when the next is.
    fn look(turns: &Turns, entry: &TimetableEntry, now: &str) -> Option<Timestamp> {
        let (due, next) = turns.due(std::slice::from_ref(entry), at(now), &TimeZone::UTC);
        assert!(due.is_empty() != next.is_none());
        next.map(|next| next.at)
    }

    #[test]
    fn one_missed_night_or_ten_are_made_up_for_once() {
        let (mut turns, nightly) = (Turns::default(), entry("0 3 * * *", "2026-11-10T03:00:00Z"));
        assert_eq!(look(&turns, &nightly, "2026-11-20T12:00:00Z"), None);
        let due = Due { container: "db".parse().unwrap(), backup: None, moment: at("2026-11-20T03:00:00Z") };
        turns.over(due, None, at("2026-11-20T12:05:00Z"));
        assert_eq!(look(&turns, &nightly, "2026-11-20T12:06:00Z"), Some(at("2026-11-21T03:00:00Z")));
    }

    #[test]
    fn what_may_pass_is_tried_again_three_times_and_what_will_not_is_not() {
        let nightly = entry("0 3 * * *", "2026-11-24T03:00:00Z");
        let due = || Due { container: "db".parse().unwrap(), backup: None, moment: at("2026-11-25T03:00:00Z") };
        let mut turns = Turns::default();
        for (now, again) in [("03:00:10", "03:01:10"), ("03:01:20", "03:06:20"), ("03:06:30", "03:21:30")] {
            turns.over(due(), Some(ErrorKind::Unavailable), at(&format!("2026-11-25T{now}Z")));
            assert_eq!(look(&turns, &nightly, "2026-11-25T03:00:30Z"), Some(at(&format!("2026-11-25T{again}Z"))));
        }
        assert_eq!(look(&turns, &nightly, "2026-11-25T03:21:30Z"), None);
        turns.over(due(), Some(ErrorKind::Unavailable), at("2026-11-25T03:21:40Z"));
        assert_eq!(look(&turns, &nightly, "2026-11-25T03:22:00Z"), Some(at("2026-11-26T03:00:00Z")));

        let mut turns = Turns::default();
        turns.over(due(), Some(ErrorKind::InvalidInput), at("2026-11-25T03:00:10Z"));
        assert_eq!(look(&turns, &nightly, "2026-11-25T03:00:20Z"), Some(at("2026-11-26T03:00:00Z")));
    }

    #[test]
    fn a_turn_waits_for_its_delay() {
        let late = entry("0 3 * * * ~30m", "2026-11-24T03:00:00Z");
        let delay = late.schedule.delay("db-1", at("2026-11-25T03:00:00Z"));
        let begin = at("2026-11-25T03:00:00Z") + delay;
        assert_eq!(look(&Turns::default(), &late, "2026-11-25T03:00:00Z"), Some(begin));
        assert_eq!(look(&Turns::default(), &late, &begin.to_string()), None);
    }
}
