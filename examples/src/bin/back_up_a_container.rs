//! A backup from a program of your own: `DORY_STORE=file:///srv/dory … cargo run --bin back_up_a_container -- <container>`.
#![allow(clippy::print_stdout, clippy::exit, reason = "an example shows what it did, and a guardian tells by its code")]

use std::env;

use dory_core::config::Settings;
use dory_core::domain::id::RunId;
use dory_core::services::{BackupRequest, Cancel, RunEvent, RunEvents};
use dory_core::{Error, Result, agent, bootstrap};

#[tokio::main]
async fn main() -> Result<()> {
    // Helpers run this very program, next to the data, and talk to it over its standard input and output.
    let argument = env::args().nth(1).ok_or_else(|| Error::invalid("container", "", "name one"))?;
    if argument == agent::COMMAND {
        return bootstrap::serve_agent(tokio::io::stdin(), tokio::io::stdout()).await;
    }
    // The guardian too: it starts containers again if this program dies. Its exit code is its report.
    if argument == agent::guard::COMMAND {
        let run = RunId::parse(&env::args().nth(2).unwrap_or_default())?;
        let end = bootstrap::guard(run, "/".into(), tokio::io::stdin(), tokio::io::stdout()).await?;
        std::process::exit(end.code().into());
    }

    // The library reads no environment by itself: settings are values, wherever you have them from.
    let settings = Settings::resolve(|name| Ok(env::var(name).ok()), "my-host")?;
    let dory = bootstrap::connect_for_backup(settings).await?;

    let request = BackupRequest { container: argument, ..BackupRequest::default() };
    for quiet in &dory.plan_backup(&request).await?.quiet {
        println!("would be stopped: {}", quiet.name);
    }

    // Whoever holds `cancel` can end the run; the containers are started again all the same.
    let cancel = Cancel::new();
    let events = RunEvents::new(|event| {
        if let RunEvent::Phase { phase } = event {
            println!("{}", phase.as_str());
        }
    });
    let report = dory.run_backup(&request, &cancel, &events).await?;
    println!("point {} of {}: {} bytes", report.point.id, report.backup, report.point.size.bytes);

    // The data is safe, but a container that does not run again is a failure of its own.
    report.containers_down.map_or(Ok(()), Err)
}
