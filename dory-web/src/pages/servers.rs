//! The servers of the fleet, and when each was heard of.

use dory_core::domain::server::ServerRecord;
use maud::{Markup, html};

use crate::ask::Ask;
use crate::error::Reply;
use crate::views::{Page, bits, head, nothing};

pub(crate) async fn show(ask: Ask) -> Reply {
    let look = ask.app.look().await?;
    let content = html! {
        (head(&[], &html! { "Servers" }, &nothing()))
        div.sheet.flush {
            @if look.servers.is_empty() {
                (bits::empty("None has shown itself", &html! { "A server shows itself in the store once " code { "dory serve" } " runs on it." }))
            } @else {
                div.wide tabindex="0" role="region" aria-label="Servers" { table {
                    thead { tr { th { "Server" } th { "Last ping" } th.minor { "Up since" } th.minor { "Host" } th.minor { "Version" } th { "Doing" } th { "Next run" } th.number { "Backups" } } }
                    tbody { @for server in &look.servers {
                        @let ping = &server.ping;
                        tr {
                            td { span.name { (server.name) } " " (state_tag(&ask, server))
                                @if server.name == *ask.dory().server() { " " (bits::tag("", "this one")) } }
                            td { (bits::moment(&ask, ping.at)) }
                            td.minor { (bits::moment(&ask, ping.started_at)) }
                            td.minor { (ping.host) @if let Some(runtime) = &ping.runtime { div.quiet.small { (runtime) } } @else { div.quiet.small { "no container engine" } } }
                            td.minor { (ping.version) }
                            td { @if ping.running.is_empty() { span.quiet { "–" } }
                                @for container in &ping.running { div { "backing up " (container) } } }
                            td { @match &ping.next_run {
                                Some(next) => { (next.container) " " (bits::moment(&ask, next.at)) },
                                None => { span.quiet { "–" } },
                            } }
                            td.number { a href={ "/backups?server=" (server.name) } {
                                (look.rows.iter().filter(|row| row.backup.server == server.name).count())
                            } }
                        }
                    } }
                } }
            }
        }
        p.quiet { "Any number of servers share a store. Each keeps to its own containers; a command to another is sealed with the fleet's passphrase and carried out there." }
    };
    Ok(Page::new("Servers", "/servers").show(&ask, &content))
}

/// Whether a server lives, as far as clocks can be trusted.
pub(crate) fn state_tag(ask: &Ask, server: &ServerRecord) -> Markup {
    match server {
        server if server.lease.released => bits::tag("", "ended"),
        server if server.is_silent(ask.dory().now()) => bits::tag("bad", "silent"),
        _ => bits::tag("good", "serving"),
    }
}
