//! Which kind of event it is, and what both kinds have in common.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{batch_operations::Request, notification::Record, runtime::Failure};

/// What the function is asked to do.
#[derive(Debug)]
pub(crate) enum Event {
    /// By S3 Batch Operations.
    Batch(Request),
    /// By S3 itself.
    Notification(Vec<Record>),
}

#[derive(Debug, Deserialize)]
struct Notification {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// It is of neither kind, or of a schema that is not known.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Failure> {
        let event: Value =
            serde_json::from_slice(text).map_err(|error| invalid(format!("no JSON: {error}")))?;
        if event.get("invocationSchemaVersion").is_some() {
            let request: Request = of(event, "S3 Batch Operations")?;
            if !request.is_known() {
                let version = &request.invocation_schema_version;
                return Err(invalid(format!(
                    "of schema {version} of S3 Batch Operations; known are 1.0 and 2.0"
                )));
            }
            return Ok(Self::Batch(request));
        }
        if event.get("Records").is_some() {
            return Ok(Self::Notification(
                of::<Notification>(event, "S3 event notifications")?.records,
            ));
        }
        Err(invalid("neither of S3 Batch Operations nor of S3 event notifications".into()))
    }
}

fn of<T: DeserializeOwned>(event: Value, whose: &str) -> Result<T, Failure> {
    serde_json::from_value(event)
        .map_err(|error| invalid(format!("not as those of {whose} are: {error}")))
}

fn invalid(what: String) -> Failure {
    Failure::new("InvalidEvent", format!("the event is {what}"))
}

/// The name in `arn:PARTITION:s3:::NAME`.
pub(crate) fn bucket_of_arn(arn: &str) -> Option<&str> {
    match arn.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "s3", "", "", name] if !name.is_empty() => Some(name),
        _ => None,
    }
}

/// A key as S3 puts it into events, manifests and inventories: as in a form, with `+` for a space.
pub(crate) fn url_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_an_event_is_said() {
        let batch = |version: &str| {
            format!(
                r#"{{"invocationSchemaVersion":"{version}","invocationId":"i","job":{{"id":"j"}},"tasks":[]}}"#
            )
        };
        assert!(matches!(Event::parse(batch("1.0").as_bytes()), Ok(Event::Batch(_))));
        assert!(matches!(Event::parse(br#"{"Records":[]}"#), Ok(Event::Notification(_))));
        for (text, expected) in [
            ("{", "the event is no JSON: EOF while parsing an object at line 1 column 1".to_owned()),
            ("{}", "the event is neither of S3 Batch Operations nor of S3 event notifications".into()),
            (&batch("3.0"), "the event is of schema 3.0 of S3 Batch Operations; known are 1.0 and 2.0".into()),
            (
                r#"{"invocationSchemaVersion":"1.0"}"#,
                "the event is not as those of S3 Batch Operations are: missing field `invocationId`".into(),
            ),
            (
                r#"{"Records":[{}]}"#,
                "the event is not as those of S3 event notifications are: missing field `eventName`".into(),
            ),
        ] {
            let failure = Event::parse(text.as_bytes()).expect_err(text);
            assert_eq!((failure.kind, failure.message), ("InvalidEvent", expected));
        }
    }

    #[test]
    fn arns() {
        assert_eq!(bucket_of_arn("arn:aws-cn:s3:::b"), Some("b"));
        for arn in [
            "arn:aws:s3:::",
            "arn:aws:s3:us-east-1:1:accesspoint/a",
            "b",
            "arn:aws:sqs:::b",
            "arn:aws:s3:::b:c",
        ] {
            assert_eq!(bucket_of_arn(arn), None, "{arn}");
        }
    }
}
