//! `dory serve`

use dory_core::domain::server::ServerRecord;
use dory_core::fleet::{MailboxNews, ReporterNews, SchedulerLimits, SchedulerNews, Server, ServerNews, ServerOptions};
use dory_core::services::{Dory, Guarding};
use dory_core::{ErrorKind, Result};

use crate::args::ServeArgs;
use crate::exit::Exit;
use crate::interrupt;
use crate::render::{backups, plans, units};
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: Dory, args: &ServeArgs) -> Result<Exit> {
    let limits = SchedulerLimits { parallel: args.parallel, containers_down: args.max_down };
    let cancel = interrupt::on_signals(ui);
    let (name, place) = (dory.server().to_string(), dory.catalog().location());
    let told = ui.clone();
    let server = Server::new(dory, ServerOptions { limits, guarding: Guarding::from(&args.guarding) }, move |news| {
        tell(&told, &name, &place, news);
    });
    match server.run(&cancel).await {
        // It was asked to end, and did.
        Err(error) if error.kind() == ErrorKind::Cancelled => Ok(Exit::Success),
        ended => ended.map(|()| Exit::Success),
    }
}

fn tell(ui: &Ui, name: &str, place: &str, news: ServerNews) {
    match news {
        ServerNews::Waiting(record) => ui.warn(&waiting(&record)),
        ServerNews::Serving => ui.say(&format!("serving as {name} on {place}")),
        ServerNews::Settled(settled) => ui.tell_settled(&settled),
        ServerNews::Ending => ui.say("ending: runs end in order, containers first"),
        ServerNews::Scheduler(news) => tell_scheduler(ui, news),
        ServerNews::Mailbox(news) => tell_mailbox(ui, news),
        ServerNews::Reporter(news) => tell_reporter(ui, news),
    }
}

fn waiting(record: &ServerRecord) -> String {
    format!(
        "a Dory on {} holds the name {} since {}: waiting for up to {} s to see whether it lives",
        record.ping.host,
        record.name,
        units::moment(record.lease.taken_at),
        record.lease.term_seconds
    )
}

fn tell_mailbox(ui: &Ui, news: MailboxNews) {
    match news {
        MailboxNews::Began(command) => {
            ui.say(&format!("{} asks to {}: command {}", command.by, command.order.words(), command.id));
        }
        MailboxNews::Over(id, outcome) => match outcome.error {
            Some(error) => {
                let _ = ui.fail(&error.into());
            }
            None => {
                ui.say(&format!("command {id}: {}", outcome.words));
                outcome.shortfalls.iter().for_each(|shortfall| ui.warn(&shortfall.words()));
            }
        },
        MailboxNews::Refused(_, error) | MailboxNews::Blind(error) => {
            let _ = ui.fail(&error);
        }
    }
}

fn tell_reporter(ui: &Ui, news: ReporterNews) {
    match news {
        ReporterNews::Tells => ui.say("this server sends the fleet's reports"),
        ReporterNews::Sent { target, subject } => ui.say(&format!("{target}: {subject}")),
        ReporterNews::Failed { target, error, given_up } => {
            let _ = ui.fail(&error);
            ui.warn(&match given_up {
                true => format!("{target} is not told of it any more"),
                false => format!("{target} is told later"),
            });
        }
        ReporterNews::Blind(error) => {
            let _ = ui.fail(&error);
        }
    }
}

fn tell_scheduler(ui: &Ui, news: SchedulerNews) {
    match news {
        SchedulerNews::Began { container } => ui.say(&format!("backing up {container}")),
        SchedulerNews::Ended { result: Ok(report), .. } => {
            ui.say(plans::backup_report(&report).trim_end());
            if report.point.is_suspect() {
                ui.warn(&backups::alarm(&report.point, report.backup.as_str()));
            }
            for error in report.containers_down.iter().chain(&report.hook_failed) {
                let _ = ui.fail(error);
            }
            if let Some(reason) = &report.guardian_lost {
                ui.warn(&format!("nobody guarded the run to its end, so its data counts as read live: {reason}"));
            }
        }
        SchedulerNews::Pruned { container, result: Ok(report) } => {
            let count = units::count(report.plan.points.len(), "point");
            ui.say(&format!("{container}: {count} that the rules do not keep deleted"));
        }
        SchedulerNews::Ended { result: Err(error), .. }
        | SchedulerNews::Pruned { result: Err(error), .. }
        | SchedulerNews::Unclear { error, .. }
        | SchedulerNews::Blind { error } => {
            let _ = ui.fail(&error);
        }
    }
}
