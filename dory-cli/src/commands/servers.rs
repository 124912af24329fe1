//! `dory servers`

use dory_core::Result;
use dory_core::domain::server::ServerRecord;
use dory_core::services::Dory;
use jiff::Timestamp;

use crate::exit::Exit;
use crate::render::table::table;
use crate::render::units;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: &Dory) -> Result<Exit> {
    let servers = dory.catalog().servers().await?;
    ui.result(&servers, |servers| list(servers, dory.now()))?;
    Ok(Exit::Success)
}

fn list(servers: &[ServerRecord], now: Timestamp) -> String {
    if servers.is_empty() {
        return "no server has shown itself yet: run `dory serve` on each host\n".to_owned();
    }
    let row = |server: &ServerRecord| {
        let state = match (server.lease.released, server.is_silent(now)) {
            (true, _) => "ended",
            (false, true) => "SILENT",
            (false, false) => "serving",
        };
        let next = server.ping.next_run.as_ref().filter(|_| state == "serving");
        [
            server.name.to_string(),
            state.to_owned(),
            units::ago(server.ping.at, now),
            server.ping.host.clone(),
            server.ping.version.clone(),
            server.ping.runtime.clone().unwrap_or_else(|| "no container engine".to_owned()),
            next.map_or_else(|| "-".to_owned(), |next| format!("{} {}", next.container, units::moment(next.at))),
        ]
    };
    let rows: Vec<_> = servers.iter().map(row).collect();
    table(["NAME", "STATE", "LAST PING", "HOST", "DORY", "ENGINE", "NEXT BACKUP"], &rows)
}
