//! The table of routes, walked by those who may not.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use dory_core::domain::backup::Backup;
use dory_core::domain::user::Role;
use dory_web::{Need, RouteInfo, routes};

use crate::site::{Shown, Site, Visitor, newest};

/// A route's path with everything in it filled in.
pub(crate) fn filled(route: &RouteInfo, backup: &Backup) -> String {
    route
        .path
        .replace("{backup}", backup.id.as_str())
        .replace("{point}", &newest(backup).to_string())
        .replace("{container}", "db")
        .replace("{run}", "01K9ZZZZZZZZZZZZZZZZZZZZZA")
        .replace("{user}", "vic")
        .replace("{token}", "01K9ZZZZZZZZZZZZZZZZZZZZZB")
        .replace("{file}", "dory.css")
}

async fn knock(site: &Site, visitor: &Visitor, route: &RouteInfo, path: &str) -> Shown {
    let method: Method = route.method.parse().unwrap();
    match method {
        Method::GET => site.get(visitor, path).await,
        _ if route.path.starts_with("/api/") => site.call(visitor, method, path, &serde_json::json!({})).await,
        _ => site.post(visitor, path, &[("confirm", "db"), ("marked", "true")]).await,
    }
}

/// Everything in the store but the records of who came in.
fn stored(site: &Site) -> Vec<(String, Option<String>)> {
    let keys = site.catalog.keys().into_iter().filter(|key| !key.starts_with("audit/"));
    keys.map(|key| (key.clone(), site.catalog.peek(&key))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_past_the_sign_in() {
    let (site, backup) = Site::with_backup().await;
    let before = stored(&site);
    let stranger = site.stranger().await;
    let mut walked = 0;
    for route in routes().iter().filter(|route| route.need != Need::Open) {
        let shown = knock(&site, &stranger, route, &filled(route, &backup)).await;
        let is_page = !route.path.starts_with("/api/");
        if is_page && route.method == "GET" {
            assert_eq!(shown.status, StatusCode::SEE_OTHER, "{route:?}");
            assert!(shown.location().starts_with("/sign-in?next=%2F"), "{route:?}: {}", shown.location());
        } else {
            assert_eq!(shown.status, StatusCode::UNAUTHORIZED, "{route:?}: {}", shown.text());
        }
        let body = shown.text();
        assert!(!body.contains("server-1") && !body.contains("db-"), "{route:?} tells of inner things: {body}");
        walked += 1;
    }
    assert!(walked > 50);
    assert_eq!(stored(&site), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_does_what_takes_a_higher_role() {
    let (site, backup) = Site::with_backup().await;
    let viewer = (site.sign_in("vic").await, site.program(Role::Viewer).await, Role::Viewer);
    let operator = (site.sign_in("olga").await, site.program(Role::Operator).await, Role::Operator);
    let before = stored(&site);
    for (browser, program, role) in [viewer, operator] {
        let above = |route: &&RouteInfo| matches!(route.need, Need::Role(needed) if needed > role);
        for route in routes().iter().filter(above) {
            let visitor = if route.path.starts_with("/api/") { &program } else { &browser };
            let shown = knock(&site, visitor, route, &filled(route, &backup)).await;
            assert_eq!(shown.status, StatusCode::FORBIDDEN, "{route:?} as {role}: {}", shown.text());
        }
    }
    assert_eq!(stored(&site), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_is_let_in() {
    let (site, backup) = Site::with_backup().await;
    let (browser, program) = (site.sign_in("ada").await, site.program(Role::Admin).await);
    for route in routes().iter().filter(|route| route.method == "GET") {
        let visitor = if route.path.starts_with("/api/") { &program } else { &browser };
        let shown = knock(&site, visitor, route, &filled(route, &backup)).await;
        let refused = [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED, StatusCode::METHOD_NOT_ALLOWED];
        assert!(!refused.contains(&shown.status), "{route:?}: {}", shown.text());
        assert!(!shown.status.is_server_error(), "{route:?}: {}", shown.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_from_elsewhere_does_nothing() {
    let (site, backup) = Site::with_backup().await;
    let (ada, olga) = (site.sign_in("ada").await, site.sign_in("olga").await);
    let before = stored(&site);
    let foreign = [
        Visitor { csrf: olga.csrf.clone(), ..ada.clone() },
        Visitor { csrf: String::new(), ..ada.clone() },
        ada.with("origin", "https://evil.example"),
        ada.with("origin", "null"),
        ada.with("sec-fetch-site", "cross-site"),
        ada.with("sec-fetch-site", "same-site"),
    ];
    for route in routes().iter().filter(|route| route.method == "POST" && !route.path.starts_with("/api/")) {
        for visitor in &foreign {
            let shown = knock(&site, visitor, route, &filled(route, &backup)).await;
            assert_eq!(shown.status, StatusCode::FORBIDDEN, "{route:?} {visitor:?}: {}", shown.text());
            assert!(shown.text().contains("did not come from a page of this server"));
        }
    }
    assert_eq!(stored(&site), before);
    let own = ada.with("origin", "http://localhost:8360").with("sec-fetch-site", "same-origin");
    assert_eq!(site.post(&own, "/theme", &[("theme", "dark")]).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_no_token_and_a_token_no_cookie() {
    let (site, _) = Site::with_backup().await;
    let (browser, program) = (site.sign_in("ada").await, site.program(Role::Admin).await);
    assert_eq!(site.get(&browser, "/api/v1/backups").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.get(&program, "/backups").await.status, StatusCode::SEE_OTHER);
    let guess = Visitor { headers: vec![("authorization", "Bearer dory_guess".into())], ..Visitor::default() };
    assert_eq!(site.get(&guess, "/api/v1/backups").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_headers_that_keep_pages_apart() {
    let (site, backup) = Site::with_backup().await;
    let ada = site.sign_in("ada").await;
    for route in routes().iter().filter(|route| route.method == "GET") {
        let shown = site.get(&ada, &filled(route, &backup)).await;
        let policy = shown.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{route:?}: {policy}");
        assert_eq!(shown.header("x-content-type-options"), "nosniff", "{route:?}");
        assert_eq!(shown.header("x-frame-options"), "DENY", "{route:?}");
        assert_eq!(shown.header("cache-control"), "no-store", "{route:?}");
        let text = shown.text();
        if shown.header("content-type").starts_with("text/html") {
            assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains(" onclick="), "{route:?}");
            assert_eq!(text.matches("<script").count(), 1, "{route:?}");
            assert!(text.len() < 100_000, "{route:?} has {} bytes", text.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_another_host_is_refused() {
    let site = Site::with(|mut options| {
        options.hosts = vec!["dory.example".into()];
        options
    })
    .await;
    for (host, is_own) in [("evil.example", false), ("dory.example", true), ("[::1]:8360", true), ("", false)] {
        let mut request = Visitor::default().request(Method::GET, "/health", "", Body::empty());
        request.headers_mut().insert("host", host.parse().unwrap());
        let status = site.send(request).await.status;
        assert_eq!(status, if is_own { StatusCode::OK } else { StatusCode::MISDIRECTED_REQUEST }, "{host}");
    }
}

#[test]
fn whatever_changes_something_is_written_down() {
    let own = ["/sign-in", "/sign-out", "/first/{token}", "/theme"];
    for route in routes().iter().filter(|route| route.method != "GET" && !own.contains(&route.path)) {
        assert!(route.audited, "{route:?}");
        assert!(route.need != Need::Open, "{route:?}");
    }
}
