//! Where the programs are that tests use and no system package brings.

use std::env;
use std::net::TcpListener;
use std::path::PathBuf;

/// The variable that names the folder of tools, where it is not `/opt/dory-tools`.
///
/// In it, `venv` is a Python environment and `node_modules` what npm installs.
pub const TOOLS: &str = "DORY_TOOLS";

/// Where `scripts/setup.sh` puts programs that no distribution packages in the version that is needed.
pub(super) const USUAL_TOOLS: &str = "/opt/dory-tools";

const PLACES: [&str; 2] = ["venv/bin", "node_modules/.bin"];

/// The program called `name`: in the folder of tools, or on the path.
#[must_use]
pub fn find_tool(name: &str) -> Option<PathBuf> {
    let folder = tools();
    let ours = PLACES.iter().map(|place| folder.join(place).join(name));
    let path = env::var_os("PATH").unwrap_or_default();
    let theirs = env::split_paths(&path).map(|folder| folder.join(name)).collect::<Vec<_>>();
    ours.chain(theirs).find(|file| file.is_file())
}

/// The first file at `below` in any of the environment's package folders.
pub(super) fn find_packaged(below: &str) -> Option<PathBuf> {
    let versions = tools().join("venv/lib").read_dir().ok()?;
    let mut files = versions.flatten().map(|version| version.path().join("site-packages").join(below));
    files.find(|file| file.is_file())
}

fn tools() -> PathBuf {
    env::var_os(TOOLS).map_or_else(|| PathBuf::from(USUAL_TOOLS), PathBuf::from)
}

/// Ports that were free a moment ago.
pub(super) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    std::array::from_fn(|index| listeners[index].local_addr().unwrap().port())
}
