//! Knowledge about wrapped keys that only a key service has: whether they open the object, and their key
//! material.

use std::fmt;

use sealwax_envelope::{
    EncryptedDataKey, KeyMaterial, Keyring as _,
    s3ec::{Envelope, MAX_INSTRUCTION_FILE_LEN},
};

use super::{
    Handle,
    head::Head,
    inspect::{InspectOutput, InspectedKey},
};
use crate::{
    error::{Error, ErrorKind},
    single_flight::SingleFlightCache,
    store::companion::{Found, read_bounded},
    vault::{
        object_kind::ObjectKind,
        proofs::{KeyProof, Proofs},
    },
};

/// Asks the key service about the keys of inspected objects: whether they open the object, and
/// which material of a rotated wrapping key wrapped them.
///
/// It calls the key service only for keys that the client reads with: the client's keyring accepts
/// the wrapping key, and the place is accepted. Each call authenticates the wrapped key. Objects
/// that share an encrypted form of an intermediate key share one call, and up to 1,024 unwrapped
/// intermediate keys stay in memory until this value is dropped.
///
/// ```no_run
/// # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
/// use sealwax_s3::KeyProof;
///
/// let audit = client.key_audit();
/// let inspection = client.inspect().bucket("invoices").key("2026/0001.pdf").send().await?;
/// for inspected in &inspection.keys {
///     match audit.prove(&inspection, inspected).await {
///         KeyProof::Proven { .. } => println!("{} opens it", inspected.key.wrapping_key()),
///         proof => println!("{}: {proof:?}", inspected.key.wrapping_key()),
///     }
///     println!("{:?}", audit.material(&inspection, inspected).await?);
/// }
/// # Ok(())
/// # }
/// ```
pub struct KeyAudit {
    handle: Handle,
    materials: SingleFlightCache<EncryptedDataKey, Option<KeyMaterial>>,
    proofs: Proofs,
}

impl KeyAudit {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, materials: SingleFlightCache::default(), proofs: Proofs::default() }
    }

    /// Unwraps `key`, a key of `object`, and compares the result with the body's commitment.
    ///
    /// The key is unwrapped alone: by its own wrapping key or a replica of it, and from no key
    /// cache.
    pub async fn prove(&self, object: &InspectOutput, key: &InspectedKey) -> KeyProof {
        match &object.header {
            Some(header) if key.is_at_place => {
                self.proofs.prove(&self.handle.vault, &object.target, header, &key.key).await
            }
            _ => KeyProof::NotAsked,
        }
    }

    /// Proves the key of an object of the Amazon S3 Encryption Client, which does not name its
    /// wrapping key, and names it. V2 and V1 have no commitment: their keys are
    /// [`KeyProof::Unwrapped`]. So is the key of V2 or V1 in an instruction file whose object is gone or
    /// has another format now.
    ///
    /// It costs one more `HeadObject`, one `GetObject` if the key is in an instruction file, and
    /// the keyring's calls. The client's settings for these objects decide which formats are read.
    /// Objects of other kinds are [`KeyProof::NotAsked`].
    pub async fn prove_unnamed(&self, object: &InspectOutput) -> KeyProof {
        let target = &object.target;
        if object.kind == ObjectKind::InstructionFile {
            return self.prove_file(object).await;
        }
        if !object.kind.is_encryption_client() {
            return KeyProof::NotAsked;
        }
        let mut head = Head::new(self.handle.clone()).bucket(&target.bucket).key(&target.key);
        if let Some(version_id) = &object.version_id {
            head = head.version_id(version_id);
        }
        match head.send().await {
            Ok(info) => match info.envelope() {
                Some(envelope) => {
                    self.handle.vault.prove_s3ec(target, envelope, info.plaintext_len()).await
                }
                None => KeyProof::NotAsked,
            },
            Err(error) => KeyProof::Unknown(error.in_operation(target.operation)),
        }
    }

    /// Unwraps the key in an instruction file, and names its wrapping key.
    async fn prove_file(&self, file: &InspectOutput) -> KeyProof {
        let Handle { store, vault, .. } = &self.handle;
        let (target, version_id) = (&file.target, file.version_id.as_deref());
        let read = read_bounded(store, target, version_id, MAX_INSTRUCTION_FILE_LEN).await;
        let bytes = match read {
            Ok(Found::Object { bytes, .. }) => bytes,
            Ok(Found::Nothing) => {
                let message = "it was deleted meanwhile";
                return KeyProof::Unknown(target.error(ErrorKind::NotFound, message));
            }
            Ok(Found::Denied(error)) | Err(error) => return KeyProof::Unknown(error),
        };
        match Envelope::of_instruction_file(&bytes) {
            Ok(envelope) => match vault.prove_s3ec(target, &envelope, 0).await {
                // Without its object there is nothing that it could be proven to open.
                KeyProof::Proven { by } => KeyProof::Unwrapped { by },
                proof => proof,
            },
            Err(error) => KeyProof::Unknown(target.s3ec_error(error)),
        }
    }

    /// Returns the material that wrapped `key`, a key of `object`.
    ///
    /// Each call is one `ReEncrypt` from a wrapping key to itself, so no data key leaves AWS KMS.
    /// Returns `None` if the key service does not report the material, or if the client does not
    /// read with this key.
    ///
    /// # Errors
    /// The failure of the key service.
    pub async fn material(
        &self,
        object: &InspectOutput,
        key: &InspectedKey,
    ) -> Result<Option<KeyMaterial>, Error> {
        let keyring = self.handle.vault.keyring();
        if !key.is_at_place || !keyring.accepts(&key.key) {
            return Ok(None);
        }
        let ask = async |key: &EncryptedDataKey| {
            let material = keyring.key_material(key).await;
            material.map_err(|error| object.target.keyring_error(vec![error]))
        };
        match key.key.intermediate() {
            Some(shared) => {
                let slot = self.materials.slot(&shared);
                Ok(slot.get_or_try_init(|| ask(&shared)).await?.clone())
            }
            None => ask(&key.key).await,
        }
    }
}

impl fmt::Debug for KeyAudit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyAudit").field("handle", &self.handle).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::operation::head_object::HeadObjectOutput;

    use super::*;
    use crate::{
        error::ErrorKind,
        store::answers::{Answer, answering},
        upload::budget::UploadBudget,
        vault::{
            object_kind::ObjectKind,
            samples::{Sample, Service, local, vault},
        },
    };

    fn inspected(sample: &Sample, key: &EncryptedDataKey, kind: ObjectKind) -> InspectOutput {
        InspectOutput {
            kind,
            keys: Vec::new(),
            detached: Vec::new(),
            missing: Vec::new(),
            may_have_other_keys: false,
            generation: None,
            problem: None,
            target: sample.target.clone(),
            head: Box::new(HeadObjectOutput::builder().build()),
            version_id: None,
            header: Some(Box::new(sample.header(vec![key.clone()]))),
        }
    }

    /// No name in metadata brings a call to a key service that the client does not read with.
    #[tokio::test]
    async fn a_key_service_is_asked_about_keys_that_the_client_reads_with() {
        let sample = Sample::new("here");
        let own = sample.wrapped(&local("a")).await;
        let shared = sample.shared("a", &sample.data_key, 0).await;
        for (keyring, key, is_at_place, expected) in [
            ("a", &own[0], true, &["unwrap", "key_material", "key_material"][..]),
            ("a", &shared[0], true, &["unwrap", "key_material"]),
            ("a", &own[0], false, &[]),
            ("b", &own[0], true, &[]),
            ("b", &own[0], false, &[]),
        ] {
            let service = Service::new(keyring);
            let calls = service.calls();
            let (store, requests) = answering(|_| Answer::new(500, ""));
            let budget = UploadBudget::new(1);
            let audit = KeyAudit::new(Handle { store, vault: vault(service), budget });
            let object = inspected(&sample, key, ObjectKind::Sealwax);
            let key = InspectedKey {
                key: key.clone(),
                is_at_place,
                in_sidecar: false,
                in_key_store: false,
            };
            let is_asked = !expected.is_empty();
            let proof = audit.prove(&object, &key).await;
            assert_eq!(matches!(&proof, KeyProof::Proven { by: Some(by) } if by == "a"), is_asked);
            assert_eq!(matches!(proof, KeyProof::NotAsked), !is_asked);
            for _ in 0..2 {
                let material = audit.material(&object, &key).await.expect("reported");
                let reported = is_asked.then(|| KeyMaterial::new("m1", true));
                assert_eq!(material, reported, "{keyring} {is_at_place}");
            }
            assert_eq!(calls.take(), expected, "{keyring} {is_at_place}");
            assert_eq!(requests.take(), [""; 0]);
        }
    }

    #[tokio::test]
    async fn only_an_object_of_the_encryption_client_is_read_again() {
        let sample = Sample::new("here");
        let keys = sample.wrapped(&local("a")).await;
        let is_asked = [
            (ObjectKind::Sealwax, false),
            (ObjectKind::Unsealed, false),
            (ObjectKind::EncryptionClientV1, true),
            (ObjectKind::EncryptionClientV3, true),
            (ObjectKind::EncryptionClientInstructed, true),
        ];
        for (kind, is_asked) in is_asked {
            let (store, requests) = answering(|_| Answer::new(500, ""));
            let budget = UploadBudget::new(1);
            let audit = KeyAudit::new(Handle { store, vault: vault(local("a")), budget });
            let unknown = match audit.prove_unnamed(&inspected(&sample, &keys[0], kind)).await {
                KeyProof::NotAsked => None,
                KeyProof::Unknown(error) => Some(error.kind()),
                proof => panic!("{proof:?}"),
            };
            assert_eq!(unknown, is_asked.then_some(ErrorKind::Unavailable), "{kind:?}");
            assert_eq!(requests.take(), Vec::from_iter(is_asked.then_some("HEAD /here")));
        }
    }
}
