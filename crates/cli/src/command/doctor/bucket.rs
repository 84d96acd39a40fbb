//! Configuration of a bucket.

use aws_sdk_s3::{
    error::ProvideErrorMetadata as _,
    types::{BucketVersioningStatus, ExpirationStatus, ReplicationRuleStatus},
};
use sealwax_s3::{ErrorKind, error_chain};

use super::check::{Check, Checks};
use crate::{failure::Failure, session::Session, terminal_text::Counted};

/// Checks a bucket; returns `true` if it exists.
pub(super) async fn check(
    session: &Session,
    bucket: &str,
    checks: &mut Checks,
) -> Result<bool, Failure> {
    let s3 = session.s3();
    let head = s3.head_bucket().bucket(bucket).send().await;
    let is_there = head.is_ok();
    checks.add(match head {
        Ok(head) => match head.bucket_region() {
            Some(region) if region != session.region() => Check::warning(
                "bucket",
                format!(
                    "{bucket} is in {region}, but the configured Region is {}",
                    session.region()
                ),
                format!("pass --region {region}, so that keys near the bucket are tried first"),
            ),
            Some(region) => Check::ok("bucket", format!("{bucket}, in {region}")),
            None => Check::ok("bucket", bucket),
        },
        Err(error) => {
            let object = format!("s3://{bucket}");
            let error = session.call_error("access", object, "HeadBucket", &error);
            let hint = match error.kind() {
                ErrorKind::NotFound => "check the name, or create the bucket",
                ErrorKind::AccessDenied => {
                    "allow s3:ListBucket in the caller's and the bucket's policies"
                }
                ErrorKind::WrongRegion => "pass the bucket's Region with --region",
                _ => "check the Region, the endpoint and the network",
            };
            Check::failed("bucket", error_chain(&error), hint)
        }
    })?;
    if !is_there {
        return Ok(false);
    }
    checks.add(match s3.get_bucket_versioning().bucket(bucket).send().await {
        Ok(answer) if answer.status() == Some(&BucketVersioningStatus::Enabled) => Check::ok("versioning", "enabled"),
        Ok(_) => Check::warning(
            "versioning",
            "not enabled: overwritten and deleted objects are lost, and S3 cannot replicate the bucket",
            "run aws s3api put-bucket-versioning --versioning-configuration Status=Enabled",
        ),
        Err(error) => {
            let error = session.call_error("read the settings of", format!("s3://{bucket}"), "GetBucketVersioning", &error);
            let hint = match error.kind() {
                ErrorKind::AccessDenied => "allow s3:GetBucketVersioning to check it",
                _ => "ask the store's operator whether it keeps versions: its answer cannot be used",
            };
            Check::unknown("versioning", error_chain(&error), hint)
        }
    })?;
    checks.add(replication(session, &s3, bucket).await)?;
    checks.add(lifecycle(session, &s3, bucket).await)?;
    Ok(true)
}

async fn replication(session: &Session, s3: &aws_sdk_s3::Client, bucket: &str) -> Check {
    let none = |message: &str| {
        let hint = "for disaster recovery, replicate it to another Region: `sealwax doctor --print replication` shows how";
        Check::warning("replication", message, hint)
    };
    let answer = s3.get_bucket_replication().bucket(bucket).send().await;
    let configuration = match answer {
        Ok(answer) => answer.replication_configuration,
        Err(error) if error.code() == Some("ReplicationConfigurationNotFoundError") => None,
        Err(error) => {
            let error = session.call_error(
                "read the settings of",
                format!("s3://{bucket}"),
                "GetBucketReplication",
                &error,
            );
            let hint = match error.kind() {
                ErrorKind::Unsupported => {
                    "ask the store's operator whether it replicates: it has no such settings"
                }
                _ => "allow s3:GetReplicationConfiguration to check it",
            };
            return Check::unknown("replication", error_chain(&error), hint);
        }
    };
    let rules = configuration.map(|it| it.rules).unwrap_or_default();
    let enabled = rules.iter().filter(|rule| rule.status == ReplicationRuleStatus::Enabled);
    let to: Vec<_> =
        enabled.filter_map(|rule| Some(rule.destination.as_ref()?.bucket.as_str())).collect();
    match (to.is_empty(), rules.is_empty()) {
        (false, _) => Check::ok("replication", format!("to {}", to.join(", "))),
        (true, false) => none("all rules are disabled"),
        (true, true) => none("not configured: if the Region is lost, so are the objects"),
    }
}

async fn lifecycle(session: &Session, s3: &aws_sdk_s3::Client, bucket: &str) -> Check {
    let answer = s3.get_bucket_lifecycle_configuration().bucket(bucket).send().await;
    let rules = match answer {
        Ok(answer) => answer.rules.unwrap_or_default(),
        Err(error) if error.code() == Some("NoSuchLifecycleConfiguration") => Vec::new(),
        Err(error) => {
            let error = session.call_error(
                "read the settings of",
                format!("s3://{bucket}"),
                "GetBucketLifecycleConfiguration",
                &error,
            );
            let hint = match error.kind() {
                ErrorKind::Unsupported => {
                    "abort incomplete uploads with `sealwax uploads abort`: the store has no lifecycle rules"
                }
                _ => "allow s3:GetLifecycleConfiguration to check it",
            };
            return Check::unknown("lifecycle", error_chain(&error), hint);
        }
    };
    let enabled = rules.iter().filter(|rule| rule.status == ExpirationStatus::Enabled);
    let days = enabled
        .filter_map(|rule| rule.abort_incomplete_multipart_upload.as_ref()?.days_after_initiation)
        .min();
    match days {
        Some(days) => {
            let days = Counted(days.unsigned_abs().into(), "day");
            Check::ok("lifecycle", format!("incomplete uploads are aborted after {days}"))
        }
        None => Check::warning(
            "lifecycle",
            "incomplete uploads are kept, and cost storage",
            "add a rule with AbortIncompleteMultipartUpload: `sealwax doctor --print lifecycle` shows one",
        ),
    }
}
