//! Operations on objects: one file or folder each.

pub(crate) mod abort;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod delete_batch;
pub(crate) mod forecast;
pub(crate) mod get;
pub(crate) mod head;
pub(crate) mod inspect;
pub(crate) mod key_audit;
pub(crate) mod listed;
pub(crate) mod move_object;
pub(crate) mod permission;
pub(crate) mod put;
pub(crate) mod reencrypt;
pub(crate) mod rewrap;
pub(crate) mod shred;
pub(crate) mod skipped;
pub(crate) mod stored_keys;
pub(crate) mod verify;

use sealwax_envelope::EncryptionContext;

use crate::{
    error::{Error, ObjectRef},
    store::Store,
    upload::budget::UploadBudget,
    vault::Vault,
};

/// Everything that an operation needs: store, vault and upload budget. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) budget: UploadBudget,
}

/// Adds the setters that name an object to a fluent builder.
macro_rules! object_setters {
    () => {
        /// Sets the bucket: a name, or the ARN of an access point.
        pub fn bucket(mut self, bucket: impl Into<String>) -> Self {
            self.bucket = Some(bucket.into());
            self
        }

        /// Sets the object's key.
        pub fn key(mut self, key: impl Into<String>) -> Self {
            self.key = Some(key.into());
            self
        }

        /// Sets bucket and key at once.
        pub fn uri(self, uri: &crate::S3Uri) -> Self {
            self.bucket(uri.bucket()).key(uri.key())
        }
    };
}
pub(crate) use object_setters;

/// Encryption context of a fluent builder. `send` reports invalid pairs.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContextSetting {
    pub(crate) context: EncryptionContext,
    pub(crate) pairs: Vec<(String, String)>,
}

impl ContextSetting {
    pub(crate) fn build(self, target: &ObjectRef) -> Result<EncryptionContext, Error> {
        let Self { mut context, pairs } = self;
        for (name, value) in pairs {
            context.insert(name, value).map_err(|error| target.envelope_error(error))?;
        }
        Ok(context)
    }
}

/// Adds the setters of a [`ContextSetting`] to a fluent builder, documented by `$doc`.
macro_rules! context_setters {
    ($(#[$doc:meta])*) => {
        $(#[$doc])*
        pub fn encryption_context(mut self, context: EncryptionContext) -> Self {
            self.context = ContextSetting { context, pairs: Vec::new() };
            self
        }

        /// Adds one pair to the encryption context. `send` reports an invalid pair.
        pub fn context(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.context.pairs.push((name.into(), value.into()));
            self
        }
    };
}
pub(crate) use context_setters;
