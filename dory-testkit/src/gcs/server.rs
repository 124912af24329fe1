//! The server: takes requests, lets them go wrong where it was told to, and hands them on.

use std::net::{SocketAddr, TcpListener};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use dory_core::domain::secret::Secret;
use dory_core::domain::store_url::{StoreAccess, StoreCredentials};
use futures_util::{StreamExt, stream};
use http::header::CONTENT_LENGTH;
use tokio::sync::oneshot;

use super::answer::{Refusal, empty};
use super::call::Call;
use super::config::{AccessKey, GcsConfig};
use super::faults::{Fault, FaultRule, pick};
use super::ledger::Counts;
use super::state::{Labels, State};
use super::who::who;
use super::{admin, bucket_calls, listing, multipart_calls, object_calls};

/// A running stand-in. It has threads of its own, so tests without a runtime can use it; dropping it stops it.
#[derive(Debug)]
pub struct GcsServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl GcsServer {
    /// Starts one with the default [`GcsConfig`].
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(GcsConfig::default())
    }

    /// Starts one.
    ///
    /// # Panics
    /// If it cannot listen where the configuration says.
    #[must_use]
    pub fn start_with(config: GcsConfig) -> Self {
        let listener = TcpListener::bind(&config.listen).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::new(config)));
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || serve(listener, shared, stopped));
        Self { address, state, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it is reached: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A store below the first bucket, opened with the first key.
    ///
    /// # Panics
    /// If the configuration has no bucket or no key.
    #[must_use]
    pub fn access(&self, prefix: &str) -> StoreAccess {
        let key = self.state().config.keys[0].clone();
        self.access_with(prefix, &key)
    }

    /// A store below the first bucket, opened with `key`.
    ///
    /// # Panics
    /// If the configuration has no bucket.
    #[must_use]
    pub fn access_with(&self, prefix: &str, key: &AccessKey) -> StoreAccess {
        let bucket = self.state().config.buckets[0].0.clone();
        let secret = Secret::new(key.secret.clone());
        StoreAccess {
            url: format!("gs://{bucket}/{prefix}").trim_end_matches('/').parse().unwrap(),
            credentials: StoreCredentials::AccessKey { id: key.id.clone(), secret, session: None },
            endpoint: Some(self.url()),
            region: None,
        }
    }

    /// Lets requests go wrong; rules are tried in the order they came.
    pub fn inject(&self, rule: FaultRule) {
        self.state().faults.push(rule);
    }

    /// Ends all misbehaviour.
    pub fn behave(&self) {
        self.state().faults.clear();
    }

    /// Whether faults are still waiting for requests that fit.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        !self.state().faults.is_empty()
    }

    /// Refuses every write, or stops refusing.
    pub fn set_read_only(&self, on: bool) {
        self.state().read_only = on;
    }

    /// What was asked since the start, or since [`reset_counts`](Self::reset_counts).
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    /// Starts counting anew.
    pub fn reset_counts(&self) {
        self.state().counts = Counts::default();
    }

    /// The bytes at `bucket` and `key`, as somebody else would find them.
    #[must_use]
    pub fn object(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.state().find(bucket, key).ok().map(|object| object.bytes)
    }

    /// Writes behind everybody's back.
    ///
    /// # Panics
    /// If there is no such bucket.
    pub fn put_object(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) {
        self.state().store(bucket, key, bytes.into(), Labels::default()).unwrap();
    }

    /// The names of all objects in `bucket`, sorted.
    #[must_use]
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.state().bucket(bucket).map(|bucket| bucket.objects.keys().cloned().collect()).unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for GcsServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: TcpListener, state: Arc<Mutex<State>>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let router = Router::new().fallback(move |request: Request| handle(Arc::clone(&state), request));
        tokio::select! {
            _ = axum::serve(listener, router) => {}
            _ = stopped => {}
        }
    });
    // Open connections go with it: a client that keeps one alive must not keep the server.
    runtime.shutdown_timeout(Duration::ZERO);
}

async fn handle(state: Arc<Mutex<State>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Refusal::invalid("The body broke off.").into_response();
    };
    if let Some(response) = admin::order(&mut state.lock().unwrap(), &head.method, head.uri.path(), &body) {
        return response;
    }
    let call = match Call::new(head.method, head.uri, head.headers, body) {
        Ok(call) => call,
        Err(refusal) => return refusal.into_response(),
    };
    let fault = {
        let mut state = state.lock().unwrap();
        state.counts.note(&call);
        pick(&mut state.faults, &call)
    };
    match fault {
        Some(Fault::Status(status)) => return Refusal::of_status(status).into_response(),
        Some(Fault::DropRequest) => hang_up(),
        Some(Fault::Slow(milliseconds)) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
        _ => {}
    }
    let answer = answer(&mut state.lock().unwrap(), &call).unwrap_or_else(Refusal::into_response);
    match fault {
        Some(Fault::LoseAnswer) => hang_up(),
        Some(Fault::FailAfterwards(status)) => Refusal::of_status(status).into_response(),
        Some(Fault::CutBody) => cut(answer).await,
        _ => answer,
    }
}

/// Ends the task that serves the connection, and the connection with it. Nothing is printed: it is no panic.
fn hang_up() -> ! {
    resume_unwind(Box::new("a test asked for a broken connection"))
}

/// The head and the first half of the body, then nothing.
async fn cut(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
    head.headers.insert(CONTENT_LENGTH, whole.len().into());
    let half = whole.slice(..whole.len() / 2);
    // The pause lets the half go out: what breaks off before anything was sent is a lost answer, not a cut one.
    let broken = stream::once(async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(std::io::Error::other("a test asked for a cut body"))
    });
    Response::from_parts(head, Body::from_stream(stream::iter([Ok(half)]).chain(broken)))
}

fn answer(state: &mut State, call: &Call) -> Result<Response, Refusal> {
    let now = state.now();
    let key = who(call, &state.config, now)?.clone();
    let is_read = matches!(call.method.as_str(), "GET" | "HEAD");
    if !is_read && (state.read_only || !key.may_write) {
        return Err(Refusal::access_denied("The caller does not have storage.objects.create access."));
    }
    let upload = call.query.get("uploadId").cloned();
    match (call.method.as_str(), &call.bucket, &call.key, upload) {
        ("GET", None, ..) => bucket_calls::list(state, call, &key),
        ("PUT", Some(_), None, _) => bucket_calls::create(state, call, &key),
        ("HEAD", Some(_), None, _) => bucket_calls::head(state, call),
        ("GET", Some(_), None, _) => listing::list(state, call),
        ("GET" | "HEAD", Some(_), Some(_), None) => object_calls::get(state, call),
        ("PUT", Some(_), Some(_), Some(id)) => multipart_calls::upload_part(state, call, &id),
        ("PUT", Some(_), Some(_), None) => match call.cloud_header("copy-source").map(str::to_owned) {
            Some(source) => object_calls::copy(state, call, &source),
            None => object_calls::put(state, call),
        },
        ("POST", Some(_), Some(_), Some(id)) => multipart_calls::complete(state, call, &id),
        ("POST", Some(_), Some(_), None) if call.query.contains_key("uploads") => {
            multipart_calls::initiate(state, call)
        }
        ("DELETE", Some(_), Some(_), Some(id)) => multipart_calls::abort(state, call, &id),
        ("DELETE", Some(_), Some(_), None) => object_calls::delete(state, call),
        _ => Ok(empty(http::StatusCode::METHOD_NOT_ALLOWED)),
    }
}
