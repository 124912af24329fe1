//! `dory cat`

use dory_core::Result;
use dory_core::domain::entry_path::EntryPath;
use dory_core::services::Dory;

use super::point;
use crate::args::CatArgs;
use crate::exit::Exit;
use crate::ui;

pub(super) async fn run(dory: &Dory, args: &CatArgs) -> Result<Exit> {
    let path: EntryPath = args.path.parse()?;
    let choice = point::choice(&args.point.at, dory.now())?;
    match dory.read_file(&args.backup, &choice, path.as_path(), &mut ui::raw_output()).await {
        Err(error) if !ui::output_is_closed() => Err(error),
        _ => Ok(Exit::Success),
    }
}
