//! Fetching and opening parts of one version of an object.

use std::{ops::Range, time::Duration};

use aws_sdk_s3::{
    Client, Config, config::ResponseChecksumValidation, operation::get_object::GetObjectOutput, primitives::ByteStream,
};
use bytes::Bytes;
use sealwax_envelope::{
    BodyHeader, Error as EnvelopeError, Opener,
    geometry::{self, CHUNK_LEN, HEADER_LEN},
};
use tokio::task;

use super::super::conditions::{ReadConditions, on_request};
use crate::{
    SealedClient,
    aws_failure::AwsFailure,
    error::{Error, ErrorKind, Target},
    upload::OnProgress,
};

/// How often in a row a body may break off without a single new byte.
const MAX_FRUITLESS: u32 = 4;
/// Pause after the first fruitless attempt; each further one waits twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// A body that is being received, and the offset of its first byte.
pub(super) type FirstBody = (ByteStream, u64);

/// Which version of an object is read: all requests of one read are held to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Pin {
    pub(super) version_id: Option<String>,
    pub(super) conditions: ReadConditions,
}

impl Pin {
    pub(super) fn new(version_id: Option<String>, e_tag: Option<String>) -> Self {
        Self { version_id, conditions: ReadConditions { if_match: e_tag, ..ReadConditions::default() } }
    }
}

/// One version of an object, and what is wanted of it.
#[derive(Clone)]
pub(super) struct Download {
    pub(super) client: SealedClient,
    pub(super) target: Target,
    pub(super) pin: Pin,
    pub(super) opener: Opener,
    pub(super) body_header: BodyHeader,
    pub(super) plaintext_len: u64,
    /// The bytes of the plaintext that are wanted.
    pub(super) window: Range<u64>,
    pub(super) on_progress: Option<OnProgress>,
}

impl Download {
    /// The window, cut into parts at chunks. An empty object has one empty part: its only chunk must verify too.
    pub(super) fn parts(&self) -> Vec<Range<u64>> {
        let part_len = self.client.part_len() as u64;
        let Range { start, end } = self.window.clone();
        let aligned = start / CHUNK_LEN as u64 * CHUNK_LEN as u64;
        let parts = (aligned..end.max(aligned + 1)).step_by(self.client.part_len());
        parts.map(|from| from.max(start)..(from + part_len).min(end)).collect()
    }

    /// Fetches and opens the bytes `plain` of the plaintext. `first` is an answer that may hold them, or their beginning.
    pub(super) async fn part(&self, plain: Range<u64>, first: Option<FirstBody>) -> Result<Bytes, Error> {
        let len = plain.end - plain.start;
        let (first_chunk, body, skip) = self.body_span(&plain)?;
        // An answer that begins with the body's header is read from there, so that the header is compared.
        let from_start = first_chunk == 0 && first.as_ref().is_some_and(|(_, at)| *at == 0);
        let start = if from_start { HEADER_LEN } else { 0 };
        let span = body.start - start as u64..body.end;
        let sealed = self.fetch(span, first).await?;
        if from_start && sealed.first_chunk().map(BodyHeader::from_bytes) != Some(self.body_header) {
            return Err(self.target.envelope(EnvelopeError::Authentication));
        }
        let opener = self.opener.clone();
        let opened = task::spawn_blocking(move || opener.open_packed(first_chunk, sealed, start)).await;
        let opened = opened.map_err(|error| self.target.io("a part's task failed", error.into()))?;
        let opened = Bytes::from(opened.map_err(|error| self.target.envelope(error))?);
        let end = usize::try_from(len).ok().and_then(|len| skip.checked_add(len)).filter(|end| *end <= opened.len());
        let end = end.ok_or_else(|| self.target.envelope(EnvelopeError::Truncated))?;
        if let Some(on_progress) = &self.on_progress {
            on_progress(len);
        }
        Ok(opened.slice(skip..end))
    }

    /// First chunk, bytes of the body, and plaintext bytes to skip in that chunk.
    ///
    /// What reaches the end of the plaintext reaches the body's last chunk, even if that is empty: only it says that the
    /// object ends there.
    fn body_span(&self, plain: &Range<u64>) -> Result<(u64, Range<u64>, usize), Error> {
        let too_long = || self.target.envelope(EnvelopeError::TooLong);
        let body_len = geometry::body_len(self.plaintext_len).ok_or_else(too_long)?;
        if plain.is_empty() {
            return Ok((0, HEADER_LEN as u64..body_len, 0));
        }
        let mut span = geometry::chunk_span(plain.clone(), self.plaintext_len).ok_or_else(too_long)?;
        if plain.end == self.plaintext_len {
            span.body.end = body_len;
        }
        Ok((span.first_chunk, span.body, span.skip))
    }

    /// The bytes `span` of the body, resumed where a connection breaks.
    async fn fetch(&self, span: Range<u64>, mut first: Option<FirstBody>) -> Result<Vec<u8>, Error> {
        let len = usize::try_from(span.end - span.start).map_err(|_| self.target.envelope(EnvelopeError::TooLong))?;
        let mut bytes = Vec::with_capacity(len);
        let mut fruitless = 0;
        loop {
            let have = bytes.len();
            let at = span.start + have as u64;
            let (mut body, body_start) = match first.take() {
                Some((body, start)) if start <= at => (body, start),
                _ => (self.request(at..span.end).await?.body, at),
            };
            let broken = receive(&mut body, at - body_start, len, &mut bytes).await;
            if bytes.len() == len {
                return Ok(bytes);
            }
            fruitless = if bytes.len() > have { 0 } else { fruitless + 1 };
            if fruitless == MAX_FRUITLESS {
                let message = format!("the body broke off at byte {}: {broken}", span.start + bytes.len() as u64);
                return Err(self.target.error(ErrorKind::Unavailable, message));
            }
            tracing::debug!(at = span.start + bytes.len() as u64, broken, "the body broke off: resuming");
            tokio::time::sleep(PAUSE * 2_u32.pow(fruitless)).await;
        }
    }

    async fn request(&self, span: Range<u64>) -> Result<GetObjectOutput, Error> {
        let range = format!("bytes={}-{}", span.start, span.end - 1);
        ranged_get(self.client.s3(), &self.target, &self.pin, &range).await.map_err(|failure| match failure.status {
            Some(412) => self.target.error(ErrorKind::Changed, "it was replaced while it was being read"),
            _ => self.target.s3_failure("GetObject", failure),
        })
    }
}

/// Appends what comes after the first `skip` bytes of `body`, until `bytes` has `len`. Returns why it ended.
async fn receive(body: &mut ByteStream, mut skip: u64, len: usize, bytes: &mut Vec<u8>) -> String {
    while bytes.len() < len {
        match body.try_next().await {
            Ok(Some(frame)) => {
                let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(frame.len());
                skip -= skipped as u64;
                let frame = &frame[skipped..];
                bytes.extend_from_slice(&frame[..frame.len().min(len - bytes.len())]);
            }
            Ok(None) => return "it ended early".into(),
            // Its text tells of the transport only; the bytes are not in it.
            Err(error) => return error.to_string(),
        }
    }
    String::new()
}

/// One `GetObject` for a range of the stored body.
pub(super) async fn ranged_get(
    s3: &Client,
    target: &Target,
    pin: &Pin,
    range: &str,
) -> Result<GetObjectOutput, AwsFailure> {
    // The tags guard every byte: a checksum over the same bytes would find nothing that they do not.
    let no_checksum = Config::builder().response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    let request = s3.get_object().bucket(&target.bucket).key(&target.key).range(range);
    let request = on_request!(&pin.conditions, request.set_version_id(pin.version_id.clone()));
    request.customize().config_override(no_checksum).send().await.map_err(|error| AwsFailure::new(&error))
}
