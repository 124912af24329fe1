//! The duplicity options that a user may set, each with what its value must be; and why the others are refused.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::error::{Error, Result};

/// What a value must be.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// A whole number in this range.
    Number(u64, u64),
    /// A length of time as duplicity writes it: `30D`, `2W`, `1h30m`.
    Interval,
    /// `true` or nothing to switch it on, `false` to leave it off.
    Flag,
    /// A name: letters, digits and `._:/=,@-`, not starting with `-`.
    Name,
}

/// Which runs an option is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Those that make a backup set.
    Backup,
    /// All that reach the store.
    Always,
    /// Dory's own: duplicity never hears of it.
    Dory,
}

const ALLOWED: &[(&str, Shape, Use)] = &[
    ("asynchronous-upload", Shape::Flag, Use::Backup),
    ("backend-retry-delay", Shape::Number(0, 3600), Use::Always),
    ("compress-level", Shape::Number(0, 9), Use::Backup),
    ("concurrency", Shape::Number(0, 16), Use::Backup),
    ("copy-blocksize", Shape::Number(1, 1 << 20), Use::Always),
    ("exclude-device-files", Shape::Flag, Use::Backup),
    ("exclude-if-present", Shape::Name, Use::Backup),
    ("full-if-n-inc", Shape::Number(0, 100_000), Use::Backup),
    ("full-if-older-than", Shape::Interval, Use::Backup),
    ("max-blocksize", Shape::Number(512, 1 << 30), Use::Backup),
    ("no-compression", Shape::Flag, Use::Backup),
    ("num-retries", Shape::Number(1, 1000), Use::Always),
    ("s3-kms-grant", Shape::Name, Use::Always),
    ("s3-kms-key-id", Shape::Name, Use::Always),
    ("s3-multipart-chunk-size", Shape::Number(5, 5120), Use::Always),
    ("s3-multipart-max-procs", Shape::Number(1, 64), Use::Always),
    ("s3-use-glacier-ir", Shape::Flag, Use::Always),
    ("s3-use-ia", Shape::Flag, Use::Always),
    ("s3-use-onezone-ia", Shape::Flag, Use::Always),
    ("s3-use-rrs", Shape::Flag, Use::Always),
    ("s3-use-server-side-encryption", Shape::Flag, Use::Always),
    ("s3-use-server-side-kms-encryption", Shape::Flag, Use::Always),
    ("staged", Shape::Flag, Use::Dory),
    ("timeout", Shape::Number(1, 86_400), Use::Always),
    ("volsize", Shape::Number(1, 10_240), Use::Backup),
];

/// Options that duplicity has and Dory refuses, by the start of their names, and why.
const REFUSED: &[(&str, &str)] = &[
    ("gpg-", "it runs or steers another program"),
    ("par2-", "it runs or steers another program"),
    ("rsync-options", "it runs or steers another program"),
    ("scp-command", "it runs or steers another program"),
    ("sftp-command", "it runs or steers another program"),
    ("ssh-", "it runs or steers another program"),
    ("use-gpgsm", "it runs another program"),
    ("use-agent", "passphrases come from Dory alone"),
    ("encrypt-", "the helper holds no keys but the passphrase that Dory gives it"),
    ("hidden-encrypt-key", "the helper holds no keys but the passphrase that Dory gives it"),
    ("sign-key", "the helper holds no keys but the passphrase that Dory gives it"),
    ("encryption", "DORY_PASSPHRASE and DORY_ENCRYPTION decide about that"),
    ("no-encryption", "DORY_PASSPHRASE and DORY_ENCRYPTION decide about that"),
    ("archive-dir", "Dory says where duplicity writes"),
    ("config-dir", "Dory says where duplicity writes"),
    ("tempdir", "Dory says where duplicity writes"),
    ("log-", "Dory says where duplicity writes"),
    ("name", "Dory says where duplicity writes"),
    ("file-prefix", "Dory finds backup sets by their names"),
    ("include", "label `dory.exclude` says what is left out"),
    ("exclude", "label `dory.exclude` says what is left out"),
    ("files-from", "label `dory.exclude` says what is left out"),
    ("filter-", "label `dory.exclude` says what is left out"),
    ("copy-links", "links could lead out of the volume"),
    ("skip-if-no-change", "every run is to make a restore point"),
    ("s3-use-glacier", "nothing could be restored before somebody thaws it by hand"),
    ("s3-use-deep-archive", "nothing could be restored before somebody thaws it by hand"),
    ("s3-endpoint-url", "it is part of the store's address"),
    ("s3-region-name", "it is part of the store's address"),
    ("s3-unencrypted-connection", "it is part of the store's address"),
    ("ssl-", "connections are to be checked"),
    ("ignore-errors", "errors are to be seen"),
];

/// duplicity starts a new chain after this long, unless the user says otherwise: long chains restore slowly, and go
/// only as a whole.
const FULL_IF_OLDER_THAN: &str = "30D";

/// A user's options, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CustomOptions(BTreeMap<&'static str, String>);

impl CustomOptions {
    /// Checks names and values. Names may carry duplicity's leading `--`.
    ///
    /// # Errors
    /// `InvalidInput`, naming the option, and what is allowed or why it is refused.
    pub(super) fn parse(options: &BTreeMap<String, String>) -> Result<Self> {
        let mut checked = BTreeMap::new();
        for (given, value) in options {
            let name = given.strip_prefix("--").unwrap_or(given);
            let Some((name, shape, _)) = ALLOWED.iter().find(|(allowed, ..)| *allowed == name) else {
                return Err(refusal(given, name));
            };
            if let Some(value) = shape.check(name, value.trim())? {
                checked.insert(*name, value);
            }
        }
        if checked.contains_key("compress-level") && checked.contains_key("no-compression") {
            return Err(Error::invalid(
                "duplicity option",
                "compress-level",
                "it cannot be set together with `no-compression`",
            ));
        }
        Ok(Self(checked))
    }

    /// Arguments for every run.
    pub(super) fn common_arguments(&self) -> Vec<OsString> {
        self.arguments(Use::Always)
    }

    /// Further arguments for a run that makes a backup set.
    pub(super) fn backup_arguments(&self) -> Vec<OsString> {
        let mut arguments = self.arguments(Use::Backup);
        if !self.0.contains_key("full-if-older-than") {
            arguments.push(format!("--full-if-older-than={FULL_IF_OLDER_THAN}").into());
        }
        arguments
    }

    /// Whether volumes are copied first, so that containers need not stand still while duplicity runs.
    pub(super) fn is_staged(&self) -> bool {
        self.sets("staged")
    }

    /// Whether the user set this one.
    pub(super) fn sets(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn arguments(&self, wanted: Use) -> Vec<OsString> {
        let chosen = ALLOWED.iter().filter(|(_, _, used)| *used == wanted);
        let given = chosen.filter_map(|(name, ..)| self.0.get_key_value(name));
        given
            .map(|(name, value)| match (*name, value.as_str()) {
                // gpg compresses; duplicity has no option of its own for how much.
                ("compress-level", level) => format!("--gpg-options=--compress-level={level}").into(),
                (name, "") => format!("--{name}").into(),
                (name, value) => format!("--{name}={value}").into(),
            })
            .collect()
    }
}

impl Shape {
    /// The value as duplicity takes it; `None` where the option is to be left off.
    fn check(self, name: &str, value: &str) -> Result<Option<String>> {
        let wrong = |allowed: &str| {
            let shown = if value.is_empty() { "(nothing)" } else { value };
            Err(Error::invalid(&format!("duplicity option {name}"), shown, allowed))
        };
        match self {
            Self::Number(least, most) => match value.parse::<u64>() {
                Ok(number) if (least..=most).contains(&number) => Ok(Some(number.to_string())),
                _ => wrong(&format!("a whole number from {least} to {most} is allowed")),
            },
            Self::Interval if is_interval(value) => Ok(Some(value.to_owned())),
            Self::Interval => wrong("a length of time in s, m, h, D, W, M and Y is allowed: `30D`, `1M2W`"),
            Self::Flag => match value {
                "" | "true" => Ok(Some(String::new())),
                "false" => Ok(None),
                _ => wrong("`true` and `false` are allowed"),
            },
            Self::Name => {
                let plain = |c: char| c.is_ascii_alphanumeric() || "._:/=,@-".contains(c);
                if !value.is_empty() && !value.starts_with('-') && value.len() <= 512 && value.chars().all(plain) {
                    return Ok(Some(value.to_owned()));
                }
                wrong("letters, digits and `._:/=,@-` are allowed")
            }
        }
    }
}

fn is_interval(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit = rest[digits..].chars().next();
        if !(1..=6).contains(&digits) || !unit.is_some_and(|unit| "smhDWMY".contains(unit)) {
            return false;
        }
        rest = &rest[digits + 1..];
    }
    !text.is_empty()
}

fn refusal(given: &str, name: &str) -> Error {
    let known = REFUSED.iter().find(|(start, _)| name.starts_with(start));
    let reason = known.map_or("Dory does not pass it on".to_owned(), |(_, why)| format!("it is refused: {why}"));
    let allowed: Vec<_> = ALLOWED.iter().map(|(name, ..)| *name).collect();
    Error::invalid("duplicity option", given, reason).with_hint(format!("allowed are: {}", allowed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn parse(options: &[(&str, &str)]) -> Result<CustomOptions> {
        CustomOptions::parse(&options.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    fn backup(options: &[(&str, &str)]) -> Vec<String> {
        let arguments = parse(options).unwrap().backup_arguments();
        arguments.into_iter().map(|argument| argument.into_string().unwrap()).collect()
    }

    #[test]
    fn allowed_options_become_arguments() {
        assert_eq!(backup(&[]), ["--full-if-older-than=30D"]);
        assert_eq!(
            backup(&[("volsize", "25"), ("--full-if-older-than", "1M2W"), ("no-compression", "true")]),
            ["--full-if-older-than=1M2W", "--no-compression", "--volsize=25"]
        );
        assert_eq!(
            backup(&[("compress-level", "9"), ("asynchronous-upload", "false")]),
            ["--gpg-options=--compress-level=9", "--full-if-older-than=30D"]
        );
    }

    #[test]
    fn only_some_are_for_every_run() {
        let options = parse(&[("volsize", "25"), ("num-retries", "2")]).unwrap();
        assert_eq!(options.common_arguments(), ["--num-retries=2"]);
        assert_eq!(options.backup_arguments(), ["--volsize=25", "--full-if-older-than=30D"]);
    }

    #[test]
    fn values_are_checked_and_the_message_says_what_is_allowed() {
        for (name, value, told) in [
            ("volsize", "0", "from 1 to 10240"),
            ("volsize", "5 --force", "from 1 to 10240"),
            ("volsize", "", "from 1 to 10240"),
            ("full-if-older-than", "now", "`30D`"),
            ("full-if-older-than", "30", "`30D`"),
            ("no-compression", "yes", "`true`"),
            ("s3-kms-key-id", "--gpg-binary=x", "letters"),
            ("exclude-if-present", "a b", "letters"),
        ] {
            let error = parse(&[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(name) && error.to_string().contains(told), "{error}");
        }
    }

    #[test]
    fn what_runs_programs_or_writes_elsewhere_is_refused() {
        for name in [
            "gpg-options",
            "gpg-binary",
            "ssh-options",
            "rsync-options",
            "par2-options",
            "scp-command",
            "archive-dir",
            "tempdir",
            "log-file",
            "encrypt-key",
            "no-encryption",
            "file-prefix",
            "copy-links",
            "--include",
            "exclude",
            "allow-source-mismatch",
            "force",
            "dry-run",
            "no-such-option",
            "",
        ] {
            let error = parse(&[(name, "x")]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
            assert!(error.to_string().contains(name) && error.hint().unwrap().contains("volsize"), "{error}");
        }
    }

    #[test]
    fn no_name_is_both_allowed_and_refused_by_accident() {
        for (name, ..) in ALLOWED {
            assert!(CustomOptions::parse(&BTreeMap::from([((*name).to_owned(), "?".to_owned())])).is_err(), "{name}");
        }
    }
}
