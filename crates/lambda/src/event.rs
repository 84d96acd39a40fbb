//! The two kinds of events: S3 Batch Operations and S3 event notifications.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{batch_operations::Request, notification::Record, runtime::Failure};

/// A request to the function.
#[derive(Debug)]
pub(crate) enum Event {
    /// From S3 Batch Operations.
    Batch(Request),
    /// From S3.
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
    /// The event is of neither kind, or its schema is not supported.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Failure> {
        let event: Value = serde_json::from_slice(text)
            .map_err(|error| invalid(format!("not valid JSON: {error}")))?;
        if event.get("invocationSchemaVersion").is_some() {
            let request: Request = parsed(event, "S3 Batch Operations request")?;
            if !request.is_supported() {
                let version = &request.invocation_schema_version;
                return Err(invalid(format!(
                    "unsupported schema {version} of S3 Batch Operations (supported: 1.0, 2.0)"
                )));
            }
            return Ok(Self::Batch(request));
        }
        if event.get("Records").is_some() {
            return Ok(Self::Notification(
                parsed::<Notification>(event, "S3 event notification")?.records,
            ));
        }
        Err(invalid("neither an S3 Batch Operations request nor an S3 event notification".into()))
    }
}

fn parsed<T: DeserializeOwned>(event: Value, kind: &str) -> Result<T, Failure> {
    serde_json::from_value(event).map_err(|error| invalid(format!("not a valid {kind}: {error}")))
}

fn invalid(why: String) -> Failure {
    Failure::new("InvalidEvent", format!("invalid event: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_events_are_rejected() {
        let batch = |version: &str| {
            format!(
                r#"{{"invocationSchemaVersion":"{version}","invocationId":"i","job":{{"id":"j"}},"tasks":[]}}"#
            )
        };
        assert!(matches!(Event::parse(batch("1.0").as_bytes()), Ok(Event::Batch(_))));
        assert!(matches!(Event::parse(br#"{"Records":[]}"#), Ok(Event::Notification(_))));
        for (text, expected) in [
            ("{", "invalid event: not valid JSON: EOF while parsing an object at line 1 column 1".to_owned()),
            ("{}", "invalid event: neither an S3 Batch Operations request nor an S3 event notification".into()),
            (&batch("3.0"), "invalid event: unsupported schema 3.0 of S3 Batch Operations (supported: 1.0, 2.0)".into()),
            (
                r#"{"invocationSchemaVersion":"1.0"}"#,
                "invalid event: not a valid S3 Batch Operations request: missing field `invocationId`".into(),
            ),
            (
                r#"{"Records":[{}]}"#,
                "invalid event: not a valid S3 event notification: missing field `eventName`".into(),
            ),
        ] {
            let failure = Event::parse(text.as_bytes()).expect_err(text);
            assert_eq!((failure.kind, failure.message), ("InvalidEvent", expected));
        }
    }
}
