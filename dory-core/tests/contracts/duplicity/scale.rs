//! Many files, a large file.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use dory_testkit::fixtures::{Aspects, diff_trees, noise, snapshot_tree};

use super::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_files_come_back() {
    const FILES: usize = 100_000;
    let Some(stage) = Stage::in_a_folder() else { return };
    for number in 0..FILES {
        let folder = match number % 2 {
            0 => stage.source(),
            _ => stage.source().join(format!("folder-{}", number % 997)),
        };
        if number < 2 * 997 {
            fs::create_dir_all(&folder).unwrap();
        }
        fs::write(folder.join(format!("file-{number:06}")), noise(number % 512, number as u64)).unwrap();
    }
    let repository = stage.open().await;
    let report = stage.backup(repository.as_ref()).await;
    assert!(report.files > FILES as u64, "{report:?}");
    stage.restore(repository.as_ref(), &report.snapshot).await.unwrap();
    let aspects = Aspects { nanoseconds: false, ..Aspects::ALL };
    let differences = diff_trees(&snapshot_tree(&stage.source()), &snapshot_tree(&stage.target()), aspects);
    assert!(differences.is_empty(), "{} differences, the first: {}", differences.len(), differences[0]);
}

/// duplicity reads and writes holes as the zeros they stand for: they cost time, and room where they come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_sparse_file_of_five_gibibytes_comes_back() {
    const SIZE: u64 = 5 << 30;
    let places = [(0, 1), (SIZE / 2 + 12_345, 2), (SIZE - 70_000, 3)];
    let Some(stage) = Stage::in_a_folder() else { return };
    let file = File::create(stage.source().join("disk.img")).unwrap();
    for (at, seed) in places {
        file.write_all_at(&noise(70_000, seed), at).unwrap();
    }
    let repository = stage.open().await;
    let report = stage.backup(repository.as_ref()).await;
    assert_eq!(report.bytes, SIZE);
    assert!(report.stored_bytes < 64 << 20, "{report:?}");
    stage.restore(repository.as_ref(), &report.snapshot).await.unwrap();
    let restored = File::open(stage.target().join("disk.img")).unwrap();
    assert_eq!(restored.metadata().unwrap().len(), SIZE);
    let read = |at, length| {
        let mut bytes = vec![0; length];
        restored.read_exact_at(&mut bytes, at).unwrap();
        bytes
    };
    for (at, seed) in places {
        assert!(read(at, 70_000) == noise(70_000, seed), "the data at {at} differs");
    }
    assert!(read(1 << 30, 1 << 20).iter().all(|byte| *byte == 0));
}
