//! Objects that lines of text name.

use sealwax_s3::{Error, ErrorKind, InvalidUri, ListedObject, S3Uri, limits::MAX_KEY_LEN};
use serde::{Deserialize, de::IgnoredAny};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

use super::Output;
use crate::background::ReceiverClosed;

/// Most bytes of a line: a key of 1,024 bytes, each as 6 bytes of JSON, and room for more fields.
const MAX_LINE_LEN: u64 = 16 * 1024;

/// A line of JSON. Other fields are ignored.
#[derive(Deserialize)]
struct Named {
    object: Option<S3UriText>,
    bucket: Option<String>,
    key: Option<String>,
    version_id: Option<String>,
    /// The counts at the end of a report, such as an audit's.
    summary: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct S3UriText(S3Uri);

impl TryFrom<String> for S3UriText {
    type Error = InvalidUri;

    fn try_from(text: String) -> Result<Self, InvalidUri> {
        text.parse().map(Self)
    }
}

/// Sends all objects that the lines of `text` name.
pub(super) async fn objects(
    text: impl AsyncRead + Send + Unpin,
    bucket: Option<String>,
    output: &Output,
) -> Result<(), Error> {
    let mut text = BufReader::new(text);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let invalid = |why: String| {
            Error::new("list", format!("line {number}"), ErrorKind::InvalidListing, why)
        };
        let read = (&mut text).take(MAX_LINE_LEN).read_until(b'\n', &mut line).await;
        match read.map_err(|error| {
            Error::new("list", format!("line {number}"), ErrorKind::Io, error.to_string())
        })? {
            0 => return Ok(()),
            len if len as u64 == MAX_LINE_LEN => {
                return Err(invalid(format!("is longer than {MAX_LINE_LEN} bytes")));
            }
            _ => {}
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let line = str::from_utf8(line).map_err(|_| invalid("is not UTF-8".into()))?;
        if let Some(object) = named(line, bucket.as_deref()).map_err(invalid)?
            && let Err(ReceiverClosed) = output.send(object).await
        {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns the object that a line names; `None` for the counts at the end of a report.
fn named(line: &str, bucket: Option<&str>) -> Result<Option<ListedObject>, String> {
    if line.starts_with("s3://") {
        let uri: S3Uri = line.parse().map_err(|error: InvalidUri| error.to_string())?;
        return Ok(Some(ListedObject::new(uri.bucket(), uri.key())));
    }
    let (named_bucket, key, version_id) = if line.starts_with('{') {
        let named: Named = serde_json::from_str(line)
            .map_err(|error| format!("is not JSON that names an object: {error}"))?;
        match (named.object, named.key) {
            (Some(S3UriText(uri)), None) => {
                (Some(uri.bucket().to_owned()), uri.key().to_owned(), named.version_id)
            }
            (None, Some(key)) => (named.bucket, key, named.version_id),
            (Some(_), Some(_)) => return Err("names both an object and a key".into()),
            (None, None) if named.summary.is_some() => return Ok(None),
            (None, None) => return Err("names neither an object nor a key".into()),
        }
    } else {
        (None, line.to_owned(), None)
    };
    let bucket = named_bucket.or(bucket.map(str::to_owned)).filter(|bucket| !bucket.is_empty());
    let bucket = bucket.ok_or("names a key, and no bucket was given: write s3://BUCKET/KEY")?;
    if key.is_empty() || key.len() > MAX_KEY_LEN {
        return Err(format!("names a key of {} bytes; S3 allows 1 to {MAX_KEY_LEN}", key.len()));
    }
    let object = ListedObject::new(bucket, key);
    Ok(Some(match version_id {
        Some(version_id) => object.version(version_id),
        None => object,
    }))
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::{super::Listing, *};

    async fn list(text: &'static [u8], bucket: Option<&str>) -> Result<Vec<String>, Error> {
        let listing = Listing::lines(text, bucket.map(str::to_owned));
        let name = |object: ListedObject| match &object.version_id {
            Some(version) => format!("{object} {version}"),
            None => object.to_string(),
        };
        listing.map_ok(name).try_collect().await
    }

    #[tokio::test]
    async fn lines_are_keys_addresses_or_json() {
        let text = b"a/b c\r\n\ns3://other/k=%20\n{\"key\":\"{\\n\",\"size\":1}\n\
            {\"object\":\"s3://x/y\",\"version_id\":\"v\"}\n{\"bucket\":\"z\",\"key\":\"s3://k\"}\n{\"summary\":{\"objects\":2}}\nlast";
        let expected = [
            "s3://b/a/b c",
            "s3://other/k=%20",
            "s3://b/{\n",
            "s3://x/y v",
            "s3://z/s3://k",
            "s3://b/last",
        ];
        assert_eq!(list(text, Some("b")).await.expect("fine lines"), expected);
    }

    #[tokio::test]
    async fn a_line_that_names_no_object_is_an_error_with_its_number() {
        let long: &'static [u8] = Vec::leak([b"s3://b/k\n".as_slice(), &[b'k'; 20_000]].concat());
        for (text, why) in [
            (b"s3://b/k\nkey".as_slice(), "line 2: names a key, and no bucket was given"),
            (b"s3://b/", "line 1: \"s3://b/\" is not"),
            (b"{", "line 1: is not JSON"),
            (b"{}", "line 1: names neither"),
            (b"{\"object\":\"s3://b/k\",\"key\":\"k\"}", "line 1: names both"),
            (b"\xff", "line 1: is not UTF-8"),
            (long, "line 2: is longer"),
        ] {
            let error = list(text, None).await.expect_err(why);
            assert_eq!(error.kind(), ErrorKind::InvalidListing);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
