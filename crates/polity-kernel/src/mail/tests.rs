//! All three transports; the server is a thread that speaks just enough SMTP.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
};

use super::*;
use crate::clock::from_micros;

fn ada() -> Mail {
    Mail {
        to: "Ada <ada@example.com>".to_owned(),
        subject: "Grüße".to_owned(),
        text: "code 123456".to_owned(),
        category: "sign_in".to_owned(),
        tags: vec!["a".to_owned(), "b:1".to_owned()],
        ..Mail::default()
    }
}

fn parts() -> (Clock, Ids) {
    let clock = Clock::fake(from_micros(1_700_000_000_000_000));
    (clock.clone(), Ids::seeded(clock, 1))
}

fn in_memory() -> Mailer {
    let (clock, ids) = parts();
    Mailer::memory(clock, ids).unwrap()
}

fn by(settings: &MailSettings, data_dir: &Path) -> Result<Mailer, MailError> {
    let (clock, ids) = parts();
    Mailer::new(settings, data_dir, clock, ids)
}

#[tokio::test]
async fn memory_captures_in_order() {
    let mailer = in_memory();
    let first = mailer.send(&ada()).await.unwrap();
    let second = mailer
        .send(&Mail {
            priority: Priority::High,
            ..ada()
        })
        .await
        .unwrap();
    let ids: Vec<String> = mailer.captured().into_iter().map(|stored| stored.id).collect();
    assert_eq!(ids, [first.clone(), second.clone()]);
    assert_eq!(mailer.list(1).await.unwrap()[0].id, second);
    assert_eq!(mailer.read(&first).await.unwrap().unwrap().mail, ada());
}

#[tokio::test]
async fn what_could_add_a_header_or_recipient_is_refused() {
    let mailer = in_memory();
    let changes: [fn(&mut Mail); 13] = [
        |mail| mail.to = "ada@example.com\r\nBcc: eve@example.com".to_owned(),
        |mail| mail.to = "ada@example.com, eve@example.com".to_owned(),
        |mail| mail.to = "ada@example.com\nx".to_owned(),
        |mail| mail.to = "ada".to_owned(),
        |mail| mail.to = String::new(),
        |mail| mail.to = format!("{}@example.com", "a".repeat(600)),
        |mail| mail.subject = "hi\r\nBcc: eve@example.com".to_owned(),
        |mail| mail.subject = "x".repeat(501),
        |mail| mail.category = "a\r\nBcc: eve@example.com".to_owned(),
        |mail| mail.category = String::new(),
        |mail| mail.tags = vec!["a b".to_owned()],
        |mail| mail.tags = vec!["a".to_owned(); 17],
        |mail| mail.text = "x".repeat(1024 * 1024 + 1),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut mail = ada();
        change(&mut mail);
        let error = mailer.send(&mail).await.unwrap_err();
        assert!(matches!(error, MailError::Permanent(_)), "{number}: {error}");
    }
    assert!(mailer.captured().is_empty());
}

#[tokio::test]
async fn the_folder_holds_one_readable_mail_per_send() {
    let data = tempfile::tempdir().unwrap();
    let mailer = by(&MailSettings::default(), data.path()).unwrap();
    assert!(mailer.list(10).await.unwrap().is_empty());
    let first = mailer.send(&ada()).await.unwrap();
    let html = Mail {
        html: Some("<b>code</b>".to_owned()),
        priority: Priority::High,
        ..ada()
    };
    let second = mailer.send(&html).await.unwrap();
    let listed: Vec<String> = mailer
        .list(10)
        .await
        .unwrap()
        .into_iter()
        .map(|stored| stored.id)
        .collect();
    assert_eq!(listed, [second.clone(), first.clone()]);
    assert_eq!(mailer.list(1).await.unwrap().len(), 1);
    assert_eq!(mailer.read(&second).await.unwrap().unwrap().mail, html);
    for id in ["mail_0", "../mail/x", "/etc/passwd", "..", ""] {
        assert_eq!(mailer.read(id).await.unwrap(), None, "{id}");
    }

    let eml = std::fs::read_to_string(data.path().join(format!("mail/{first}.eml"))).unwrap();
    for line in [
        "From: Polity <no-reply@localhost>",
        "To: Ada <ada@example.com>",
        "Date: Tue, 14 Nov 2023 22:13:20 +0000",
        &format!("Message-ID: <{first}@localhost>"),
        "Auto-Submitted: auto-generated",
        "X-Polity-Category: sign_in",
        "X-Polity-Tags: a, b:1",
        "code 123456",
    ] {
        assert!(eml.lines().any(|found| found == line), "{line} in\n{eml}");
    }
    let eml = std::fs::read_to_string(data.path().join(format!("mail/{second}.eml"))).unwrap();
    assert!(eml.contains("multipart/alternative") && eml.contains("<b>code</b>") && eml.contains("X-Priority: 1"));
}

#[cfg(unix)]
#[tokio::test]
async fn the_folder_is_private_and_leaves_no_temporary_files() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("mails");
    let settings = MailSettings {
        folder: Some(folder.clone()),
        ..MailSettings::default()
    };
    by(&settings, data.path()).unwrap().send(&ada()).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|file| mode(file) == 0o600));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_a_temporary_error() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("mail"), "in the way").unwrap();
    let mailer = by(&MailSettings::default(), data.path()).unwrap();
    assert!(matches!(
        mailer.send(&ada()).await.unwrap_err(),
        MailError::Temporary(_)
    ));
}

/// Takes one connection, answers recipients with `verdict`, and returns what the client said.
fn server(verdict: &'static str) -> (MailSettings, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        stream.write_all(b"220 ready\r\n").unwrap();
        let (mut said, mut in_data) = (String::new(), false);
        while let Some(Ok(line)) = lines.next() {
            said.push_str(&line);
            said.push('\n');
            let word = line.get(..4).unwrap_or(&line).to_owned();
            in_data = in_data && line != ".";
            let answer = match word.as_str() {
                _ if in_data => continue,
                "RCPT" => verdict,
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ => "250 fine",
            };
            in_data = word == "DATA";
            stream.write_all(format!("{answer}\r\n").as_bytes()).unwrap();
            if line == "." || !verdict.starts_with("250") && word == "RCPT" {
                break;
            }
        }
        said
    });
    (
        MailSettings {
            smtp_url: Some(url.as_str().into()),
            ..MailSettings::default()
        },
        thread,
    )
}

#[tokio::test]
async fn a_server_gets_the_mail() {
    let (settings, thread) = server("250 fine");
    let mailer = by(&settings, Path::new("unused")).unwrap();
    mailer.send(&ada()).await.unwrap();
    let said = thread.join().unwrap();
    assert!(
        said.contains("RCPT TO:<ada@example.com>") && said.contains("code 123456"),
        "{said}"
    );
    assert!(mailer.list(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_servers_refusals_are_told_apart() {
    for (verdict, permanent) in [
        ("550 no such user", true),
        ("450 busy", false),
        ("530 log in first", false),
        ("451 later", false),
    ] {
        let (settings, _thread) = server(verdict);
        let error = by(&settings, Path::new("unused"))
            .unwrap()
            .send(&ada())
            .await
            .unwrap_err();
        assert_eq!(
            matches!(error, MailError::Permanent(_)),
            permanent,
            "{verdict}: {error}"
        );
    }
}

#[tokio::test]
async fn bad_settings_are_refused_without_quoting_the_password() {
    for url in [
        "smtp://user:hunter2@",
        "ftp://user:hunter2@mail.example",
        "smtp://u:hunter2@a.example?tls=maybe",
    ] {
        let settings = MailSettings {
            smtp_url: Some(url.into()),
            ..MailSettings::default()
        };
        let error = by(&settings, Path::new("unused")).unwrap_err();
        assert!(
            matches!(error, MailError::Settings(_)) && !error.to_string().contains("hunter2"),
            "{error}"
        );
    }
    let settings = MailSettings {
        from: "nobody".to_owned(),
        ..MailSettings::default()
    };
    assert!(matches!(
        by(&settings, Path::new("unused")),
        Err(MailError::Settings(_))
    ));
}

#[test]
fn smtp_outside_a_runtime_is_an_error_not_a_panic() {
    let settings = MailSettings {
        smtp_url: Some("smtp://localhost".into()),
        ..MailSettings::default()
    };
    assert!(matches!(
        by(&settings, Path::new("unused")),
        Err(MailError::Settings(_))
    ));
}

#[test]
fn a_mail_does_not_show_its_text() {
    let shown = format!("{:?}", ada());
    assert!(!shown.contains("123456") && !shown.contains("ada@"), "{shown}");
}
