//! What the rules of a backup keep, and why.

use dory_core::domain::user::Role;
use dory_core::services::PrunePlan;
use maud::{Markup, html};

use super::runs;
use crate::actions;
use crate::ask::Ask;
use crate::error::Reply;
use crate::gate::see_other;
use crate::text;
use crate::views::{Page, bits, head, nothing};

/// How many points are on a page.
const SIZE: usize = 100;

pub(crate) async fn show(ask: Ask) -> Reply {
    let backup = ask.backup().await?;
    let rules = ask.query.get("keep").map(str::parse).transpose()?;
    let plans = ask.dory().plan_prune(Some(backup.id.as_str()), rules.as_ref()).await?;
    let path = format!("/backups/{}", backup.id);
    let content = html! {
        (head(&[("/backups", "Backups"), (&path, &backup.name)], &html! { "What stays" }, &nothing()))
        form.bar method="get" {
            (bits::field("keep", "Try other rules", ask.query.raw("keep").unwrap_or_default(), ""))
            button { "Show what would stay" }
        }
        @match plans.first() {
            None => { div.note.warn { p { "This backup is being deleted." } } },
            Some(plan) => { (verdicts(&ask, &path, plan, rules.is_some())) },
        }
    };
    Ok(Page::new("What stays", "/backups").show(&ask, &content))
}

pub(crate) async fn prune(ask: Ask) -> Reply {
    let backup = ask.backup().await?;
    let run = actions::prune(&ask, &backup.server, &backup.id).await?;
    see_other(&runs::path(run))
}

fn verdicts(ask: &Ask, path: &str, plan: &PrunePlan, is_tried: bool) -> Markup {
    let points: Vec<_> = plan.points.iter().rev().collect();
    let pages = bits::Pages::of(&ask.query, points.len(), SIZE);
    html! {
        div.sheet {
            p {
                "Rules: " @if plan.rules.is_empty() { "none, so everything stays" } @else { code { (plan.rules) } }
                ". " (text::count(plan.going(), "point")) " of " (plan.points.len()) " would go"
                @if plan.delete.stored_bytes > 0 { ", which added " (text::bytes(plan.delete.stored_bytes)) " to the store" }
                "."
            }
            @if plan.going() > 0 && !is_tried {
                @if ask.who.may(Role::Admin) {
                    form method="post" action={ (path) "/prune" } {
                        (bits::csrf(ask)) button.danger { "Delete " (text::count(plan.going(), "point")) " now" }
                    }
                }
                p.hint { "A server does it by itself after each scheduled backup." }
            }
        }
        div.sheet.flush {
            @if points.is_empty() { (bits::empty("No restore point yet", &html! { "There is nothing to keep." })) }
            @else {
                div.wide tabindex="0" role="region" aria-label="Restore points" { table {
                    thead { tr { th { "Taken" } th { "Name" } th.number { "Stored" } th { "Stays" } th { "Why" } } }
                    tbody { @for verdict in pages.cut(&points) {
                        tr {
                            td { a href={ (path) "/points/" (verdict.id) } { (bits::moment(ask, verdict.taken_at)) } div.quiet.small { (bits::minute(ask, verdict.taken_at)) } }
                            td { (verdict.name.as_deref().unwrap_or_default()) }
                            td.number { (text::bytes(verdict.stored_bytes)) }
                            td { @if verdict.reasons.is_empty() { (bits::tag("warn", "goes")) } @else { (bits::tag("good", "stays")) } }
                            td { @for reason in &verdict.reasons { div { (reason) } } }
                        }
                    } }
                } }
                (pages.links(ask))
            }
        }
    }
}
