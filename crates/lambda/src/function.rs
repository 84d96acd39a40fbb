//! What the function does with an event.

use std::{collections::BTreeMap, time::Duration};

use aws_config::SdkConfig;
use sealwax_s3::{Error, ErrorKind, ListedObject, Rewrapper, SealedClient};
use serde_json::{Value, json};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use crate::{
    batch_operations::{Answer, Code, Request, TaskResult},
    event::Event,
    notification::Record,
    result::ObjectResult,
    runtime::Failure,
    settings::{Given, Settings},
};

/// What is left of the time for an answer when an object's work is given up, so that copies in parts can be aborted and the
/// answer still comes.
const RESERVE: Duration = Duration::from_secs(5);

/// Rewraps the objects that events name.
#[derive(Debug)]
pub(crate) struct Function {
    config: SdkConfig,
    given: Given,
    /// That of the last event; the next one is mostly of the same job.
    last: Mutex<Option<(Given, String, (SealedClient, Rewrapper))>>,
}

impl Function {
    /// # Errors
    /// The environment's settings cannot be used.
    pub(crate) fn new(config: SdkConfig, given: Given) -> Result<Self, Failure> {
        Settings::new(&given).map_err(|error| Failure::new("Settings", error.to_string()))?;
        Ok(Self { config, given, last: Mutex::default() })
    }

    /// Answers an event within `time_left`.
    ///
    /// # Errors
    /// It is no event of ours; or, of S3 event notifications, an object was not rewrapped.
    pub(crate) async fn answer(
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
                (Ok((given, settings)), Ok(object)) => {
                    self.rewrap(given, settings, &object, until).await
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
        let answer = Answer {
            invocation_schema_version: request.invocation_schema_version,
            treat_missing_keys_as: Code::PermanentFailure,
            invocation_id: request.invocation_id,
            results,
        };
        serde_json::to_value(answer).expect("names are strings")
    }

    async fn notification(
        &self,
        records: &[Record],
        until: Option<Instant>,
    ) -> Result<Value, Failure> {
        let (given, settings) =
            self.settings(&BTreeMap::new()).map_err(|why| Failure::new("Settings", why))?;
        if settings.refresh {
            // Its copy is an event too, and KMS does not tell on every store that a wrap is new: it could go on for ever.
            let message =
                "`refresh` is not for events: each rewrap would be the cause of the next one";
            return Err(Failure::new("Settings", message));
        }
        let (mut done, mut undone) = (Vec::new(), Vec::new());
        for record in records {
            let (name, result) = match record.object() {
                Ok(object) => {
                    (object.to_string(), self.rewrap(&given, &settings, &object, until).await)
                }
                Err(why) => (record.event_name.clone(), ObjectResult::permanent(why)),
            };
            tracing::info!(event = record.event_name, object = name, code = ?result.code, "{}", result.text);
            match result.is_success() {
                true => done.push(json!({ "object": name, "result": result.text })),
                false => undone.push(result.text),
            }
        }
        match undone.is_empty() {
            true => Ok(json!({ "results": done })),
            false => Err(Failure::new("NotRewrapped", undone.join("; "))),
        }
    }

    fn settings(&self, arguments: &BTreeMap<String, String>) -> Result<(Given, Settings), String> {
        let given = self.given.and_of_job(arguments).map_err(|error| error.to_string())?;
        let settings = Settings::new(&given).map_err(|error| error.to_string())?;
        Ok((given, settings))
    }

    async fn rewrap(
        &self,
        given: &Given,
        settings: &Settings,
        object: &ListedObject,
        until: Option<Instant>,
    ) -> ObjectResult {
        let (client, rewrapper) = match self.rewrapper(given, settings, &object.bucket).await {
            Ok(made) => made,
            Err(error) => return error.into(),
        };
        let Some(until) = until else { return rewrap_named(&client, &rewrapper, object).await };
        if until > Instant::now() {
            if let Ok(result) = timeout_at(until, rewrap_named(&client, &rewrapper, object)).await {
                return result;
            }
            // A copy in parts was dropped.
            client.settle().await;
        }
        ObjectResult::temporary(
            "the function's time was over: give it more, or rewrap this object by the command",
        )
    }

    async fn rewrapper(
        &self,
        given: &Given,
        settings: &Settings,
        bucket: &str,
    ) -> Result<(SealedClient, Rewrapper), Error> {
        let mut last = self.last.lock().await;
        match &*last {
            Some((of, at, made)) if of == given && at == bucket => Ok(made.clone()),
            _ => {
                let made = settings.rewrapper(&self.config, bucket)?;
                *last = Some((given.clone(), bucket.to_owned(), made.clone()));
                Ok(made)
            }
        }
    }
}

/// Rewraps an object. Where a version is named that is the newest no more because a rewrap replaced it, the newest one is
/// meant: a task whose answer was lost comes again.
async fn rewrap_named(
    client: &SealedClient,
    rewrapper: &Rewrapper,
    object: &ListedObject,
) -> ObjectResult {
    let outcome = rewrapper.rewrap_one(object).await;
    let (Some(version_id), Some(ErrorKind::Unsupported)) =
        (&object.version_id, outcome.error().map(Error::kind))
    else {
        return outcome.into();
    };
    let look = || client.head().bucket(&object.bucket).key(&object.key);
    let (named, newest) = match tokio::join!(look().version_id(version_id).send(), look().send()) {
        (Ok(named), Ok(newest)) if named.version_id != newest.version_id => (named, newest),
        _ => return outcome.into(),
    };
    // A body header is of one sealing alone.
    let is_same_body = match (named.header(), newest.header()) {
        (Some(named), Some(newest)) => named.body_header() == newest.body_header(),
        _ => false,
    };
    if !is_same_body {
        return outcome.into();
    }
    let newest = ListedObject::new(&object.bucket, &object.key);
    let mut result = ObjectResult::from(rewrapper.rewrap_one(&newest).await);
    if result.is_success() {
        result.text.push_str(
            " (the newest version, of the same body; the one that was named keeps its keys)",
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

    /// A function whose services answer nobody.
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
        Function::new(config, Given::by_environment(variables).expect("settings"))
            .expect("a function")
    }

    async fn batch(function: &Function, job: Value, task: Value) -> (String, String) {
        let event = json!({
            "invocationSchemaVersion": "2.0", "invocationId": "i", "job": job, "tasks": [task],
        });
        let answer = function.answer(event.to_string().as_bytes(), None).await.expect("an answer");
        assert_eq!(
            (&answer["invocationId"], &answer["invocationSchemaVersion"]),
            (&json!("i"), &json!("2.0"))
        );
        let [result] = &answer["results"].as_array().expect("results")[..] else {
            panic!("{answer}")
        };
        assert_eq!(result["taskId"], "t");
        let text = |name: &str| result[name].as_str().expect(name).to_owned();
        (text("resultCode"), text("resultString"))
    }

    #[tokio::test]
    async fn each_failure_is_told_by_its_kind() {
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
            (json!({ "add": "x" }), "PermanentFailure", "add cannot be used: "),
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

    #[tokio::test]
    async fn time_that_is_over_is_no_end_of_the_object() {
        let function = function(&[("SEALWAX_REWRAP_ADD", KEY)]);
        let event = json!({
            "invocationSchemaVersion": "1.0", "invocationId": "i", "job": { "id": "j" },
            "tasks": [{ "taskId": "t", "s3Key": "k", "s3BucketArn": "arn:aws:s3:::b" }],
        });
        let answer =
            function.answer(event.to_string().as_bytes(), Some(RESERVE)).await.expect("an answer");
        let result = &answer["results"][0];
        assert_eq!(result["resultCode"], "TemporaryFailure", "{result}");
        assert!(
            result["resultString"]
                .as_str()
                .expect("a text")
                .starts_with("the function's time was over"),
            "{result}"
        );
    }

    #[tokio::test]
    async fn an_event_of_an_object_that_stays_as_it_was_fails() {
        let created = json!({ "Records": [{
            "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": "b" }, "object": { "key": "k", "size": 1 } },
        }] });
        let answered = function(&[("SEALWAX_REWRAP_ADD", KEY)])
            .answer(created.to_string().as_bytes(), None)
            .await;
        let failure = answered.expect_err("no store");
        assert_eq!(failure.kind, "NotRewrapped");
        assert!(failure.message.starts_with("unavailable: "), "{failure}");

        let answered = function(&[("SEALWAX_REWRAP_REFRESH", "true")])
            .answer(created.to_string().as_bytes(), None)
            .await;
        assert_eq!(answered.expect_err("refused").kind, "Settings");
    }
}
