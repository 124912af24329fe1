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
    let content = form(&ask, &backup, "Delete backup", &words, &plan);
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
    let content = form(&ask, &backup, "Delete restore point", &words, &plan);
    Ok(Page::new("Delete restore point", "/backups").show(&ask, &content))
}

pub(crate) async fn backup(ask: Ask) -> Reply {
    let backup = ask.backup().await?;
    check_typed(&ask, &backup.name)?;
    check_shown(&ask, &ask.dory().plan_delete(backup.id.as_str(), None).await?)?;
    see_other(&runs::path(actions::delete_backup(&ask, &backup.server, &backup.id).await?))
}

pub(crate) async fn point(ask: Ask) -> Reply {
    let (backup, point) = ask.backup_and_point().await?;
    check_typed(&ask, &backup.name)?;
    check_shown(&ask, &ask.dory().plan_delete(backup.id.as_str(), Some(&ask.point_choice()?)).await?)?;
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

/// Nothing may go that the page did not speak of.
fn check_shown(ask: &Ask, plan: &DeletePlan) -> Result<()> {
    if ask.form.raw("shown") == Some(shown(plan).as_str()) {
        return Ok(());
    }
    let reason = "other points would go by now than the page said, so nothing was touched";
    Err(Error::new(ErrorKind::Conflict, "delete from backup", plan.backup.as_str(), reason)
        .with_hint("open the page again, and read what goes"))
}

/// How many points go, and which is the last of them: points come and go, and never change places.
fn shown(plan: &DeletePlan) -> String {
    let last = plan.points.last().map(|doomed| doomed.id.to_string());
    format!("{} {}", plan.points.len(), last.unwrap_or_default())
}

fn form(ask: &Ask, backup: &Backup, title: &str, words: &Markup, plan: &DeletePlan) -> Markup {
    let expected = &backup.name;
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
                input type="hidden" name="shown" value=(shown(plan));
                @if backup.server != *ask.dory().server() {
                    p { "It belongs to server " strong { (backup.server) } ", which is told to do it." }
                }
                div.field {
                    label for="confirm" { "Type " code { (expected) } " to say so" }
                    input id="confirm" name="confirm" autocomplete="off" required data-expects=(expected);
                }
                button.danger { (title) " for good" } " " a.button href=(path) { "Keep it" }
            }
        }
    }
}
