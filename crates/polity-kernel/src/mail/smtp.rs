//! Mail through a server (RFC 5321).

use std::{fmt, time::Duration};

use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor, transport::smtp};
use polity_seal::Secret;
use url::{Host, Url};

use super::{MailError, SEND_TIMEOUT};

/// Longest wait for one answer of the server.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Smtp(AsyncSmtpTransport<Tokio1Executor>);

impl Smtp {
    pub(super) fn new(url: &Secret) -> Result<Self, MailError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(MailError::Settings("SMTP needs a running Tokio runtime".to_owned()));
        }
        // No text here quotes the URL: it holds the password.
        let unusable = || MailError::Settings("`smtp_url` is not a usable smtp:// or smtps:// URL".to_owned());
        let url = with_tls(url.expose()).ok_or_else(unusable)?;
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str()).map_err(|_| unusable())?;
        Ok(Self(builder.timeout(Some(COMMAND_TIMEOUT)).build()))
    }

    pub(super) async fn send(&self, message: Message) -> Result<(), MailError> {
        let late = |_| MailError::Temporary("the mail server took too long".to_owned());
        tokio::time::timeout(SEND_TIMEOUT, self.0.send(message))
            .await
            .map_err(late)?
            .map(drop)
            .map_err(sort)
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Smtp")
    }
}

/// The URL with the protection it must have, since the library's own default for `smtp://` is none.
fn with_tls(url: &str) -> Option<Url> {
    let mut url = Url::parse(url).ok()?;
    let wish = url
        .query_pairs()
        .find(|(name, _)| name == "tls")
        .map(|(_, value)| value.into_owned());
    let here = match url.host()? {
        Host::Domain(name) => match name.parse::<std::net::IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        },
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    let query = match (url.scheme(), wish.as_deref()) {
        ("smtps", None) | ("smtp", Some("none")) => None,
        ("smtp", None) if here => None,
        ("smtp", None | Some("required")) => Some("tls=required"),
        ("smtp", Some("opportunistic")) => Some("tls=opportunistic"),
        _ => return None,
    };
    url.set_query(query);
    Some(url)
}

/// Whether it may succeed later. A 5xx is about this mail, but for 53x, which is about our own login (RFC 4954).
fn sort(error: smtp::Error) -> MailError {
    let login = error
        .status()
        .is_some_and(|code| (530..=539).contains(&u16::from(code)));
    let text = error.to_string();
    if (error.is_permanent() && !login) || error.is_client() {
        MailError::Permanent(text)
    } else {
        MailError::Temporary(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_elsewhere_is_spoken_to_in_tls_only() {
        let query = |url| with_tls(url).map(|url| url.query().map(str::to_owned));
        assert_eq!(query("smtp://u:p@mail.example"), Some(Some("tls=required".to_owned())));
        assert_eq!(
            query("smtp://u:p@mail.example?tls=opportunistic"),
            Some(Some("tls=opportunistic".to_owned()))
        );
        assert_eq!(query("smtp://10.0.0.1:25"), Some(Some("tls=required".to_owned())));
        for plain in [
            "smtp://localhost",
            "smtp://127.0.0.1:1025",
            "smtp://[::1]",
            "smtp://a.example?tls=none",
        ] {
            assert_eq!(query(plain), Some(None), "{plain}");
        }
        assert_eq!(query("smtps://mail.example"), Some(None));
        for refused in [
            "",
            "mail.example",
            "http://mail.example",
            "smtps://a.example?tls=none",
            "smtp://a?tls=yes",
        ] {
            assert_eq!(query(refused), None, "{refused}");
        }
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_url_panics(text: String, near in "smtps?://[ -~]{0,40}") {
            drop(with_tls(&text));
            drop(with_tls(&near));
        }

        /// Who did not ask for it never speaks in the clear to another machine.
        #[test]
        fn nothing_goes_unprotected_by_accident(host in "[a-z]{2,9}\\.(example|test)", user in "[a-z]{0,5}", query in "(\\?[a-z]{1,5}=[a-z]{1,5})?") {
            prop_assume!(!query.contains("tls="));
            let url = with_tls(&format!("smtp://{user}@{host}{query}"));
            prop_assert!(url.is_none_or(|url| url.query() == Some("tls=required")));
        }
    }
}
