//! The objects in `tests/vectors/s3ec`, and keyrings with their keys.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::FutureExt as _;
use sealwax_envelope::{
    BoxFuture, EncryptionContext, KeyringError, KeyringErrorKind, PlaintextDataKey, metadata,
    s3ec::{
        Admitted, CommitmentPolicy, ContentSuite, Detected, Envelope, Error, Keyring,
        RawAesKeyring, RawRsaKeyring, ReadPolicy, WrapAlgorithm, WrappedKey, detect,
    },
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Manifest {
    entries: Vec<Entry>,
}

/// An entry of the manifest, with the fields that the tests need.
#[derive(Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) format: String,
    pub(crate) storage: String,
    pub(crate) wrapping_algorithm: String,
    pub(crate) content_suite: String,
    wrapped_data_key_b64: String,
    plaintext_data_key_hex: String,
    #[serde(default)]
    request_encryption_context: BTreeMap<String, String>,
    #[serde(default)]
    kms_encryption_context: BTreeMap<String, String>,
}

/// A stored object and its plaintext.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) instruction_file: Option<Vec<u8>>,
    pub(crate) body: Vec<u8>,
    pub(crate) plaintext: Vec<u8>,
    pub(crate) context: EncryptionContext,
}

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/s3ec"))
}

fn read(path: &str) -> Vec<u8> {
    fs::read(directory().join(path)).expect("a file of the samples")
}

pub(crate) fn entries() -> Vec<Entry> {
    serde_json::from_slice::<Manifest>(&read("manifest.json")).expect("the manifest").entries
}

impl Entry {
    pub(crate) fn load(&self) -> Sample {
        let read = |name: &str| read(&format!("{}/{name}", self.id));
        Sample {
            metadata: serde_json::from_slice(&read("metadata.json")).expect("metadata"),
            instruction_file: (self.storage == "instruction-file")
                .then(|| read("instruction.json")),
            body: read("ciphertext.bin"),
            plaintext: read("plaintext.bin"),
            context: EncryptionContext::try_from_iter(self.request_encryption_context.clone())
                .expect("pairs"),
        }
    }
}

pub(crate) fn sample(id: &str) -> Sample {
    entries().iter().find(|entry| entry.id == id).expect("a sample").load()
}

pub(crate) fn everything() -> ReadPolicy {
    let policy = ReadPolicy::new().commitment(CommitmentPolicy::RequireEncryptAllowDecrypt);
    policy.legacy_wrapping_algorithms(true).legacy_unauthenticated_modes(true)
}

pub(crate) fn allow_decrypt() -> ReadPolicy {
    ReadPolicy::new().commitment(CommitmentPolicy::RequireEncryptAllowDecrypt)
}

impl Sample {
    /// Sets a field of the envelope, which is in the metadata or in the instruction file.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        match &mut self.instruction_file {
            None => {
                self.metadata.insert(name.into(), value.into());
            }
            Some(file) => {
                let mut pairs: BTreeMap<String, String> =
                    serde_json::from_slice(file).expect("JSON");
                pairs.insert(name.into(), value.into());
                *file = serde_json::to_vec(&pairs).expect("JSON");
            }
        }
    }

    pub(crate) fn envelope(&self) -> Result<Envelope, Error> {
        match detect(metadata::pairs(&self.metadata))? {
            Detected::Complete(envelope) => Ok(envelope),
            Detected::Pending(pending) => match &self.instruction_file {
                Some(file) => pending.complete(file),
                None => Err(Error::Malformed("no instruction file".into())),
            },
        }
    }

    /// Decrypts the object in pieces of 100 bytes. Plaintext that was not released is discarded.
    pub(crate) fn open(&self, policy: &ReadPolicy, keys: &Keys) -> Result<Vec<u8>, Error> {
        let admitted = self.envelope()?.admit(policy, &self.context)?;
        let data_key = keys.unwrap(&admitted)?;
        let mut opener = admitted.opener(&data_key, self.body.len() as u64)?;
        let pieces: Result<Vec<_>, _> =
            self.body.chunks(100).map(|piece| opener.open(piece.to_vec())).collect();
        let pieces = pieces?;
        let verified = opener.finish()?;
        let mut plaintext: Vec<u8> =
            pieces.into_iter().flat_map(|piece| piece.release(&verified)).collect();
        plaintext.extend_from_slice(verified.rest());
        Ok(plaintext)
    }
}

/// Keyrings with all wrapping keys of the samples; counts the calls of `unwrap`.
pub(crate) struct Keys {
    keyrings: Vec<Box<dyn Keyring>>,
    asked: AtomicUsize,
}

impl Keys {
    pub(crate) fn all() -> Self {
        let (aes, rsa) = raw_keyrings();
        Self {
            keyrings: vec![Box::new(Exported::new()), Box::new(aes), Box::new(rsa)],
            asked: AtomicUsize::new(0),
        }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn unwrap(&self, envelope: &Admitted) -> Result<PlaintextDataKey, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let algorithm = envelope.envelope().key().algorithm();
        let keyring =
            self.keyrings.iter().find(|keyring| keyring.accepts(algorithm)).expect("all are held");
        let unwrapped = keyring.unwrap(envelope).now_or_never().expect("nothing waits");
        unwrapped.map_err(|error| {
            assert_eq!(error.kind(), KeyringErrorKind::Rejected, "{error}");
            Error::Authentication
        })
    }
}

pub(crate) fn raw_keyrings() -> (RawAesKeyring, RawRsaKeyring) {
    let hex = String::from_utf8(read("_keys/aes256.hex")).expect("text");
    let mut aes = hex::decode(hex.trim()).expect("hex");
    let rsa = RawRsaKeyring::from_private_key(&read("_keys/rsa2048-private-pkcs8.pem"))
        .expect("a private key");
    (RawAesKeyring::new(&mut aes).expect("32 bytes"), rsa)
}

/// Keyring in place of the samples' KMS.
pub(crate) fn exported() -> impl Keyring {
    Exported::new()
}

pub(crate) fn public_rsa_keyring() -> RawRsaKeyring {
    RawRsaKeyring::from_public_key(&read("_keys/rsa2048-public-spki.pem")).expect("a public key")
}

/// Answers like the KMS that wrapped the samples' keys, but only to their exact ciphertexts and
/// encryption contexts.
#[derive(Debug)]
struct Exported(HashMap<(Vec<u8>, BTreeMap<String, String>), String>);

impl Exported {
    fn new() -> Self {
        let of_kms =
            entries().into_iter().filter(|entry| entry.wrapping_algorithm.starts_with("kms"));
        let answers = of_kms.map(|entry| {
            let ciphertext = STANDARD.decode(&entry.wrapped_data_key_b64).expect("base64");
            ((ciphertext, entry.kms_encryption_context), entry.plaintext_data_key_hex)
        });
        Self(answers.collect())
    }
}

impl Keyring for Exported {
    fn accepts(&self, algorithm: WrapAlgorithm) -> bool {
        algorithm.is_kms()
    }

    fn binds_context(&self) -> bool {
        true
    }

    fn wrap<'a>(
        &'a self,
        _data_key: &'a PlaintextDataKey,
        _suite: ContentSuite,
        _context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, KeyringError>> {
        Box::pin(async { Err(KeyringError::new(KeyringErrorKind::Other, "exported")) })
    }

    fn unwrap<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<PlaintextDataKey, KeyringError>> {
        Box::pin(async move {
            let key = envelope.envelope().key();
            let call = (key.encrypted_data_key().to_vec(), key.description().clone());
            let rejected = || KeyringError::new(KeyringErrorKind::Rejected, "exported");
            let mut data_key = hex::decode(self.0.get(&call).ok_or_else(rejected)?).expect("hex");
            Ok(PlaintextDataKey::from_slice_wiping(&mut data_key).expect("32 bytes"))
        })
    }
}
