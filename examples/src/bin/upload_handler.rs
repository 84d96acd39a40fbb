//! A web service that seals uploads while they arrive, and serves them.
//!
//! `upload_handler BUCKET KEY-ARN [ADDRESS]`, then `curl -T FILE http://ADDRESS/NAME` and `curl
//! http://ADDRESS/NAME`. The program prints its address.

use std::{env, error::Error, io};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::TryStreamExt as _;
use sealwax_s3::{
    ErrorKind, KmsKeyring, PlaintextSource, SealedClient,
    aws_config::{self, BehaviorVersion},
    aws_sdk_s3,
    envelope::CachingKeyring,
};

#[derive(Clone)]
struct Uploads {
    client: SealedClient,
    bucket: String,
}

/// An error response that reveals its kind, but no names of buckets or keys.
struct Failure(sealwax_s3::Error);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            ErrorKind::NotFound | ErrorKind::NotSealed | ErrorKind::Shredded => {
                StatusCode::NOT_FOUND
            }
            ErrorKind::Conflict => StatusCode::CONFLICT,
            kind if kind.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        eprintln!("{}", self.0);
        status.into_response()
    }
}

async fn upload(
    State(uploads): State<Uploads>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Failure> {
    // A slow caller takes no memory from others. An interrupted upload leaves nothing behind.
    let body = PlaintextSource::slow_stream(body.into_data_stream().map_err(io::Error::other));
    let mut put = uploads
        .client
        .put()
        .bucket(&uploads.bucket)
        .key(format!("uploads/{name}"))
        .body(body)
        .if_none_match("*");
    if let Some(content_type) =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
    {
        put = put.content_type(content_type);
    }
    put.send().await.map_err(Failure)?;
    Ok(StatusCode::CREATED)
}

async fn download(
    State(uploads): State<Uploads>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let object = uploads
        .client
        .get()
        .bucket(&uploads.bucket)
        .key(format!("uploads/{name}"))
        .send()
        .await
        .map_err(Failure)?;
    let content_type =
        object.info().content_type.clone().unwrap_or_else(|| "application/octet-stream".into());
    let len = object.info().plaintext_len();
    // With a Content-Length, the caller can tell that an interrupted response is incomplete.
    let headers = [(header::CONTENT_TYPE, content_type), (header::CONTENT_LENGTH, len.to_string())];
    Ok((headers, Body::from_stream(object.into_stream())).into_response())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (bucket, key_arn, address) = match &arguments[..] {
        [bucket, key_arn] => (bucket, key_arn, "127.0.0.1:8080"),
        [bucket, key_arn, address] => (bucket, key_arn, address.as_str()),
        _ => return Err("usage: upload_handler BUCKET KEY-ARN [ADDRESS]".into()),
    };
    let config = aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await;
    let keyring = CachingKeyring::new(KmsKeyring::builder(&config).key(key_arn).build()?);
    let client = SealedClient::builder(aws_sdk_s3::Client::new(&config), keyring).build();

    let uploads = Uploads { client: client.clone(), bucket: bucket.clone() };
    let router = Router::new().route("/{name}", get(download).put(upload)).with_state(uploads);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, router)
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    // Waits until interrupted uploads are aborted.
    client.settle().await;
    Ok(())
}
