//! Commands of the user's that run in a container around its backup.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::dump::{DumpSettings, DumpSpec};
use super::patience::Patience;
use crate::error::{Error, Result};

/// When a hook runs. Both times everything is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookMoment {
    /// Before the data is read for the first time, and before anything is stopped.
    Pre,
    /// After everything runs again.
    Post,
}

impl HookMoment {
    /// The word for it, also the label's: `pre` or `post`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Post => "post",
        }
    }

    /// What a failure means unless somebody says otherwise: without what comes before, the data may be of no use.
    #[must_use]
    pub fn usual_on_error(self) -> OnError {
        match self {
            Self::Pre => OnError::Fail,
            Self::Post => OnError::Continue,
        }
    }
}

impl fmt::Display for HookMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a hook's failure means for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The run fails.
    Fail,
    /// It is told, and the run goes on.
    Continue,
}

impl FromStr for OnError {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "fail" => Ok(Self::Fail),
            "continue" => Ok(Self::Continue),
            _ => Err(Error::invalid("on-error", text, "`fail` and `continue` are allowed")),
        }
    }
}

/// A program with its arguments, as it is run in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookCommand(Vec<String>);

impl HookCommand {
    /// A script for `sh -c`.
    pub(super) fn shell(script: impl Into<String>) -> Self {
        Self(["sh", "-c"].map(str::to_owned).into_iter().chain([script.into()]).collect())
    }

    /// The program and its arguments.
    #[must_use]
    pub fn argv(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for HookCommand {
    type Err = Error;

    /// A JSON array of the program and its arguments, or a line for `sh -c`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |reason: &str| Error::invalid("command", text, reason);
        let line = text.trim();
        if line.is_empty() {
            return Err(wrong("it is empty"));
        }
        match serde_json::from_str::<Vec<String>>(line) {
            Ok(argv) if argv.first().is_none_or(|program| program.is_empty()) => {
                Err(wrong("the array must begin with a program"))
            }
            Ok(argv) => Ok(Self(argv)),
            // No shell line begins so, for the shell's own `[` is a word of its own.
            Err(_) if line.starts_with("[\"") => {
                Err(wrong("it begins like a JSON array, and is no JSON array of texts"))
            }
            Err(_) => Ok(Self::shell(text)),
        }
    }
}

impl fmt::Display for HookCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [shell, option, line] if shell == "sh" && option == "-c" => f.write_str(line),
            argv => f.write_str(&argv.join(" ")),
        }
    }
}

/// One hook, with all that is to know about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// What it runs.
    pub command: HookCommand,
    /// As which user; the container's own where `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How long it may take.
    pub timeout: Patience,
    /// What its failure means.
    pub on_error: OnError,
}

impl Hook {
    /// How long a hook may take, unless somebody says otherwise.
    pub const TIMEOUT: Patience = Patience::seconds(300);
}

/// The hooks of one backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// What runs before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre: Option<Hook>,
    /// What runs after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post: Option<Hook>,
    /// What makes a dump, between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<DumpSpec>,
}

/// What one source says about a hook; what it leaves open, a weaker source decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookSettings {
    /// See [`Hook::command`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<HookCommand>,
    /// See [`Hook::user`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// See [`Hook::timeout`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Patience>,
    /// See [`Hook::on_error`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
}

impl HookSettings {
    /// The names of what can be set beside the command, as labels end: `dory.pre.timeout`.
    const WORDS: [&'static str; 3] = ["timeout", "on-error", "user"];

    /// These, with `weaker`'s where they leave something open.
    #[must_use]
    pub fn or(self, weaker: Self) -> Self {
        Self {
            command: self.command.or(weaker.command),
            user: self.user.or(weaker.user),
            timeout: self.timeout.or(weaker.timeout),
            on_error: self.on_error.or(weaker.on_error),
        }
    }

    fn from_labels(labels: &BTreeMap<String, String>, moment: HookMoment) -> Result<Self> {
        let stem = format!("dory.{moment}");
        let begin = format!("{stem}.");
        let unknown = |name: &&String| name.strip_prefix(&begin).is_some_and(|word| !Self::WORDS.contains(&word));
        if let Some(name) = labels.keys().find(unknown) {
            let known: Vec<_> = Self::WORDS.iter().map(|word| format!("`{begin}{word}`")).collect();
            return Err(Error::invalid("label", name, format!("only `{stem}`, {} are known", known.join(", "))));
        }
        let word = |word: &str| format!("{begin}{word}");
        Ok(Self {
            command: parse(labels, &stem)?,
            user: labels.get(&word("user")).cloned(),
            timeout: parse(labels, &word("timeout"))?,
            on_error: parse(labels, &word("on-error"))?,
        })
    }

    fn into_hook(self, moment: HookMoment) -> Option<Hook> {
        Some(Hook {
            command: self.command?,
            user: self.user,
            timeout: self.timeout.unwrap_or(Hook::TIMEOUT),
            on_error: self.on_error.unwrap_or(moment.usual_on_error()),
        })
    }
}

/// What one source says about hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookOverrides {
    /// About the one before.
    pub pre: HookSettings,
    /// About the one after.
    pub post: HookSettings,
    /// About the dump.
    #[serde(skip_serializing_if = "DumpSettings::are_open")]
    pub dump: DumpSettings,
}

impl HookOverrides {
    /// Reads a container's labels: `dory.pre`, `dory.pre.timeout`, `dory.pre.on-error`, `dory.pre.user`, the same for
    /// `post`, and those of [`DumpSettings`].
    ///
    /// # Errors
    /// `InvalidInput` naming the label and what it may hold, and for labels that begin so and are none of these.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Result<Self> {
        Ok(Self {
            pre: HookSettings::from_labels(labels, HookMoment::Pre)?,
            post: HookSettings::from_labels(labels, HookMoment::Post)?,
            dump: DumpSettings::from_labels(labels)?,
        })
    }

    /// These, with `weaker`'s where they leave something open.
    #[must_use]
    pub fn or(self, weaker: Self) -> Self {
        Self { pre: self.pre.or(weaker.pre), post: self.post.or(weaker.post), dump: self.dump.or(weaker.dump) }
    }

    /// The hooks in force.
    #[must_use]
    pub fn into_hooks(self) -> Hooks {
        Hooks {
            pre: self.pre.into_hook(HookMoment::Pre),
            post: self.post.into_hook(HookMoment::Post),
            dump: self.dump.into_spec(),
        }
    }
}

/// What one label holds, read.
pub(super) fn parse<T: FromStr<Err = Error>>(labels: &BTreeMap<String, String>, name: &str) -> Result<Option<T>> {
    let Some(text) = labels.get(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|error: Error| Error::invalid(&format!("label {name}"), text, error.reason()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_line_goes_to_a_shell_and_an_array_does_not() {
        for (text, argv) in [
            ("pg_dump > /x && sync", vec!["sh", "-c", "pg_dump > /x && sync"]),
            (r#"["pg_dump", "-f", "a b"]"#, vec!["pg_dump", "-f", "a b"]),
            (r#"[ "$ROLE" = primary ] && flush"#, vec!["sh", "-c", r#"[ "$ROLE" = primary ] && flush"#]),
            ("[ -f /x ]", vec!["sh", "-c", "[ -f /x ]"]),
        ] {
            assert_eq!(text.parse::<HookCommand>().unwrap().argv(), argv, "{text}");
        }
        for text in ["", "  ", r#"["pg_dump", 'x']"#, "[]", r#"["", "x"]"#, r#"["pg_dump", 1]"#] {
            assert_eq!(text.parse::<HookCommand>().unwrap_err().kind(), crate::ErrorKind::InvalidInput, "{text}");
        }
    }

    #[test]
    fn labels_make_hooks_with_the_usual_rules() {
        let read = labels(&[("dory.pre", "flush"), ("dory.post", "thaw"), ("dory.post.timeout", "10s")]);
        let hooks = HookOverrides::from_labels(&read).unwrap().into_hooks();
        let (pre, post) = (hooks.pre.unwrap(), hooks.post.unwrap());
        assert_eq!((pre.on_error, pre.timeout), (OnError::Fail, Patience::seconds(300)));
        assert_eq!((post.on_error, post.timeout), (OnError::Continue, Patience::seconds(10)));
    }

    #[test]
    fn settings_without_a_command_make_no_hook() {
        let read = labels(&[("dory.pre.timeout", "10s")]);
        assert_eq!(HookOverrides::from_labels(&read).unwrap().into_hooks(), Hooks::default());
    }

    #[test]
    fn single_settings_override_single_settings() {
        let stronger = HookOverrides::from_labels(&labels(&[("dory.pre.on-error", "continue")])).unwrap();
        let weaker = HookOverrides::from_labels(&labels(&[("dory.pre", "flush"), ("dory.pre.user", "db")])).unwrap();
        let pre = stronger.or(weaker).into_hooks().pre.unwrap();
        assert_eq!((pre.on_error, pre.user.as_deref()), (OnError::Continue, Some("db")));
    }

    #[test]
    fn a_label_that_would_be_overlooked_is_refused() {
        for (name, value) in [
            ("dory.pre.on_error", "continue"),
            ("dory.pre.on-error", "ignore"),
            ("dory.post.timeout", "5"),
            ("dory.pre", ""),
        ] {
            let error = HookOverrides::from_labels(&labels(&[(name, value)])).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
