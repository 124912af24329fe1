//! That a restore writes to data, noted before it does: what it leaves when it breaks off is neither old nor new.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backup::Backup;
use super::container::MountKind;
use super::id::{BackupId, PointId, RunId, ServerName, VolumeName};
use super::restore_point::PointMount;

/// A restore that is about to write, or broke off while it did. Whoever ended with the data whole takes its note away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfRestored {
    /// The run.
    pub run: RunId,
    /// The server whose host holds the data.
    pub server: ServerName,
    /// When it was about to write.
    pub since: Timestamp,
    /// The point of the same backup that keeps what was there before. It is there before anything is written; `None`
    /// where none was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety_point: Option<PointId>,
    /// What it writes to.
    pub mounts: Vec<PointMount>,
}

impl HalfRestored {
    /// Whether it writes to any of `data`, on the host of `server`.
    #[must_use]
    pub fn touches(&self, server: &ServerName, data: &[PointMount]) -> bool {
        self.server == *server && self.mounts.iter().any(|mount| is_in(mount, data))
    }

    /// Whether it writes to nothing but `data`, on the host of `server`.
    #[must_use]
    pub fn is_within(&self, server: &ServerName, data: &[PointMount]) -> bool {
        self.server == *server && self.mounts.iter().all(|mount| is_in(mount, data))
    }

    /// Where it writes, as people read it: `` `/data` of server `alpha` ``.
    #[must_use]
    pub fn place(&self) -> String {
        let mounts: Vec<_> = self.mounts.iter().map(|mount| format!("`{}`", mount.destination.display())).collect();
        format!("{} on server `{}`", mounts.join(", "), self.server)
    }
}

impl Backup {
    /// The oldest restore that broke off while it wrote, or is about to, as far as the catalog can tell: one whose
    /// safety point is not there has written nothing yet.
    #[must_use]
    pub fn half_restored_by(&self) -> Option<&HalfRestored> {
        self.half_restored.iter().find(|note| self.may_have_written(note))
    }

    /// Whether a restore of this backup's notes may have begun to write.
    #[must_use]
    pub fn may_have_written(&self, note: &HalfRestored) -> bool {
        note.safety_point.is_none_or(|id| self.points.iter().any(|point| point.id == id))
    }

    /// What to do about half-restored data: commands, in the order of their use.
    #[must_use]
    pub fn ways_on(&self, note: &HalfRestored) -> String {
        let again = match note.safety_point {
            Some(point) => {
                let undo = undo_command(&self.id, point, note.mounts.iter());
                format!("run `{undo}` to go back, or the same `dory restore` again")
            }
            None => "run the same `dory restore` again, or one of another point".to_owned(),
        };
        format!("{again}; `dory edit {} --clear-suspect` says that the data is as it should be", self.id)
    }
}

fn is_in(mount: &PointMount, data: &[PointMount]) -> bool {
    data.iter().any(|other| other.as_mount().shares_data_with(&mount.as_mount()))
}

/// The command that brings back what a safety point of `home` holds of `mounts`, into the very places it came from.
pub(crate) fn undo_command<'a>(
    home: &BackupId,
    safety_point: PointId,
    mounts: impl Iterator<Item = &'a PointMount>,
) -> String {
    let mut command = format!("dory restore {home} --at {safety_point}");
    let mut binds = false;
    for mount in mounts {
        // The safety point calls a volume that no container's mount stood for after the volume itself.
        if let Some(volume) = volume_alone(mount) {
            command.push_str(&format!(" --map {}", quoted(&format!("{}={volume}", mount.destination.display()))));
        }
        binds |= mount.kind == MountKind::Bind;
    }
    // What the restore added to a folder of the host, the undoing must take away again.
    if binds {
        command.push_str(" --delete-extra");
    }
    command
}

/// The volume it is, where it was mapped to a volume by name.
pub(crate) fn volume_alone(mount: &PointMount) -> Option<VolumeName> {
    let volume = mount.as_mount().volume()?.clone();
    (mount.destination == Path::new("/").join(volume.as_str())).then_some(volume)
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/=._-:+,@%".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
