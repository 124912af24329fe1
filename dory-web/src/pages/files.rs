//! The files of a restore point: listed, looked into, taken away.

use std::path::Path;

use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::user::Role;
use dory_core::ports::{FileEntry, FileKind};
use maud::{Markup, html};

use crate::ask::Ask;
use crate::error::Reply;
use crate::fields::link;
use crate::stream::{self, Wanted};
use crate::text;
use crate::views::{Page, bits, head};

/// How many entries are on a page.
const SIZE: usize = 200;

/// How much of a file is shown, in bytes.
const LOOK: usize = 48 << 10;

pub(crate) async fn show(ask: Ask) -> Reply {
    let (backup, point) = ask.backup_and_point().await?;
    let path = ask.path()?;
    let mut entries = ask.dory().list_files(backup.id.as_str(), &ask.point_choice()?, &path, false).await?;
    entries.sort_by(|a, b| {
        (a.kind != FileKind::Folder, a.path.as_path()).cmp(&(b.kind != FileKind::Folder, b.path.as_path()))
    });
    let pages = bits::Pages::of(&ask.query, entries.len(), SIZE);
    let own = format!("/backups/{}/points/{}", backup.id, point.id);
    let taken = bits::minute(&ask, point.taken_at);
    let name = point.name.as_deref().unwrap_or(&taken);
    let shown = EntryPath::new(&path).to_string();
    let content = html! {
        (head(&[("/backups", "Backups"), (&format!("/backups/{}", backup.id), &backup.name), (&own, name)],
            &html! { "Files" },
            &html! { @if ask.who.may(Role::Operator) { a.button href=(link(&format!("{own}/tar"), &[("path", &shown)])) { "Download this folder as tar" } } }))
        p.mono { (trail(&own, &path)) }
        div.sheet.flush {
            @if entries.is_empty() { (bits::empty("An empty folder", &html! { "The point holds it, and nothing in it." })) }
            @else {
                div.wide tabindex="0" role="region" aria-label="Files" { table {
                    thead { tr { th { "Name" } th.number { "Size" } th.minor { "Changed" } th.minor { "Mode" } th.minor { "Owner" } th {} } }
                    tbody { @for entry in pages.cut(&entries) { (line(&ask, &own, &path, entry)) } }
                } }
                (pages.links(&ask))
            }
        }
    };
    Ok(Page::new("Files", "/backups").show(&ask, &content))
}

pub(crate) async fn view(ask: Ask) -> Reply {
    let (backup, point) = ask.backup_and_point().await?;
    let path = ask.path()?;
    let (bytes, is_cut) = stream::beginning(ask.dory(), wanted(&ask)?, LOOK).await?;
    let own = format!("/backups/{}/points/{}", backup.id, point.id);
    let shown = EntryPath::new(&path).to_string();
    let above = EntryPath::new(path.parent().unwrap_or(Path::new("/"))).to_string();
    let readable = readable(&bytes);
    let content = html! {
        (head(&[("/backups", "Backups"), (&format!("/backups/{}", backup.id), &backup.name), (&link(&format!("{own}/files"), &[("path", &above)]), &above)],
            &html! { (path.file_name().map_or_else(|| shown.clone(), |name| EntryPath::new(name).to_string())) },
            &html! { a.button.main href=(link(&format!("{own}/file"), &[("path", &shown)])) { "Download" } }))
        @if is_cut { div.note { p { "Its first " (text::bytes(LOOK as u64)) "." } } }
        @match readable {
            Some(text) if text.is_empty() => { div.sheet { (bits::empty("An empty file", &html! { "It holds nothing." })) } },
            Some(text) => { pre.file tabindex="0" { (text) } },
            None => { div.sheet { (bits::empty("No text", &html! { "What it holds is for programs. Download it to look into it." })) } },
        }
    };
    Ok(Page::new("File", "/backups").show(&ask, &content))
}

pub(crate) async fn file(ask: Ask) -> Reply {
    let wanted = wanted(&ask)?;
    Ok(stream::file(ask.dory(), wanted).await?)
}

pub(crate) async fn tar(ask: Ask) -> Reply {
    let wanted = wanted(&ask)?;
    Ok(stream::folder(ask.dory(), wanted).await?)
}

fn wanted(ask: &Ask) -> dory_core::Result<Wanted> {
    Ok(Wanted { backup: ask.backup_id()?.to_string(), point: ask.point_choice()?, path: ask.path()? })
}

/// A file's beginning as text, if it is one: a character that was cut in two at its end is none of its own.
fn readable(bytes: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{1b}' | '\u{c}');
    (!text.contains(is_odd)).then(|| text.to_owned())
}

/// Links to the folders above.
fn trail(own: &str, path: &Path) -> Markup {
    let mut above: Vec<&Path> = path.ancestors().collect();
    above.reverse();
    let to = |path: &Path| link(&format!("{own}/files"), &[("path", &EntryPath::new(path).to_string())]);
    html! {
        a href={ (own) "/files" } { "all mounts" }
        @for part in above.iter().filter(|part| part.file_name().is_some()) {
            " / " a href=(to(part)) { (EntryPath::new(part.file_name().unwrap_or_default())) }
        }
    }
}

fn line(ask: &Ask, own: &str, folder: &Path, entry: &FileEntry) -> Markup {
    let path = entry.path.to_string();
    let is_top = folder == Path::new("/");
    let name = match entry.path.as_path().file_name() {
        Some(name) if !is_top => EntryPath::new(name).to_string(),
        _ => path.clone(),
    };
    let may_read = ask.who.may(Role::Operator);
    html! {
        tr {
            td.mono {
                @match entry.kind {
                    FileKind::Folder => { a href=(link(&format!("{own}/files"), &[("path", &path)])) { (name) "/" } },
                    FileKind::File if may_read => { a href=(link(&format!("{own}/view"), &[("path", &path)])) { (name) } },
                    _ => { (name) },
                }
                @if let Some(target) = &entry.link_target { span.quiet { " → " (target) } }
            }
            td.number { @match entry.bytes { Some(bytes) if entry.kind == FileKind::File => { (text::bytes(bytes)) }, _ => { span.quiet { "–" } } } }
            td.minor { @match entry.modified { Some(at) => { (bits::minute(ask, at)) }, None => { span.quiet { "–" } } } }
            td.minor.mono { @match entry.mode { Some(mode) => { (format!("{:04o}", mode & 0o7777)) }, None => { span.quiet { "–" } } } }
            td.minor.mono { @match entry.owner { Some((user, group)) => { (user) ":" (group) }, None => { span.quiet { "–" } } } }
            td.number { @if may_read {
                @match entry.kind {
                    FileKind::File => { a href=(link(&format!("{own}/file"), &[("path", &path)])) { "Download" } },
                    FileKind::Folder => { a href=(link(&format!("{own}/tar"), &[("path", &path)])) { "tar" } },
                    _ => {},
                }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_and_what_is_for_programs_is_not() {
        assert_eq!(readable("größe\n".as_bytes()).as_deref(), Some("größe\n"));
        assert_eq!(readable(&"größe".as_bytes()[..3]).as_deref(), Some("gr"), "cut in the middle of a character");
        assert_eq!(readable(&[0x7f, b'E', b'L', b'F', 0]), None);
        assert_eq!(readable(&[0xff, 0xfe, b'a']), None);
    }
}
