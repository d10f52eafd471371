//! House checks.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{Findings, generate, root};

/// Runs every check, and reports everything that is wrong.
pub(crate) fn run() -> Result<String, Findings> {
    let mut findings = Findings::new();
    findings.extend(drift()?);
    findings.extend(graph()?);
    findings.extend(rooms());
    findings.extend(public_routes()?);
    if findings.is_empty() {
        Ok("the house is in order".to_owned())
    } else {
        Err(findings)
    }
}

fn drift() -> Result<Findings, Findings> {
    let stale = |(path, text): (PathBuf, String)| {
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        (there != text).then(|| format!("{} is stale: run `cargo xtask generate` and commit", path.display()))
    };
    Ok(generate::files()?.into_iter().filter_map(stale).collect())
}

/// What each crate of ours may depend on, beside crates of others. A domain may depend on the kernel and the ports alone.
fn allowed(name: &str) -> &'static [&'static str] {
    match name {
        "polity-macros" | "polity-seal" => &[],
        "polity-grants" => &["polity-seal"],
        "polity-kernel" => &["polity-macros", "polity-seal"],
        "polity-ports" => &["polity-kernel"],
        "polity-integrations" => &["polity-kernel", "polity-ports", "polity-grants"],
        "polity-server" | "polity-testing" | "polity-tests" | "polity-benches" | "xtask" => &["*"],
        _ => &["polity-kernel", "polity-ports"],
    }
}

/// Dependencies go one way: kernel, ports, domains, server.
fn graph() -> Result<Findings, Findings> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .map_err(|error| vec![format!("cargo metadata: {error}")])?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| vec![format!("cargo metadata: {error}")])?;
    let empty = Vec::new();
    let packages = metadata["packages"].as_array().unwrap_or(&empty);
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut findings = Findings::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let allowed = allowed(name);
        for dependency in package["dependencies"].as_array().unwrap_or(&empty) {
            let on = dependency["name"].as_str().unwrap_or_default();
            if ours.contains(on) && !allowed.contains(&"*") && !allowed.contains(&on) {
                findings.push(format!(
                    "{name} depends on {on}: a domain is told by events, and asks through ports"
                ));
            }
        }
    }
    Ok(findings)
}

/// The rooms every service has.
const ROOMS: [&str; 6] = ["mod.rs", "model.rs", "api.rs", "service.rs", "store.rs", "error.rs"];

/// A service is a folder with a `SERVICE` in its `mod.rs`; it has every room, and SQL stands in its store alone.
fn rooms() -> Findings {
    let mut findings = Findings::new();
    for folder in services() {
        for room in ROOMS {
            if !folder.join(room).exists() {
                findings.push(format!("{} has no {room}", folder.display()));
            }
        }
        for file in rust_files(&folder) {
            let relative = file.strip_prefix(&folder).unwrap_or(&file);
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if !relative.starts_with("store") && relative != Path::new("store.rs") && text.contains(".sql(") {
                findings.push(format!("{} holds SQL: it belongs in the store", file.display()));
            }
        }
    }
    findings
}

fn services() -> Vec<PathBuf> {
    let crates = root().join("crates");
    let mut found = Vec::new();
    for domain in entries(&crates) {
        for folder in entries(&domain.join("src")) {
            let text = std::fs::read_to_string(folder.join("mod.rs")).unwrap_or_default();
            if text.contains("pub const SERVICE: Service") {
                found.push(folder);
            }
        }
    }
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in entries(folder) {
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The list of public operations, each with its reason, is kept by hand: what is not on it needs a credential.
fn public_routes() -> Result<Findings, Findings> {
    let path = root().join("docs/PUBLIC-ROUTES.md");
    let text = std::fs::read_to_string(&path).map_err(|error| vec![format!("{}: {error}", path.display())])?;
    let listed: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|rest| rest.split_once('`').map(|(id, _)| id.to_owned()))
        .collect();
    let (_, described) = polity_server::describe().map_err(|error| vec![error])?;
    let public: BTreeSet<String> = described
        .iter()
        .filter(|one| one.guard() == Some("public"))
        .filter_map(|one| one.operation.operation_id.clone())
        .collect();
    let new = public
        .difference(&listed)
        .map(|id| format!("{id} answers without a credential and is not in docs/PUBLIC-ROUTES.md"));
    let gone = listed
        .difference(&public)
        .map(|id| format!("{id} is in docs/PUBLIC-ROUTES.md and is not public"));
    Ok(new.chain(gone).collect())
}
