//! The names under which duplicity stores its files, and what they tell.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The second at which duplicity began a backup set, as it stands in file names: `20261123T044749Z`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SetTime(String);

impl SetTime {
    /// The time that `text` spells; `None` for anything but a real date in that form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let shaped = text.len() == 16
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            });
        let time = Self(text.to_owned());
        (shaped && time.date_time().is_some()).then_some(time)
    }

    /// The second that holds `at`.
    pub(super) fn from_timestamp(at: Timestamp) -> Self {
        Self(at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn to_timestamp(&self) -> Timestamp {
        let zoned = self.date_time().and_then(|at| at.to_zoned(TimeZone::UTC).ok());
        zoned.map_or(Timestamp::UNIX_EPOCH, |at| at.timestamp())
    }

    fn date_time(&self) -> Option<DateTime> {
        DateTime::strptime("%Y%m%dT%H%M%SZ", &self.0).ok()
    }
}

impl fmt::Display for SetTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SetTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One file of duplicity's, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredName {
    /// The set before, for an incremental one.
    pub(super) start: Option<SetTime>,
    /// The set it belongs to.
    pub(super) end: SetTime,
    pub(super) part: Part,
    pub(super) encrypted: bool,
}

/// What a file is to its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Contents, in numbered volumes.
    Volume(u32),
    /// The list of volumes; stored last, so a set without one was never finished.
    Manifest,
    /// What the next incremental set compares with.
    Signatures,
    /// Numbers, for people.
    Statistics,
}

impl StoredName {
    /// Reads a name that starts with `prefix`; `None` for what is no finished file of duplicity's with that prefix.
    pub(super) fn parse(prefix: &str, name: &str) -> Option<Self> {
        let rest = name.strip_prefix(prefix)?.strip_prefix("duplicity-")?;
        let (kind, rest) = rest.split_once('.')?;
        let (start, rest) = match kind {
            "full" | "full-signatures" => (None, rest),
            "inc" | "new-signatures" => {
                let (start, rest) = rest.split_once(".to.")?;
                (Some(SetTime::parse(start)?), rest)
            }
            _ => return None,
        };
        let (end, rest) = rest.split_once('.')?;
        let end = SetTime::parse(end)?;
        let mut words = rest.split('.');
        let first = words.next()?;
        let part = match (kind, first) {
            ("full" | "inc", "manifest") => Part::Manifest,
            ("full" | "inc", "jsonstat") => Part::Statistics,
            ("full" | "inc", volume) => {
                let number = volume.strip_prefix("vol")?.parse().ok()?;
                (words.next()? == "difftar").then_some(Part::Volume(number))?
            }
            (_, "sigtar") => Part::Signatures,
            _ => return None,
        };
        let suffix = words.next();
        let known = matches!(suffix, None | Some("gpg" | "g" | "gz" | "z" | "p7m"));
        let encrypted = matches!(suffix, Some("gpg" | "g" | "p7m"));
        (known && words.next().is_none()).then_some(Self { start, end, part, encrypted })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> SetTime {
        SetTime::parse(text).unwrap()
    }

    #[test]
    fn names_that_duplicity_gave_are_understood() {
        let name = |text| StoredName::parse("", text).unwrap();
        let (full, inc) = (time("20261123T091220Z"), time("20261123T091329Z"));
        assert_eq!(
            name("duplicity-full.20261123T091220Z.vol12.difftar.gpg"),
            StoredName { start: None, end: full.clone(), part: Part::Volume(12), encrypted: true }
        );
        assert_eq!(
            name("duplicity-inc.20261123T091220Z.to.20261123T091329Z.manifest"),
            StoredName { start: Some(full.clone()), end: inc.clone(), part: Part::Manifest, encrypted: false }
        );
        assert_eq!(
            name("duplicity-new-signatures.20261123T091220Z.to.20261123T091329Z.sigtar.gz"),
            StoredName { start: Some(full.clone()), end: inc, part: Part::Signatures, encrypted: false }
        );
        assert_eq!(name("duplicity-full-signatures.20261123T091220Z.sigtar.gpg").part, Part::Signatures);
        assert_eq!(
            StoredName::parse("dory-", "dory-duplicity-full.20261123T091220Z.manifest.gpg").unwrap().part,
            Part::Manifest
        );
    }

    #[test]
    fn other_names_are_none() {
        for text in [
            "",
            "readme.txt",
            "dory-duplicity-full.20261123T091220Z.manifest.gpg",
            "duplicity-full.20261123T091220Z.manifest.part",
            "duplicity-full.20261123T091220Z.manifest.gpg.part",
            "duplicity-full.20261399T091220Z.manifest.gpg",
            "duplicity-full.20261123T091220Z.volx.difftar.gpg",
            "duplicity-inc.20261123T091220Z.manifest.gpg",
            "duplicity-full.20261123T091220Z.sigtar.gpg",
            "duplicity-full-signatures.20261123T091220Z.manifest.gpg",
        ] {
            assert_eq!(StoredName::parse("", text), None, "{text}");
        }
    }

    #[test]
    fn set_times_are_seconds_of_utc() {
        let at: Timestamp = "2026-11-23T04:47:49.9Z".parse().unwrap();
        assert_eq!(SetTime::from_timestamp(at).as_str(), "20261123T044749Z");
        assert_eq!(time("20261123T044749Z").to_timestamp(), "2026-11-23T04:47:49Z".parse().unwrap());
    }

    proptest! {
        #[test]
        fn no_name_upsets_the_parser(name in "(duplicity-)?(full|inc|new-signatures|.{0,9})[.](.{0,20})([.]to[.])?.{0,40}") {
            let _ = StoredName::parse("", &name);
        }
    }
}
