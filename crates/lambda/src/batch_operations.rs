//! Requests of S3 Batch Operations and the responses to them: schemas 1.0 and 2.0. (Amazon S3 User
//! Guide, "Invoking an AWS Lambda function with S3 Batch Operations".)

use std::collections::BTreeMap;

use sealwax_s3::{ListedObject, decode_key};
use serde::{Deserialize, Serialize};

use crate::bucket_arn::bucket_of_arn;

/// A request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    pub(crate) invocation_schema_version: String,
    pub(crate) invocation_id: String,
    pub(crate) job: Job,
    pub(crate) tasks: Vec<Task>,
}

/// The job that sent the request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Job {
    pub(crate) id: String,
    /// Only in schema 2.0.
    #[serde(default)]
    pub(crate) user_arguments: Option<BTreeMap<String, String>>,
}

/// One object of the job.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Task {
    pub(crate) task_id: String,
    /// URL-encoded.
    s3_key: String,
    #[serde(default)]
    s3_version_id: Option<String>,
    /// In schema 1.0.
    #[serde(default)]
    s3_bucket_arn: Option<String>,
    /// In schema 2.0.
    #[serde(default)]
    s3_bucket: Option<String>,
}

/// The response to a request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response {
    pub(crate) invocation_schema_version: String,
    /// Result for tasks missing from the response; there are none.
    pub(crate) treat_missing_keys_as: Code,
    pub(crate) invocation_id: String,
    pub(crate) results: Vec<TaskResult>,
}

/// Result of one task.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskResult {
    pub(crate) task_id: String,
    pub(crate) result_code: Code,
    /// Text for the completion report.
    pub(crate) result_string: String,
}

/// Result code of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Code {
    Succeeded,
    /// S3 Batch Operations retries the task before the job ends.
    TemporaryFailure,
    PermanentFailure,
}

impl Request {
    /// `true` for a supported schema.
    pub(crate) fn is_supported(&self) -> bool {
        matches!(self.invocation_schema_version.as_str(), "1.0" | "2.0")
    }
}

impl Task {
    /// Returns the object, or the reason why the task names none.
    pub(crate) fn object(&self) -> Result<ListedObject, String> {
        let bucket = match (&self.s3_bucket, &self.s3_bucket_arn) {
            (Some(name), _) => name,
            (None, Some(arn)) => {
                bucket_of_arn(arn).ok_or_else(|| format!("{arn} is not the ARN of a bucket"))?
            }
            (None, None) => return Err("the task names no bucket".into()),
        };
        let key = decode_key(&self.s3_key).ok_or("the key is not URL-encoded UTF-8")?;
        let object = ListedObject::new(bucket, key);
        Ok(match self.s3_version_id.as_deref() {
            None | Some("") => object,
            Some(version_id) => object.version(version_id),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(value: serde_json::Value) -> Task {
        serde_json::from_value(value).expect("a task")
    }

    #[test]
    fn schema_1_names_the_bucket_by_arn() {
        let request: Request = serde_json::from_value(json!({
            "invocationSchemaVersion": "1.0",
            "invocationId": "i",
            "job": { "id": "j" },
            "tasks": [{
                "taskId": "t",
                "s3Key": "a%2Fb+c%2B%C3%A9.pdf",
                "s3VersionId": "1",
                "s3BucketArn": "arn:aws-us-gov:s3:::invoices-west",
            }],
        }))
        .expect("a request");
        assert!(request.is_supported() && request.job.user_arguments.is_none());
        let expected = ListedObject::new("invoices-west", "a/b c+é.pdf").version("1");
        assert_eq!(request.tasks[0].object(), Ok(expected));
    }

    #[test]
    fn schema_2_names_the_bucket_and_has_arguments() {
        let request: Request = serde_json::from_value(json!({
            "invocationSchemaVersion": "2.0",
            "invocationId": "i",
            "job": { "id": "j", "userArguments": { "add": "x" } },
            "tasks": [{ "taskId": "t", "s3Key": "k", "s3VersionId": null, "s3Bucket": "b" }],
        }))
        .expect("a request");
        assert!(request.is_supported());
        assert_eq!(request.job.user_arguments.expect("arguments")["add"], "x");
        assert_eq!(request.tasks[0].object(), Ok(ListedObject::new("b", "k")));
    }

    #[test]
    fn tasks_without_an_object_are_rejected() {
        for (value, expected) in [
            (json!({ "taskId": "t", "s3Key": "k" }), "the task names no bucket"),
            (
                json!({ "taskId": "t", "s3Key": "%ff", "s3Bucket": "b" }),
                "the key is not URL-encoded UTF-8",
            ),
            (
                json!({ "taskId": "t", "s3Key": "k", "s3BucketArn": "arn:aws:s3:us-east-1:111122223333:accesspoint/a" }),
                "arn:aws:s3:us-east-1:111122223333:accesspoint/a is not the ARN of a bucket",
            ),
        ] {
            assert_eq!(task(value).object(), Err(expected.to_owned()));
        }
    }

    #[test]
    fn the_response_has_the_documented_form() {
        let response = Response {
            invocation_schema_version: "1.0".into(),
            treat_missing_keys_as: Code::PermanentFailure,
            invocation_id: "i".into(),
            results: vec![TaskResult {
                task_id: "t".into(),
                result_code: Code::TemporaryFailure,
                result_string: "throttled".into(),
            }],
        };
        let expected = json!({
            "invocationSchemaVersion": "1.0",
            "treatMissingKeysAs": "PermanentFailure",
            "invocationId": "i",
            "results": [{ "taskId": "t", "resultCode": "TemporaryFailure", "resultString": "throttled" }],
        });
        assert_eq!(serde_json::to_value(response).expect("JSON"), expected);
    }
}
