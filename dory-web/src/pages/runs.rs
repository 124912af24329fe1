//! What is under way and what was: here and, by command, on other servers.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bytes::Bytes;
use dory_core::domain::command::{CommandOutcome, CommandState};
use dory_core::domain::id::CommandId;
use dory_core::domain::user::Role;
use dory_core::services::CommandStatus;
use dory_core::{ErrorKind, ErrorRecord};
use futures_util::stream::unfold;
use maud::{Markup, html};
use serde_json::json;

use super::restore::undo_path;
use super::sign_in::button;
use crate::actions;
use crate::ask::Ask;
use crate::error::Reply;
use crate::gate::see_other;
use crate::jobs::{Job, JobState};
use crate::text;
use crate::views::{Page, bits, head, nothing};

/// How many are listed.
const SIZE: usize = 50;

/// How often a browser is told how far a run is, at most.
const PACE: Duration = Duration::from_millis(300);

/// How often the store is asked how far another server is.
const ASK_STORE: Duration = Duration::from_secs(5);

/// How often one connection tells; the browser connects again by itself.
const LONGEST: u32 = 6_000;

/// Where a run is shown.
pub(crate) fn path(run: CommandId) -> String {
    format!("/runs/{run}")
}

pub(crate) async fn list(ask: Ask) -> Reply {
    let jobs = ask.app.jobs.all();
    let commands = match ask.dory().commands().await {
        Ok(commands) => commands,
        // A fleet without a passphrase has none.
        Err(error) if error.kind() == ErrorKind::Unsupported => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let content = html! {
        (head(&[], &html! { "Runs" }, &nothing()))
        section.sheet.flush {
            h2 { "Begun on these pages" }
            @if jobs.is_empty() { (bits::empty("Nothing was begun here", &html! { "Backups and restores that somebody begins here are shown while they go, and for a while after." })) }
            @else {
                div.wide tabindex="0" role="region" aria-label="Runs" { table {
                    thead { tr { th { "Begun" } th { "What" } th { "By" } th { "State" } } }
                    tbody { @for job in jobs.iter().take(SIZE) {
                        tr {
                            td { a href=(path(job.id)) { (bits::moment(&ask, job.started_at)) } }
                            td { (job.what) }
                            td { (job.by) }
                            td { (job_state(job)) }
                        }
                    } }
                } }
            }
        }
        section.sheet.flush {
            h2 { "Commands to servers" }
            @if commands.is_empty() { (bits::empty("No command was sent", &html! { "What is begun here for another server is sent to it as a command, and so is " code { "dory backup --on" } "." })) }
            @else {
                div.wide tabindex="0" role="region" aria-label="Commands" { table {
                    thead { tr { th { "Sent" } th { "Server" } th { "What" } th { "By" } th { "State" } } }
                    tbody { @for status in commands.iter().take(SIZE) {
                        tr {
                            td { a href=(path(status.command.id)) { (bits::moment(&ask, status.command.issued_at)) } }
                            td { (status.command.server) }
                            td { (status.command.order.words()) }
                            td { (status.command.by) }
                            td { (command_state(status)) }
                        }
                    } }
                } }
            }
        }
    };
    Ok(Page::new("Runs", "/runs").show(&ask, &content))
}

pub(crate) async fn show(ask: Ask) -> Reply {
    let id = ask.run_id()?;
    match ask.app.jobs.find(id) {
        Some(job) => Ok(show_job(&ask, &job)),
        None => {
            let status = ask.dory().command(id).await?;
            Ok(show_command(&ask, &status))
        }
    }
}

pub(crate) async fn cancel(ask: Ask) -> Reply {
    see_other(&path(actions::cancel(&ask, ask.run_id()?).await?))
}

/// How far a run is, as server-sent events, until it is over.
pub(crate) async fn events(ask: Ask) -> Reply {
    let id = ask.run_id()?;
    let job = ask.app.jobs.find(id);
    if job.is_none() {
        ask.dory().command(id).await?;
    }
    let ending = ask.app.ending.clone();
    let stream = unfold((Some((ask, job)), 0_u32), move |(state, turn)| {
        let ending = ending.clone();
        async move {
            let (ask, job) = state?;
            let next = async { Ok::<_, dory_core::Error>(tell(&ask, job.as_deref(), id, turn).await) };
            let (text, is_over) = ending.or(next).await.unwrap_or_else(|_| (": ending\n\n".to_owned(), true));
            let state = (!is_over && turn < LONGEST).then_some((ask, job));
            Some((Ok::<_, std::io::Error>(Bytes::from(text)), (state, turn + 1)))
        }
    });
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response())
}

/// The next thing to tell, and whether it is the last.
async fn tell(ask: &Ask, job: Option<&Job>, id: CommandId, turn: u32) -> (String, bool) {
    let Some(job) = job else {
        if turn > 0 {
            tokio::time::sleep(ASK_STORE).await;
        }
        let Ok(status) = ask.dory().command(id).await else { return (": out of reach\n\n".to_owned(), false) };
        let is_over = !matches!(status.state, CommandState::Waiting | CommandState::Running { .. });
        let words = match status.state {
            CommandState::Running { progress, .. } => progress.unwrap_or_default(),
            _ => String::new(),
        };
        let phase = if words.is_empty() { "waiting" } else { "under way" };
        return (event(&json!({ "over": is_over, "phase": phase, "words": words, "share": null, "log": [] })), is_over);
    };
    let mut state = job.state.subscribe();
    if turn > 0 {
        // Told at once when it is over, else now and then: a long silence would look like a dead connection.
        let _ = tokio::time::timeout(PACE, state.wait_for(|state| state.over.is_some())).await;
    }
    let state = state.borrow().clone();
    let log: Vec<String> = state.log.iter().rev().take(100).rev().map(|(at, line)| log_line(ask, *at, line)).collect();
    let (words, share) = progress(&state);
    let is_over = state.over.is_some();
    let value = json!({ "over": is_over, "phase": state.phase.unwrap_or("beginning"), "words": words, "share": share, "log": log });
    (event(&value), is_over)
}

fn event(value: &serde_json::Value) -> String {
    format!("data: {value}\n\n")
}

fn log_line(ask: &Ask, at: jiff::Timestamp, line: &str) -> String {
    let clock = at.to_zoned(ask.dory().zone().clone()).strftime("%H:%M:%S").to_string();
    format!("{clock} {line}")
}

/// How far a part of a run is: in words, and as a share of a thousand where that is known.
pub(crate) fn progress(state: &JobState) -> (String, Option<u64>) {
    let Some(progress) = state.progress else { return (String::new(), None) };
    let share = progress
        .bytes_total
        .filter(|total| *total > 0)
        .map(|total| (progress.bytes.saturating_mul(1000) / total).min(1000));
    let of = progress.bytes_total.map(|total| format!(" of {}", text::bytes(total))).unwrap_or_default();
    (format!("{}{of}, {} files", text::bytes(progress.bytes), progress.files), share)
}

fn show_job(ask: &Ask, job: &Job) -> axum::response::Response {
    let state = job.state.borrow().clone();
    let (words, share) = progress(&state);
    let content = html! {
        (head(&[("/runs", "Runs")], &html! { (job.what) }, &html! {
            @if state.over.is_none() && ask.who.may(Role::Operator) { (button(ask, &format!("{}/cancel", path(job.id)), "danger", "Cancel")) }
        }))
        @match &state.over {
            None => {
                div.sheet data-events={ (path(job.id)) "/events" } {
                    p { (bits::tag("", "under way")) " " strong data-live="phase" { (state.phase.unwrap_or("beginning")) } " " span data-live="words" aria-live="polite" { (words) } }
                    progress max="1000" value=[share] aria-label="How far it is" {}
                    p.hint { "Begun " (bits::moment(ask, job.started_at)) " by " (job.by) ". It goes on when this page is closed." @if job.cancel.is_cancelled() { " It was told to end, and does so in order: containers first." } }
                    pre data-live="log" tabindex="0" aria-label="Log" { (log(ask, &state)) }
                }
            },
            Some(end) => {
                @match &end.error {
                    None => { div.note.good role="status" { p { (end.done.words) "." } } },
                    Some(error) => { (failure(error)) @if !end.done.words.is_empty() { p { "All the same it " (end.done.words) "." } } },
                }
                div.row {
                    @if let (Some(backup), Some(point)) = (&end.done.backup, &end.done.point) { a.button.main href={ "/backups/" (backup) "/points/" (point) } { "The restore point" } }
                    @if let Some(backup) = &job.backup { a.button href={ "/backups/" (backup) } { "The backup" } }
                    @if let Some(undo) = end.done.undo.as_ref().and_then(undo_path) { @if ask.who.may(Role::Operator) { a.button href=(undo) { "Undo this restore" } } }
                }
                br;
                div.sheet {
                    p.hint { "Begun " (bits::moment(ask, job.started_at)) " by " (job.by) ", took " (text::duration(end.at.duration_since(job.started_at))) "." }
                    pre tabindex="0" aria-label="Log" { (log(ask, &state)) }
                }
            },
        }
    };
    Page { refresh: state.over.is_none().then_some(3), ..Page::new(&job.what, "/runs") }.show(ask, &content)
}

fn show_command(ask: &Ask, status: &CommandStatus) -> axum::response::Response {
    let command = &status.command;
    let is_open = matches!(status.state, CommandState::Waiting | CommandState::Running { .. });
    let title = format!("{} on {}", command.order.words(), command.server);
    let content = html! {
        (head(&[("/runs", "Runs")], &html! { (title) }, &html! {
            @if is_open && ask.who.may(Role::Operator) {
                (button(ask, &format!("{}/cancel", path(command.id)), "danger", if status.state == CommandState::Waiting { "Take it back" } else { "Cancel" }))
            }
        }))
        @match &status.state {
            CommandState::Over(outcome) => { (outcome_of(outcome)) },
            CommandState::Expired => { div.note.bad { p { "Its server did not look in time. Nothing was done." } } },
            CommandState::Withdrawn { by } => { div.note { p { (by) " took it back before it was begun." } } },
            _ => {},
        }
        div.sheet data-events=[is_open.then(|| format!("{}/events", path(command.id)))] {
            @if is_open {
                @let progress = match &status.state { CommandState::Running { progress, .. } => progress.as_deref().unwrap_or_default(), _ => "" };
                p { (command_state(status)) " " span data-live="words" aria-live="polite" { (progress) } }
            }
            dl.facts {
                dt { "Sent" } dd { (bits::moment(ask, command.issued_at)) " by " (command.by) }
                @if let CommandState::Running { since, .. } = &status.state { dt { "Begun" } dd { (bits::moment(ask, *since)) } }
                @if let CommandState::Over(outcome) = &status.state { dt { "Ended" } dd { (bits::moment(ask, outcome.at)) } }
                @if status.state == CommandState::Waiting { dt { "Until" } dd { (bits::moment(ask, command.expires_at)) } }
                dt { "Id" } dd.mono { (command.id) }
            }
        }
    };
    Page { refresh: is_open.then_some(5), ..Page::new(&title, "/runs") }.show(ask, &content)
}

fn outcome_of(outcome: &CommandOutcome) -> Markup {
    html! {
        @match &outcome.error {
            None => { div.note.good role="status" { p { (outcome.words) "." } } },
            Some(error) => { (failure(error)) },
        }
    }
}

fn failure(error: &ErrorRecord) -> Markup {
    let error: dory_core::Error = error.clone().into();
    html! {
        div.note.bad role="alert" {
            p { (error) }
            @for cause in error.causes() { p.small { "caused by: " (cause) } }
            @if let Some(hint) = error.hint() { p { strong { "What to do: " } (hint) } }
        }
    }
}

fn log(ask: &Ask, state: &JobState) -> String {
    state.log.iter().map(|(at, line)| log_line(ask, *at, line)).collect::<Vec<_>>().join("\n")
}

fn job_state(job: &Job) -> Markup {
    let state = job.state.borrow();
    match &state.over {
        None => bits::tag("", state.phase.unwrap_or("beginning")),
        Some(end) if end.error.is_none() => bits::tag("good", "done"),
        Some(end) if end.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Cancelled) => {
            bits::tag("", "cancelled")
        }
        Some(_) => bits::tag("bad", "failed"),
    }
}

fn command_state(status: &CommandStatus) -> Markup {
    match &status.state {
        CommandState::Waiting => bits::tag("", "waiting"),
        CommandState::Expired => bits::tag("bad", "expired"),
        CommandState::Withdrawn { .. } => bits::tag("", "taken back"),
        CommandState::Running { .. } => bits::tag("", "under way"),
        CommandState::Over(outcome) if outcome.error.is_none() => bits::tag("good", "done"),
        CommandState::Over(_) => bits::tag("bad", "failed"),
    }
}
