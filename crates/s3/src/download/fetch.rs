//! Fetches stored bytes of one version of an object, and resumes after broken connections.

use std::{ops::Range, time::Duration};

use aws_sdk_s3::{
    Client, Config, config::ResponseChecksumValidation, operation::get_object::GetObjectOutput,
    primitives::ByteStream,
};
use sealwax_envelope::Error as EnvelopeError;

use crate::{
    backoff::pause,
    error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure},
    store::{
        Store,
        conditions::{ReadConditions, on_request},
    },
};

/// Maximum number of consecutive attempts without a single new byte.
const MAX_FRUITLESS: u32 = 4;
/// Pause after an interruption. It doubles with each consecutive attempt without a new byte.
const PAUSE: Duration = Duration::from_millis(100);

/// A response body that is being received, and the offset of its first byte in the stored body.
pub(crate) type FirstResponse = (ByteStream, u64);

/// The version of an object that is read. All requests of one read are pinned to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pin {
    pub(crate) version_id: Option<String>,
    pub(crate) conditions: ReadConditions,
}

impl Pin {
    pub(crate) fn new(version_id: Option<String>, e_tag: Option<String>) -> Self {
        Self {
            version_id,
            conditions: ReadConditions { if_match: e_tag, ..ReadConditions::default() },
        }
    }
}

/// Returns the first response for the first part, and `None` for all others.
pub(crate) fn first_then_none(
    first: Option<FirstResponse>,
) -> impl Iterator<Item = Option<FirstResponse>> + Send {
    std::iter::once(first).chain(std::iter::repeat_with(|| None))
}

/// Fetches bytes of one version of an object.
#[derive(Clone)]
pub(crate) struct Fetcher {
    pub(crate) store: Store,
    pub(crate) target: ObjectRef,
    pub(crate) pin: Pin,
}

impl Fetcher {
    /// Fetches the bytes `span` of the stored body, at most a part, and resumes after a broken
    /// connection.
    pub(crate) async fn fetch(
        &self,
        span: Range<u64>,
        mut first: Option<FirstResponse>,
    ) -> Result<Vec<u8>, Error> {
        if span.is_empty() {
            return Ok(Vec::new());
        }
        let len = usize::try_from(span.end - span.start)
            .map_err(|_| self.target.envelope_error(EnvelopeError::TooLong))?;
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
                let message = format!(
                    "the response body was interrupted at byte {}: {broken}",
                    span.start + bytes.len() as u64
                );
                return Err(self.target.error(ErrorKind::Unavailable, message));
            }
            tracing::debug!(
                at = span.start + bytes.len() as u64,
                broken,
                "the response body was interrupted: resuming"
            );
            pause(PAUSE, fruitless).await;
        }
    }

    async fn request(&self, span: Range<u64>) -> Result<GetObjectOutput, Error> {
        let range = format!("bytes={}-{}", span.start, span.end - 1);
        ranged_get(self.store.s3(), &self.target, &self.pin, &range).await.map_err(|failure| {
            match failure.status {
                Some(412) => {
                    self.target.error(ErrorKind::Changed, "it was replaced while it was being read")
                }
                _ => self.target.s3_failure("GetObject", failure),
            }
        })
    }
}

/// Appends `body` without its first `skip` bytes until `bytes` has `len`. Returns the reason why it
/// ended early.
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
            // The text describes the transport only. It holds none of the bytes.
            Err(error) => return error.to_string(),
        }
    }
    String::new()
}

/// Sends one `GetObject` for a range of the stored body.
pub(crate) async fn ranged_get(
    s3: &Client,
    target: &ObjectRef,
    pin: &Pin,
    range: &str,
) -> Result<GetObjectOutput, AwsFailure> {
    // The tags protect every byte of a sealed body: a checksum over the same bytes would detect
    // nothing more.
    let no_checksum =
        Config::builder().response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    let request = s3.get_object().bucket(&target.bucket).key(&target.key).range(range);
    let request = on_request!(&pin.conditions, request.set_version_id(pin.version_id.clone()));
    request
        .customize()
        .config_override(no_checksum)
        .send()
        .await
        .map_err(|error| AwsFailure::new(&error))
}
