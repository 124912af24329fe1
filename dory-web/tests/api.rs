//! The programming interface: the same services, as JSON, and a description that says what is there.

use axum::http::{Method, StatusCode};
use dory_core::domain::user::Role;
use dory_web::routes;
use serde_json::{Value, json};

use crate::site::{Shown, Site, Visitor, newest};

/// How a run went that was begun by a call.
async fn ended(site: &Site, program: &Visitor, begun: &Shown) -> Value {
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text());
    let place = begun.location();
    assert_eq!(begun.json()["url"], place.as_str());
    let watcher = site.sign_in("vic").await;
    site.get(&watcher, &format!("{}/events", place.replace("/api/v1", ""))).await;
    site.get(program, &place).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_names_every_route_and_no_other() {
    let site = Site::new().await;
    let shown = site.get(&Visitor::default(), "/api/v1/openapi.json").await;
    let mut description = shown.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut described: Vec<String> = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        described.extend(methods.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let is_api = |path: &str| path.starts_with("/api/") && !path.ends_with("openapi.json");
    let mut there: Vec<String> = routes()
        .iter()
        .filter(|route| is_api(route.path))
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    described.sort();
    there.sort();
    assert_eq!(described, there);
    description["info"]["version"] = "[version]".into();
    insta::assert_json_snapshot!("openapi", description);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_backs_up_looks_and_restores() {
    let site = Site::new().await;
    site.database("db");
    let program = site.program(Role::Operator).await;
    let begun = site.call(&program, Method::POST, "/api/v1/containers/db/run", &json!({"name": "nightly"})).await;
    let run = ended(&site, &program, &begun).await;
    assert_eq!((run["state"].as_str(), run["what"].as_str()), (Some("done"), Some("back up db")), "{run}");
    let list = site.get(&program, "/api/v1/backups?q=db").await.json();
    assert_eq!((list["total"].as_u64(), list["backups"][0]["points"].as_u64()), (Some(1), Some(1)), "{list}");
    let id = list["backups"][0]["id"].as_str().unwrap().to_owned();
    let backup = site.get(&program, &format!("/api/v1/backups/{id}")).await.json();
    assert_eq!(backup["points"][0]["name"], "nightly");
    let point = format!("/api/v1/backups/{id}/points/{}", backup["points"][0]["id"].as_str().unwrap());
    assert_eq!(site.get(&program, &point).await.json()["consistency"], "stopped");
    let files = site.get(&program, &format!("{point}/files?path=/var/lib/db")).await.json();
    assert!(
        files.as_array().unwrap().iter().any(|file| file["path"] == "/var/lib/db/VERSION" && file["kind"] == "file")
    );
    assert_eq!(site.get(&program, &format!("{point}/file?path=/var/lib/db/VERSION")).await.text(), "17");
    let before = site.files("db-data");
    site.wreck("db-data");
    let begun = site.call(&program, Method::POST, &format!("{point}/restore"), &json!({})).await;
    assert_eq!(ended(&site, &program, &begun).await["state"], "done");
    site.assert_files("db-data", &before);
    let runs = site.get(&program, "/api/v1/runs").await.json();
    assert_eq!(runs.as_array().unwrap().len(), 2);
    assert_eq!(site.get(&program, "/api/v1/containers").await.json()[0]["covered"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_changes_what_the_pages_change() {
    let (site, backup) = Site::with_backup().await;
    let program = site.program(Role::Admin).await;
    let path = format!("/api/v1/backups/{}", backup.id);
    let change = json!({"description": "orders", "schedule": "@daily", "keep": "last=1", "metadata": {"owner": "billing"}, "marked": true});
    let changed = site.call(&program, Method::PATCH, &path, &change).await.json();
    assert_eq!(
        (changed["description"].as_str(), changed["policy"]["schedule"].as_str()),
        (Some("orders"), Some("@daily"))
    );
    let opened = site.call(&program, Method::PATCH, &path, &json!({"schedule": ""})).await.json();
    assert_eq!((&opened["policy"]["schedule"], opened["policy"]["keep"].as_str()), (&Value::Null, Some("last=1")));
    let point = format!("{path}/points/{}", newest(&backup));
    let named = site.call(&program, Method::PATCH, &point, &json!({"name": "before", "protected": true})).await.json();
    assert_eq!((named["name"].as_str(), named["protected"].as_bool()), (Some("before"), Some(true)));
    let retention = site.get(&program, &format!("{path}/retention")).await.json();
    assert_eq!(retention["points"][0]["stays"], true);
    let wrong = site.call(&program, Method::DELETE, &format!("{path}?confirm=dp"), &Value::Null).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let begun = site.call(&program, Method::DELETE, &format!("{path}?confirm=db"), &Value::Null).await;
    assert_eq!(ended(&site, &program, &begun).await["state"], "done");
    assert_eq!(site.get(&program, &path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_a_problem_document() {
    let (site, backup) = Site::with_backup().await;
    let program = site.program(Role::Admin).await;
    let path = format!("/api/v1/backups/{}", backup.id);
    let missing = site.get(&program, "/api/v1/backups/nothing").await;
    assert_eq!(missing.header("content-type"), "application/problem+json");
    let problem = missing.json();
    assert_eq!((problem["status"].as_u64(), problem["kind"].as_str()), (Some(404), Some("not-found")), "{problem}");
    assert!(problem["hint"].as_str().unwrap().contains("dory list"));
    for (body, words) in [
        (json!({"schedule": "whenever"}), "schedule"),
        (json!({"shedule": "@daily"}), "unknown field"),
        (json!({"name": 7}), "string"),
        (json!([1]), "does not fit"),
    ] {
        let shown = site.call(&program, Method::PATCH, &path, &body).await;
        assert_eq!(shown.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(shown.text().contains(words), "{body}: {}", shown.text());
    }
    for query in ["limit=0", "limit=501", "limit=x", "offset=-1"] {
        assert_eq!(
            site.get(&program, &format!("/api/v1/backups?{query}")).await.status,
            StatusCode::BAD_REQUEST,
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_begins_a_thing_once() {
    let site = Site::new().await;
    site.database("db");
    let program = site.program(Role::Operator).await.with("idempotency-key", "monday");
    let path = "/api/v1/containers/db/run";
    let first = site.call(&program, Method::POST, path, &json!({"name": "a"})).await;
    let again = site.call(&program, Method::POST, path, &json!({"name": "a"})).await;
    assert_eq!(first.json()["run"], again.json()["run"]);
    let other = site.call(&program, Method::POST, path, &json!({"name": "b"})).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    ended(&site, &program, &first).await;
    assert_eq!(site.dory.find_backup("db").await.unwrap().points.len(), 1);

    let failing = site.program(Role::Operator).await.with("idempotency-key", "tuesday");
    let none = site.call(&failing, Method::POST, "/api/v1/containers/late/run", &json!({})).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    site.database("late");
    let late = site.call(&failing, Method::POST, "/api/v1/containers/late/run", &json!({})).await;
    assert_eq!(ended(&site, &failing, &late).await["state"], "done", "what failed may be sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_has_another_server_do_it() {
    let site = Site::new().await;
    site.meet_another_server();
    let program = site.program(Role::Operator).await;
    let asked = site.call(&program, Method::POST, "/api/v1/containers/wiki/run", &json!({"server": "server-2"})).await;
    let run = site.get(&program, &asked.location()).await.json();
    assert_eq!(
        (run["server"].as_str(), run["state"].as_str(), run["by"].as_str()),
        (Some("server-2"), Some("waiting"), Some("token operate"))
    );
    let taken = site.call(&program, Method::POST, &format!("{}/cancel", asked.location()), &Value::Null).await.json();
    assert_eq!(taken["state"], "withdrawn");
    assert_eq!(site.get(&program, "/api/v1/servers").await.json()[0]["name"], "server-2");
    let marked = site
        .call(&program, Method::POST, "/api/v1/containers/wiki/mark", &json!({"server": "server-2", "marked": true}))
        .await;
    assert_eq!(marked.status, StatusCode::ACCEPTED);
    site.database("db");
    let here = site.call(&program, Method::POST, "/api/v1/containers/db/mark", &json!({"marked": true})).await;
    assert_eq!(here.status, StatusCode::NO_CONTENT);
    assert!(site.dory.find_backup("db").await.unwrap().is_marked());
}
