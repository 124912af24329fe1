//! The rules of the house, checked over the sources: who may use whom, how long a file may be, what may not be said.

mod source;

use std::fs;
use std::path::{Path, PathBuf};

use self::source::{Source, references};

/// The layers of `dory-core` and what each may use of the others.
const LAYERS: &[(&str, &[&str], &str)] = &[
    ("error", &[], "errors know nothing else"),
    ("domain", &["error"], "the domain is plain data and pure rules"),
    ("ports", &["domain", "error"], "ports speak the domain's language and know nobody who implements or calls them"),
    ("agent", &["ports", "domain", "error"], "the agent serves any engine"),
    ("config", &["ports", "domain", "error"], "settings are values"),
    ("services", &["agent", "ports", "domain", "error"], "use cases work with ports, never with what is behind them"),
    ("fleet", &["services", "agent", "ports", "domain", "error"], "a server runs use cases, on ports"),
    ("source", &["ports", "domain", "error"], "how folders are read is the same for every engine"),
    (
        "adapters",
        &["source", "ports", "domain", "error"],
        "an adapter can be replaced, so it knows neither services nor a sibling",
    ),
];

/// The only places that may name services and adapters both.
const TOP: [&str; 2] = ["bootstrap", "lib"];

/// Nothing in a repository that is finished says one of these. Written apart, for this file is read too.
const UNFINISHED: [&str; 4] =
    [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("db", "g!"), concat!("FIX", "ME")];

/// What only frontends may touch.
const FRONTENDS_ONLY: [&str; 7] =
    ["std::env", "env::var", "home_dir", "println!", "eprintln!", "std::io::stdout", "std::io::stdin"];

const LONGEST_FILE: usize = 500;

#[test]
fn nobody_uses_what_is_above_or_beside() {
    let sources = sources_below("dory-core/src");
    let adapters = adapters(&sources);
    report(sources.iter().flat_map(|source| forbidden_uses(source, &adapters)));
}

#[test]
fn frontends_use_no_adapters() {
    let frontends = ["dory-cli/src", "dory-web/src"].map(sources_below).concat();
    let naming = |source: &Source| source.lines_with(&["dory_core::adapters"]);
    report(frontends.iter().flat_map(naming).map(|place| format!("{place}: frontends get adapters from bootstrap")));
}

#[test]
fn the_library_takes_values() {
    let reason = "only frontends touch the environment, the terminal and the home folder";
    let told = |source: &Source| {
        let uses = source.lines_with(&FRONTENDS_ONLY).into_iter();
        // Which machine this was compiled for is no setting.
        uses.filter(|place| !place.contains("env::consts"))
            .map(|place| format!("{place}: {reason}"))
            .collect::<Vec<_>>()
    };
    report(sources_below("dory-core/src").iter().flat_map(told));
}

#[test]
fn the_library_does_not_know_its_tests() {
    let known = |source: &Source| source.lines_with(&["dory_testkit"]);
    let reason = "tests within src are compiled against another copy of the crate: they belong into tests/";
    report(sources_below("dory-core/src").iter().flat_map(known).map(|place| format!("{place}: {reason}")));
}

#[test]
fn every_file_is_short_and_says_what_it_is_for() {
    report(sources_below("").iter().flat_map(|source| {
        let lines = source.text.lines().count();
        let long = (lines > LONGEST_FILE)
            .then(|| format!("{}:{lines}: a file has at most {LONGEST_FILE} lines, and one idea", source.path));
        let mute = (!source.text.starts_with("//!"))
            .then(|| format!("{}:1: the first line is a `//!` that says what the file is for", source.path));
        long.into_iter().chain(mute)
    }));
}

#[test]
fn nothing_is_left_unfinished() {
    let unfinished = |source: &Source| {
        let lines = source.text.lines().enumerate();
        let hits = lines.filter(|(_, line)| UNFINISHED.iter().any(|word| line.contains(word)));
        let tell = |(at, line): (usize, &str)| {
            format!("{}:{}: unfinished work is an issue, not a remark: {}", source.path, at + 1, line.trim())
        };
        hits.map(tell).collect::<Vec<_>>()
    };
    report(sources_below("").iter().flat_map(unfinished));
}

/// What `source`, a file of `dory-core/src`, uses and may not.
fn forbidden_uses(source: &Source, adapters: &[String]) -> Vec<String> {
    let module = source.module();
    let own = module.first().map_or("lib", String::as_str);
    if TOP.contains(&own) {
        return Vec::new();
    }
    let Some((_, allowed, reason)) = LAYERS.iter().find(|(layer, ..)| *layer == own) else {
        return vec![format!("{}:1: `{own}` is no layer: give it a place in tests/architecture.rs", source.path)];
    };
    let mut found = Vec::new();
    for (line, target) in references(&source.code(), &module) {
        let layer = target.first().map_or("", String::as_str);
        let known = TOP.contains(&layer) || LAYERS.iter().any(|(other, ..)| *other == layer);
        if known && layer != own && !allowed.contains(&layer) {
            found.push(format!("{}:{line}: `{own}` may not use `{layer}`: {reason}", source.path));
        }
        let sibling = target.get(1).filter(|_| layer == "adapters" && own == "adapters");
        if let (Some(sibling), Some(mine)) = (sibling, module.get(1))
            && sibling != mine
            && adapters.contains(sibling)
        {
            found.push(format!("{}:{line}: `{mine}` may not use its sibling `{sibling}`: {reason}", source.path));
        }
    }
    found
}

/// The names of the folders below `adapters`.
fn adapters(sources: &[Source]) -> Vec<String> {
    let mut names: Vec<_> = sources.iter().map(Source::module).filter(|module| module[..1] == ["adapters"]).collect();
    names.retain(|module| module.len() > 1);
    let mut names: Vec<_> = names.into_iter().map(|mut module| module.swap_remove(1)).collect();
    names.dedup();
    names
}

fn report(violations: impl Iterator<Item = String>) {
    let violations: Vec<_> = violations.collect();
    assert!(violations.is_empty(), "the rules of the house are broken:\n{}", violations.join("\n"));
}

/// Every Rust file of the workspace below `folder`.
fn sources_below(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut files = Vec::new();
    collect(&root.join(folder), &mut files);
    files.sort();
    assert!(!files.is_empty(), "there are no sources below `{folder}`");
    let read = |file: PathBuf| {
        let path = file.strip_prefix(root).expect("a file of the workspace").display().to_string();
        Source { text: fs::read_to_string(&file).expect("a source file"), path }
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the workspace") {
        let entry = entry.expect("a file of the workspace");
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            collect(&path, files);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
}

/// The rules notice what they are there for: each of these breaks one.
#[test]
fn broken_rules_are_noticed() {
    let adapters = ["docker", "restic"].map(str::to_owned);
    let broken = [
        ("domain/plan.rs", "use crate::ports::Clock;", "`domain` may not use `ports`"),
        ("domain/plan.rs", "fn f() {\n    super::super::services::run();\n}", "`domain` may not use `services`"),
        ("domain/a/b.rs", "use super::super::super::ports::Clock;", "`domain` may not use `ports`"),
        ("ports/clock.rs", "use crate::{domain::id, agent};", "`ports` may not use `agent`"),
        ("services/backup.rs", "use crate::{\n    error::Result,\n    adapters::{docker::Runtime},\n};", "`services`"),
        ("agent/serve.rs", "use crate::services::Dory;", "`agent` may not use `services`"),
        ("adapters/docker/mod.rs", "use crate::services::Dory;", "`adapters` may not use `services`"),
        ("adapters/docker/mod.rs", "use crate::agent::serve;", "`adapters` may not use `agent`"),
        (
            "adapters/docker/exec.rs",
            "use crate::adapters::restic::Engine;",
            "`docker` may not use its sibling `restic`",
        ),
        ("adapters/docker/exec.rs", "use super::super::restic::Engine;", "`docker` may not use its sibling `restic`"),
        ("services/backup.rs", "use crate::bootstrap;", "`services` may not use `bootstrap`"),
        ("helpers/mod.rs", "", "`helpers` is no layer"),
    ];
    for (path, text, words) in broken {
        let source = Source { path: format!("dory-core/src/{path}"), text: text.to_owned() };
        let found = forbidden_uses(&source, &adapters);
        assert!(found.len() == 1 && found[0].contains(words), "{path} `{text}`: {found:?}");
    }
    let kept = [
        ("domain/plan.rs", "// use crate::ports::Clock;\nuse crate::error::Result; /* crate::services */"),
        ("domain/plan.rs", "const TEXT: &str = \"crate::ports\"; const RAW: &str = r#\"use \"crate::ports\"#;"),
        ("domain/plan.rs", "fn f<'a>(c: char) { if c == '\"' { crate::error::f() } } // \"\nuse super::id;"),
        ("adapters/docker/exec.rs", "use crate::adapters::docker::wire; use super::pipes; use crate::ports::Helper;"),
        ("bootstrap.rs", "use crate::{adapters::docker, services::Dory};"),
    ];
    for (path, text) in kept {
        let source = Source { path: format!("dory-core/src/{path}"), text: text.to_owned() };
        assert_eq!(forbidden_uses(&source, &adapters), [""; 0], "{path} `{text}`");
    }
}

#[test]
fn words_are_found_in_code_alone() {
    let text = "// println! is not used\nlet text = \"std::env\";\nuse std::env;\n";
    let source = Source { path: "x.rs".to_owned(), text: text.to_owned() };
    assert_eq!(source.lines_with(&FRONTENDS_ONLY), ["x.rs:3: use std::env;"]);
}
