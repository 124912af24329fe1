//! Patterns of what is left out, in gitignore's syntax.

use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::error::{Error, Result};

/// Which paths are left out; patterns are relative to each mount's own folder.
pub(crate) struct Excludes(Gitignore);

impl Excludes {
    pub(crate) fn new(patterns: &[String]) -> Result<Self> {
        let mut builder = GitignoreBuilder::new("");
        for pattern in patterns {
            builder.add_line(None, pattern).map_err(|error| bad_pattern(pattern, error))?;
        }
        builder.build().map(Self).map_err(|error| bad_pattern(&patterns.join(", "), error))
    }

    /// Whether `path`, relative to its mount's folder, is left out. Nothing below a left out folder is asked about.
    pub(crate) fn cover(&self, path: &Path, is_folder: bool) -> bool {
        !self.0.is_empty() && self.0.matched(path, is_folder).is_ignore()
    }
}

fn bad_pattern(pattern: &str, error: ignore::Error) -> Error {
    Error::invalid("exclude pattern", pattern, "gitignore's syntax is expected").with_source(error)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn covers(patterns: &[&str], path: &[u8], is_folder: bool) -> bool {
        let patterns: Vec<_> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Excludes::new(&patterns).unwrap().cover(Path::new(OsStr::from_bytes(path)), is_folder)
    }

    #[test]
    fn patterns_are_gits() {
        assert!(covers(&["/cache"], b"cache", true) && !covers(&["/cache"], b"a/cache", true));
        assert!(covers(&["cache/"], b"a/cache", true) && !covers(&["cache/"], b"a/cache", false));
        assert!(covers(&["a/**/z"], b"a/b/c/z", false));
        assert!(covers(&["*.tmp", "!keep.tmp"], b"x/y.tmp", false));
        assert!(!covers(&["*.tmp", "!keep.tmp"], b"x/keep.tmp", false));
        assert!(covers(&["*.tmp"], b"caf\xe9.tmp", false));
        assert!(!covers(&["# a remark", ""], b"a remark", false));
    }

    #[test]
    fn a_broken_pattern_is_named() {
        let error = Excludes::new(&["x[z-a]".to_owned()]).err().unwrap();
        assert_eq!(error.subject(), "x[z-a]");
    }
}
