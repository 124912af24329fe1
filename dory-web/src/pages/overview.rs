//! What needs attention first, then how the fleet stands.

use dory_core::domain::user::Role;
use jiff::Timestamp;
use maud::{Markup, html};

use super::servers::state_tag;
use crate::ask::Ask;
use crate::error::Reply;
use crate::look::{Look, Row};
use crate::text;
use crate::views::{Page, bits, head};

/// How many of a kind are shown here; the rest is a click away.
const SHOWN: usize = 12;

pub(crate) async fn show(ask: Ask) -> Reply {
    let look = ask.app.look().await?;
    let now = ask.dory().now();
    let marked = look.rows.iter().filter(|row| row.backup.is_marked()).count();
    let points: usize = look.rows.iter().map(|row| row.backup.points.len()).sum();
    let stored: u64 = look.rows.iter().map(|row| row.stored_bytes).sum();
    let held: u64 = look.rows.iter().map(|row| row.bytes).sum();
    let uncovered = look.containers.as_ref().map_or(0, |all| all.iter().filter(|one| is_uncovered(one)).count());
    let content = html! {
        (head(&[], &html! { "Overview" }, &html! {
            @if ask.who.may(Role::Operator) { a.button href="/containers" { "Back up a container" } }
        }))
        (attention(&ask, &look, now))
        div.sheet {
            dl.figures {
                div { dt { "Backups" } dd { (look.rows.len()) } }
                div { dt { "Marked" } dd { (marked) } }
                div { dt { "Restore points" } dd { (points) } }
                div { dt { "Data in the newest" } dd { (text::bytes(held)) } }
                div { dt { "Stored" } dd { (text::bytes(stored)) } }
                div { dt { "Containers here without any" } dd { a href="/containers?show=uncovered" { (uncovered) } } }
            }
        }
        div.grid { (servers(&ask, &look)) (next_runs(&ask, &look)) (newest(&ask, &look)) }
    };
    Ok(Page::new("Overview", "/").show(&ask, &content))
}

/// Whether a container holds data that nobody could bring back.
pub(crate) fn is_uncovered(overview: &dory_core::services::ContainerOverview) -> bool {
    !overview.mounts.is_empty() && !overview.is_covered()
}

fn attention(ask: &Ask, look: &Look, now: Timestamp) -> Markup {
    let rows: Vec<(&Row, &crate::look::Trouble)> =
        look.rows.iter().flat_map(|row| row.troubles.iter().map(move |trouble| (row, trouble))).collect();
    let mut sorted = rows;
    sorted.sort_by_key(|(_, trouble)| trouble.tone != "bad");
    let silent: Vec<_> = look.silent(now).collect();
    let nothing = sorted.is_empty() && silent.is_empty() && look.damaged.is_empty() && look.containers.is_ok();
    html! {
        @if look.rows.is_empty() && look.damaged.is_empty() {
            div.sheet { (bits::empty("No backup yet", &html! {
                "Choose a container on the page " a href="/containers" { "Containers" } ", or label it "
                code { "dory.backup=true" } " and give it a schedule: " code { "dory.schedule=@daily" } "."
            })) }
        } @else if nothing {
            div.note.good { p { "Nothing needs attention." } }
        } @else {
            section.sheet.flush aria-labelledby="attention" {
                h2 id="attention" { "Needs attention" }
                ul.list {
                    @if let Err(error) = &look.containers {
                        li { (bits::tag("bad", "no container engine")) span { (error) @if let Some(hint) = error.hint() { ": " (hint) } } }
                    }
                    @for error in &look.damaged { li { (bits::tag("bad", "damaged")) span { (error) } } }
                    @for server in silent {
                        li { (bits::tag("bad", "silent")) span { "server " a href="/servers" { (server.name) } " said nothing since " (bits::moment(ask, server.ping.at)) } }
                    }
                    @for (row, trouble) in sorted.iter().take(SHOWN) {
                        li { (bits::tag(trouble.tone, trouble.tag)) a.name href={ "/backups/" (row.backup.id) } { (row.backup.name) } span { (trouble.words) } }
                    }
                    @if sorted.len() > SHOWN {
                        li { a href="/backups?show=attention" { "All " (sorted.len()) } }
                    }
                }
            }
        }
    }
}

fn servers(ask: &Ask, look: &Look) -> Markup {
    html! {
        section.sheet.flush aria-labelledby="servers" {
            h2 id="servers" { "Servers" }
            @if look.servers.is_empty() { (bits::empty("None has shown itself", &html! { "A server does once " code { "dory serve" } " runs." })) }
            ul.list { @for server in look.servers.iter().take(SHOWN) {
                li {
                    (state_tag(ask, server))
                    a.name href="/servers" { (server.name) }
                    span.quiet { "heard of " (bits::moment(ask, server.ping.at)) }
                }
            } }
        }
    }
}

fn next_runs(ask: &Ask, look: &Look) -> Markup {
    let mut next: Vec<_> = look.rows.iter().filter_map(|row| Some((row.next?, row))).collect();
    next.sort_by_key(|(at, _)| *at);
    html! {
        section.sheet.flush aria-labelledby="next" {
            h2 id="next" { "Next runs" }
            @if next.is_empty() { (bits::empty("Nothing is scheduled", &html! { "A backup's policy says when it runs." })) }
            ul.list { @for (at, row) in next.iter().take(SHOWN) {
                li { (bits::moment(ask, *at)) a.name href={ "/backups/" (row.backup.id) } { (row.backup.name) } }
            } }
        }
    }
}

fn newest(ask: &Ask, look: &Look) -> Markup {
    let mut newest: Vec<_> = look.rows.iter().filter_map(|row| Some((row.latest?, row))).collect();
    newest.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    html! {
        section.sheet.flush aria-labelledby="newest" {
            h2 id="newest" { "Newest restore points" }
            @if newest.is_empty() { (bits::empty("None yet", &html! { "They show up here as they are made." })) }
            ul.list { @for (at, row) in newest.iter().take(SHOWN) {
                li { (bits::moment(ask, *at)) a.name href={ "/backups/" (row.backup.id) } { (row.backup.name) } span.quiet { (text::bytes(row.bytes)) } }
            } }
        }
    }
}
