//! The event handler.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use sealwax_s3::{Error, ErrorKind, ListedObject, StoredKeyOutput};
use serde_json::{Value, json};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use crate::{
    batch_operations::{Code, Request, Response, TaskResult},
    event::Event,
    notification::Record,
    object_result::ObjectResult,
    runtime::Failure,
    settings::{RawSettings, Rewrappers, Settings},
};

/// Time reserved before the deadline to abort a multipart copy and to send the response.
const RESERVE: Duration = Duration::from_secs(5);

/// Longest use of a rewrapper, and so of the intermediate keys in its caches: as long as a
/// `CachingKeyring` keeps a key.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// Maximum length of a version id in bytes. (Amazon S3 User Guide, "How S3 Versioning works".)
const MAX_VERSION_ID_LEN: usize = 1024;

/// Rewraps the objects that events name.
#[derive(Debug)]
pub(crate) struct Function {
    config: SdkConfig,
    raw: RawSettings,
    /// Client and rewrappers of the last event; the next event usually belongs to the same job.
    last: Mutex<Option<Made>>,
}

/// A client and its rewrappers, with the settings and the time that they were made for.
#[derive(Debug)]
struct Made {
    raw: RawSettings,
    /// By the wall clock, which continues while Lambda has frozen the process.
    at: SystemTime,
    rewrappers: Rewrappers,
}

impl Made {
    /// `true` if an event at `now` with these settings may use it.
    fn serves(&self, raw: &RawSettings, now: SystemTime) -> bool {
        self.raw == *raw && now.duration_since(self.at).is_ok_and(|age| age < MAX_AGE)
    }
}

impl Function {
    /// Checks the settings of the environment.
    ///
    /// # Errors
    /// A setting in the environment is missing or invalid.
    pub(crate) fn new(config: SdkConfig, raw: RawSettings) -> Result<Self, Failure> {
        Settings::new(&raw).map_err(|error| Failure::new("Settings", error.to_string()))?;
        Ok(Self { config, raw, last: Mutex::default() })
    }

    /// Handles an event within `time_left` and returns the response.
    ///
    /// # Errors
    /// The event is invalid; or, for S3 event notifications, an object was not rewrapped.
    pub(crate) async fn handle(
        &self,
        event: &[u8],
        time_left: Option<Duration>,
    ) -> Result<Value, Failure> {
        let until = time_left.map(|left| Instant::now() + left.saturating_sub(RESERVE));
        match Event::parse(event)? {
            Event::Batch(request) => Ok(self.batch(request, until).await),
            Event::Notification(records) => self.notification(&records, until).await,
        }
    }

    async fn batch(&self, request: Request, until: Option<Instant>) -> Value {
        let arguments = request.job.user_arguments.unwrap_or_default();
        let settings = self.settings(&arguments);
        let mut results = Vec::new();
        for task in &request.tasks {
            let result = match (&settings, task.object()) {
                (Ok((raw, settings)), Ok(object)) => {
                    self.rewrap(raw, settings, &object, until).await
                }
                (Err(why), _) => ObjectResult::permanent(why),
                (_, Err(why)) => ObjectResult::permanent(why),
            };
            let (job, id) = (&request.job.id, &task.task_id);
            tracing::info!(job, task = id, code = ?result.code, "{}", result.text);
            let ObjectResult { code, text } = result;
            results.push(TaskResult {
                task_id: id.clone(),
                result_code: code,
                result_string: text,
            });
        }
        let response = Response {
            invocation_schema_version: request.invocation_schema_version,
            treat_missing_keys_as: Code::PermanentFailure,
            invocation_id: request.invocation_id,
            results,
        };
        serde_json::to_value(response).expect("names are strings")
    }

    async fn notification(
        &self,
        records: &[Record],
        until: Option<Instant>,
    ) -> Result<Value, Failure> {
        let (raw, settings) =
            self.settings(&BTreeMap::new()).map_err(|why| Failure::new("Settings", why))?;
        if settings.refresh {
            // The copy is an event too. KMS does not always report the key material, so rewraps
            // could trigger each other without end.
            let message = "`refresh` does not work with events: each rewrap would trigger the next";
            return Err(Failure::new("Settings", message));
        }
        let (mut rewrapped, mut failed) = (Vec::new(), Vec::new());
        for record in records {
            let (name, result) = match record.object() {
                Ok(object) => {
                    (object.to_string(), self.rewrap(&raw, &settings, &object, until).await)
                }
                Err(why) => (record.event_name.clone(), ObjectResult::permanent(why)),
            };
            tracing::info!(event = record.event_name, object = name, code = ?result.code, "{}", result.text);
            if result.is_success() {
                rewrapped.push(json!({ "object": name, "result": result.text }));
            } else {
                failed.push(result.text);
            }
        }
        if failed.is_empty() {
            Ok(json!({ "results": rewrapped }))
        } else {
            Err(Failure::new("NotRewrapped", failed.join("; ")))
        }
    }

    fn settings(
        &self,
        arguments: &BTreeMap<String, String>,
    ) -> Result<(RawSettings, Settings), String> {
        let raw = self.raw.with_arguments(arguments).map_err(|error| error.to_string())?;
        let settings = Settings::new(&raw).map_err(|error| error.to_string())?;
        Ok((raw, settings))
    }

    async fn rewrap(
        &self,
        raw: &RawSettings,
        settings: &Settings,
        object: &ListedObject,
        until: Option<Instant>,
    ) -> ObjectResult {
        if object.version_id.as_ref().is_some_and(|id| id.len() > MAX_VERSION_ID_LEN) {
            let why = format!("the version id has more than {MAX_VERSION_ID_LEN} bytes");
            return ObjectResult::permanent(format!("{}: {why}", ErrorKind::InvalidInput.name()));
        }
        let rewrappers = match self.rewrappers(raw, settings).await {
            Ok(rewrappers) => rewrappers,
            Err(error) => return error.into(),
        };
        let Some(until) = until else { return rewrap_named(&rewrappers, object).await };
        if until > Instant::now() {
            if let Ok(result) = timeout_at(until, rewrap_named(&rewrappers, object)).await {
                return result;
            }
            // Waits until the dropped multipart copy is aborted.
            rewrappers.client.settle().await;
        }
        ObjectResult::temporary(
            "timed out: raise the function's timeout, or rewrap this object with the sealwax command",
        )
    }

    async fn rewrappers(
        &self,
        raw: &RawSettings,
        settings: &Settings,
    ) -> Result<Rewrappers, Error> {
        let (mut last, now) = (self.last.lock().await, SystemTime::now());
        match &*last {
            Some(made) if made.serves(raw, now) => Ok(made.rewrappers.clone()),
            _ => {
                // The old one is dropped first, with its keys.
                *last = None;
                let rewrappers = settings.rewrappers(&self.config)?;
                let made = Made { raw: raw.clone(), at: now, rewrappers: rewrappers.clone() };
                *last = Some(made);
                Ok(rewrappers)
            }
        }
    }
}

/// Rewraps the intermediate key that the key object `object` belongs to; `None` for any other object.
async fn rewrap_key(
    Rewrappers { client, changes, .. }: &Rewrappers,
    object: &ListedObject,
) -> Option<Result<StoredKeyOutput, Error>> {
    client.key_store().prefix()?;
    let rewrapped = async {
        let store = client.stored_keys(&object.bucket)?;
        let Some(name) = store.name_of(&object.key) else { return Ok(None) };
        match store.find(&name).await? {
            Some(key) => store.rewrap(&key, changes).await.map(Some),
            // It was deleted since.
            None => Ok(Some(StoredKeyOutput::default())),
        }
    };
    rewrapped.await.transpose()
}

/// Rewraps an object, or the intermediate key of a key object.
///
/// S3 Batch Operations repeats a task whose response it lost. The task then names a version that a
/// rewrap has replaced, so the latest version is rewrapped instead.
async fn rewrap_named(rewrappers: &Rewrappers, object: &ListedObject) -> ObjectResult {
    if let Some(result) = Box::pin(rewrap_key(rewrappers, object)).await {
        return result.map_or_else(ObjectResult::from, ObjectResult::from);
    }
    let Rewrappers { client, objects: rewrapper, .. } = rewrappers;
    let outcome = rewrapper.rewrap_one(object).await;
    let (Some(version_id), Some(ErrorKind::Unsupported)) =
        (&object.version_id, outcome.error().map(Error::kind))
    else {
        return outcome.into();
    };
    let head = || client.head().bucket(&object.bucket).key(&object.key);
    let (named, latest) = match tokio::join!(head().version_id(version_id).send(), head().send()) {
        (Ok(named), Ok(latest)) if named.version_id != latest.version_id => (named, latest),
        _ => return outcome.into(),
    };
    // Each sealed body has its own header.
    let is_same_body = match (named.header(), latest.header()) {
        (Some(named), Some(latest)) => named.body_header() == latest.body_header(),
        _ => false,
    };
    if !is_same_body {
        return outcome.into();
    }
    let latest = ListedObject::new(&object.bucket, &object.key);
    let mut result = ObjectResult::from(rewrapper.rewrap_one(&latest).await);
    if result.is_success() {
        result.text.push_str(
            " (the latest version, which has the same body; the named version keeps its keys)",
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
    use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};

    use super::*;

    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/k";

    /// A function whose endpoint does not answer.
    fn function(variables: &[(&str, &str)]) -> Function {
        let credentials = Credentials::new("test", "test", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("us-east-1"))
            .endpoint_url("http://127.0.0.1:1")
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(RetryConfig::disabled())
            .build();
        let keys = [("SEALWAX_REWRAP_KEYS", KEY)];
        let variables = keys
            .iter()
            .chain(variables)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Function::new(config, RawSettings::from_environment(variables).expect("settings"))
            .expect("a function")
    }

    async fn batch(function: &Function, job: Value, task: Value) -> (String, String) {
        let event = json!({
            "invocationSchemaVersion": "2.0", "invocationId": "i", "job": job, "tasks": [task],
        });
        let response =
            function.handle(event.to_string().as_bytes(), None).await.expect("a response");
        assert_eq!(
            (&response["invocationId"], &response["invocationSchemaVersion"]),
            (&json!("i"), &json!("2.0"))
        );
        let [result] = &response["results"].as_array().expect("results")[..] else {
            panic!("{response}")
        };
        assert_eq!(result["taskId"], "t");
        let text = |name: &str| result[name].as_str().expect(name).to_owned();
        (text("resultCode"), text("resultString"))
    }

    #[tokio::test]
    async fn results_begin_with_the_error_kind() {
        let function = function(&[]);
        let task = json!({ "taskId": "t", "s3Key": "k", "s3Bucket": "b" });
        for (arguments, expected_code, expected) in [
            (
                json!({ "add": KEY }),
                "TemporaryFailure",
                "unavailable: cannot rewrap s3://b/k in us-east-1: HeadObject",
            ),
            (
                json!({}),
                "PermanentFailure",
                "invalid-input: cannot rewrap the objects: no key to add",
            ),
            (json!({ "add": "x" }), "PermanentFailure", "invalid add: "),
            (json!({ "adds": KEY }), "PermanentFailure", "there is no argument adds"),
        ] {
            let (code, text) =
                batch(&function, json!({ "id": "j", "userArguments": arguments }), task.clone())
                    .await;
            assert_eq!(code, expected_code, "{text}");
            assert!(text.starts_with(expected), "{text}");
        }
        let nameless = json!({ "taskId": "t", "s3Key": "%ff", "s3Bucket": "b" });
        let (code, _) =
            batch(&function, json!({ "id": "j", "userArguments": { "add": KEY } }), nameless).await;
        assert_eq!(code, "PermanentFailure");
    }

    /// The SDK would panic on such an address, and the function would end without an answer.
    #[tokio::test]
    async fn a_name_that_no_object_has_is_a_failure_of_its_task() {
        let function = function(&[("SEALWAX_REWRAP_ADD", KEY)]);
        let long = "k".repeat(70_000);
        for task in [
            json!({ "taskId": "t", "s3Key": &long, "s3Bucket": "b" }),
            json!({ "taskId": "t", "s3Key": "k", "s3Bucket": &long }),
        ] {
            let (code, text) = batch(&function, json!({ "id": "j" }), task).await;
            assert_eq!(code, "PermanentFailure");
            assert!(text.starts_with("invalid-input: cannot rewrap s3://"), "{text}");
        }
        let version = json!({ "taskId": "t", "s3Key": "k", "s3Bucket": "b", "s3VersionId": &long });
        let (code, _) = batch(&function, json!({ "id": "j" }), version).await;
        assert_ne!(code, "Succeeded");
        let created = json!({ "Records": [{
            "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": "b" }, "object": { "key": &long, "size": 1 } },
        }] });
        let failure = function.handle(created.to_string().as_bytes(), None).await;
        let failure = failure.expect_err("no object");
        assert_eq!(failure.kind, "NotRewrapped");
        assert!(failure.message.starts_with("invalid-input: cannot rewrap s3://b/k"), "{failure}");
    }

    /// The SDK panics on a request whose URI is longer than 64 KiB.
    #[tokio::test]
    async fn a_name_beyond_the_limits_is_a_permanent_failure() {
        let function = function(&[("SEALWAX_REWRAP_ADD", KEY)]);
        let long = "k".repeat(70_000);
        for task in [
            json!({ "taskId": "t", "s3Key": long, "s3Bucket": "b" }),
            json!({ "taskId": "t", "s3Key": "k", "s3Bucket": long }),
            json!({ "taskId": "t", "s3Key": "k", "s3VersionId": long, "s3Bucket": "b" }),
            json!({ "taskId": "t", "s3Key": "k", "s3VersionId": "v".repeat(1025), "s3Bucket": "b" }),
        ] {
            let (code, text) = batch(&function, json!({ "id": "j" }), task).await;
            assert_eq!(code, "PermanentFailure", "{text}");
            assert!(text.starts_with("invalid-input: ") && text.len() <= 1024, "{text}");
        }
        let created = json!({ "Records": [{
            "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": "b" }, "object": { "key": long, "versionId": long } },
        }] });
        let failure =
            function.handle(created.to_string().as_bytes(), None).await.expect_err("long");
        assert_eq!(failure.kind, "NotRewrapped");
        assert!(failure.message.starts_with("invalid-input: "), "{failure}");
    }

    #[tokio::test]
    async fn a_rewrapper_and_its_keys_age() {
        let function = function(&[("SEALWAX_REWRAP_ADD", KEY)]);
        let settings = Settings::new(&function.raw).expect("settings");
        let made_at = async || {
            function.rewrappers(&function.raw, &settings).await.expect("a rewrapper");
            function.last.lock().await.as_ref().expect("made").at
        };
        let first = made_at().await;
        assert_eq!(made_at().await, first, "a second event uses the same one");
        let made = async |at| function.last.lock().await.as_mut().expect("made").at = at;
        let old = first - MAX_AGE;
        made(old).await;
        assert!(made_at().await >= first, "an old one is used");
        let future = first + 2 * MAX_AGE;
        made(future).await;
        assert!(made_at().await < future, "the clock was set back, so the age is unknown");
    }

    #[tokio::test]
    async fn a_timeout_is_a_temporary_failure() {
        let function = function(&[("SEALWAX_REWRAP_ADD", KEY)]);
        let event = json!({
            "invocationSchemaVersion": "1.0", "invocationId": "i", "job": { "id": "j" },
            "tasks": [{ "taskId": "t", "s3Key": "k", "s3BucketArn": "arn:aws:s3:::b" }],
        });
        let response =
            function.handle(event.to_string().as_bytes(), Some(RESERVE)).await.expect("a response");
        let result = &response["results"][0];
        assert_eq!(result["resultCode"], "TemporaryFailure", "{result}");
        assert!(
            result["resultString"]
                .as_str()
                .expect("a text")
                .starts_with("timed out: raise the function's timeout"),
            "{result}"
        );
    }

    #[tokio::test]
    async fn an_event_fails_if_its_object_is_not_rewrapped() {
        let created = json!({ "Records": [{
            "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": "b" }, "object": { "key": "k", "size": 1 } },
        }] });
        let result = function(&[("SEALWAX_REWRAP_ADD", KEY)])
            .handle(created.to_string().as_bytes(), None)
            .await;
        let failure = result.expect_err("no store");
        assert_eq!(failure.kind, "NotRewrapped");
        assert!(failure.message.starts_with("unavailable: "), "{failure}");

        let result = function(&[("SEALWAX_REWRAP_REFRESH", "true")])
            .handle(created.to_string().as_bytes(), None)
            .await;
        assert_eq!(result.expect_err("refused").kind, "Settings");
    }
}
