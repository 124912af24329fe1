//! Ways to dump the servers that everybody runs, and to load their dumps again: scripts for the container's own `sh`.
//!
//! The scripts are in `dump_presets/`, with the reason for every option. What they have in common:
//!
//! - They take names and passwords from the container's own environment, as its image documents them, and pass no password
//!   on a command line, which `ps` shows to everybody.
//! - A failure is never hidden by a pipe: a plain `sh` takes the last command's word for all of them.
//! - Loading leaves nothing behind in the container, and what it needs beside the dump it checks before it changes anything.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::hook::HookCommand;

/// A server whose dump Dory knows how to take and to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DumpPreset {
    /// PostgreSQL 13 or newer: all databases and roles.
    Postgres,
    /// MySQL: all databases and accounts.
    Mysql,
    /// MariaDB: all databases and accounts.
    Mariadb,
    /// MongoDB: all databases.
    Mongodb,
    /// Redis or Valkey: everything, as an RDB file.
    Redis,
}

impl DumpPreset {
    /// Every preset, by the words a user may write.
    pub const ALL: [Self; 5] = [Self::Postgres, Self::Mysql, Self::Mariadb, Self::Mongodb, Self::Redis];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
            Self::Mongodb => "mongodb",
            Self::Redis => "redis",
        }
    }

    /// The preset of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.as_str() == word)
    }

    /// What the dump is called unless somebody says otherwise.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres.sql",
            Self::Mysql => "mysql.sql",
            Self::Mariadb => "mariadb.sql",
            Self::Mongodb => "mongodb.archive",
            Self::Redis => "redis.rdb",
        }
    }

    /// What writes the dump to its standard output.
    #[must_use]
    pub fn dump_command(self) -> HookCommand {
        script(match self {
            Self::Postgres => include_str!("dump_presets/postgres.dump.sh"),
            // The servers differ less than their releases do: the script asks for what is there.
            Self::Mysql | Self::Mariadb => include_str!("dump_presets/mysql.dump.sh"),
            Self::Mongodb => include_str!("dump_presets/mongodb.dump.sh"),
            Self::Redis => include_str!("dump_presets/redis.dump.sh"),
        })
    }

    /// What loads a dump from its standard input, in place of what is there.
    #[must_use]
    pub fn restore_command(self) -> HookCommand {
        script(match self {
            Self::Postgres => include_str!("dump_presets/postgres.restore.sh"),
            Self::Mysql | Self::Mariadb => include_str!("dump_presets/mysql.restore.sh"),
            Self::Mongodb => include_str!("dump_presets/mongodb.restore.sh"),
            Self::Redis => include_str!("dump_presets/redis.restore.sh"),
        })
    }
}

impl fmt::Display for DumpPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A script without its comments: it stands on a command line, for whoever lists processes.
fn script(text: &str) -> HookCommand {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    HookCommand::shell(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_run_in_a_shell_and_name_no_password() {
        for preset in DumpPreset::ALL {
            assert_eq!(DumpPreset::of_word(preset.as_str()), Some(preset));
            for command in [preset.dump_command(), preset.restore_command()] {
                let [shell, option, script] = command.argv() else { panic!("{command:?}") };
                assert_eq!((shell.as_str(), option.as_str()), ("sh", "-c"));
                assert!(script.starts_with("set -euf\n"), "{preset}: a failure in the middle ends it: {script}");
                for flag in ["--password", "-p\"$", "--pass ", "-a \"$"] {
                    assert!(!script.contains(flag), "{preset} shows a password to `ps`: {script}");
                }
            }
        }
        assert_eq!(DumpPreset::of_word("oracle"), None);
    }

    /// Its server is in no distribution that the tests can install.
    #[test]
    fn mongodb_goes_through_archives_on_the_pipes() {
        let text = |command: HookCommand| command.argv()[2].clone();
        assert!(text(DumpPreset::Mongodb.dump_command()).contains("mongodump --quiet --archive"));
        assert!(text(DumpPreset::Mongodb.restore_command()).contains("mongorestore --quiet --archive --drop"));
    }
}
