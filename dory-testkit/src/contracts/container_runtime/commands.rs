//! Promises about commands in containers, and about what is heard of containers.

use dory_core::ErrorKind;
use dory_core::ports::{ContainerAction, ExecRequest};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bench::in_time;
use super::{Program, Subject};

fn request(subject: &Subject, program: &Program) -> ExecRequest {
    ExecRequest { command: subject.bench().command(program), ..ExecRequest::default() }
}

/// A command reads what it is given, to its end, and what it writes comes back.
pub async fn a_command_gets_its_input_and_gives_its_output(subject: Subject) {
    let id = subject.idle("web").await;
    let mut session = subject.runtime().exec(&id, request(&subject, &Program::Copy)).await.unwrap();
    let mut stdin = session.stdin().unwrap();
    assert!(session.stdin().is_none(), "there is one input to take");
    let mut stdout = session.stdout().unwrap();
    stdin.write_all(b"one\n\0\xfftwo").await.unwrap();
    stdin.shutdown().await.unwrap();
    let mut said = Vec::new();
    in_time(stdout.read_to_end(&mut said)).await.unwrap();
    assert_eq!(said, b"one\n\0\xfftwo");
    let outcome = session.wait().await.unwrap();
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
}

/// A command sees the variables it was given.
pub async fn a_command_gets_its_environment(subject: Subject) {
    let id = subject.idle("web").await;
    let environment = vec![("DORY_HOOK".to_owned(), "0123".to_owned())];
    let program = Program::Variable("DORY_HOOK".to_owned());
    let mut session =
        subject.runtime().exec(&id, ExecRequest { environment, ..request(&subject, &program) }).await.unwrap();
    drop(session.stdin());
    let mut said = String::new();
    in_time(session.stdout().unwrap().read_to_string(&mut said)).await.unwrap();
    assert_eq!((said.trim_end(), session.wait().await.unwrap().code), ("0123", 0));
}

/// How a command ended, and its complaint, are told.
pub async fn a_command_that_fails_tells_how(subject: Subject) {
    let id = subject.idle("web").await;
    let program = Program::Complain("no such table".to_owned(), 7);
    let session = subject.runtime().exec(&id, request(&subject, &program)).await.unwrap();
    let outcome = session.wait().await.unwrap();
    assert_eq!((outcome.code, outcome.stderr.trim_end()), (7, "no such table"));
}

/// A command whose pipes nobody takes gets no input, and may write what it likes.
pub async fn a_command_that_nobody_feeds_ends(subject: Subject) {
    let id = subject.idle("web").await;
    let session = subject.runtime().exec(&id, request(&subject, &Program::Copy)).await.unwrap();
    assert_eq!(in_time(session.wait()).await.unwrap().code, 0);
}

/// Nothing runs in what does not run, or is not there.
pub async fn a_command_needs_a_running_container(subject: Subject) {
    let id = subject.made("web", Program::Idle).await;
    let refused = subject.runtime().exec(&id, request(&subject, &Program::Copy)).await;
    assert_eq!(refused.err().map(|error| error.kind()), Some(ErrorKind::Conflict));
    subject.bench().remove_container(&id).await;
    let refused = subject.runtime().exec(&id, request(&subject, &Program::Copy)).await;
    assert_eq!(refused.err().map(|error| error.kind()), Some(ErrorKind::NotFound));
}

/// What happens to a container from the call on is told, in order; what happens to helpers is not.
pub async fn events_tell_what_happens(subject: Subject) {
    use ContainerAction::{Created, Ended, Removed, Started};
    let mut events = subject.runtime().events().await.unwrap();
    let helper = subject.launch("helper", Program::Copy, Vec::new()).await;
    subject.runtime().remove_helper(&helper.id).await.unwrap();
    let id = subject.idle("web").await;
    subject.runtime().stop(&id, None).await.unwrap();
    subject.bench().remove_container(&id).await;

    let mut heard = Vec::new();
    while heard.last() != Some(&Removed) {
        let event = in_time(events.next()).await.expect("events do not end").unwrap();
        assert_ne!(event.id, helper.id, "{event:?}");
        if event.id == id {
            assert_eq!(event.name.as_ref(), Some(&subject.container_name("web")));
            heard.push(event.action);
        }
    }
    assert_eq!(heard, [Created, Started, Ended, Removed]);
}
