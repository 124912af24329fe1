//! The layer between a store's client and HTTP: it signs requests and notes what became of them.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use http::{Method, StatusCode, Uri};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, Extensions};

use super::hmac_signer::HmacSigner;

/// How often a host that has never answered is called before the caller is told so: a wrong address or a dead
/// network must not cost a person the minute that a known host's hiccup is worth.
const FIRST_CALLS: usize = 3;

/// Makes the clients of one store.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    transport: Option<Arc<dyn HttpConnector>>,
    signer: Option<Arc<HmacSigner>>,
}

impl Wire {
    pub(super) fn new(transport: Option<Arc<dyn HttpConnector>>, signer: Option<HmacSigner>) -> Self {
        Self { transport, signer: signer.map(Arc::new) }
    }
}

impl HttpConnector for Wire {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = match &self.transport {
            Some(transport) => transport.connect(options)?,
            None => ReqwestConnector::default().connect(options)?,
        };
        let signer = self.signer.clone();
        Ok(HttpClient::new(WireService { inner, signer, first_contact: FirstContact::default() }))
    }
}

#[derive(Debug)]
struct WireService {
    inner: HttpClient,
    signer: Option<Arc<HmacSigner>>,
    first_contact: FirstContact,
}

#[async_trait]
impl HttpService for WireService {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let doubt = request.extensions().get::<Doubt>().cloned();
        if let Some(signer) = &self.signer {
            signer.sign(&mut request).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        }
        let streams = request.method() == Method::GET && !is_listing(request.uri());
        let answer = match self.inner.execute(request).await {
            Ok(answer) if !streams || !answer.status().is_success() => whole(answer).await,
            answer => answer,
        };
        if let Some(doubt) = doubt {
            doubt.note(&answer);
        }
        self.first_contact.judge(answer)
    }
}

/// Reads an answer to its end, so that one that breaks off counts as a request that failed, and is made again.
///
/// Objects are left to stream: the client itself resumes them where they broke off.
async fn whole(answer: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (head, body) = answer.into_parts();
    let bytes = body.bytes().await.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))?;
    Ok(HttpResponse::from_parts(head, bytes.into()))
}

/// Whether it asks for names: by S3's and Google's word, or by Azure's.
fn is_listing(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|word| word.starts_with("list-type=") || word == "comp=list"))
}

/// Ends the retries while nobody has ever answered.
#[derive(Debug, Default)]
struct FirstContact {
    reached: AtomicBool,
    missed: AtomicUsize,
}

impl FirstContact {
    fn judge(&self, answer: Result<HttpResponse, HttpError>) -> Result<HttpResponse, HttpError> {
        let error = match answer {
            Ok(answer) => {
                self.reached.store(true, Ordering::Relaxed);
                return Ok(answer);
            }
            Err(error) => error,
        };
        let unheard = matches!(error.kind(), HttpErrorKind::Connect | HttpErrorKind::Timeout);
        if unheard
            && !self.reached.load(Ordering::Relaxed)
            && self.missed.fetch_add(1, Ordering::Relaxed) + 1 >= FIRST_CALLS
        {
            return Err(HttpError::new(HttpErrorKind::Unknown, error));
        }
        Err(error)
    }
}

/// Whether a write may have happened although nobody said so: an attempt broke off, or the server failed at it.
///
/// It travels with the request, so it knows of the attempts that the client makes by itself. Where it stays
/// clear, a refused precondition means what it says; where not, the refusal may be about our own first attempt.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt(Arc<AtomicBool>);

impl Doubt {
    /// What makes a request carry it.
    pub(super) fn as_extensions(&self) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(self.clone());
        extensions
    }

    pub(super) fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn note(&self, answer: &Result<HttpResponse, HttpError>) {
        let doubtful = match answer {
            Ok(answer) => answer.status().is_server_error() || answer.status() == StatusCode::REQUEST_TIMEOUT,
            Err(error) => error.kind() != HttpErrorKind::Connect,
        };
        if doubtful {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: HttpErrorKind) -> Result<HttpResponse, HttpError> {
        Err(HttpError::new(kind, std::io::Error::other("gone")))
    }

    fn answered(status: u16) -> Result<HttpResponse, HttpError> {
        Ok(http::Response::builder().status(status).body(Vec::new().into()).unwrap())
    }

    #[test]
    fn a_host_that_never_answered_is_given_up_and_one_that_did_is_not() {
        let contact = FirstContact::default();
        let kinds: Vec<_> = (0..3).map(|_| contact.judge(failed(HttpErrorKind::Connect)).unwrap_err().kind()).collect();
        assert_eq!(kinds, [HttpErrorKind::Connect, HttpErrorKind::Connect, HttpErrorKind::Unknown]);

        contact.judge(answered(503)).unwrap();
        assert_eq!(contact.judge(failed(HttpErrorKind::Connect)).unwrap_err().kind(), HttpErrorKind::Connect);
    }

    #[test]
    fn only_what_may_have_reached_the_store_raises_doubt() {
        for (answer, doubtful) in [
            (answered(200), false),
            (answered(412), false),
            (answered(429), false),
            (answered(503), true),
            (answered(408), true),
            (failed(HttpErrorKind::Connect), false),
            (failed(HttpErrorKind::Timeout), true),
            (failed(HttpErrorKind::Interrupted), true),
        ] {
            let doubt = Doubt::default();
            doubt.note(&answer);
            assert_eq!(doubt.raised(), doubtful, "{answer:?}");
        }
    }
}
