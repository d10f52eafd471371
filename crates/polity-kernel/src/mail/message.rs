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
