//! Backups that are begun on a page: they go on without it.

use axum::body::{Body, BodyDataStream};
use axum::http::{Method, StatusCode};
use dory_core::services::Cancel;
use futures_util::StreamExt;
use tower::ServiceExt;

use crate::site::{Site, Visitor};

/// What a run tells, event by event.
async fn listen(site: &Site, visitor: &Visitor, path: &str) -> BodyDataStream {
    let request = visitor.request(Method::GET, &format!("{path}/events"), "", Body::empty());
    let response = site.web.router().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body().into_data_stream()
}

async fn next(stream: &mut BodyDataStream) -> String {
    String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_begun_watched_and_found() {
    let site = Site::new().await;
    site.database("db");
    let olga = site.sign_in("olga").await;
    let begun = site.post(&olga, "/containers/db/run", &[("name", "by hand"), ("description", "now")]).await;
    let path = site.run_ends(&olga, &begun).await;
    site.get(&olga, &path).await.shows(&["made restore point", "back up db", "olga", "reading"]);
    let backup = site.dory.find_backup("db").await.unwrap();
    assert_eq!(backup.points[0].name.as_deref(), Some("by hand"));
    assert_eq!(backup.points[0].description.as_deref(), Some("now"));
    site.get(&olga, "/runs").await.shows(&["back up db", "done"]);
    let again = site.post(&olga, &format!("/backups/{}/run", backup.id), &[]).await;
    site.run_ends(&olga, &again).await;
    assert_eq!(site.dory.find_backup("db").await.unwrap().points.len(), 2);
    site.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_when_nobody_looks_and_tells_whoever_comes_back() {
    let site = Site::new().await;
    site.database("db");
    let mut hold = site.faults.restic.hold_next("backup");
    let olga = site.sign_in("olga").await;
    let path = site.post(&olga, "/containers/db/run", &[]).await.location();
    hold.reached().await;
    let mut events = listen(&site, &olga, &path).await;
    let first = next(&mut events).await;
    assert!(first.contains("\"over\":false") && first.contains("\"phase\":"), "{first}");
    drop(events);
    let page = site.get(&olga, &path).await.shows(&["under way", "Cancel", "http-equiv=\"refresh\""]);
    assert!(page.contains(&format!("data-events=\"{path}/events\"")));
    hold.release();
    let told = site.get(&olga, &format!("{path}/events")).await.text();
    assert!(told.contains("\"over\":true"), "{told}");
    assert_eq!(site.dory.find_backup("db").await.unwrap().points.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_with_its_container_up_again() {
    let site = Site::new().await;
    site.database("db");
    let mut hold = site.faults.restic.hold_next("backup");
    let olga = site.sign_in("olga").await;
    let path = site.post(&olga, "/containers/db/run", &[]).await.location();
    hold.reached().await;
    assert_eq!(site.post(&olga, &format!("{path}/cancel"), &[]).await.location(), path);
    site.get(&olga, &path).await.shows(&["told to end"]);
    hold.release();
    let told = site.get(&olga, &format!("{path}/events")).await.text();
    assert!(told.contains("\"over\":true"), "{told}");
    site.get(&olga, &path).await.shows(&["cancelled"]);
    let state = site.dory.containers().await.unwrap().remove(0).container.state;
    assert_eq!(state.as_str(), "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_at_once() {
    let site = Site::new().await;
    site.runtime.container("proxy").running();
    let olga = site.sign_in("olga").await;
    let shown = site.post(&olga, "/containers/nobody/run", &[]).await;
    assert_eq!(shown.status, StatusCode::NOT_FOUND);
    let shown = site.post(&olga, "/containers/proxy/run", &[]).await;
    assert!(shown.status.is_client_error() && shown.text().contains("proxy"), "{}", shown.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_says_why() {
    let site = Site::new().await;
    site.database("db");
    let full =
        dory_core::Error::new(dory_core::ErrorKind::Full, "store", "a pack", "no space is left").with_hint("make room");
    site.faults.restic.fail_always("backup", full);
    let olga = site.sign_in("olga").await;
    let begun = site.post(&olga, "/containers/db/run", &[]).await;
    let path = site.run_ends(&olga, &begun).await;
    site.get(&olga, &path).await.shows(&["no space is left", "make room"]);
    site.get(&olga, "/runs").await.shows(&["failed"]);
    site.clock.advance(std::time::Duration::from_secs(60));
    site.get(&olga, "/").await.shows(&["no new point"]);
    site.faults.heal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_ends_its_runs_first() {
    let site = Site::new().await;
    site.database("db");
    let listener = site.web.bind().await.unwrap();
    let cancel = Cancel::new();
    let (web, its) = (site.web.clone(), cancel.clone());
    let serving = tokio::spawn(async move { web.serve(listener, &its, |_| ()).await });
    let mut hold = site.faults.restic.hold_next("backup");
    let olga = site.sign_in("olga").await;
    let path = site.post(&olga, "/containers/db/run", &[]).await.location();
    hold.reached().await;
    cancel.cancel();
    while !site.get(&olga, &path).await.text().contains("told to end") {
        tokio::task::yield_now().await;
    }
    hold.release();
    serving.await.unwrap().unwrap();
    site.get(&olga, &path).await.shows(&["cancelled"]);
    let state = site.dory.containers().await.unwrap().remove(0).container.state;
    assert_eq!(state.as_str(), "running");
}
