//! Founding a fleet: its document in the store, its key, the sheet that brings everything back.

use jiff::Timestamp;
use serde::Serialize;

use super::{Catalog, no_key, noise};
use crate::domain::fleet::{Fleet, FleetEncryption};
use crate::domain::id::RunId;
use crate::domain::keys::{Encryption, PASSPHRASE_ENTROPY, passphrase_from};
use crate::domain::secret::Secret;
use crate::error::{Error, ErrorKind, Result};

/// What [`init`] found or made.
#[derive(Clone, Debug, Serialize)]
pub struct InitReport {
    /// The fleet's id.
    pub fleet: String,
    /// The store's URL.
    pub store: String,
    /// Whether the fleet was there before.
    pub existed: bool,
    /// Whether its data is encrypted.
    pub encrypted: bool,
    /// Whether the bucket was there before and the key may not ask whose it is: somebody else may own it.
    pub owner_unknown: bool,
    /// The passphrase that was made; `None` where the user brought one, or wants none, or the fleet was there before.
    #[serde(skip)]
    pub passphrase: Option<Secret>,
}

/// Founds the fleet in the store, or joins the one that is there. Running it again changes nothing.
///
/// Where the user said nothing about encryption, a passphrase is made; it is in the report and nowhere else. With
/// `known`, the fleet's id from a recovery sheet, a document that was lost is made anew; its passphrase must be given
/// then, and nothing can prove it before a repository is opened.
///
/// # Errors
/// `WrongKey` if the fleet is there and has another key, `AlreadyExists` if it has one and none was said; `Corrupt` if its
/// document is lost and nothing is known of it; `InvalidInput` for a lost fleet without its passphrase; the store's.
pub async fn init(
    catalog: &Catalog,
    encryption: Option<&Encryption>,
    known: Option<&str>,
    now: Timestamp,
) -> Result<InitReport> {
    match (catalog.fleet().await, known) {
        (Ok(Some(fleet)), _) => return join(catalog, &fleet, encryption),
        (Ok(None), None) => {}
        (Ok(None), Some(_)) => encryption.map(drop).ok_or_else(no_key)?,
        (Err(error), Some(_)) if error.kind() == ErrorKind::Corrupt => encryption.map(drop).ok_or_else(no_key)?,
        (Err(error), _) => return Err(error),
    }
    let (chosen, made) = match encryption {
        Some(encryption) => (encryption.clone(), None),
        None => {
            let passphrase = new_passphrase()?;
            (Encryption::Passphrase(passphrase.clone()), Some(passphrase))
        }
    };
    let id = match known {
        Some(id) => id.to_owned(),
        None => RunId::new(now, noise()?).to_string(),
    };
    let (fleet, key) = Fleet::new(id, now, &chosen)?;
    match catalog.create_fleet(&fleet).await {
        Ok(()) => {}
        // Another server was faster: its key counts, not the one just made.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match catalog.fleet().await? {
            Some(fleet) => return join(catalog, &fleet, encryption),
            None => return Err(error),
        },
        Err(error) => return Err(error),
    }
    Ok(InitReport {
        fleet: fleet.id,
        store: catalog.location(),
        existed: false,
        encrypted: key.is_some(),
        owner_unknown: false,
        passphrase: made,
    })
}

fn join(catalog: &Catalog, fleet: &Fleet, encryption: Option<&Encryption>) -> Result<InitReport> {
    let there = |kind: ErrorKind, also: &str| {
        let reason = format!("it is set up already (fleet {}){also}", fleet.id);
        Error::new(kind, "set up store", catalog.location(), reason)
    };
    let Some(encryption) = encryption.or((fleet.encryption == FleetEncryption::None).then_some(&Encryption::None))
    else {
        return Err(there(ErrorKind::AlreadyExists, "")
            .with_hint("set DORY_PASSPHRASE to the passphrase on its recovery sheet to use it"));
    };
    let key = fleet.unlock(encryption).map_err(|error| {
        let named = there(error.kind(), &format!(", and {}", error.reason()));
        match error.hint() {
            Some(hint) => named.with_hint(hint),
            None => named,
        }
    })?;
    Ok(InitReport {
        fleet: fleet.id.clone(),
        store: catalog.location(),
        existed: true,
        encrypted: key.is_some(),
        owner_unknown: false,
        passphrase: None,
    })
}

/// What a person needs to bring everything back when every machine is gone. It holds the passphrase: keep it offline.
#[must_use]
pub fn recovery_sheet(report: &InitReport, passphrase: Option<&Secret>) -> String {
    let key = match passphrase {
        Some(passphrase) => format!("passphrase  {}\n", passphrase.expose()),
        None => "passphrase  none: the data is not encrypted\n".to_owned(),
    };
    format!(
        "Dory recovery sheet\n\
         ===================\n\
         Keep this where a fire, a thief or a broken disk that takes the servers cannot take it too.\n\
         Without the passphrase nobody can read the backups, and nobody can make a new one.\n\
         \n\
         store       {store}\n\
         fleet       {fleet}\n\
         {key}\
         \n\
         To bring data back on a new host: install Docker and Dory, set DORY_STORE and DORY_PASSPHRASE\n\
         (and what opens the store), then:\n\
         \n    dory list\n    dory restore <backup> --into <container>\n",
        store = report.store,
        fleet = report.fleet,
    )
}

fn new_passphrase() -> Result<Secret> {
    let mut entropy = [0; PASSPHRASE_ENTROPY];
    getrandom::fill(&mut entropy).map_err(|error| {
        Error::new(ErrorKind::Internal, "make a passphrase", "", "the system has no randomness").with_source(error)
    })?;
    Ok(passphrase_from(&entropy))
}
