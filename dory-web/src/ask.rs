//! One request, once it is known who asks.

use std::net::IpAddr;
use std::path::PathBuf;

use axum::http::{HeaderMap, StatusCode, Uri};
use bytes::Bytes;
use dory_core::domain::backup::{Backup, PointChoice};
use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::id::{BackupId, CommandId, PointId};
use dory_core::domain::restore_point::RestorePoint;
use dory_core::domain::user::Role;
use dory_core::services::Dory;
use dory_core::{Error, Result};

use crate::error::{Failure, Refusal};
use crate::fields::Fields;
use crate::routes::Route;
use crate::state::App;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) app: App,
    pub(crate) who: Who,
    pub(crate) route: &'static Route,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) query: Fields,
    pub(crate) form: Fields,
    /// The body of a request to the programming interface.
    pub(crate) json: Bytes,
    pub(crate) headers: HeaderMap,
    pub(crate) uri: Uri,
    /// Where it comes from, as far as proxies can be believed.
    pub(crate) address: IpAddr,
    /// Whether the browser speaks TLS.
    pub(crate) secure: bool,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Nobody knows.
    Nobody,
    /// Somebody in front of a browser.
    User {
        /// Their name.
        name: String,
        /// What they may do.
        role: Role,
        /// What their forms carry.
        csrf: String,
        /// Whether a proxy let them in, so that there is nothing to sign out of.
        by_proxy: bool,
    },
    /// A program.
    Token {
        /// What it is called.
        name: String,
        /// What it may do.
        role: Role,
    },
}

impl Who {
    /// What they may do.
    pub(crate) fn role(&self) -> Option<Role> {
        match self {
            Self::Nobody => None,
            Self::User { role, .. } | Self::Token { role, .. } => Some(*role),
        }
    }

    /// Whether they may do at least that.
    pub(crate) fn may(&self, role: Role) -> bool {
        self.role().is_some_and(|own| own >= role)
    }

    /// The name, for records.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Nobody => "nobody".to_owned(),
            Self::User { name, .. } => name.clone(),
            Self::Token { name, .. } => format!("token {name}"),
        }
    }

    /// What their forms carry.
    pub(crate) fn csrf(&self) -> &str {
        match self {
            Self::User { csrf, .. } => csrf,
            _ => "",
        }
    }
}

impl Ask {
    pub(crate) fn dory(&self) -> &Dory {
        &self.app.dory
    }

    /// A part of the path by its name in the route.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn backup_id(&self) -> Result<BackupId> {
        BackupId::parse(self.param("backup"))
    }

    pub(crate) fn point_id(&self) -> Result<PointId> {
        PointId::parse(self.param("point"))
    }

    pub(crate) fn run_id(&self) -> Result<CommandId> {
        CommandId::parse(self.param("run"))
    }

    /// The point of the path, as services take it.
    pub(crate) fn point_choice(&self) -> Result<PointChoice> {
        Ok(PointChoice::Named(self.point_id()?.to_string()))
    }

    /// The backup of the path, as it is now.
    pub(crate) async fn backup(&self) -> Result<Backup> {
        self.dory().catalog().backup(&self.backup_id()?).await
    }

    /// The backup and the point of the path.
    pub(crate) async fn backup_and_point(&self) -> Result<(Backup, RestorePoint)> {
        let backup = self.backup().await?;
        let point = backup.find_point(&self.point_choice()?)?.clone();
        Ok((backup, point))
    }

    /// The `path` of the query: where a container saw a file. One that leads upwards names nothing in a point.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        let text = self.query.raw("path").filter(|text| !text.is_empty()).unwrap_or("/");
        let path: EntryPath = text.parse()?;
        let path = path.to_path_buf();
        let leads_up = path.components().any(|part| matches!(part, std::path::Component::ParentDir));
        if leads_up || text.contains('\0') {
            return Err(Error::invalid("path", text, "a path without `..` is expected"));
        }
        Ok(path)
    }

    /// A cookie's value.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        cookie(&self.headers, name)
    }

    /// Refuses whoever may do less.
    pub(crate) fn allow(&self, role: Role) -> Result<(), Failure> {
        if self.who.may(role) {
            return Ok(());
        }
        let reason =
            format!("this takes the role `{role}`, and yours is `{}`", self.who.role().map_or("none", Role::as_str));
        Err(Refusal::new(StatusCode::FORBIDDEN, reason).with_hint("ask an admin for another role").into())
    }
}

/// A cookie's value.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(axum::http::header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}
