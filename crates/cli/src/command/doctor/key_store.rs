//! Settings of a bucket that could lose the objects of its key store, or that keep them for ever.

use aws_sdk_s3::types::{
    BucketVersioningStatus, DefaultRetention, ExpirationStatus, LifecycleRule, ReplicationRule,
    ReplicationRuleStatus,
};

use super::check::{Check, Checks};
use crate::{failure::Failure, session::Session, terminal_text::Counted};

const NAME: &str = "key store";

/// Checks the settings of `bucket` for the key objects below `prefix`. Settings that can't be read are
/// reported by the checks of the bucket itself.
pub(super) async fn check(
    session: &Session,
    bucket: &str,
    prefix: &str,
    checks: &mut Checks,
) -> Result<(), Failure> {
    let s3 = session.s3();
    let mut found = Vec::new();
    if let Ok(answer) = s3.get_bucket_versioning().bucket(bucket).send().await {
        found.extend(of_versioning(answer.status()));
    }
    if let Ok(answer) = s3.get_bucket_lifecycle_configuration().bucket(bucket).send().await {
        found.extend(of_lifecycle(answer.rules(), prefix));
    }
    if let Ok(answer) = s3.get_bucket_replication().bucket(bucket).send().await {
        let rules = answer.replication_configuration().map(|it| it.rules()).unwrap_or_default();
        found.extend(of_replication(rules, prefix));
    }
    if let Ok(answer) = s3.get_object_lock_configuration().bucket(bucket).send().await {
        let lock = answer.object_lock_configuration();
        let retention = lock.and_then(|lock| lock.rule()?.default_retention());
        found.extend(retention.map(of_retention));
    }
    if found.is_empty() {
        let at = format!("s3://{bucket}/{prefix}");
        found.push(Check::ok(NAME, format!("no setting of the bucket endangers {at}")));
    }
    found.into_iter().try_for_each(|check| checks.add(check))
}

fn of_versioning(status: Option<&BucketVersioningStatus>) -> Option<Check> {
    let message = "without versioning, a deleted key object is gone, and after a rewrap of keys it can \
                   be the only key of many objects";
    let hint = "run aws s3api put-bucket-versioning --versioning-configuration Status=Enabled";
    (status != Some(&BucketVersioningStatus::Enabled)).then(|| Check::warning(NAME, message, hint))
}

/// Reports rules that can expire or archive key objects.
fn of_lifecycle(rules: &[LifecycleRule], prefix: &str) -> Vec<Check> {
    let enabled = rules.iter().filter(|rule| rule.status == ExpirationStatus::Enabled);
    let concerned = enabled.filter(|rule| may_meet(lifecycle_prefix(rule), prefix));
    let mut found = Vec::new();
    for rule in concerned {
        let id = rule.id().unwrap_or("without an id");
        let hint = "limit the rule to other prefixes";
        let expires =
            rule.expiration().is_some_and(|it| it.days().is_some() || it.date().is_some());
        if expires {
            let message =
                format!("the lifecycle rule {id} deletes key objects, and with them keys");
            found.push(Check::failed(NAME, message, hint));
        }
        if !rule.transitions().is_empty() {
            let message = format!(
                "the lifecycle rule {id} moves key objects to another storage class: in an archive \
                 they cannot be read"
            );
            found.push(Check::warning(NAME, message, hint));
        }
    }
    found
}

/// Returns the prefix of the objects that a rule is for.
#[expect(deprecated, reason = "rules of old configurations have no filter")]
fn lifecycle_prefix(rule: &LifecycleRule) -> &str {
    let Some(filter) = rule.filter() else { return rule.prefix().unwrap_or_default() };
    let in_and = || filter.and().and_then(|and| and.prefix());
    filter.prefix().or_else(in_and).unwrap_or_default()
}

/// Reports a replication that leaves key objects out.
fn of_replication(rules: &[ReplicationRule], prefix: &str) -> Option<Check> {
    let enabled = || rules.iter().filter(|rule| rule.status == ReplicationRuleStatus::Enabled);
    let covers = |rule: &ReplicationRule| {
        let filter = rule.filter();
        let needs_tags = filter.is_some_and(|it| {
            it.tag().is_some() || it.and().is_some_and(|and| !and.tags().is_empty())
        });
        prefix.starts_with(replication_prefix(rule)) && !needs_tags
    };
    if enabled().next().is_none() || enabled().any(covers) {
        return None;
    }
    let message = format!(
        "replication leaves {prefix} out: in the replica, objects open by their own keys alone"
    );
    let hint = "add a rule for it: `sealwax doctor --print replication` shows one";
    Some(Check::warning(NAME, message, hint))
}

#[expect(deprecated, reason = "rules of old configurations have no filter")]
fn replication_prefix(rule: &ReplicationRule) -> &str {
    let Some(filter) = rule.filter() else { return rule.prefix().unwrap_or_default() };
    let in_and = || filter.and().and_then(|and| and.prefix());
    filter.prefix().or_else(in_and).unwrap_or_default()
}

/// Reports a default retention, which new key objects get.
fn of_retention(retention: &DefaultRetention) -> Check {
    let time = match (retention.days(), retention.years()) {
        (Some(days), _) => Counted(days.unsigned_abs().into(), "day").to_string(),
        (None, Some(years)) => Counted(years.unsigned_abs().into(), "year").to_string(),
        (None, None) => "some time".to_owned(),
    };
    let message = format!(
        "Object Lock keeps each new key object for {time}: until then, none can be removed, and \
         objects under detached keys cannot be shredded"
    );
    let hint = "keep it if that is wanted; otherwise give the key store a bucket policy instead";
    Check::warning(NAME, message, hint)
}

/// `true` if an object below `prefix` can be among those below `of_rule`.
fn may_meet(of_rule: &str, prefix: &str) -> bool {
    prefix.starts_with(of_rule) || of_rule.starts_with(prefix)
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{
        Destination, LifecycleExpiration, LifecycleRuleFilter, NoncurrentVersionExpiration,
        ReplicationRuleAndOperator, ReplicationRuleFilter, Tag, Transition,
    };

    use super::*;

    const PREFIX: &str = ".sealwax/keys/";

    fn lifecycle(prefix: Option<&str>) -> aws_sdk_s3::types::builders::LifecycleRuleBuilder {
        let filter = LifecycleRuleFilter::builder().set_prefix(prefix.map(str::to_owned)).build();
        LifecycleRule::builder().id("rule").status(ExpirationStatus::Enabled).filter(filter)
    }

    fn statuses(checks: impl IntoIterator<Item = Check>) -> Vec<String> {
        checks.into_iter().map(|check| format!("{check:?}")).collect()
    }

    #[test]
    fn rules_that_reach_the_key_objects_are_reported() {
        let expires = || LifecycleExpiration::builder().days(30).build();
        for (prefix, expected) in [
            (None, 1),
            (Some(""), 1),
            (Some(".sealwax/"), 1),
            (Some(".sealwax/keys/"), 1),
            (Some(".sealwax/keys/abc"), 1),
            (Some("2026/"), 0),
            (Some("sealwax"), 0),
        ] {
            let rule = lifecycle(prefix).expiration(expires()).build().expect("a rule");
            let found = of_lifecycle(&[rule], PREFIX);
            assert_eq!(found.len(), expected, "{prefix:?}");
            assert!(statuses(found).iter().all(|check| check.contains("Failed")), "{prefix:?}");
        }
        let disabled = lifecycle(None).expiration(expires()).status(ExpirationStatus::Disabled);
        assert_eq!(of_lifecycle(&[disabled.build().expect("a rule")], PREFIX).len(), 0);
        let old_versions = NoncurrentVersionExpiration::builder().noncurrent_days(90).build();
        let rule = lifecycle(None).noncurrent_version_expiration(old_versions).build();
        assert_eq!(of_lifecycle(&[rule.expect("a rule")], PREFIX).len(), 0, "the newest stay");
        let moved = lifecycle(None).transitions(Transition::builder().days(1).build()).build();
        let found = statuses(of_lifecycle(&[moved.expect("a rule")], PREFIX));
        assert!(found.len() == 1 && found[0].contains("Warning"), "{found:?}");
    }

    #[test]
    fn a_replication_without_the_key_objects_is_reported() {
        let to = || Destination::builder().bucket("arn:aws:s3:::west").build().expect("a bucket");
        let rule = |prefix: &str| {
            let filter = ReplicationRuleFilter::builder().prefix(prefix).build();
            let rule = ReplicationRule::builder().status(ReplicationRuleStatus::Enabled);
            rule.filter(filter).destination(to()).build().expect("a rule")
        };
        assert!(of_replication(&[], PREFIX).is_none(), "another check says that");
        assert!(of_replication(&[rule("2026/")], PREFIX).is_some());
        assert!(of_replication(&[rule(".sealwax/keys/a")], PREFIX).is_some(), "only some of them");
        for prefix in ["", ".sealwax/", ".sealwax/keys/"] {
            assert!(of_replication(&[rule("2026/"), rule(prefix)], PREFIX).is_none(), "{prefix}");
        }
        let tag = Tag::builder().key("replicate").value("yes").build().expect("a tag");
        let and = ReplicationRuleAndOperator::builder().prefix("").tags(tag).build();
        let tagged = ReplicationRule::builder()
            .status(ReplicationRuleStatus::Enabled)
            .filter(ReplicationRuleFilter::builder().and(and).build())
            .destination(to())
            .build()
            .expect("a rule");
        assert!(of_replication(&[tagged], PREFIX).is_some(), "key objects have no tag");
    }

    #[test]
    fn versions_and_retentions_are_reported() {
        assert!(of_versioning(Some(&BucketVersioningStatus::Enabled)).is_none());
        assert!(of_versioning(Some(&BucketVersioningStatus::Suspended)).is_some());
        assert!(of_versioning(None).is_some());
        let check = of_retention(&DefaultRetention::builder().years(1).build());
        assert!(format!("{check:?}").contains("for 1 year:"), "{check:?}");
    }
}
