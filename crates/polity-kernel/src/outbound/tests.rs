//! Calls against small servers on loopback, which is allow-listed where a test means to reach it.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{Mutex, mpsc},
};

use async_trait::async_trait;

use super::*;

/// Answers one connection per canned answer and reports the requests it saw.
fn serve(answers: Vec<String>) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for answer in answers {
            let mut stream = listener.accept().unwrap().0;
            // The test may not look at the request, and may hang up early on a body that is too large.
            let _ = seen.send(read_request(&mut BufReader::new(&stream)));
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, requests)
}

fn read_request(stream: &mut impl BufRead) -> String {
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") && stream.read_line(&mut request).unwrap() > 0 {}
    let length = request
        .to_lowercase()
        .split_once("content-length: ")
        .map_or(0, |(_, rest)| {
            let digits = rest.split("\r\n").next().unwrap();
            digits.parse::<u64>().unwrap()
        });
    stream.take(length).read_to_string(&mut request).unwrap();
    request
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn redirect(status: u16, to: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nconnection: close\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
}

fn settings(allow: &[&str]) -> OutboundSettings {
    OutboundSettings {
        allow: allow.iter().map(ToString::to_string).collect(),
        ..OutboundSettings::default()
    }
}

fn outbound(allow: &[&str]) -> Outbound {
    Outbound::new(&settings(allow)).unwrap()
}

/// Gives one answer after the other, then none.
struct Script(Mutex<VecDeque<Vec<&'static str>>>);

#[async_trait]
impl Lookup for Script {
    async fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let answer = self.0.lock().unwrap().pop_front().unwrap_or_default();
        Ok(answer.into_iter().map(|address| address.parse().unwrap()).collect())
    }
}

fn scripted(settings: &OutboundSettings, answers: &[&[&'static str]]) -> Outbound {
    let answers = answers.iter().map(|answer| answer.to_vec()).collect();
    Outbound::with_lookup(settings, Arc::new(Script(Mutex::new(answers)))).unwrap()
}

#[tokio::test]
async fn literals_in_every_notation_are_judged() {
    let outbound = outbound(&[]);
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "[fd00:ec2::254]",
    ] {
        let error = outbound
            .get(&format!("https://{host}/latest/meta-data"))
            .send()
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Blocked { .. }), "{host}: {error}");
    }
}

#[tokio::test]
async fn names_are_judged_by_all_they_resolve_to() {
    let private = scripted(&settings(&[]), &[&["10.0.0.5", "fe80::1"]]);
    let error = private.get("https://intranet.example/").send().await.unwrap_err();
    let Error::Blocked { host, address } = error else {
        panic!("{error}")
    };
    assert_eq!(
        (host.as_str(), address.to_string().as_str()),
        ("intranet.example", "10.0.0.5")
    );

    let error = outbound(&[]).get("https://localhost:1/").send().await.unwrap_err();
    assert!(matches!(error, Error::Blocked { .. }), "{error}");
    let error = scripted(&settings(&[]), &[])
        .get("https://nowhere.example/")
        .send()
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error}");
}

#[tokio::test]
async fn an_address_among_others_that_may_not_be_reached_is_never_connected_to() {
    let (server, _requests) = serve(vec![ok("fine")]);
    let outbound = scripted(
        &OutboundSettings {
            allow_http: true,
            ..settings(&["127.0.0.1/32"])
        },
        &[&["169.254.169.254", "127.0.0.1"]],
    );
    let answer = outbound
        .get(&format!("http://mixed.example:{}/", server.port()))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.body, "fine");
}

#[tokio::test]
async fn a_name_that_answers_differently_the_second_time_gains_nothing() {
    let (server, _requests) = serve(vec![ok("first")]);
    let settings = OutboundSettings {
        allow_http: true,
        ..settings(&["127.0.0.1"])
    };
    let outbound = scripted(&settings, &[&["127.0.0.1"], &["10.0.0.1"]]);
    let url = format!("http://rebind.example:{}/", server.port());
    // One resolution per connection: were there a second between check and use, this would be blocked.
    assert_eq!(outbound.get(&url).send().await.unwrap().body, "first");
    let error = outbound.get(&url).send().await.unwrap_err();
    assert!(matches!(error, Error::Blocked { .. }), "{error}");
}

#[tokio::test]
async fn redirects_are_judged_like_first_requests() {
    for (location, blocked) in [
        ("https://169.254.169.254/latest/meta-data", true),
        ("https://[::ffff:192.168.0.1]/", true),
        ("http://169.254.169.254/", false),
        ("http://example.com/", false),
        ("file:///etc/passwd", false),
        ("https://user:pass@127.0.0.1/", false),
    ] {
        let (server, _requests) = serve(vec![redirect(302, location)]);
        let error = outbound(&["127.0.0.1"])
            .get(&format!("http://{server}/"))
            .send()
            .await
            .unwrap_err();
        assert_eq!(matches!(error, Error::Blocked { .. }), blocked, "{location}: {error}");
        assert!(
            matches!(
                error,
                Error::Blocked { .. } | Error::Scheme { .. } | Error::Malformed(_)
            ),
            "{error}"
        );
    }
}

#[tokio::test]
async fn redirects_are_counted() {
    let hops = |n: usize| {
        serve(
            std::iter::repeat_n(redirect(302, "/again"), n)
                .chain([ok("there")])
                .collect(),
        )
        .0
    };
    let outbound = outbound(&["127.0.0.1"]);
    let url = |server| format!("http://{server}/");
    assert_eq!(outbound.get(&url(hops(3))).send().await.unwrap().body, "there");
    let error = outbound.get(&url(hops(4))).send().await.unwrap_err();
    assert!(matches!(error, Error::TooManyRedirects { limit: 3 }), "{error}");
    let answer = outbound.get(&url(hops(1))).max_redirects(0).send().await.unwrap();
    assert_eq!(answer.status, 302);
}

#[tokio::test]
async fn credentials_stay_with_their_origin() {
    let (second, second_saw) = serve(vec![ok("second")]);
    let (first, first_saw) = serve(vec![
        redirect(302, "/same"),
        redirect(302, &format!("http://{second}/")),
    ]);
    let request = outbound(&["127.0.0.1"]).get(&format!("http://{first}/"));
    let answer = request
        .bearer("t0ken")
        .header("x-api-key", "k3y")
        .header("accept", "text/plain")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.url.port(), Some(second.port()));
    for _ in 0..2 {
        let request = first_saw.recv().unwrap();
        assert!(request.contains("Bearer t0ken") && request.contains("k3y"), "{request}");
    }
    let request = second_saw.recv().unwrap();
    assert!(!request.contains("t0ken") && !request.contains("k3y"), "{request}");
    assert!(request.contains("accept: text/plain"), "{request}");
}

#[tokio::test]
async fn bodies_stay_with_their_origin_and_303_drops_them() {
    let (first, saw) = serve(vec![redirect(307, "/same"), redirect(303, "/result"), ok("done")]);
    let outbound = outbound(&["127.0.0.1"]);
    let answer = outbound
        .post(&format!("http://{first}/"))
        .form(&[("a", "b c")])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.body, "done");
    assert!(saw.recv().unwrap().ends_with("\r\n\r\na=b+c"));
    assert!(saw.recv().unwrap().starts_with("POST /same"));
    let last = saw.recv().unwrap();
    assert!(last.starts_with("GET /result") && last.ends_with("\r\n\r\n"), "{last}");

    let (server, _saw) = serve(vec![redirect(307, "http://127.0.0.1:1/")]);
    let answer = outbound
        .post(&format!("http://{server}/"))
        .json(&1)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status, 307);
}

#[tokio::test]
async fn bodies_are_bounded_with_and_without_a_declared_length() {
    let streamed = |body: &str| format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}");
    for answer in [ok("123456789"), streamed("123456789")] {
        let (server, _requests) = serve(vec![answer]);
        let request = outbound(&["127.0.0.1"]).get(&format!("http://{server}/"));
        let error = request.max_body_bytes(8).send().await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 8 }), "{error}");
    }
    let (server, _requests) = serve(vec![streamed("12345678")]);
    let request = outbound(&["127.0.0.1"]).get(&format!("http://{server}/"));
    assert_eq!(request.max_body_bytes(8).send().await.unwrap().body, "12345678");
}

#[tokio::test]
async fn failures_are_told_apart_by_cause() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let outbound = outbound(&["127.0.0.1"]);
    let request = outbound
        .get(&format!("http://{address}/"))
        .timeout(Duration::from_millis(20));
    assert!(matches!(request.send().await.unwrap_err(), Error::Timeout));
    drop(silent);
    let error = outbound.get(&format!("http://{address}/")).send().await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)) && error.is_temporary(), "{error}");

    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let mut stream = plain.accept().unwrap().0;
        stream.write_all(ok("not TLS").as_bytes()).unwrap();
        // Until the client hangs up: closing earlier could lose the answer.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let error = outbound.get(&format!("https://{address}/")).send().await.unwrap_err();
    server.join().unwrap();
    assert!(matches!(error, Error::Tls(_)), "{error:?}");

    for url in ["", "not a url", "https://user:pass@example.com/", "https://"] {
        assert!(
            matches!(outbound.get(url).send().await.unwrap_err(), Error::Invalid(_)),
            "{url}"
        );
    }
    let bad_header = outbound
        .get("https://example.com/")
        .header("a", "b\r\nc: d")
        .send()
        .await;
    assert!(matches!(bad_header.unwrap_err(), Error::Invalid(_)));
}

#[test]
fn plain_http_needs_permission() {
    let refused = |outbound: &Outbound, url: &str| matches!(outbound.check(url), Err(Error::Scheme { .. }));
    let strict = outbound(&["Intern.Example", "10.0.0.0/8"]);
    assert!(refused(&strict, "http://example.com/"));
    assert!(refused(&strict, "ftp://intern.example/"));
    assert!(!refused(&strict, "http://intern.example./"));
    assert!(!refused(&strict, "http://10.1.2.3/"));
    assert!(strict.check("https://10.1.2.3/").is_ok());
    let lax = Outbound::new(&OutboundSettings {
        allow_http: true,
        ..OutboundSettings::default()
    })
    .unwrap();
    assert!(!refused(&lax, "http://example.com/"));
    assert!(refused(&lax, "gopher://example.com/"));
}

#[test]
fn the_allow_list_takes_names_addresses_and_networks_only() {
    for entry in [
        "https://example.com",
        "example.com:80",
        "*.example.com",
        "10.0.0.0/40",
        "",
    ] {
        assert!(
            matches!(Outbound::new(&settings(&[entry])), Err(Error::Invalid(_))),
            "{entry}"
        );
    }
    assert!(Outbound::new(&settings(&["example.com", "::1", "fd00::/8", "10.0.0.1"])).is_ok());
}

#[test]
fn an_answer_that_is_not_json_is_not_quoted() {
    let response = Response {
        status: http::StatusCode::OK,
        headers: http::HeaderMap::new(),
        body: "s3cret".into(),
        url: Url::parse("https://example.com").unwrap(),
    };
    let error = response.json::<u8>().unwrap_err();
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[test]
fn the_compiled_in_authorities_make_a_client() {
    let guard = Guard::new(Arc::new(SystemLookup), Arc::default());
    let tls = compiled_in_tls().unwrap();
    assert!(
        builder(&OutboundSettings::default(), &guard)
            .tls_backend_preconfigured(tls)
            .build()
            .is_ok()
    );
}
