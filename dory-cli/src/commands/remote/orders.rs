//! What was typed, as orders to another server. What it cannot be asked for is refused by name.

use dory_core::domain::command::{BackupHow, Order};
use dory_core::domain::id::{BackupId, PointId};
use dory_core::domain::policy::PolicyOverrides;
use dory_core::services::{DeletePlan, Dory, Guarding, MountMap};
use dory_core::{Error, Result};

use super::send;
use crate::args::{BackupArgs, DeleteArgs, GuardingArgs, MarkArgs, PruneArgs, RestoreArgs, VerifyArgs};
use crate::commands::point;
use crate::exit::Exit;
use crate::render::{plans, prune as prune_plans};
use crate::settings;
use crate::ui::Ui;

/// `dory backup --on`
pub(in crate::commands) async fn backup(ui: &Ui, dory: &Dory, args: &BackupArgs, server: &str) -> Result<Exit> {
    refuse("--all", args.all, "name the containers")?;
    refuse("--dry-run", args.dry_run, "run it on the server itself")?;
    refuse_guarding(&args.guarding)?;
    if args.containers.is_empty() {
        return Err(Error::invalid("backup", "", "no container is named")
            .with_hint(format!("name containers of {server}; `dory runs --of {server}` shows what it backs up")));
    }
    let how = BackupHow {
        policy: PolicyOverrides {
            stop: args.stop.map(Into::into),
            engine: args.engine.map(Into::into),
            engine_options: settings::pairs("--engine-option", &args.engine_options)?,
            exclude: (!args.exclude.is_empty()).then(|| args.exclude.clone()),
            healthy_timeout: args.limits.healthy_timeout,
            suspect_below: args.limits.suspect_below,
            ..PolicyOverrides::default()
        },
        no_hooks: args.no_hooks,
        no_dump: args.no_dump,
        new: args.new,
        continue_backup: args.continue_backup.as_ref().map(BackupId::parse).transpose()?,
    };
    let order = |container: &String| Order::Backup {
        container: container.clone(),
        name: args.name.clone(),
        description: args.description.clone(),
        how: Box::new(how.clone()),
    };
    send(ui, dory, &args.on, server, args.containers.iter().map(order).collect()).await
}

/// `dory restore --on`, with and without `--dump`
pub(in crate::commands) async fn restore(ui: &Ui, dory: &Dory, args: &RestoreArgs, server: &str) -> Result<Exit> {
    refuse("--dry-run", args.dry_run, "run it on the server itself")?;
    refuse_guarding(&args.guarding)?;
    for map in &args.maps {
        map.parse::<MountMap>()?;
    }
    dory.open_fleet().await?;
    let backup = dory.find_backup(&args.backup).await?;
    let point = backup.find_whole_point(&point::choice(&args.point.at, dory.now())?)?;
    let (backup, point, into, safety) = (backup.id.clone(), point.id, args.into.clone(), !args.no_safety);
    let (order, warning) = match &args.dump {
        Some(name) => {
            let name = name.as_deref().map(str::parse).transpose()?;
            (Order::LoadDump { backup, point, name, into, safety }, "over what the container holds now")
        }
        None => {
            let (maps, delete_extra) = (args.maps.clone(), args.delete_extra);
            (Order::Restore { backup, point, into, maps, safety, delete_extra }, "over what is there now")
        }
    };
    if !args.yes {
        let warning = format!("This has {server} {}, {warning}.", order.words());
        ui.confirm(&warning, "yes", "nothing was touched")?;
    }
    send(ui, dory, &args.on, server, vec![order]).await
}

/// `dory verify --on`
pub(in crate::commands) async fn verify(ui: &Ui, dory: &Dory, args: &VerifyArgs, server: &str) -> Result<Exit> {
    refuse("--at", args.at.is_some(), "leave it out to check the whole backup, or run it on the server itself")?;
    refuse("--dry-run", args.dry_run, "without `--on` it shows what would be read")?;
    dory.open_fleet().await?;
    let backup = dory.find_backup(&args.backup).await?.id.clone();
    send(ui, dory, &args.on, server, vec![Order::Verify { backup, read_data: args.read_data }]).await
}

/// `dory prune --on`
pub(in crate::commands) async fn prune(ui: &Ui, dory: &Dory, args: &PruneArgs, server: &str) -> Result<Exit> {
    refuse("--dry-run", args.dry_run, "without `--on` it shows what would go")?;
    let Some(backup) = &args.backup else {
        return Err(not_with("all backups", "name one"));
    };
    let plans = dory.plan_prune(Some(backup), args.keep.as_ref()).await?;
    ui.say(prune_plans::plans(&plans).trim_end());
    if !args.yes {
        let question = format!("What goes is gone for good; {server} decides by the same rules when it begins.");
        ui.confirm(&question, "yes", "nothing was deleted")?;
    }
    let order =
        |plan: &dory_core::services::PrunePlan| Order::Prune { backup: plan.backup().clone(), keep: args.keep.clone() };
    send(ui, dory, &args.on, server, plans.iter().map(order).collect()).await
}

/// `dory delete --on`
pub(in crate::commands) async fn delete(ui: &Ui, dory: &Dory, args: &DeleteArgs, server: &str) -> Result<Exit> {
    refuse("--dry-run", args.dry_run, "without `--on` it shows what would go")?;
    let choice = args.at.as_ref().map(|at| point::choice(at, dory.now())).transpose()?;
    // The catalog is the same from everywhere; what is shown is what may go.
    let plan = dory.plan_delete(&args.backup, choice.as_ref()).await?;
    ui.say(plans::delete_plan(&plan).trim_end());
    if !args.yes {
        let name = dory.find_backup(plan.backup.as_str()).await?.name.clone();
        let expected = if plan.whole { name } else { "yes".to_owned() };
        let warning = plan.frozen.as_ref().map(|frozen| format!("{} ", plans::frozen(frozen))).unwrap_or_default();
        ui.confirm(&format!("{warning}This cannot be undone."), &expected, "nothing was deleted")?;
    }
    send(ui, dory, &args.on, server, vec![deletion(plan)?]).await
}

/// The order to delete just what `plan` shows.
fn deletion(plan: DeletePlan) -> Result<Order> {
    let expected: Vec<PointId> = plan.points.iter().map(|doomed| doomed.id).collect();
    if plan.whole {
        return Ok(Order::DeleteBackup { backup: plan.backup, expected });
    }
    let chosen = plan.points.iter().find(|doomed| !doomed.tied);
    let point = chosen.ok_or_else(|| Error::invalid("--at", "", "no point goes"))?.id;
    Ok(Order::DeletePoint { backup: plan.backup, point, expected })
}

/// `dory mark --on` and `dory unmark --on`
pub(in crate::commands) async fn mark(
    ui: &Ui,
    dory: &Dory,
    args: &MarkArgs,
    server: &str,
    marked: bool,
) -> Result<Exit> {
    let order = |container: &String| Order::Mark { container: container.clone(), marked };
    send(ui, dory, &args.on, server, args.containers.iter().map(order).collect()).await
}

fn refuse(flag: &str, given: bool, instead: &str) -> Result<()> {
    if given { Err(not_with(flag, instead)) } else { Ok(()) }
}

/// Who guards a server's runs is that server's own choice.
fn refuse_guarding(args: &GuardingArgs) -> Result<()> {
    let instead = "the server's own `dory serve` decides that";
    refuse("--no-guardian", args.no_guardian, instead)?;
    refuse("--stop-limit", Guarding::from(args) != Guarding::default(), instead)
}

fn not_with(what: &str, instead: &str) -> Error {
    Error::invalid("--on", what, "another server cannot be asked for that").with_hint(instead)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    #[test]
    fn a_stop_limit_that_nobody_wrote_is_none_and_one_that_somebody_wrote_is_refused() {
        let guarding = |flags: &[&str]| {
            let words = [&["dory", "backup", "db", "--on", "alpha"], flags].concat();
            match Arguments::try_parse_from(words).unwrap().command {
                Command::Backup(args) => refuse_guarding(&args.guarding),
                other => panic!("{other:?}"),
            }
        };
        guarding(&[]).unwrap();
        for (flags, named) in [(&["--stop-limit", "90s"][..], "--stop-limit"), (&["--no-guardian"], "--no-guardian")] {
            let error = guarding(flags).unwrap_err();
            assert_eq!(error.subject(), named, "{error}");
        }
    }
}
