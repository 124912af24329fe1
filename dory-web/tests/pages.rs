//! What the pages show, and what their forms change.

use axum::http::StatusCode;
use dory_core::domain::policy::{PolicyOverrides, StopMode};
use dory_core::services::{BackupEdit, PointEdit};

use crate::site::{Site, newest, point_path};

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_fleet_says_how_to_begin() {
    let site = Site::new().await;
    let vic = site.sign_in("vic").await;
    site.get(&vic, "/").await.shows(&["No backup yet", "dory.backup=true", "None has shown itself"]);
    site.get(&vic, "/backups").await.shows(&["No backup yet"]);
    site.get(&vic, "/containers").await.shows(&["No container"]);
    site.get(&vic, "/servers").await.shows(&["None has shown itself"]);
    site.get(&vic, "/runs").await.shows(&["Nothing was begun here", "No command was sent"]);
    let ada = site.sign_in("ada").await;
    site.get(&ada, "/users").await.shows(&["No token yet"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_tells_all_that_is_to_be_known_of_a_backup() {
    let (site, backup) = Site::with_backup().await;
    let edit = BackupEdit { description: Some("orders and customers".into()), ..BackupEdit::default() };
    site.dory.edit_backup("db", &edit).await.unwrap();
    let container = site.dory.containers().await.unwrap().remove(0).container;
    let vic = site.sign_in("vic").await;
    let page = site.get(&vic, "/backups").await.shows(&[
        "orders and customers",
        "server-1",
        "restic",
        "Oldest",
        "Latest",
        "Since",
    ]);
    assert!(page.contains(container.id.as_str()) && page.contains(backup.id.as_str()));
    assert!(page.contains("<time datetime=") && page.contains("UTC"));
    site.runtime.container("other").volume("other", "/data").running();
    site.runtime.remove_container("db");
    site.clock.advance(std::time::Duration::from_secs(60));
    site.get(&vic, "/backups?show=orphaned").await.shows(&["orphaned", "container db is gone from server-1"]);
    site.get(&vic, "/").await.shows(&["Needs attention", "orphaned"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_searched_sorted_and_filtered_by_links() {
    let site = Site::new().await;
    for name in ["alpha", "beta", "gamma"] {
        site.database(name);
        site.back_up(name).await;
    }
    site.back_up("beta").await;
    site.dory.mark("gamma", true).await.unwrap();
    site.clock.advance(std::time::Duration::from_secs(60));
    let vic = site.sign_in("vic").await;
    let order = async |query: &str| {
        let page = site.get(&vic, &format!("/backups?{query}")).await.shows(&[]);
        let mut found: Vec<(usize, &str)> = ["alpha", "beta", "gamma"]
            .into_iter()
            .filter_map(|name| Some((page.find(&format!(">{name}</a>"))?, name)))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(order("").await, "alpha beta gamma");
    assert_eq!(order("sort=name&order=down").await, "gamma beta alpha");
    assert_eq!(order("sort=points").await, "beta alpha gamma");
    assert_eq!(order("sort=latest&order=up").await, "alpha gamma beta");
    assert_eq!(order("q=ALPH").await, "alpha");
    assert_eq!(order("q=server-1+bet").await, "beta");
    assert_eq!(order("show=marked").await, "gamma");
    assert_eq!(order("server=server-2").await, "");
    site.get(&vic, "/backups?q=nothing+such").await.shows(&["Nothing fits", "Show all 3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_shows_its_points_charts_and_history() {
    let (site, _) = Site::with_backup().await;
    let backup = site.back_up("db").await;
    let edit = PointEdit {
        name: Some("before production reload 2016-02-10".into()),
        description: Some("all is well".into()),
        protected: Some(true),
    };
    let choice = dory_core::domain::backup::PointChoice::Named(newest(&backup).to_string());
    site.dory.edit_point("db", &choice, &edit).await.unwrap();
    let path = format!("/backups/{}", backup.id);
    let vic = site.sign_in("vic").await;
    let words = [
        "before production reload 2016-02-10",
        "all is well",
        "protected",
        "stopped",
        "Current size",
        "Oldest",
        "First backed up",
        "<svg",
        "Stop window",
        "1 container so far",
        "server-1",
    ];
    let page = site.get(&vic, &path).await.shows(&words);
    assert!(!page.contains("Back up now") && !page.contains(">Delete<"), "a viewer is shown no button that refuses");
    let ada = site.sign_in("ada").await;
    site.get(&ada, &path).await.shows(&["Back up now", ">Delete<", ">Restore<"]);
    let point = site.get(&vic, &point_path(&backup)).await;
    point.shows(&["/var/lib/db", "volume db-data", "restic", "Added to the store"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_renamed_moved_and_described() {
    let (site, backup) = Site::with_backup().await;
    let olga = site.sign_in("olga").await;
    let path = format!("/backups/{}", backup.id);
    site.get(&olga, &format!("{path}/edit")).await.shows(&["value=\"db\"", "server-1"]);
    let fields = [
        ("name", "shop"),
        ("server", "server-2"),
        ("description", "orders"),
        ("metadata", "owner = billing\ntier=1\n"),
        ("marked", "yes"),
    ];
    assert_eq!(site.post(&olga, &format!("{path}/edit"), &fields).await.location(), path);
    let changed = site.dory.catalog().backup(&backup.id).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.server.as_str()), ("shop", "server-2"));
    assert_eq!(changed.description.as_deref(), Some("orders"));
    assert_eq!(changed.metadata.get("owner").map(String::as_str), Some("billing"));
    assert_eq!(changed.marked, Some(true));
    let fields = [("name", "shop"), ("server", "server-2"), ("metadata", "tier=2"), ("marked", "label")];
    site.post(&olga, &format!("{path}/edit"), &fields).await;
    let changed = site.dory.catalog().backup(&backup.id).await.unwrap();
    assert_eq!(changed.metadata.into_iter().collect::<Vec<_>>(), [("tier".to_owned(), "2".to_owned())]);
    assert!(changed.description.is_none() && changed.marked.is_none());
    for (field, value, words) in
        [("metadata", "no equals sign", "key=value"), ("server", "a/b", "server name"), ("name", " ", "name")]
    {
        let mut fields = vec![("name", "shop"), ("server", "server-2")];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value));
        let shown = site.post(&olga, &format!("{path}/edit"), &fields).await;
        assert_eq!(shown.status, StatusCode::BAD_REQUEST, "{field}");
        assert!(shown.text().contains(words), "{field}: {}", shown.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_is_named_described_and_protected() {
    let (site, backup) = Site::with_backup().await;
    let olga = site.sign_in("olga").await;
    let path = point_path(&backup);
    let fields = [("name", "before production reload 2016-02-10"), ("description", "all is well"), ("protected", "on")];
    assert_eq!(site.post(&olga, &path, &fields).await.location(), path);
    let point = site.dory.catalog().backup(&backup.id).await.unwrap().points.remove(0);
    assert_eq!(point.name.as_deref(), Some("before production reload 2016-02-10"));
    assert!(point.protected);
    site.post(&olga, &path, &[("name", ""), ("description", "")]).await;
    let point = site.dory.catalog().backup(&backup.id).await.unwrap().points.remove(0);
    assert!(point.name.is_none() && point.description.is_none() && !point.protected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_tried_out_saved_and_left_open_again() {
    let site = Site::new().await;
    site.runtime
        .container("db")
        .volume("db", "/data")
        .label("dory.stop", "pause")
        .label("dory.keep", "last=9")
        .running();
    site.write("db", "rows", "one");
    let backup = site.back_up("db").await;
    let olga = site.sign_in("olga").await;
    let path = format!("/backups/{}/policy", backup.id);
    site.get(&olga, &path).await.shows(&["as without it: pause", "Empty: last=9", "None: nothing schedules it"]);

    let tried = site.get(&olga, &format!("{path}?try=1&schedule=30+2+*+*+*&keep=daily%3D7")).await;
    let page = tried.shows(&["only tried out", "02:30:00 UTC"]);
    assert_eq!(page.matches("02:30:00 UTC (").count() + page.matches("02:30:00 UTC <").count(), 5);
    let unchanged = site.dory.catalog().backup(&backup.id).await.unwrap();
    assert_eq!(unchanged.policy, PolicyOverrides::default());
    site.get(&olga, &format!("{path}?try=1&schedule=whenever")).await.shows(&["role=\"alert\"", "schedule"]);

    let fields = [
        ("schedule", "@daily"),
        ("keep", "last=3,daily=7"),
        ("stop", "stop"),
        ("exclude", "cache/**\ntmp\n"),
        ("engine", "duplicity"),
        ("engine_options", "volsize=50"),
    ];
    assert_eq!(site.post(&olga, &path, &fields).await.location(), path);
    let policy = site.dory.catalog().backup(&backup.id).await.unwrap().policy;
    assert_eq!(
        (policy.stop, policy.exclude.clone()),
        (Some(StopMode::Stop), Some(vec!["cache/**".into(), "tmp".into()]))
    );
    assert_eq!(policy.engine_options.get("volsize").map(String::as_str), Some("50"));
    site.get(&olga, &path).await.shows(&["@daily", "last=3,daily=7", "volsize=50"]);

    for (name, value, words) in [
        ("schedule", "99 * * * *", "schedule"),
        ("keep", "some", "`last`"),
        ("stop", "halt", "`pause`"),
        ("engine", "tar", "`duplicity`"),
        ("suspect_below", "200%", "percentage"),
        ("engine_options", "run=evil", "run"),
        ("engine_options", "no equals", "option=value"),
    ] {
        let shown = site.post(&olga, &path, &[(name, value)]).await;
        assert_eq!(shown.status, StatusCode::BAD_REQUEST, "{name}={value}: {}", shown.text());
        assert!(shown.text().contains(words), "{name}: {}", shown.text());
        assert_eq!(site.dory.catalog().backup(&backup.id).await.unwrap().policy, policy, "{name}");
    }
    site.post(&olga, &path, &[]).await;
    assert_eq!(site.dory.catalog().backup(&backup.id).await.unwrap().policy, PolicyOverrides::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_keep_is_shown_with_reasons_before_anything_goes() {
    let (site, _) = Site::with_backup().await;
    let backup = site.back_up("db").await;
    let ada = site.sign_in("ada").await;
    let path = format!("/backups/{}", backup.id);
    site.get(&ada, &format!("{path}/retention")).await.shows(&["everything stays", "no rules are set"]);
    let tried = site.get(&ada, &format!("{path}/retention?keep=last%3D1")).await;
    let page = tried.shows(&["1 point of 2 would go", "the last", "goes"]);
    assert!(!page.contains("/prune"), "what is tried out cannot be carried out by mistake");
    site.post(&ada, &format!("{path}/policy"), &[("keep", "last=1")]).await;
    site.get(&ada, &format!("{path}/retention")).await.shows(&["Delete 1 point now"]);
    let begun = site.post(&ada, &format!("{path}/prune"), &[]).await;
    let run = site.run_ends(&ada, &begun).await;
    site.get(&ada, &run).await.shows(&["deleted 1 restore point"]);
    assert_eq!(site.dory.catalog().backup(&backup.id).await.unwrap().points.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_browsed_and_marked() {
    let site = Site::new().await;
    site.database("db");
    site.runtime.container("proxy").running();
    let (vic, olga) = (site.sign_in("vic").await, site.sign_in("olga").await);
    site.get(&vic, "/containers").await.shows(&["db", "proxy", "/var/lib/db", "no backup", "nothing to back up"]);
    assert_eq!(site.post(&olga, "/containers/db/mark", &[("marked", "true")]).await.location(), "/containers");
    assert!(site.dory.find_backup("db").await.unwrap().is_marked());
    site.get(&vic, "/").await.shows(&["never backed up"]);
    let page = site.get(&vic, "/containers").await.shows(&["marked"]);
    assert!(!page.contains("Back up now"));
    site.post(&olga, "/containers/db/mark", &[("marked", "false")]).await;
    assert!(!site.dory.find_backup("db").await.unwrap().is_marked());
    let page = site.get(&vic, "/containers?show=uncovered").await.shows(&["db"]);
    assert!(!page.contains(">proxy<"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_theme_is_chosen_without_scripts() {
    let site = Site::new().await;
    let mut vic = site.sign_in("vic").await;
    assert!(!site.get(&vic, "/").await.text().contains("data-theme="));
    let shown = site.post(&vic, "/theme", &[("theme", "dark"), ("back", "/servers?x=1")]).await;
    assert_eq!(shown.location(), "/servers?x=1");
    vic.keep_cookies(&shown);
    site.get(&vic, "/").await.shows(&["data-theme=\"dark\""]);
    let elsewhere = site.post(&vic, "/theme", &[("theme", "<script>"), ("back", "//evil.example")]).await;
    assert_eq!(elsewhere.location(), "/");
    vic.keep_cookies(&elsewhere);
    site.get(&vic, "/").await.shows(&["data-theme=\"light\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_are_named_after_their_contents_and_kept_for_good() {
    let site = Site::new().await;
    let vic = site.sign_in("vic").await;
    let page = site.get(&vic, "/").await.text();
    let paths: Vec<&str> = page.split(['"', '\'']).filter(|text| text.starts_with("/assets/")).collect();
    assert!(paths.len() >= 3);
    for path in paths {
        let shown = site.get(&crate::site::Visitor::default(), path).await;
        assert_eq!(shown.status, StatusCode::OK, "{path}");
        assert!(shown.header("cache-control").contains("immutable"));
    }
    assert_eq!(site.get(&vic, "/assets/dory.css").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_out_of_reach_is_said_and_the_server_lives() {
    let (site, _) = Site::with_backup().await;
    let vic = site.sign_in("vic").await;
    let away = dory_core::Error::new(dory_core::ErrorKind::Unavailable, "list", "backups", "no answer");
    site.faults.catalog.fail_always("list", away);
    let shown = site.get(&vic, "/backups").await;
    assert_eq!(shown.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(shown.text().contains("Out of reach") && shown.text().contains("no answer"));
    assert_eq!(site.get(&vic, "/health").await.status, StatusCode::OK);
    site.faults.heal();
    site.get(&vic, "/backups").await.shows(&["db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_out_of_reach_hides_no_backup() {
    let (site, backup) = Site::with_backup().await;
    let vic = site.sign_in("vic").await;
    let away = || dory_core::Error::new(dory_core::ErrorKind::Unavailable, "list containers of", "docker", "no answer");
    site.faults.runtime.fail_always("list_containers", away());
    site.clock.advance(std::time::Duration::from_secs(60));
    site.get(&vic, "/").await.shows(&["no container engine"]);
    site.get(&vic, "/containers").await.shows(&["cannot be asked", "no answer"]);
    let path = format!("/backups/{}", backup.id);
    site.get(&vic, &path).await.shows(&["Restore points"]);
    let page = site.get(&vic, "/backups").await.text();
    assert!(!page.contains("orphaned</span>"), "what nobody can tell is not claimed");
    site.faults.heal();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_in_the_house_style() {
    let (site, backup) = Site::with_backup().await;
    let vic = site.sign_in("vic").await;
    for path in ["/nowhere", "/backups/nothing", "/backups/-x", "/runs/01K9ZZZZZZZZZZZZZZZZZZZZZA"] {
        let shown = site.get(&vic, path).await;
        assert!(shown.status.is_client_error(), "{path}: {}", shown.status);
        assert!(shown.text().contains("<h1>"), "{path}");
    }
    let wrong = site.post(&vic, "/backups", &[]).await;
    assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
    let other = site.get(&vic, &format!("/backups/{}/points/01K9ZZZZZZZZZZZZZZZZZZZZZA", backup.id)).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_backup_is_told_of_and_cleared() {
    let site = Site::new().await;
    site.runtime.container("db").volume("db", "/data").running();
    site.write("db", "rows", &"row\n".repeat(1000));
    site.back_up("db").await;
    std::fs::remove_file(site.folder("db").join("rows")).unwrap();
    let backup = site.back_up("db").await;
    let olga = site.sign_in("olga").await;
    site.get(&olga, "/").await.shows(&["suspect", "may have lost data"]);
    let path = format!("/backups/{}", backup.id);
    site.get(&olga, &path).await.shows(&["All is well"]);
    assert_eq!(site.post(&olga, &format!("{path}/clear-suspect"), &[]).await.location(), path);
    assert!(!site.dory.catalog().backup(&backup.id).await.unwrap().is_frozen());
}
