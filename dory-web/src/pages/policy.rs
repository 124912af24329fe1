//! How one backup is made: what is set here, what its container's labels say, what counts where neither does.

use std::collections::BTreeMap;

use dory_core::domain::backup::Backup;
use dory_core::domain::policy::{EngineKind, Policy, PolicyOverrides, StopMode};
use dory_core::domain::user::Role;
use dory_core::services::{BackupEdit, PolicyPart};
use dory_core::{Error, Result};
use jiff::Timestamp;
use maud::{Markup, html};

use crate::ask::Ask;
use crate::error::Reply;
use crate::fields::Fields;
use crate::gate::see_other;
use crate::views::{Page, bits, head, nothing};

pub(crate) async fn show(ask: Ask) -> Reply {
    let backup = ask.backup().await?;
    let labels = labels_of(&ask, &backup).await?;
    // Values of a form that is only tried out, or what is set.
    let (set, tried) = match ask.query.get("try") {
        Some(_) => match edit_from(&backup, &ask.query) {
            Ok(edit) => (applied(&edit), Some(Ok(()))),
            Err(error) => (backup.policy.clone(), Some(Err(error))),
        },
        None => (backup.policy.clone(), None),
    };
    let weaker = labels.clone().unwrap_or_default().into_policy();
    let in_force = set.clone().or(labels.clone().unwrap_or_default()).into_policy();
    let path = format!("/backups/{}", backup.id);
    let content = html! {
        (head(&[("/backups", "Backups"), (&path, &backup.name)], &html! { "Policy" }, &nothing()))
        @match &tried {
            Some(Ok(())) => { div.note { p { "This is only tried out. Save it to make it count." } } },
            Some(Err(error)) => { div.note.bad role="alert" { p { (error) } } },
            None => {},
        }
        div.two {
            div.sheet {
                @if ask.who.may(Role::Operator) { (form(&ask, &path, &set, &weaker, labels.is_some())) }
                @else { p { "This takes the role operator. What counts is shown beside." } }
            }
            div { (counts(&ask, &backup, &in_force)) }
        }
    };
    Ok(Page::new("Policy", "/backups").show(&ask, &content))
}

pub(crate) async fn save(ask: Ask) -> Reply {
    let backup = ask.backup().await?;
    let edit = edit_from(&backup, &ask.form)?;
    ask.dory().edit_backup(backup.id.as_str(), &edit).await?;
    see_other(&format!("/backups/{}/policy", backup.id))
}

/// What the labels of a backup's container say; `None` where it cannot be asked.
pub(crate) async fn labels_of(ask: &Ask, backup: &Backup) -> Result<Option<PolicyOverrides>> {
    let look = ask.app.look().await?;
    let Ok(containers) = &look.containers else { return Ok(None) };
    let own = containers.iter().find(|overview| overview.backup_id() == Some(&backup.id));
    Ok(own.and_then(|overview| PolicyOverrides::from_labels(&overview.container.labels).ok()))
}

/// The next moments at which a policy's schedule is due.
pub(crate) fn next_runs(ask: &Ask, policy: &Policy, count: usize) -> Vec<Timestamp> {
    let schedule = policy.schedule.as_ref();
    let upcoming =
        schedule.map(|schedule| schedule.upcoming(ask.dory().now(), ask.dory().zone()).take(count).collect());
    upcoming.unwrap_or_default()
}

/// What a form says. What it leaves empty, the catalog leaves open.
pub(crate) fn edit_from(backup: &Backup, fields: &Fields) -> Result<BackupEdit> {
    let mut inherit = Vec::new();
    let policy = PolicyOverrides {
        stop: part(fields, "stop", PolicyPart::Stop, &mut inherit)?,
        engine: part(fields, "engine", PolicyPart::Engine, &mut inherit)?,
        engine_options: options_edit(backup, fields)?,
        exclude: fields
            .get("exclude")
            .map(|text| text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()),
        healthy_timeout: part(fields, "healthy_timeout", PolicyPart::HealthyTimeout, &mut inherit)?,
        suspect_below: part(fields, "suspect_below", PolicyPart::SuspectBelow, &mut inherit)?,
        schedule: part(fields, "schedule", PolicyPart::Schedule, &mut inherit)?,
        keep: part(fields, "keep", PolicyPart::Keep, &mut inherit)?,
        ..PolicyOverrides::default()
    };
    if policy.exclude.is_none() {
        inherit.push(PolicyPart::Exclude);
    }
    if policy.engine_options.values().any(|value| !value.is_empty()) {
        // They belong to an engine, so the engine in force becomes this backup's.
        inherit.retain(|part| *part != PolicyPart::Engine);
    }
    Ok(BackupEdit { policy, inherit, ..BackupEdit::default() })
}

fn part<T: std::str::FromStr<Err = Error>>(
    fields: &Fields,
    name: &str,
    part: PolicyPart,
    inherit: &mut Vec<PolicyPart>,
) -> Result<Option<T>> {
    let Some(text) = fields.get(name) else {
        inherit.push(part);
        return Ok(None);
    };
    text.parse().map(Some).map_err(|error: Error| Error::invalid(&name.replace('_', " "), text, error.reason()))
}

fn options_edit(backup: &Backup, fields: &Fields) -> Result<BTreeMap<String, String>> {
    // Those that are not there any more are taken back by an empty value.
    let known = backup.policy.engine_options.keys();
    let mut options: BTreeMap<String, String> = known.map(|key| (key.clone(), String::new())).collect();
    for line in fields.raw("engine_options").unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty())
    {
        let wrong = || Error::invalid("engine options", line, "`option=value` is expected, one a line");
        let (key, value) =
            line.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty()).ok_or_else(wrong)?;
        options.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    Ok(options)
}

/// The form says everything, so nothing of what was set before is left but what it keeps.
fn applied(edit: &BackupEdit) -> PolicyOverrides {
    let mut policy = edit.policy.clone();
    policy.engine_options.retain(|_, value| !value.is_empty());
    policy
}

fn form(ask: &Ask, path: &str, set: &PolicyOverrides, weaker: &Policy, has_container: bool) -> Markup {
    let inherited = |value: &str| format!("as without it: {value}");
    let (stop, engine) = (inherited(weaker.stop.as_str()), inherited(weaker.engine.as_str()));
    let mut stops = vec![("", stop.as_str())];
    stops.extend(StopMode::WORDS.map(|word| (word, word)));
    let mut engines = vec![("", engine.as_str())];
    engines.extend(EngineKind::WORDS.map(|word| (word, word)));
    let text = |value: Option<String>| value.unwrap_or_default();
    let options: String = set.engine_options.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    let schedule = weaker.schedule.as_ref().map_or_else(|| "never".to_owned(), ToString::to_string);
    let keep = if weaker.keep.is_empty() { "everything stays".to_owned() } else { weaker.keep.to_string() };
    let exclude = if weaker.exclude.is_empty() { "nothing".to_owned() } else { weaker.exclude.join(", ") };
    html! {
        form method="post" action={ (path) "/policy" } {
            (bits::csrf(ask))
            @if !has_container { p.hint { "Its container cannot be asked from here, so labels it may have are not shown." } }
            (bits::field("schedule", "Schedule", &text(set.schedule.clone().map(String::from)), &format!("Such as 30 2 * * *, @daily, TZ=Europe/Berlin 0 3 * * 1-5, or off. Empty: {schedule}.")))
            (bits::field("keep", "What stays", &text(set.keep.as_ref().map(ToString::to_string)), &format!("Such as last=3,daily=7,weekly=4,within=30d. Empty: {keep}.")))
            (bits::choice("stop", "How containers are quieted", &stops, &text(set.stop.map(|stop| stop.to_string())), false))
            (bits::choice("engine", "Engine", &engines, &text(set.engine.map(|engine| engine.to_string())), false))
            (bits::area("engine_options", "Options of the engine", &options, "One option=value a line. For duplicity: volsize=200, full-if-older-than=1M."))
            (bits::area("exclude", "Left out", &set.exclude.clone().unwrap_or_default().join("\n"), &format!("One pattern a line, as in .gitignore. Empty: {exclude}.")))
            (bits::field("suspect_below", "Suspect below", &text(set.suspect_below.map(String::from)), &format!("The share of the point before, in percent, or off. Empty: {}.", weaker.suspect_below)))
            (bits::field("healthy_timeout", "Healthy within", &text(set.healthy_timeout.map(|patience| patience.to_string())), &format!("How long containers may take after a start. Empty: {}.", weaker.healthy_timeout)))
            button.main { "Save" }
            " " button formmethod="get" name="try" value="1" { "Try out" }
            " " a.button href=(path) { "Leave it" }
        }
    }
}

fn counts(ask: &Ask, backup: &Backup, policy: &Policy) -> Markup {
    let next = next_runs(ask, policy, 5);
    html! {
        section.sheet {
            h2 { "What counts" }
            dl.facts {
                dt { "Schedule" } dd { @match &policy.schedule { Some(schedule) => { code { (schedule) } }, None => { "never" } } }
                dt { "What stays" } dd { @if policy.keep.is_empty() { "everything" } @else { code { (policy.keep) } } }
                dt { "Quieted by" } dd { (policy.stop) }
                dt { "Engine" } dd { (policy.engine) @for (key, value) in &policy.engine_options { div.mono.small { (key) "=" (value) } } }
                dt { "Left out" } dd { @if policy.exclude.is_empty() { "nothing" } @for pattern in &policy.exclude { div.mono { (pattern) } } }
                dt { "Suspect below" } dd { (policy.suspect_below) }
                dt { "Healthy within" } dd { (policy.healthy_timeout) }
                @if backup.hooks.is_some() { dt { "Hooks and dumps" } dd { "set with " code { "dory edit" } } }
            }
        }
        section.sheet {
            h2 { "Next five runs" }
            @if next.is_empty() { p.quiet { "None: nothing schedules it." } }
            @else if backup.marked == Some(false) { p.quiet { "None: it is taken out of schedules. Mark it again on the page Edit." } }
            @else { ol { @for at in next { li { (bits::exact(ask, at)) " " span.quiet { "(" (bits::moment(ask, at)) ")" } } } } }
        }
    }
}
