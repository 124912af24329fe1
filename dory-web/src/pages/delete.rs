//! Deleting for good: what goes is said first, and typed.

use dory_core::domain::backup::Backup;
use dory_core::services::DeletePlan;
use dory_core::{Error, ErrorKind, Result};
use maud::{Markup, html};

use super::runs;
use crate::actions;
use crate::ask::Ask;
use crate::error::Reply;
use crate::gate::see_other;
use crate::text;
use crate::views::{Page, bits, head, nothing};

/// How many points are listed by name.
const LISTED: usize = 50;

pub(crate) async fn show_backup(ask: Ask) -> Reply {
    let backup = ask.backup().await?;
    let plan = ask.dory().plan_delete(backup.id.as_str(), None).await?;
    let words = html! {
        p { "The backup " strong { (backup.name) } " goes as a whole: its " (text::count(backup.points.len(), "restore point"))
            ", its history, its description, and " (text::bytes(plan.stored_bytes)) " of data in the store. Nothing brings them back." }
    };
    let is_own = backup.server == *ask.dory().server();
    let content = html! {
        @if is_own { (form(&ask, &backup, "Delete backup", &words, &plan, &backup.name)) }
        @else {
            (head(&[("/backups", "Backups"), (&format!("/backups/{}", backup.id), &backup.name)], &html! { "Delete backup" }, &nothing()))
            div.note.warn { p { "It belongs to server " (backup.server) ". Delete it on the web pages of that server, or take it over first: "
                a href={ "/backups/" (backup.id) "/edit" } { "change its server" } " to " (ask.dory().server()) "." } }
        }
    };
    Ok(Page::new("Delete backup", "/backups").show(&ask, &content))
}

pub(crate) async fn show_point(ask: Ask) -> Reply {
    let (backup, point) = ask.backup_and_point().await?;
    let plan = ask.dory().plan_delete(backup.id.as_str(), Some(&ask.point_choice()?)).await?;
    let words = html! {
        p { "The restore point of " (bits::exact(&ask, point.taken_at)) @if let Some(name) = &point.name { ", " strong { (name) } "," }
            " goes, with what only it holds: " (text::bytes(plan.stored_bytes)) ". Nothing brings it back." }
        @if point.protected { p { strong { "It is protected" } " against rules; this deletes it all the same." } }
    };
    let content = form(&ask, &backup, "Delete restore point", &words, &plan, &backup.name);
    Ok(Page::new("Delete restore point", "/backups").show(&ask, &content))
}

pub(crate) async fn backup(ask: Ask) -> Reply {
    let backup = ask.backup().await?;
    check_typed(&ask, &backup.name)?;
    see_other(&runs::path(actions::delete_backup(&ask, &backup.id).await?))
}

pub(crate) async fn point(ask: Ask) -> Reply {
    let (backup, point) = ask.backup_and_point().await?;
    check_typed(&ask, &backup.name)?;
    see_other(&runs::path(actions::delete_point(&ask, &backup.server, &backup.id, point.id).await?))
}

fn check_typed(ask: &Ask, expected: &str) -> Result<()> {
    let typed = ask.form.raw("confirm").unwrap_or_default().trim();
    if typed == expected.trim() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        "delete",
        expected,
        "what was typed is not its name, so nothing was touched",
    ))
}

fn form(ask: &Ask, backup: &Backup, title: &str, words: &Markup, plan: &DeletePlan, expected: &str) -> Markup {
    let path = format!("/backups/{}", backup.id);
    let tied: Vec<_> = plan.points.iter().filter(|point| point.tied).collect();
    html! {
        (head(&[("/backups", "Backups"), (&path, &backup.name)], &html! { (title) }, &nothing()))
        div.sheet {
            (words)
            @if !tied.is_empty() {
                p { "These go with it, for the engine cannot keep them without it:" }
                ul { @for point in tied.iter().take(LISTED) { li { (bits::minute(ask, point.taken_at)) @if let Some(name) = &point.name { " " (name) } } } }
            }
            @if !plan.unrecorded.is_empty() { p { (text::count(plan.unrecorded.len(), "unfinished snapshot")) " in the same chain too." } }
            @if let Some(frozen) = &plan.frozen {
                div.note.bad { p { "Point " (frozen.point) " is suspect: " (frozen.suspicion.loss) ". What goes now may be all that is left of the data." } }
            }
            form method="post" {
                (bits::csrf(ask))
                div.field {
                    label for="confirm" { "Type " code { (expected) } " to say so" }
                    input id="confirm" name="confirm" autocomplete="off" required data-expects=(expected);
                }
                button.danger { (title) " for good" } " " a.button href=(path) { "Keep it" }
            }
        }
    }
}
