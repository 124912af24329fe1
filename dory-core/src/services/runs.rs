//! What ran and what runs, of every server, as the catalog tells it.

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::Dory;
use crate::domain::id::{BackupId, RunId, ServerName};
use crate::domain::run::{LiveRun, Outcome, Run};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::DocumentKey;

/// How long records of runs are kept: ninety days.
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// How many records are read at once.
const AT_ONCE: usize = 16;

const LIVE: &str = ".progress.json";

/// Which runs are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Those of this backup: its id, its name, or its container's name.
    pub backup: Option<String>,
    /// Those of this server.
    pub server: Option<ServerName>,
    /// Those that did not succeed.
    pub failed: bool,
    /// How many at most; the newest.
    pub limit: usize,
}

/// What ran and what runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunList {
    /// What is under way, newest first.
    pub live: Vec<LiveRun>,
    /// What is over, newest first.
    pub runs: Vec<Run>,
}

/// One run, as far as the catalog knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunTrace {
    /// What its server shows of it while it is under way.
    pub live: Option<LiveRun>,
    /// How it went, once it is over.
    pub run: Option<Run>,
}

impl Dory {
    /// What ran and what runs. What is under way shows itself only where a server does it, and as of no backup.
    ///
    /// # Errors
    /// The store's. A damaged record is no error of the whole: it is logged.
    pub async fn runs(&self, filter: &RunFilter) -> Result<RunList> {
        let backup = match &filter.backup {
            Some(reference) => Some(self.backup_that_ran(reference).await?),
            None => None,
        };
        let mut found = RunList::default();
        let all = self.run_keys(filter.server.as_ref()).await?;
        let (live, over): (Vec<_>, Vec<_>) = all.into_iter().partition(|(.., is_live)| *is_live);
        let mut over: Vec<_> = over.into_iter().map(|(key, server, id, _)| (id, server, key)).collect();
        over.sort_by(|one, other| other.cmp(one));
        // One that is over may still be shown for a moment.
        let is_over = |id: &RunId| over.binary_search_by(|(other, ..)| id.cmp(other)).is_ok();
        if !filter.failed && backup.is_none() {
            for (key, _, id, _) in live {
                if !is_over(&id) {
                    let live = self.catalog.find_document::<LiveRun>(&key).await?;
                    found.live.extend(live.map(|live| live.body));
                }
            }
        }
        found.live.sort_by_key(|live| std::cmp::Reverse(live.id));
        let wanted = |run: &Run| {
            let of_it = backup.as_ref().is_none_or(|backup| run.backup == *backup);
            of_it && !(filter.failed && run.outcome == Outcome::Succeeded)
        };
        let mut read = stream::iter(over).map(|(_, _, key)| self.record_of(key)).buffered(AT_ONCE);
        while found.runs.len() < filter.limit
            && let Some(run) = read.try_next().await?
        {
            found.runs.extend(run.filter(wanted));
        }
        drop(read);
        Ok(found)
    }

    /// The run that `reference` means: its id, or at least the last six characters of it.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` where it fits several; the store's.
    pub async fn find_run(&self, reference: &str) -> Result<(ServerName, RunId)> {
        let text = reference.to_ascii_uppercase();
        let fits = |id: &RunId| {
            let id = id.to_string();
            id == text || (text.len() >= 6 && id.ends_with(&text))
        };
        let all = self.run_keys(None).await?;
        let mut found: Vec<_> =
            all.into_iter().filter(|(_, _, id, _)| fits(id)).map(|(_, server, id, _)| (server, id)).collect();
        found.sort();
        found.dedup();
        match found.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(Error::new(ErrorKind::NotFound, "find run", reference, "there is none of that id")
                .with_hint("run `dory runs`")),
            several => {
                let ids: Vec<_> = several.iter().map(|(server, id)| format!("`{id}` on `{server}`")).collect();
                Err(Error::invalid("run", reference, format!("it fits {}", ids.join(", "))))
            }
        }
    }

    /// What the catalog knows of one run by now.
    ///
    /// # Errors
    /// The store's; `Corrupt`.
    pub async fn trace_run(&self, server: &ServerName, id: RunId) -> Result<RunTrace> {
        let run = self.catalog.find_document::<Run>(&run_key(server, id)?).await?.map(|found| found.body);
        let live = match run {
            Some(_) => None,
            None => self.catalog.find_document::<LiveRun>(&live_key(server, id)?).await?.map(|found| found.body),
        };
        Ok(RunTrace { live, run })
    }

    /// Removes records of this server's runs that are older than ninety days.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn trim_runs(&self) -> Result<()> {
        let oldest = self.clock.now().checked_sub(KEPT).unwrap_or(Timestamp::MIN);
        for (key, _, id, _) in self.run_keys(Some(&self.config.server)).await? {
            if id.made_at() < oldest {
                self.catalog.delete_document(&key).await?;
            }
        }
        Ok(())
    }

    /// Removes what runs of this server showed of themselves that a dead process began.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn clear_live_runs(&self) -> Result<()> {
        for (key, _, _, is_live) in self.run_keys(Some(&self.config.server)).await? {
            if is_live {
                self.catalog.delete_document(&key).await?;
            }
        }
        Ok(())
    }

    /// Writes how far a run of this server is.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn show_live_run(&self, live: LiveRun) -> Result<()> {
        let key = live_key(&live.server, live.id)?;
        match self.catalog.find_document::<LiveRun>(&key).await? {
            Some(found) => self.catalog.replace_document(&key, &found, live).await.map(drop),
            None => self.catalog.create_document(&key, live).await.map(drop),
        }
    }

    /// Shows nothing of a run any more: it is over.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn hide_live_run(&self, id: RunId) -> Result<()> {
        self.catalog.delete_document(&live_key(&self.config.server, id)?).await
    }

    async fn run_keys(&self, server: Option<&ServerName>) -> Result<Vec<(DocumentKey, ServerName, RunId, bool)>> {
        let folder = server.map_or_else(|| "runs".to_owned(), |server| format!("runs/{server}"));
        let all = self.catalog.list_documents(&folder).await?;
        Ok(all
            .into_iter()
            .filter_map(|stat| {
                let (server, id, is_live) = parts_of(&stat.key)?;
                Some((stat.key, server, id, is_live))
            })
            .collect())
    }

    async fn record_of(&self, key: DocumentKey) -> Result<Option<Run>> {
        match self.catalog.find_document::<Run>(&key).await {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                tracing::warn!(%error, "a run's record cannot be read");
                Ok(None)
            }
            found => Ok(found?.map(|found| found.body)),
        }
    }

    /// A backup whose runs are asked for: one that was deleted has some too, by its id.
    async fn backup_that_ran(&self, reference: &str) -> Result<BackupId> {
        match self.find_backup(reference).await {
            Err(error) if error.kind() == ErrorKind::NotFound => BackupId::parse(reference).map_err(|_| error),
            found => Ok(found?.id.clone()),
        }
    }
}

fn run_key(server: &ServerName, id: RunId) -> Result<DocumentKey> {
    DocumentKey::parse(format!("runs/{server}/{id}.json"))
}

fn live_key(server: &ServerName, id: RunId) -> Result<DocumentKey> {
    DocumentKey::parse(format!("runs/{server}/{id}{LIVE}"))
}

fn parts_of(key: &DocumentKey) -> Option<(ServerName, RunId, bool)> {
    let (server, file) = key.as_str().strip_prefix("runs/")?.split_once('/')?;
    let (id, is_live) = match file.strip_suffix(LIVE) {
        Some(id) => (id, true),
        None => (file.strip_suffix(".json")?, false),
    };
    Some((ServerName::parse(server).ok()?, RunId::parse(id).ok()?, is_live))
}
