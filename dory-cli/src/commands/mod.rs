//! One file a word: what was typed becomes calls to [`Dory`], and what they give becomes words.

mod adopt;
pub(crate) mod agent;
mod backup;
mod cat;
mod completions;
mod containers;
mod delete;
mod doctor;
mod edit;
mod fleet_settings;
pub(crate) mod guard;
mod init;
mod key;
mod list;
mod load_dump;
mod logs;
mod ls;
mod mark;
mod point;
mod policy;
mod prune;
mod remote;
mod report;
mod restore;
mod runs;
mod schedule;
mod serve;
mod servers;
mod show;
mod verify;

use dory_core::Result;
use dory_core::bootstrap;
use dory_core::services::Dory;

use crate::args::{Arguments, Command, GlobalArgs};
use crate::exit::Exit;
use crate::settings;
use crate::ui::Ui;

/// Does what was asked.
pub(crate) async fn run(ui: &Ui, arguments: Arguments) -> Result<Exit> {
    let global = &arguments.global;
    if let Some(exit) = on_another_server(ui, global, &arguments.command).await? {
        return Ok(exit);
    }
    match arguments.command {
        Command::Init(args) => init::run(ui, global, &args).await,
        Command::Containers(args) => containers::run(ui, &settled(ui, connect(global).await?).await, &args).await,
        Command::Backup(args) if args.dry_run => backup::run(ui, &connect(global).await?, &args).await,
        Command::Backup(args) => {
            let dory = bootstrap::connect_for_backup(settings::load(global)?).await?;
            backup::run(ui, &settled(ui, dory).await, &args).await
        }
        Command::List(args) => list::run(ui, &connect(global).await?, &args).await,
        Command::Show(args) => show::run(ui, &connect(global).await?, &args).await,
        Command::Restore(args) if args.dry_run => restore::run(ui, &connect(global).await?, &args).await,
        Command::Restore(args) => restore::run(ui, &settled(ui, connect(global).await?).await, &args).await,
        Command::Ls(args) => ls::run(ui, &connect(global).await?, &args).await,
        Command::Cat(args) => cat::run(&connect(global).await?, &args).await,
        Command::Edit(args) => edit::run(ui, &connect(global).await?, &args).await,
        Command::Delete(args) if args.dry_run => delete::run(ui, &connect(global).await?, &args).await,
        Command::Delete(args) => delete::run(ui, &settled(ui, connect(global).await?).await, &args).await,
        Command::Prune(args) if args.dry_run => prune::run(ui, &connect(global).await?, &args).await,
        Command::Prune(args) => prune::run(ui, &settled(ui, connect(global).await?).await, &args).await,
        Command::Verify(args) => verify::run(ui, &connect(global).await?, &args).await,
        Command::Schedule(args) => schedule::run(ui, &connect(global).await?, &args).await,
        Command::Policy(args) => policy::run(ui, &connect(global).await?, &args).await,
        Command::Adopt(args) => adopt::run(ui, &connect(global).await?, &args).await,
        Command::Mark(args) => mark::run(ui, &connect(global).await?, &args, true).await,
        Command::Unmark(args) => mark::run(ui, &connect(global).await?, &args, false).await,
        Command::Serve(args) => {
            let web = settings::web(global, args.web.web.as_deref())?;
            serve::run(ui, bootstrap::connect_for_backup(settings::load(global)?).await?, &args, web).await
        }
        Command::Runs(args) => runs::run(ui, &connect(global).await?, &args).await,
        Command::Logs(args) => logs::run(ui, &connect(global).await?, &args).await,
        Command::Commands => remote::list(ui, &connect(global).await?).await,
        Command::Withdraw(args) => remote::withdraw(ui, &connect(global).await?, &args).await,
        Command::Cancel(args) => remote::cancel(ui, &connect(global).await?, &args).await,
        Command::Servers => servers::run(ui, &connect(global).await?).await,
        Command::Report(args) => report::run(ui, &connect(global).await?, &args).await,
        Command::Settings(args) => fleet_settings::run(ui, &connect(global).await?, args).await,
        Command::Doctor => {
            if let Ok(dory) = connect(global).await {
                settled(ui, dory).await;
            }
            doctor::run(ui, global).await
        }
        Command::Key(args) => key::run(ui, &connect(global).await?, &args).await,
        Command::Completions(args) => completions::run(&args),
        Command::Agent | Command::Guard(_) => unreachable!("what runs in helpers starts before anything else"),
    }
}

/// Does what was asked of another server.
async fn on_another_server(ui: &Ui, global: &GlobalArgs, command: &Command) -> Result<Option<Exit>> {
    let on = match command {
        Command::Backup(args) => &args.on,
        Command::Restore(args) => &args.on,
        Command::Prune(args) => &args.on,
        Command::Delete(args) => &args.on,
        Command::Verify(args) => &args.on,
        Command::Mark(args) | Command::Unmark(args) => &args.on,
        _ => return Ok(None),
    };
    let Some(server) = &on.on else { return Ok(None) };
    let dory = &connect(global).await?;
    let exit = match command {
        Command::Backup(args) => remote::backup(ui, dory, args, server).await?,
        Command::Restore(args) => remote::restore(ui, dory, args, server).await?,
        Command::Prune(args) => remote::prune(ui, dory, args, server).await?,
        Command::Delete(args) => remote::delete(ui, dory, args, server).await?,
        Command::Verify(args) => remote::verify(ui, dory, args, server).await?,
        Command::Mark(args) => remote::mark(ui, dory, args, server, true).await?,
        Command::Unmark(args) => remote::mark(ui, dory, args, server, false).await?,
        _ => return Ok(None),
    };
    Ok(Some(exit))
}

async fn connect(global: &GlobalArgs) -> Result<Dory> {
    bootstrap::connect(settings::load(global)?).await
}

/// Clears up after runs that were broken off, and tells of them. What stands in the way of that is told too, and does not
/// keep the command from its own work.
async fn settled(ui: &Ui, dory: Dory) -> Dory {
    match dory.settle().await {
        Ok(all) => all.iter().for_each(|settled| ui.tell_settled(settled)),
        // The command needs the engine too, and says it better.
        Err(error) if dory.runtime().is_err() => drop(error),
        Err(error) => ui.warn(&format!("a run that was broken off is not settled yet: {error}")),
    }
    dory
}
