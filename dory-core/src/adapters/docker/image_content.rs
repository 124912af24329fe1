//! What is in the helper image: this very program, what it needs to run, and nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::elf::Elf;

/// Changes whenever the way in which images are made does, so that old ones are not used again.
const RECIPE: &str = "dory helper image 1";

/// Where the certificates of public authorities are, by distribution.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What glibc loads by itself when it looks up a host name; since 2.34 most of it is in libc.
const LOADED_LATER: [&str; 3] = ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"];

/// What the helper image is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HelperImageSource {
    /// This process: its executable, and the shared libraries that it has loaded.
    #[default]
    ThisProcess,
    /// An executable that needs no shared libraries.
    StaticExecutable(PathBuf),
}

/// One entry of the image's only layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) mode: u32,
    pub(super) content: Content,
}

/// What an entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Folder,
    Text(&'static str),
    /// A copy of a file of this machine.
    File(PathBuf),
}

/// The whole layer, by path without its leading slash.
#[derive(Debug)]
pub(super) struct ImageContent {
    pub(super) entries: BTreeMap<PathBuf, Entry>,
    /// Folders where the loader must look for libraries.
    pub(super) library_folders: Vec<PathBuf>,
    /// Names the content: two images of one digest are the same.
    pub(super) digest: String,
}

impl ImageContent {
    /// Finds and hashes everything. It reads every file once: 60 MB take about 0.1 s.
    pub(super) fn gather(source: &HelperImageSource) -> io::Result<Self> {
        let mut entries = skeleton();
        let mut library_folders = Vec::new();
        let executable = match source {
            HelperImageSource::StaticExecutable(path) => path.clone(),
            HelperImageSource::ThisProcess => {
                // Not the path behind the link: that file may have been replaced since this process started.
                let executable = PathBuf::from("/proc/self/exe");
                if let Some(loader) = Elf::read(&File::open(&executable)?)?.interpreter {
                    add_file(&mut entries, &loader, loader.clone(), 0o755);
                }
                let loaded = loaded_libraries(&fs::read_to_string("/proc/self/maps")?, &fs::read_link(&executable)?);
                for library in with_later_ones(loaded) {
                    // The file's own name may hold a version that nobody asks for.
                    let name = Elf::read(&File::open(&library)?)?.soname;
                    let folder = library.parent().unwrap_or(Path::new("/")).to_owned();
                    let target = name.map_or_else(|| library.clone(), |name| folder.join(name));
                    add_file(&mut entries, &target, library, 0o755);
                    if !library_folders.contains(&folder) {
                        library_folders.push(folder);
                    }
                }
                executable
            }
        };
        add_file(&mut entries, Path::new("/dory"), executable, 0o755);
        if let Some(authorities) = AUTHORITIES.iter().find(|path| Path::new(path).is_file()) {
            add_file(&mut entries, Path::new(AUTHORITIES[0]), authorities.into(), 0o644);
        }
        let digest = digest(&entries)?;
        Ok(Self { entries, library_folders, digest })
    }
}

fn skeleton() -> BTreeMap<PathBuf, Entry> {
    let folders = [("backup", 0o755), ("etc", 0o755), ("root", 0o700), ("store", 0o755), ("tmp", 0o1777)];
    let folders = folders.map(|(path, mode)| (path.into(), Entry { mode, content: Content::Folder }));
    let texts = [
        ("etc/group", "root:x:0:\n"),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
        ("etc/passwd", "root:x:0:0:root:/root:/dory\n"),
    ];
    let texts = texts.map(|(path, text)| (path.into(), Entry { mode: 0o644, content: Content::Text(text) }));
    folders.into_iter().chain(texts).collect()
}

fn add_file(entries: &mut BTreeMap<PathBuf, Entry>, target: &Path, source: PathBuf, mode: u32) {
    let target = target.strip_prefix("/").unwrap_or(target).to_owned();
    entries.entry(target).or_insert(Entry { mode, content: Content::File(source) });
}

/// The libraries that `maps` (of `/proc/<pid>/maps`) shows as loaded: files mapped for execution, but for the program.
fn loaded_libraries(maps: &str, executable: &Path) -> Vec<PathBuf> {
    let mut libraries: Vec<PathBuf> = maps
        .lines()
        .filter_map(|line| {
            let (fields, path) = line.split_at(line.find('/')?);
            let executable_pages = fields.split_ascii_whitespace().nth(1)?.contains('x');
            // A library that was upgraded meanwhile: its successor has the same name and interface.
            let is_file = executable_pages && !path.starts_with("/memfd:");
            is_file.then(|| PathBuf::from(path.strip_suffix(" (deleted)").unwrap_or(path)))
        })
        .filter(|path| path != executable)
        .collect();
    libraries.sort_unstable();
    libraries.dedup();
    libraries
}

/// Adds what the C library would load later, from the folder that it came from itself.
fn with_later_ones(mut libraries: Vec<PathBuf>) -> Vec<PathBuf> {
    let is_libc = |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libc"));
    if let Some(folder) = libraries.iter().find(is_libc).and_then(|libc| libc.parent()).map(Path::to_owned) {
        let later = LOADED_LATER.iter().filter_map(|name| folder.join(name).canonicalize().ok());
        libraries.extend(later.filter(|path| path.is_file()));
        libraries.sort_unstable();
        libraries.dedup();
    }
    libraries
}

fn digest(entries: &BTreeMap<PathBuf, Entry>) -> io::Result<String> {
    let mut hash = Sha256::new();
    hash.update(RECIPE);
    let mut buffer = vec![0; 256 * 1024];
    for (path, entry) in entries {
        hash.update(format!("\0{}\0{:o}\0", path.display(), entry.mode));
        match &entry.content {
            Content::Folder => {}
            Content::Text(text) => hash.update(text),
            Content::File(source) => {
                let mut file = File::open(source)?;
                loop {
                    let length = file.read(&mut buffer)?;
                    if length == 0 {
                        break;
                    }
                    hash.update(&buffer[..length]);
                }
            }
        }
    }
    Ok(HEXLOWER.encode(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_packed() {
        let content = ImageContent::gather(&HelperImageSource::ThisProcess).unwrap();
        let paths: Vec<String> = content.entries.keys().map(|path| path.display().to_string()).collect();
        assert!(paths.contains(&"dory".to_owned()));
        assert!(paths.iter().any(|path| path.ends_with("/libc.so.6")), "{paths:?}");
        assert!(paths.iter().any(|path| path.contains("ld-linux") || path.contains("ld-musl")), "{paths:?}");
        assert!(paths.iter().all(|path| !path.starts_with('/')));
        assert!(!content.library_folders.is_empty());
        let again = ImageContent::gather(&HelperImageSource::ThisProcess).unwrap();
        assert_eq!(content.digest, again.digest);
    }

    #[test]
    fn another_program_has_another_digest() {
        let program = tempfile::NamedTempFile::new().unwrap();
        let digest = || {
            let source = HelperImageSource::StaticExecutable(program.path().to_owned());
            ImageContent::gather(&source).unwrap().digest
        };
        let empty = digest();
        fs::write(program.path(), "new").unwrap();
        assert_ne!(digest(), empty);
    }

    #[test]
    fn libraries_are_files_mapped_for_execution() {
        let maps = "\
55d0c0a00000-55d0c0b00000 r-xp 00000000 fe:01 100 /usr/local/bin/dory
7f0000000000-7f0000001000 r--p 00000000 fe:01 101 /usr/lib/locale/locale-archive
7f0000100000-7f0000200000 r--p 00000000 fe:01 102 /usr/lib/x86_64-linux-gnu/libc.so.6
7f0000200000-7f0000300000 r-xp 00100000 fe:01 102 /usr/lib/x86_64-linux-gnu/libc.so.6
7f0000300000-7f0000400000 r-xp 00000000 fe:01 103 /opt/my libs/libold.so.1 (deleted)
7f0000400000-7f0000500000 rwxp 00000000 00:01 104 /memfd:jit (deleted)
7ffe00000000-7ffe00001000 r-xp 00000000 00:00 0 [vdso]
";
        assert_eq!(
            loaded_libraries(maps, Path::new("/usr/local/bin/dory")),
            [Path::new("/opt/my libs/libold.so.1"), Path::new("/usr/lib/x86_64-linux-gnu/libc.so.6")]
        );
    }
}
