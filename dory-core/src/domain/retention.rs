//! Which points of a backup stay: one pure function of points, rules and the time, with a reason for each that does.
//!
//! Engines only carry out what it says. Where an engine cannot remove a point without others, [`keep_chains`] rounds in
//! favour of what stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use serde::Serialize;

use super::id::{PointId, SnapshotId};
use super::keep_rules::{KeepRules, Period};
use super::restore_point::{PointOrigin, RestorePoint};

/// How long what a restore overwrote can be brought back at least: two weeks.
pub const SAFETY_STAY: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What becomes of one point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Which point.
    pub point: PointId,
    /// Why it stays, the weightiest reason first. Without any it goes.
    pub reasons: Vec<KeepReason>,
}

impl Verdict {
    /// Whether the point goes.
    #[must_use]
    pub fn goes(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Why a point stays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum KeepReason {
    /// A point of the backup is suspect, and nobody has said yet that its source is as it should be.
    Frozen,
    /// Nobody said what is to go.
    NoRules,
    /// Somebody protected it.
    Protected,
    /// Somebody named it.
    Named,
    /// It is the newest that is whole.
    Newest,
    /// It is one of the newest.
    Last {
        /// Which, from 1.
        nth: u32,
    },
    /// It is young.
    Within,
    /// It is the newest of its hour, day, week, month or year.
    Period {
        /// What it is the newest of.
        period: Period,
        /// Which of these that have points, from 1, the newest first.
        nth: u32,
    },
    /// It lacks data or is suspect, so it takes no place; where all were whole it would have one.
    Beside,
    /// It keeps what a restore overwrote, which somebody may want back.
    Safety {
        /// Until when.
        until: Timestamp,
    },
    /// It is the way back from a restore that did not end.
    WayBack,
    /// The store charges for it until then, whether it is there or not.
    MinimumStay {
        /// Until when.
        until: Timestamp,
    },
    /// The engine cannot remove it without one that stays.
    Chain {
        /// The one that stays.
        with: PointId,
    },
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frozen => f.write_str("the backup is frozen: a point is suspect"),
            Self::NoRules => f.write_str("no rules are set"),
            Self::Protected => f.write_str("protected"),
            Self::Named => f.write_str("named"),
            Self::Newest => f.write_str("the newest that is whole"),
            Self::Last { nth: 1 } => f.write_str("the last"),
            Self::Last { nth } => write!(f, "no. {nth} of the last"),
            Self::Within => f.write_str("young"),
            Self::Period { period, nth } => write!(f, "{} no. {nth}", period.as_str()),
            Self::Beside => f.write_str("not whole, beside those that are"),
            Self::Safety { until } => write!(f, "undoes a restore, until {}", day(*until)),
            Self::WayBack => f.write_str("the way back from a restore that did not end"),
            Self::MinimumStay { until } => write!(f, "paid for until {}", day(*until)),
            Self::Chain { with } => write!(f, "in a chain with {with}, which stays"),
        }
    }
}

fn day(moment: Timestamp) -> impl fmt::Display {
    moment.to_zoned(TimeZone::UTC).date()
}

/// What else decides beside a backup's own rules.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// Now.
    pub now: Timestamp,
    /// Where days begin.
    pub zone: TimeZone,
    /// How long the store charges for what is in it, whether it is still there or not (cold storage classes).
    pub minimum_stay: Option<SignedDuration>,
}

/// What becomes of each of `points`, in their order.
///
/// Points that lack data, or are suspect, take no place of one that is whole. They stay besides where they would have a
/// place if all were whole; of hours, days, … that goes for those that have no other. Points whose deletion has begun go,
/// whatever the rules say: their data may be gone already.
#[must_use]
pub fn retention(points: &[RestorePoint], rules: &KeepRules, circumstances: &Circumstances) -> Vec<Verdict> {
    let mut reasons: BTreeMap<PointId, Vec<KeepReason>> = BTreeMap::new();
    let staying: Vec<&RestorePoint> = points.iter().filter(|point| !point.deleting).collect();
    for point in &staying {
        reasons.insert(point.id, own_reasons(point, rules, circumstances));
    }
    if staying.iter().any(|point| point.is_suspect()) {
        reasons.values_mut().for_each(|own| own.insert(0, KeepReason::Frozen));
    }
    let mut newest_first: Vec<&RestorePoint> =
        staying.into_iter().filter(|point| point.origin != PointOrigin::Safety).collect();
    newest_first.sort_by_key(|point| std::cmp::Reverse((point.taken_at, point.id)));
    let mut add = |point: &RestorePoint, reason| reasons.entry(point.id).or_default().push(reason);

    let whole: Vec<&RestorePoint> = newest_first.iter().copied().filter(|point| is_whole(point)).collect();
    if let Some(newest) = whole.first() {
        add(newest, KeepReason::Newest);
    }
    for (nth, point) in (1..=rules.last).zip(&whole) {
        add(point, KeepReason::Last { nth });
    }
    let mut beside: BTreeSet<PointId> = newest_first.iter().zip(0..rules.last).map(|(point, _)| point.id).collect();
    for (period, count) in rules.periods() {
        for (nth, point) in (1..=count).zip(newest_of_each(&whole, period, &circumstances.zone)) {
            add(point, KeepReason::Period { period, nth });
        }
        let of_all = newest_of_each(&newest_first, period, &circumstances.zone);
        beside.extend(of_all.iter().zip(0..count).map(|(point, _)| point.id));
    }
    for point in newest_first.iter().filter(|point| !is_whole(point) && beside.contains(&point.id)) {
        add(point, KeepReason::Beside);
    }
    points
        .iter()
        .map(|point| Verdict { point: point.id, reasons: reasons.remove(&point.id).unwrap_or_default() })
        .collect()
}

/// Why a point stays on its own account, whatever others there are.
fn own_reasons(point: &RestorePoint, rules: &KeepRules, circumstances: &Circumstances) -> Vec<KeepReason> {
    let later = |stay: SignedDuration| {
        let until = point.taken_at.checked_add(stay).unwrap_or(Timestamp::MAX);
        (until > circumstances.now).then_some(until)
    };
    let safety = (point.origin == PointOrigin::Safety).then(|| later(SAFETY_STAY)).flatten();
    [
        rules.is_empty().then_some(KeepReason::NoRules),
        point.protected.then_some(KeepReason::Protected),
        point.name.is_some().then_some(KeepReason::Named),
        rules.is_within(point.taken_at, circumstances.now, &circumstances.zone).then_some(KeepReason::Within),
        safety.map(|until| KeepReason::Safety { until }),
        circumstances.minimum_stay.and_then(later).map(|until| KeepReason::MinimumStay { until }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn is_whole(point: &RestorePoint) -> bool {
    !point.lost_data() && !point.is_suspect()
}

/// The newest point of each period that has any, the newest period first; a whole one where there is one.
fn newest_of_each<'a>(newest_first: &[&'a RestorePoint], period: Period, zone: &TimeZone) -> Vec<&'a RestorePoint> {
    let mut found: Vec<(Zoned, &RestorePoint)> = Vec::new();
    for point in newest_first {
        let begin = period.begin(point.taken_at, zone);
        match found.iter_mut().find(|(other, _)| *other == begin) {
            None => found.push((begin, point)),
            Some((_, chosen)) if !is_whole(chosen) && is_whole(point) => *chosen = point,
            Some(_) => {}
        }
    }
    found.into_iter().map(|(_, point)| point).collect()
}

/// Rounds `verdicts` to whole chains: what would take a staying point along stays too. `tied` tells for each snapshot
/// those that can only go together with it.
pub fn keep_chains(
    verdicts: &mut [Verdict],
    points: &[RestorePoint],
    tied: &BTreeMap<SnapshotId, BTreeSet<SnapshotId>>,
) {
    loop {
        let stays: BTreeMap<&SnapshotId, PointId> = points
            .iter()
            .zip(verdicts.iter())
            .filter(|(point, verdict)| !verdict.goes() && !point.deleting)
            .map(|(point, verdict)| (&point.snapshot, verdict.point))
            .collect();
        let mut added = Vec::new();
        for (at, (point, verdict)) in points.iter().zip(verdicts.iter()).enumerate() {
            let with = tied.get(&point.snapshot).into_iter().flatten().find_map(|other| stays.get(other));
            if let Some(with) = with.filter(|_| verdict.goes()) {
                added.push((at, *with));
            }
        }
        if added.is_empty() {
            return;
        }
        for (at, with) in added {
            verdicts[at].reasons.push(KeepReason::Chain { with });
        }
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
