//! Passwords with tiny costs.

use super::*;

fn passwords(memory_kib: u32, iterations: u32) -> Passwords {
    let settings = PasswordSettings {
        memory_kib,
        iterations,
        workers: 1,
        queue: 8,
        ..PasswordSettings::default()
    };
    Passwords::new(&settings).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::from(text)
}

#[tokio::test]
async fn only_the_right_password_verifies() {
    let passwords = passwords(8, 1);
    let stored = passwords.hash(&secret("correct horse")).await.unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{stored}");
    assert_eq!(
        passwords.verify(&secret("correct horse"), Some(&stored)).await,
        Ok(true)
    );
    assert_eq!(
        passwords.verify(&secret("correct horsf"), Some(&stored)).await,
        Ok(false)
    );
    assert_eq!(passwords.verify(&secret("correct horse"), None).await, Ok(false));
    assert_ne!(passwords.hash(&secret("correct horse")).await.unwrap(), stored);
}

#[tokio::test]
async fn a_stored_hash_keeps_its_cost_until_it_is_made_again() {
    let (old, new) = (passwords(8, 1), passwords(16, 2));
    let stored = old.hash(&secret("correct horse")).await.unwrap();
    assert_eq!(new.verify(&secret("correct horse"), Some(&stored)).await, Ok(true));
    assert!(new.needs_rehash(&stored));
    assert!(!old.needs_rehash(&stored));
    assert!(new.needs_rehash("rubbish"));
}

#[tokio::test]
async fn a_hostile_row_is_refused_without_being_computed() {
    let passwords = passwords(8, 1);
    let stored = passwords.hash(&secret("correct horse")).await.unwrap();
    let tail = stored.rsplit_once("p=1").unwrap().1;
    for row in [
        format!("$argon2id$v=19$m=4294967295,t=1,p=1{tail}"),
        format!("$argon2id$v=19$m=8,t=4294967295,p=1{tail}"),
        format!("$argon2id$v=19$m=8,t=17,p=1{tail}"),
        format!("$argon2i$v=19$m=8,t=1,p=1{tail}"),
        format!("$argon2id$v=16$m=8,t=1,p=1{tail}"),
        "$argon2id$v=19$m=8,t=1,p=1".to_owned(),
        "x".repeat(100_000),
        String::new(),
    ] {
        assert_eq!(
            passwords.verify(&secret("correct horse"), Some(&row)).await,
            Ok(false),
            "{row:.80}"
        );
    }
}

#[tokio::test]
async fn length_counts_bytes_and_spelling_does_not_matter() {
    let passwords = passwords(8, 1);
    for refused in ["", "1234567", &"x".repeat(4_097)] {
        assert_eq!(passwords.hash(&secret(refused)).await, Err(PasswordError::Length));
        assert_eq!(passwords.verify(&secret(refused), None).await, Ok(false));
    }
    for fine in ["12345678", &"x".repeat(4_096)] {
        assert!(passwords.hash(&secret(fine)).await.is_ok());
    }
    // Ligature, full-width digit and combining accent become their plain forms.
    let stored = passwords
        .hash(&secret("\u{fb01}rst\u{ff11}caf\u{65}\u{301}"))
        .await
        .unwrap();
    assert_eq!(
        passwords.verify(&secret("first1caf\u{e9}"), Some(&stored)).await,
        Ok(true)
    );
    assert_eq!(
        passwords.hash(&secret("\u{ff11}\u{ff11}\u{ff11}")).await,
        Err(PasswordError::Length)
    );
}

#[test]
fn costs_out_of_bounds_are_refused_at_the_start() {
    for (memory_kib, iterations, parallelism) in [(0, 1, 1), (8, 0, 1), (8, 1, 0), (u32::MAX, 1, 1), (8, 17, 1)] {
        let settings = PasswordSettings {
            memory_kib,
            iterations,
            parallelism,
            ..PasswordSettings::default()
        };
        assert_eq!(Passwords::new(&settings).unwrap_err(), PasswordError::Settings);
    }
}
