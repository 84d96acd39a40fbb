//! Keys of objects of the S3 Encryption Client.

use sealwax_envelope::{
    EncryptionContext, KeyringError, PlaintextDataKey,
    s3ec::{Admitted, ContentSuite, Envelope, Error as FormatError, Keyring, WrapAlgorithm},
};

use super::{Vault, proofs::KeyProof};
use crate::error::{Error, ErrorKind, ObjectRef};

impl Vault {
    /// Returns the keyrings for these objects: the given ones, or else the client's own.
    pub(crate) fn s3ec_keyrings(&self) -> impl Iterator<Item = &dyn Keyring> {
        let given = self.s3ec().keyrings();
        let own = if given.is_empty() { self.keyring().s3ec() } else { None };
        given.iter().map(|keyring| &**keyring).chain(own)
    }

    /// Checks an envelope against the policy. `context` is the required encryption context: all of
    /// it, unless `any_encryption_context`.
    pub(crate) fn admit(
        &self,
        target: &ObjectRef,
        envelope: Envelope,
        context: &EncryptionContext,
        any_encryption_context: bool,
    ) -> Result<Admitted, Error> {
        let policy = self.s3ec().read_policy();
        let policy =
            if any_encryption_context { policy.any_encryption_context(true) } else { policy };
        envelope.admit(&policy, context).map_err(|error| target.s3ec_error(error))
    }

    /// Unwraps the data key of an object with `plaintext_len` bytes. For V3, also checks that it is
    /// the content's key.
    pub(crate) async fn check_s3ec_key(
        &self,
        target: &ObjectRef,
        envelope: &Envelope,
        plaintext_len: u64,
    ) -> Result<(), Error> {
        let admitted = self.admit(target, envelope.clone(), &EncryptionContext::new(), true)?;
        let data_key = self.unwrap_s3ec(target, &admitted).await?;
        let stored_len = envelope
            .stored_len(plaintext_len)
            .ok_or_else(|| target.s3ec_error(FormatError::TooLong))?;
        admitted.opener(&data_key, stored_len).map(drop).map_err(|error| target.s3ec_error(error))
    }

    /// Proves the key of an object with `plaintext_len` bytes, and names it.
    ///
    /// V2 and V1 do not commit to the data key: that it is unwrapped is all that can be told without
    /// the whole body.
    pub(crate) async fn prove_s3ec(
        &self,
        target: &ObjectRef,
        envelope: &Envelope,
        plaintext_len: u64,
    ) -> KeyProof {
        let admitted = self.admit(target, envelope.clone(), &EncryptionContext::new(), true);
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(error) => return KeyProof::Unknown(error),
        };
        let (data_key, by) = match self.unwrap_s3ec_and_name(target, &admitted).await {
            Ok(unwrapped) => unwrapped,
            Err(error) if error.kind() == ErrorKind::NoMatchingKey => return KeyProof::NotAsked,
            Err(error) if error.kind() == ErrorKind::Authentication => {
                let message = "none of the keyring's keys unwraps its data key, and the object \
                               does not name its wrapping key";
                return KeyProof::Unknown(target.error(ErrorKind::NoMatchingKey, message));
            }
            Err(error) => return KeyProof::Unknown(error),
        };
        if envelope.content().suite() != ContentSuite::AesGcmCommitKey {
            return KeyProof::Unwrapped { by };
        }
        let Some(stored_len) = envelope.stored_len(plaintext_len) else {
            return KeyProof::Unknown(target.s3ec_error(FormatError::TooLong));
        };
        match admitted.opener(&data_key, stored_len) {
            Ok(_) => KeyProof::Proven { by },
            Err(FormatError::Authentication) => {
                let message = "its wrapped key does not open it";
                KeyProof::Disproved(target.error(ErrorKind::Authentication, message))
            }
            Err(error) => KeyProof::Unknown(target.s3ec_error(error)),
        }
    }

    /// Refuses a wrapping algorithm that no keyring unwraps.
    pub(crate) fn check_s3ec_keyring(
        &self,
        target: &ObjectRef,
        algorithm: WrapAlgorithm,
    ) -> Result<(), Error> {
        if self.s3ec_keyrings().any(|keyring| keyring.accepts(algorithm)) {
            return Ok(());
        }
        let message =
            format!("its data key is wrapped by {algorithm}, and there is no keyring for that");
        Err(target.error(ErrorKind::NoMatchingKey, message))
    }

    /// Unwraps the data key of an admitted envelope.
    pub(crate) async fn unwrap_s3ec(
        &self,
        target: &ObjectRef,
        envelope: &Admitted,
    ) -> Result<PlaintextDataKey, Error> {
        self.unwrap_s3ec_and_name(target, envelope).await.map(|(data_key, _)| data_key)
    }

    /// Unwraps the data key of an admitted envelope, and names the wrapping key if it has a name.
    pub(crate) async fn unwrap_s3ec_and_name(
        &self,
        target: &ObjectRef,
        envelope: &Admitted,
    ) -> Result<(PlaintextDataKey, Option<String>), Error> {
        let algorithm = envelope.envelope().key().algorithm();
        self.check_s3ec_keyring(target, algorithm)?;
        let mut failures: Vec<KeyringError> = Vec::new();
        for keyring in self.s3ec_keyrings().filter(|keyring| keyring.accepts(algorithm)) {
            match keyring.unwrap_and_name(envelope).await {
                Ok(unwrapped) => return Ok(unwrapped),
                Err(error) => failures.push(error),
            }
        }
        Err(target.keyring_error(failures))
    }
}
