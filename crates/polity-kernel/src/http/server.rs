//! Listening: connections are accepted, limited in number and in how slowly they may speak, and drained at the end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use super::HttpSettings;

/// How the end went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// Every running request was answered.
    Complete,
    /// Some were still running when the time was over.
    CutShort,
}

/// Serves `router` on `listener` until `stop`, then lets running requests finish within the time the settings give them.
pub async fn serve(listener: TcpListener, router: Router, settings: &HttpSettings, stop: CancellationToken) -> Drain {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(settings.max_connections as usize));
    let builder = builder(settings);
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: others have to close before there is a point in trying.
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        drop(stream.set_nodelay(true));
        let patience = Duration::from_millis(settings.header_timeout_ms);
        let connection = connection(&builder, stream, peer, router.clone(), &graceful, patience);
        spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => Drain::Complete,
        () = tokio::time::sleep(Duration::from_millis(settings.drain_ms)) => Drain::CutShort,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "connections are supervised by the graceful shutdown of `serve`"
)]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

fn builder(settings: &HttpSettings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let head = Duration::from_millis(settings.header_timeout_ms);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(32 << 10)
        .keep_alive_interval(Duration::from_secs(30));
    builder
}

fn connection(
    builder: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    graceful: &GracefulShutdown,
    patience: Duration,
) -> impl Future<Output = ()> + Send + 'static {
    let asked = CancellationToken::new();
    let asks = asked.clone();
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        asks.cancel();
        request.extensions_mut().insert(ConnectInfo(peer));
        let router = router.clone();
        async move {
            let mut router = router;
            let ready = ServiceExt::<hyper::Request<Incoming>>::ready(&mut router).await;
            match ready {
                Ok(router) => router.call(request).await,
                Err(never) => match never {},
            }
        }
    });
    let connection = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .into_owned();
    let watched = graceful.watch(connection);
    // The timer of heads starts when the version of HTTP is known: who says less than that would stay for ever.
    let silent = async move {
        if tokio::time::timeout(patience, asked.cancelled()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    async move {
        tokio::select! {
            ended = watched => if let Err(error) = ended {
                tracing::debug!(error = %error, "a connection ended early");
            },
            () = silent => tracing::debug!("a connection asked nothing in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_request_that_runs_is_answered_before_the_end() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, begun) = (CancellationToken::new(), CancellationToken::new());
        let (stopping, beginning) = (stop.clone(), begun.clone());
        let slow = move || async move {
            beginning.cancel();
            // Answered only once the server was asked to stop.
            stopping.cancelled().await;
            "done"
        };
        let router = Router::new().route("/", get(slow));
        let settings = HttpSettings::default();
        let serving = serve(listener, router, &settings, stop.clone());
        let asking = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
            begun.cancelled().await;
            stop.cancel();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let (drain, answer) = tokio::join!(serving, asking);
        assert_eq!(drain, Drain::Complete);
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
            "{answer}"
        );
        assert!(TcpStream::connect(address).await.is_err(), "it still listens");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_connects_and_asks_nothing_has_to_go() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let settings = HttpSettings {
            header_timeout_ms: 50,
            ..HttpSettings::default()
        };
        let serving = serve(listener, Router::new(), &settings, stop.clone());
        let asking = async {
            // Nothing, half of a request, half of what HTTP/2 begins with, and all of it.
            for said in ["", "GET / HT", "PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(said.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
                assert!(end.is_ok(), "{said:?} keeps a connection open");
            }
            stop.cancel();
        };
        tokio::join!(serving, asking);
    }
}
