//! Users, tokens and the record of who did what.

use axum::http::{Method, StatusCode};
use dory_core::domain::user::Role;
use serde_json::Value;

use crate::site::{PASSWORD, Site, Visitor};

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_adds_somebody_who_then_signs_in() {
    let site = Site::new().await;
    let ada = site.sign_in("ada").await;
    let fields = [("name", "bob@example.org"), ("role", "operator"), ("password", PASSWORD)];
    assert_eq!(site.post(&ada, "/users", &fields).await.location(), "/users");
    site.get(&ada, "/users").await.shows(&["bob@example.org", "operator"]);
    let bob = site.sign_in("bob@example.org").await;
    assert_eq!(site.get(&bob, "/users").await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.post(&ada, "/users", &fields).await.status, StatusCode::CONFLICT);
    for odd in ["", "a b", "<b>", "-x"] {
        let shown = site.post(&ada, "/users", &[("name", odd), ("role", "viewer")]).await;
        assert_eq!(shown.status, StatusCode::BAD_REQUEST, "{odd}");
    }
    let role = site.post(&ada, "/users", &[("name", "eve"), ("role", "root")]).await;
    assert!(role.status == StatusCode::BAD_REQUEST && role.text().contains("`viewer`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_other_sessions() {
    let site = Site::new().await;
    let (here, elsewhere) = (site.sign_in("vic").await, site.sign_in("vic").await);
    let new = "another good one";
    let fields = |now: &'static str| [("now", now), ("password", new), ("again", new)];
    let wrong = site.post(&here, "/account/password", &fields("not this one")).await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    assert_eq!(site.post(&here, "/account/password", &fields(PASSWORD)).await.location(), "/account?done=1");
    assert_eq!(site.get(&here, "/").await.status, StatusCode::OK);
    assert_eq!(site.get(&elsewhere, "/").await.status, StatusCode::SEE_OTHER);
    let stranger = site.stranger().await;
    let old = site.post(&stranger, "/sign-in", &[("name", "vic"), ("password", PASSWORD)]).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED);

    let ada = site.sign_in("ada").await;
    let reset = site.post(&ada, "/users/vic/password", &[("password", PASSWORD), ("again", PASSWORD)]).await;
    assert_eq!(reset.status, StatusCode::SEE_OTHER);
    assert_eq!(site.get(&here, "/").await.status, StatusCode::SEE_OTHER, "an admin signs them out everywhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_works_within_its_scope_and_can_be_revoked() {
    let site = Site::new().await;
    let ada = site.sign_in("ada").await;
    let made = site.post(&ada, "/tokens", &[("name", "ci"), ("scope", "read"), ("days", "30")]).await;
    let page = made.shows(&["shown this once"]);
    let text = page.split("<pre>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert!(text.starts_with("dory_"));
    assert!(!site.get(&ada, "/users").await.text().contains(&text));
    assert!(!site.catalog.peek("users.json").unwrap().contains(&text));
    let program = Visitor { headers: vec![("authorization", format!("Bearer {text}"))], ..Visitor::default() };
    assert_eq!(site.get(&program, "/api/v1/backups").await.status, StatusCode::OK);
    let run = site.call(&program, Method::POST, "/api/v1/containers/db/run", &Value::Null).await;
    assert_eq!(run.status, StatusCode::FORBIDDEN);
    assert_eq!(run.header("content-type"), "application/problem+json");
    site.clock.advance(std::time::Duration::from_secs(30 * 24 * 3600));
    assert_eq!(site.get(&program, "/api/v1/backups").await.status, StatusCode::UNAUTHORIZED, "its time is over");

    let program = site.program(Role::Operator).await;
    let ada = site.sign_in("ada").await;
    let id = site.dory.users().await.unwrap().tokens.last().unwrap().id;
    assert_eq!(site.post(&ada, &format!("/tokens/{id}/revoke"), &[]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.get(&program, "/api/v1/backups").await.status, StatusCode::UNAUTHORIZED);
    let days = site.post(&ada, "/tokens", &[("name", "x"), ("scope", "read"), ("days", "0")]).await;
    assert_eq!(days.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_did_is_written_down_with_what_came_of_it() {
    let (site, backup) = Site::with_backup().await;
    let (ada, olga) = (site.sign_in("ada").await, site.sign_in("olga").await);
    let path = format!("/backups/{}", backup.id);
    site.post(&olga, &format!("{path}/edit"), &[("name", "shop"), ("server", "server-1")]).await;
    site.post(&olga, &format!("{path}/edit"), &[("name", ""), ("server", "server-1")]).await;
    site.post(&olga, &format!("{path}/delete"), &[("confirm", "shop")]).await;
    site.clock.advance(std::time::Duration::from_secs(5));
    site.post(&ada, "/users", &[("name", "eve"), ("role", "viewer")]).await;
    let page =
        site.get(&ada, "/audit").await.shows(&["olga", "edit backup", "192.0.2.7", "add user", "eve", "refused"]);
    assert!(page.contains(backup.id.as_str()));
    let entries = site.dory.audit(None, 50).await.unwrap();
    let of_olga: Vec<_> = entries.iter().filter(|entry| entry.by == "olga" && entry.action == "edit backup").collect();
    assert_eq!(of_olga.len(), 2);
    assert!(of_olga.iter().any(|entry| entry.error.is_none()) && of_olga.iter().any(|entry| entry.error.is_some()));
    assert!(!entries.iter().any(|entry| entry.action == "delete backup"), "she may not even try");
    let older = format!("/audit?before={}", entries[0].id);
    assert!(!site.get(&ada, &older).await.text().contains("add user"));

    site.clock.advance(std::time::Duration::from_secs(367 * 24 * 3600));
    site.dory.trim_audit().await.unwrap();
    assert!(site.dory.audit(None, 50).await.unwrap().is_empty(), "a year is enough");
}
