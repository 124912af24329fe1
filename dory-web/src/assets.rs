//! The files that pages load: part of the program, named after what is in them, so that browsers keep them for good.

use std::sync::LazyLock;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::ask::Ask;
use crate::error::{Refusal, Reply};

/// One file.
#[derive(Debug)]
pub(crate) struct Asset {
    /// `dory-1f2e3d4c.css`
    pub(crate) name: String,
    kind: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(stem: &str, ending: &str, kind: &'static str, text: &'static str) -> Self {
        let hash = HEXLOWER.encode(&Sha256::digest(text.as_bytes())[..6]);
        Self { name: format!("{stem}-{hash}.{ending}"), kind, text }
    }

    /// Where browsers find it.
    pub(crate) fn path(&self) -> String {
        format!("/assets/{}", self.name)
    }
}

/// What pages look like.
pub(crate) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("dory", "css", "text/css; charset=utf-8", include_str!("../assets/dory.css")));

/// What they do beyond what a browser does.
pub(crate) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("dory", "js", "text/javascript; charset=utf-8", include_str!("../assets/dory.js")));

/// What stands in a tab.
pub(crate) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("../assets/icon.svg")));

pub(crate) async fn show(ask: Ask) -> Reply {
    let name = ask.param("file");
    let Some(asset) = [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.name == name) else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such file").into());
    };
    let headers = [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, asset.text).into_response())
}
