//! Who did what.

use dory_core::domain::id::AuditId;
use maud::html;

use crate::ask::Ask;
use crate::error::Reply;
use crate::fields::link;
use crate::views::{Page, bits, head, nothing};

/// How many entries are on a page.
const SIZE: usize = 50;

pub(crate) async fn show(ask: Ask) -> Reply {
    let before = ask.query.get("before").map(AuditId::parse).transpose()?;
    let entries = ask.dory().audit(before, SIZE).await?;
    let content = html! {
        (head(&[], &html! { "Audit" }, &nothing()))
        div.sheet.flush {
            @if entries.is_empty() {
                (bits::empty("Nothing was done yet", &html! { "Whoever signs in, backs up, restores or changes something here is written down, for a year." }))
            } @else {
                div.wide tabindex="0" role="region" aria-label="Audit entries" { table {
                    thead { tr { th { "When" } th { "Who" } th { "What" } th { "To what" } th.minor { "From" } th { "Came of it" } } }
                    tbody { @for entry in &entries {
                        tr {
                            td { (bits::moment(&ask, entry.id.made_at())) }
                            td { (entry.by) }
                            td { (entry.action) }
                            td.mono { (entry.subject) }
                            td.minor.mono { (entry.from.as_deref().unwrap_or("–")) }
                            td { @match &entry.error {
                                None => { (bits::tag("good", "done")) },
                                Some(error) => { (bits::tag("bad", "refused")) " " span.small { (error.reason) } },
                            } }
                        }
                    } }
                } }
                @if entries.len() == SIZE && let Some(last) = entries.last() {
                    nav.pages { a href=(link("/audit", &[("before", &last.id.to_string())])) { "Older" } }
                }
            }
        }
    };
    Ok(Page::new("Audit", "/audit").show(&ask, &content))
}
