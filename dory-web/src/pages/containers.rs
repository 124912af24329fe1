//! The containers of this server, what of them is data, and which are chosen.

use dory_core::domain::user::Role;
use dory_core::services::ContainerOverview;
use maud::{Markup, html};

use super::overview::is_uncovered;
use super::runs;
use crate::actions;
use crate::ask::Ask;
use crate::error::Reply;
use crate::gate::see_other;
use crate::views::{Page, bits, head, nothing};

/// How many are on a page.
const SIZE: usize = 100;

pub(crate) async fn show(ask: Ask) -> Reply {
    let look = ask.app.look().await?;
    let only_uncovered = ask.query.get("show") == Some("uncovered");
    let content = match &look.containers {
        Err(error) => html! {
            (head(&[], &html! { "Containers" }, &nothing()))
            div.note.bad role="alert" {
                p { "The container engine of this server cannot be asked: " (error) }
                @if let Some(hint) = error.hint() { p { (hint) } }
            }
            p { "Restore points can be looked into all the same, on the page " a href="/backups" { "Backups" } "." }
        },
        Ok(all) => {
            let shown: Vec<&ContainerOverview> =
                all.iter().filter(|one| !only_uncovered || is_uncovered(one)).collect();
            let pages = bits::Pages::of(&ask.query, shown.len(), SIZE);
            html! {
                (head(&[], &html! { "Containers on " (ask.dory().server()) }, &html! {
                    @if only_uncovered { a.button href="/containers" { "Show all" } }
                    @else { a.button href="/containers?show=uncovered" { "Only those without a backup" } }
                }))
                div.sheet.flush {
                    @if shown.is_empty() {
                        (bits::empty(if only_uncovered { "Every container with data has a backup" } else { "No container" },
                            &html! { "What runs on this server's container engine shows up here." }))
                    } @else {
                        div.wide tabindex="0" role="region" aria-label="Containers" { table {
                            thead { tr { th { "Container" } th.minor { "State" } th { "Data" } th { "Newest point" } th { "Marked" } th {} } }
                            tbody { @for overview in pages.cut(&shown) { (line(&ask, overview)) } }
                        } }
                        (pages.links(&ask))
                    }
                }
                (others(&ask, &look))
            }
        }
    };
    Ok(Page::new("Containers", "/containers").show(&ask, &content))
}

pub(crate) async fn mark(ask: Ask) -> Reply {
    let marked = ask.form.need("marked")? == "true";
    let server = server_of(&ask)?;
    match actions::mark(&ask, &server, ask.param("container"), marked).await? {
        Some(command) => see_other(&runs::path(command)),
        None => see_other("/containers"),
    }
}

pub(crate) async fn run(ask: Ask) -> Reply {
    let server = server_of(&ask)?;
    let (name, description) = (ask.form.get("name"), ask.form.get("description"));
    let run = actions::back_up(&ask, &server, ask.param("container"), name, description).await?;
    see_other(&runs::path(run))
}

/// The server that a form names; this one where it names none.
fn server_of(ask: &Ask) -> dory_core::Result<dory_core::domain::id::ServerName> {
    ask.form.get("server").map_or_else(|| Ok(ask.dory().server().clone()), |server| server.parse())
}

fn line(ask: &Ask, overview: &ContainerOverview) -> Markup {
    let container = &overview.container;
    let action = format!("/containers/{}", container.name);
    html! {
        tr {
            td {
                span.name { (container.name) } " " span.quiet.small.mono title=(container.id) { (container.id.short()) }
                div.quiet.small { (container.image) }
                @if let Some(problem) = &overview.problem { div.note.warn.small { (problem) } }
            }
            td.minor { (container.state.as_str()) }
            td.small {
                @for mount in &overview.mounts { div.mono { (mount.destination.display()) } }
                @if overview.mounts.is_empty() { span.quiet { "nothing to back up" } }
                @if !overview.left_out.is_empty() {
                    details {
                        summary { (overview.left_out.len()) " left out" }
                        @for left in &overview.left_out { div { span.mono { (left.destination.display()) } ": " (left.reason) } }
                    }
                }
            }
            td {
                @match (overview.backup.as_deref(), overview.latest_point()) {
                    (Some(backup), Some(point)) => { a href={ "/backups/" (backup.id) } { (bits::moment(ask, point.taken_at)) } },
                    (Some(backup), None) => { a href={ "/backups/" (backup.id) } { "none yet" } },
                    _ if overview.mounts.is_empty() => { span.quiet { "–" } },
                    _ => { (bits::tag("warn", "no backup")) },
                }
            }
            td { @if overview.marked { (bits::tag("good", "marked")) } @else { span.quiet { "no" } } }
            td.number {
                @if ask.who.may(Role::Operator) && !overview.mounts.is_empty() {
                    div.row {
                        form method="post" action={ (action) "/mark" } {
                            (bits::csrf(ask))
                            button.small-button name="marked" value=(!overview.marked) { @if overview.marked { "Unmark" } @else { "Mark" } }
                        }
                        form method="post" action={ (action) "/run" } {
                            (bits::csrf(ask)) button.small-button.main { "Back up now" }
                        }
                    }
                }
            }
        }
    }
}

/// Containers of other servers can be named, as long as nobody has told of them.
fn others(ask: &Ask, look: &crate::look::Look) -> Markup {
    let others: Vec<_> = look.servers.iter().filter(|server| server.name != *ask.dory().server()).collect();
    if others.is_empty() || !ask.who.may(Role::Operator) {
        return nothing();
    }
    html! {
        div.sheet {
            h2 { "On other servers" }
            p { "Backups of other servers are on the page " a href="/backups" { "Backups" } ", each with a button that sends its server a command:" }
            p { @for server in others { a.button.small-button href={ "/backups?server=" (server.name) } { (server.name) } " " } }
        }
    }
}
