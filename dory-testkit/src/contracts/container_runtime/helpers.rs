//! Promises about helpers: their pipes, what they see, and how they end.

use std::time::Duration;

use dory_core::ErrorKind;
use dory_core::domain::id::ImageRef;
use dory_core::ports::{HelperMount, HelperRole, HelperSource};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bench::{in_time, volume_mount};
use super::{Program, Subject};

/// How much goes through a helper's pipes, each way.
const MUCH: usize = 100 << 20;

const CHUNK: usize = 1 << 20;

/// The image for helpers is there after it was asked for, it is the same each time, and it is made again where it
/// was removed.
pub async fn the_helper_image_is_made_if_it_is_missing(subject: Subject) {
    let runtime = subject.runtime();
    let image = runtime.ensure_helper_image().await.unwrap();
    let made = runtime.inspect_image(&image).await.unwrap().unwrap();
    assert_eq!(runtime.ensure_helper_image().await.unwrap(), image);
    assert_eq!(runtime.inspect_image(&image).await.unwrap().unwrap(), made);

    runtime.remove_image(&image).await.unwrap();
    assert_eq!(runtime.inspect_image(&image).await.unwrap(), None);
    assert_eq!(runtime.ensure_helper_image().await.unwrap(), image);
    assert!(runtime.inspect_image(&image).await.unwrap().is_some());
    runtime.remove_image(&image).await.unwrap();
}

/// What a helper says goes to the right pipe, from its first word on.
pub async fn a_helper_speaks_through_its_pipes(subject: Subject) {
    let (said, complained) = subject.run("loud", Program::Complain("first word".to_owned(), 1), Vec::new()).await;
    assert_eq!((said.as_str(), complained.trim_end()), ("", "first word"));
}

/// Much goes in and comes out at the same time, unchanged, and the end of the input is the helper's end.
pub async fn much_goes_both_ways_at_once(subject: Subject) {
    let helper = subject.launch("copy", Program::Copy, Vec::new()).await;
    let (mut stdin, mut stdout) = (helper.stdin, helper.stdout);
    // A prime number of different bytes, so that no lost or repeated block goes unseen.
    let pattern: Vec<u8> = (0..CHUNK + 251).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let given = pattern.clone();
    let feeding = tokio::spawn(async move {
        let mut sent = 0;
        while sent < MUCH {
            let from = sent % 251;
            stdin.write_all(&given[from..from + CHUNK]).await.unwrap();
            sent += CHUNK;
        }
        stdin.shutdown().await.unwrap();
    });
    let mut read = 0;
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = in_time(stdout.read(&mut chunk)).await.unwrap();
        if length == 0 {
            break;
        }
        let from = read % 251;
        assert!(chunk[..length] == pattern[from..from + length], "the bytes from {read} on are others");
        read += length;
    }
    feeding.await.unwrap();
    assert_eq!(read, MUCH);
    subject.until_ended(&helper.id).await;
}

/// A helper that nobody holds any more ends by itself.
pub async fn dropping_a_helper_ends_it(subject: Subject) {
    let helper = subject.launch("dropped", Program::Copy, Vec::new()).await;
    let id = helper.id.clone();
    assert!(subject.listed(&id).await.unwrap().running);
    drop(helper);
    subject.until_ended(&id).await;
}

/// Closing its input alone ends a helper, while the other pipes stay open.
pub async fn dropping_the_input_ends_a_helper(subject: Subject) {
    let mut helper = subject.launch("unfed", Program::Copy, Vec::new()).await;
    helper.stdin.write_all(b"last words").await.unwrap();
    drop(helper.stdin);
    let mut said = String::new();
    in_time(helper.stdout.read_to_string(&mut said)).await.unwrap();
    assert_eq!(said, "last words");
    subject.until_ended(&helper.id).await;
}

/// A helper writes where it may, and nowhere else, whatever its user.
pub async fn a_read_only_mount_is_not_written_to(subject: Subject) {
    let volume = subject.volume("data").await;
    let target = "/backup/data";
    let write = |text: &str| Program::Write("/backup/data/hello".into(), text.to_owned());
    let read = Program::Read("/backup/data/hello".into());
    let (_, complained) = subject.run("first", write("old"), vec![volume_mount(&volume, target, true)]).await;
    assert_eq!(complained, "");
    let (_, complained) = subject.run("second", write("new"), vec![volume_mount(&volume, target, false)]).await;
    assert_ne!(complained, "", "writing to a read-only mount is an error");
    let (said, _) = subject.run("third", read, vec![volume_mount(&volume, target, false)]).await;
    assert_eq!(said, "old");
}

/// A folder of the host can be seen.
pub async fn a_folder_of_the_host_is_seen(subject: Subject) {
    let folder = subject.bench().host_folder().await;
    let mount = HelperMount { source: HelperSource::HostPath(folder), target: "/store".into(), writable: false };
    let (said, _) = subject.run("reader", Program::Read("/store/hello".into()), vec![mount]).await;
    assert_eq!(said, "world");
}

/// What is not there is not made by asking for it, and nothing is left of the attempt.
pub async fn a_helper_needs_what_it_mounts(subject: Subject) {
    let missing = subject.volume_name("missing");
    let nowhere = subject.bench().host_folder().await.join("missing");
    let path = HelperMount { source: HelperSource::HostPath(nowhere), target: "/store".into(), writable: true };
    for mount in [volume_mount(&missing, "/backup/data", true), path] {
        let spec = subject.helper_spec("needy", Program::Copy, vec![mount]).await;
        let error = subject.runtime().launch_helper(&spec).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert!(error.subject().contains("missing"), "{error:?}");
    }
    assert_eq!(subject.runtime().inspect_volume(&missing).await.unwrap(), None);
    assert!(!subject.bench().host_folder().await.join("missing").exists());
    nothing_is_left_of(&subject, "needy").await;
}

/// An image that is not there is no helper's.
pub async fn a_helper_needs_its_image(subject: Subject) {
    let mut spec = subject.helper_spec("needy", Program::Copy, Vec::new()).await;
    spec.image = ImageRef::parse(format!("{}:none", subject.name("image"))).unwrap();
    let error = subject.runtime().launch_helper(&spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    nothing_is_left_of(&subject, "needy").await;
}

async fn nothing_is_left_of(subject: &Subject, stem: &str) {
    let name = subject.name(stem);
    let helpers = subject.runtime().list_helpers().await.unwrap();
    let left = helpers.iter().find(|helper| helper.labels.get("dory.test.helper") == Some(&name));
    assert!(left.is_none(), "{left:?}");
}

/// Helpers are listed in the order they were made in, with their labels, whether they run or not.
pub async fn helpers_are_listed(subject: Subject) {
    let first = subject.launch("first", Program::Copy, Vec::new()).await;
    let second = subject.launch("second", Program::Copy, Vec::new()).await;
    drop(first.stdin);
    subject.until_ended(&first.id).await;
    let listed = subject.runtime().list_helpers().await.unwrap();
    assert!(listed.is_sorted_by(|a, b| a.created_at <= b.created_at));
    let of = |id| listed.iter().find(|helper| helper.id == id).unwrap();
    assert!(!of(first.id.clone()).running);
    assert!(of(second.id.clone()).running);
    assert_eq!(of(second.id.clone()).labels["dory.test.helper"], subject.name("second"));
}

/// A removed helper is gone, running or not, and removing it again is no error.
pub async fn a_helper_is_removed(subject: Subject) {
    let running = subject.launch("running", Program::Copy, Vec::new()).await;
    let ended = subject.launch("ended", Program::Copy, Vec::new()).await;
    drop(ended.stdin);
    subject.until_ended(&ended.id).await;
    for id in [&running.id, &ended.id] {
        subject.runtime().remove_helper(id).await.unwrap();
        assert_eq!(subject.listed(id).await, None);
        subject.runtime().remove_helper(id).await.unwrap();
    }
    let mut stdout = running.stdout;
    assert_eq!(in_time(stdout.read_to_end(&mut Vec::new())).await.unwrap(), 0, "its pipes close with it");
}

/// Output that nobody takes does not keep a helper from being removed.
pub async fn a_helper_that_nobody_reads_is_removed(subject: Subject) {
    let mut helper = subject.launch("flood", Program::Flood, Vec::new()).await;
    in_time(helper.stdout.read_exact(&mut [0; 1])).await.unwrap();
    // Time for every buffer on the way to fill.
    tokio::time::sleep(Duration::from_millis(500)).await;
    in_time(subject.runtime().remove_helper(&helper.id)).await.unwrap();
    assert_eq!(subject.listed(&helper.id).await, None);
    in_time(helper.stdout.read_to_end(&mut Vec::new())).await.unwrap();
}

/// Nothing but helpers is removed as one.
pub async fn only_helpers_are_removed(subject: Subject) {
    let id = subject.idle("web").await;
    let error = subject.runtime().remove_helper(&id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    subject.runtime().inspect_container(id.as_str()).await.unwrap();
}

/// While a helper runs there is no other one of its name; when it has ended, the next one takes its place.
pub async fn one_helper_of_a_name_runs(subject: Subject) {
    let first = subject.launch("single", Program::Copy, Vec::new()).await;
    let spec = subject.helper_spec("single", Program::Copy, Vec::new()).await;
    let error = subject.runtime().launch_helper(&spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(subject.listed(&first.id).await.unwrap().running, "the one that runs is left alone");

    drop(first.stdin);
    subject.until_ended(&first.id).await;
    let second = subject.runtime().launch_helper(&spec).await.unwrap();
    assert_eq!(subject.listed(&first.id).await, None);
    assert!(subject.listed(&second.id).await.unwrap().running);
}

/// A helper that ended tells when and how; one that runs tells neither.
pub async fn an_ended_helper_tells_how(subject: Subject) {
    let helper = subject.launch("how", Program::Complain("no".to_owned(), 1), Vec::new()).await;
    subject.until_ended(&helper.id).await;
    let ended = subject.listed(&helper.id).await.unwrap();
    assert_eq!(ended.exit_code, Some(1));
    assert!(ended.ended_at.unwrap() >= ended.created_at, "{ended:?}");

    let helper = subject.launch("runs", Program::Copy, Vec::new()).await;
    let runs = subject.listed(&helper.id).await.unwrap();
    assert_eq!((runs.ended_at, runs.exit_code), (None, None));
}

/// A kept helper runs again after its end, with nobody at its pipes.
pub async fn a_kept_helper_starts_again(subject: Subject) {
    let mut helper = subject.launch("kept", Program::Copy, Vec::new()).await;
    subject.runtime().keep_helper(&helper.id, true).await.unwrap();
    drop(helper.stdin);
    // The end of its first life.
    in_time(helper.stdout.read_to_end(&mut Vec::new())).await.unwrap();
    subject.until_running(&helper.id).await;
}

/// A helper that is kept no more ends for good.
pub async fn a_helper_that_is_kept_no_more_ends(subject: Subject) {
    let helper = subject.launch("let-go", Program::Copy, Vec::new()).await;
    subject.runtime().keep_helper(&helper.id, true).await.unwrap();
    subject.runtime().keep_helper(&helper.id, false).await.unwrap();
    drop(helper.stdin);
    subject.until_ended(&helper.id).await;
    assert_eq!(subject.listed(&helper.id).await.unwrap().exit_code, Some(0));
}

/// A helper that is kept is removed like any other, and stays away.
pub async fn a_kept_helper_is_removed(subject: Subject) {
    let helper = subject.launch("kept", Program::Copy, Vec::new()).await;
    subject.runtime().keep_helper(&helper.id, true).await.unwrap();
    subject.runtime().remove_helper(&helper.id).await.unwrap();
    assert_eq!(subject.listed(&helper.id).await, None);
}

/// Nothing but helpers is kept as one, and what is gone is not found.
pub async fn only_helpers_are_kept(subject: Subject) {
    let id = subject.idle("web").await;
    let error = subject.runtime().keep_helper(&id, true).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let helper = subject.launch("gone", Program::Copy, Vec::new()).await;
    subject.runtime().remove_helper(&helper.id).await.unwrap();
    let error = subject.runtime().keep_helper(&helper.id, true).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// A guardian is told apart from other helpers, and remembers what it wrote to its own file system.
pub async fn a_guardian_may_write_to_its_own_file_system(subject: Subject) {
    let program = Program::Write("/remembered".into(), "x".to_owned());
    let mut spec = subject.helper_spec("guardian", program.clone(), Vec::new()).await;
    spec.role = HelperRole::Guardian;
    let guardian = subject.runtime().launch_helper(&spec).await.unwrap();
    subject.until_ended(&guardian.id).await;
    let ended = subject.listed(&guardian.id).await.unwrap();
    assert_eq!((ended.role, ended.exit_code), (HelperRole::Guardian, Some(0)));

    let other = subject.launch("other", program, Vec::new()).await;
    subject.until_ended(&other.id).await;
    let ended = subject.listed(&other.id).await.unwrap();
    assert_eq!(ended.role, HelperRole::Engine);
    assert_ne!(ended.exit_code, Some(0), "it wrote where it may not");
}
