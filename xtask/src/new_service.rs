//! The skeleton of a new service: every room, one table, one operation that works on both databases.

use std::path::Path;

use crate::{Findings, root};

/// Makes `crates/polity-<domain>/src/<name>/`, and says what is left to do by hand.
pub(crate) fn make(domain: &str, name: &str, port: u16) -> Result<String, Findings> {
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if !word(domain) || !word(name) {
        return Err(vec!["names are lower-case words, with underscores".to_owned()]);
    }
    let crate_root = root().join(format!("crates/polity-{domain}"));
    let folder = crate_root.join("src").join(name);
    if folder.exists() {
        return Err(vec![format!("{} exists", folder.display())]);
    }
    let mut written = Vec::new();
    if !crate_root.join("Cargo.toml").exists() {
        save(
            &crate_root.join("Cargo.toml"),
            &TEMPLATES.manifest.replace("@domain@", domain),
            &mut written,
        )?;
        let text = format!("//! The domain `{domain}`.\n\npub mod {name};\n");
        save(&crate_root.join("src/lib.rs"), &text, &mut written)?;
    }
    let title: String = name.split('_').map(capitalise).collect();
    for (room, template) in TEMPLATES.rooms {
        let text = template
            .replace("@name@", name)
            .replace("@Title@", &title)
            .replace("@port@", &port.to_string());
        save(&folder.join(room), &text, &mut written)?;
    }
    Ok(format!(
        "written:\n  {}\nleft to do:\n  1. `pub mod {name};` in crates/polity-{domain}/src/lib.rs\n  2. `&{name}::SERVICE` in \
         SERVICES and `{name}::mount(ctx)` in `mount`, crates/polity-server/src/services.rs (and the crate in its Cargo.toml)\n  \
         3. `cargo xtask generate`, and two lines for its health operations in docs/PUBLIC-ROUTES.md\n  4. the contract in docs/contracts/{name}.md, the tests in tests/src/{name}/",
        written.join("\n  ")
    ))
}

fn capitalise(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn save(path: &Path, text: &str, written: &mut Vec<String>) -> Result<(), Findings> {
    let fail = |error: std::io::Error| vec![format!("{}: {error}", path.display())];
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(fail)?;
    }
    std::fs::write(path, text).map_err(fail)?;
    written.push(path.display().to_string());
    Ok(())
}

struct Templates {
    manifest: &'static str,
    rooms: [(&'static str, &'static str); 7],
}

const TEMPLATES: Templates = Templates {
    manifest: include_str!("skeleton/Cargo.toml.txt"),
    rooms: [
        ("mod.rs", include_str!("skeleton/mod.rs.txt")),
        ("model.rs", include_str!("skeleton/model.rs.txt")),
        ("api.rs", include_str!("skeleton/api.rs.txt")),
        ("service.rs", include_str!("skeleton/service.rs.txt")),
        ("store.rs", include_str!("skeleton/store.rs.txt")),
        ("error.rs", include_str!("skeleton/error.rs.txt")),
        ("tables.sql", include_str!("skeleton/tables.sql.txt")),
    ],
};
