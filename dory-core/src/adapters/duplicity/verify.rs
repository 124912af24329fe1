//! Checking that sets can be restored.
//!
//! By structure: all metadata is fetched and decrypted, and every volume that a manifest names is there. By data, in
//! addition: every volume is fetched, its hash compared with the manifest's, decrypted, and its contents walked through
//! as for a restore; nothing is written but one volume at a time.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use super::collection::Collection;
use super::exit::Phase;
use super::log::{Level, Record};
use super::names::{Part, SetTime, StoredName};
use super::repository::DuplicityRepository;
use super::restore::no_such_mount;
use super::session::{Cache, Outcome, blocking};
use crate::domain::id::{MountKey, SnapshotId};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{VerifyDepth, VerifyReport};

const NO_SIGNATURES: &str = "its signatures are missing";

impl DuplicityRepository {
    pub(super) async fn check(&self, depth: VerifyDepth) -> Result<VerifyReport> {
        let look = self.look().await?;
        let mut report = VerifyReport::default();
        if look.collection.newest().is_none() {
            return Ok(report);
        }
        self.check_structure(look.collection.clone(), &mut report).await?;
        if depth == VerifyDepth::Data {
            for chain in &look.collection.chains {
                if let Some(last) = chain.0.last() {
                    self.check_data(&last.time, &mut report).await?;
                }
            }
        }
        report.faults.sort();
        report.faults.dedup();
        Ok(report)
    }

    /// Looks for every volume of the sets that the one of this id needs.
    pub(super) async fn check_chain(&self, snapshot: &SnapshotId, mounts: &[MountKey]) -> Result<()> {
        let (time, look) = self.find(snapshot).await?;
        if let Some(note) = look.book.as_ref().and_then(|book| book.note(&time, &look.collection))
            && let Some(mount) = mounts.iter().find(|mount| !note.mounts.contains(*mount))
        {
            return Err(no_such_mount(mount, &time));
        }
        let mut report = VerifyReport::default();
        self.check_structure(look.collection.needed_by(&time), &mut report).await?;
        // Only the next backup needs signatures.
        report.faults.retain(|fault| !fault.ends_with(NO_SIGNATURES));
        report.faults.first().map_or(Ok(()), |fault| {
            let location = &self.session.location;
            Err(Error::new(ErrorKind::Corrupt, "restore snapshot", snapshot.as_str(), fault)
                .with_hint("restore another point")
                .with_source(format!("its repository is `{location}`")))
        })
    }

    async fn check_structure(&self, collection: Collection, report: &mut VerifyReport) -> Result<()> {
        let run = self.session.run_folder().await?;
        // Without `--force`, this only looks; but it fetches all metadata first, and decrypts it.
        let mut invocation = self.session.invocation(&run, "cleanup", Cache::Fresh, Phase::Working);
        invocation.option("--metadata-sync-mode", "full").argument(&self.session.target.url);
        match self.session.run(&invocation, |_| ControlFlow::Continue(())).await? {
            Outcome::Done | Outcome::Stopped => {}
            Outcome::Failed(failure) => {
                let error = failure.into_error("fetch metadata of", &self.session.location, Phase::Working);
                return found(error, report);
            }
        }
        let fetched = run.join("archive/fresh");
        let faults = blocking(move || Ok(missing_volumes(&fetched, &collection))).await?;
        report.faults.extend(faults);
        Ok(())
    }

    /// Checks all volumes of the chain that ends with the set at `time`.
    async fn check_data(&self, time: &SetTime, report: &mut VerifyReport) -> Result<()> {
        let run = self.session.run_folder().await?;
        let empty = run.join("empty");
        {
            let empty = empty.clone();
            let make = move || {
                fs::create_dir(&empty).map_err(|error| {
                    Error::new(ErrorKind::Internal, "make folder", empty.display().to_string(), "it cannot be made")
                        .with_source(error)
                })
            };
            blocking(make).await?;
        }
        let mut invocation = self.session.invocation(&run, "verify", Cache::Fresh, Phase::Working);
        // It goes on after a bad volume, to find them all; each is tried twice, in case the way was at fault.
        invocation.argument("--ignore-errors").option("--num-retries", "2").option("--metadata-sync-mode", "partial");
        invocation.option("--restore-time", time.as_str()).argument(&self.session.target.url).argument(&empty);
        let mut faults = BTreeSet::new();
        let outcome = self
            .session
            .run(&invocation, |record| {
                faults.extend(fault(record));
                ControlFlow::Continue(())
            })
            .await?;
        report.faults.extend(faults);
        match outcome {
            Outcome::Failed(failure) => {
                found(failure.into_error("check snapshot", time.as_str(), Phase::Working), report)
            }
            Outcome::Done | Outcome::Stopped => Ok(()),
        }
    }
}

/// What says that stored data is at fault is a finding; anything else keeps us from checking.
fn found(error: Error, report: &mut VerifyReport) -> Result<()> {
    if !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::Internal) {
        return Err(error);
    }
    let causes = error.causes().join(": ");
    report.faults.push(format!("{error}: {causes}").replace('\n', " "));
    Ok(())
}

fn fault(record: &Record) -> Option<String> {
    let is_hash = record.level == Level::Error && record.code == 21;
    let is_ignored = record.level == Level::Warning && record.text.contains("IGNORED_ERROR");
    let is_missing = record.level == Level::Warning && record.text.contains("not found, ignoring");
    let is_unprocessed = record.level == Level::Warning && matches!(record.code, 12 | 13);
    (is_hash || is_ignored || is_missing || is_unprocessed)
        .then(|| record.text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" "))
}

/// Compares the volumes that manifests name with those that are there.
fn missing_volumes(manifests: &Path, collection: &Collection) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fetched = BTreeSet::new();
    for entry in fs::read_dir(manifests).into_iter().flatten().flatten() {
        let Some(name) = entry.file_name().to_str().and_then(|name| StoredName::parse("", name)) else { continue };
        if name.part != Part::Manifest {
            continue;
        }
        let Some(set) = collection.sets().find(|set| set.time == name.end) else { continue };
        let named = fs::read(entry.path()).map(|text| named_volumes(&text)).unwrap_or_default();
        let missing = named.iter().filter(|number| !set.files.volumes.contains(number));
        faults.extend(missing.map(|number| format!("snapshot `{}`: volume {number} is missing", set.time)));
        if !set.files.has_signatures {
            faults.push(format!("snapshot `{}`: {NO_SIGNATURES}", set.time));
        }
        fetched.insert(name.end);
    }
    let unread = collection.sets().filter(|set| !fetched.contains(&set.time));
    faults.extend(unread.map(|set| format!("snapshot `{}`: its manifest cannot be read", set.time)));
    faults
}

fn named_volumes(manifest: &[u8]) -> BTreeSet<u32> {
    let text = String::from_utf8_lossy(manifest);
    let numbers = text.lines().filter_map(|line| line.strip_prefix("Volume ")?.strip_suffix(':')?.trim().parse().ok());
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_a_manifest_names_and_nobody_stored_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = "Hostname x\nLocaldir /x\nVolume 1:\n    Hash SHA1 0\nVolume 2:\n    Hash SHA1 0\nFilelist 0\n";
        fs::write(dir.path().join("duplicity-full.20260101T000000Z.manifest"), manifest).unwrap();
        let names = [
            "duplicity-full.20260101T000000Z.vol1.difftar.gpg",
            "duplicity-full.20260101T000000Z.manifest.gpg",
            "duplicity-full.20260102T000000Z.manifest.gpg",
        ];
        let faults = missing_volumes(dir.path(), &Collection::from_names("", names));
        assert_eq!(
            faults,
            [
                "snapshot `20260101T000000Z`: volume 2 is missing",
                "snapshot `20260101T000000Z`: its signatures are missing",
                "snapshot `20260102T000000Z`: its manifest cannot be read",
            ]
        );
    }
}
