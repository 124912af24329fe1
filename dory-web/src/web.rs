//! The web side of one server.

use std::sync::PoisonError;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use dory_core::Result;
use dory_core::services::Dory;

use crate::options::WebOptions;
use crate::sessions::random;
use crate::state::{App, FirstLink};
use crate::{gate, routes};

/// The web side of one server.
#[derive(Clone, Debug)]
pub struct Web {
    pub(crate) app: App,
}

impl Web {
    /// The pages of `dory`.
    ///
    /// # Errors
    /// `Internal` without randomness.
    pub fn new(dory: Dory, options: WebOptions) -> Result<Self> {
        Ok(Self { app: App::new(dory, options)? })
    }

    /// Every route behind the gate: a function from requests to answers, for servers and tests.
    pub fn router(&self) -> Router {
        let app = self.app.clone();
        let frame = move |request: Request, next: Next| gate::frame(app.clone(), request, next);
        routes::router(&self.app).layer(from_fn(frame))
    }

    /// The path of the page on which the first admin comes into being; `None` where there is one already, or another
    /// link. Only who is told it can open it, once.
    ///
    /// # Errors
    /// As for reading users.
    pub async fn first_link(&self) -> Result<Option<String>> {
        let has_link = self.app.first.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if has_link || self.app.accounts.users().await?.has_admin() {
            return Ok(None);
        }
        self.link(false).map(Some)
    }

    /// As [`first_link`](Self::first_link), although there may be an admin: for whoever lost the password, and has the
    /// host.
    ///
    /// # Errors
    /// `Internal` without randomness.
    pub fn link_for_another_admin(&self) -> Result<String> {
        self.link(true)
    }

    fn link(&self, although_there_is_one: bool) -> Result<String> {
        let token = random()?;
        let path = format!("/first/{token}");
        *self.app.first.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(FirstLink { token, although_there_is_one });
        Ok(path)
    }
}
