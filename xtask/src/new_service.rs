//! The skeleton of a new service: every room, one table, operations that work on both databases, what it says and hears, a
//! test, and its lines in the lists where services stand.

use std::path::Path;

use crate::{Findings, root};

/// Makes `crates/polity-<domain>/src/<name>/` and what belongs to it, and says what is left to do by hand.
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
    let is_new = !crate_root.join("Cargo.toml").exists();
    if is_new {
        let manifest = TEMPLATES.manifest.replace("@domain@", domain);
        save(&crate_root.join("Cargo.toml"), &manifest, &mut written)?;
        let text = format!("//! The domain `{domain}`.\n\n");
        save(&crate_root.join("src/lib.rs"), &text, &mut written)?;
    }
    let title: String = name.split('_').map(capitalise).collect();
    let filled = |template: &str| {
        template
            .replace("@name@", name)
            .replace("@NAME@", &name.to_uppercase())
            .replace("@Title@", &title)
            .replace("@port@", &port.to_string())
    };
    for (room, template) in TEMPLATES.rooms {
        save(&folder.join(room), &filled(template), &mut written)?;
    }
    for (place, template) in TEMPLATES.others {
        save(&root().join(filled(place)), &filled(template), &mut written)?;
    }
    for (place, mark, line) in LINES {
        let place = root().join(place.replace("@domain@", domain));
        insert(&place, mark, &filled(line).replace("@domain@", domain), &mut written)?;
    }
    let dependency = if is_new {
        format!("\n  1. polity-{domain} in the dependencies of the workspace and of crates/polity-server")
    } else {
        String::new()
    };
    Ok(format!(
        "written:\n  {}\nleft to do:{dependency}\n  2. `cargo fmt`, `cargo xtask generate`, `cargo test -p polity-tests {name}`\n  3. the contract \
         in docs/contracts/{name}.md, and then the rooms: model, store, service, error, api",
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

/// Inserts a line before the last one that holds `mark`, or at the end if there is none.
fn insert(path: &Path, mark: &str, line: &str, written: &mut Vec<String>) -> Result<(), Findings> {
    let fail = |error: std::io::Error| vec![format!("{}: {error}", path.display())];
    let text = std::fs::read_to_string(path).map_err(fail)?;
    let at = text
        .rfind(mark)
        .map_or(text.len(), |at| text[..at].rfind('\n').map_or(0, |end| end + 1));
    let (before, after) = text.split_at(at);
    save(path, &format!("{before}{line}\n{after}"), written)
}

/// The lists in which a service stands: the file, before what, and the line.
const LINES: [(&str, &str, &str); 7] = [
    ("crates/polity-@domain@/src/lib.rs", "pub mod ", "pub mod @name@;"),
    ("crates/polity-ports/src/lib.rs", "pub mod ", "pub mod @name@;"),
    ("tests/src/lib.rs", "#[cfg(test)]", "#[cfg(test)]\nmod @name@;"),
    (
        "crates/polity-server/src/services.rs",
        "    &credential::SERVICE,",
        "    &polity_@domain@::@name@::SERVICE,",
    ),
    (
        "crates/polity-server/src/services.rs",
        "        credential::mount(",
        "        polity_@domain@::@name@::mount(ctx)?,",
    ),
    (
        "docs/PUBLIC-ROUTES.md",
        "| `credential.health` |",
        "| `@name@.health` | as `health` |\n| `@name@.health_detailed` | as `health` |",
    ),
    (
        "docs/services/README.md",
        "| [credential]",
        "| [@name@](@name@.md) | … |",
    ),
];

struct Templates {
    manifest: &'static str,
    rooms: [(&'static str, &'static str); 10],
    others: [(&'static str, &'static str); 4],
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
        ("events.rs", include_str!("skeleton/events.rs.txt")),
        ("jobs.rs", include_str!("skeleton/jobs.rs.txt")),
        ("settings.rs", include_str!("skeleton/settings.rs.txt")),
        ("tables.sql", include_str!("skeleton/tables.sql.txt")),
    ],
    others: [
        (
            "crates/polity-ports/src/@name@.rs",
            include_str!("skeleton/ports.rs.txt"),
        ),
        ("tests/src/@name@/mod.rs", include_str!("skeleton/tests.rs.txt")),
        ("docs/contracts/@name@.md", include_str!("skeleton/contract.md.txt")),
        ("docs/services/@name@.md", include_str!("skeleton/page.md.txt")),
    ],
};
