//! What the servers wrote.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::Path,
};

use serde_json::Value;

use crate::{Findings, crash::Failure};

/// What a server says of a grant whose refresh was killed.
const RECOVERED: &str = "a refresh of unknown outcome is recovered";
/// What the provider's secrets begin with; 43 characters follow.
const SECRETS: [&str; 3] = ["at_", "rt_", "code_"];

/// What the logs say.
#[derive(Debug, Default)]
pub(super) struct Logs {
    pub(super) lines: u64,
    /// How often each grant was named as one whose refresh is of unknown outcome.
    pub(super) named: BTreeMap<String, u64>,
    pub(super) wrong: Findings,
}

impl Logs {
    pub(super) fn read(&mut self, file: &Path) -> Result<(), Failure> {
        let mut reader = BufReader::new(std::fs::File::open(file)?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            self.line(&String::from_utf8_lossy(&line));
            line.clear();
        }
        Ok(())
    }

    fn line(&mut self, line: &str) {
        self.lines += 1;
        let short = || line.chars().take(300).collect::<String>();
        if line.contains("ERROR") || line.contains("panicked") {
            self.wrong.push(format!("in a log: {}", short()));
        }
        if SECRETS.iter().any(|kind| has_secret(line, kind)) {
            self.wrong.push("a token or a code is in a log".to_owned());
        }
        if line.contains(RECOVERED) {
            let said: Value = serde_json::from_str(line).unwrap_or_default();
            let grant = said.pointer("/fields/grant").or_else(|| said.get("grant"));
            match grant.and_then(Value::as_str) {
                Some(id) => *self.named.entry(id.to_owned()).or_default() += 1,
                None => self.wrong.push(format!("a log names no grant: {}", short())),
            }
        }
    }
}

/// Whether one of the provider's secrets of that kind is in a text.
fn has_secret(text: &str, kind: &str) -> bool {
    let is_drawn = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
    text.match_indices(kind).any(|(at, _)| {
        let rest = text.as_bytes().get(at + kind.len()..).unwrap_or_default();
        rest.iter().take_while(|byte| is_drawn(byte)).count() >= 43
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_wherever_it_stands() {
        let token = format!("rt_{}", "aB3-_".repeat(9));
        let mut logs = Logs::default();
        logs.line(&format!("{{\"detail\":\"refresh_token={token}&x=1\"}}"));
        assert_eq!(logs.wrong, ["a token or a code is in a log"]);
        logs.line("{\"grant\":\"con_01a1fb4e7b4b73df93c4746cc8a8b943\",\"part_\":1}");
        assert_eq!(logs.wrong.len(), 1);
    }

    #[test]
    fn a_recovered_grant_is_named() {
        let mut logs = Logs::default();
        logs.line("{\"level\":\"WARN\",\"message\":\"a refresh of unknown outcome is recovered\",\"grant\":\"con_1\"}");
        assert_eq!(logs.named.get("con_1"), Some(&1));
        logs.line("{\"level\":\"WARN\",\"message\":\"a refresh of unknown outcome is recovered\"}");
        assert_eq!(logs.wrong.len(), 1);
    }
}
