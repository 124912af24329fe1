//! Dory's web side, a thin adapter over `dory-core`. So far it has one page: whether it is alive.

use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

/// What `/health` tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// `ok`, as long as anything is answered at all.
    pub status: &'static str,
    /// This Dory's version.
    pub version: &'static str,
}

/// All routes.
pub fn router() -> Router {
    Router::new().route("/health", get(health))
}

async fn health() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn health_answers() {
        let request = Request::get("/health").body(Body::empty()).unwrap();
        let response = router().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}
