//! Requests for bytes of a stored object, and answers held against them.
//!
//! A store may ignore a range and send the whole object, or send other bytes or another version than
//! the requested one. What it sent is in its headers, so the bytes are taken from the right place, or
//! the store is named as the cause. Otherwise they would seem to have been tampered with.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use aws_sdk_s3::{
    Client, Config,
    config::{
        Builder, ConfigBag, Intercept, ResponseChecksumValidation, RuntimeComponents,
        interceptors::BeforeDeserializationInterceptorContextRef,
    },
    error::BoxError,
    operation::get_object::GetObjectOutput,
};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;

use futures_util::{FutureExt as _, future::BoxFuture};

use super::conditions::{ReadConditions, on_request};
use crate::{
    backoff::unthrottled,
    error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure},
};

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

/// A requested range of the stored body. As text, it is a `Range` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoredRange {
    /// End exclusive, not empty.
    Span(Range<u64>),
    /// Number of bytes at the end.
    Suffix(u64),
}

impl fmt::Display for StoredRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Span(Range { start, end }) => {
                write!(f, "bytes={start}-{}", end.saturating_sub(1))
            }
            Self::Suffix(len) => write!(f, "bytes=-{len}"),
        }
    }
}

/// `Content-Range: bytes START-END/TOTAL` of an answer, with END inclusive. (RFC 9110 §14.4.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// The bytes of the answer (end exclusive).
    pub(crate) bytes: Range<u64>,
    /// Length of the whole object in bytes.
    pub(crate) total: u64,
}

impl ContentRange {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (start, last) = range.split_once('-')?;
        let (start, last, total) =
            (start.parse().ok()?, last.parse::<u64>().ok()?, total.parse().ok()?);
        (start <= last && last < total).then(|| Self { bytes: start..last + 1, total })
    }
}

/// Place of an answer's bytes in the stored object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AnswerPlace {
    start: u64,
    total: u64,
}

impl StoredRange {
    /// Finds the place of an answer that has the first byte of this range; otherwise, says what the
    /// answer is.
    fn find_in(
        &self,
        status: u16,
        content_range: Option<&str>,
        content_length: Option<u64>,
    ) -> Result<AnswerPlace, String> {
        let Some(text) = content_range else {
            // Only a whole object may come without its range.
            return match content_length {
                Some(total) if status != 206 => Ok(AnswerPlace { start: 0, total }),
                _ => Err(format!("status {status}, but not with the range that it is")),
            };
        };
        let Some(ContentRange { bytes, total }) = ContentRange::parse(text) else {
            return Err(format!("an invalid Content-Range, {text:?}"));
        };
        // A shorter answer was cut, and is resumed.
        if content_length.is_some_and(|len| len > bytes.end - bytes.start) {
            let len = content_length.unwrap_or_default();
            return Err(format!("{len} bytes that are said to be {text:?}"));
        }
        let first = match self {
            Self::Span(span) => span.start,
            Self::Suffix(len) => total.saturating_sub(*len),
        };
        if !bytes.contains(&first) {
            return Err(format!("{text:?}"));
        }
        Ok(AnswerPlace { start: bytes.start, total })
    }
}

/// An answer that has the first requested byte. It may begin before it, and end before the last.
pub(crate) struct RangedAnswer {
    pub(crate) output: GetObjectOutput,
    /// Offset of the answer's first byte in the stored object.
    pub(crate) start: u64,
    /// Length of the stored object in bytes.
    pub(crate) total: u64,
}

/// Reason why a ranged `GetObject` brought nothing.
#[derive(Debug)]
pub(crate) enum GetFailure {
    /// The call failed.
    Call(AwsFailure),
    /// The object has another entity tag than the required one, which the store ignored.
    OtherObject,
    /// The answer is not one to this request.
    WrongAnswer(Error),
}

impl GetFailure {
    /// HTTP status of a failed call.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Call(failure) => failure.status,
            Self::OtherObject => Some(412),
            Self::WrongAnswer(_) => None,
        }
    }

    pub(crate) fn into_error(self, target: &ObjectRef) -> Error {
        match self {
            Self::Call(failure) => target.s3_failure("GetObject", failure),
            Self::OtherObject => {
                target.error(ErrorKind::Conflict, "its entity tag is not the required one")
            }
            Self::WrongAnswer(error) => error,
        }
    }
}

/// Sends one `GetObject` for a range of the stored body.
///
/// Boxed, because the futures of reads nest deeply.
pub(crate) fn ranged_get<'a>(
    s3: &'a Client,
    target: &'a ObjectRef,
    pin: &'a Pin,
    range: &'a StoredRange,
) -> BoxFuture<'a, Result<RangedAnswer, GetFailure>> {
    get(s3, target, pin, range).boxed()
}

async fn get(
    s3: &Client,
    target: &ObjectRef,
    pin: &Pin,
    range: &StoredRange,
) -> Result<RangedAnswer, GetFailure> {
    let no_checksum = without_checksum();
    let request = s3.get_object().bucket(&target.bucket).key(&target.key).range(range.to_string());
    let request = on_request!(&pin.conditions, request.set_version_id(pin.version_id.clone()));
    let status = AnswerStatus::default();
    let send = || async {
        let request = request.clone().customize().config_override(no_checksum.clone());
        let sent = request.interceptor(status.clone()).send().await;
        sent.map_err(|error| AwsFailure::new(&error))
    };
    let output = unthrottled(send).await.map_err(GetFailure::Call)?;
    check_version(target, pin.version_id.as_deref(), output.version_id())
        .map_err(GetFailure::WrongAnswer)?;
    if is_other_e_tag(pin.conditions.if_match.as_deref(), output.e_tag()) {
        return Err(GetFailure::OtherObject);
    }
    let len = output.content_length().and_then(|len| u64::try_from(len).ok());
    match range.find_in(status.get(), output.content_range(), len) {
        Ok(AnswerPlace { start, total }) => Ok(RangedAnswer { output, start, total }),
        Err(what) => {
            let message = format!(
                "GetObject of {range} was answered with {what}: the store does not serve ranges as \
                 S3 does"
            );
            Err(GetFailure::WrongAnswer(target.error(ErrorKind::Service, message)))
        }
    }
}

/// Settings of a read that asks for no checksum. The tags protect every byte of a sealed body: a
/// checksum over the same bytes would detect nothing more.
pub(super) fn without_checksum() -> Builder {
    Config::builder().response_checksum_validation(ResponseChecksumValidation::WhenRequired)
}

/// Fails if S3 answers for another version than the requested one.
pub(crate) fn check_version(
    target: &ObjectRef,
    requested: Option<&str>,
    answered: Option<&str>,
) -> Result<(), Error> {
    match (requested, answered) {
        (Some(requested), Some(answered)) if requested != answered => {
            let message = format!("S3 answers with version {answered:?}, not with {requested:?}");
            Err(target.error(ErrorKind::Service, message))
        }
        _ => Ok(()),
    }
}

/// `true` if the answer cannot be one to a request with this `If-Match`.
fn is_other_e_tag(if_match: Option<&str>, e_tag: Option<&str>) -> bool {
    let bare = |tag: &str| tag.trim_start_matches("W/").trim_matches('"').to_owned();
    match (if_match, e_tag) {
        (Some(required), Some(e_tag)) if required != "*" && !required.contains(',') => {
            bare(required) != bare(e_tag)
        }
        _ => false,
    }
}

/// An SDK interceptor that records the status of the last answer.
#[derive(Debug, Clone, Default)]
struct AnswerStatus(Arc<AtomicU16>);

impl AnswerStatus {
    fn get(&self) -> u16 {
        self.0.load(Ordering::Relaxed)
    }
}

#[dyn_dispatch_hint]
impl Intercept for AnswerStatus {
    fn name(&self) -> &'static str {
        "AnswerStatus"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.store(context.response().status().as_u16(), Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_or_is_none_to_its_request() {
        let span = || StoredRange::Span(10..20);
        let place = |start, total| Ok(AnswerPlace { start, total });
        let is = |range: StoredRange, status, content_range, len| {
            range.find_in(status, content_range, len).map_err(drop)
        };
        // The range, its beginning, and more than it.
        assert_eq!(is(span(), 206, Some("bytes 10-19/100"), Some(10)), place(10, 100));
        assert_eq!(is(span(), 206, Some("bytes 10-14/100"), Some(5)), place(10, 100));
        assert_eq!(is(span(), 206, Some("bytes 0-99/100"), None), place(0, 100));
        assert_eq!(is(span(), 206, Some("bytes 10-19/100"), Some(5)), place(10, 100));
        assert_eq!(is(span(), 206, Some("bytes 10-11/12"), Some(2)), place(10, 12));
        assert_eq!(is(span(), 200, None, Some(100)), place(0, 100));
        let suffix = || StoredRange::Suffix(10);
        assert_eq!(is(suffix(), 206, Some("bytes 90-99/100"), Some(10)), place(90, 100));
        assert_eq!(is(suffix(), 206, Some("bytes 0-4/5"), Some(5)), place(0, 5));
        assert_eq!(is(suffix(), 200, None, Some(100)), place(0, 100));
        for (content_range, len) in [
            (None, Some(10)),
            (Some("bytes 11-20/100"), Some(10)),
            (Some("bytes 0-9/100"), Some(10)),
            (Some("bytes 10-19/100"), Some(11)),
            (Some("bytes 10-19/15"), Some(10)),
            (Some("bytes 19-10/100"), None),
            (Some("bytes 10-19/*"), Some(10)),
            (Some("bytes */100"), None),
            (Some("x"), None),
        ] {
            assert_eq!(is(span(), 206, content_range, len), Err(()), "{content_range:?} {len:?}");
        }
        assert_eq!(is(span(), 200, None, None), Err(()), "of no length");
        assert_eq!(is(suffix(), 206, Some("bytes 91-99/100"), Some(9)), Err(()));
    }

    #[test]
    fn entity_tags_are_compared_without_quotes() {
        for (required, answered, is_other) in [
            ("\"a\"", "a", false),
            ("a", "\"a\"", false),
            ("*", "a", false),
            ("\"a\", \"b\"", "\"b\"", false),
            ("\"a\"", "\"b\"", true),
        ] {
            assert_eq!(is_other_e_tag(Some(required), Some(answered)), is_other, "{required}");
        }
    }
}
