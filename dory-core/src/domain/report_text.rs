//! A report, and what is told at once, as plain text.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::quantity::{bytes, count, duration};
use super::report::{Attention, BackupLine, CostLine, Report, SizeLine};
use super::report_state::StateChange;
use super::settings::Topic;

/// How many backups, and how many things that need a look, a mail names one by one.
const SHOWN: usize = 300;

impl Report {
    /// The whole in a line: what a mail's subject says.
    #[must_use]
    pub fn headline(&self) -> String {
        let made = count(self.made(), "restore point");
        match self.attention.len() {
            0 => format!("Dory: all is well, {made} made"),
            1 => format!("Dory: 1 thing needs a look, {made} made"),
            several => format!("Dory: {several} things need a look, {made} made"),
        }
    }

    /// A moment in the report's zone, to the second.
    #[must_use]
    pub fn moment(&self, at: Timestamp) -> String {
        let zone = TimeZone::get(&self.zone).unwrap_or(TimeZone::UTC);
        at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// The report as plain text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\nfrom {} to {}\n", self.headline(), self.moment(self.since), self.moment(self.at));
        let attention = self.attention_shown().iter().map(attention_line);
        section(
            &mut text,
            "What needs a look",
            attention.chain(more(self.attention.len()).into_iter().map(|more| format!("- {more}\n"))),
        );
        let backups = self.shown_backups().into_iter().map(|backup| self.backup_text(backup));
        section(
            &mut text,
            "Backups",
            backups.chain(more(self.backups.len()).into_iter().map(|more| format!("- {more}\n"))),
        );
        let place = |place: &super::report::Place| format!("- {} on {}\n", place.container, place.server);
        section(&mut text, "New containers", self.new.iter().map(place));
        section(&mut text, "Removed containers", self.removed.iter().map(place));
        section(
            &mut text,
            "Servers",
            self.servers.iter().map(|server| {
                let at = self.moment(server.last_ping);
                format!("- {}: {}, last heard of {at}, Dory {}\n", server.name, server.state.as_str(), server.version)
            }),
        );
        section(
            &mut text,
            "Longest stop windows",
            self.longest_stops.iter().map(|stop| {
                format!("- {} on {}: {}, {}\n", stop.backup, stop.server, duration(stop.length), self.moment(stop.at))
            }),
        );
        section(&mut text, "Size", size_lines(&self.size).into_iter().map(|line| format!("- {line}\n")));
        section(&mut text, "Cost", self.cost.iter().flat_map(cost_lines).map(|line| format!("- {line}\n")));
        text
    }

    /// What needs a look that is named one by one: the most urgent.
    pub(super) fn attention_shown(&self) -> &[Attention] {
        self.attention.get(..SHOWN).unwrap_or(&self.attention)
    }

    /// The backups that are named one by one: all, or those with troubles first.
    pub(super) fn shown_backups(&self) -> Vec<&BackupLine> {
        let mut all: Vec<_> = self.backups.iter().collect();
        if all.len() > SHOWN {
            all.sort_by_key(|backup| backup.troubles.is_empty());
            all.truncate(SHOWN);
        }
        all
    }

    fn backup_text(&self, backup: &BackupLine) -> String {
        let mut text = format!("- {} on {}: {}\n", backup.name, backup.server, state_of(backup));
        for line in self.made_lines(backup) {
            text.push_str(&format!("    {line}\n"));
        }
        text
    }

    /// When it was backed up and what it takes, in a few lines.
    pub(super) fn made_lines(&self, backup: &BackupLine) -> Vec<String> {
        /// A backup that runs every five minutes does not fill a page.
        const TIMES: usize = 10;
        let mut lines = Vec::new();
        let made: Vec<_> = backup.made.iter().rev().take(TIMES).map(|at| self.moment(*at)).collect();
        match (made.is_empty(), backup.latest) {
            (false, _) => {
                let more = backup.made.len() - made.len();
                let more = if more > 0 { format!(", and {more} times before") } else { String::new() };
                lines.push(format!("backed up {}{more}", made.join(", ")));
            }
            (true, Some(latest)) => lines.push(format!("not backed up since {}", self.moment(latest))),
            (true, None) => lines.push("never backed up".to_owned()),
        }
        if backup.failures > 0 {
            lines.push(format!("{} that failed", count(backup.failures, "run")));
        }
        let mut size = format!("holds {}, {} in the store", bytes(backup.bytes), bytes(backup.stored_bytes));
        if backup.added_bytes > 0 {
            size.push_str(&format!(", {} new", bytes(backup.added_bytes)));
        }
        lines.push(size);
        lines
    }
}

/// What is said in place of those that are not named.
pub(super) fn more(count: usize) -> Option<String> {
    (count > SHOWN).then(|| format!("and {} more: `dory report --json` names all", count - SHOWN))
}

/// How a backup is, in words of a table.
pub(super) fn state_of(backup: &BackupLine) -> String {
    match backup.troubles.as_slice() {
        [] if backup.latest.is_none() => "not yet".to_owned(),
        [] => "good".to_owned(),
        troubles => troubles.iter().map(super::health::Trouble::word).collect::<Vec<_>>().join(", "),
    }
}

/// What is stored, in lines.
pub(super) fn size_lines(size: &SizeLine) -> Vec<String> {
    let mut line = format!("{} in {}", bytes(size.stored_bytes), count(size.points, "restore point"));
    if let Some(before) = size.stored_before {
        line.push_str(&match size.stored_bytes.checked_sub(before) {
            Some(0) => ", as much as before".to_owned(),
            Some(more) => format!(", {} more than before", bytes(more)),
            None => format!(", {} less than before", bytes(before - size.stored_bytes)),
        });
    }
    vec![line]
}

/// What it costs, in lines.
pub(super) fn cost_lines(cost: &CostLine) -> Vec<String> {
    let words = |amount: super::money::Amount| amount.in_words(&cost.prices.currency);
    let as_of = cost.prices.as_of.map(|date| format!(" as of {date}")).unwrap_or_default();
    let mut lines = vec![
        format!("about {} a month, by the prices of {}{as_of}", words(cost.a_month()), cost.prices.of),
        format!(
            "storage {}, requests of backups {}, requests of servers {}",
            words(cost.storage),
            words(cost.operations),
            words(cost.serving)
        ),
        format!("bringing everything back: at most {}", words(cost.restore)),
    ];
    if cost.early_deletion > super::money::Amount::ZERO {
        lines.push(format!("deleting everything now would still owe {}", words(cost.early_deletion)));
    }
    lines
}

fn attention_line(attention: &Attention) -> String {
    let remedy = attention.remedy.as_ref().map(|remedy| format!("    hint: {remedy}\n")).unwrap_or_default();
    format!("- {}: {}\n{remedy}", attention.subject, attention.words)
}

fn section(text: &mut String, heading: &str, entries: impl Iterator<Item = String>) {
    let entries: String = entries.collect();
    if !entries.is_empty() {
        text.push_str(&format!("\n{heading}\n{}\n{entries}", "-".repeat(heading.len())));
    }
}

/// The subject of a mail about changes.
#[must_use]
pub fn headline_of(changes: &[&StateChange]) -> String {
    match changes {
        [one] => {
            let words = match one.topic {
                Topic::Failing => "backup is failing",
                Topic::Recovered => "backup works again",
                Topic::Suspect => "a restore point is suspect",
                Topic::Down => "CONTAINERS ARE DOWN",
                Topic::Silent => "is silent",
                Topic::Back => "is back",
                Topic::Digest => "report",
            };
            format!("Dory: {}: {words}", one.subject)
        }
        several => {
            let of = |topic: Topic| several.iter().filter(|change| change.topic == topic).count();
            let told = Topic::WORDS.iter().filter(|(_, topic)| of(*topic) > 0);
            let parts: Vec<_> = told.map(|(word, topic)| format!("{} {word}", of(*topic))).collect();
            format!("Dory: {}", parts.join(", "))
        }
    }
}

/// What changed, as plain text.
#[must_use]
pub fn text_of(changes: &[&StateChange]) -> String {
    let one = |change: &&StateChange| {
        let remedy = change.remedy.as_ref().map(|remedy| format!("  hint: {remedy}\n")).unwrap_or_default();
        format!("{}: {}\n  {}\n{remedy}", change.topic.as_str(), change.subject, change.words)
    };
    let all: Vec<_> = changes.iter().map(one).collect();
    format!("{}\nThis is told once; the next report says how things are then.\n", all.join("\n"))
}
