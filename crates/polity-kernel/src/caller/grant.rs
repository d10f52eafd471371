//! What an API credential may do: everything, or a set of scopes.
//!
//! A scope is `verb:resource`, such as `read:tasks`, or any other text, which then stands for itself alone. `admin` of a
//! resource contains its `delete`, `write` and `read`; `verb:*` is the verb on every resource, and `*` is every scope.

use std::collections::BTreeSet;

/// What an API credential may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Everything in its organization.
    All,
    /// What these scopes say, and no more. An empty set is nothing.
    Only(BTreeSet<String>),
}

impl Grant {
    /// The grant of these scopes.
    pub fn only<T: Into<String>>(scopes: impl IntoIterator<Item = T>) -> Self {
        Self::Only(scopes.into_iter().map(Into::into).collect())
    }

    /// Whether it contains the scope.
    #[must_use]
    pub fn allows(&self, scope: &str) -> bool {
        let Self::Only(held) = self else { return true };
        if held.contains(scope) || held.contains("*") {
            return true;
        }
        let Some((verb, resource)) = scope.split_once(':') else {
            return false;
        };
        let holds = |verb: &str, resource: &str| held.iter().any(|one| one.split_once(':') == Some((verb, resource)));
        let contains = |verb: &str| holds(verb, resource) || holds(verb, "*");
        contains(verb) || (["read", "write", "delete"].contains(&verb) && contains("admin"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn families_contain_their_members_and_admin_the_other_verbs() {
        let allows = |held: &[&str], scope: &str| Grant::only(held.iter().copied()).allows(scope);
        assert!(Grant::All.allows("anything"));
        assert!(allows(&["read:tasks"], "read:tasks"));
        assert!(allows(&["read:*"], "read:tasks") && !allows(&["read:*"], "write:tasks"));
        for verb in ["read", "write", "delete", "admin"] {
            assert!(allows(&["admin:tasks"], &format!("{verb}:tasks")), "{verb}");
            assert!(allows(&["admin:*"], &format!("{verb}:files")), "{verb}");
            assert!(!allows(&["admin:tasks"], &format!("{verb}:files")), "{verb}");
        }
        assert!(!allows(&["write:tasks"], "read:tasks") && !allows(&["delete:tasks"], "write:tasks"));
        assert!(!allows(&["admin:tasks"], "own:tasks"));
        assert!(allows(&["*"], "auth.verify") && !allows(&["read:*"], "auth.verify"));
        assert!(!allows(&[], "read:tasks"));
        // A look-alike is another scope, and a wildcard is asked for like any other.
        assert!(!allows(&["read:task"], "read:tasks") && !allows(&["read:tasks"], "read:*"));
    }

    proptest! {
        #[test]
        fn more_scopes_never_allow_less(
            held in prop::collection::btree_set("(read|write|delete|admin):(tasks|files|\\*)", 0..5),
            more in "(read|write|delete|admin):(tasks|files|\\*)|\\*",
            asked in "(read|write|delete|admin):(tasks|files)",
        ) {
            let before = Grant::Only(held.clone()).allows(&asked);
            let mut held = held;
            held.insert(more);
            prop_assert!(!before || Grant::Only(held).allows(&asked));
        }
    }
}
