//! Validation messages in the words that clients of the contracts already read.

use garde::Validate;

use super::{FieldError, Problem};

/// Validates `value`, which came from `place` (`body`, `query`).
///
/// # Errors
/// 422 with every violation and where it is.
pub fn check<T: Validate<Context = ()>>(place: &str, value: &T) -> Result<(), Problem> {
    let Err(report) = value.validate() else { return Ok(()) };
    let mut errors: Vec<FieldError> = report
        .iter()
        .map(|(path, error)| {
            let path = path.to_string().replace('[', ".").replace(']', "");
            let path: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
            let (msg, kind) = reword(error.message());
            FieldError::new(place, &path, msg, kind)
        })
        .collect();
    errors.sort_by(|one, other| one.pointer.cmp(&other.pointer));
    Err(Problem::validation(errors))
}

/// A garde rule: an address of at most 254 characters with one `@`, no white space, and a dot in its domain.
///
/// # Errors
/// A sentence that says so.
pub fn email(address: &str, (): &()) -> garde::Result {
    let trimmed = address.trim();
    let well_formed = trimmed.split_once('@').is_some_and(|(local, domain)| {
        let (host, top) = domain.rsplit_once('.').unwrap_or_default();
        !local.is_empty() && !host.is_empty() && !top.is_empty() && !domain.contains('@')
    });
    // The mailer's own reading: an address in angle brackets, or with a name or a comment, is somebody else's.
    let well_formed = well_formed
        && trimmed
            .parse::<lettre::Address>()
            .is_ok_and(|read| read.to_string() == trimmed);
    if well_formed && trimmed.chars().count() <= 254 && !trimmed.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        return Ok(());
    }
    Err(garde::Error::new("value is not a valid email address"))
}

/// What the validator says, in the words of the contracts.
fn reword(message: &str) -> (String, &'static str) {
    let number = |prefix: &str| message.strip_prefix(prefix).map(str::to_owned);
    if let Some(max) = number("greater than ") {
        (
            format!("Input should be less than or equal to {max}"),
            "less_than_equal",
        )
    } else if let Some(min) = number("lower than ") {
        (
            format!("Input should be greater than or equal to {min}"),
            "greater_than_equal",
        )
    } else if let Some(max) = number("length is greater than ") {
        (
            format!("String should have at most {max} characters"),
            "string_too_long",
        )
    } else if let Some(min) = number("length is lower than ") {
        (
            format!("String should have at least {min} characters"),
            "string_too_short",
        )
    } else if let Some(pattern) = number("does not match pattern /") {
        (
            format!("String should match pattern '{}'", pattern.trim_end_matches('/')),
            "string_pattern_mismatch",
        )
    } else {
        (message.to_owned(), "value_error")
    }
}

/// What a deserialiser says about the value at `path`, as an error of the contracts' form.
pub(super) fn located(place: &str, path: &[&str], text: &str) -> FieldError {
    let text = text.split(" at line ").next().unwrap_or(text);
    if let Some(field) = text
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        // The path may already end with the field, depending on who noticed.
        let mut path = path.to_vec();
        if path.last() != Some(&field) {
            path.push(field);
        }
        return FieldError::new(place, &path, "Field required", "missing");
    }
    if let Some(field) = text
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split('`').next())
    {
        let mut path = path.to_vec();
        if path.last() != Some(&field) {
            path.push(field);
        }
        return FieldError::new(place, &path, "Extra inputs are not permitted", "extra_forbidden");
    }
    let mut msg = text.to_owned();
    if let Some(first) = msg.get(0..1).map(str::to_ascii_uppercase) {
        msg.replace_range(0..1, &first);
    }
    FieldError::new(place, path, msg, "type_error")
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_accepted_address_is_what_mail_programs_read(text in "[a-z<>()\\[\\]\",;:.@ é]{1,30}@[a-z.<>()-]{1,20}\\.[a-z>]{1,5}") {
            if email(&text, &()).is_ok() {
                let read: Option<lettre::message::Mailbox> = text.trim().parse().ok();
                prop_assert_eq!(read.map(|mailbox| mailbox.to_string()), Some(text.trim().to_owned()));
            }
        }

        #[test]
        fn no_address_panics(text: String) {
            drop(email(&text, &()));
        }

        #[test]
        fn a_pointer_leads_back_to_its_path(path in proptest::collection::vec("[a-z~/0-9é]{0,4}", 0..5)) {
            let parts: Vec<&str> = path.iter().map(String::as_str).collect();
            let error = FieldError::new("body", &parts, "wrong", "value_error");
            let back: Vec<String> = error
                .pointer
                .split('/')
                .skip(1)
                .map(|part| part.replace("~1", "/").replace("~0", "~"))
                .collect();
            prop_assert_eq!(back, path);
        }

        #[test]
        fn nothing_a_deserialiser_says_panics(text: String, field in "[`a-zé]{0,6}") {
            located("body", &["a"], &text);
            located("body", &[], &format!("missing field `{field}`{text}"));
            located("body", &["a"], &format!("unknown field `{field}`, {text} at line 1"));
            reword(&text);
        }
    }
}
