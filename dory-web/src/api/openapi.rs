//! What the programming interface says about itself: OpenAPI 3.1.

use axum::response::IntoResponse;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{backups, fleet, points, runs};
use crate::ask::Ask;
use crate::error::Reply;

#[derive(OpenApi)]
#[openapi(
    info(title = "Dory", description = "Backup for Docker volumes. Errors are problem documents as in RFC 9457. What takes time is begun with 202 and asked after under `/api/v1/runs`; with an `Idempotency-Key` it is begun once, however often it is asked for."),
    paths(
        backups::list, backups::show, backups::edit, backups::delete, backups::run, backups::retention, backups::prune,
        points::show, points::edit, points::delete, points::files, points::file, points::tar, points::restore,
        fleet::containers, fleet::run, fleet::mark, fleet::servers, runs::list, runs::show, runs::cancel
    ),
    modifiers(&Token)
)]
struct Description;

struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token with the scope `read`, `operate` or `admin`, made on the page Users."))
            .build();
        openapi.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The description itself.
pub(crate) async fn show(_: Ask) -> Reply {
    Ok(axum::Json(Description::openapi()).into_response())
}
