//! What is shown where there is nothing to show.

use axum::http::StatusCode;
use axum::response::Response;
use maud::html;

use super::{Page, head, nothing};
use crate::ask::{Ask, Who};
use crate::error::Failure;

/// The page for a failure: what failed, why, what can be done.
pub(crate) fn page(ask: &Ask, failure: &Failure) -> Response {
    let status = failure.status();
    let title = match status {
        StatusCode::NOT_FOUND => "Not there",
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => "Not allowed",
        StatusCode::CONFLICT => "Something stands in the way",
        StatusCode::BAD_REQUEST => "That does not work",
        StatusCode::TOO_MANY_REQUESTS => "Too often",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => "Out of reach",
        _ => "That failed",
    };
    // Whoever is not signed in is told no more than that.
    let is_inner = status.is_server_error() && ask.who == Who::Nobody;
    let content = html! {
        (head(&[], &html! { (title) }, &nothing()))
        div.note.bad role="alert" {
            @if is_inner { p { "This server cannot answer now. Its log says why." } }
            @else {
                p { (failure.words()) }
                @for cause in failure.causes() { p.small { "caused by: " (cause) } }
                @if let Some(hint) = failure.hint() { p { strong { "What to do: " } (hint) } }
            }
        }
        p { a href="/" { "Overview" } }
    };
    let mut response = Page::new(title, "").show(ask, &content);
    *response.status_mut() = status;
    response
}
