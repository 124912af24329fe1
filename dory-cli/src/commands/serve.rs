//! `dory serve`

use dory_core::domain::server::ServerRecord;
use dory_core::fleet::{MailboxNews, ReporterNews, SchedulerLimits, SchedulerNews, Server, ServerNews, ServerOptions};
use dory_core::services::{Dory, Guarding, RunEvents};
use dory_core::{ErrorKind, Result};
use dory_web::{Web, WebNews, WebOptions};
use tokio::net::TcpListener;

use crate::args::ServeArgs;
use crate::exit::Exit;
use crate::interrupt;
use crate::render::{backups, plans, units};
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: Dory, args: &ServeArgs, web: WebOptions) -> Result<Exit> {
    let limits = SchedulerLimits { parallel: args.parallel, containers_down: args.max_down };
    let cancel = interrupt::on_signals(ui);
    dory.open_or_found_fleet(&RunEvents::ignored()).await?;
    let guarding = Guarding::from(&args.guarding);
    let pages = pages(ui, &dory, args, WebOptions { guarding, ..web }).await?;
    let (name, place) = (dory.server().to_string(), dory.catalog().location());
    let told = ui.clone();
    let server = Server::new(dory, ServerOptions { limits, guarding }, move |news| {
        tell(&told, &name, &place, news);
    });
    // Whichever ends takes the other with it.
    let serving = async {
        let ended = server.run(&cancel).await;
        cancel.cancel();
        ended
    };
    let showing = async {
        let Some((web, listener)) = pages else { return Ok(()) };
        let ended = web.serve(listener, &cancel, |news| tell_web(ui, &news)).await;
        cancel.cancel();
        ended
    };
    match tokio::join!(serving, showing) {
        // It was asked to end, and did.
        (Err(error), shown) if error.kind() == ErrorKind::Cancelled => shown.map(|()| Exit::Success),
        (served, shown) => served.and(shown).map(|()| Exit::Success),
    }
}

/// The web pages, with a place to listen; `None` where they are not wanted, or where nobody chose a place and the usual
/// one is taken.
async fn pages(ui: &Ui, dory: &Dory, args: &ServeArgs, options: WebOptions) -> Result<Option<(Web, TcpListener)>> {
    if args.web.no_web {
        return Ok(None);
    }
    let is_contained = match dory.runtime() {
        Ok(runtime) => runtime.info().await.is_ok_and(|info| info.own_container.is_some()),
        Err(_) => false,
    };
    let options = if is_contained { options.in_a_container() } else { options };
    let (is_chosen, url) = (!options.listen_by_default, options.url());
    let web = Web::new(dory.clone(), options)?;
    let listener = match web.bind().await {
        Err(error) if !is_chosen && !args.web.admin_link => {
            ui.warn(&format!("no web pages: {error}"));
            return Ok(None);
        }
        listener => listener?,
    };
    if args.web.admin_link {
        ui.say(&format!("whoever opens this becomes an admin, once: {url}{}", web.link_for_another_admin()?));
    }
    Ok(Some((web, listener)))
}

fn tell_web(ui: &Ui, news: &WebNews) {
    match news {
        WebNews::Listening(url) => ui.say(&format!("web pages: {url}")),
        WebNews::FirstLink(url) => ui.say(&format!("nobody is an admin yet; whoever opens this becomes one: {url}")),
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
