//! The web side of one server in a [`World`], and somebody who visits it.

use std::collections::BTreeMap;
use std::ops::Deref;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use dory_core::domain::backup::Backup;
use dory_core::domain::id::{PointId, UserName};
use dory_core::domain::secret::Secret;
use dory_core::domain::user::{ApiToken, Role, User};
use dory_core::services::{BackupRequest, Cancel, Dory, RunEvents};
use dory_testkit::World;
use dory_web::{Peer, Web, WebOptions};
use tower::ServiceExt;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "twelve or more";

/// One server's web side.
pub(crate) struct Site {
    pub(crate) world: World,
    pub(crate) dory: Dory,
    pub(crate) web: Web,
}

/// Somebody's browser, or a program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visitor {
    pub(crate) cookies: BTreeMap<String, String>,
    /// What the forms of its pages carry.
    pub(crate) csrf: String,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Site {
    /// A server with a fleet, and `ada` (admin), `olga` (operator) and `vic` (viewer).
    pub(crate) async fn new() -> Self {
        Self::with(|options| options).await
    }

    pub(crate) async fn with(change: impl FnOnce(WebOptions) -> WebOptions) -> Self {
        let world = World::new();
        let dory = world.dory();
        dory.open_or_found_fleet(&RunEvents::ignored()).await.unwrap();
        let hash = dory.hash_password(&Secret::new(PASSWORD)).unwrap();
        let people = [("ada", Role::Admin), ("olga", Role::Operator), ("vic", Role::Viewer)];
        dory.change_users(|users| {
            for (name, role) in people {
                let (name, password) = (UserName::parse(name)?, Some(hash.clone()));
                users.add(User { name, role, password, created_at: dory.now() })?;
            }
            Ok(())
        })
        .await
        .unwrap();
        let web = Web::new(dory.clone(), change(WebOptions::on_loopback(0))).unwrap();
        Self { world, dory, web }
    }

    /// One with a database `db` that was backed up once.
    pub(crate) async fn with_backup() -> (Self, Backup) {
        let site = Self::new().await;
        site.world.database("db");
        let backup = site.back_up("db").await;
        (site, backup)
    }

    pub(crate) async fn back_up(&self, container: &str) -> Backup {
        let request = BackupRequest { container: container.to_owned(), ..BackupRequest::default() };
        let report = self.dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await.unwrap();
        // What a page saw before counts for some seconds.
        self.world.clock.advance(std::time::Duration::from_secs(60));
        self.dory.catalog().backup(&report.backup).await.unwrap()
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request<Body>) -> Shown {
        let response = self.web.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Shown {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap_or_default(),
        }
    }

    pub(crate) async fn get(&self, visitor: &Visitor, path: &str) -> Shown {
        self.send(visitor.request(Method::GET, path, "", Body::empty())).await
    }

    /// Sends a form of a page that the visitor has open.
    pub(crate) async fn post(&self, visitor: &Visitor, path: &str, fields: &[(&str, &str)]) -> Shown {
        let fields = [fields, &[("csrf", visitor.csrf.as_str())]].concat();
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(visitor.request(Method::POST, path, "application/x-www-form-urlencoded", body.into())).await
    }

    pub(crate) async fn call(&self, visitor: &Visitor, method: Method, path: &str, body: &serde_json::Value) -> Shown {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len().to_string();
        let mut request = visitor.request(method, path, "application/json", body.into());
        request.headers_mut().insert("content-length", length.parse().unwrap());
        self.send(request).await
    }

    /// Signs somebody in by the form.
    pub(crate) async fn sign_in(&self, name: &str) -> Visitor {
        let mut visitor = self.stranger().await;
        let shown = self.post(&visitor, "/sign-in", &[("name", name), ("password", PASSWORD)]).await;
        assert_eq!(shown.status, StatusCode::SEE_OTHER, "{}", shown.text());
        visitor.keep_cookies(&shown);
        let page = self.get(&visitor, "/account").await;
        visitor.csrf = page.csrf().expect("a form of somebody who is signed in");
        visitor
    }

    /// Somebody who has the page open on which one signs in.
    pub(crate) async fn stranger(&self) -> Visitor {
        let mut visitor = Visitor::default();
        let page = self.get(&visitor, "/sign-in").await;
        visitor.keep_cookies(&page);
        visitor.csrf = page.csrf().unwrap();
        visitor
    }

    /// A program with a token.
    pub(crate) async fn program(&self, scope: Role) -> Visitor {
        let (id, text) = self.dory.new_token().unwrap();
        let token = ApiToken {
            id,
            name: scope.scope().to_owned(),
            scope,
            hash: ApiToken::hash_of(text.expose()),
            made_by: UserName::parse("ada").unwrap(),
            expires_at: None,
        };
        self.dory
            .change_users(|users| {
                users.tokens.push(token.clone());
                Ok(())
            })
            .await
            .unwrap();
        self.world.clock.advance(std::time::Duration::from_secs(60));
        Visitor { headers: vec![("authorization", format!("Bearer {}", text.expose()))], ..Visitor::default() }
    }

    /// Waits for the end of a run that a form or a call began, and gives its page's path.
    pub(crate) async fn run_ends(&self, visitor: &Visitor, begun: &Shown) -> String {
        assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text());
        let path = begun.location();
        let events = self.get(visitor, &format!("{path}/events")).await;
        assert!(events.text().contains("\"over\":true"), "{}", events.text());
        path
    }

    /// A second server of the fleet, which has shown itself.
    pub(crate) fn meet_another_server(&self) {
        let now = self.dory.now();
        let body = serde_json::json!({"format": 1, "counter": 1, "body": {
            "name": "server-2",
            "lease": {"holder": "0123456789abcdef0123", "epoch": 1, "beat": 1, "term_seconds": 60, "taken_at": now},
            "ping": {"at": now, "started_at": now, "host": "<b>host</b>", "version": "0.1.0", "runtime": "docker 27",
                "next_run": {"container": "mail", "at": now}, "running": ["wiki"]}
        }});
        self.world.catalog.put("servers/server-2.json", body.to_string());
    }
}

impl Deref for Site {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Visitor {
    pub(crate) fn request(&self, method: Method, path: &str, kind: &str, body: Body) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost:8360");
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(Peer("192.0.2.7:4242".parse().unwrap()));
        request
    }

    pub(crate) fn keep_cookies(&mut self, shown: &Shown) {
        for cookie in shown.headers.get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    pub(crate) fn with(&self, header: &'static str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((header, value.to_owned()));
        other
    }
}

impl Shown {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn location(&self) -> String {
        self.header("location").to_owned()
    }

    /// Fails unless it is a page that holds all of these.
    #[track_caller]
    pub(crate) fn shows(&self, words: &[&str]) -> String {
        let text = self.text();
        assert_eq!(self.status, StatusCode::OK, "{text}");
        for word in words {
            assert!(text.contains(word), "`{word}` is not in:\n{text}");
        }
        text
    }

    fn csrf(&self) -> Option<String> {
        let text = self.text();
        let (_, rest) = text.split_once("name=\"csrf\" value=\"")?;
        Some(rest.split('"').next()?.to_owned())
    }
}

/// The path of a backup's newest point.
pub(crate) fn point_path(backup: &Backup) -> String {
    format!("/backups/{}/points/{}", backup.id, newest(backup))
}

pub(crate) fn newest(backup: &Backup) -> PointId {
    backup.points.last().unwrap().id
}
