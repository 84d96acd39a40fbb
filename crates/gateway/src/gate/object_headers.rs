//! Headers that describe an object, as S3 understands them.
//!
//! s3s takes only dates for `Expires`, and decodes metadata in a way that refuses some values and shortens
//! others. So these headers don't reach it.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{EXPIRES, ToStrError},
};

use super::{
    authentication::header,
    operation::Operation,
    query::Query,
    refusal::{Code, Refusal, refuse},
};
use crate::rfc2047;

const METADATA: &str = "x-amz-meta-";

/// Headers that describe an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ObjectHeaders {
    /// `Expires` of the object; of a read, that of the answer. Usually a date, but S3 takes any text.
    pub(crate) expires: Option<String>,
    /// User-defined metadata: names without their prefix, and values in ASCII.
    pub(crate) metadata: Vec<(String, String)>,
}

impl ObjectHeaders {
    /// Takes the headers of an object out of a request.
    ///
    /// # Errors
    /// A value is neither ASCII nor UTF-8.
    pub(super) fn take(
        operation: Operation,
        headers: &mut HeaderMap,
        query: &mut Query,
    ) -> Result<Self, Refusal> {
        if operation == Operation::GetObject {
            const NAME: &str = "response-expires";
            let expires = query.take(NAME);
            return match expires.as_ref().map(HeaderValue::try_from).transpose() {
                Ok(_) => Ok(Self { expires, metadata: Vec::new() }),
                Err(_) => refuse(Code::InvalidArgument, format!("{NAME} is not a valid header")),
            };
        }
        if !operation.has_metadata() {
            return Ok(Self::default());
        }
        let expires = header(headers, EXPIRES.as_str())?.map(ToOwned::to_owned);
        headers.remove(EXPIRES);
        let is_metadata = |name: &&HeaderName| name.as_str().starts_with(METADATA);
        let names: Vec<_> = headers.keys().filter(is_metadata).cloned().collect();
        let mut metadata = Vec::with_capacity(names.len());
        for name in names {
            let value = headers.remove(&name).as_ref().map(text).transpose();
            let Ok(value) = value else {
                let message = format!("the header {name} is neither ASCII nor UTF-8");
                return refuse(Code::InvalidArgument, message);
            };
            metadata.push((name.as_str()[METADATA.len()..].to_owned(), value.unwrap_or_default()));
        }
        Ok(Self { expires, metadata })
    }
}

/// Returns a value as it is stored: S3 stores ASCII alone, and tells other text by RFC 2047. (Amazon S3
/// User Guide, "User-defined object metadata".)
fn text(value: &HeaderValue) -> Result<String, std::str::Utf8Error> {
    let text = value.to_str().map_err(|_: ToStrError| std::str::from_utf8(value.as_bytes()));
    match text {
        Ok(ascii) => Ok(ascii.to_owned()),
        Err(text) => Ok(rfc2047::encoded(text?)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn taken(operation: Operation, headers: &[(&str, &[u8])]) -> Result<ObjectHeaders, Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        let taken = ObjectHeaders::take(operation, &mut map, &mut Query::default())?;
        assert!(map.keys().all(|name| name == "content-type"), "{map:?}");
        Ok(taken)
    }

    #[test]
    fn values_are_kept_and_other_text_is_encoded() {
        for (sent, stored) in [
            ("plain", "plain"),
            ("=?UTF-8?Q?=C3=BC?=", "=?UTF-8?Q?=C3=BC?="),
            // None of them is an encoded word.
            ("=?not a word?=", "=?not a word?="),
            ("=?UTF-8?B?YQ==?= and =?UTF-8?B?Yg==?=", "=?UTF-8?B?YQ==?= and =?UTF-8?B?Yg==?="),
            ("grüße ✓", "=?UTF-8?B?Z3LDvMOfZSDinJM=?="),
        ] {
            let headers = [
                ("content-type", &b"text/plain"[..]),
                ("expires", b"0"),
                ("x-amz-meta-a", sent.as_bytes()),
            ];
            for operation in
                [Operation::PutObject, Operation::CopyObject, Operation::CreateMultipartUpload]
            {
                let expected = ObjectHeaders {
                    expires: Some("0".into()),
                    metadata: vec![("a".into(), stored.into())],
                };
                assert_eq!(taken(operation, &headers), Ok(expected), "{sent}");
            }
        }
    }

    #[test]
    fn a_value_that_is_no_text_is_refused_by_its_name() {
        let refusal = taken(Operation::PutObject, &[("x-amz-meta-name", b"gr\xfc\xdfe")]);
        let refusal = refusal.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert_eq!(refusal.message(), "the header x-amz-meta-name is neither ASCII nor UTF-8");
        let refusal = taken(Operation::PutObject, &[("expires", b"\xfc")]).unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidRequest);
        assert_eq!(refusal.message(), "the header expires is not ASCII");
    }

    #[test]
    fn the_answers_expires_is_any_text_of_a_header() {
        let of = |query: &str| {
            let mut query = Query::parse(query).unwrap();
            let taken =
                ObjectHeaders::take(Operation::GetObject, &mut HeaderMap::new(), &mut query);
            (taken.map(|taken| taken.expires).map_err(|it| it.code()), query)
        };
        let nothing = Query::default();
        assert_eq!(of("response-expires=0"), (Ok(Some("0".into())), nothing.clone()));
        assert_eq!(of("response-expires=a%0Ab"), (Err(Code::InvalidArgument), nothing));
    }
}
