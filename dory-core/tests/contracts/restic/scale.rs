//! Many files, large files, little memory.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::id::DumpName;
use dory_core::ports::{DumpRequest, Events};
use dory_testkit::fixtures::{Aspects, diff_trees, noise, snapshot_tree};
use dory_testkit::live::or_skip;
use tokio::io::AsyncWriteExt;

use super::{Place, TemporaryMount, listening, reading, writing};

/// What a backup or a restore may take beyond what the process had before.
const MEMORY: u64 = 200 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_files_come_back_in_little_memory() {
    const FILES: usize = 100_000;
    let place = Place::new().await;
    let fast = place.folder("fast");
    // Where it can be had: to remove so many files from a disk can take longer than all the rest.
    let _mounted = TemporaryMount::on(&fast, "tmpfs", "size=3g,nr_inodes=400k");
    let (source, target) = (place.folder("fast/source"), place.folder("fast/target"));
    // Half of them in one folder: what is in memory depends on the largest.
    for number in 0..FILES {
        let folder = if number % 2 == 0 { source.clone() } else { source.join(format!("folder-{}", number % 997)) };
        if number < 2 * 997 {
            fs::create_dir_all(&folder).unwrap();
        }
        fs::write(folder.join(format!("file-{number:06}")), noise(number % 512, number as u64)).unwrap();
    }
    let Some(memory) = Memory::measured() else { return };
    let (events, warnings) = listening();
    let report = place.repository.backup(&reading(&source), &events).await.unwrap();
    let used = memory.used();
    assert!(used < MEMORY, "the backup took {} MiB", used >> 20);
    assert!(report.files > FILES as u64, "{report:?}");

    let memory = Memory::measured().unwrap();
    place.repository.restore(&writing(&report.snapshot, &target), &events).await.unwrap();
    let used = memory.used();
    assert!(used < MEMORY, "the restore took {} MiB", used >> 20);
    assert!(warnings.lock().unwrap().is_empty(), "{warnings:?}");
    let differences = diff_trees(&snapshot_tree(&source), &snapshot_tree(&target), Aspects::ALL);
    assert!(differences.is_empty(), "{} differences, the first: {}", differences.len(), differences[0]);

    let listed = place.repository.list_files(&report.snapshot, &EntryPath::new("data"), true).await.unwrap();
    assert_eq!(listed.len() as u64, report.files - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn much_data_comes_back_in_little_memory() {
    let place = Place::new().await;
    let (source, target) = (place.folder("source"), place.folder("target"));
    // More than the bound, in one file and in some that compress.
    let mut large = File::create(source.join("large")).unwrap();
    for part in 0..24 {
        large.write_all(&noise(10 << 20, part)).unwrap();
    }
    for part in 0..8 {
        let line = format!("line of file {part}\n");
        fs::write(source.join(format!("text-{part}")), line.repeat((20 << 20) / line.len())).unwrap();
    }
    let Some(memory) = Memory::measured() else { return };
    let report = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    let used = memory.used();
    assert!(used < MEMORY, "the backup took {} MiB", used >> 20);

    let memory = Memory::measured().unwrap();
    place.repository.restore(&writing(&report.snapshot, &target), &Events::ignored()).await.unwrap();
    let used = memory.used();
    assert!(used < MEMORY, "the restore took {} MiB", used >> 20);
    let differences = diff_trees(&snapshot_tree(&source), &snapshot_tree(&target), Aspects::ALL);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_dump_is_taken_in_little_memory() {
    const LENGTH: u64 = 400 << 20;
    let place = Place::new().await;
    fs::write(place.folder("source").join("file"), "x").unwrap();
    // Noise that does not repeat within a chunk, made as it is read.
    let (mut write, mut read) = tokio::io::duplex(64 << 10);
    let writing = tokio::spawn(async move {
        for part in 0..LENGTH >> 20 {
            write.write_all(&noise(1 << 20, part)).await.unwrap();
        }
    });
    let Some(memory) = Memory::measured() else { return };
    let request = DumpRequest { name: DumpName::parse("long").unwrap(), scratch: None };
    let length = place.repository.take_dump(&request, &mut read, &Events::ignored()).await.unwrap();
    writing.await.unwrap();
    let used = memory.used();
    assert_eq!(length, LENGTH);
    assert!(used < MEMORY, "the dump took {} MiB", used >> 20);
    let report = place.repository.backup(&reading(&place.folder("source")), &Events::ignored()).await.unwrap();
    assert_eq!(report.bytes, LENGTH + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sparse_file_of_five_gibibytes_stays_small() {
    const SIZE: u64 = 5 << 30;
    let place = Place::new().await;
    let (source, target) = (place.folder("source"), place.folder("target"));
    let mut file = File::create(source.join("disk.img")).unwrap();
    for (at, seed) in [(0, 1), (SIZE / 2 + 12_345, 2), (SIZE - 70_000, 3)] {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&noise(70_000, seed)).unwrap();
    }
    drop(file);
    assert_eq!(fs::metadata(source.join("disk.img")).unwrap().len(), SIZE);

    let report = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    assert_eq!(report.bytes, SIZE);
    assert!(report.stored_bytes < 4 << 20, "{report:?}");
    let restored = place.repository.restore(&writing(&report.snapshot, &target), &Events::ignored()).await.unwrap();
    assert_eq!(restored.bytes, SIZE);
    let meta = fs::metadata(target.join("disk.img")).unwrap();
    assert_eq!(meta.len(), SIZE);
    assert!(meta.blocks() * 512 < 1 << 20, "{} bytes on disk", meta.blocks() * 512);
    for (at, seed) in [(0, 1), (SIZE / 2 + 12_345, 2), (SIZE - 70_000, 3)] {
        assert!(read_at(&target.join("disk.img"), at, 70_000) == noise(70_000, seed), "the data at {at} differs");
    }
    assert!(read_at(&target.join("disk.img"), 1 << 30, 1 << 20).iter().all(|byte| *byte == 0));
}

fn read_at(path: &Path, at: u64, length: usize) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; length];
    File::open(path).unwrap().read_exact_at(&mut bytes, at).unwrap();
    bytes
}

/// What this process has in memory at most, from a moment on.
struct Memory {
    before: u64,
}

impl Memory {
    /// Starts measuring, if the process runs this test alone: nextest gives each its own.
    fn measured() -> Option<Self> {
        let asked_for_one =
            fs::read("/proc/self/cmdline").unwrap().split(|byte| *byte == 0).any(|arg| arg == b"--exact");
        let alone = asked_for_one && fs::write("/proc/self/clear_refs", "5").is_ok();
        or_skip("a process of one's own, as nextest gives it", alone.then(|| Self { before: status("VmRSS") }))
    }

    fn used(&self) -> u64 {
        status("VmHWM").saturating_sub(self.before)
    }
}

/// A line of the kernel's account of this process, in bytes.
fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells it");
    let kibibytes: u64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes * 1024
}
