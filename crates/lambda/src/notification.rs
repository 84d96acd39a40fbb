//! S3 event notifications. (Amazon S3 User Guide, "Event message structure".)

use sealwax_s3::{ListedObject, decode_key};
use serde::Deserialize;

use crate::bucket_arn::bucket_of_arn;

/// One event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) event_name: String,
    s3: Entity,
    #[serde(default)]
    replication_event_data: Option<ReplicationEventData>,
}

#[derive(Debug, Deserialize)]
struct Entity {
    bucket: Bucket,
    object: Object,
}

#[derive(Debug, Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    /// URL-encoded.
    key: String,
    #[serde(default)]
    version_id: Option<String>,
    #[serde(default)]
    size: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplicationEventData {
    /// ARN of the bucket.
    #[serde(default)]
    destination_bucket: Option<String>,
    #[serde(default)]
    failure_reason: Option<String>,
}

impl Record {
    /// Returns the object that the event announces: the created object, or the replica.
    ///
    /// # Errors
    /// The reason why there is no such object. The function rejects other events instead of
    /// skipping them, because a subscription to them is a mistake.
    pub(crate) fn object(&self) -> Result<ListedObject, String> {
        let event = self.event_name.strip_prefix("s3:").unwrap_or(&self.event_name);
        let replication = self.replication_event_data.as_ref();
        let bucket = match event.split_once(':') {
            Some(("ObjectCreated", _)) => &self.s3.bucket.name,
            Some(("Replication", "OperationReplicatedAfterThreshold")) => replication
                .and_then(|data| data.destination_bucket.as_deref())
                .and_then(bucket_of_arn)
                .ok_or("the event names no destination bucket")?,
            Some(("Replication", _)) => {
                let why = replication
                    .and_then(|data| data.failure_reason.as_deref())
                    .unwrap_or("no reason given");
                return Err(format!("there is no replica to rewrap: {event} ({why})"));
            }
            _ => return Err(format!("{event} is not an event that this function handles")),
        };
        let key = decode_key(&self.s3.object.key).ok_or("the key is not URL-encoded UTF-8")?;
        let mut object = ListedObject::new(bucket, key);
        // The event is about the version that was the latest. If another version replaced it since,
        // that one is rewrapped.
        object.is_latest = Some(true);
        object.version_id = self.s3.object.version_id.clone().filter(|id| !id.is_empty());
        // With a size, an object that was deleted since is not a failure.
        object.size = Some(self.s3.object.size.unwrap_or_default());
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record(event_name: &str, replication: Value) -> Record {
        serde_json::from_value(json!({
            "eventVersion": "2.3",
            "eventSource": "aws:s3",
            "awsRegion": "us-west-2",
            "eventName": event_name,
            "s3": {
                "bucket": { "name": "invoices", "arn": "arn:aws:s3:::invoices" },
                "object": { "key": "2026/a+b%C3%A9.pdf", "size": 7, "eTag": "e", "versionId": "v", "sequencer": "0" },
            },
            "replicationEventData": replication,
        }))
        .expect("a record")
    }

    #[test]
    fn created_objects_are_in_the_bucket_that_sent_the_event() {
        for event in
            ["ObjectCreated:Put", "s3:ObjectCreated:Copy", "ObjectCreated:CompleteMultipartUpload"]
        {
            let object = record(event, Value::Null).object().expect("an object");
            assert_eq!(
                (object.bucket.as_str(), object.key.as_str()),
                ("invoices", "2026/a bé.pdf")
            );
            assert_eq!((object.version_id.as_deref(), object.is_latest), (Some("v"), Some(true)));
        }
    }

    #[test]
    fn replicated_objects_are_in_the_destination_bucket() {
        let data =
            json!({ "replicationRuleId": "r", "destinationBucket": "arn:aws:s3:::invoices-west" });
        let object = record("Replication:OperationReplicatedAfterThreshold", data)
            .object()
            .expect("an object");
        assert_eq!(
            (object.bucket.as_str(), object.key.as_str()),
            ("invoices-west", "2026/a bé.pdf")
        );
    }

    #[test]
    fn other_events_are_rejected() {
        let failed = json!({ "destinationBucket": "arn:aws:s3:::invoices-west", "failureReason": "AssumeRoleNotPermitted" });
        for (event, data, expected) in [
            (
                "Replication:OperationFailedReplication",
                failed,
                "there is no replica to rewrap: Replication:OperationFailedReplication (AssumeRoleNotPermitted)",
            ),
            (
                "ObjectRemoved:Delete",
                Value::Null,
                "ObjectRemoved:Delete is not an event that this function handles",
            ),
            (
                "Replication:OperationReplicatedAfterThreshold",
                Value::Null,
                "the event names no destination bucket",
            ),
        ] {
            assert_eq!(record(event, data).object(), Err(expected.to_owned()));
        }
    }
}
