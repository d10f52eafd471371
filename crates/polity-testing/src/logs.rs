//! Everything that any test logs is read, at the finest level, for what must never be there.

use std::sync::{Mutex, Once, PoisonError};

use tracing_subscriber::{EnvFilter, fmt};

use crate::{BOOTSTRAP_SECRET, SERVICE_SECRET, people::PASSWORD};

/// What betrays a secret: access tokens begin so, all our other tokens, hashes of passwords; and the tests' own secrets.
const SECRETS: [&str; 6] = ["eyJ", "pol_", "$argon2", PASSWORD, SERVICE_SECRET, BOOTSTRAP_SECRET];
/// Everything but the wire: the tests' own client logs what it sends there.
const LEVELS: &str = "trace,hyper=info,hyper_util=info,h2=info,reqwest=info,tokio_postgres=info,mio=info,rustls=info,async_nats=info,\
    fred=info";

/// The lines that held one.
static LEAKS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Starts reading; once per process.
pub(crate) fn watch() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let subscriber = fmt()
            .with_env_filter(EnvFilter::new(LEVELS))
            .with_writer(|| Reader)
            .with_ansi(false);
        // Whoever came first keeps it: a test of logging itself.
        drop(tracing::subscriber::set_global_default(subscriber.finish()));
    });
}

/// Fails if a secret was logged, by whichever test of this process.
pub(crate) fn check() {
    let leaks = LEAKS.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(leaks.is_empty(), "secrets in the log:\n{}", leaks.join("\n"));
}

struct Reader;

impl std::io::Write for Reader {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if SECRETS.iter().any(|secret| text.contains(secret)) {
            LEAKS
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(text.trim_end().to_owned());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_line_is_found() {
        watch();
        tracing::info!(user.id = "usr_1", "signed in");
        check();
        tracing::trace!(token = "pol_refresh_abc", "a slip");
        let found = std::mem::take(&mut *LEAKS.lock().unwrap());
        assert!(found.len() == 1 && found[0].contains("a slip"), "{found:?}");
    }
}
