//! Connections: accepted, limited, served, and ended in order.

mod access_log;
mod drained_body;
mod idle_io;
mod places;
mod tls;

use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use bytes::{Buf as _, Bytes};
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, EXPECT, RANGE, TRANSFER_ENCODING},
};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::{S3Error, service::S3Service};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

pub use self::{
    access_log::{AccessLog, AccessRecord},
    tls::{InvalidTls, TlsFiles},
};
use self::{
    drained_body::DrainedBody,
    idle_io::{IdleIo, Turn},
    places::{Place, Places},
};
use crate::{
    budget::Budget,
    context::RequestContext,
    counted_body::CountedBody,
    failure::refused,
    gate::{Admitted, Gate, Refusal},
    metrics::Metrics,
    multipart::random_name,
};

/// Body of every answer.
type AnswerBody = CountedBody<s3s::Body>;

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Most connections at a time. For another one, the connection that has waited longest for a
    /// request is closed.
    pub connections: usize,
    /// Longest time in which a connection's next request must have arrived up to its body, and longest
    /// time without any byte while a body or an answer passes.
    pub idle: Duration,
    /// Least rate of a body or an answer in bytes a second, over `idle`.
    pub least_rate: u64,
    /// Longest time that requests in progress get to end when the gateway shuts down.
    pub shutdown: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 1_000,
            idle: Duration::from_secs(60),
            least_rate: 1_000,
            shutdown: Duration::from_secs(30),
        }
    }
}

/// Longest head of a request in bytes.
const MAX_HEAD_LEN: usize = 64 << 10;
/// Most headers of a request.
const MAX_HEADERS: usize = 100;
/// Bytes that a connection reads ahead, and of an answer that it gathers.
const CONNECTION_BUFFER_LEN: usize = 64 << 10;

/// Declaration of each document of s3s.
const DECLARATION: &[u8] = br#"<?xml version="1.0" encoding="UTF-8"?>"#;

/// Bytes that a byte of a document takes: as it arrived, and as it is read.
const DOCUMENT_FACTOR: u64 = 2;

/// Everything that a connection needs. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) gate: Arc<Gate>,
    pub(crate) service: S3Service,
    pub(crate) metrics: Metrics,
    pub(crate) limits: ConnectionLimits,
    pub(crate) access_log: Option<AccessLog>,
    /// Memory for lists of keys and parts.
    pub(crate) documents: Budget,
}

impl Server {
    /// Serves connections until `shutdown` ends, and then those that are open until their requests
    /// have ended.
    ///
    /// # Errors
    /// The TLS files cannot be read.
    pub(crate) async fn run(
        self,
        listener: TcpListener,
        tls: Option<TlsFiles>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), InvalidTls> {
        let tls = tls.map(tls::Acceptor::new).transpose()?;
        let places = Places::new(self.limits.connections);
        let (closing, _) = watch::channel(false);
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        // A connection that was accepted and waits for a place.
        let mut next = None;
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                place = places.take(), if next.is_some() => {
                    let (server, tls, closing) = (self.clone(), tls.clone(), closing.subscribe());
                    if let Some((stream, peer)) = next.take() {
                        let place = Arc::new(place);
                        connections.spawn(server.connection(stream, peer, tls, closing, place));
                    }
                }
                accepted = listener.accept(), if next.is_none() => match accepted {
                    Ok(accepted) => next = Some(accepted),
                    Err(error) => {
                        tracing::warn!(%error, "no connection was accepted");
                        // Too many open files: some close meanwhile.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
        drop(listener);
        closing.send_replace(true);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(self.limits.shutdown, all_ended).await.is_err() {
            tracing::warn!("requests in progress were cut off");
            connections.shutdown().await;
        }
        Ok(())
    }

    async fn connection(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<tls::Acceptor>,
        closing: watch::Receiver<bool>,
        place: Arc<Place>,
    ) {
        let _counted = self.metrics.connection();
        // Without it, small answers wait for more.
        let _ = stream.set_nodelay(true);
        let limits = self.limits;
        let turn = Turn::default();
        let stream = IdleIo::new(stream, turn.clone(), limits.idle, limits.least_rate);
        let served = match tls {
            None => self.serve(stream, peer, turn, closing, place).await,
            Some(tls) => {
                let accepted = tokio::select! {
                    accepted = timeout(limits.idle, tls.accept(stream)) => accepted.ok(),
                    () = place.give_way() => None,
                };
                match accepted {
                    Some(Ok(stream)) => self.serve(stream, peer, turn, closing, place).await,
                    Some(Err(error)) => Err(error.into()),
                    None => Ok(()),
                }
            }
        };
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "a connection failed");
        }
    }

    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        turn: Turn,
        mut closing: watch::Receiver<bool>,
        place: Arc<Place>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD_LEN.max(CONNECTION_BUFFER_LEN))
            .half_close(false)
            .pipeline_flush(false);
        let service = service_fn(|request| {
            let (server, turn, place) = (self.clone(), turn.clone(), Arc::clone(&place));
            place.work();
            turn.begins();
            async move { Ok::<_, Infallible>(server.answer(request, peer, turn, place).await) }
        });
        let connection = http.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            served = &mut connection => return Ok(served?),
            () = place.give_way() => return Ok(()),
            _ = closing.wait_for(|closing| *closing) => {}
        }
        if place.is_waiting() {
            return Ok(());
        }
        connection.as_mut().graceful_shutdown();
        Ok(connection.await?)
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        turn: Turn,
        place: Arc<Place>,
    ) -> Response<AnswerBody> {
        let _counted = self.metrics.request();
        let (begun, id) = (Instant::now(), random_name());
        let mut access = AccessRecord::new(&request, peer, &id);
        // A client that expects 100 sends the body when it is asked for it.
        let is_sent = !request.headers().contains_key(EXPECT);
        let request = request.map(|body| DrainedBody::new(body, is_sent, turn.clone()));
        let has_ended = request.body().has_ended();
        let mut answer = match self.gate.admit(request, SystemTime::now()) {
            Ok(admitted) => {
                access.admitted(&admitted);
                match self.documents.wait_for(DOCUMENT_FACTOR * admitted.document_len()).await {
                    Ok(_room) => self.perform(admitted, &id).await,
                    Err(error) => of_error(error, &id),
                }
            }
            Err(refusal) => {
                access.refused(&refusal);
                of_refusal(&refusal, &id)
            }
        };
        let headers = answer.headers_mut();
        headers.insert("x-amz-request-id", HeaderValue::try_from(&id).expect("hexadecimal"));
        headers.insert("server", HeaderValue::from_static("sealwax"));
        if !has_ended.load(Ordering::Relaxed) {
            // The next request would be searched in the rest of this one's body.
            headers.insert("connection", HeaderValue::from_static("close"));
        }
        let status = answer.status().as_u16();
        self.metrics.answered(access.operation.unwrap_or("none"), status, begun.elapsed());
        let metrics = self.metrics.clone();
        let log = self.access_log.clone();
        // Its body is never asked for.
        let is_head = access.method == "HEAD";
        // The end of a body is not asked for if its length was announced.
        let announced = answer.headers().get(CONTENT_LENGTH);
        let announced = announced.and_then(|len| len.to_str().ok()?.parse().ok());
        answer.map(|body| {
            let body = CountedBody::new(body, move |bytes| metrics.sent(bytes));
            body.on_end(move |sent, complete| {
                turn.is_clients();
                place.wait();
                if let Some(log) = log {
                    let complete = complete || is_head || announced == Some(sent);
                    log(&access.ended(status, begun.elapsed(), sent, complete));
                }
            })
        })
    }

    /// Performs the operation of an admitted request.
    async fn perform(
        &self,
        admitted: Admitted<DrainedBody<Incoming>>,
        id: &str,
    ) -> Response<s3s::Body> {
        let context = RequestContext {
            id: id.to_owned(),
            client: admitted.client,
            operation: admitted.operation,
            digests: admitted.digests,
            copy_source: admitted.copy_source,
            object_headers: admitted.object_headers,
            bypasses_governance: admitted.bypasses_governance,
        };
        let metrics = self.metrics.clone();
        let failure = Arc::new(OnceLock::new());
        let failed = Arc::clone(&failure);
        let mut request = admitted.request.map(|body| {
            let body = body.map_err(move |error| {
                // The first failure is the reason.
                let _ = failed.set((error.code(), error.to_string()));
                error
            });
            let count = move |bytes| metrics.received(bytes);
            s3s::Body::http_body_unsync(CountedBody::new(body, count))
        });
        make_range_usable(request.headers_mut());
        request.extensions_mut().insert(context);
        match self.service.call(request).await {
            // s3s does not tell why a document could not be read.
            Ok(answer) if answer.status() == StatusCode::INTERNAL_SERVER_ERROR => {
                match failure.get() {
                    Some((code, message)) => of_error(refused(*code, message.clone()), id),
                    None => answer,
                }
            }
            // It has sent blanks while a completion lasts.
            Ok(answer) if answer.headers().contains_key(TRANSFER_ENCODING) => {
                answer.map(with_one_declaration)
            }
            // It answers a HEAD as if it was about the whole object.
            Ok(mut answer) if answer.headers().contains_key(CONTENT_RANGE) => {
                if answer.status() == StatusCode::OK {
                    *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
                }
                answer
            }
            Ok(answer) => answer,
            Err(error) => {
                let error: s3s::StdError = error.into();
                tracing::error!(%error, "an answer could not be made");
                of_error(s3s::S3ErrorCode::InternalError.into(), id)
            }
        }
    }
}

/// Removes the declaration of a failure that follows blanks, before which s3s has sent one already: no
/// client could read the document.
fn with_one_declaration(body: s3s::Body) -> s3s::Body {
    let mut is_begun = false;
    s3s::Body::http_body_unsync(body.map_frame(move |frame| match frame.into_data() {
        Ok(mut data) => {
            if is_begun && data.starts_with(DECLARATION) {
                data.advance(DECLARATION.len());
            }
            is_begun = true;
            Frame::data(data)
        }
        Err(trailers) => trailers,
    }))
}

/// Removes a range that S3 ignores: of another unit, several, or malformed. (RFC 9110 §14.2; a range
/// beyond the end is refused later.)
fn make_range_usable(headers: &mut HeaderMap) {
    let Some(value) = headers.get(RANGE) else { return };
    let range = value.to_str().ok().and_then(|value| value.strip_prefix("bytes="));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let usable = range.and_then(|range| range.split_once('-')).and_then(|(first, last)| {
        if !is_number(first) || !is_number(last) || (first.is_empty() && last.is_empty()) {
            return None;
        }
        let [first, last] = [first, last].map(|text| (!text.is_empty()).then(|| bounded(text)));
        match (first, last) {
            (Some(first), Some(last)) if first > last => None,
            (Some(first), Some(last)) => Some(format!("bytes={first}-{last}")),
            (Some(first), None) => Some(format!("bytes={first}-")),
            (None, last) => Some(format!("bytes=-{}", last?)),
        }
    });
    match usable.and_then(|range| HeaderValue::try_from(range).ok()) {
        Some(range) => drop(headers.insert(RANGE, range)),
        None => drop(headers.remove(RANGE)),
    }
}

/// Returns a number, or the largest length of an object that a client can mean.
fn bounded(digits: &str) -> u64 {
    const MAX: u64 = i64::MAX as u64;
    digits.parse().unwrap_or(MAX).min(MAX)
}

fn of_refusal(refusal: &Refusal, id: &str) -> Response<s3s::Body> {
    of_error(refused(refusal.code(), refusal.message()), id)
}

fn of_error(mut error: S3Error, id: &str) -> Response<s3s::Body> {
    error.set_request_id(id);
    error.to_http_response().unwrap_or_else(|_| {
        let body = Empty::<Bytes>::new().map_err(|never| match never {});
        let mut answer = Response::new(s3s::Body::http_body(body));
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        answer
    })
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test]
    async fn a_failure_after_blanks_is_one_document() {
        const ERROR: &str = "<Error><Code>SlowDown</Code></Error>";
        let declaration = std::str::from_utf8(DECLARATION).expect("ASCII");
        let again = format!("{declaration}{ERROR}");
        for (frames, expected) in [
            (vec![declaration, " ", " ", &again], format!("{declaration}  {ERROR}")),
            (vec![declaration, " ", "<Done/>"], format!("{declaration} <Done/>")),
            (vec![&*again], again.clone()),
        ] {
            let frames = frames.into_iter().map(|it| Frame::data(Bytes::from(it.to_owned())));
            let frames: Vec<_> = frames.map(Ok::<_, Infallible>).collect();
            let body = StreamBody::new(futures_util::stream::iter(frames));
            let body = with_one_declaration(s3s::Body::http_body_unsync(body));
            let all = body.collect().await.expect("all of it").to_bytes();
            assert_eq!(all, expected.as_bytes());
        }
    }

    #[test]
    fn ranges_that_s3_ignores_are_removed() {
        for (range, expected) in [
            ("bytes=0-9", Some("bytes=0-9")),
            ("bytes=007-", Some("bytes=7-")),
            ("bytes=-5", Some("bytes=-5")),
            ("bytes=0-18446744073709551616", Some("bytes=0-9223372036854775807")),
            ("bytes=5-4", None),
            ("bytes=0-1,5-6", None),
            ("bytes=a-b", None),
            ("bytes=-", None),
            ("items=0-1", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, HeaderValue::from_static(range));
            make_range_usable(&mut headers);
            let usable = headers.get(RANGE).map(|range| range.to_str().expect("text"));
            assert_eq!(usable, expected, "{range:?}");
        }
    }
}
