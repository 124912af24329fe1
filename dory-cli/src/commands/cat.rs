//! `dory cat`

use dory_core::Result;
use dory_core::domain::entry_path::EntryPath;
use dory_core::services::Dory;

use super::point;
use crate::args::CatArgs;
use crate::exit::Exit;

pub(super) async fn run(dory: &Dory, args: &CatArgs) -> Result<Exit> {
    let path: EntryPath = args.path.parse()?;
    let choice = point::choice(&args.point.at, dory.now());
    dory.read_file(&args.backup, &choice, path.as_path(), &mut tokio::io::stdout()).await?;
    Ok(Exit::Success)
}
