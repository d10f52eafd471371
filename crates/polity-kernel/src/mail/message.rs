//! From a mail to its text form (RFC 5322), refusing what could mean more than it says.

use lettre::{
    Message,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};

use super::{Mail, MailError, Priority, StoredMail};

const MAX_SUBJECT: usize = 500;
const MAX_LABEL: usize = 64;
const MAX_TAGS: usize = 16;
const MAX_ADDRESS: usize = 512;
/// Servers refuse mails beyond some megabytes; ours are text.
const MAX_BODY: usize = 1024 * 1024;

pub(super) fn build(from: &Mailbox, stored: &StoredMail) -> Result<Message, MailError> {
    let mail = &stored.mail;
    let to = check(mail)?;
    let id = format!("<{}@{}>", stored.id, from.email.domain());
    let builder = Message::builder()
        .from(from.clone())
        .to(to)
        .subject(mail.subject.clone())
        .date(stored.sent_at.into())
        .message_id(Some(id));
    let message = match &mail.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(mail.text.clone(), html.clone())),
        None => builder.singlepart(SinglePart::plain(mail.text.clone())),
    };
    let mut message = message.map_err(|error| MailError::Permanent(error.to_string()))?;
    for (name, value) in labels(mail) {
        message.headers_mut().insert_raw(HeaderValue::new(name, value));
    }
    Ok(message)
}

/// The recipient, if everything that becomes a header is harmless.
fn check(mail: &Mail) -> Result<Mailbox, MailError> {
    let refuse = |what: &str| Err(MailError::Permanent(what.to_owned()));
    if mail.subject.chars().count() > MAX_SUBJECT || mail.subject.chars().any(char::is_control) {
        return refuse("the subject is too long or contains control characters");
    }
    if !label(&mail.category) || mail.tags.len() > MAX_TAGS || !mail.tags.iter().all(|tag| label(tag)) {
        return refuse("the category or a tag is malformed, or there are too many tags");
    }
    if mail.text.len() + mail.html.as_ref().map_or(0, String::len) > MAX_BODY {
        return refuse("the text is too long");
    }
    if mail.to.len() > MAX_ADDRESS || mail.to.chars().any(char::is_control) {
        return refuse("the recipient is malformed");
    }
    mail.to.parse().or_else(|_| refuse("the recipient is malformed"))
}

fn label(text: &str) -> bool {
    let fits = (1..=MAX_LABEL).contains(&text.len());
    fits && text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte))
}

fn labels(mail: &Mail) -> Vec<(HeaderName, String)> {
    let mut headers = vec![
        // So that out-of-office programs do not answer (RFC 3834).
        (
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ),
        (
            HeaderName::new_from_ascii_str("X-Polity-Category"),
            mail.category.clone(),
        ),
    ];
    if !mail.tags.is_empty() {
        headers.push((HeaderName::new_from_ascii_str("X-Polity-Tags"), mail.tags.join(", ")));
    }
    let urgency = match mail.priority {
        Priority::Low => Some(("5", "low")),
        Priority::Normal => None,
        Priority::High => Some(("1", "high")),
    };
    if let Some((number, word)) = urgency {
        headers.push((HeaderName::new_from_ascii_str("X-Priority"), number.to_owned()));
        headers.push((HeaderName::new_from_ascii_str("Importance"), word.to_owned()));
    }
    headers
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    fn mail(to: &str, subject: &str, text: &str, tag: &str) -> StoredMail {
        serde_json::from_value(serde_json::json!({
            "id": "mail_1",
            "sent_at": "2025-01-02T03:04:05Z",
            "mail": { "to": to, "subject": subject, "text": text, "html": null, "category": "test", "tags": [tag], "priority": "normal" },
        }))
        .unwrap()
    }

    proptest! {
        /// Whatever is passed, the head has the headers we wrote and no others.
        #[test]
        fn nothing_adds_a_header(
            to in "\\PC{0,20}(\r\nBcc: )?[a-z]{1,5}@example\\.com(\r\n)?",
            subject in "[\\PC\r\n]{0,30}",
            text in "[\\PC\r\n]{0,60}",
            tag in "[a-z\r\n:, ]{0,10}",
        ) {
            let from: Mailbox = "Polity <no-reply@localhost>".parse().unwrap();
            let Ok(message) = build(&from, &mail(&to, &subject, &text, &tag)) else { return Ok(()) };
            let bytes = message.formatted();
            let whole = String::from_utf8_lossy(&bytes);
            let (head, _) = whole.split_once("\r\n\r\n").unwrap();
            let known = [
                "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Polity-Category", "X-Polity-Tags",
                "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
            ];
            let mut names: Vec<&str> = head
                .lines()
                .filter(|line| !line.starts_with([' ', '\t']))
                .map(|line| line.split_once(':').map_or(line, |(name, _)| name))
                .collect();
            prop_assert!(names.iter().all(|name| known.contains(name)), "{head}");
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            prop_assert_eq!(names.len(), all);
            prop_assert_eq!(message.envelope().to().len(), 1);
        }
    }
}
