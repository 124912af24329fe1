//! Restoring: where to, mount by mount, what will happen, and then it does.

use dory_core::domain::backup::Backup;
use dory_core::domain::id::ServerName;
use dory_core::domain::plan::QuietReason;
use dory_core::domain::restore_point::RestorePoint;
use dory_core::services::{MountMap, RestoreChoice, RestorePlan};
use dory_core::{Error, Result};
use maud::{Markup, html};

use super::runs;
use crate::actions;
use crate::ask::Ask;
use crate::error::Reply;
use crate::fields::Fields;
use crate::gate::see_other;
use crate::look::Look;
use crate::views::{Page, bits, head, nothing};

pub(crate) async fn show(ask: Ask) -> Reply {
    let (backup, point) = ask.backup_and_point().await?;
    let look = ask.app.look().await?;
    let path = format!("/backups/{}", backup.id);
    let own = format!("{path}/points/{}", point.id);
    let server = server_of(&ask, &ask.query)?;
    let is_here = server == *ask.dory().server();
    let is_planned = ask.query.get("plan").is_some();
    let planned = match is_planned {
        true if is_here => {
            let choice = choice_of(&ask, &backup, &point, &ask.query)?;
            Some(ask.dory().plan_restore(&choice).await)
        }
        _ => None,
    };
    let taken = bits::minute(&ask, point.taken_at);
    let content = html! {
        (head(&[("/backups", "Backups"), (&path, &backup.name), (&own, point.name.as_deref().unwrap_or(&taken))], &html! { "Restore" }, &nothing()))
        div.sheet { p {
            "The data of " strong { (bits::exact(&ask, point.taken_at)) } " (" (bits::moment(&ask, point.taken_at)) ") "
            @if let Some(name) = &point.name { "named " strong { (name) } ", " }
            "as " (point.container) " had it. " (bits::point_tags(&point))
        } }
        div.sheet {
            h2 { "1. Where to" }
            (target_form(&ask, &backup, &point, &look, &server))
        }
        @match &planned {
            Some(Ok(plan)) => { (plan_sheet(&ask, &own, plan)) },
            Some(Err(error)) => {
                div.note.bad role="alert" {
                    p { (error) }
                    @for cause in error.causes() { p.small { "caused by: " (cause) } }
                    @if let Some(hint) = error.hint() { p { strong { "What to do: " } (hint) } }
                }
            },
            None if is_planned => { (elsewhere_sheet(&ask, &own, &server)) },
            None => {},
        }
    };
    Ok(Page::new("Restore", "/backups").show(&ask, &content))
}

pub(crate) async fn start(ask: Ask) -> Reply {
    let (backup, point) = ask.backup_and_point().await?;
    let server = server_of(&ask, &ask.form)?;
    let choice = choice_of(&ask, &backup, &point, &ask.form)?;
    let run = actions::restore(&ask, &server, choice).await?;
    see_other(&runs::path(run))
}

fn server_of(ask: &Ask, fields: &Fields) -> Result<ServerName> {
    fields.get("server").map_or_else(|| Ok(ask.dory().server().clone()), str::parse)
}

fn choice_of(ask: &Ask, backup: &Backup, point: &RestorePoint, fields: &Fields) -> Result<RestoreChoice> {
    let map = |(from, to): (&str, &str)| -> Option<Result<MountMap>> {
        let to = to.trim();
        // Left as it is, a mount goes to where it came from.
        (!to.is_empty() && to != from).then(|| {
            format!("{from}={to}")
                .parse()
                .map_err(|error: Error| Error::invalid("mount mapping", format!("{from} to {to}"), error.reason()))
        })
    };
    Ok(RestoreChoice {
        backup: backup.id.to_string(),
        point: dory_core::domain::backup::PointChoice::Named(point.id.to_string()),
        into: fields.get("into").map(str::to_owned),
        maps: fields.below("map:").filter_map(map).collect::<Result<_>>()?,
        safety: !fields.is_ticked("no_safety"),
        delete_extra_from_binds: fields.is_ticked("delete_extra"),
        guarding: ask.app.options.guarding,
    })
}

fn target_form(ask: &Ask, backup: &Backup, point: &RestorePoint, look: &Look, server: &ServerName) -> Markup {
    let query = &ask.query;
    let mut servers: Vec<&ServerName> = look.servers.iter().map(|server| &server.name).collect();
    if !servers.contains(&ask.dory().server()) {
        servers.insert(0, ask.dory().server());
    }
    let containers = look.containers.as_ref().map(Vec::as_slice).unwrap_or_default();
    html! {
        form method="get" {
            @if servers.len() > 1 {
                div.field {
                    label for="server" { "Server" }
                    select id="server" name="server" { @for one in &servers {
                        option value=(one) selected[*one == server] { (one) @if *one == ask.dory().server() { " (this one)" } }
                    } }
                }
            }
            div.field {
                label for="into" { "Container" }
                input id="into" name="into" list="containers" value=(query.raw("into").unwrap_or_default()) aria-describedby="hint-into";
                datalist id="containers" { @for one in containers.iter().filter(|one| !one.mounts.is_empty()) { option value=(one.container.name) {} } }
                span.hint id="hint-into" { "Empty for its own, " (backup.identity.container) " on " (backup.server) "." }
            }
            details open[query.below("map:").any(|(_, to)| !to.trim().is_empty())] {
                summary { "Mounts go elsewhere than where they came from" }
                p.hint { "Another place of the container (/srv/data), a volume by its name, or none to leave a mount out." }
                @for (at, mount) in point.mounts.iter().enumerate() {
                    @let name = format!("map:{}", mount.destination.display());
                    div.field {
                        label.mono for={ "map-" (at) } { (mount.destination.display()) }
                        input id={ "map-" (at) } name=(name) value=(query.raw(&name).unwrap_or_default()) placeholder=(mount.destination.display());
                    }
                }
            }
            br;
            details open[query.is_ticked("no_safety") || query.is_ticked("delete_extra")] {
                summary { "What happens to what is there now" }
                (bits::tick("no_safety", "Keep no safety point: there is no way back then", query.is_ticked("no_safety")))
                (bits::tick("delete_extra", "Delete files that the point does not hold from folders of the host too (from volumes they always go)", query.is_ticked("delete_extra")))
            }
            br;
            button.main name="plan" value="1" { "Show what will happen" }
        }
    }
}

/// The same choices again, for the form that begins.
fn carried(ask: &Ask) -> Markup {
    html! {
        @for name in ["server", "into", "no_safety", "delete_extra"] {
            @if let Some(value) = ask.query.get(name) { input type="hidden" name=(name) value=(value); }
        }
        @for (from, to) in ask.query.below("map:") { input type="hidden" name={ "map:" (from) } value=(to); }
    }
}

fn plan_sheet(ask: &Ask, own: &str, plan: &RestorePlan) -> Markup {
    html! {
        div.sheet {
            h2 { "2. What will happen" }
            @if let Some(target) = &plan.target { p { "Into container " strong { (target) } ":" } }
            div.wide tabindex="0" role="region" aria-label="What goes where" { table {
                thead { tr { th { "From" } th { "To" } th { "What is there besides" } } }
                tbody { @for mount in &plan.mounts {
                    tr {
                        td.mono { (mount.from.display()) }
                        td.mono { (mount.to.destination.display()) @if let Some(volume) = mount.to.as_mount().volume() { div.quiet.small { "volume " (volume) } } }
                        td { @if mount.delete_extra { "goes" } @else { "stays" } }
                    }
                } }
            } }
            ul {
                @for quiet in &plan.quiet {
                    li { strong { (quiet.name) } " is " @if quiet.mode == dory_core::domain::policy::StopMode::Pause { "paused" } @else { "stopped" }
                        " meanwhile: " (why(quiet.why)) }
                }
                @if plan.quiet.is_empty() { li { "Nothing runs there, so nothing is stopped." } }
                @for left in &plan.not_restored { li { span.mono { (left.display()) } " is left out." } }
                @for dump in &plan.dumps { li { "The dump " (dump) " is in the point too, and is not loaded: " code { "dory restore --dump" } " does that." } }
                @if !plan.left_alone.is_empty() { li { "What the backup left out stays as it is: " span.mono { (plan.left_alone.join(", ")) } } }
                @if plan.safety { li { "What is there now is kept first, as a safety point of " (plan.home) ", so that this can be undone." } }
                @else { li { strong { "What is there now is overwritten, and there is no way back." } } }
            }
            form method="post" action={ (own) "/restore" } {
                (bits::csrf(ask)) (carried(ask))
                button.danger { "Restore now" }
            }
        }
    }
}

fn elsewhere_sheet(ask: &Ask, own: &str, server: &ServerName) -> Markup {
    html! {
        div.sheet {
            h2 { "2. What will happen" }
            p { "Server " strong { (server) } " is sent a sealed command. It plans the restore itself, refuses what it cannot do before anything is stopped, and reports here." }
            form method="post" action={ (own) "/restore" } {
                (bits::csrf(ask)) (carried(ask))
                button.danger { "Restore on " (server) }
            }
        }
    }
}

fn why(reason: QuietReason) -> &'static str {
    match reason {
        QuietReason::Target => "it is the one that is restored",
        QuietReason::SharesData => "it uses the same data",
        QuietReason::SharesNetwork => "it lives in the network of one that is stopped",
    }
}

/// Where a restore can be looked at and begun that undoes another.
pub(crate) fn undo_path(undo: &RestoreChoice) -> Option<String> {
    let dory_core::domain::backup::PointChoice::Named(point) = &undo.point else { return None };
    let mut query = vec![("plan".to_owned(), "1".to_owned())];
    for map in &undo.maps {
        let text = map.to_string();
        if let Some((from, to)) = text.split_once('=') {
            query.push((format!("map:{from}"), to.to_owned()));
        }
    }
    if undo.delete_extra_from_binds {
        query.push(("delete_extra".to_owned(), "1".to_owned()));
    }
    let query: Vec<(&str, &str)> = query.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    Some(crate::fields::link(&format!("/backups/{}/points/{point}/restore", undo.backup), &query))
}
