//! Whether it is alive.

use axum::Json;
use axum::response::IntoResponse;
use serde::Serialize;

use crate::ask::Ask;
use crate::error::Reply;

#[derive(Serialize)]
struct Health {
    /// `ok`, as long as anything is answered at all.
    status: &'static str,
    version: &'static str,
}

pub(crate) async fn show(_: Ask) -> Reply {
    Ok(Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") }).into_response())
}
