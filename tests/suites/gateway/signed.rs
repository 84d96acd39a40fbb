//! Signed requests whose bytes are known, so that they can break off anywhere. (Amazon S3 API
//! Reference, "Authenticating Requests (AWS Signature Version 4)".)

use std::{net::SocketAddr, time::SystemTime};

use aws_smithy_types::{DateTime, date_time::Format};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::running::{ACCESS_KEY, SECRET_KEY};

/// Length of a chunk. S3 requires 8 KiB.
const CHUNK_LEN: usize = 64 << 10;
const TRAILER: &str = "x-amz-checksum-sha256";

/// Framing of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The content, with its digest in a header.
    Plain,
    /// Chunks, each with a signature.
    Signed,
    /// Chunks, each with a signature, and a signed checksum at the end.
    SignedTrailer,
    /// Chunks, and a checksum at the end.
    UnsignedTrailer,
}

/// A request that is sent.
#[derive(Debug)]
pub(crate) struct SignedRequest {
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// Positions in the body at which something begins or ends.
    pub(crate) edges: Vec<usize>,
}

impl Framing {
    pub(crate) const ALL: [Self; 4] =
        [Self::Plain, Self::Signed, Self::SignedTrailer, Self::UnsignedTrailer];

    /// Returns `x-amz-content-sha256`.
    fn payload(self, content: &[u8]) -> String {
        match self {
            Self::Plain => hex::encode(Sha256::digest(content)),
            Self::Signed => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD".into(),
            Self::SignedTrailer => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER".into(),
            Self::UnsignedTrailer => "STREAMING-UNSIGNED-PAYLOAD-TRAILER".into(),
        }
    }

    fn has_trailer(self) -> bool {
        matches!(self, Self::SignedTrailer | Self::UnsignedTrailer)
    }

    fn is_signed(self) -> bool {
        matches!(self, Self::Signed | Self::SignedTrailer)
    }
}

/// Time and scope of signatures, and the key for them.
struct Signer {
    date: String,
    scope: String,
    key: [u8; 32],
}

impl Signer {
    fn new() -> Self {
        let now = DateTime::from(SystemTime::now());
        let now = DateTime::from_secs(now.secs()).fmt(Format::DateTime).expect("a date");
        let date = now.replace(['-', ':'], "");
        let day = &date[..8];
        let mut key = hmac(format!("AWS4{SECRET_KEY}").as_bytes(), day);
        for word in ["us-east-1", "s3", "aws4_request"] {
            key = hmac(&key, word);
        }
        Self { scope: format!("{day}/us-east-1/s3/aws4_request"), date, key }
    }

    fn sign(&self, algorithm: &str, rest: &[&str]) -> String {
        let text = format!("{algorithm}\n{}\n{}\n{}", self.date, self.scope, rest.join("\n"));
        hex::encode(hmac(&self.key, &text))
    }
}

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn digest(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl SignedRequest {
    /// Signs a request for `path`, whose query's names and values need no encoding.
    pub(crate) fn new(
        address: SocketAddr,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        framing: Framing,
        content: &[u8],
    ) -> Self {
        let signer = Signer::new();
        let payload = framing.payload(content);
        let mut headers = vec![
            ("host", address.to_string()),
            ("x-amz-content-sha256", payload.clone()),
            ("x-amz-date", signer.date.clone()),
        ];
        if framing != Framing::Plain {
            headers.insert(0, ("content-encoding", "aws-chunked".into()));
            headers.push(("x-amz-decoded-content-length", content.len().to_string()));
        }
        if framing.has_trailer() {
            headers.push(("x-amz-trailer", TRAILER.into()));
        }
        let mut query: Vec<_> =
            query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        query.sort_unstable();
        let query = query.join("&");
        let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}");
        let signature = signer.sign("AWS4-HMAC-SHA256", &[&digest(canonical)]);
        let (body, edges) = match framing {
            Framing::Plain => (content.to_vec(), vec![0, content.len()]),
            _ => chunked(&signer, framing, &signature, content),
        };
        headers.push((
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{}, SignedHeaders={names}, \
                 Signature={signature}",
                signer.scope
            ),
        ));
        headers.push(("content-length", body.len().to_string()));
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let head = format!("{method} {target} HTTP/1.1\r\n{lines}\r\n");
        Self { head: head.into_bytes(), body, edges }
    }
}

/// Frames `content` in chunks. Returns the body, and where its parts begin and end.
fn chunked(signer: &Signer, framing: Framing, seed: &str, content: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let (mut body, mut edges, mut previous) = (Vec::new(), vec![0], seed.to_owned());
    let nothing = digest(b"");
    let end: &[u8] = &[];
    for chunk in content.chunks(CHUNK_LEN).chain([end]) {
        body.extend(format!("{:x}", chunk.len()).bytes());
        edges.push(body.len());
        if framing.is_signed() {
            previous =
                signer.sign("AWS4-HMAC-SHA256-PAYLOAD", &[&previous, &nothing, &digest(chunk)]);
            body.extend(b";chunk-signature=");
            edges.push(body.len());
            body.extend(previous.bytes());
            edges.push(body.len());
        }
        body.extend(b"\r\n");
        edges.push(body.len());
        if !chunk.is_empty() {
            body.extend(chunk);
            edges.push(body.len());
            body.extend(b"\r\n");
            edges.push(body.len());
        }
    }
    if framing.has_trailer() {
        let line = format!("{TRAILER}:{}", STANDARD.encode(Sha256::digest(content)));
        edges.push(body.len() + TRAILER.len() + 1);
        body.extend(line.bytes());
        edges.push(body.len());
        body.extend(b"\r\n");
        edges.push(body.len());
        if framing.is_signed() {
            let signature =
                signer.sign("AWS4-HMAC-SHA256-TRAILER", &[&previous, &digest(format!("{line}\n"))]);
            body.extend(b"x-amz-trailer-signature:");
            edges.push(body.len());
            body.extend(signature.bytes());
            edges.push(body.len());
            body.extend(b"\r\n");
            edges.push(body.len());
        }
    }
    body.extend(b"\r\n");
    edges.push(body.len());
    (body, edges)
}
