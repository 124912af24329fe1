//! Tells folders of this host from those of another: file locks hold on the first alone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, minor, statfs};

/// File system magic numbers (`statfs(2)`, the kernel's `magic.h`) of file systems that other hosts write to.
const NETWORK: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "SMB (CIFS)"),
    (0xFE53_4D42, "SMB 2"),
    (0x0102_1997, "9p"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564C, "NCP"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
];
const FUSE: u64 = 0x6573_5546;

/// FUSE file systems that keep their files on this host's own disks. Any other may reach over the network.
const LOCAL_FUSE: &[&str] = &["fuseblk", "fuse.mergerfs", "fuse.bindfs", "fuse.fuse-overlayfs", "fuse.gocryptfs"];

/// The name of the network file system that `folder` lies on; `None` if it is on this host.
pub(super) fn network_file_system(folder: &Path) -> std::io::Result<Option<String>> {
    // The type's width differs between architectures; the numbers fit 32 bits on all.
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "the number's type depends on the architecture")]
    let magic = statfs(folder)?.f_type as u64 & 0xFFFF_FFFF;
    if magic == FUSE {
        let device = fs::metadata(folder)?.dev();
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        return Ok(foreign_fuse(&mounts, device));
    }
    Ok(NETWORK.iter().find(|(number, _)| *number == magic).map(|(_, name)| (*name).to_owned()))
}

fn foreign_fuse(mounts: &str, device: u64) -> Option<String> {
    let kind = mounted_as(mounts, device).unwrap_or("fuse");
    (!LOCAL_FUSE.contains(&kind)).then(|| kind.to_owned())
}

/// The type of the file system on `device`, as `/proc/self/mountinfo` names it: the word after the lone hyphen.
fn mounted_as(mounts: &str, device: u64) -> Option<&str> {
    let wanted = format!("{}:{}", major(device), minor(device));
    mounts.lines().find(|line| line.split(' ').nth(2) == Some(&wanted))?.split_once(" - ")?.1.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
40 28 0:44 / /mnt/far rw,nosuid,nodev,relatime shared:22 - fuse.sshfs host:/srv rw,user_id=0
41 28 0:45 / /mnt/pool rw,relatime shared:23 - fuse.mergerfs pool rw,user_id=0
42 28 8:17 / /mnt/stick rw,relatime - fuseblk /dev/sdb1 rw
";

    #[test]
    fn fuse_mounts_are_told_apart_by_their_kind() {
        let device = |major, minor| rustix::fs::makedev(major, minor);
        assert_eq!(foreign_fuse(MOUNTS, device(0, 44)).as_deref(), Some("fuse.sshfs"));
        assert_eq!(foreign_fuse(MOUNTS, device(0, 45)), None);
        assert_eq!(foreign_fuse(MOUNTS, device(8, 17)), None);
        assert_eq!(foreign_fuse(MOUNTS, device(0, 99)).as_deref(), Some("fuse"));
    }

    #[test]
    fn a_temporary_folder_is_on_this_host() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(network_file_system(folder.path()).unwrap(), None);
    }
}
