//! Where settings come from: the command line, else the environment, else dory.toml.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use dory_core::config::{Settings, variable};
use dory_core::{Error, ErrorKind, Result};
use dory_web::WebOptions;

use crate::args::GlobalArgs;

/// Reads the settings of this run.
pub(crate) fn load(global: &GlobalArgs) -> Result<Settings> {
    let flags = [(variable::STORE, global.store.as_deref()), (variable::SERVER, global.server.as_deref())];
    Settings::resolve(source(global, &flags)?, &host_name())
}

/// Reads what the web pages are served with; `listen` is the address from the command line.
pub(crate) fn web(global: &GlobalArgs, listen: Option<&str>) -> Result<WebOptions> {
    WebOptions::resolve(source(global, &[(variable::WEB_LISTEN, listen)])?)
}

/// What gives the value of a variable: a flag, else the environment, else the file.
fn source(global: &GlobalArgs, flags: &[(&str, Option<&str>)]) -> Result<impl Fn(&str) -> Result<Option<String>>> {
    let file = settings_file(global.config.as_deref())?;
    Ok(move |name: &str| {
        if let Some((_, Some(value))) = flags.iter().find(|(flag, _)| *flag == name) {
            return Ok(Some((*value).to_owned()));
        }
        if let Some(value) = from_environment(name)? {
            return Ok(Some(value));
        }
        Ok(name.strip_prefix("DORY_").and_then(|key| file.get(&key.to_ascii_lowercase()).cloned()))
    })
}

/// A variable's value, or what is in the file that `<name>_FILE` names.
fn from_environment(name: &str) -> Result<Option<String>> {
    let read = |variable: &str| match env::var(variable) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Error::invalid(variable, "", "it is not UTF-8")),
    };
    if name == variable::GOOGLE_APPLICATION_CREDENTIALS {
        return read(name)?.map(|path| read_setting(name, Path::new(&path))).transpose();
    }
    let value = read(name)?;
    if !variable::OWN.contains(&name) {
        return Ok(value);
    }
    let file_name = format!("{name}_FILE");
    match (value, read(&file_name)?) {
        (Some(_), Some(_)) => {
            Err(Error::invalid(&file_name, "", format!("{name} is set too, and only one of them can hold")))
        }
        (None, Some(path)) => {
            read_setting(&file_name, Path::new(&path)).map(|text| Some(text.trim_end_matches(['\n', '\r']).to_owned()))
        }
        (value, None) => Ok(value),
    }
}

fn read_setting(name: &str, path: &Path) -> Result<String> {
    fs::read_to_string(path)
        .map_err(|error| Error::invalid(name, path.display().to_string(), "the file cannot be read").with_source(error))
}

/// The settings file: the one that was named, or the first of the usual places; none is fine.
fn settings_file(named: Option<&Path>) -> Result<BTreeMap<String, String>> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => match usual_places().into_iter().find(|path| path.exists()) {
            Some(path) => path,
            None => return Ok(BTreeMap::new()),
        },
    };
    let name = path.display().to_string();
    let text = fs::read_to_string(&path)
        .map_err(|error| Error::invalid("settings file", &name, "it cannot be read").with_source(error))?;
    let table: toml::Table = toml::from_str(&text)
        .map_err(|error| Error::invalid("settings file", &name, "it is not valid TOML").with_source(error))?;
    let mut settings = BTreeMap::new();
    for (key, value) in table {
        let (key, text) = match value {
            // A path in the file stands for what the file at that path holds, as in the environment.
            toml::Value::String(path) if key.ends_with("_file") => {
                let text = read_setting(&format!("{key} in {name}"), Path::new(&path))?;
                (key.trim_end_matches("_file").to_owned(), text.trim_end_matches(['\n', '\r']).to_owned())
            }
            toml::Value::String(text) => (key, text),
            _ => {
                return Err(Error::invalid(
                    &format!("`{key}` in {name}"),
                    value.type_str(),
                    "a text in quotes is expected",
                ));
            }
        };
        if !variable::OWN.iter().any(|own| own.strip_prefix("DORY_").is_some_and(|own| own.eq_ignore_ascii_case(&key)))
        {
            let known: Vec<_> = variable::OWN
                .iter()
                .filter_map(|own| own.strip_prefix("DORY_"))
                .map(|own| format!("`{}`", own.to_ascii_lowercase()))
                .collect();
            return Err(Error::invalid(
                "settings file",
                &name,
                format!("it sets `{key}`, and only {} are known", known.join(", ")),
            ));
        }
        settings.insert(key, text);
    }
    Ok(settings)
}

fn usual_places() -> Vec<PathBuf> {
    let home = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    home.into_iter().map(|folder| folder.join("dory/dory.toml")).chain([PathBuf::from("/etc/dory/dory.toml")]).collect()
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// Reads `key=value` words.
pub(crate) fn pairs(field: &str, words: &[String]) -> Result<BTreeMap<String, String>> {
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Error::new(ErrorKind::InvalidInput, format!("use {field}"), word, "`name=value` is expected")),
    };
    words.iter().map(pair).collect()
}
