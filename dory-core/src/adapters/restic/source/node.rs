//! An inode as the format has it.

use std::ffi::OsStr;
use std::path::Path;

use jiff::Timestamp;
use rustic_core::repofile::{Metadata, Node, NodeType};
use rustix::fs::FileType;

use super::super::go_mode;
use crate::source::{Attributes, Look, Moment};

/// The node of an inode.
///
/// The next backup knows a file unchanged by its times. Where they would not tell of every change (`settled`), the
/// moment it was looked at is recorded as the time of its last change, mirrored to before 1970: no file has such a
/// time, and no two backups record the same, so that the next backup reads the file again.
pub(super) fn node(name: &OsStr, look: &Look, settled: bool, link: Option<&Path>, attributes: &Attributes) -> Node {
    let node_type = match look.file_type() {
        FileType::Directory => NodeType::Dir,
        FileType::Symlink => NodeType::from_link(link.unwrap_or(Path::new(""))),
        FileType::BlockDevice => NodeType::Dev { device: look.special },
        FileType::CharacterDevice => NodeType::Chardev { device: look.special },
        FileType::Fifo => NodeType::Fifo,
        FileType::Socket => NodeType::Socket,
        FileType::RegularFile | FileType::Unknown => NodeType::File,
    };
    let mut node = Node::new_node(name, node_type, metadata(look, settled));
    for (name, value) in attributes {
        // The type cannot be named, only read.
        let attribute = serde_json::json!({ "name": name, "value": data_encoding::BASE64.encode(value) });
        node.meta.extended_attributes.extend(serde_json::from_value(attribute).ok());
    }
    node
}

fn metadata(look: &Look, settled: bool) -> Metadata {
    let is_folder = look.file_type() == FileType::Directory;
    let shared = look.links > 1 && !is_folder;
    Metadata {
        mode: Some(go_mode::to_go(look.mode)),
        mtime: timestamp(look.modified, 1),
        atime: timestamp(look.accessed, 1),
        ctime: if settled { timestamp(look.changed, 1) } else { timestamp(Moment::now(), -1) },
        uid: Some(look.owner.0),
        gid: Some(look.owner.1),
        inode: look.inode,
        device_id: if shared { look.device } else { 0 },
        size: if look.is_file() { look.size } else { 0 },
        links: if is_folder { 0 } else { look.links.into() },
        ..Metadata::default()
    }
}

fn timestamp(time: Moment, sign: i32) -> Option<Timestamp> {
    Timestamp::new(time.seconds * i64::from(sign), i32::try_from(time.nanoseconds).ok()? * sign).ok()
}
