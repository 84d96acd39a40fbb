//! The address for those who watch the gateway: metrics, health and readiness.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::time::Duration;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};

use crate::Gateway;

/// Most connections at a time.
const MAX_CONNECTIONS: usize = 16;
/// Longest time that a connection takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers until `shutdown` ends.
pub(crate) async fn serve(
    gateway: Gateway,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) {
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            Ok((stream, _)) = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                let gateway = gateway.clone();
                connections.spawn(async move {
                    let answer = service_fn(|request: Request<Incoming>| {
                        let answer = answer(&gateway, request.method(), request.uri().path());
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    let mut http = http1::Builder::new();
                    http.timer(TokioTimer::new()).keep_alive(false);
                    // The caller has gone away, or was too slow.
                    let _ = timeout(PATIENCE, http.serve_connection(TokioIo::new(stream), answer)).await;
                });
            }
        }
    }
}

fn answer(gateway: &Gateway, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let (status, text) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, gateway.metrics()),
        (&Method::GET | &Method::HEAD, "/health" | "/ready") => (StatusCode::OK, "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, "not found\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "not allowed\n".to_owned()),
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
