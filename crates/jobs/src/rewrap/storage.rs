//! Storage that the copies of a rewrap take: new versions, and what replication sends again.

use std::collections::BTreeMap;

use aws_sdk_s3::{
    Client,
    types::{BucketVersioningStatus, ReplicationRule, ReplicationRuleStatus},
};
use sealwax_s3::MetadataWay;
use serde::{Deserialize, Serialize};

use super::{Action, PlannedObject};

/// Maximum number of buckets that are counted one by one. A list can name any number of them.
const MAX_BUCKETS: usize = 128;
/// Name of all further buckets.
const OTHER_BUCKETS: &str = "others";

/// Storage that copies of a bucket's objects onto themselves take. Field names are stable JSON output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StorageEstimate {
    /// Bytes that S3 copies.
    pub bytes_copied: u64,
    /// Bytes of new versions, stored in addition until the noncurrent ones are deleted. 0 without
    /// versioning; `None` if S3 does not tell whether the bucket has versioning.
    pub new_version_bytes: Option<u64>,
    /// Maximum number of bytes that S3 Replication sends again, by destination bucket. `None` if S3
    /// does not tell the rules.
    pub replicated_bytes: Option<BTreeMap<String, u64>>,
}

/// Estimates storage from the settings of buckets, which it asks for once each.
#[derive(Debug)]
pub(super) struct StorageEstimator {
    s3: Client,
    buckets: BTreeMap<String, (Bucket, StorageEstimate)>,
}

impl StorageEstimator {
    pub(super) fn new(s3: &Client) -> Self {
        Self { s3: s3.clone(), buckets: BTreeMap::new() }
    }

    /// Counts an object.
    pub(super) async fn count(&mut self, object: &PlannedObject) {
        let Action::Rewrap { metadata: MetadataWay::Copy | MetadataWay::MultipartCopy, .. } =
            object.action
        else {
            return;
        };
        let is_full = self.buckets.len() >= MAX_BUCKETS;
        if !self.buckets.contains_key(&object.bucket) {
            let (name, bucket) = match is_full {
                true => (OTHER_BUCKETS, Bucket::default()),
                false => (object.bucket.as_str(), Bucket::look(&self.s3, &object.bucket).await),
            };
            let estimate = bucket.nothing_yet();
            self.buckets.entry(name.to_owned()).or_insert((bucket, estimate));
        }
        let name = match self.buckets.contains_key(&object.bucket) {
            true => &object.bucket,
            false => OTHER_BUCKETS,
        };
        let (bucket, estimate) = self.buckets.get_mut(name).expect("it is there");
        bucket.count(estimate, &object.key, object.size.unwrap_or_default());
    }

    /// Returns the estimates by bucket.
    pub(super) fn into_estimates(self) -> BTreeMap<String, StorageEstimate> {
        self.buckets.into_iter().map(|(name, (_, estimate))| (name, estimate)).collect()
    }
}

/// Settings of a bucket, as far as S3 tells them.
#[derive(Debug, Default)]
struct Bucket {
    is_versioned: Option<bool>,
    rules: Option<Vec<Rule>>,
}

/// An enabled replication rule.
#[derive(Debug, PartialEq)]
struct Rule {
    prefix: String,
    destination: String,
}

impl Bucket {
    async fn look(s3: &Client, name: &str) -> Self {
        let versioning = s3.get_bucket_versioning().bucket(name).send().await;
        let is_versioned = match versioning {
            Ok(versioning) => Some(versioning.status == Some(BucketVersioningStatus::Enabled)),
            Err(error) => is_unknown_to_the_store(error.raw_response()).then_some(false),
        };
        if is_versioned == Some(false) {
            return Self { is_versioned, rules: Some(Vec::new()) };
        }
        let rules = match s3.get_bucket_replication().bucket(name).send().await {
            Ok(replication) => {
                let rules =
                    replication.replication_configuration.map(|configuration| configuration.rules);
                Some(rules.into_iter().flatten().filter_map(Rule::enabled).collect())
            }
            Err(error) => is_unknown_to_the_store(error.raw_response()).then(Vec::new),
        };
        Self { is_versioned, rules }
    }

    fn nothing_yet(&self) -> StorageEstimate {
        StorageEstimate {
            bytes_copied: 0,
            new_version_bytes: self.is_versioned.map(|_| 0),
            replicated_bytes: self.rules.as_ref().map(|_| BTreeMap::new()),
        }
    }

    fn count(&self, estimate: &mut StorageEstimate, key: &str, size: u64) {
        let add = |sum: &mut u64| *sum = sum.saturating_add(size);
        add(&mut estimate.bytes_copied);
        if self.is_versioned == Some(true)
            && let Some(bytes) = &mut estimate.new_version_bytes
        {
            add(bytes);
        }
        let Some((rules, replicated)) = self.rules.as_ref().zip(estimate.replicated_bytes.as_mut())
        else {
            return;
        };
        // Of several rules with one destination, S3 follows one.
        let matching = rules.iter().filter(|rule| key.starts_with(&rule.prefix));
        let destinations: std::collections::BTreeSet<_> =
            matching.map(|rule| &rule.destination).collect();
        for destination in destinations {
            add(replicated.entry(destination.clone()).or_default());
        }
    }
}

impl Rule {
    /// Reads a rule; `None` if it is disabled. Tags are not compared, so it may match fewer objects.
    fn enabled(rule: ReplicationRule) -> Option<Self> {
        if rule.status != ReplicationRuleStatus::Enabled {
            return None;
        }
        let arn = rule.destination?.bucket;
        let destination = arn.rsplit(':').next().unwrap_or_default().to_owned();
        #[expect(deprecated, reason = "rules of the first version have no filter")]
        let of_rule = rule.prefix;
        let of_filter =
            rule.filter.and_then(|filter| filter.prefix.or(filter.and.and_then(|and| and.prefix)));
        Some(Self { prefix: of_filter.or(of_rule).unwrap_or_default(), destination })
    }
}

/// `true` if the bucket has no such setting, or the store does not know it.
fn is_unknown_to_the_store(response: Option<&aws_sdk_s3::config::http::HttpResponse>) -> bool {
    response.is_some_and(|response| matches!(response.status().as_u16(), 404 | 405 | 501))
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{Destination, ReplicationRuleAndOperator, ReplicationRuleFilter, Tag};

    use super::*;

    fn rule(
        status: ReplicationRuleStatus,
        filter: Option<ReplicationRuleFilter>,
    ) -> ReplicationRule {
        let destination =
            Destination::builder().bucket("arn:aws:s3:::west").build().expect("an ARN");
        let rule = ReplicationRule::builder().status(status).destination(destination);
        rule.set_filter(filter).build().expect("a rule")
    }

    #[test]
    fn rules_are_read_by_prefix_and_destination() {
        let tag = Tag::builder().key("k").value("v").build().expect("a tag");
        let and = ReplicationRuleAndOperator::builder().prefix("2026/").tags(tag).build();
        for (filter, prefix) in [
            (None, ""),
            (Some(ReplicationRuleFilter::builder().prefix("2026/").build()), "2026/"),
            (Some(ReplicationRuleFilter::builder().and(and).build()), "2026/"),
        ] {
            let expected = Rule { prefix: prefix.into(), destination: "west".into() };
            assert_eq!(Rule::enabled(rule(ReplicationRuleStatus::Enabled, filter)), Some(expected));
        }
        assert_eq!(Rule::enabled(rule(ReplicationRuleStatus::Disabled, None)), None);
    }

    #[test]
    fn each_destination_gets_an_object_once() {
        let rule = |prefix: &str, destination: &str| Rule {
            prefix: prefix.into(),
            destination: destination.into(),
        };
        let rules = vec![rule("", "west"), rule("a/", "west"), rule("a/", "south")];
        let bucket = Bucket { is_versioned: Some(true), rules: Some(rules) };
        let mut estimate = bucket.nothing_yet();
        bucket.count(&mut estimate, "a/1", 10);
        bucket.count(&mut estimate, "b/1", 5);
        assert_eq!((estimate.bytes_copied, estimate.new_version_bytes), (15, Some(15)));
        let expected = [("south".to_owned(), 10), ("west".to_owned(), 15)];
        assert_eq!(estimate.replicated_bytes, Some(expected.into()));
    }

    #[test]
    fn what_s3_does_not_tell_stays_unknown() {
        let (unversioned, untold) =
            (Bucket { is_versioned: Some(false), rules: Some(Vec::new()) }, Bucket::default());
        for (bucket, expected) in
            [(unversioned, (Some(0), Some(BTreeMap::new()))), (untold, (None, None))]
        {
            let mut estimate = bucket.nothing_yet();
            bucket.count(&mut estimate, "k", 10);
            assert_eq!((estimate.new_version_bytes, estimate.replicated_bytes), expected);
        }
    }
}
