//! Client and keys of a re-encryption.

use std::sync::Arc;

use sealwax_s3::{SealedClient, UnencryptedObjects, envelope::Keyring};

use crate::{
    args::{FormatArg, KeyCacheArgs, ReaderArgs, S3ecArgs, WrapKey},
    failure::Failure,
    session::Session,
};

/// New format and keys of objects.
#[derive(Debug)]
pub(super) struct Sealing {
    pub(super) to: FormatArg,
    pub(super) under: Vec<WrapKey>,
    pub(super) seal_unencrypted: bool,
}

impl Sealing {
    /// Returns a client that reads with the reader's keys, and the keyring that wraps the new data
    /// keys, unless that is the client's. The keys of `under` only wrap: KMS is asked about an
    /// object's old key, and never whether a new one unwraps it.
    ///
    /// # Errors
    /// The keys are wrong, or none is named.
    pub(super) async fn client(
        &self,
        session: &Session,
        bucket: &str,
        mut reader: ReaderArgs,
        s3ec: &S3ecArgs,
        calls_per_second: Option<u32>,
    ) -> Result<(SealedClient, Option<Arc<dyn Keyring>>), Failure> {
        let Self { to, under, seal_unencrypted } = self;
        let is_local = |key: &WrapKey| matches!(key, WrapKey::Local(_));
        if *to != FormatArg::Native && under.iter().any(is_local) {
            return Err(Failure::usage("a local key requires --to native"));
        }
        reader.besides_local = under.iter().any(is_local);
        reader.source_region = session.source_region().await;
        let kms = Arc::new(session.keyrings().kms(reader, &[], calls_per_second).await?);
        let new_keys: Option<Arc<dyn Keyring>> = match to {
            // Names in the object's metadata are no reason to wrap a new data key for anyone.
            FormatArg::Native if under.is_empty() => Some(session.keyrings().named(&kms)?),
            FormatArg::Native => Some(session.keyrings().of(under, kms.sibling())?),
            // A raw key wraps, and unwraps.
            _ if under.is_empty() || s3ec.has_raw_key() => None,
            _ => Some(session.keyrings().of(under, kms.sibling())?),
        };
        let client = session
            .client_builder_of(bucket, session.keyrings().with_local(kms))
            .s3ec(s3ec.settings_to_write(*to)?);
        let client = match seal_unencrypted {
            true => client.unencrypted(UnencryptedObjects::PassThrough),
            false => client,
        };
        Ok((client.build(), new_keys))
    }

    /// Returns the keyring that wraps new data keys as the cache's arguments say. The formats of the
    /// S3 Encryption Client know no intermediate keys.
    ///
    /// # Errors
    /// As [`KeyCacheArgs::onto`].
    pub(super) fn cached(
        &self,
        session: &Session,
        cache: &KeyCacheArgs,
        keys: Arc<dyn Keyring>,
    ) -> Result<Arc<dyn Keyring>, Failure> {
        match self.to {
            FormatArg::Native => cache.onto(&session.key_store(), keys),
            _ => Ok(keys),
        }
    }
}
