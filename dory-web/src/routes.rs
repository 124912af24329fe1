//! Every route, with the role it needs: the one table that the router is made from, and that tests walk.

use std::pin::Pin;

use axum::Router;
use axum::extract::{RawPathParams, Request};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use dory_core::domain::user::Role;

use crate::ask::Ask;
use crate::error::{Refusal, Reply};
use crate::state::App;
use crate::{api, assets, gate, pages};

/// Who may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Anybody.
    Open,
    /// Whoever may do at least that.
    Role(Role),
}

type Handler = fn(Ask) -> Pin<Box<dyn Future<Output = Reply> + Send>>;

/// One route.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) need: Need,
    /// What is written down about whoever uses it, where it does something.
    pub(crate) audited: Option<&'static str>,
    pub(crate) handler: Handler,
}

impl Route {
    /// Whether it may change something.
    pub(crate) fn changes(&self) -> bool {
        self.method != "GET"
    }

    /// Whether it is for programs.
    pub(crate) fn is_api(&self) -> bool {
        self.path.starts_with("/api/")
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}

/// A route, for whoever looks at the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// `GET`, `POST`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// `/backups/{backup}`
    pub path: &'static str,
    /// Who may come.
    pub need: Need,
    /// Whether it is written down who used it.
    pub audited: bool,
}

/// The table.
#[must_use]
pub fn routes() -> Vec<RouteInfo> {
    let info = |route: &Route| RouteInfo {
        method: route.method,
        path: route.path,
        need: route.need,
        audited: route.audited.is_some(),
    };
    ROUTES.iter().map(info).collect()
}

const OPEN: Need = Need::Open;
const VIEWER: Need = Need::Role(Role::Viewer);
const OPERATOR: Need = Need::Role(Role::Operator);
const ADMIN: Need = Need::Role(Role::Admin);

macro_rules! table {
    ($($method:literal $path:literal $need:ident $audited:expr, $handler:path;)*) => {
        &[$(Route { method: $method, path: $path, need: $need, audited: $audited, handler: |ask| Box::pin($handler(ask)) }),*]
    };
}

#[rustfmt::skip]
static ROUTES: &[Route] = table! {
    "GET"    "/health"                                         OPEN     None,                     pages::health::show;
    "GET"    "/assets/{file}"                                  OPEN     None,                     assets::show;
    "GET"    "/sign-in"                                        OPEN     None,                     pages::sign_in::show;
    "POST"   "/sign-in"                                        OPEN     None,                     pages::sign_in::enter;
    "GET"    "/first/{token}"                                  OPEN     None,                     pages::first::show;
    "POST"   "/first/{token}"                                  OPEN     None,                     pages::first::enter;
    "POST"   "/sign-out"                                       VIEWER   None,                     pages::sign_in::leave;
    "POST"   "/theme"                                          VIEWER   None,                     pages::account::theme;
    "GET"    "/account"                                        VIEWER   None,                     pages::account::show;
    "POST"   "/account/password"                               VIEWER   Some("change password"),  pages::account::password;

    "GET"    "/"                                               VIEWER   None,                     pages::overview::show;
    "GET"    "/backups"                                        VIEWER   None,                     pages::backups::show;
    "GET"    "/backups/{backup}"                               VIEWER   None,                     pages::backup::show;
    "POST"   "/backups/{backup}/run"                           OPERATOR Some("back up"),          pages::backup::run;
    "POST"   "/backups/{backup}/clear-suspect"                 OPERATOR Some("clear suspect"),    pages::backup::clear_suspect;
    "GET"    "/backups/{backup}/edit"                          OPERATOR None,                     pages::edit::show;
    "POST"   "/backups/{backup}/edit"                          OPERATOR Some("edit backup"),      pages::edit::save;
    "GET"    "/backups/{backup}/policy"                        VIEWER   None,                     pages::policy::show;
    "POST"   "/backups/{backup}/policy"                        OPERATOR Some("set policy"),       pages::policy::save;
    "GET"    "/backups/{backup}/retention"                     VIEWER   None,                     pages::retention::show;
    "POST"   "/backups/{backup}/prune"                         ADMIN    Some("prune"),            pages::retention::prune;
    "GET"    "/backups/{backup}/delete"                        ADMIN    None,                     pages::delete::show_backup;
    "POST"   "/backups/{backup}/delete"                        ADMIN    Some("delete backup"),    pages::delete::backup;
    "GET"    "/backups/{backup}/points/{point}"                VIEWER   None,                     pages::point::show;
    "POST"   "/backups/{backup}/points/{point}"                OPERATOR Some("edit point"),       pages::point::save;
    "GET"    "/backups/{backup}/points/{point}/delete"         ADMIN    None,                     pages::delete::show_point;
    "POST"   "/backups/{backup}/points/{point}/delete"         ADMIN    Some("delete point"),     pages::delete::point;
    "GET"    "/backups/{backup}/points/{point}/files"          VIEWER   None,                     pages::files::show;
    "GET"    "/backups/{backup}/points/{point}/view"           OPERATOR Some("read file"),        pages::files::view;
    "GET"    "/backups/{backup}/points/{point}/file"           OPERATOR Some("download file"),    pages::files::file;
    "GET"    "/backups/{backup}/points/{point}/tar"            OPERATOR Some("download folder"),  pages::files::tar;
    "GET"    "/backups/{backup}/points/{point}/restore"        OPERATOR None,                     pages::restore::show;
    "POST"   "/backups/{backup}/points/{point}/restore"        OPERATOR Some("restore"),          pages::restore::start;
    "GET"    "/containers"                                     VIEWER   None,                     pages::containers::show;
    "POST"   "/containers/{container}/mark"                    OPERATOR Some("mark"),             pages::containers::mark;
    "POST"   "/containers/{container}/run"                     OPERATOR Some("back up"),          pages::containers::run;
    "GET"    "/servers"                                        VIEWER   None,                     pages::servers::show;
    "GET"    "/runs"                                           VIEWER   None,                     pages::runs::list;
    "GET"    "/runs/{run}"                                     VIEWER   None,                     pages::runs::show;
    "GET"    "/runs/{run}/events"                              VIEWER   None,                     pages::runs::events;
    "POST"   "/runs/{run}/cancel"                              OPERATOR Some("cancel"),           pages::runs::cancel;
    "GET"    "/users"                                          ADMIN    None,                     pages::users::show;
    "POST"   "/users"                                          ADMIN    Some("add user"),         pages::users::add;
    "POST"   "/users/{user}/role"                              ADMIN    Some("set role"),         pages::users::role;
    "POST"   "/users/{user}/password"                          ADMIN    Some("set password"),     pages::users::password;
    "POST"   "/users/{user}/remove"                            ADMIN    Some("remove user"),      pages::users::remove;
    "POST"   "/tokens"                                         ADMIN    Some("make token"),       pages::users::make_token;
    "POST"   "/tokens/{token}/revoke"                          ADMIN    Some("revoke token"),     pages::users::revoke_token;
    "GET"    "/audit"                                          ADMIN    None,                     pages::audit::show;

    "GET"    "/api/v1/openapi.json"                            OPEN     None,                     api::openapi::show;
    "GET"    "/api/v1/backups"                                 VIEWER   None,                     api::backups::list;
    "GET"    "/api/v1/backups/{backup}"                        VIEWER   None,                     api::backups::show;
    "PATCH"  "/api/v1/backups/{backup}"                        OPERATOR Some("edit backup"),      api::backups::edit;
    "DELETE" "/api/v1/backups/{backup}"                        ADMIN    Some("delete backup"),    api::backups::delete;
    "POST"   "/api/v1/backups/{backup}/run"                    OPERATOR Some("back up"),          api::backups::run;
    "GET"    "/api/v1/backups/{backup}/retention"              VIEWER   None,                     api::backups::retention;
    "POST"   "/api/v1/backups/{backup}/prune"                  ADMIN    Some("prune"),            api::backups::prune;
    "GET"    "/api/v1/backups/{backup}/points/{point}"         VIEWER   None,                     api::points::show;
    "PATCH"  "/api/v1/backups/{backup}/points/{point}"         OPERATOR Some("edit point"),       api::points::edit;
    "DELETE" "/api/v1/backups/{backup}/points/{point}"         ADMIN    Some("delete point"),     api::points::delete;
    "GET"    "/api/v1/backups/{backup}/points/{point}/files"   VIEWER   None,                     api::points::files;
    "GET"    "/api/v1/backups/{backup}/points/{point}/file"    OPERATOR Some("download file"),    api::points::file;
    "GET"    "/api/v1/backups/{backup}/points/{point}/tar"     OPERATOR Some("download folder"),  api::points::tar;
    "POST"   "/api/v1/backups/{backup}/points/{point}/restore" OPERATOR Some("restore"),          api::points::restore;
    "GET"    "/api/v1/containers"                              VIEWER   None,                     api::fleet::containers;
    "POST"   "/api/v1/containers/{container}/run"              OPERATOR Some("back up"),          api::fleet::run;
    "POST"   "/api/v1/containers/{container}/mark"             OPERATOR Some("mark"),             api::fleet::mark;
    "GET"    "/api/v1/servers"                                 VIEWER   None,                     api::fleet::servers;
    "GET"    "/api/v1/runs"                                    VIEWER   None,                     api::runs::list;
    "GET"    "/api/v1/runs/{run}"                              VIEWER   None,                     api::runs::show;
    "POST"   "/api/v1/runs/{run}/cancel"                       OPERATOR Some("cancel"),           api::runs::cancel;
};

/// What answers where nothing else does.
static NOWHERE: Route = Route {
    method: "GET",
    path: "/{*path}",
    need: OPEN,
    audited: None,
    handler: |_| Box::pin(async { Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such page").into()) }),
};

static WRONG_METHOD: Route = Route {
    handler: |_| {
        Box::pin(async { Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "that cannot be done here").into()) })
    },
    ..NOWHERE
};

/// The router of the table.
pub(crate) fn router(app: &App) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let filter = match route.method {
            "POST" => MethodFilter::POST,
            "PATCH" => MethodFilter::PATCH,
            "DELETE" => MethodFilter::DELETE,
            _ => MethodFilter::GET,
        };
        let app = app.clone();
        let handler = move |params: RawPathParams, request: Request| {
            let params = params.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            gate::answer(app.clone(), route, params, request)
        };
        router = router.route(route.path, on(filter, handler));
    }
    let (nowhere, wrong) = (app.clone(), app.clone());
    let otherwise = |app: App, route: &'static Route| {
        move |request: Request| -> Pin<Box<dyn Future<Output = Response> + Send>> {
            Box::pin(gate::answer(app.clone(), route, Vec::new(), request))
        }
    };
    router.fallback(otherwise(nowhere, &NOWHERE)).method_not_allowed_fallback(otherwise(wrong, &WRONG_METHOD))
}
