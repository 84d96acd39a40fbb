//! A client of the Lambda runtime API: get the next event, post the response. (AWS Lambda Developer
//! Guide, "Using the Lambda runtime API for custom runtimes".)

use std::{
    env,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::{
    client::legacy::Client, client::legacy::connect::HttpConnector, rt::TokioExecutor,
};
use serde_json::{Value, json};

/// The only version of the runtime API.
const VERSION: &str = "2018-06-01";

/// The runtime API at `AWS_LAMBDA_RUNTIME_API`, inside the function's execution environment.
#[derive(Debug, Clone)]
pub(crate) struct Runtime {
    base: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// An event that waits for a response.
#[derive(Debug)]
pub(crate) struct Invocation {
    id: String,
    /// The event, in JSON.
    pub(crate) event: Bytes,
    /// Time that Lambda waits for the response, if it gives a deadline.
    pub(crate) time_left: Option<Duration>,
}

/// An error that the function reports to Lambda, which logs it and sends it to the function's
/// on-failure destination.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// Error type, such as `InvalidEvent`.
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    fn to_json(&self) -> Value {
        json!({ "errorType": self.kind, "errorMessage": self.message })
    }
}

/// A failed call to the runtime API. The process exits, and Lambda starts a new one.
#[derive(Debug, thiserror::Error)]
#[error("call to the Lambda runtime API failed: {path}: {why}")]
pub(crate) struct RuntimeApiError {
    path: String,
    why: String,
}

impl Runtime {
    /// Connects to the runtime API that Lambda names in the environment.
    ///
    /// # Errors
    /// The environment names none: the process does not run in Lambda.
    pub(crate) fn from_environment() -> Result<Self, Failure> {
        let Ok(address) = env::var("AWS_LAMBDA_RUNTIME_API") else {
            return Err(Failure::new(
                "NotLambda",
                "AWS_LAMBDA_RUNTIME_API is not set: run this program in AWS Lambda or with cargo-lambda",
            ));
        };
        Ok(Self::at(&address))
    }

    fn at(address: &str) -> Self {
        let address = address.strip_prefix("http://").unwrap_or(address);
        Self {
            base: format!("http://{address}/{VERSION}/runtime"),
            http: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Waits for the next event.
    pub(crate) async fn next(&self) -> Result<Invocation, RuntimeApiError> {
        let path = "invocation/next";
        let request = Request::get(format!("{}/{path}", self.base)).body(Full::default());
        let (headers, event) = self.call(path, request, StatusCode::OK).await?;
        let Some(id) = header(&headers, "lambda-runtime-aws-request-id") else {
            return Err(RuntimeApiError {
                path: path.into(),
                why: "the event has no request id".into(),
            });
        };
        let deadline =
            header(&headers, "lambda-runtime-deadline-ms").and_then(|text| text.parse().ok());
        Ok(Invocation { id: id.to_owned(), event, time_left: deadline.and_then(until) })
    }

    /// Posts the response to an event, or the error.
    pub(crate) async fn respond(
        &self,
        invocation: &Invocation,
        response: &Result<Value, Failure>,
    ) -> Result<(), RuntimeApiError> {
        match response {
            Ok(response) => {
                self.post(&format!("invocation/{}/response", invocation.id), response, None).await
            }
            Err(failure) => {
                self.post(
                    &format!("invocation/{}/error", invocation.id),
                    &failure.to_json(),
                    Some(failure.kind),
                )
                .await
            }
        }
    }

    /// Reports that the function cannot start.
    pub(crate) async fn initialization_failed(
        &self,
        failure: &Failure,
    ) -> Result<(), RuntimeApiError> {
        self.post("init/error", &failure.to_json(), Some(failure.kind)).await
    }

    async fn post(
        &self,
        path: &str,
        body: &Value,
        error: Option<&str>,
    ) -> Result<(), RuntimeApiError> {
        let mut request = Request::post(format!("{}/{path}", self.base))
            .header("content-type", "application/json");
        if let Some(kind) = error {
            request =
                request.header("lambda-runtime-function-error-type", format!("Function.{kind}"));
        }
        let request = request.body(Full::from(body.to_string()));
        self.call(path, request, StatusCode::ACCEPTED).await.map(drop)
    }

    async fn call(
        &self,
        path: &str,
        request: Result<Request<Full<Bytes>>, hyper::http::Error>,
        expected: StatusCode,
    ) -> Result<(HeaderMap, Bytes), RuntimeApiError> {
        let failed = |why: String| RuntimeApiError { path: path.to_owned(), why };
        let request = request.map_err(|error| failed(error.to_string()))?;
        let (parts, body) = self
            .http
            .request(request)
            .await
            .map_err(|error| failed(error.to_string()))?
            .into_parts();
        let body = body.collect().await.map_err(|error| failed(error.to_string()))?.to_bytes();
        // cargo-lambda returns 200 where Lambda returns 202.
        if parts.status != expected && parts.status != StatusCode::OK {
            return Err(failed(format!("{}: {}", parts.status, String::from_utf8_lossy(&body))));
        }
        Ok((parts.headers, body))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Returns the time until `deadline`, in milliseconds since 1970. `None` for a past deadline:
/// Lambda never sends an event too late, but cargo-lambda sends such deadlines.
fn until(deadline: u64) -> Option<Duration> {
    (UNIX_EPOCH + Duration::from_millis(deadline)).duration_since(SystemTime::now()).ok()
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Answers one request with `answer` and returns the request.
    async fn serve_once(listener: &TcpListener, answer: &str) -> String {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let count = stream.read(&mut buffer).await.expect("a request");
            request.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&request).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() == length.map_or(0, |length| length.parse().expect("a number")) {
                    stream.write_all(answer.as_bytes()).await.expect("written");
                    return text;
                }
            }
        }
    }

    async fn api() -> (TcpListener, Runtime) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        (listener, Runtime::at(&address))
    }

    #[tokio::test]
    async fn an_event_gets_a_response() {
        let (listener, runtime) = api().await;
        let later = SystemTime::now() + Duration::from_secs(3600);
        let later = later.duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let event = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\nlambda-runtime-aws-request-id: 7\r\n\
             lambda-runtime-deadline-ms: {later}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let (asked, invocation) = tokio::join!(serve_once(&listener, &event), runtime.next());
        assert!(
            asked.starts_with("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n"),
            "{asked}"
        );
        let invocation = invocation.expect("an event");
        assert_eq!(invocation.event, "{}");
        assert!(invocation.time_left.expect("a deadline") > Duration::from_secs(1800));

        let accepted = "HTTP/1.1 202 Accepted\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let answer = Ok(json!({ "done": true }));
        let (asked, answered) =
            tokio::join!(serve_once(&listener, accepted), runtime.respond(&invocation, &answer));
        assert!(
            answered.is_ok()
                && asked.starts_with("POST /2018-06-01/runtime/invocation/7/response "),
            "{asked}"
        );
        assert!(asked.ends_with("{\"done\":true}"), "{asked}");

        let failure = Err(Failure::new("InvalidEvent", "none of ours"));
        let (asked, answered) =
            tokio::join!(serve_once(&listener, accepted), runtime.respond(&invocation, &failure));
        assert!(
            answered.is_ok() && asked.starts_with("POST /2018-06-01/runtime/invocation/7/error "),
            "{asked}"
        );
        assert!(
            asked.contains("lambda-runtime-function-error-type: Function.InvalidEvent\r\n"),
            "{asked}"
        );
        assert!(
            asked.ends_with("{\"errorMessage\":\"none of ours\",\"errorType\":\"InvalidEvent\"}"),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn a_rejected_call_is_an_error() {
        let (listener, runtime) = api().await;
        let refusal = "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
        let (_, invocation) = tokio::join!(serve_once(&listener, refusal), runtime.next());
        let said = invocation.expect_err("refused").to_string();
        assert_eq!(
            said,
            "call to the Lambda runtime API failed: invocation/next: 403 Forbidden: no"
        );
    }

    #[test]
    fn a_past_deadline_is_ignored() {
        assert_eq!(until(600_000), None);
    }
}
