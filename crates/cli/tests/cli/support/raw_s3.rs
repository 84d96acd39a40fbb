//! Plain S3 client.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime},
};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata as _,
    operation::head_object::HeadObjectOutput,
    types::{
        BucketLifecycleConfiguration, BucketVersioningStatus, DeleteMarkerReplication,
        DeleteMarkerReplicationStatus, Destination, ExpirationStatus, Grant, LifecycleExpiration,
        LifecycleRule, LifecycleRuleFilter, ObjectLockRetention, ObjectLockRetentionMode,
        ObjectOwnership, Part, ReplicationConfiguration, ReplicationRule, ReplicationRuleFilter,
        ReplicationRuleStatus, Type, VersioningConfiguration,
    },
};
use tokio::runtime::Runtime;

use super::{Scene, endpoint};

/// Plain client of the test server.
pub(crate) struct RawS3 {
    runtime: Runtime,
    client: Client,
}

impl RawS3 {
    /// Connects to LocalStack.
    pub(crate) fn new() -> Self {
        Self::at(&endpoint())
    }

    /// Connects to this server.
    pub(crate) fn at(endpoint: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        let loader = loader.region(Region::from_static("us-east-1")).endpoint_url(endpoint);
        let config = runtime.block_on(loader.load());
        let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        Self { runtime, client: Client::from_conf(config) }
    }

    /// Creates a bucket unless it exists.
    pub(crate) fn make_bucket(&self, bucket: &str) {
        let made = self.runtime.block_on(self.client.create_bucket().bucket(bucket).send());
        let there = made
            .as_ref()
            .is_err_and(|error| error.code().is_some_and(|code| code.starts_with("BucketAlready")));
        assert!(made.is_ok() || there, "{made:?}");
    }

    /// Enables a bucket's versioning.
    pub(crate) fn version(&self, bucket: &str) {
        let enabled =
            VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let put =
            self.client.put_bucket_versioning().bucket(bucket).versioning_configuration(enabled);
        self.runtime.block_on(put.send()).expect("versioned");
    }

    /// Replicates the objects under a prefix to another bucket. Both must be versioned.
    pub(crate) fn replicate(&self, bucket: &str, prefix: &str, to: &str) {
        let destination = Destination::builder().bucket(format!("arn:aws:s3:::{to}")).build();
        let rule = ReplicationRule::builder()
            .status(ReplicationRuleStatus::Enabled)
            .priority(1)
            .filter(ReplicationRuleFilter::builder().prefix(prefix).build())
            .delete_marker_replication(
                DeleteMarkerReplication::builder()
                    .status(DeleteMarkerReplicationStatus::Disabled)
                    .build(),
            )
            .destination(destination.expect("an ARN"));
        let configuration = ReplicationConfiguration::builder()
            .role("arn:aws:iam::000000000000:role/replication")
            .rules(rule.build().expect("a rule"));
        let put = self.client.put_bucket_replication().bucket(bucket);
        let put = put.replication_configuration(configuration.build().expect("a configuration"));
        self.runtime.block_on(put.send()).expect("replicated");
    }

    /// Stores an object without encryption.
    pub(crate) fn put(&self, scene: &Scene, body: Vec<u8>, metadata: HashMap<String, String>) {
        let put = self
            .client
            .put_object()
            .bucket(&scene.bucket)
            .key(&scene.key)
            .set_metadata(Some(metadata));
        self.runtime.block_on(put.body(body.into()).send()).expect("stored");
    }

    /// Reads the stored bytes of an object and its metadata.
    pub(crate) fn get(&self, scene: &Scene) -> (Vec<u8>, HashMap<String, String>) {
        self.runtime.block_on(async {
            let output = self
                .client
                .get_object()
                .bucket(&scene.bucket)
                .key(&scene.key)
                .send()
                .await
                .expect("there");
            let metadata = output.metadata.clone().unwrap_or_default();
            (output.body.collect().await.expect("all of it").to_vec(), metadata)
        })
    }

    /// Returns the response of `HeadObject`, if the object exists.
    pub(crate) fn head(&self, scene: &Scene) -> Option<HeadObjectOutput> {
        self.runtime
            .block_on(self.client.head_object().bucket(&scene.bucket).key(&scene.key).send())
            .ok()
    }

    /// Returns an object's tags.
    pub(crate) fn tags(&self, scene: &Scene) -> Vec<(String, String)> {
        let get = self.client.get_object_tagging().bucket(&scene.bucket).key(&scene.key);
        let tags = self.runtime.block_on(get.send()).expect("there").tag_set;
        tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
    }

    /// Returns the permissions that an object's access control list grants to groups.
    pub(crate) fn grants_to_groups(&self, scene: &Scene) -> Vec<String> {
        let get = self.client.get_object_acl().bucket(&scene.bucket).key(&scene.key);
        let grants = self.runtime.block_on(get.send()).expect("there").grants.unwrap_or_default();
        let is_group =
            |grant: &Grant| grant.grantee().is_some_and(|grantee| *grantee.r#type() == Type::Group);
        let of_groups = grants.iter().filter(|grant| is_group(grant));
        of_groups.filter_map(|grant| Some(grant.permission()?.as_str().to_owned())).collect()
    }

    /// Creates a bucket whose objects have access control lists.
    pub(crate) fn make_bucket_with_acls(&self, bucket: &str) {
        let create = self.client.create_bucket().bucket(bucket);
        let created = create.object_ownership(ObjectOwnership::ObjectWriter).send();
        self.runtime.block_on(created).expect("created");
    }

    /// Gives a bucket a lifecycle rule that deletes all objects after some days.
    pub(crate) fn expire_all(&self, bucket: &str, days: i32) {
        let rule = LifecycleRule::builder()
            .id("expire-all")
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix("").build())
            .expiration(LifecycleExpiration::builder().days(days).build());
        let rules = BucketLifecycleConfiguration::builder().rules(rule.build().expect("a rule"));
        let put = self.client.put_bucket_lifecycle_configuration().bucket(bucket);
        let put = put.lifecycle_configuration(rules.build().expect("rules")).send();
        self.runtime.block_on(put).expect("a lifecycle");
    }

    /// Creates a bucket with Object Lock.
    pub(crate) fn make_locked_bucket(&self, bucket: &str) {
        let create = self.client.create_bucket().bucket(bucket);
        let created = create.object_lock_enabled_for_bucket(true).send();
        self.runtime.block_on(created).expect("created");
    }

    /// Protects the object for an hour by Object Lock.
    pub(crate) fn lock(&self, scene: &Scene) {
        let until = SystemTime::now() + Duration::from_secs(3600);
        let retention = ObjectLockRetention::builder()
            .mode(ObjectLockRetentionMode::Governance)
            .retain_until_date(until.into())
            .build();
        let put = self.client.put_object_retention().bucket(&scene.bucket).key(&scene.key);
        self.runtime.block_on(put.retention(retention).send()).expect("locked");
    }

    /// Copies an object with its metadata, as replication does.
    pub(crate) fn copy(&self, from: &Scene, to: &Scene) {
        let source = format!("{}/{}", from.bucket, from.key);
        let copy = self.client.copy_object().bucket(&to.bucket).key(&to.key).copy_source(source);
        self.runtime.block_on(copy.send()).expect("copied");
    }

    /// Copies all objects below `prefix` to the same keys of another bucket.
    pub(crate) fn copy_all(&self, prefix: &str, from: &str, to: &str) {
        for key in self.keys(from, prefix) {
            let source = format!("{from}/{key}");
            let copy = self.client.copy_object().bucket(to).key(&key).copy_source(source);
            self.runtime.block_on(copy.send()).expect("copied");
        }
    }

    /// Returns one page of the keys under a prefix.
    pub(crate) fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let list = self.client.list_objects_v2().bucket(bucket).prefix(prefix);
        let listed =
            self.runtime.block_on(list.send()).expect("listed").contents.unwrap_or_default();
        listed.into_iter().filter_map(|object| object.key).collect()
    }

    /// Returns the number of versions and delete markers under a prefix.
    pub(crate) fn versions(&self, bucket: &str, prefix: &str) -> usize {
        let list = self.client.list_object_versions().bucket(bucket).prefix(prefix);
        let listed = self.runtime.block_on(list.send()).expect("listed");
        listed.versions().len() + listed.delete_markers().len()
    }

    /// Returns the part numbers and entity tags of an incomplete upload, if it exists.
    pub(crate) fn parts(&self, scene: &Scene, upload_id: &str) -> Option<BTreeMap<i32, String>> {
        let list =
            self.client.list_parts().bucket(&scene.bucket).key(&scene.key).upload_id(upload_id);
        let listed = match self.runtime.block_on(list.send()) {
            Err(error) if error.code() == Some("NoSuchUpload") => return None,
            listed => listed.expect("listed"),
        };
        let part = |part: &Part| Some((part.part_number()?, part.e_tag()?.to_owned()));
        Some(listed.parts().iter().filter_map(part).collect())
    }

    /// Starts a multipart upload and returns its ID.
    pub(crate) fn begin_upload(&self, bucket: &str, key: &str) -> String {
        let create = self.client.create_multipart_upload().bucket(bucket).key(key);
        self.runtime.block_on(create.send()).expect("created").upload_id.expect("an id")
    }

    /// Aborts a multipart upload.
    pub(crate) fn abort(&self, scene: &Scene, upload_id: &str) {
        let abort = self
            .client
            .abort_multipart_upload()
            .bucket(&scene.bucket)
            .key(&scene.key)
            .upload_id(upload_id);
        self.runtime.block_on(abort.send()).expect("aborted");
    }

    /// Returns the number of incomplete multipart uploads of an object.
    pub(crate) fn unfinished_uploads(&self, scene: &Scene) -> usize {
        let list = self.client.list_multipart_uploads().bucket(&scene.bucket).prefix(&scene.key);
        self.runtime.block_on(list.send()).expect("listed").uploads().len()
    }
}
