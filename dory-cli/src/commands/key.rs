//! `dory key`

use dory_core::Result;
use dory_core::services::{Dory, RepositoryKey};

use crate::args::KeyArgs;
use crate::exit::Exit;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &KeyArgs) -> Result<Exit> {
    let keys = dory.repository_keys(&args.backup).await?;
    ui.result(&keys, |keys| keys.iter().map(words).collect())?;
    Ok(Exit::Success)
}

fn words(key: &RepositoryKey) -> String {
    let password = key.password.as_ref().map_or("none: it is not encrypted", |password| password.expose());
    format!("engine    {}\nplace     {}\npassword  {password}\n", key.engine, key.place)
}
