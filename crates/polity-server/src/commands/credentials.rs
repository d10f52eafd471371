//! `polity credentials …`

use std::{
    collections::BTreeSet,
    io::Read,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use polity_kernel::{TokenText, config::Config};

use super::ask::Asked;
use crate::{BootError, Request};

/// `polity credentials …`
#[derive(Debug, Subcommand)]
pub(super) enum Credentials {
    /// Revokes every key, token and device secret that stands in a file: a report of a scanner for secrets in whatever
    /// form, a log, a dump. It takes effect everywhere within a second.
    RevokeLeaked {
        /// The file; `-` is standard input.
        file: PathBuf,
    },
}

/// How much of a file is looked at at once.
const PART: usize = 1 << 20;
/// How many texts are asked about at once.
const AT_ONCE: usize = 500;

pub(super) async fn run(config: Config, command: Credentials) -> Result<(), BootError> {
    let Credentials::RevokeLeaked { file } = command;
    let found: Vec<String> = if file == Path::new("-") {
        find(std::io::stdin().lock())?
    } else {
        let opened = std::fs::File::open(&file);
        find(opened.map_err(|error| BootError::new(format!("{}: {error}", file.display()), "name a file"))?)?
    }
    .into_iter()
    .collect();
    let asked = Asked::find(config).await?;
    let mut revoked = 0;
    for some in found.chunks(AT_ONCE) {
        let texts = some.to_vec();
        let reply = asked.ask(Request::RevokeLeaked { texts }).await?;
        revoked += reply.lines.len();
        for line in reply.lines {
            super::say(line)?;
        }
    }
    asked.finish().await;
    super::say(format!(
        "{} texts have the form of a credential; {revoked} were in force and are revoked",
        found.len()
    ))
}

/// The different credentials in what is read, however long it is.
fn find(mut from: impl Read) -> Result<BTreeSet<String>, BootError> {
    let mut found = BTreeSet::new();
    let mut part = Vec::with_capacity(PART);
    loop {
        let read = from.by_ref().take(PART as u64).read_to_end(&mut part)?;
        if read == 0 {
            return Ok(found);
        }
        let text = String::from_utf8_lossy(&part);
        found.extend(TokenText::find(&text).map(str::to_owned));
        // One may stand across the end of this part and the beginning of the next.
        let keep = part.len().min(TokenText::LONGEST - 1);
        part.drain(..part.len() - keep);
    }
}

#[cfg(test)]
mod tests {
    use polity_kernel::TokenKind;

    use super::*;

    #[test]
    fn one_that_stands_across_two_parts_is_found() {
        let one = TokenText::generate(TokenKind::USER);
        for before in [0, PART - 60, PART - 30, PART - 1, PART, 3 * PART - 10] {
            let mut file = vec![b'x'; before];
            file.extend_from_slice(b"\xff ");
            file.extend_from_slice(one.expose().as_bytes());
            file.extend_from_slice(one.expose().as_bytes());
            let found = find(file.as_slice()).unwrap();
            assert_eq!(found.into_iter().collect::<Vec<_>>(), [one.expose()], "{before}");
        }
    }
}
