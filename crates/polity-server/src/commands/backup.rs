//! `polity restore`.

use std::path::Path;

use polity_kernel::{
    config::Config,
    db::{DatabaseSettings, LITE_FILE},
};

use crate::{BootError, folder, settings::KeySettings};

/// Puts the backup in `from` into the data folder.
pub(super) fn restore(config: &Config, from: &Path, replace: bool) -> Result<(), BootError> {
    let core = config.core()?;
    if config.section::<DatabaseSettings>("database")?.url.is_some() {
        return Err(BootError::new("the database is PostgreSQL", "use pg_restore"));
    }
    let source = from.join(LITE_FILE);
    if !source.exists() || !from.join("manifest.json").exists() {
        return Err(BootError::new(
            format!("{} is not a backup", from.display()),
            "name a folder that `polity backup` made",
        ));
    }
    folder::create(&core.data_dir)?;
    let _lock = folder::Lock::take(&core.data_dir)?;
    let target = core.data_dir.join(LITE_FILE);
    if target.exists() && !replace {
        return Err(BootError::new(
            format!("{} exists", target.display()),
            "add --replace to put the backup in its place",
        ));
    }
    let incoming = core.data_dir.join("polity.db.incoming");
    std::fs::copy(&source, &incoming)?;
    std::fs::File::open(&incoming)?.sync_all()?;
    if target.exists() {
        std::fs::rename(&target, core.data_dir.join("polity.db.before-restore"))?;
    }
    for log in ["-wal", "-shm"] {
        let path = core.data_dir.join(format!("{LITE_FILE}{log}"));
        if path.exists() {
            // The log belongs to the database that was there, and would be replayed into the restored one.
            std::fs::rename(&path, core.data_dir.join(format!("{LITE_FILE}.before-restore{log}")))?;
        }
    }
    std::fs::rename(&incoming, &target)?;
    std::fs::File::open(&core.data_dir)?.sync_all()?;
    restore_keys(config, from, &core.data_dir)?;
    println!("{} is restored", target.display());
    Ok(())
}

fn restore_keys(config: &Config, from: &Path, data_dir: &Path) -> Result<(), BootError> {
    let keys: KeySettings = config.section("keys")?;
    let target = folder::keyring_path(keys.keyring.as_ref(), data_dir);
    let source = from.join("keyring");
    match (source.exists(), target.exists()) {
        (true, false) => {
            let ring = polity_seal::Keyring::load(&source).map_err(|error| error.to_string())?;
            ring.save(&target).map_err(|error| error.to_string())?;
            println!("{} is restored", target.display());
        }
        (true, true) => println!(
            "{} was left as it is; the backup has a keyring of its own",
            target.display()
        ),
        (false, true) => {}
        (false, false) => println!(
            "the backup has no keyring: copy yours to {} before you start the server, or nothing that is sealed will open",
            target.display()
        ),
    }
    Ok(())
}
