//! The operations, one file each.

mod conditions;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod head;
pub(crate) mod inspect;
pub(crate) mod key_materials;
pub(crate) mod put;
pub(crate) mod reencrypt;
pub(crate) mod rewrap;
pub(crate) mod shred;
pub(crate) mod verify;

/// Adds the setters that name an object to a fluent builder.
macro_rules! object_setters {
    () => {
        /// The bucket: a name, or the ARN of an access point.
        pub fn bucket(mut self, bucket: impl Into<String>) -> Self {
            self.bucket = Some(bucket.into());
            self
        }

        /// The object's key.
        pub fn key(mut self, key: impl Into<String>) -> Self {
            self.key = Some(key.into());
            self
        }

        /// Bucket and key at once.
        pub fn uri(self, uri: &crate::S3Uri) -> Self {
            self.bucket(uri.bucket()).key(uri.key())
        }
    };
}
pub(crate) use object_setters;
