//! SQL text: written once, in the form PostgreSQL takes, and turned into what SQLite takes.
//!
//! Four things differ: SQLite reads `$2` as a *name*, and numbers names by first appearance, so `$n` becomes `?n`;
//! `in list($n)` and `from rows($n)` take a JSON array apart with the function each database has for it; `moment(r.item ->> 'at')`
//! is the time that a row gives as microseconds since the epoch; and the words in double braces, which only the kernel's own
//! SQL uses, stand for what the two have in different words.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, LazyLock, RwLock},
};

/// Which database a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Lite,
    /// PostgreSQL.
    Pg,
}

/// Words of the kernel's own SQL: (word, SQLite, PostgreSQL).
const WORDS: [(&str, &str, &str); 3] = [
    (
        "{{identity}}",
        "integer primary key autoincrement",
        "bigint generated always as identity primary key",
    ),
    ("{{skip locked}}", "", "for update skip locked"),
    // After a table's closing parenthesis: its rows are kept in its primary key, and nowhere else.
    ("{{clustered}}", "without rowid", ""),
];

/// The text for `dialect`; literal texts are translated once per process.
#[expect(
    clippy::ptr_arg,
    reason = "a literal text is kept for ever, an owned one is not: the difference is the argument"
)]
pub(super) fn translate(sql: &Cow<'static, str>, dialect: Dialect) -> Cow<'static, str> {
    match (sql, dialect) {
        (Cow::Borrowed(text), _) if !needs(text, dialect) => Cow::Borrowed(text),
        (Cow::Borrowed(text), _) => cached(text, dialect),
        (Cow::Owned(text), _) => Cow::Owned(render(text, dialect)),
    }
}

fn needs(text: &str, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Lite => text.contains('$') || text.contains("{{"),
        Dialect::Pg => ["list($", "rows($", "moment(", "{{"]
            .iter()
            .any(|word| text.contains(word)),
    }
}

type Cache = RwLock<HashMap<(&'static str, bool), &'static str>>;

/// Literal texts are finitely many, so what is made of them may live as long as the program.
fn cached(text: &'static str, dialect: Dialect) -> Cow<'static, str> {
    static CACHE: LazyLock<Cache> = LazyLock::new(Cache::default);
    let key = (text, dialect == Dialect::Lite);
    if let Some(found) = CACHE
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .get(&key)
    {
        return Cow::Borrowed(found);
    }
    let made: &'static str = Box::leak(render(text, dialect).into_boxed_str());
    CACHE
        .write()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .insert(key, made);
    Cow::Borrowed(made)
}

/// The text for `dialect`, made afresh.
pub(super) fn render(text: &str, dialect: Dialect) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (taken, made) = step(rest, first, dialect);
        out.push_str(&made);
        rest = &rest[taken..];
    }
    out
}

/// How many bytes the next piece of the text takes, and what becomes of it.
fn step(rest: &str, first: char, dialect: Dialect) -> (usize, Cow<'static, str>) {
    match first {
        '\'' => {
            let end = rest[1..].find('\'').map_or(rest.len(), |at| at + 2);
            (end, Cow::Owned(rest[..end].to_owned()))
        }
        '-' if rest.starts_with("--") => {
            let end = rest.find('\n').unwrap_or(rest.len());
            (end, Cow::Owned(rest[..end].to_owned()))
        }
        '$' if dialect == Dialect::Lite && rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            (1, Cow::Borrowed("?"))
        }
        'l' if rest.starts_with("list($") => {
            let end = rest.find(')').map_or(rest.len(), |at| at + 1);
            let number = rest[6..end].trim_end_matches(')');
            (
                end,
                Cow::Owned(match dialect {
                    Dialect::Lite => format!("(select value as item from json_each(?{number}))"),
                    Dialect::Pg => format!("(select jsonb_array_elements_text(${number}) as item)"),
                }),
            )
        }
        'r' if rest.starts_with("rows($") => {
            let end = rest.find(')').map_or(rest.len(), |at| at + 1);
            let number = rest[6..end].trim_end_matches(')');
            (
                end,
                Cow::Owned(match dialect {
                    Dialect::Lite => format!("(select value as item from json_each(?{number}))"),
                    Dialect::Pg => format!("(select jsonb_array_elements(${number}) as item)"),
                }),
            )
        }
        'm' if rest.starts_with("moment(") => {
            let end = rest.find(')').map_or(rest.len(), |at| at + 1);
            let inner = rest[7..end].trim_end_matches(')');
            (
                end,
                Cow::Owned(match dialect {
                    Dialect::Lite => format!("cast({inner} as integer)"),
                    // Intervals are multiplied as floating point numbers, which hold the microseconds of two centuries only.
                    Dialect::Pg => format!(
                        "(timestamptz 'epoch' + cast({inner} as bigint) / 1000000 * interval '1 second'
                          + cast({inner} as bigint) % 1000000 * interval '1 microsecond')"
                    ),
                }),
            )
        }
        '{' => {
            for (word, lite, pg) in WORDS {
                if rest.starts_with(word) {
                    return (
                        word.len(),
                        Cow::Borrowed(if dialect == Dialect::Lite { lite } else { pg }),
                    );
                }
            }
            (1, Cow::Borrowed("{"))
        }
        other => (other.len_utf8(), Cow::Owned(other.to_string())),
    }
}

/// Every statement a process has run, for the check that each prepares on the other database too. Debug builds only.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Option<Arc<std::sync::Mutex<std::collections::BTreeSet<String>>>>);

impl Seen {
    pub(super) fn new() -> Self {
        Self(cfg!(debug_assertions).then(Arc::default))
    }

    pub(super) fn note(&self, sql: &str) {
        if let Some(seen) = &self.0 {
            let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if !seen.contains(sql) {
                seen.insert(sql.to_owned());
            }
        }
    }

    pub(super) fn list(&self) -> Vec<String> {
        self.0.as_ref().map_or_else(Vec::new, |seen| {
            seen.lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .iter()
                .cloned()
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_keep_their_numbers() {
        let sql = "select $2, $1 where a = '$3' and b in list($12) and c ->> 'list($1)' = $10";
        assert_eq!(
            render(sql, Dialect::Lite),
            "select ?2, ?1 where a = '$3' and b in (select value as item from json_each(?12)) and c ->> 'list($1)' = ?10"
        );
        assert_eq!(
            render(sql, Dialect::Pg),
            "select $2, $1 where a = '$3' and b in (select jsonb_array_elements_text($12) as item) and c ->> 'list($1)' = $10"
        );
    }

    #[test]
    fn moments_of_rows_are_times() {
        let sql = "select moment(r.item ->> 'at') from rows($1) as r";
        assert_eq!(
            render(sql, Dialect::Lite),
            "select cast(r.item ->> 'at' as integer) from (select value as item from json_each(?1)) as r"
        );
        assert!(render(sql, Dialect::Pg).starts_with(
            "select (timestamptz 'epoch' + cast(r.item ->> 'at' as bigint) / 1000000 * interval '1 second'"
        ));
    }

    #[test]
    fn words_have_two_forms() {
        assert_eq!(render("limit $1 {{skip locked}}", Dialect::Lite), "limit ?1 ");
        assert_eq!(
            render("limit $1 {{skip locked}}", Dialect::Pg),
            "limit $1 for update skip locked"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_rendered(text in ".{0,200}") {
            render(&text, Dialect::Lite);
            render(&text, Dialect::Pg);
        }
    }
}
