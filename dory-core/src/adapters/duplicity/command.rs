//! One run of a program: its own folder, its arguments, and an environment with nothing in it but what is meant.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::settings::DuplicitySettings;
use crate::domain::secret::Secret;
use crate::error::{Error, ErrorKind, Result};

/// What duplicity's Python loads first; its comments say what for.
const SHIM: &str = include_str!("shim.py");

/// How long gpg stretches a passphrase: as long as it can. Without this its agent first spends a second on finding out
/// how much would be quick, and comes to the same on any machine of these years.
const AGENT: &str = "s2k-count 65011712\n";

/// A folder for one run: gpg's home, temporary files, and what else only this run needs. It goes with the run, and
/// takes gpg's agent with it, which ends once its home is gone.
#[derive(Debug)]
pub(super) struct RunFolder(PathBuf);

impl RunFolder {
    /// gpg's agent makes sockets in gpg's home, and a socket's path is at most 107 bytes long.
    const LONGEST: usize = 107 - "/gnupg/S.gpg-agent.browser".len();

    /// Makes one in `scratch`. It blocks.
    pub(super) fn new(scratch: &Path) -> Result<Self> {
        let failed = |error: io::Error| {
            let kind = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
                _ => ErrorKind::Internal,
            };
            Error::new(kind, "prepare folder", scratch.display().to_string(), "it cannot be written to")
                .with_source(error)
        };
        let mut noise = [0; 4];
        getrandom::fill(&mut noise).map_err(|error| failed(io::Error::other(error.to_string())))?;
        let path = scratch.join(format!("run-{}", data_encoding::HEXLOWER.encode(&noise)));
        if path.as_os_str().len() > Self::LONGEST {
            let most = Self::LONGEST - "/run-00000000".len();
            let reason = format!("gpg needs a path of at most {most} bytes");
            return Err(Error::invalid("scratch folder", scratch.display().to_string(), reason));
        }
        let made = Self(path);
        let private = |path: PathBuf| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        for name in ["gnupg", "home", "tmp", "python", "archive"] {
            private(made.join(name)).map_err(failed)?;
        }
        fs::write(made.join("python/sitecustomize.py"), SHIM).map_err(failed)?;
        fs::write(made.join("gnupg/gpg-agent.conf"), AGENT).map_err(failed)?;
        Ok(made)
    }

    pub(super) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // What was killed a moment ago may still write: once more, then.
        for _ in 0..3 {
            match fs::remove_dir_all(&self.0) {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(_) => {}
            }
        }
    }
}

/// A program to run.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// All that the program gets to see.
    pub(super) environment: Vec<(OsString, OsString)>,
    /// Further variables, which never show.
    pub(super) secrets: Vec<(String, Secret)>,
}

impl Invocation {
    /// `program` with nothing but a search path, a home and a folder for temporary files.
    pub(super) fn new(program: PathBuf, run: &RunFolder) -> Self {
        let mut invocation = Self { program, arguments: Vec::new(), environment: Vec::new(), secrets: Vec::new() };
        invocation.set("PATH", DuplicitySettings::SEARCH_PATH);
        invocation.set("HOME", run.join("home"));
        invocation.set("TMPDIR", run.join("tmp"));
        // Messages are read, so they are to be in English, and names are to be bytes.
        invocation.set("LC_ALL", "C.UTF-8");
        invocation.set("TZ", "UTC");
        invocation.set("RCLONE_CONFIG", run.join("home/rclone.conf"));
        invocation
    }

    /// `program` as a duplicity, with its log on standard error.
    pub(super) fn duplicity(program: PathBuf, run: &RunFolder, verb: &str) -> Self {
        let mut invocation = Self::new(program, run);
        invocation.set("GNUPGHOME", run.join("gnupg"));
        invocation.set("PYTHONPATH", run.join("python"));
        invocation.set("PYTHONDONTWRITEBYTECODE", "1");
        invocation.arguments.push(verb.into());
        invocation.arguments.push("--log-fd=2".into());
        invocation
    }

    pub(super) fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.environment.push((name.into(), value.as_ref().to_owned()));
    }

    /// Lets the program find `other` by its bare name.
    pub(super) fn let_find(&mut self, other: &Path) {
        let Some(folder) = other.parent() else { return };
        for (name, value) in &mut self.environment {
            if name == "PATH" {
                let mut path = folder.as_os_str().to_owned();
                path.push(":");
                path.push(&*value);
                *value = path;
            }
        }
    }

    pub(super) fn argument(&mut self, argument: impl Into<OsString>) -> &mut Self {
        self.arguments.push(argument.into());
        self
    }

    /// An option with its value as one argument, so that no value is taken for an option.
    pub(super) fn option(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        let mut argument = OsString::from(name);
        argument.push("=");
        argument.push(value);
        self.argument(argument)
    }

    /// Takes duplicity's whole command line, for a message: there are no secrets in it.
    pub(super) fn shown(&self) -> String {
        let words = self.arguments.iter().map(|word| word.as_bytes().escape_ascii().to_string());
        words.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_folder_is_private_and_goes_with_the_run() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let run = RunFolder::new(scratch.path()).unwrap();
        let mode = fs::metadata(run.join("gnupg")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let other = RunFolder::new(scratch.path()).unwrap();
        drop((run, other));
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let error = RunFolder::new(&scratch.path().join("x".repeat(90))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "nothing is made");
    }

    #[test]
    fn the_environment_holds_what_is_meant_and_secrets_do_not_print() {
        let scratch = tempfile::tempdir().unwrap();
        let run = RunFolder::new(scratch.path()).unwrap();
        let mut invocation = Invocation::duplicity("/bin/duplicity".into(), &run, "backup");
        invocation.secrets.push(("PASSPHRASE".into(), Secret::new("hush")));
        invocation.let_find(Path::new("/opt/rclone/rclone"));
        let path = invocation.environment.iter().find(|(name, _)| name == "PATH").unwrap();
        assert!(path.1.to_str().unwrap().starts_with("/opt/rclone:/usr/local/sbin:"));
        assert!(!format!("{invocation:?}").contains("hush"));
        assert_eq!(invocation.shown(), "backup --log-fd=2");
    }
}
