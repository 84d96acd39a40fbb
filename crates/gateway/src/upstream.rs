//! The store behind the gateway, and what hides in it.

use std::{fmt, sync::Arc, time::SystemTime};

use aws_sdk_s3::primitives::DateTime;
use s3s::{S3Error, S3ErrorCode, S3Result, dto::Timestamp};
use sealwax_s3::{SealedClient, envelope::geometry};

use crate::{
    failure::invalid,
    names::is_hidden,
    unsealed::{ListedObject, Unsealed, UnsealedObjects},
};

/// Length of the first parts of uploads in bytes, which are gathered before they are sealed: 8 MiB.
const PART_LEN: u64 = 8 << 20;

/// The sealed client, and the names that no client of the gateway sees. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Upstream(Arc<Inner>);

struct Inner {
    client: SealedClient,
    unsealed: Unsealed,
    /// Encryption context of new objects.
    context: Vec<(String, String)>,
}

impl Upstream {
    pub(crate) fn new(
        client: SealedClient,
        unsealed: UnsealedObjects,
        context: Vec<(String, String)>,
    ) -> Self {
        let unsealed = Unsealed::new(unsealed, &client);
        Self(Arc::new(Inner { client, unsealed, context }))
    }

    pub(crate) fn client(&self) -> &SealedClient {
        &self.0.client
    }

    /// Returns the client that reads the key: in some places, unsealed objects too.
    pub(crate) fn reader(&self, bucket: &str, key: &str) -> &SealedClient {
        self.0.unsealed.client(bucket, key).unwrap_or(&self.0.client)
    }

    /// `true` if unsealed objects are read anywhere.
    pub(crate) fn has_places_for_unsealed(&self) -> bool {
        self.0.unsealed.has_places()
    }

    /// Returns the length of the plaintext of an object, listed with `stored_len` bytes: by arithmetic,
    /// or by what the store says of `listed` if that may be unsealed.
    pub(crate) async fn plaintext_len(&self, listed: Option<ListedObject>, stored_len: u64) -> u64 {
        let unsealed = &self.0.unsealed;
        let may_be = |it: &ListedObject| unsealed.client(&it.bucket, &it.key).is_some();
        let told = match listed.filter(may_be) {
            Some(listed) => unsealed.plaintext_len(listed).await,
            None => None,
        };
        // An object of a length that no sealed one has is not sealed.
        told.or_else(|| geometry::plaintext_len(stored_len)).unwrap_or(stored_len)
    }

    /// Returns the length of a body that is in memory before a part of it is sealed.
    pub(crate) fn part_len(&self) -> u64 {
        PART_LEN
    }

    /// Returns the encryption context of new objects.
    pub(crate) fn context(&self) -> &[(String, String)] {
        &self.0.context
    }

    /// `true` if `key` is Sealwax's own: a key object, a scratch object or a sidecar.
    pub(crate) fn hides(&self, key: &str) -> bool {
        is_hidden(key)
            || self.client().key_store().owns(key)
            || self.client().sidecars().suffix().is_some_and(|suffix| key.ends_with(suffix))
    }

    /// Refuses a key that is Sealwax's own, or that the SDK can't send.
    ///
    /// # Errors
    /// It is one of them. For Sealwax's own, the answer is that of a missing permission.
    pub(crate) fn check_key(&self, key: &str) -> S3Result<()> {
        // The SDK takes it for none.
        if key.trim().is_empty() {
            return Err(invalid("a key of blanks alone is not supported"));
        }
        if !self.hides(key) {
            return Ok(());
        }
        let message = "keys like this one belong to Sealwax";
        Err(S3Error::with_message(S3ErrorCode::AccessDenied, message))
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

/// Converts a time of the SDK.
pub(crate) fn timestamp(time: DateTime) -> Option<Timestamp> {
    SystemTime::try_from(time).ok().map(Timestamp::from)
}

/// Converts a time to one of the SDK.
pub(crate) fn date_time(time: Timestamp) -> DateTime {
    let time: SystemTime = time::OffsetDateTime::from(time).into();
    DateTime::from(time)
}
