//! Storage that a job takes: new versions, and what replication sends again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_sdk_s3::{
    Client,
    types::{BucketVersioningStatus, ReplicationRule, ReplicationRuleStatus},
};
use sealwax_s3::MetadataWay;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::{Action, PlannedObject};

/// Maximum number of buckets that are counted one by one. A list can name any number of them.
const MAX_BUCKETS: usize = 128;
/// Name of all further buckets.
const OTHER_BUCKETS: &str = "others";

/// Storage that copies of a bucket's objects onto themselves take, or new objects in their place. Field names are stable JSON output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StorageEstimate {
    /// Bytes that S3 copies.
    pub bytes_copied: u64,
    /// Bytes that are uploaded.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes_uploaded: u64,
    /// Bytes of new versions, stored in addition until the noncurrent ones are deleted. 0 without
    /// versioning; `None` if S3 does not tell whether the bucket has versioning.
    pub new_version_bytes: Option<u64>,
    /// Maximum number of bytes that S3 Replication sends again, by destination bucket. `None` if S3
    /// does not tell the rules.
    pub replicated_bytes: Option<BTreeMap<String, u64>>,
    /// Objects whose tags S3 did not tell. They count for replication rules that ask for tags.
    pub tags_unknown: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Settings of buckets, which are asked for once each. Cloning is cheap.
#[derive(Debug, Clone)]
pub(super) struct BucketSettings {
    s3: Client,
    buckets: Arc<Mutex<BTreeMap<String, Lookup>>>,
}

/// The copy or upload that the job would make of an object.
#[derive(Debug)]
pub(super) struct CopiedObject {
    bucket: Arc<Bucket>,
    /// Tags, if a replication rule asks for them and S3 tells them.
    tags: Option<Tags>,
    /// `true` if S3 denies to tell tags in the bucket. A copy of an object with tags would fail.
    pub(super) tags_denied: bool,
}

type Lookup = Arc<OnceCell<Arc<Bucket>>>;
type Tags = BTreeMap<String, String>;

impl BucketSettings {
    pub(super) fn new(s3: &Client) -> Self {
        Self { s3: s3.clone(), buckets: Arc::default() }
    }

    /// Returns what is needed to count the new object, if the job would copy or upload one.
    pub(super) async fn copied(&self, object: &PlannedObject) -> Option<CopiedObject> {
        Stored::of(object)?;
        let bucket = self.of(object).await;
        let tags_denied = || bucket.tags_denied.load(Ordering::Relaxed);
        let mut tags = None;
        if bucket.asks_for_tags(&object.key) && !tags_denied() {
            tags = bucket.tags(&self.s3, object).await;
        }
        Some(CopiedObject { tags_denied: tags_denied(), tags, bucket })
    }

    /// Returns the settings of an object's bucket.
    async fn of(&self, object: &PlannedObject) -> Arc<Bucket> {
        let cell = {
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            let is_full = buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&object.bucket);
            if is_full {
                return Arc::default();
            }
            Arc::clone(buckets.entry(object.bucket.clone()).or_default())
        };
        let look = async || Arc::new(Bucket::look(&self.s3, object).await);
        Arc::clone(cell.get_or_init(look).await)
    }
}

/// A new object in the place of the old one, and its length in bytes.
#[derive(Debug, Clone, Copy)]
enum Stored {
    Copied(u64),
    Uploaded(u64),
}

impl Stored {
    /// Returns the new object; `None` if the job would store none, or only a companion.
    fn of(object: &PlannedObject) -> Option<Self> {
        match object.action {
            Action::Rewrap { metadata: MetadataWay::Copy | MetadataWay::MultipartCopy, .. } => {
                Some(Self::Copied(object.size.unwrap_or_default()))
            }
            Action::Reencrypt { uploaded, .. } => Some(Self::Uploaded(uploaded)),
            _ => None,
        }
    }
}

impl StorageEstimate {
    /// Returns the number of bytes that are stored again.
    #[must_use]
    pub fn bytes_stored(&self) -> u64 {
        self.bytes_copied.saturating_add(self.bytes_uploaded)
    }
}

/// Sums of storage by bucket.
#[derive(Debug, Default)]
pub(super) struct StorageEstimator(BTreeMap<String, StorageEstimate>);

impl StorageEstimator {
    /// Counts the copy of an object.
    pub(super) fn count(&mut self, object: &PlannedObject, copied: &CopiedObject) {
        let is_full = self.0.len() >= MAX_BUCKETS && !self.0.contains_key(&object.bucket);
        let (name, bucket) = match is_full {
            true => (OTHER_BUCKETS, &Bucket::default()),
            false => (object.bucket.as_str(), &*copied.bucket),
        };
        let estimate = self.0.entry(name.to_owned()).or_insert_with(|| bucket.nothing_yet());
        if let Some(stored) = Stored::of(object) {
            bucket.count(estimate, &object.key, copied.tags.as_ref(), stored);
        }
    }

    /// Returns the estimates by bucket.
    pub(super) fn into_estimates(self) -> BTreeMap<String, StorageEstimate> {
        self.0
    }
}

/// Settings of a bucket, as far as S3 tells them.
#[derive(Debug, Default)]
struct Bucket {
    is_versioned: Option<bool>,
    rules: Option<Vec<Rule>>,
    tags_denied: AtomicBool,
}

/// An enabled replication rule.
#[derive(Debug, PartialEq)]
struct Rule {
    prefix: String,
    /// Tags that an object must have, all of them.
    tags: Tags,
    destination: String,
}

impl Bucket {
    /// Asks for the settings of the bucket of `object`, and whether S3 tells the object's tags.
    async fn look(s3: &Client, object: &PlannedObject) -> Self {
        let mut bucket = Self::default();
        let _ = bucket.tags(s3, object).await;
        let name = &object.bucket;
        let versioning = s3.get_bucket_versioning().bucket(name).send().await;
        bucket.is_versioned = match versioning {
            Ok(versioning) => Some(versioning.status == Some(BucketVersioningStatus::Enabled)),
            Err(error) => is_unknown_to_the_store(error.raw_response()).then_some(false),
        };
        if bucket.is_versioned == Some(false) {
            bucket.rules = Some(Vec::new());
            return bucket;
        }
        bucket.rules = match s3.get_bucket_replication().bucket(name).send().await {
            Ok(replication) => {
                let rules =
                    replication.replication_configuration.map(|configuration| configuration.rules);
                Some(rules.into_iter().flatten().filter_map(Rule::enabled).collect())
            }
            Err(error) => is_unknown_to_the_store(error.raw_response()).then(Vec::new),
        };
        bucket
    }

    /// `true` if a rule for objects with this key asks for tags.
    fn asks_for_tags(&self, key: &str) -> bool {
        let mut rules = self.rules.iter().flatten();
        rules.any(|rule| key.starts_with(&rule.prefix) && !rule.tags.is_empty())
    }

    /// Returns the object's tags, if S3 tells them. Notes a denial, for S3 is not asked again.
    async fn tags(&self, s3: &Client, object: &PlannedObject) -> Option<Tags> {
        let tagging = s3.get_object_tagging().bucket(&object.bucket).key(&object.key).send().await;
        match tagging {
            Ok(tagging) => {
                Some(tagging.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect())
            }
            Err(error) => {
                let status = error.raw_response().map(|response| response.status().as_u16());
                if status == Some(403) {
                    self.tags_denied.store(true, Ordering::Relaxed);
                }
                // A store without tags.
                matches!(status, Some(405 | 501)).then(Tags::new)
            }
        }
    }

    fn nothing_yet(&self) -> StorageEstimate {
        StorageEstimate {
            new_version_bytes: self.is_versioned.map(|_| 0),
            replicated_bytes: self.rules.as_ref().map(|_| BTreeMap::new()),
            ..StorageEstimate::default()
        }
    }

    fn count(
        &self,
        estimate: &mut StorageEstimate,
        key: &str,
        tags: Option<&Tags>,
        stored: Stored,
    ) {
        let (Stored::Copied(len) | Stored::Uploaded(len)) = stored;
        let add = |sum: &mut u64| *sum = sum.saturating_add(len);
        match stored {
            Stored::Copied(_) => add(&mut estimate.bytes_copied),
            Stored::Uploaded(_) => add(&mut estimate.bytes_uploaded),
        }
        if self.is_versioned == Some(true)
            && let Some(bytes) = &mut estimate.new_version_bytes
        {
            add(bytes);
        }
        if tags.is_none() && self.asks_for_tags(key) {
            estimate.tags_unknown += 1;
        }
        let (Some(rules), Some(replicated)) = (&self.rules, &mut estimate.replicated_bytes) else {
            return;
        };
        // Of several rules with one destination, S3 follows one.
        let matching = rules.iter().filter(|rule| rule.matches(key, tags));
        let destinations: BTreeSet<_> = matching.map(|rule| &rule.destination).collect();
        for destination in destinations {
            add(replicated.entry(destination.clone()).or_default());
        }
    }
}

impl Rule {
    /// `true` if the rule is for this object, or may be for it if its tags are unknown.
    fn matches(&self, key: &str, tags: Option<&Tags>) -> bool {
        let has = |tags: &Tags| self.tags.iter().all(|(key, value)| tags.get(key) == Some(value));
        key.starts_with(&self.prefix) && tags.is_none_or(has)
    }

    /// Reads a rule; `None` if it is disabled.
    fn enabled(rule: ReplicationRule) -> Option<Self> {
        if rule.status != ReplicationRuleStatus::Enabled {
            return None;
        }
        let arn = rule.destination?.bucket;
        let destination = arn.rsplit(':').next().unwrap_or_default().to_owned();
        #[expect(deprecated, reason = "rules of the first version have no filter")]
        let mut prefix = rule.prefix;
        let mut tags = Vec::new();
        if let Some(filter) = rule.filter {
            prefix = filter.prefix.or(prefix);
            tags.extend(filter.tag);
            if let Some(and) = filter.and {
                prefix = and.prefix.or(prefix);
                tags.extend(and.tags.into_iter().flatten());
            }
        }
        let tags = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
        Some(Self { prefix: prefix.unwrap_or_default(), tags, destination })
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
        let and = ReplicationRuleAndOperator::builder().prefix("2026/").tags(tag.clone()).build();
        let tagged = [("k".to_owned(), "v".to_owned())];
        for (filter, prefix, tags) in [
            (None, "", None),
            (Some(ReplicationRuleFilter::builder().prefix("2026/").build()), "2026/", None),
            (Some(ReplicationRuleFilter::builder().tag(tag).build()), "", Some(tagged.clone())),
            (Some(ReplicationRuleFilter::builder().and(and).build()), "2026/", Some(tagged)),
        ] {
            let tags = tags.into_iter().flatten().collect();
            let expected = Rule { prefix: prefix.into(), tags, destination: "west".into() };
            assert_eq!(Rule::enabled(rule(ReplicationRuleStatus::Enabled, filter)), Some(expected));
        }
        assert_eq!(Rule::enabled(rule(ReplicationRuleStatus::Disabled, None)), None);
    }

    #[test]
    fn each_destination_gets_an_object_once() {
        let rule = |prefix: &str, destination: &str| Rule {
            prefix: prefix.into(),
            tags: Tags::new(),
            destination: destination.into(),
        };
        let rules = vec![rule("", "west"), rule("a/", "west"), rule("a/", "south")];
        let bucket = Bucket { is_versioned: Some(true), rules: Some(rules), ..Bucket::default() };
        let mut estimate = bucket.nothing_yet();
        bucket.count(&mut estimate, "a/1", None, Stored::Copied(10));
        bucket.count(&mut estimate, "b/1", None, Stored::Copied(5));
        assert_eq!((estimate.bytes_copied, estimate.new_version_bytes), (15, Some(15)));
        let expected = [("south".to_owned(), 10), ("west".to_owned(), 15)];
        assert_eq!(estimate.replicated_bytes, Some(expected.into()));
        assert_eq!(estimate.tags_unknown, 0);
    }

    #[test]
    fn a_rule_with_tags_counts_objects_that_have_them_or_may_have_them() {
        let tags = |pairs: &[(&str, &str)]| -> Tags {
            pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let rule = Rule {
            prefix: "a/".into(),
            tags: tags(&[("x", "1"), ("y", "2")]),
            destination: "west".into(),
        };
        let bucket =
            Bucket { is_versioned: Some(true), rules: Some(vec![rule]), ..Bucket::default() };
        let mut estimate = bucket.nothing_yet();
        for (key, of_object, size) in [
            ("a/all", Some(tags(&[("x", "1"), ("y", "2"), ("z", "3")])), 1),
            ("a/one", Some(tags(&[("x", "1")])), 10),
            ("a/other", Some(tags(&[("x", "1"), ("y", "3")])), 100),
            ("a/none", Some(Tags::new()), 1_000),
            ("a/unknown", None, 10_000),
            ("b/unknown", None, 100_000),
        ] {
            bucket.count(&mut estimate, key, of_object.as_ref(), Stored::Copied(size));
        }
        assert_eq!(estimate.replicated_bytes, Some([("west".to_owned(), 10_001)].into()));
        assert_eq!(estimate.tags_unknown, 1);
    }

    #[test]
    fn what_s3_does_not_tell_stays_unknown() {
        let (unversioned, untold) = (
            Bucket { is_versioned: Some(false), rules: Some(Vec::new()), ..Bucket::default() },
            Bucket::default(),
        );
        for (bucket, expected) in
            [(unversioned, (Some(0), Some(BTreeMap::new()))), (untold, (None, None))]
        {
            let mut estimate = bucket.nothing_yet();
            bucket.count(&mut estimate, "k", None, Stored::Copied(10));
            assert_eq!((estimate.new_version_bytes, estimate.replicated_bytes), expected);
        }
    }
}
