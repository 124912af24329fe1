//! Who comes in, how, and who does not.

use std::time::Duration;

use axum::http::StatusCode;
use dory_core::domain::keys::Encryption;
use dory_core::domain::user::Role;
use dory_core::services::RunEvents;
use dory_testkit::World;
use dory_web::{ProxyTrust, Web, WebOptions};

use crate::site::{PASSWORD, Site, Visitor};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_admin_comes_in_by_a_link_that_works_once() {
    let world = World::new();
    let dory = world.dory();
    dory.open_or_found_fleet(&RunEvents::ignored()).await.unwrap();
    let web = Web::new(dory.clone(), WebOptions::on_loopback(0)).unwrap();
    let site = Site { world, dory, web };
    let link = site.web.first_link().await.unwrap().unwrap();

    let mut visitor = site.stranger().await;
    let guess = format!("/first/{}", "0".repeat(64));
    assert_eq!(site.get(&visitor, &guess).await.status, StatusCode::NOT_FOUND);
    let form = site.get(&visitor, &link).await;
    form.shows(&["Welcome to Dory"]);
    visitor.keep_cookies(&form);
    let fields =
        |password: &'static str, again: &'static str| [("name", "ada"), ("password", password), ("again", again)];
    let short = site.post(&visitor, &link, &fields("short", "short")).await;
    assert_eq!(short.status, StatusCode::BAD_REQUEST);
    let unlike = site.post(&visitor, &link, &fields(PASSWORD, "another password")).await;
    assert!(unlike.text().contains("the two are not the same"));
    assert_eq!(site.post(&visitor, &guess, &fields(PASSWORD, PASSWORD)).await.status, StatusCode::NOT_FOUND);

    let done = site.post(&visitor, &link, &fields(PASSWORD, PASSWORD)).await;
    assert_eq!((done.status, done.location().as_str()), (StatusCode::SEE_OTHER, "/"));
    visitor.keep_cookies(&done);
    site.get(&visitor, "/users").await.shows(&["ada"]);
    let again = site.post(&visitor, &link, &[("name", "eve"), ("password", PASSWORD), ("again", PASSWORD)]).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert_eq!(site.web.first_link().await.unwrap(), None);
    let kept = site.catalog.peek("users.json").unwrap();
    assert!(!kept.contains(PASSWORD) && kept.contains("\"seal\""));

    // Whoever lost the password and has the host gets another one.
    let link = site.web.link_for_another_admin().unwrap();
    let stranger = site.stranger().await;
    let added = site.post(&stranger, &link, &[("name", "eve"), ("password", PASSWORD), ("again", PASSWORD)]).await;
    assert_eq!(added.status, StatusCode::SEE_OTHER, "{}", added.text());
    assert_eq!(site.dory.users().await.unwrap().find("eve").unwrap().role, Role::Admin);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_locks_the_account_for_a_while_and_is_written_down() {
    let site = Site::new().await;
    let stranger = site.stranger().await;
    let try_as = async |name: &str, password: &str| {
        site.post(&stranger, "/sign-in", &[("name", name), ("password", password)]).await
    };
    for _ in 0..10 {
        let shown = try_as("ada", "wrong").await;
        assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
        assert!(shown.text().contains("The name or the password is wrong."));
    }
    let locked = try_as("ada", PASSWORD).await;
    assert_eq!(locked.status, StatusCode::TOO_MANY_REQUESTS, "even with the right one");
    assert_eq!(locked.header("retry-after"), "900");
    assert_eq!(try_as("olga", PASSWORD).await.status, StatusCode::SEE_OTHER, "others come in");
    let entries = site.dory.audit(None, 10).await.unwrap();
    let told: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert!(told.contains(&"guess passwords until locked out") && told.contains(&"sign in"), "{told:?}");
    site.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(try_as("ada", PASSWORD).await.status, StatusCode::SEE_OTHER);
    let unknown = try_as("nobody", PASSWORD).await;
    assert!(unknown.text().contains("The name or the password is wrong."), "names are not given away");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_guesses_is_locked_whatever_the_names() {
    let site = Site::new().await;
    let stranger = site.stranger().await;
    let mut refused = 0;
    for turn in 0..31 {
        let shown = site.post(&stranger, "/sign-in", &[("name", &format!("user{turn}")), ("password", "wrong")]).await;
        refused += usize::from(shown.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(refused, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_and_idling_end_a_session() {
    let site = Site::new().await;
    let ada = site.sign_in("ada").await;
    assert_eq!(site.get(&ada, "/").await.status, StatusCode::OK);
    assert_eq!(site.post(&ada, "/sign-out", &[]).await.location(), "/sign-in");
    assert_eq!(site.get(&ada, "/").await.status, StatusCode::SEE_OTHER);
    let ada = site.sign_in("ada").await;
    site.clock.advance(Duration::from_secs(8 * 3600));
    assert_eq!(site.get(&ada, "/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_worth_what_its_user_is_now() {
    let site = Site::new().await;
    let (ada, olga) = (site.sign_in("ada").await, site.sign_in("olga").await);
    assert_eq!(site.post(&ada, "/users/olga/role", &[("role", "viewer")]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.post(&olga, "/containers/db/run", &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.post(&ada, "/users/olga/remove", &[]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.get(&olga, "/").await.status, StatusCode::SEE_OTHER);
    let last = site.post(&ada, "/users/ada/remove", &[]).await;
    assert_eq!(last.status, StatusCode::CONFLICT);
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_are_out_of_reach_for_scripts_and_other_sites() {
    let site = Site::new().await;
    let stranger = site.stranger().await;
    let shown = site.post(&stranger, "/sign-in", &[("name", "ada"), ("password", PASSWORD)]).await;
    let cookie = shown.header("set-cookie");
    assert!(cookie.starts_with("dory_session=") && cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"));
    let behind = Site::with(|mut options| {
        let addresses = vec!["192.0.2.7".parse().unwrap()];
        options.proxy = Some(ProxyTrust { addresses, user_header: None, role: None });
        options
    })
    .await;
    let stranger = behind.stranger().await.with("x-forwarded-proto", "https");
    let shown = behind.post(&stranger, "/sign-in", &[("name", "ada"), ("password", PASSWORD)]).await;
    let cookie = shown.header("set-cookie");
    assert!(cookie.starts_with("__Host-dory=") && cookie.contains("; Secure"), "{cookie}");
    assert_eq!(shown.header("strict-transport-security"), "max-age=31536000");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_proxy_says_who_somebody_is() {
    let trusting = |address: &'static str, role| async move {
        Site::with(move |mut options| {
            let addresses = vec![address.parse().unwrap()];
            options.proxy = Some(ProxyTrust { addresses, user_header: Some("remote-user".into()), role });
            options
        })
        .await
    };
    let named = |name: &str| Visitor { headers: vec![("remote-user", name.to_owned())], ..Visitor::default() };
    let site = trusting("192.0.2.7", None).await;
    site.get(&named("vic"), "/").await.shows(&["vic", "viewer"]);
    assert_eq!(site.get(&named("vic"), "/users").await.status, StatusCode::FORBIDDEN);
    let unknown = site.get(&named("mallory"), "/").await;
    assert_eq!(unknown.status, StatusCode::FORBIDDEN);
    assert!(unknown.text().contains("DORY_WEB_PROXY_ROLE"));
    let site = trusting("192.0.2.7", Some(Role::Viewer)).await;
    site.get(&named("mallory"), "/").await.shows(&["mallory", "viewer"]);
    let site = trusting("192.0.2.8", Some(Role::Admin)).await;
    assert_eq!(site.get(&named("ada"), "/").await.status, StatusCode::SEE_OTHER, "it came from elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_passphrase_users_live_as_long_as_the_server() {
    let world = World::new();
    let dory = world.dory_with(Some(Encryption::None));
    dory.open_or_found_fleet(&RunEvents::ignored()).await.unwrap();
    let web = Web::new(dory.clone(), WebOptions::on_loopback(0)).unwrap();
    let site = Site { world, dory, web };
    let link = site.web.first_link().await.unwrap().unwrap();
    let stranger = site.stranger().await;
    let done = site.post(&stranger, &link, &[("name", "ada"), ("password", PASSWORD), ("again", PASSWORD)]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    let ada = site.sign_in("ada").await;
    site.get(&ada, "/users").await.shows(&["kept in memory"]);
    assert!(!site.catalog.keys().contains(&"users.json".to_owned()));
    let again = Web::new(site.dory.clone(), WebOptions::on_loopback(0)).unwrap();
    assert!(again.first_link().await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn users_that_nobody_of_the_fleet_wrote_let_nobody_in() {
    let site = Site::new().await;
    let forged = site.catalog.peek("users.json").unwrap().replace("\"viewer\"", "\"admin\"");
    site.catalog.put("users.json", forged);
    let shown = site.get(&Visitor::default(), "/sign-in").await;
    assert_eq!(shown.status, StatusCode::OK);
    let stranger = site.stranger().await;
    let shown = site.post(&stranger, "/sign-in", &[("name", "vic"), ("password", PASSWORD)]).await;
    assert_eq!(shown.status, StatusCode::FORBIDDEN, "{}", shown.text());
    assert!(shown.text().contains("users.json"));
}
