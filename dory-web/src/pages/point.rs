//! One restore point: what it holds, what it is called.

use dory_core::domain::restore_point::RestorePoint;
use dory_core::domain::user::Role;
use dory_core::services::PointEdit;
use maud::{Markup, html};

use crate::ask::Ask;
use crate::error::Reply;
use crate::gate::see_other;
use crate::text;
use crate::views::{Page, bits, head};

/// How many warnings are shown.
const WARNINGS: usize = 50;

pub(crate) async fn show(ask: Ask) -> Reply {
    let (backup, point) = ask.backup_and_point().await?;
    let path = format!("/backups/{}", backup.id);
    let own = format!("{path}/points/{}", point.id);
    let title = point.name.clone().unwrap_or_else(|| bits::minute(&ask, point.taken_at));
    let content = html! {
        (head(&[("/backups", "Backups"), (&path, &backup.name)], &html! { (title) }, &html! {
            @if ask.who.may(Role::Operator) && !point.deleting { a.button.main href={ (own) "/restore" } { "Restore" } }
            a.button href={ (own) "/files" } { "Browse files" }
            @if ask.who.may(Role::Operator) { a.button href={ (own) "/tar?path=/" } { "Download all as tar" } }
            @if ask.who.may(Role::Admin) { a.button.danger href={ (own) "/delete" } { "Delete" } }
        }))
        p { (bits::point_tags(&point)) }
        @if let Some(suspicion) = point.suspect.as_ref().filter(|_| point.is_suspect()) {
            div.note.bad { p { "Its source may have lost data before it was read: " (suspicion.loss) "." } }
        }
        @if let Some(description) = &point.description { p { (description) } }
        div.two {
            div {
                (contents(&point))
                (warnings(&point))
            }
            div { (edit_form(&ask, &own, &point)) (facts(&ask, &point)) }
        }
    };
    Ok(Page::new(&title, "/backups").show(&ask, &content))
}

pub(crate) async fn save(ask: Ask) -> Reply {
    let (id, choice) = (ask.backup_id()?, ask.point_choice()?);
    let words = |name: &str| Some(ask.form.get(name).unwrap_or_default().to_owned());
    let edit = PointEdit {
        name: words("name"),
        description: words("description"),
        protected: Some(ask.form.is_ticked("protected")),
    };
    ask.dory().edit_point(id.as_str(), &choice, &edit).await?;
    see_other(&format!("/backups/{id}/points/{}", ask.param("point")))
}

fn contents(point: &RestorePoint) -> Markup {
    html! {
        section.sheet.flush {
            h2 { "What it holds" }
            div.wide tabindex="0" role="region" aria-label="Mounts and dumps" { table {
                thead { tr { th { "Where the container saw it" } th.minor { "From" } th.number { "Files" } th.number { "Data" } } }
                tbody {
                    @for mount in &point.mounts {
                        @let size = point.mount_sizes.iter().find(|size| size.key == mount.key);
                        tr {
                            td.mono { (mount.destination.display()) }
                            td.minor.mono.small { @match mount.as_mount().volume() { Some(volume) => { "volume " (volume) }, None => { (mount.source.display()) } } }
                            td.number { @match size { Some(size) => { (size.files) }, None => { "–" } } }
                            td.number { @match size { Some(size) => { (text::bytes(size.bytes)) }, None => { "–" } } }
                        }
                    }
                    @for dump in &point.dumps {
                        tr {
                            td { "dump " span.mono { (dump.name) } }
                            td.minor.small { @match &dump.preset { Some(preset) => { (format!("{preset:?}").to_lowercase()) }, None => { "a command" } } }
                            td.number { "1" }
                            td.number { (text::bytes(dump.bytes)) }
                        }
                    }
                }
            } }
        }
    }
}

fn warnings(point: &RestorePoint) -> Markup {
    html! {
        @if point.warning_count > 0 {
            section.sheet {
                h2 { (point.warning_count) " paths fell short" }
                ul { @for warning in point.warnings.iter().take(WARNINGS) {
                    li.small { span.mono { (warning.path) } " " (warning.kind.as_str()) ": " (warning.detail) }
                } }
            }
        }
    }
}

fn edit_form(ask: &Ask, own: &str, point: &RestorePoint) -> Markup {
    html! {
        @if ask.who.may(Role::Operator) {
            section.sheet {
                h2 { "Name it" }
                form method="post" action=(own) {
                    (bits::csrf(ask))
                    (bits::field("name", "Name", point.name.as_deref().unwrap_or_default(), "Such as: before production reload 2016-02-10. What has a name stays, whatever the rules."))
                    (bits::area("description", "Description", point.description.as_deref().unwrap_or_default(), ""))
                    (bits::tick("protected", "Protected: no rule removes it", point.protected))
                    button.main { "Save" }
                }
            }
        }
    }
}

fn facts(ask: &Ask, point: &RestorePoint) -> Markup {
    html! {
        section.sheet {
            h2 { "About it" }
            dl.facts {
                dt { "Taken" } dd { (bits::exact(ask, point.taken_at)) " (" (bits::moment(ask, point.taken_at)) ")" }
                dt { "Data" } dd { (text::bytes(point.size.bytes)) " in " (point.size.files) " files and folders" }
                dt { "Added to the store" } dd { (text::bytes(point.size.stored_bytes)) }
                dt { "Stop window" } dd { @match point.stop_window { Some(window) => { (text::duration(window)) }, None => { "nothing was stopped" } } }
                dt { "Took" } dd { (text::duration(point.elapsed)) }
                dt { "Container" } dd { (point.container) " " span.mono.small title=(point.container_id) { (point.container_id.short()) } }
                dt { "Image" } dd.mono.small { (text::short(point.image_id.as_str(), 24)) }
                dt { "Engine" } dd { (point.engine) }
                dt { "Snapshot" } dd.mono.small { (text::short(point.snapshot.as_str(), 24)) }
                dt { "Id" } dd.mono.small { (point.id) }
                @if !point.exclude.is_empty() { dt { "Left out" } dd { @for pattern in &point.exclude { div.mono { (pattern) } } } }
            }
        }
    }
}
