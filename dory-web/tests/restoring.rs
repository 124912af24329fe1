//! Looking into points, bringing them back, deleting them.

use std::io::Read;

use axum::http::StatusCode;
use dory_core::services::PointEdit;

use crate::site::{Site, point_path};

#[tokio::test(flavor = "multi_thread")]
async fn files_are_listed_looked_into_and_downloaded() {
    let site = Site::new().await;
    site.database("db");
    site.write("db-data", "notes.txt", "größe <b>1</b>\n");
    site.write("db-data", "program", "\u{7f}ELF\0\0");
    site.write("db-data", "empty", "");
    let backup = site.back_up("db").await;
    let own = point_path(&backup);
    let (vic, olga) = (site.sign_in("vic").await, site.sign_in("olga").await);
    site.get(&vic, &format!("{own}/files")).await.shows(&["/var/lib/db"]);
    let page = site.get(&vic, &format!("{own}/files?path=/var/lib/db")).await.shows(&[
        "notes.txt",
        "base/",
        "current",
        "base/1",
    ]);
    assert!(!page.contains("Download"), "a viewer sees names, not contents");
    for way in ["view", "file", "tar"] {
        let shown = site.get(&vic, &format!("{own}/{way}?path=/var/lib/db/notes.txt")).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN, "{way}");
    }
    let view = async |file: &str| site.get(&olga, &format!("{own}/view?path=/var/lib/db/{file}")).await;
    let page = view("notes.txt").await.shows(&["größe &lt;b&gt;1&lt;/b&gt;"]);
    assert!(!page.contains("<b>1</b>"));
    view("program").await.shows(&["No text"]);
    view("empty").await.shows(&["An empty file"]);
    let file = site.get(&olga, &format!("{own}/file?path=/var/lib/db/notes.txt")).await;
    assert_eq!(file.text(), "größe <b>1</b>\n");
    assert_eq!(file.header("content-type"), "application/octet-stream");
    assert!(file.header("content-disposition").starts_with("attachment; filename=\"notes.txt\""));
    assert!(file.header("content-security-policy").contains("sandbox"));
    assert!(site.get(&olga, &format!("{own}/file?path=/var/lib/db/empty")).await.body.is_empty());
    for path in ["/var/lib/db/nothing", "/etc/passwd", "/var/lib/db/base"] {
        let shown = site.get(&olga, &format!("{own}/file?path={path}")).await;
        assert!(shown.status.is_client_error(), "{path}: {}", shown.status);
    }
    let done: Vec<String> = site.dory.audit(None, 50).await.unwrap().into_iter().map(|entry| entry.action).collect();
    assert!(done.contains(&"download file".to_owned()) && done.contains(&"read file".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leads_upwards_leads_nowhere() {
    let (site, backup) = Site::with_backup().await;
    let own = point_path(&backup);
    let olga = site.sign_in("olga").await;
    for path in
        ["../../etc/passwd", "/var/lib/db/../../../etc/passwd", "/var/lib/db/..", "%2e%2e/etc", "/var/lib/db/%2e%2e/x"]
    {
        for way in ["files", "view", "file", "tar"] {
            let shown = site.get(&olga, &format!("{own}/{way}?path={path}")).await;
            assert_eq!(shown.status, StatusCode::BAD_REQUEST, "{way} {path}");
            assert!(!shown.text().contains("root:"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_comes_as_a_tar_that_holds_all_of_it() {
    let site = Site::new().await;
    site.database("db");
    let long = format!("{}/{}", "deep".repeat(30), "name".repeat(40));
    site.write("db-data", &long, "at the bottom");
    let backup = site.back_up("db").await;
    let olga = site.sign_in("olga").await;
    for (path, root) in [("/var/lib/db", "db"), ("/", "var/lib/db")] {
        let shown = site.get(&olga, &format!("{}/tar?path={path}", point_path(&backup))).await;
        assert_eq!(shown.header("content-type"), "application/x-tar", "{}", shown.text());
        let mut archive = tar::Archive::new(shown.body.as_ref());
        let mut found = std::collections::BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let link = entry.link_name().unwrap().map(|link| link.display().to_string());
            found.insert(entry.path().unwrap().display().to_string(), link.unwrap_or(text));
        }
        assert_eq!(found.get(&format!("{root}/VERSION")).map(String::as_str), Some("17"), "{found:?}");
        assert_eq!(found.get(&format!("{root}/current")).map(String::as_str), Some("base/1"));
        assert_eq!(found.get(&format!("{root}/{long}")).map(String::as_str), Some("at the bottom"));
        assert_eq!(found[&format!("{root}/base/1/accounts")].len(), "alice 100\nbob 200\n".len() * 500);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_is_restored_after_a_look_and_undone() {
    let (site, backup) = Site::with_backup().await;
    let before = site.files("db-data");
    site.wreck("db-data");
    let wrecked = site.files("db-data");
    let olga = site.sign_in("olga").await;
    let own = format!("{}/restore", point_path(&backup));
    site.get(&olga, &own).await.shows(&["1. Where to", "Show what will happen", "/var/lib/db"]);
    let plan = site.get(&olga, &format!("{own}?plan=1")).await;
    plan.shows(&["2. What will happen", "<strong>db</strong> is stopped", "safety point", "Restore now"]);
    site.assert_files("db-data", &wrecked);
    let begun = site.post(&olga, &own, &[]).await;
    let run = site.run_ends(&olga, &begun).await;
    let page = site.get(&olga, &run).await.shows(&["restored point", "Undo this restore"]);
    site.assert_files("db-data", &before);

    let undo = page
        .split("href=\"")
        .find(|link| link.contains("plan=1"))
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .replace("&amp;", "&");
    site.get(&olga, &undo).await.shows(&["Restore now"]);
    let begun = site.post(&olga, undo.split('?').next().unwrap(), &[]).await;
    site.run_ends(&olga, &begun).await;
    site.assert_files("db-data", &wrecked);
    site.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_goes_into_another_container_mount_by_mount() {
    let (site, backup) = Site::with_backup().await;
    let before = site.files("db-data");
    site.runtime.container("copy").volume("copy-data", "/srv").running();
    let olga = site.sign_in("olga").await;
    let own = format!("{}/restore", point_path(&backup));
    let unmapped = site.get(&olga, &format!("{own}?into=copy&plan=1")).await;
    unmapped.shows(&["the target container mounts nothing there"]);
    let mapped = format!("{own}?into=copy&map:/var/lib/db=/srv&plan=1");
    let page = site.get(&olga, &mapped).await.shows(&["volume copy-data", "<strong>copy</strong> is stopped"]);
    assert!(page.contains("name=\"map:/var/lib/db\" value=\"/srv\""), "the form carries what was planned");
    let fields = [("into", "copy"), ("map:/var/lib/db", "/srv")];
    let run = site.run_ends(&olga, &site.post(&olga, &own, &fields).await).await;
    site.get(&olga, &run).await.shows(&["restored point"]);
    site.assert_files("copy-data", &before);
    let odd = site.post(&olga, &own, &[("map:/var/lib/db", "a b")]).await;
    assert_eq!(odd.status, StatusCode::BAD_REQUEST);
    let odd = site.post(&olga, &own, &[("into", "nobody")]).await;
    assert_eq!(odd.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_says_what_goes_and_wants_its_name_typed() {
    let (site, first) = Site::with_backup().await;
    let backup = site.back_up("db").await;
    let ada = site.sign_in("ada").await;
    let edit = PointEdit { name: Some("keep me".into()), ..PointEdit::default() };
    let choice = dory_core::domain::backup::PointChoice::Named(first.points[0].id.to_string());
    site.dory.edit_point("db", &choice, &edit).await.unwrap();
    let point = format!("{}/delete", point_path(&first));
    site.get(&ada, &point).await.shows(&["keep me", "Nothing brings it back", "data-expects=\"db\""]);
    let wrong = site.post(&ada, &point, &[("confirm", "dp")]).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.dory.catalog().backup(&backup.id).await.unwrap().points.len(), 2);
    site.run_ends(&ada, &site.post(&ada, &point, &[("confirm", "db")]).await).await;
    assert_eq!(site.dory.catalog().backup(&backup.id).await.unwrap().points.len(), 1);

    let whole = format!("/backups/{}/delete", backup.id);
    site.get(&ada, &whole).await.shows(&["1 restore point", "its history"]);
    let run = site.run_ends(&ada, &site.post(&ada, &whole, &[("confirm", "db")]).await).await;
    site.get(&ada, &run).await.shows(&["deleted 1 restore point"]);
    assert_eq!(site.get(&ada, &format!("/backups/{}", backup.id)).await.status, StatusCode::NOT_FOUND);
    assert!(!site.catalog.keys().iter().any(|key| key.starts_with("data/") || key.starts_with("backups/")));
}
