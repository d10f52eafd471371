//! Sockets: taking connections, applying faults, closing connections in the middle.

use std::{convert::Infallible, io, sync::Arc, sync::LazyLock};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

use super::{
    Core, Endpoint, Fault,
    message::{Answer, Call},
};

/// 10 MB of JSON.
static HUGE: LazyLock<Bytes> = LazyLock::new(|| format!("{{\"access_token\":\"{}\"}}", "x".repeat(10_000_000)).into());

/// Serves until it is aborted, and its connections with it.
pub(super) async fn accept(listener: TcpListener, core: Arc<Core>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                // Small answers at once: a test waits for each.
                drop(stream.set_nodelay(true));
                let core = Arc::clone(&core);
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&core), request));
                    // An error is a connection that was closed: by the other side, or here on purpose.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One call. An error closes the connection without a byte of an answer.
async fn answer(core: Arc<Core>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let closed = || io::Error::from(io::ErrorKind::ConnectionAborted);
    let call = Call::read(request).await.ok_or_else(closed)?;
    let Some(endpoint) = Endpoint::of(&call.path) else {
        return response(Answer::empty(404));
    };
    let fault = core.arrived(endpoint, &call);
    match &fault {
        Some(Fault::DropBefore) => return Err(closed()),
        Some(Fault::Status(status)) => return response(Answer::empty(*status)),
        Some(Fault::TooMany(time)) => return response(Answer::empty(429).with("retry-after", time)),
        Some(Fault::Error(code)) => return response(Answer::error(code)),
        _ => {}
    }
    let mut answer = match fault {
        Some(Fault::Late(time)) => late(Arc::clone(&core), endpoint, call, time).await?,
        _ => core.process(endpoint, &call, fault.as_ref()),
    };
    let pause = core.settings.answers_after;
    if endpoint == Endpoint::Token && !pause.is_zero() {
        sleep(pause).await;
    }
    match fault {
        Some(Fault::Slow(time)) => sleep(time).await,
        Some(Fault::DropAfter) => return Err(closed()),
        Some(Fault::StatusAfter(status)) => answer = Answer::empty(status),
        Some(Fault::WrongJson) => answer.body.truncate(answer.body.len() / 2),
        Some(Fault::Html) => {
            answer = Answer::empty(200).with("content-type", "text/html");
            answer.body = Bytes::from_static(b"<!doctype html><title>Sign in</title>");
        }
        Some(Fault::Huge) => answer.body = HUGE.clone(),
        _ => {}
    }
    response(answer)
}

/// Does a call later, in a task of its own: the caller may be gone by then.
#[expect(clippy::disallowed_methods, reason = "it outlives its connection on purpose")]
async fn late(core: Arc<Core>, endpoint: Endpoint, call: Call, time: std::time::Duration) -> io::Result<Answer> {
    let task = tokio::spawn(async move {
        sleep(time).await;
        core.process(endpoint, &call, None)
    });
    task.await.map_err(io::Error::other)
}

fn response(answer: Answer) -> io::Result<Response<Full<Bytes>>> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    response.body(Full::new(answer.body)).map_err(io::Error::other)
}
