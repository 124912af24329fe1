//! One file out of the newest restore point, with no Docker at all: `cargo run --bin bring_back_a_file -- <backup> <path>`.
#![allow(clippy::print_stderr, reason = "an example shows what it did")]

use std::env;
use std::path::PathBuf;

use dory_core::config::Settings;
use dory_core::domain::backup::PointChoice;
use dory_core::{Error, Result, bootstrap};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let backup = arguments.next().ok_or_else(|| Error::invalid("backup", "", "name one"))?;
    let path = PathBuf::from(arguments.next().ok_or_else(|| Error::invalid("path", "", "name a file"))?);

    // Without a container engine everything works that needs no containers: looking, reading, editing, deleting.
    let settings = Settings::resolve(|name| Ok(env::var(name).ok()), "my-host")?;
    let dory = bootstrap::connect(settings).await?;

    let found = dory.find_backup(&backup).await?;
    for point in &found.points {
        eprintln!("{} {} {}", point.taken_at, point.id, point.name.as_deref().unwrap_or_default());
    }
    let folder = path.parent().unwrap_or(&path);
    for entry in dory.list_files(&backup, &PointChoice::Latest, folder, false).await? {
        eprintln!("{:>12} {}", entry.bytes.unwrap_or_default(), entry.path);
    }
    dory.read_file(&backup, &PointChoice::Latest, &path, &mut tokio::io::stdout()).await?;
    Ok(())
}
