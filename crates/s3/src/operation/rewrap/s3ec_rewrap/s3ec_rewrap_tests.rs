//! Rewraps of S3 Encryption Client objects without a server: which keys are used, and how.

use sealwax_envelope::{
    BoxFuture, EncryptionContext, KeyringError, KeyringErrorKind, PlaintextDataKey,
    s3ec::{CommitmentPolicy, Content, ContentSealer},
};

use super::*;
use crate::{
    operation::rewrap::{KeyChanges, key_storage::KeyStorage},
    s3ec::S3ec,
    store::answers::{Answer, Requests, answering},
    upload::budget::UploadBudget,
    vault::{
        intermediate::IntermediateKeys,
        proofs::Proofs,
        samples::{Calls, Sample, local, vault_with},
    },
};

const V2: ContentSuite = ContentSuite::AesGcm;
const V3: ContentSuite = ContentSuite::AesGcmCommitKey;

/// Ability of a key service to wrap a data key again without showing it.
#[derive(Debug, Clone, Copy)]
enum Inside {
    Impossible,
    Already,
    Possible,
}

/// A key service with one wrapping key. Its ciphertexts are the key's name and the data key.
#[derive(Debug, Clone)]
struct Kms {
    name: &'static str,
    accepts: bool,
    inside: Inside,
    calls: Calls,
}

impl Kms {
    fn new(name: &'static str) -> Self {
        Self { name, accepts: true, inside: Inside::Impossible, calls: Calls::default() }
    }

    fn inside(self, inside: Inside) -> Self {
        Self { inside, ..self }
    }
}

fn wrapped(name: &str, key: &PlaintextDataKey, suite: ContentSuite) -> WrappedKey {
    let ciphertext = [name.as_bytes(), key.expose_secret().as_slice()].concat();
    let context = WrappedKey::kms_context(suite, &EncryptionContext::new());
    WrappedKey::new(WrapAlgorithm::KmsContext, ciphertext, context)
}

impl Keyring for Kms {
    fn accepts(&self, _: WrapAlgorithm) -> bool {
        self.accepts
    }

    fn binds_context(&self) -> bool {
        true
    }

    fn wrapping_key(&self) -> Option<String> {
        Some(self.name.to_owned())
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        suite: ContentSuite,
        _: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, KeyringError>> {
        self.calls.note("wrap");
        Box::pin(async move { Ok(wrapped(self.name, data_key, suite)) })
    }

    fn rewrap<'a>(
        &'a self,
        envelope: &'a Admitted,
        to: &'a str,
        _: bool,
    ) -> BoxFuture<'a, Result<Option<Rewrapped>, KeyringError>> {
        self.calls.note("rewrap");
        let old = envelope.envelope().key();
        let ciphertext = [to.as_bytes(), &old.encrypted_data_key()[self.name.len()..]].concat();
        let description = old.description().clone();
        let new = WrappedKey::new(WrapAlgorithm::KmsContext, ciphertext, description);
        let rewrapped = match self.inside {
            Inside::Impossible => None,
            Inside::Already => Some(Rewrapped::Already),
            Inside::Possible => Some(Rewrapped::As(new)),
        };
        Box::pin(async { Ok(rewrapped) })
    }

    fn unwrap<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<PlaintextDataKey, KeyringError>> {
        self.calls.note("unwrap");
        let ciphertext = envelope.envelope().key().encrypted_data_key();
        let unwrapped = match ciphertext.strip_prefix(self.name.as_bytes()) {
            Some(key) => {
                Ok(PlaintextDataKey::from_slice_wiping(&mut key.to_vec()).expect("a data key"))
            }
            None => Err(KeyringError::new(KeyringErrorKind::Rejected, self.name)),
        };
        Box::pin(async { unwrapped })
    }

    fn unwrap_and_name<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<(PlaintextDataKey, Option<String>), KeyringError>> {
        Box::pin(async { Ok((self.unwrap(envelope).await?, Some(self.name.to_owned()))) })
    }
}

/// An object whose data key is wrapped under `old`.
struct Object {
    target: ObjectRef,
    envelope: Envelope,
}

impl Object {
    fn new(suite: ContentSuite, storage: Storage) -> Self {
        let (key, content) = content(suite);
        let key = wrapped("old", &key, suite);
        let envelope = Envelope::new(content, key, storage).expect("an envelope");
        Self { target: Sample::new("here").target, envelope }
    }

    /// Returns the object with a wrapped key of another data key.
    fn planted(suite: ContentSuite) -> Self {
        let object = Self::new(suite, Storage::Metadata);
        let key = wrapped("old", &content(suite).0, suite);
        Self { envelope: object.envelope.rewrapped(key).expect("an envelope"), ..object }
    }

    /// Returns a store with the object, and with `file` as its instruction file.
    fn store(&self, file: Option<String>) -> (crate::store::Store, Requests) {
        let metadata = self.envelope.to_metadata();
        answering(move |request| {
            let written = || Answer::new(200, "").with("etag", "\"new\"");
            match request.split(' ').next() {
                Some("HEAD") => {
                    let head = Answer::new(200, [0; 16])
                        .with("last-modified", "Sat, 28 Nov 2026 12:00:00 GMT")
                        .with("etag", "\"e\"");
                    metadata.iter().fold(head, |head, (name, value)| {
                        head.with(format!("x-amz-meta-{name}"), value)
                    })
                }
                Some("GET") => match &file {
                    Some(file) => Answer::new(200, file.as_str()).with("etag", "\"file\""),
                    None => Answer::new(404, ""),
                },
                _ => written(),
            }
        })
    }
}

fn content(suite: ContentSuite) -> (PlaintextDataKey, Content) {
    let key = PlaintextDataKey::generate().expect("random");
    let content = ContentSealer::new(suite, &key).expect("a sealer").1;
    (key, content)
}

fn wrapping(store: crate::store::Store, client: &Kms, changes: KeyChanges) -> Wrapping {
    let policy = CommitmentPolicy::RequireEncryptAllowDecrypt;
    let s3ec = S3ec::new().keyring(client.clone()).commitment_policy(policy);
    let vault = vault_with(local("a"), |settings| settings.s3ec = s3ec);
    Wrapping {
        handle: Handle { store, vault, budget: UploadBudget::new(1) },
        changes,
        accepted_places: Vec::new(),
        intermediate_keys: IntermediateKeys::default(),
        proofs: Proofs::default(),
        key_storage: KeyStorage::Metadata,
    }
}

/// Rewraps the object up to the point where the new key would be stored. Returns the name in the new
/// wrapped key's ciphertext, and the proven names.
async fn new_key(
    object: &Object,
    client: &Kms,
    new: &Kms,
    changes: KeyChanges,
) -> Result<(Option<String>, Vec<String>), ErrorKind> {
    let wrapping = wrapping(object.store(None).0, client, changes);
    let target = &object.target;
    let snapshot = Snapshot::take(&wrapping.handle.store, target).await.expect("a snapshot");
    let vault = &wrapping.handle.vault;
    let context = EncryptionContext::new();
    let admitted = vault.admit(target, object.envelope.clone(), &context, true).expect("admitted");
    let made = wrapping.wrapped_s3ec(target, new, &admitted, &snapshot).await;
    let (wrapped, proven) = made.map_err(|error| error.kind())?;
    let name = wrapped.map(|wrapped| {
        let old = object.envelope.key().encrypted_data_key();
        let (name, key) = wrapped.encrypted_data_key().split_at(3);
        assert_eq!(key, &old[3..], "of the same data key");
        String::from_utf8(name.to_vec()).expect("a name")
    });
    Ok((name, proven))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// KMS wraps again without showing the key, unless the format can prove it.
#[tokio::test]
async fn a_data_key_is_shown_only_where_it_is_proven() {
    let replace = || KeyChanges::new().replace_s3ec_key(Kms::new("new"));
    let (unproven, refresh) =
        (|| replace().dangerous_allow_unproven(), || KeyChanges::new().refresh_keys());
    let (old, new) = (|| Kms::new("old"), || Kms::new("new"));
    let (inside, already) = (old().inside(Inside::Possible), old().inside(Inside::Already));
    let (rewrap, unwrap, wrap) = ("rewrap", "unwrap", "wrap");
    let made = Ok((Some("new".to_owned()), Vec::new()));
    let stays = |proven: &[&str]| Ok((None, names(proven)));
    for (suite, changes, client, new, expected, of_client, of_new) in [
        (V2, replace(), &inside, new(), made.clone(), &[rewrap][..], &[][..]),
        (V2, replace(), &already, new(), stays(&[]), &[rewrap], &[]),
        (V2, replace(), &old(), new(), made.clone(), &[rewrap, unwrap], &[wrap]),
        (V2, replace(), &old(), old(), stays(&[]), &[rewrap, unwrap], &[]),
        (V3, replace(), &inside, new(), made.clone(), &[unwrap], &[wrap]),
        (V3, replace(), &already, new(), made.clone(), &[unwrap], &[wrap]),
        (V3, replace(), &old(), old(), stays(&["old"]), &[unwrap], &[]),
        (V3, unproven(), &inside, new(), made.clone(), &[rewrap], &[]),
        (V3, unproven(), &already, new(), stays(&[]), &[rewrap], &[]),
        (V3, unproven(), &old(), new(), made, &[rewrap, unwrap], &[wrap]),
        (V3, refresh(), &old(), old(), Ok((Some("old".into()), Vec::new())), &[unwrap], &[wrap]),
        (
            V2,
            refresh(),
            &old(),
            old(),
            Ok((Some("old".into()), Vec::new())),
            &[rewrap, unwrap],
            &[wrap],
        ),
    ] {
        let object = Object::new(suite, Storage::Metadata);
        client.calls.take();
        let case = format!("{suite:?} {changes:?} {client:?} {new:?}");
        assert_eq!(new_key(&object, client, &new, changes).await, expected, "{case}");
        assert_eq!(
            (client.calls.take(), new.calls.take()),
            (names(of_client), names(of_new)),
            "{case}"
        );
    }
}

/// A job that was interrupted meets objects that the new key wrapped.
#[tokio::test]
async fn the_new_key_is_asked_if_the_client_has_none_that_unwraps() {
    let stranger = Kms::new("els");
    for (accepts, expected, calls) in [
        (true, Ok((None, names(&["old"]))), &["unwrap"][..]),
        (false, Err(ErrorKind::Authentication), &[]),
    ] {
        let new = Kms { accepts, ..Kms::new("old") };
        let object = Object::new(V3, Storage::Metadata);
        let changes = KeyChanges::new().replace_s3ec_key(new.clone());
        assert_eq!(new_key(&object, &stranger, &new, changes).await, expected);
        assert_eq!((stranger.calls.take(), new.calls.take()), (names(&["unwrap"]), names(calls)));
    }
}

#[tokio::test]
async fn a_planted_key_is_not_wrapped_again() {
    let (client, new) = (Kms::new("old"), Kms::new("new"));
    let changes = KeyChanges::new().replace_s3ec_key(new.clone());
    let failed = new_key(&Object::planted(V3), &client, &new, changes).await;
    assert_eq!(failed, Err(ErrorKind::Authentication));
    assert_eq!(new.calls.take(), [""; 0]);
}

async fn rewrapped(
    object: &Object,
    file: Option<String>,
    client: &Kms,
    new: Kms,
) -> (Result<RewrappedTo, Error>, Vec<String>) {
    let (store, requests) = object.store(file);
    let wrapping = wrapping(store, client, KeyChanges::new().replace_s3ec_key(new));
    let target = &object.target;
    let snapshot = Snapshot::take(&wrapping.handle.store, target).await.expect("a snapshot");
    let format = ObjectFormat::S3ec(object.envelope.clone());
    let info = ObjectInfo::of_head(target, &snapshot.head, format).expect("described");
    requests.take();
    let rewrapped = wrapping.rewrap_s3ec(target, snapshot, info, &object.envelope).await;
    (rewrapped, requests.take())
}

/// An instruction file can change while the object stays as it is.
#[tokio::test]
async fn an_objects_state_tells_its_key_unless_that_is_in_a_file() {
    for (storage, alone) in [(Storage::Metadata, true), (Storage::InstructionFile, false)] {
        for (suite, proven) in [(V2, &[][..]), (V3, &["old"])] {
            let object = Object::new(suite, storage);
            let (output, requests) =
                rewrapped(&object, None, &Kms::new("old"), Kms::new("old")).await;
            let RewrappedTo { output, state } = output.expect("it has that key");
            assert_eq!((output.rewrapped, state.is_some()), (false, alone), "{storage:?}");
            let report = KeyReport { proven: names(proven), ..KeyReport::default() };
            assert_eq!(output.report, report);
            assert_eq!(requests, [""; 0]);
        }
    }
}

/// The file is replaced only as it was when its key was unwrapped.
#[tokio::test]
async fn a_changed_instruction_file_is_not_replaced() {
    let object = Object::new(V3, Storage::InstructionFile);
    let file = |object: &Object| object.envelope.to_instruction_file().expect("a file");
    let get = "GET /here.instruction range:bytes=0-65536";
    let put = "PUT /here.instruction if-match:\"file\"";
    let all = [get, put, "HEAD /here"];
    let other = file(&Object::new(V3, Storage::InstructionFile));
    for (stored, expected, requests) in [
        (Some(file(&object)), Ok(true), &all[..]),
        (Some(other), Err(ErrorKind::Conflict), &all[..1]),
        (None, Err(ErrorKind::Conflict), &all[..1]),
    ] {
        let (output, got) = rewrapped(&object, stored, &Kms::new("old"), Kms::new("new")).await;
        let output = output.map(|to| to.output.rewrapped).map_err(|error| error.kind());
        assert_eq!(output, expected);
        assert_eq!(got, requests);
    }
}
