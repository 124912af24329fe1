//! What a Dory is started with.

use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::variable;
use crate::domain::id::ServerName;
use crate::domain::keys::Encryption;
use crate::domain::schedule::zone_named;
use crate::domain::secret::Secret;
use crate::domain::store_url::{StoreAccess, StoreCredentials, StoreScheme, StoreUrl};
use crate::error::{Error, Result};
use crate::ports::HelperNetwork;

/// What a Dory is started with: checked, and complete as far as it can be without asking anybody.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The store.
    pub store: StoreAccess,
    /// The Google Cloud project to make a missing bucket in.
    pub project: Option<String>,
    /// The key, or the word that there is none; `None` where nothing was said.
    pub encryption: Option<Encryption>,
    /// This server's name.
    pub server: ServerName,
    /// Whether nobody chose that name, so that it is this machine's: inside a container, one of a day.
    pub server_by_default: bool,
    /// How helpers reach the store, where the user chose.
    pub helper_network: Option<HelperNetwork>,
    /// The container engine.
    pub docker: DockerChoice,
    /// The time zone of schedules that name none, and of the days that retention counts.
    pub zone: TimeZone,
    /// For how many days the store charges for an object, whether it is still there or not.
    pub minimum_stay_days: Option<u32>,
    /// Whether webhooks and pings of the fleet's settings may reach into private networks of this host.
    pub private_targets: bool,
}

/// Where the container engine is, as the user said it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerChoice {
    /// `DOCKER_HOST`; the usual socket where `None`.
    pub host: Option<String>,
    /// The folder of certificates, where TLS is wanted.
    pub certificates: Option<PathBuf>,
}

impl Settings {
    /// Makes settings from single values. `get` gives the value of a [`variable`], wherever the frontend has it from;
    /// `host_name` is this server's name where nothing else was said.
    ///
    /// # Errors
    /// `InvalidInput` naming the setting and what is allowed; what `get` gives.
    pub fn resolve(mut get: impl FnMut(&str) -> Result<Option<String>>, host_name: &str) -> Result<Self> {
        let mut value = |name: &str| get(name).map(|value| value.filter(|value| !value.is_empty()));
        let project = value(variable::GS_PROJECT_ID)?;
        let store = match value(variable::STORE)? {
            Some(url) => url.parse().map_err(|error: Error| rename(variable::STORE, &error))?,
            None => default_store(project.as_deref(), &mut value)?,
        };
        let credentials = credentials(&store, &mut value)?;
        let region = match value(variable::STORE_REGION)? {
            Some(region) => Some(region),
            None => value(variable::AWS_REGION)?,
        };
        let chosen = value(variable::SERVER)?;
        let server_by_default = chosen.is_none();
        let server = match chosen {
            Some(name) => ServerName::parse(name).map_err(|error| rename(variable::SERVER, &error))?,
            None => ServerName::parse(host_name).map_err(|error| {
                rename("host name", &error).with_hint(format!("set {} to a name for this server", variable::SERVER))
            })?,
        };
        let certificates = match value(variable::DOCKER_TLS_VERIFY)? {
            Some(_) => value(variable::DOCKER_CERT_PATH)?.map(PathBuf::from),
            None => None,
        };
        Ok(Self {
            store: StoreAccess { url: store, credentials, endpoint: value(variable::STORE_ENDPOINT)?, region },
            project,
            encryption: encryption(&mut value)?,
            server,
            server_by_default,
            helper_network: helper_network(&mut value)?,
            docker: DockerChoice { host: value(variable::DOCKER_HOST)?, certificates },
            zone: match value(variable::TIMEZONE)? {
                Some(name) => zone_named(&name).map_err(|error| rename(variable::TIMEZONE, &error))?,
                None => TimeZone::UTC,
            },
            minimum_stay_days: minimum_stay(&mut value)?,
            private_targets: private_targets(&mut value)?,
        })
    }
}

type Values<'a> = &'a mut dyn FnMut(&str) -> Result<Option<String>>;

/// Google's three variables are enough: the documents promise a backup with nothing else set.
fn default_store(project: Option<&str>, value: Values<'_>) -> Result<StoreUrl> {
    let keys = value(variable::GS_ACCESS_KEY)?.is_some() && value(variable::GS_SECRET_ACCESS_KEY)?.is_some();
    match project {
        Some(project) if keys => format!("gs://{project}-dory").parse(),
        _ => Err(Error::invalid(variable::STORE, "", "no store is set").with_hint(
            "set DORY_STORE to `file:///folder`, `gs://bucket`, `s3://bucket` or `az://container`, or add `--store`",
        )),
    }
}

fn credentials(store: &StoreUrl, value: Values<'_>) -> Result<StoreCredentials> {
    match store.scheme {
        StoreScheme::File => Ok(StoreCredentials::Ambient),
        StoreScheme::Gs => {
            if let Some(keys) = pair(variable::GS_ACCESS_KEY, variable::GS_SECRET_ACCESS_KEY, value)? {
                return Ok(access_key(keys, None));
            }
            Ok(match value(variable::GOOGLE_APPLICATION_CREDENTIALS)? {
                Some(json) => StoreCredentials::ServiceAccount { json: Secret::new(json) },
                None => StoreCredentials::Ambient,
            })
        }
        StoreScheme::S3 => match pair(variable::AWS_ACCESS_KEY_ID, variable::AWS_SECRET_ACCESS_KEY, value)? {
            Some(keys) => Ok(access_key(keys, value(variable::AWS_SESSION_TOKEN)?)),
            None => Ok(StoreCredentials::Ambient),
        },
        StoreScheme::Az => match pair(variable::AZURE_STORAGE_ACCOUNT, variable::AZURE_STORAGE_KEY, value)? {
            Some((account, key)) => Ok(StoreCredentials::AzureAccount { account, key: Secret::new(key) }),
            None => Ok(StoreCredentials::Ambient),
        },
    }
}

fn access_key((id, secret): (String, String), session: Option<String>) -> StoreCredentials {
    StoreCredentials::AccessKey { id, secret: Secret::new(secret), session: session.map(Secret::new) }
}

/// Two settings that only make sense together.
fn pair(first: &str, second: &str, value: Values<'_>) -> Result<Option<(String, String)>> {
    match (value(first)?, value(second)?) {
        (Some(a), Some(b)) => Ok(Some((a, b))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Error::invalid(second, "", format!("{first} is set, so it must be set too"))),
        (None, Some(_)) => Err(Error::invalid(first, "", format!("{second} is set, so it must be set too"))),
    }
}

fn encryption(value: Values<'_>) -> Result<Option<Encryption>> {
    let passphrase = value(variable::PASSPHRASE)?;
    match value(variable::ENCRYPTION)?.as_deref() {
        None | Some("passphrase") => {
            Ok(passphrase.map(|text| Encryption::Passphrase(Secret::new(text.trim_end_matches(['\n', '\r'])))))
        }
        Some("none") if passphrase.is_some() => {
            let reason = format!("{} is set too, and only one of them can hold", variable::PASSPHRASE);
            Err(Error::invalid(variable::ENCRYPTION, "none", reason))
        }
        Some("none") => Ok(Some(Encryption::None)),
        Some(other) => Err(Error::invalid(variable::ENCRYPTION, other, "`none` and `passphrase` are allowed")),
    }
}

fn private_targets(value: Values<'_>) -> Result<bool> {
    match value(variable::PRIVATE_TARGETS)?.as_deref() {
        None | Some("refuse") => Ok(false),
        Some("allow") => Ok(true),
        Some(other) => Err(Error::invalid(variable::PRIVATE_TARGETS, other, "`allow` and `refuse` are allowed")),
    }
}

fn helper_network(value: Values<'_>) -> Result<Option<HelperNetwork>> {
    Ok(match value(variable::HELPER_NETWORK)?.as_deref() {
        None => None,
        Some("none") => Some(HelperNetwork::None),
        Some("bridge") => Some(HelperNetwork::Bridge),
        Some("host") => Some(HelperNetwork::Host),
        Some(other) => {
            return Err(Error::invalid(variable::HELPER_NETWORK, other, "`bridge`, `host` and `none` are allowed"));
        }
    })
}

fn minimum_stay(value: Values<'_>) -> Result<Option<u32>> {
    let Some(text) = value(variable::MINIMUM_STAY_DAYS)? else { return Ok(None) };
    let days: Option<u32> = text.parse().ok().filter(|days| *days <= 3650);
    days.map(Some)
        .ok_or_else(|| Error::invalid(variable::MINIMUM_STAY_DAYS, text, "a number of days up to 3650 is allowed"))
}

fn rename(name: &str, error: &Error) -> Error {
    Error::invalid(name, error.subject(), error.reason())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(pairs: &[(&str, &str)]) -> Result<Settings> {
        let get = |name: &str| Ok(pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()));
        Settings::resolve(get, "host-1")
    }

    #[test]
    fn googles_three_variables_are_enough() {
        let three = [("GS_PROJECT_ID", "shop"), ("GS_ACCESS_KEY", "GOOG1"), ("GS_SECRET_ACCESS_KEY", "s3cret")];
        let settings = resolve(&three).unwrap();
        assert_eq!(settings.store.url.to_string(), "gs://shop-dory");
        assert!(matches!(settings.store.credentials, StoreCredentials::AccessKey { id, .. } if id == "GOOG1"));
        assert!(!format!("{:?}", resolve(&three).unwrap()).contains("s3cret"));
        assert_eq!((settings.server.as_str(), settings.server_by_default), ("host-1", true));
    }

    #[test]
    fn a_passphrase_is_taken_literally_but_for_the_end_of_its_line() {
        let settings = resolve(&[("DORY_STORE", "file:///d"), ("DORY_PASSPHRASE", " two words \r\n")]).unwrap();
        assert_eq!(settings.encryption, Some(Encryption::Passphrase(Secret::new(" two words "))));
    }

    #[test]
    fn what_is_missing_or_contradictory_is_named() {
        let cases: [(&[(&str, &str)], &str); 9] = [
            (&[], "DORY_STORE"),
            (&[("DORY_STORE", "ftp://x")], "DORY_STORE"),
            (&[("DORY_STORE", "gs://b"), ("GS_ACCESS_KEY", "k")], "GS_SECRET_ACCESS_KEY"),
            (&[("DORY_STORE", "file:///d"), ("DORY_ENCRYPTION", "maybe")], "DORY_ENCRYPTION"),
            (&[("DORY_STORE", "file:///d"), ("DORY_ENCRYPTION", "none"), ("DORY_PASSPHRASE", "x")], "DORY_ENCRYPTION"),
            (&[("DORY_STORE", "file:///d"), ("DORY_HELPER_NETWORK", "vpn")], "DORY_HELPER_NETWORK"),
            (&[("DORY_STORE", "file:///d"), ("DORY_TIMEZONE", "Mars/Base")], "DORY_TIMEZONE"),
            (&[("DORY_STORE", "file:///d"), ("DORY_MINIMUM_STAY_DAYS", "-1")], "DORY_MINIMUM_STAY_DAYS"),
            (&[("DORY_STORE", "file:///d"), ("DORY_PRIVATE_TARGETS", "yes")], "DORY_PRIVATE_TARGETS"),
        ];
        for (pairs, named) in cases {
            let error = resolve(pairs).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
