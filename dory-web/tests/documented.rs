//! The table in `SEED.md` names pages and tests that are there.

use std::fs;
use std::path::Path;

use dory_web::routes;

use crate::site::Site;

#[test]
fn every_wish_has_a_page_and_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("SEED.md")).unwrap();
    let tests: String = fs::read_dir(root.join("tests"))
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok())
        .collect();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---") && !line.starts_with("| The web server"))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert!(rows.len() >= 22, "{rows:?}");
    for row in rows {
        let [wish, page, test] = row.as_slice() else { panic!("{row:?} has not three cells") };
        assert!(routes().iter().any(|route| route.path == *page), "{wish}: there is no page {page}");
        assert!(tests.contains(&format!("fn {test}()")), "{wish}: there is no test {test}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overview_sums_up_what_is_stored() {
    let (site, backup) = Site::with_backup().await;
    let vic = site.sign_in("vic").await;
    let page =
        site.get(&vic, "/").await.shows(&["Stored", "Data in the newest", "Restore points", "Newest restore points"]);
    let size = backup.points[0].size.bytes;
    assert!(size > 1024 && page.contains(" KiB"), "{size}");
}
