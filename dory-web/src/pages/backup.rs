//! One backup: how it stands, what it can be brought back to.

use dory_core::domain::backup::Backup;
use dory_core::domain::restore_point::{PointOrigin, RestorePoint};
use dory_core::domain::user::Role;
use maud::{Markup, html};

use super::runs;
use super::sign_in::button;
use crate::actions;
use crate::ask::Ask;
use crate::error::Reply;
use crate::gate::see_other;
use crate::look::Row;
use crate::text;
use crate::views::chart::{Bar, bars};
use crate::views::{Page, bits, head};

/// How many points are on a page.
const SIZE: usize = 50;

pub(crate) async fn show(ask: Ask) -> Reply {
    let backup = ask.backup().await?;
    let look = ask.app.look().await?;
    let mut points: Vec<&RestorePoint> = backup.points.iter().rev().collect();
    let only = ask.query.get("show");
    points.retain(|point| match only {
        Some("named") => point.name.is_some() || point.description.is_some(),
        Some("protected") => point.protected,
        _ => true,
    });
    let pages = bits::Pages::of(&ask.query, points.len(), SIZE);
    let path = format!("/backups/{}", backup.id);
    let content = html! {
        (head(&[("/backups", "Backups")], &html! { (backup.name) }, &actions(&ask, &backup, &path)))
        (warnings(&ask, &backup, look.row(&backup)))
        @if let Some(description) = &backup.description { p { (description) } }
        div.sheet { (figures(&ask, &backup, look.row(&backup))) }
        div.two {
            div {
                section.sheet.flush aria-labelledby="points" {
                    h2 id="points" { "Restore points" }
                    @if backup.points.is_empty() {
                        (bits::empty("None yet", &html! { "The first backup makes the first one." }))
                    } @else {
                        div.wide tabindex="0" role="region" aria-label="Restore points" { table {
                            thead { tr { th { "Taken" } th { "Name" } th.number { "Data" } th.number.minor { "Stored" } th.minor { "Stop window" } th {} } }
                            tbody { @for point in pages.cut(&points) { (line(&ask, &path, point)) } }
                        } }
                        (pages.links(&ask))
                    }
                }
                @if backup.points.len() > 1 { (charts(&ask, &backup)) }
            }
            div { (run_form(&ask, &backup, &path)) (facts(&ask, &backup)) (history(&ask, &backup)) }
        }
    };
    Ok(Page::new(&backup.name, "/backups").show(&ask, &content))
}

pub(crate) async fn run(ask: Ask) -> Reply {
    let backup = ask.backup().await?;
    let (name, description) = (ask.form.get("name"), ask.form.get("description"));
    let container = backup.identity.container.as_str();
    let run = actions::back_up(&ask, &backup.server, container, name, description).await?;
    see_other(&runs::path(run))
}

/// Somebody looked at the source, and says that all is well.
pub(crate) async fn clear_suspect(ask: Ask) -> Reply {
    let id = ask.backup_id()?;
    ask.dory().clear_suspect(id.as_str(), None, Some(&ask.who.name())).await?;
    see_other(&format!("/backups/{id}"))
}

fn actions(ask: &Ask, backup: &Backup, path: &str) -> Markup {
    html! {
        @if ask.who.may(Role::Operator) {
            @if let Some(point) = backup.latest() { a.button.main href={ (path) "/points/" (point.id) "/restore" } { "Restore" } }
            a.button href={ (path) "/edit" } { "Edit" }
        }
        a.button href={ (path) "/policy" } { "Policy" }
        a.button href={ (path) "/retention" } { "What stays" }
        @if ask.who.may(Role::Admin) { a.button.danger href={ (path) "/delete" } { "Delete" } }
    }
}

fn warnings(ask: &Ask, backup: &Backup, row: Option<&Row>) -> Markup {
    html! {
        @for trouble in row.map(|row| row.troubles.as_slice()).unwrap_or_default() {
            div class={ "note " (trouble.tone) } { p { strong { (trouble.tag) ": " } (trouble.words) } }
        }
        @if backup.is_frozen() && ask.who.may(Role::Operator) {
            div.note.warn {
                p { "Nothing of this backup is deleted until somebody looked at its source. If all is well there, say so:" }
                (button(ask, &format!("/backups/{}/clear-suspect", backup.id), "", "All is well"))
            }
        }
    }
}

fn figures(ask: &Ask, backup: &Backup, row: Option<&Row>) -> Markup {
    let latest = backup.latest();
    html! {
        dl.figures {
            div { dt { "Current size" } dd { @match latest { Some(point) => { (text::bytes(point.size.bytes)) }, None => { "–" } } } }
            div { dt { "Stored" } dd { (text::bytes(backup.stored_bytes())) } }
            div { dt { "Restore points" } dd { (backup.points.len()) } }
            div { dt { "Oldest" } dd { (bits::moment_or_dash(ask, backup.points.first().map(|point| point.taken_at))) } }
            div { dt { "Latest" } dd { (bits::moment_or_dash(ask, latest.map(|point| point.taken_at))) } }
            div { dt { "First backed up" } dd { (bits::moment(ask, backup.created_at)) } }
            div { dt { "Next run" } dd { (bits::moment_or_dash(ask, row.and_then(|row| row.next))) } }
            @if let Some(window) = latest.and_then(|point| point.stop_window) { div { dt { "Last stop window" } dd { (text::duration(window)) } } }
        }
    }
}

fn line(ask: &Ask, path: &str, point: &RestorePoint) -> Markup {
    let own = format!("{path}/points/{}", point.id);
    html! {
        tr {
            td { a href=(own) { (bits::moment(ask, point.taken_at)) } div.quiet.small.nowrap { (bits::minute(ask, point.taken_at)) } }
            td {
                @if let Some(name) = &point.name { span.name { (name) } " " }
                (bits::point_tags(point))
                @if let Some(description) = &point.description { div.quiet.small { (text::short(description, 160)) } }
                @if point.origin == PointOrigin::Schedule { div.quiet.small { "by schedule" } }
            }
            td.number { (text::bytes(point.size.bytes)) }
            td.number.minor { (text::bytes(point.size.stored_bytes)) }
            td.minor.nowrap { @match point.stop_window { Some(window) => { (text::duration(window)) }, None => { span.quiet { "–" } } } }
            td.number {
                div.row {
                    a.button.small-button href={ (own) "/files" } { "Browse" }
                    @if ask.who.may(Role::Operator) && !point.deleting { a.button.small-button href={ (own) "/restore" } { "Restore" } }
                }
            }
        }
    }
}

fn charts(ask: &Ask, backup: &Backup) -> Markup {
    let points: Vec<&RestorePoint> = backup.points.iter().filter(|point| point.origin != PointOrigin::Safety).collect();
    let tone = |point: &RestorePoint| {
        if point.is_suspect() {
            "bad"
        } else if point.lost_data() {
            "warn"
        } else {
            ""
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "a bar is not that exact")]
    let size = |point: &&RestorePoint| Bar {
        value: point.size.bytes as f64,
        words: format!("{}: {}", bits::minute(ask, point.taken_at), text::bytes(point.size.bytes)),
        tone: tone(point),
    };
    let window = |point: &&RestorePoint| {
        let window = point.stop_window?;
        let words = format!("{}: {}", bits::minute(ask, point.taken_at), text::duration(window));
        Some(Bar { value: window.as_secs_f64(), words, tone: "" })
    };
    let sizes: Vec<Bar> = points.iter().map(size).collect();
    let windows: Vec<Bar> = points.iter().filter_map(window).collect();
    let most = text::bytes(points.iter().rev().take(60).map(|point| point.size.bytes).max().unwrap_or(0));
    let longest = points.iter().rev().take(60).filter_map(|point| point.stop_window).max().unwrap_or_default();
    let first =
        points.iter().rev().take(60).next_back().map_or_else(String::new, |point| bits::minute(ask, point.taken_at));
    let last = points.last().map_or_else(String::new, |point| bits::minute(ask, point.taken_at));
    html! {
        div.grid {
            section.sheet { h2 { "Size" } (bars("Size of the restore points", &sizes, &most, &first, &last)) }
            @if !windows.is_empty() {
                section.sheet { h2 { "Stop window" } (bars("How long containers stood still", &windows, &text::duration(longest), &first, &last)) }
            }
        }
    }
}

fn run_form(ask: &Ask, backup: &Backup, path: &str) -> Markup {
    html! {
        @if ask.who.may(Role::Operator) && backup.deleting_since.is_none() {
            section.sheet {
                h2 { "Back up now" }
                form method="post" action={ (path) "/run" } {
                    (bits::csrf(ask))
                    (bits::field("name", "Name of the point", "", "Optional, such as: before the upgrade"))
                    @if backup.server != *ask.dory().server() { p.hint { "A command to server " (backup.server) ", which does it." } }
                    button.main { "Back up now" }
                }
            }
        }
    }
}

fn facts(ask: &Ask, backup: &Backup) -> Markup {
    html! {
        section.sheet {
            h2 { "About it" }
            dl.facts {
                dt { "Id" } dd.mono { (backup.id) }
                dt { "Server" } dd { (backup.server) }
                dt { "Container" } dd { (backup.identity.container) }
                @if let Some(place) = &backup.identity.compose { dt { "Compose" } dd { (place.project) " / " (place.service) } }
                dt { "Marked" } dd { @if backup.is_marked() { "yes" } @else { "no" } @if backup.marked.is_none() { span.quiet { " (by label)" } } }
                @if let Some(at) = backup.last_attempt_at { dt { "Last attempt" } dd { (bits::moment(ask, at)) } }
                @for (key, value) in &backup.metadata { dt { (key) } dd { (value) } }
            }
        }
    }
}

fn history(ask: &Ask, backup: &Backup) -> Markup {
    html! {
        section.sheet {
            details {
                summary { (text::count(backup.containers.len(), "container")) " so far" }
                p.quiet.small { "A container that is made anew has another id. What ties it to this backup is kept:" }
                @for seen in backup.containers.iter().rev().take(50) {
                    div.small { span.mono title=(seen.id) { (seen.id.short()) } " " (seen.name) ", since " (bits::moment(ask, seen.first_seen)) }
                }
            }
        }
    }
}
