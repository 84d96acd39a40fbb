//! Keyrings for these formats.

use std::{fmt, ops::Deref};

use super::{Admitted, ContentSuite, Envelope, WrapAlgorithm, WrappedKey};
use crate::{BoxFuture, EncryptionContext, KeyringError, KeyringErrorKind, PlaintextDataKey};

/// Result of [`Keyring::rewrap`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Rewrapped {
    /// The data key is wrapped under the new wrapping key already.
    Already,
    /// The new wrapped key.
    As(WrappedKey),
}

/// Wraps and unwraps data keys as the S3 Encryption Client does: one wrapped key for each object.
///
/// Pointers to keyrings (`Arc`, `Box`, `&`) are keyrings too.
pub trait Keyring: fmt::Debug + Send + Sync {
    /// `true` if the keyring can unwrap keys wrapped with this algorithm.
    fn accepts(&self, algorithm: WrapAlgorithm) -> bool;

    /// `true` if the keyring binds an encryption context: AWS KMS does, a raw key doesn't.
    fn binds_context(&self) -> bool;

    /// Returns the Region of the first call to a key service that an unwrap makes; `None` if it makes
    /// none.
    fn unwrap_region(&self) -> Option<String> {
        None
    }

    /// Returns the name of the wrapping key that a wrap uses at a key service, for AWS KMS its ARN;
    /// `None` without a service.
    fn wrapping_key(&self) -> Option<String> {
        None
    }

    /// Generates a data key for content encrypted with `suite`, and wraps it.
    fn generate<'a>(
        &'a self,
        suite: ContentSuite,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<(PlaintextDataKey, WrappedKey), KeyringError>> {
        Box::pin(async move {
            let no_random =
                |error| KeyringError::new(KeyringErrorKind::Other, "(none yet)").with_source(error);
            let data_key = PlaintextDataKey::generate().map_err(no_random)?;
            let wrapped = self.wrap(&data_key, suite, context).await?;
            Ok((data_key, wrapped))
        })
    }

    /// Wraps an existing data key for content encrypted with `suite`.
    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        suite: ContentSuite,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, KeyringError>>;

    /// Wraps the data key of an object again, for the same content and encryption context.
    fn wrap_again<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        envelope: &'a Envelope,
    ) -> BoxFuture<'a, Result<WrappedKey, KeyringError>> {
        Box::pin(async move {
            let context = match envelope.encryption_context() {
                Ok(context) => context,
                Err(_) if !self.binds_context() => EncryptionContext::new(),
                Err(error) => {
                    let failed = KeyringError::new(KeyringErrorKind::Other, "(none yet)");
                    return Err(failed.with_source(error));
                }
            };
            self.wrap(data_key, envelope.content().suite(), &context).await
        })
    }

    /// Wraps the data key of an admitted envelope under the wrapping key `to` inside the key service,
    /// if one of this keyring's keys wrapped it. `None` if that is impossible or failed: unwrap it.
    ///
    /// If `refreshes`, a key that `to` wrapped under older key material is wrapped again.
    fn rewrap<'a>(
        &'a self,
        envelope: &'a Admitted,
        to: &'a str,
        refreshes: bool,
    ) -> BoxFuture<'a, Result<Option<Rewrapped>, KeyringError>> {
        let _ = (envelope, to, refreshes);
        Box::pin(async { Ok(None) })
    }

    /// Unwraps the data key of an admitted envelope.
    fn unwrap<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<PlaintextDataKey, KeyringError>>;

    /// Unwraps the data key of an admitted envelope, and names the wrapping key that did it: an ARN
    /// for AWS KMS, `None` for a raw key, which has no name.
    fn unwrap_and_name<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<(PlaintextDataKey, Option<String>), KeyringError>> {
        Box::pin(async move { Ok((self.unwrap(envelope).await?, None)) })
    }
}

#[deny(clippy::missing_trait_methods)]
impl<P> Keyring for P
where
    P: Deref<Target: Keyring> + fmt::Debug + Send + Sync,
{
    fn accepts(&self, algorithm: WrapAlgorithm) -> bool {
        (**self).accepts(algorithm)
    }

    fn binds_context(&self) -> bool {
        (**self).binds_context()
    }

    fn unwrap_region(&self) -> Option<String> {
        (**self).unwrap_region()
    }

    fn wrapping_key(&self) -> Option<String> {
        (**self).wrapping_key()
    }

    fn generate<'a>(
        &'a self,
        suite: ContentSuite,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<(PlaintextDataKey, WrappedKey), KeyringError>> {
        (**self).generate(suite, context)
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        suite: ContentSuite,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, KeyringError>> {
        (**self).wrap(data_key, suite, context)
    }

    fn wrap_again<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        envelope: &'a Envelope,
    ) -> BoxFuture<'a, Result<WrappedKey, KeyringError>> {
        (**self).wrap_again(data_key, envelope)
    }

    fn rewrap<'a>(
        &'a self,
        envelope: &'a Admitted,
        to: &'a str,
        refreshes: bool,
    ) -> BoxFuture<'a, Result<Option<Rewrapped>, KeyringError>> {
        (**self).rewrap(envelope, to, refreshes)
    }

    fn unwrap<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<PlaintextDataKey, KeyringError>> {
        (**self).unwrap(envelope)
    }

    fn unwrap_and_name<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<(PlaintextDataKey, Option<String>), KeyringError>> {
        (**self).unwrap_and_name(envelope)
    }
}
