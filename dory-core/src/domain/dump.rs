//! Dumps: commands in a container whose output becomes a file of the point, and the commands that load it again.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::dump_preset::DumpPreset;
use super::hook::{HookCommand, OnError, parse};
use super::id::{DumpName, MountKey};
use super::patience::Patience;
use crate::error::{Error, Result};

/// The folder of a snapshot that holds its dumps, beside the mounts: no mount's key is this.
pub const FOLDER: &str = "dumps";

/// [`FOLDER`], as a key.
#[must_use]
pub fn folder_key() -> MountKey {
    MountKey::parse(FOLDER).unwrap_or_else(|_| unreachable!("it is letters alone"))
}

/// Where a dump is in a snapshot, and what people call it: `dumps/postgres.sql`. A container's own paths begin with `/`.
#[must_use]
pub fn path_of(name: &DumpName) -> PathBuf {
    Path::new(FOLDER).join(name.as_str())
}

/// How a dump is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DumpMethod {
    /// As Dory knows it for this server.
    Preset(DumpPreset),
    /// By a command of the user's, which writes it to its standard output.
    Command(HookCommand),
}

impl DumpMethod {
    /// The preset, if it is one.
    #[must_use]
    pub fn preset(&self) -> Option<DumpPreset> {
        match self {
            Self::Preset(preset) => Some(*preset),
            Self::Command(_) => None,
        }
    }
}

impl FromStr for DumpMethod {
    type Err = Error;

    /// A preset's word, or a command as hooks have it: a line for `sh -c`, or a JSON array.
    fn from_str(text: &str) -> Result<Self> {
        match DumpPreset::of_word(text.trim()) {
            Some(preset) => Ok(Self::Preset(preset)),
            None => text.parse().map(Self::Command),
        }
    }
}

impl fmt::Display for DumpMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preset(preset) => preset.fmt(f),
            Self::Command(command) => command.fmt(f),
        }
    }
}

/// One dump, with all that is to know about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpSpec {
    /// The file it becomes.
    pub name: DumpName,
    /// How it is made.
    pub method: DumpMethod,
    /// What loads it again from its standard input, where it is not the preset's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<HookCommand>,
    /// As which user both run; the container's own where `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How long each may take.
    pub timeout: Patience,
    /// What its failure means.
    pub on_error: OnError,
}

impl DumpSpec {
    /// How long a dump may take, unless somebody says otherwise: databases are large.
    pub const TIMEOUT: Patience = Patience::seconds(6 * 3600);

    /// What a command's dump is called, unless somebody says otherwise.
    const USUAL_NAME: &'static str = "dump";

    /// What makes it.
    #[must_use]
    pub fn command(&self) -> HookCommand {
        match &self.method {
            DumpMethod::Preset(preset) => preset.dump_command(),
            DumpMethod::Command(command) => command.clone(),
        }
    }

    /// What loads it again, if anything is known to.
    #[must_use]
    pub fn restore_command(&self) -> Option<HookCommand> {
        self.restore.clone().or_else(|| self.method.preset().map(DumpPreset::restore_command))
    }

    /// The dump of a preset, with nothing said otherwise.
    #[must_use]
    pub fn of_preset(preset: DumpPreset) -> Self {
        Self {
            name: usual_name(&DumpMethod::Preset(preset)),
            method: DumpMethod::Preset(preset),
            restore: None,
            user: None,
            timeout: Self::TIMEOUT,
            on_error: OnError::Fail,
        }
    }
}

fn usual_name(method: &DumpMethod) -> DumpName {
    let name = method.preset().map_or(DumpSpec::USUAL_NAME, DumpPreset::file_name);
    DumpName::parse(name).unwrap_or_else(|_| unreachable!("these are names"))
}

/// What one source says about a dump; what it leaves open, a weaker source decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DumpSettings {
    /// See [`DumpSpec::method`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<DumpMethod>,
    /// See [`DumpSpec::restore`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<HookCommand>,
    /// See [`DumpSpec::name`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<DumpName>,
    /// See [`DumpSpec::user`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// See [`DumpSpec::timeout`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Patience>,
    /// See [`DumpSpec::on_error`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
}

impl DumpSettings {
    /// The names of what can be set beside the command, as labels end: `dory.dump.restore`.
    const WORDS: [&'static str; 5] = ["restore", "name", "timeout", "on-error", "user"];

    /// Whether they say nothing.
    #[must_use]
    pub fn are_open(&self) -> bool {
        *self == Self::default()
    }

    /// These, with `weaker`'s where they leave something open. Name, reverse command and user belong to a way of dumping:
    /// `weaker`'s are dropped where these choose another.
    #[must_use]
    pub fn or(self, weaker: Self) -> Self {
        let same = self.method.is_none() || self.method == weaker.method;
        let of_method = if same { weaker.clone() } else { Self::default() };
        Self {
            method: self.method.or(weaker.method),
            restore: self.restore.or(of_method.restore),
            name: self.name.or(of_method.name),
            user: self.user.or(of_method.user),
            timeout: self.timeout.or(weaker.timeout),
            on_error: self.on_error.or(weaker.on_error),
        }
    }

    /// Reads a container's labels: `dory.dump`, `dory.dump.restore`, `.name`, `.timeout`, `.on-error`, `.user`.
    ///
    /// # Errors
    /// `InvalidInput` naming the label and what it may hold, and for labels that begin so and are none of these.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Result<Self> {
        const BEGIN: &str = "dory.dump.";
        let unknown = |name: &&String| name.strip_prefix(BEGIN).is_some_and(|word| !Self::WORDS.contains(&word));
        if let Some(name) = labels.keys().find(unknown) {
            let known: Vec<_> = Self::WORDS.iter().map(|word| format!("`{BEGIN}{word}`")).collect();
            return Err(Error::invalid("label", name, format!("only `dory.dump`, {} are known", known.join(", "))));
        }
        Ok(Self {
            method: parse(labels, "dory.dump")?,
            restore: parse(labels, "dory.dump.restore")?,
            name: parse(labels, "dory.dump.name")?,
            user: labels.get("dory.dump.user").cloned(),
            timeout: parse(labels, "dory.dump.timeout")?,
            on_error: parse(labels, "dory.dump.on-error")?,
        })
    }

    /// The dump in force, if there is one.
    #[must_use]
    pub fn into_spec(self) -> Option<DumpSpec> {
        let method = self.method?;
        Some(DumpSpec {
            name: self.name.unwrap_or_else(|| usual_name(&method)),
            method,
            restore: self.restore,
            user: self.user,
            timeout: self.timeout.unwrap_or(DumpSpec::TIMEOUT),
            on_error: self.on_error.unwrap_or(OnError::Fail),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<DumpSettings> {
        let labels = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        DumpSettings::from_labels(&labels)
    }

    #[test]
    fn a_word_is_a_preset_and_all_else_a_command() {
        let spec = |text| read(&[("dory.dump", text)]).unwrap().into_spec().unwrap();
        let postgres = spec("postgres");
        assert_eq!(postgres, DumpSpec::of_preset(DumpPreset::Postgres));
        assert_eq!(postgres.name.as_str(), "postgres.sql");
        assert!(postgres.restore_command().unwrap().to_string().contains("psql"));
        let command = spec("sqlite3 /data/app.db .dump");
        assert_eq!(command.command().argv(), ["sh", "-c", "sqlite3 /data/app.db .dump"]);
        assert_eq!((command.name.as_str(), command.restore_command()), ("dump", None));
        assert_eq!(spec(r#"["redis", "x"]"#).command().argv(), ["redis", "x"]);
    }

    #[test]
    fn labels_say_the_rest() {
        let spec = read(&[
            ("dory.dump", "postgres"),
            ("dory.dump.restore", "psql shop"),
            ("dory.dump.name", "shop.sql"),
            ("dory.dump.timeout", "2h"),
            ("dory.dump.on-error", "continue"),
            ("dory.dump.user", "postgres"),
        ]);
        let spec = spec.unwrap().into_spec().unwrap();
        assert_eq!((spec.name.as_str(), spec.on_error), ("shop.sql", OnError::Continue));
        assert_eq!(spec.restore_command().unwrap().to_string(), "psql shop");
        assert_eq!(spec.timeout, Patience::seconds(7200));
        assert_eq!(read(&[("dory.dump.timeout", "2h")]).unwrap().into_spec(), None, "nothing says how");
    }

    #[test]
    fn a_label_that_would_be_overlooked_is_refused() {
        let wrong =
            [("dory.dump", ""), ("dory.dump.name", "../x"), ("dory.dump.on-error", "no"), ("dory.dump.usr", "x")];
        for (name, value) in wrong {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn what_belongs_to_another_way_of_dumping_is_dropped() {
        let weaker = read(&[("dory.dump", "pg_dump x"), ("dory.dump.restore", "psql x"), ("dory.dump.timeout", "1h")]);
        let stronger = read(&[("dory.dump", "redis")]).unwrap();
        let spec = stronger.or(weaker.unwrap()).into_spec().unwrap();
        assert_eq!((spec.restore, spec.name.as_str(), spec.timeout), (None, "redis.rdb", Patience::seconds(3600)));
    }
}
