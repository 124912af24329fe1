//! One web server for all: what belongs to other servers is done by sealed commands.

use axum::http::StatusCode;
use dory_core::services::BackupEdit;

use crate::site::{Site, point_path};

/// A site whose only backup belongs to the other server.
async fn of_another() -> (Site, dory_core::domain::backup::Backup) {
    let (site, backup) = Site::with_backup().await;
    site.meet_another_server();
    let edit = BackupEdit { server: Some("server-2".parse().unwrap()), ..BackupEdit::default() };
    site.dory.edit_backup("db", &edit).await.unwrap();
    let backup = site.dory.catalog().backup(&backup.id).await.unwrap();
    site.clock.advance(std::time::Duration::from_secs(10));
    (site, backup)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pings_of_all_servers_are_shown() {
    let (site, _) = of_another().await;
    let vic = site.sign_in("vic").await;
    let page =
        site.get(&vic, "/servers").await.shows(&["server-2", "serving", "docker 27", "0.1.0", "backing up wiki"]);
    assert!(page.contains("&lt;b&gt;host") && !page.contains("<b>host"));
    site.clock.advance(std::time::Duration::from_secs(600));
    site.get(&vic, "/servers").await.shows(&["silent"]);
    site.get(&vic, "/").await.shows(&["said nothing since"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_another_server_is_done_there() {
    let (site, backup) = of_another().await;
    let ada = site.sign_in("ada").await;
    let path = format!("/backups/{}", backup.id);
    site.get(&ada, &path).await.shows(&["A command to server server-2"]);
    let run = site.post(&ada, &format!("{path}/run"), &[("name", "by hand")]).await.location();
    site.get(&ada, &run).await.shows(&["back up db on server-2", "waiting", "Take it back"]);
    site.get(&ada, "/runs").await.shows(&["back up db", "server-2", "waiting"]);
    let commands = site.dory.commands().await.unwrap();
    assert_eq!(commands[0].command.by, "ada");
    assert_eq!(site.post(&ada, &format!("{run}/cancel"), &[]).await.location(), run);
    site.get(&ada, &run).await.shows(&["ada took it back"]);
    assert_eq!(site.post(&ada, &format!("{run}/cancel"), &[]).await.status, StatusCode::CONFLICT);
    let told = site.get(&ada, &format!("{run}/events")).await.text();
    assert!(told.contains("\"over\":true"), "{told}");

    let prune = site.post(&ada, &format!("{path}/prune"), &[]).await.location();
    site.get(&ada, &prune).await.shows(&["prune", "server-2"]);
    let point = site.post(&ada, &format!("{}/delete", point_path(&backup)), &[("confirm", "db")]).await.location();
    site.get(&ada, &point).await.shows(&["delete point", "server-2"]);
    let whole = site.get(&ada, &format!("{path}/delete")).await;
    whole.shows(&["It belongs to server server-2", "change its server"]);
    let refused = site.post(&ada, &format!("{path}/delete"), &[("confirm", "db")]).await;
    let run = site.run_ends(&ada, &refused).await;
    site.get(&ada, &run).await.shows(&["belongs to server"]);
    assert_eq!(site.dory.catalog().backup(&backup.id).await.unwrap().points.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_is_restored_on_another_server() {
    let (site, backup) = of_another().await;
    let olga = site.sign_in("olga").await;
    let own = format!("{}/restore", point_path(&backup));
    site.get(&olga, &format!("{own}?server=server-2&into=wiki&plan=1"))
        .await
        .shows(&["Restore on server-2", "name=\"into\" value=\"wiki\""]);
    let run = site
        .post(&olga, &own, &[("server", "server-2"), ("into", "wiki"), ("map:/var/lib/db", "wiki-data")])
        .await
        .location();
    site.get(&olga, &run).await.shows(&["into wiki", "waiting"]);
    let command = site.dory.commands().await.unwrap().remove(0).command;
    let order = serde_json::to_value(&command.order).unwrap();
    assert_eq!(order["maps"][0], "/var/lib/db=wiki-data");
    assert_eq!(order["safety"], true);
    let unknown = site.post(&olga, &own, &[("server", "server-9")]).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let marked =
        site.post(&olga, "/containers/wiki/mark", &[("marked", "true"), ("server", "server-2")]).await.location();
    site.get(&olga, &marked).await.shows(&["mark wiki"]);
}
