//! What strangers and containers may send: shown as it is, refused in words, never carried out.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use dory_core::services::{BackupEdit, PointEdit};
use dory_web::{Need, routes};

use crate::site::{Site, newest};
use crate::walk::filled;

const EVIL: &str = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>'&amp;";

#[tokio::test(flavor = "multi_thread")]
async fn html_in_every_name_is_text_on_every_page() {
    let site = Site::new().await;
    site.runtime
        .container("db")
        .image(EVIL)
        .volume("db", "/<b>data")
        .label("dory.description", EVIL)
        .label("dory.stop", EVIL)
        .running();
    site.write("db", "<b>file", EVIL);
    // A label that makes no sense is shown with what is wrong with it, and taken away for the backup.
    let ada = site.sign_in("ada").await;
    let page = site.get(&ada, "/containers").await.shows(&["&lt;script&gt;"]);
    assert!(!page.contains("<script>alert") && !page.contains("<img src=x"));
    site.runtime.remove_container("db");
    site.runtime.container("db").image(EVIL).volume("db", "/<b>data").label("dory.description", EVIL).running();
    let backup = site.back_up("db").await;
    let edit = BackupEdit {
        name: Some(EVIL.into()),
        description: Some(EVIL.into()),
        metadata: [(EVIL.to_owned(), Some(EVIL.to_owned()))].into(),
        ..BackupEdit::default()
    };
    site.dory.edit_backup(backup.id.as_str(), &edit).await.unwrap();
    let choice = dory_core::domain::backup::PointChoice::Named(newest(&backup).to_string());
    let edit = PointEdit { name: Some(EVIL.into()), description: Some(EVIL.into()), protected: None };
    site.dory.edit_point(backup.id.as_str(), &choice, &edit).await.unwrap();
    site.post(&ada, "/tokens", &[("name", EVIL.get(..60).unwrap()), ("scope", "read")]).await;
    site.clock.advance(std::time::Duration::from_secs(60));
    let mut seen = 0;
    for route in routes().iter().filter(|route| route.method == "GET" && !route.path.starts_with("/api/")) {
        let path = filled(route, &backup);
        for query in [
            "",
            "?q=%3Cscript%3Ealert(1)&path=/%3Cb%3Edata&keep=last%3D1&plan=1&into=%3Cimg+src%3Dx%3E&try=1&schedule=%3Cb%3E",
        ] {
            let shown = site.get(&ada, &format!("{path}{query}")).await;
            let text = shown.text();
            if shown.header("content-type").starts_with("text/html") {
                for tag in ["<script>alert", "<img src=x", "<b>"] {
                    assert!(!text.contains(tag), "{tag} on {path}{query}:\n{text}");
                }
                seen += usize::from(text.contains("&lt;script&gt;") || text.contains("&lt;b&gt;"));
            }
        }
    }
    assert!(seen > 15, "{seen} pages show such names");
    let file = format!("/backups/{}/points/{}/view?path=/%3Cb%3Edata/%3Cb%3Efile", backup.id, newest(&backup));
    site.get(&ada, &file).await.shows(&["&lt;script&gt;alert(1)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_of_another_kind_is_refused() {
    let (site, backup) = Site::with_backup().await;
    let ada = site.sign_in("ada").await;
    let path = format!("/backups/{}/edit", backup.id);
    let huge = format!("csrf={}&description={}", ada.csrf, "x".repeat(10 << 20));
    let form = "application/x-www-form-urlencoded";
    let shown = site.send(ada.request(Method::POST, &path, form, huge.into())).await;
    assert_eq!(shown.status, StatusCode::PAYLOAD_TOO_LARGE);
    for kind in ["multipart/form-data; boundary=x", "application/json", "text/plain", ""] {
        let body = format!("csrf={}&name=x&server=server-1", ada.csrf);
        let shown = site.send(ada.request(Method::POST, &path, kind, body.into())).await;
        assert_eq!(shown.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
    let odd = format!("csrf={}&name=%ff%fe&server=server-1&%00=%00&&&==&=", ada.csrf);
    let shown = site.send(ada.request(Method::POST, &path, form, odd.into())).await;
    assert!(!shown.status.is_server_error(), "{}", shown.text());
    let program = site.program(dory_core::domain::user::Role::Admin).await;
    let api = format!("/api/v1/backups/{}", backup.id);
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(10 << 20));
    let mut request = program.request(Method::PATCH, &api, "application/json", huge.into());
    request.headers_mut().insert("content-length", "10485771".parse().unwrap());
    assert_eq!(site.send(request).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let mut request = program.request(Method::PATCH, &api, "text/plain", "{}".into());
    request.headers_mut().insert("content-length", "2".parse().unwrap());
    assert_eq!(site.send(request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_paths_queries_and_headers_are_answered_in_words() {
    let (site, backup) = Site::with_backup().await;
    let ada = site.sign_in("ada").await;
    let point = format!("/backups/{}/points/{}", backup.id, newest(&backup));
    for path in [
        "/backups/..%2f..%2fdory.json",
        "/backups/%00",
        "/backups/%ff",
        "/assets/..%2f..%2fCargo.toml",
        "/runs/not-a-run",
        "/backups?page=99999999999999999999&sort=nothing&order=sideways",
        "/audit?before=yesterday",
        "/first/%3Cscript%3E",
        "//evil.example",
    ] {
        let shown = site.get(&ada, path).await;
        assert!(!shown.status.is_server_error(), "{path}: {}", shown.text());
        assert!(!shown.text().contains("[package]"), "{path}");
    }
    for query in ["path=%ff", "path=%5Cxff", "path=%00", "path=relative", "path=/var/lib/db&page=-1", "path=%5C"] {
        let shown = site.get(&ada, &format!("{point}/files?{query}")).await;
        assert!(!shown.status.is_server_error(), "{query}: {}", shown.text());
    }
    let mut request = ada.request(Method::GET, "/", "", Body::empty());
    request.headers_mut().insert("cookie", "dory_session=; ;;=;dory_session".parse().unwrap());
    assert_eq!(site.send(request).await.status, StatusCode::SEE_OTHER);
    let mut request = ada.request(Method::GET, "/health", "", Body::empty());
    request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    request.headers_mut().insert("connection", "upgrade".parse().unwrap());
    assert_eq!(site.send(request).await.status, StatusCode::OK, "there is no other protocol to speak");
    for method in ["PUT", "DELETE", "TRACE", "CONNECT", "OPTIONS", "BREW"] {
        let shown = site.send(ada.request(method.parse().unwrap(), "/backups", "", Body::empty())).await;
        assert!(shown.status.is_client_error(), "{method}: {}", shown.status);
    }
}

#[test]
fn strangers_are_shown_little() {
    let open: Vec<&str> = routes().iter().filter(|route| route.need == Need::Open).map(|route| route.path).collect();
    let expected = [
        "/health",
        "/assets/{file}",
        "/sign-in",
        "/sign-in",
        "/first/{token}",
        "/first/{token}",
        "/api/v1/openapi.json",
    ];
    assert_eq!(open, expected);
}
