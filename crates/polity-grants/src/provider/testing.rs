//! Entries for tests.

use super::{Catalogue, Provider};

/// A provider named `test` with `more` in its entry.
pub(crate) fn provider(more: &str) -> Provider {
    let refresh = if more.contains("refresh =") {
        ""
    } else {
        "refresh = \"stable\"\nrecovery = \"retry\"\n"
    };
    let text = format!(
        "[[provider]]\nname = \"test\"\ndisplay_name = \"Test\"\nauthorize_url = \"https://id.example.com/authorize\"\n\
         token_url = \"https://id.example.com/token\"\ndocumentation = \"https://docs.example.com/oauth\"\n\
         verified = true\n{refresh}{more}\n"
    );
    let catalogue = Catalogue::parse(&text).unwrap();
    catalogue.get("test").unwrap().as_ref().clone()
}
