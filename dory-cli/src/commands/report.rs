//! `dory report`

use dory_core::services::Dory;
use dory_core::{Error, Result};
use serde::Serialize;

use crate::args::ReportArgs;
use crate::exit::Exit;
use crate::ui::{self, Ui};

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &ReportArgs) -> Result<Exit> {
    if let Some(address) = &args.send_test {
        dory.send_test(address).await?;
        ui.result(&address, |address| format!("the mail server took a mail to {address}\n"))?;
        return Ok(Exit::Success);
    }
    if args.send {
        return send(ui, dory).await;
    }
    let report = dory.report().await?;
    match args.html {
        true => ui::print(&report.to_html())?,
        false => ui.result(&report, |report| report.to_text())?,
    }
    Ok(Exit::Success)
}

async fn send(ui: &Ui, dory: &Dory) -> Result<Exit> {
    #[derive(Serialize)]
    struct Told {
        target: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<dory_core::ErrorRecord>,
    }
    let sent = dory.send_report().await?;
    let told = |(target, sent): &(String, Result<()>)| Told {
        target: target.clone(),
        error: sent.as_ref().err().map(Error::to_record),
    };
    let all: Vec<_> = sent.iter().map(told).collect();
    let words = |told: &Told| match told.error {
        None => format!("{}: sent\n", told.target),
        Some(_) => format!("{}: not sent\n", told.target),
    };
    ui.result(&all, |all| all.iter().map(words).collect())?;
    let failures = sent.into_iter().filter_map(|(_, sent)| sent.err());
    Ok(failures.map(|error| ui.fail(&error)).last().unwrap_or(Exit::Success))
}
