//! Calls to servers that do what servers should not, over real sockets.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use polity_kernel::outbound::OutboundSettings;

use super::*;

/// A server that does the same with every connection, and how many requests reached it.
fn server(serve: impl Fn(TcpStream, &AtomicUsize) + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, serve) = (Arc::new(AtomicUsize::new(0)), Arc::new(serve));
    let count = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (serve, count) = (Arc::clone(&serve), Arc::clone(&count));
            std::thread::spawn(move || serve(stream.unwrap(), &count));
        }
    });
    (address, seen)
}

/// Reads one request to its end; `None` if there is none.
fn read(stream: &TcpStream, seen: &AtomicUsize) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_lowercase();
    let length = lower.split_once("content-length: ").map_or(0, |(_, rest)| {
        rest.split("\r\n").next().unwrap().parse::<u64>().unwrap()
    });
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body).ok()?;
    seen.fetch_add(1, Ordering::SeqCst);
    Some(head + &body)
}

fn answer(mut stream: &TcpStream, text: &str) {
    drop(stream.write_all(text.as_bytes()));
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Kind: Good\r\n\r\nok";

fn http() -> OutboundHttp {
    let settings = OutboundSettings {
        allow: vec!["127.0.0.1".to_owned()],
        connect_timeout_ms: 300,
        ..OutboundSettings::default()
    };
    OutboundHttp::new(Outbound::new(&settings).unwrap())
}

fn post(address: impl std::fmt::Display, timeout: Duration) -> Request {
    let mut request = Request::new(Method::Post, &format!("http://{address}/token"), timeout);
    request.headers.push(("authorization", "Basic hush".into()));
    request.body = Body::Form("refresh_token=hush".into());
    request
}

const LONG: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_call_carries_what_it_is_given() {
    let (address, seen) = server(|stream, seen| {
        let request = read(&stream, seen).unwrap();
        assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Basic hush\r\n"), "{request}");
        assert!(request.contains("content-type: application/x-www-form-urlencoded\r\n"));
        assert!(request.ends_with("\r\n\r\nrefresh_token=hush"));
        answer(&stream, OK);
    });
    let response = http().send(post(address, LONG)).await.unwrap();
    assert_eq!((response.status, &response.body[..]), (200, &b"ok"[..]));
    assert_eq!(response.header("x-kind"), Some("Good"));
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn without_a_connection_nothing_is_sent() {
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = http().send(post(refused, LONG)).await.unwrap_err();
    assert!(matches!(error, HttpError::NotSent(_)), "{error:?}");
    // Speaks no TLS.
    let (address, seen) = server(|stream, _| answer(&stream, OK));
    let mut request = post(address, LONG);
    request.url = format!("https://{address}/token");
    let error = http().send(request).await.unwrap_err();
    assert!(matches!(error, HttpError::NotSent(_)), "{error:?}");
    // Says nothing to the TLS handshake: there is no connection in time.
    let (address, _) = server(|stream, _| {
        sleep(Duration::from_secs(2));
        drop(stream);
    });
    let mut request = post(address, LONG);
    request.url = format!("https://{address}/token");
    let error = http().send(request).await.unwrap_err();
    assert!(matches!(error, HttpError::NotSent(_)), "{error:?}");
    let mut request = post(address, LONG);
    request.url = "https://no-such-name.invalid/token".to_owned();
    let error = http().send(request).await.unwrap_err();
    assert!(matches!(error, HttpError::NotSent(_)), "{error:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_the_guard_refuses_is_not_sent() {
    for url in [
        "https://169.254.169.254/token",
        "https://10.0.0.1/token",
        "http://example.com/token",
        "https://[::1]/token",
        "not an address?code=hush",
        "https://user:hush@example.com/",
    ] {
        let mut request = post("127.0.0.1:1", LONG);
        request.url = url.to_owned();
        let error = http().send(request).await.unwrap_err();
        assert!(matches!(error, HttpError::Refused(_)), "{url}: {error:?}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_it_open() {
    // Before it reads, after it read, and in the middle of its answer.
    let closed = server(|stream, _| drop(stream));
    let read_first = server(|stream, seen| drop(read(&stream, seen)));
    let half = server(|stream, seen| {
        read(&stream, seen);
        answer(&stream, "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"access");
    });
    let no_http = server(|stream, seen| {
        read(&stream, seen);
        answer(&stream, "what is this\r\n\r\n");
    });
    for (address, seen) in [closed, read_first, half, no_http] {
        let error = http().send(post(address, LONG)).await.unwrap_err();
        assert!(matches!(error, HttpError::Unknown(_)), "{error:?}");
        sleep(Duration::from_millis(50));
        assert!(seen.load(Ordering::SeqCst) <= 1, "it is sent once");
    }
}

#[tokio::test]
async fn time_and_size_are_the_requests_own() {
    let (slow, seen) = server(|stream, seen| {
        read(&stream, seen);
        sleep(Duration::from_secs(3));
    });
    let (drips, _) = server(|stream, seen| {
        read(&stream, seen);
        answer(&stream, "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n");
        for _ in 0..30 {
            sleep(Duration::from_millis(50));
            answer(&stream, "x");
        }
    });
    for address in [slow, drips] {
        let begun = Instant::now();
        let error = http()
            .send(post(address, Duration::from_millis(200)))
            .await
            .unwrap_err();
        assert!(matches!(error, HttpError::Unknown(_)), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    let (large, _) = server(|stream, seen| {
        read(&stream, seen);
        answer(&stream, "HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n");
        while (&stream).write_all(&[b'x'; 8_192]).is_ok() {}
    });
    let mut request = post(large, LONG);
    request.limit = 1_000;
    assert_eq!(http().send(request).await.unwrap_err(), HttpError::TooLarge);
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let (elsewhere, reached) = server(|stream, seen| {
        read(&stream, seen);
        answer(&stream, OK);
    });
    for status in [301, 302, 303, 307, 308] {
        let (address, _) = server(move |stream, seen| {
            read(&stream, seen);
            let head = format!("HTTP/1.1 {status} Moved\r\nlocation: http://{elsewhere}/\r\n");
            answer(&stream, &(head + "content-length: 0\r\n\r\n"));
        });
        assert_eq!(http().send(post(address, LONG)).await.unwrap().status, status);
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

/// The second request goes out on a connection that the server closes when it comes: it may have been read.
#[tokio::test]
async fn a_reused_connection_that_closes_leaves_it_open() {
    let (address, seen) = server(|stream, seen| {
        read(&stream, seen);
        answer(&stream, OK);
        read(&stream, seen);
    });
    let http = http();
    for round in 1..=20 {
        http.send(post(address, LONG)).await.unwrap();
        let error = http.send(post(address, LONG)).await.unwrap_err();
        assert!(matches!(error, HttpError::Unknown(_)), "{error:?}");
        assert_eq!(seen.load(Ordering::SeqCst), 2 * round, "it is sent once");
    }
}

/// The server closes idle connections at once, which the client may notice before, while or after it sends.
#[tokio::test]
async fn an_idle_connection_that_closes_costs_no_second_sending() {
    let (address, seen) = server(|stream, seen| {
        read(&stream, seen);
        answer(&stream, OK);
    });
    let http = http();
    let (mut answered, mut unknown) = (0, 0);
    for round in 0_u64..300 {
        match http.send(post(address, LONG)).await {
            Ok(_) => answered += 1,
            Err(HttpError::Unknown(_)) => unknown += 1,
            Err(other) => panic!("{other:?}"),
        }
        if round % 3 == 0 {
            tokio::time::sleep(Duration::from_micros(round * 3)).await;
        }
    }
    let arrived = seen.load(Ordering::SeqCst);
    assert!(
        arrived >= answered && arrived <= answered + unknown,
        "{arrived} {answered} {unknown}"
    );
}
