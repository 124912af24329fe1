//! A web server on loopback that keeps what it is told, and answers as it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use dory_core::ErrorKind;
use dory_core::ports::Notice;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::contracts::notifier::Receiver;

/// A running web server. It goes when it is dropped.
#[derive(Debug)]
pub struct WebReceiver {
    state: Arc<Mutex<Kept>>,
    address: String,
    serving: JoinHandle<()>,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebRequest {
    /// `GET`, `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Its headers, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
    /// The status it was answered with.
    pub answered: u16,
}

#[derive(Debug, Default)]
struct Kept {
    requests: Vec<WebRequest>,
    /// What is answered: once each, in order, then 200.
    answers: Vec<(u16, Option<String>)>,
    /// What is answered always.
    refusal: Option<u16>,
    is_mute: bool,
}

impl WebReceiver {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start() -> Self {
        let state = Arc::<Mutex<Kept>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { state, address, serving }
    }

    /// Where it is: `http://127.0.0.1:…`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Everything that was asked, whatever was answered.
    #[must_use]
    pub fn requests(&self) -> Vec<WebRequest> {
        lock(&self.state).requests.clone()
    }

    /// Answers the next request with this status, and with this place to go to.
    pub fn answer_next(&self, status: u16, location: Option<&str>) {
        lock(&self.state).answers.push((status, location.map(str::to_owned)));
    }

    /// Answers nothing any more.
    pub fn fall_silent(&self) {
        lock(&self.state).is_mute = true;
    }
}

impl Drop for WebReceiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(
    State(state): State<Arc<Mutex<Kept>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (status, location, is_mute) = {
        let mut kept = lock(&state);
        let (status, location) = match kept.refusal {
            Some(status) => (status, None),
            None if kept.answers.is_empty() => (200, None),
            None => kept.answers.remove(0),
        };
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        kept.requests.push(WebRequest {
            method: method.to_string(),
            path: uri.to_string(),
            headers: headers.iter().map(header).collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
            answered: status,
        });
        (status, location, kept.is_mute)
    };
    if is_mute {
        std::future::pending::<()>().await;
    }
    let status = StatusCode::from_u16(status).unwrap();
    match location {
        Some(location) => (status, [("location", location)]).into_response(),
        None => status.into_response(),
    }
}

fn lock(state: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Receiver for WebReceiver {
    async fn taken(&self) -> Vec<Notice> {
        let notice = |request: &WebRequest| {
            let message: serde_json::Value = serde_json::from_str(&request.body).unwrap();
            serde_json::from_value(message["data"].clone()).unwrap()
        };
        self.requests().iter().filter(|request| request.answered == 200).map(notice).collect()
    }

    async fn refuse(&self, kind: ErrorKind) {
        lock(&self.state).refusal = Some(match kind {
            ErrorKind::PermissionDenied => 403,
            ErrorKind::InvalidInput => 400,
            _ => 503,
        });
    }

    async fn accept(&self) {
        lock(&self.state).refusal = None;
    }
}
