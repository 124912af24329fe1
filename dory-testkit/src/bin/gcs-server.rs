//! The Google Cloud Storage stand-in as a program: for helpers, scripts and other languages.
//!
//! Prints the address it listens on as its first line, and serves until it is killed.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::exit, reason = "a program says what it does")]

use std::io::Write;
use std::process::exit;

use dory_testkit::gcs::{AccessKey, GcsConfig, GcsServer};

const USAGE: &str = "\
usage: gcs-server [--listen ADDRESS:PORT] [--bucket NAME]… [--project ID] [--access-key ID --secret SECRET] [--token TOKEN]

defaults: 127.0.0.1 and a free port, the bucket `dory` in the project `dory-project`, the key `GOOGDORYTESTKEY` with the
secret `dory/test+secret`; POST /_gcs/faults, GET /_gcs/counts and PUT /_gcs/read-only tell it to misbehave";

fn main() {
    let config = match configured(std::env::args().skip(1)) {
        Ok(config) => config,
        Err(complaint) => {
            eprintln!("gcs-server: {complaint}\n{USAGE}");
            exit(2);
        }
    };
    let server = GcsServer::start_with(config);
    println!("{}", server.url());
    let _ = std::io::stdout().flush();
    loop {
        std::thread::park();
    }
}

fn configured(mut words: impl Iterator<Item = String>) -> Result<GcsConfig, String> {
    let mut config = GcsConfig::default();
    let mut project = "dory-project".to_owned();
    let mut buckets = Vec::new();
    let (mut id, mut secret) = (config.keys[0].id.clone(), config.keys[0].secret.clone());
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} takes a value"));
        match word.as_str() {
            "--listen" => config.listen = value()?,
            "--bucket" => buckets.push(value()?),
            "--project" => project = value()?,
            "--access-key" => id = value()?,
            "--secret" => secret = value()?,
            "--token" => config.tokens = vec![value()?],
            _ => return Err(format!("{word} is not known")),
        }
    }
    if buckets.is_empty() {
        buckets.push("dory".to_owned());
    }
    config.buckets = buckets.into_iter().map(|bucket| (bucket, project.clone())).collect();
    config.keys = vec![AccessKey::new(&id, &secret, &project)];
    Ok(config)
}
