//! Decisions about keys whose cases no server can be brought to.

use futures_util::FutureExt as _;
use sealwax_envelope::{
    BoxFuture, EncryptedDataKey, EncryptionContext, EncryptionMaterials, Keyring, KeyringError,
    KeyringErrorKind, LocalKeyring, PlaintextDataKey, Unwrap, WrapContext,
    metadata::SIDECAR_LIMIT,
    s3ec::{self, MAX_INSTRUCTION_FILE_LEN},
};

use super::{
    carried_keys::CarriedKeys,
    instruction_file::InstructionFile,
    intermediate::IntermediateKeys,
    object_keys::ObjectKeys,
    proofs::{KeyProof, Proofs},
    samples::{Sample, Service, both, local, names, vault, vault_with},
    sidecar::Sidecar,
};
use crate::{
    error::{Error, ErrorKind},
    format::{ObjectFormat, UnencryptedObjects},
    kms::WrapPolicy,
    s3ec::S3ec,
    store::answers::Answer,
};

const DENIED: KeyringErrorKind = KeyringErrorKind::AccessDenied;
const DOWN: KeyringErrorKind = KeyringErrorKind::Unavailable;

fn another_key() -> PlaintextDataKey {
    PlaintextDataKey::generate().expect("random")
}

async fn carried(object: &ObjectKeys<'_>, policy: WrapPolicy) -> Result<CarriedKeys, Error> {
    CarriedKeys::of(object, &IntermediateKeys::default(), policy).await
}

/// A genuine intermediate key, with a data key of another body under it.
#[tokio::test]
async fn a_copy_leaves_out_a_planted_key_under_a_genuine_intermediate_key() {
    let sample = Sample::new("here");
    let planted = sample.shared("a", &another_key(), 0).await;
    let keys = [planted, sample.wrapped(&local("b")).await].concat();
    let vault = vault(both(local("a"), local("b")));
    let object = sample.object(&vault, keys, "there");
    let carried = carried(&object, WrapPolicy::AtLeast(1)).await.expect("one key is genuine");
    assert_eq!(names(&carried.keys), ["b"]);
    assert_eq!((carried.disproved.as_slice(), carried.missing.len()), (&["a".to_owned()][..], 0));
}

#[tokio::test]
async fn a_copy_records_a_key_as_missing_while_its_service_is_down() {
    let sample = Sample::new("here");
    let shared = sample.shared("a", &sample.data_key, 0).await;
    let keys = [shared, sample.wrapped(&local("b")).await].concat();
    for (kind, expected) in [(DOWN, Some("a")), (DENIED, Some("a"))] {
        let vault = vault(both(Service::new("a").fails("unwrap", kind), local("b")));
        let object = sample.object(&vault, keys.clone(), "there");
        let at_least_one = carried(&object, WrapPolicy::AtLeast(1)).await;
        let at_least_one = at_least_one.expect("one key is genuine");
        assert_eq!(names(&at_least_one.keys), ["b"]);
        assert_eq!(at_least_one.missing.first().map(|key| key.wrapping_key()), expected);
        assert_eq!(at_least_one.disproved, [""; 0]);
        let all = carried(&object, WrapPolicy::All).await;
        let failed = all.expect_err("one key is missing").kind();
        let expected = if kind == DOWN { ErrorKind::Unavailable } else { ErrorKind::AccessDenied };
        assert_eq!(failed, expected);
    }
}

#[tokio::test]
async fn an_intermediate_key_stays_in_its_scope() {
    let sample = Sample::new("folder/here");
    let keys = sample.shared("a", &sample.data_key, 1).await;
    let vault = vault(local("a"));
    let cases = [("folder/there", true), ("elsewhere/there", false)];
    for (to, stays) in cases {
        let object = sample.object(&vault, keys.clone(), to);
        let moved = IntermediateKeys::default().moved(&object, &keys).await.expect("possible");
        assert_eq!(moved.is_some(), stays, "{to}");
        let carried = carried(&object, WrapPolicy::All).await.expect("carried").keys;
        assert_eq!(names(&carried), ["a"]);
        assert_eq!(carried[0].intermediate_id().is_some(), stays, "{to}");
        assert_eq!(*carried[0].data_key_context(), sample.binding(to));
    }
}

#[tokio::test]
async fn a_copy_without_a_usable_key_fails_with_the_reason() {
    let sample = Sample::new("here");
    let planted = sample.shared("a", &another_key(), 0).await;
    let genuine = sample.wrapped(&local("b")).await;
    let at_least = WrapPolicy::AtLeast;
    let too_few = (
        ErrorKind::InvalidInput,
        "at least 3 keys must wrap the data key, but there are only 2 that the reader may use",
    );
    let rejected = (ErrorKind::Authentication, "the object failed authentication");
    for (keys, policy, expected) in [
        (planted.clone(), at_least(1), rejected),
        (planted.clone(), WrapPolicy::All, rejected),
        ([planted.clone(), genuine.clone()].concat(), at_least(2), rejected),
        ([planted, genuine].concat(), at_least(3), too_few),
    ] {
        let vault = vault(both(local("a"), local("b")));
        let failed = carried(&sample.object(&vault, keys, "there"), policy).await;
        let failed = failed.expect_err("no key, or too few");
        assert_eq!(failed.kind(), expected.0);
        assert!(failed.message().contains(expected.1), "{failed}");
    }
}

/// Of two wrapped keys under one wrapping key, one can be carried, and one not be asked about.
#[tokio::test]
async fn a_copy_names_a_key_of_which_it_could_ask_only_once() {
    let sample = Sample::new("here");
    let shared = sample.shared("a", &sample.data_key, 0).await;
    let keys = [sample.wrapped(&local("a")).await, shared].concat();
    let fails = |key: &EncryptedDataKey| key.intermediate_id().is_some();
    let vault = vault(Sometimes(local("a"), fails));
    let object = sample.object(&vault, keys, "there");
    let made = carried(&object, WrapPolicy::AtLeast(1)).await.map_err(|error| error.kind());
    assert_eq!(made.map(drop), Err(ErrorKind::Unavailable));
    let all = carried(&object, WrapPolicy::All).await.expect_err("one key is missing");
    assert_eq!(all.kind(), ErrorKind::Unavailable);
}

/// A keyring whose key service does not answer about some keys.
#[derive(Debug)]
struct Sometimes(LocalKeyring, fn(&EncryptedDataKey) -> bool);

impl Keyring for Sometimes {
    fn generate<'a>(
        &'a self,
        wrap_context: &'a WrapContext,
        len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        self.0.generate(wrap_context, len)
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        self.0.wrap(data_key, wrap_context)
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        self.0.rewrap(keys, wrap_context)
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
        if keys.iter().any(self.1) {
            let failure = KeyringError::new(DOWN, "service");
            return Box::pin(async { Unwrap::Failed(vec![failure]) });
        }
        self.0.unwrap(keys)
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        self.0.accepts(key)
    }

    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
        self.0.expected_keys(wrap_context)
    }
}

/// Makes new keys of `keyring` for an object with `keys`. Returns their names, if they were proven,
/// and if they are under an intermediate key.
async fn made(
    sample: &Sample,
    keys: &[EncryptedDataKey],
    keyring: &Service,
    proves: bool,
) -> Result<Option<(Vec<String>, bool)>, ErrorKind> {
    made_for(sample, &sample.target.key, keys, keyring, proves).await
}

async fn made_for(
    sample: &Sample,
    to: &str,
    keys: &[EncryptedDataKey],
    keyring: &Service,
    proves: bool,
) -> Result<Option<(Vec<String>, bool)>, ErrorKind> {
    let vault = vault(local("a"));
    let object = sample.object(&vault, keys.to_vec(), to);
    let expected = keyring.expected_keys(&sample.binding(to));
    let intermediate_keys = IntermediateKeys::default();
    let made = intermediate_keys.wrapped(&object, 0, (keyring, &expected), keys, proves).await;
    let made = made.map_err(|error| error.kind())?;
    Ok(made.map(|made| {
        assert!(made.keys.iter().all(|key| key.intermediate_id().is_some()));
        assert!(made.keys.iter().all(|key| *key.data_key_context() == sample.binding(to)));
        (names(&made.keys).into_iter().map(str::to_owned).collect(), made.proven)
    }))
}

#[tokio::test]
async fn new_keys_of_an_intermediate_key_are_proven_if_it_is_opened() {
    let sample = Sample::new("here");
    let keys = sample.shared("a", &sample.data_key, 0).await;
    let expected = |proven| Ok(Some((vec!["b".to_owned()], proven)));
    let plain = Service::new("b");
    assert_eq!(made(&sample, &keys, &plain, false).await, expected(true), "it must be opened");
    let service = || Service::new("b").re_encrypts_from("a");
    assert_eq!(made(&sample, &keys, &service(), false).await, expected(false));
    assert_eq!(made(&sample, &keys, &service(), true).await, expected(true));
    // A role that may re-encrypt only.
    let denied = service().fails("wrap", DENIED);
    assert_eq!(made(&sample, &keys, &denied, true).await, expected(false));
    let down = service().fails("wrap", DOWN);
    assert_eq!(made(&sample, &keys, &down, true).await, Err(ErrorKind::Unavailable));
    // Re-encryption that fails is replaced by opening, unless the service asks to wait.
    let fails = |kind| service().fails("rewrap", kind);
    assert_eq!(made(&sample, &keys, &fails(DOWN), false).await, expected(false));
    let throttled = fails(KeyringErrorKind::Throttled);
    assert_eq!(made(&sample, &keys, &throttled, false).await, Err(ErrorKind::Throttled));
    let neither = fails(DOWN).fails("wrap", DENIED);
    assert_eq!(made(&sample, &keys, &neither, false).await, Err(ErrorKind::AccessDenied));
}

/// An object that was moved, with its old place accepted.
#[tokio::test]
async fn new_keys_of_a_moved_object_stay_under_an_intermediate_key_in_its_scope() {
    let sample = Sample::new("folder/here");
    let keys = sample.shared("a", &sample.data_key, 1).await;
    let service = Service::new("b").re_encrypts_from("a");
    for (to, expected) in
        [("folder/there", Some((vec!["b".to_owned()], true))), ("elsewhere/there", None)]
    {
        for proves in [false, true] {
            let made = made_for(&sample, to, &keys, &service, proves).await;
            assert_eq!(made, Ok(expected.clone()), "{to} {proves}");
        }
    }
}

/// The form of an intermediate key is refreshed once, and another key for itself.
#[tokio::test]
async fn a_key_is_refreshed_under_its_own_wrapping_key() {
    let sample = Sample::new("here");
    let shared = sample.shared("a", &sample.data_key, 0).await;
    let own = sample.wrapped(&local("a")).await;
    for (key, calls) in [(&shared[0], 1), (&own[0], 2)] {
        let service = Service::new("a");
        let asked = service.calls();
        let vault = vault(service);
        let object = sample.object(&vault, vec![key.clone()], "here");
        let intermediate_keys = IntermediateKeys::default();
        for _ in 0..2 {
            let refreshed = intermediate_keys.refresh(&object, 0, key).await.expect("possible");
            let refreshed = refreshed.expect("under newer material");
            assert_ne!(refreshed, *key);
            assert_eq!(refreshed.intermediate_id(), key.intermediate_id());
            let Unwrap::Unwrapped(opened) = local("a").unwrap(&[refreshed]).await else {
                panic!("it has that key");
            };
            assert_eq!(opened.expose_secret(), sample.data_key.expose_secret());
        }
        assert_eq!(asked.take(), vec!["refresh"; calls]);
    }
}

#[tokio::test]
async fn new_keys_are_made_from_the_group_that_opens_the_body() {
    let sample = Sample::new("here");
    let planted = sample.shared("a", &another_key(), 0).await;
    let genuine = sample.shared("a", &sample.data_key, 0).await;
    let keys = [planted.clone(), genuine].concat();
    let expected = Ok(Some((vec!["b".to_owned()], true)));
    assert_eq!(made(&sample, &keys, &Service::new("b"), true).await, expected);
    assert_eq!(made(&sample, &planted, &Service::new("b"), true).await, Ok(None));
}

#[tokio::test]
async fn companions_are_read_within_bounds() {
    let sample = Sample::new("here");
    let header = sample.header(sample.wrapped(&local("a")).await);
    let find = async |status, len| {
        let store = Answer::new(status, vec![b'x'; len]).store();
        let found = Sidecar::find(&store, &sample.target, ".sealwax", &header).await;
        found.expect_err("no sidecar").message().to_owned()
    };
    let malformed = find(200, 1).await;
    assert_eq!(find(200, SIDECAR_LIMIT).await, malformed);
    for longer in [SIDECAR_LIMIT + 1, 2 * SIDECAR_LIMIT] {
        let expected = format!("the sidecar is longer than {SIDECAR_LIMIT} bytes");
        assert_eq!(find(200, longer).await, expected);
    }
    // S3 has no byte of an empty object's range.
    let empty = find(416, 0).await;
    assert_eq!(find(200, 0).await, empty);
    assert!(empty.contains("the sidecar is empty"), "{empty}");

    let find = async |len| {
        let store = Answer::new(200, vec![b'x'; len]).store();
        match InstructionFile::find(&store, &sample.target, ".instruction").await {
            Ok(InstructionFile::Present { bytes, .. }) => Ok(bytes.len()),
            Ok(_) => panic!("there is one"),
            Err(error) => Err((error.kind(), error.message().to_owned())),
        }
    };
    assert_eq!(find(MAX_INSTRUCTION_FILE_LEN).await, Ok(MAX_INSTRUCTION_FILE_LEN));
    let expected = "it is longer than the 64 KiB of an instruction file".to_owned();
    for longer in [MAX_INSTRUCTION_FILE_LEN + 1, 2 * MAX_INSTRUCTION_FILE_LEN] {
        assert_eq!(find(longer).await, Err((ErrorKind::Malformed, expected.clone())));
    }
}

/// An object whose envelope may be in an instruction file that S3 does not show.
#[tokio::test]
async fn an_object_is_unencrypted_only_if_that_is_known() {
    let sample = Sample::new("here");
    let of = |s3ec: &S3ec, unencrypted| {
        vault_with(local("a"), |settings| {
            (settings.s3ec, settings.unencrypted) = (s3ec.clone(), unencrypted);
        })
    };
    let v3 = ["x-amz-c", "x-amz-d", "x-amz-i"];
    let certain = v3.map(|name| (name.to_owned(), "x".to_owned())).into();
    let (uncertain, denied) = ([].into(), ErrorKind::AccessDenied);
    let (refuse, pass) = (UnencryptedObjects::Refuse, UnencryptedObjects::PassThrough);
    let (reads, refuses) = (S3ec::new(), S3ec::refused());
    let (not_sealed, policy) = (ErrorKind::NotSealed, ErrorKind::PolicyRefused);
    for (status, stored, s3ec, unencrypted, expected) in [
        (403, &certain, &reads, refuse, Some(denied)),
        (403, &certain, &reads, pass, Some(denied)),
        (403, &uncertain, &reads, refuse, Some(not_sealed)),
        (403, &uncertain, &reads, pass, Some(denied)),
        (404, &certain, &reads, refuse, Some(ErrorKind::Malformed)),
        (404, &certain, &reads, pass, Some(ErrorKind::Malformed)),
        (404, &uncertain, &reads, refuse, Some(not_sealed)),
        (404, &uncertain, &reads, pass, None),
        (500, &certain, &refuses, refuse, Some(policy)),
        (500, &certain, &refuses, pass, Some(policy)),
        (500, &uncertain, &refuses, refuse, Some(not_sealed)),
        (500, &uncertain, &refuses, pass, None),
    ] {
        let store = Answer::new(status, Vec::new()).store();
        let format = of(s3ec, unencrypted).format_of(&store, &sample.target, Some(stored)).await;
        let kind = format.err().map(|error| error.kind());
        assert_eq!(kind, expected, "{status} {stored:?} {s3ec:?} {unencrypted:?}");
    }
}

/// The client's policy decides about an envelope that is complete.
#[tokio::test]
async fn a_complete_envelope_is_read_unless_that_is_refused() {
    let suite = s3ec::ContentSuite::AesGcmCommitKey;
    let key = another_key();
    let content = s3ec::ContentSealer::new(suite, &key).expect("a sealer").1;
    let raw = s3ec::RawAesKeyring::new(&mut [1; 32]).expect("a key");
    let wrapped = s3ec::Keyring::wrap(&raw, &key, suite, &EncryptionContext::new()).await;
    let wrapped = wrapped.expect("wrapped");
    let envelope = s3ec::Envelope::new(content, wrapped, s3ec::Storage::Metadata);
    let stored = envelope.expect("an envelope").to_metadata();
    let stored = stored.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let target = &Sample::new("here").target;
    let refused = "it is an object of the S3 Encryption Client, and this client refuses those";
    for (s3ec, expected) in [
        (S3ec::new(), None),
        (S3ec::refused(), Some((ErrorKind::PolicyRefused, refused.to_owned()))),
    ] {
        let vault = vault_with(local("a"), |settings| settings.s3ec = s3ec);
        let store = Answer::new(500, Vec::new()).store();
        let format = vault.format_of(&store, target, Some(&stored)).await;
        let is_s3ec = matches!(format, Ok(ObjectFormat::S3ec(_)));
        assert_eq!(is_s3ec, expected.is_none());
        let failed = format.err().map(|error| (error.kind(), error.message().to_owned()));
        assert_eq!(failed, expected);
    }
}

/// What could not be asked says more than what was disproved, in either order.
#[tokio::test]
async fn the_failure_that_says_more_is_reported() {
    let sample = Sample::new("here");
    let planted = sample.shared("a", &another_key(), 0).await;
    let genuine = sample.shared("b", &sample.data_key, 0).await;
    let strange = sample.shared("c", &sample.data_key, 0).await;
    let failing = |kind| vault(both(local("a"), Service::new("b").fails("unwrap", kind)));
    for (vault, keys, expected) in [
        (failing(DOWN), [planted.clone(), genuine.clone()].concat(), ErrorKind::Unavailable),
        (failing(DOWN), [genuine.clone(), planted.clone()].concat(), ErrorKind::Unavailable),
        (failing(DOWN), [planted.clone(), strange.clone()].concat(), ErrorKind::Authentication),
        (failing(DENIED), [strange.clone(), genuine].concat(), ErrorKind::AccessDenied),
        (failing(DOWN), strange, ErrorKind::NoMatchingKey),
    ] {
        let header = sample.header(keys.clone());
        let proofs = Proofs::default();
        let failed = proofs.prove_any(&vault, &sample.target, &header, &keys).await;
        assert_eq!(failed.expect_err("none opens it").kind(), expected);
    }
    // Of equal ones, the first.
    let second = sample.shared("b", &another_key(), 0).await;
    let keys = [planted, second].concat();
    let (vault, header) = (vault(both(local("a"), local("b"))), sample.header(keys.clone()));
    let failed = Proofs::default().prove_any(&vault, &sample.target, &header, &keys).await;
    let failed = failed.expect_err("none opens it");
    assert!(failed.message().contains("its wrapped key under a does not open it"), "{failed}");
}

/// A key service vouches for a wrapped key of anybody who may use the wrapping key.
#[tokio::test]
async fn a_body_is_proven_by_any_of_its_keys() {
    let sample = Sample::new("here");
    let binding = sample.binding("here");
    let planted = local("a").wrap(&another_key(), &binding).await.expect("wrapped");
    let genuine = sample.wrapped(&local("b")).await;
    let vault = vault(both(local("a"), local("b")));
    for (keys, expected) in [
        ([planted.clone(), genuine.clone()].concat(), Ok(())),
        ([genuine.clone(), planted.clone()].concat(), Ok(())),
        ([planted.clone(), planted.clone(), genuine].concat(), Ok(())),
        ([planted.clone(), planted.clone()].concat(), Err(ErrorKind::Authentication)),
        (planted, Err(ErrorKind::Authentication)),
    ] {
        let header = sample.header(keys.clone());
        let proven = vault.prove(&sample.target, &header, &keys).await;
        let opened = proven.map(|(data_key, _)| {
            assert_eq!(data_key.expose_secret(), sample.data_key.expose_secret());
        });
        assert_eq!(opened.map_err(|error| error.kind()), expected);
    }
}

#[tokio::test]
async fn the_only_key_is_asked_about_once() {
    let sample = Sample::new("here");
    let planted = local("a").wrap(&another_key(), &sample.binding("here")).await.expect("wrapped");
    for (keys, calls) in [(planted.clone(), 1), ([planted.clone(), planted].concat(), 3)] {
        let service = Service::new("a");
        let asked = service.calls();
        let header = sample.header(keys.clone());
        let proven = vault(service).prove(&sample.target, &header, &keys).await;
        assert_eq!(proven.map(drop).expect_err("planted").kind(), ErrorKind::Authentication);
        assert_eq!(asked.take(), vec!["unwrap"; calls]);
    }
}

/// What a key service rejects is disproved; what it cannot be asked about, unknown.
#[tokio::test]
async fn a_rejected_key_is_disproved() {
    let sample = Sample::new("here");
    let shared = sample.shared("a", &sample.data_key, 0).await;
    let own = sample.wrapped(&local("a")).await;
    let header = sample.header(own.clone());
    for key in [&shared[0], &own[0]] {
        for (kind, expected) in [
            (KeyringErrorKind::Rejected, Err(ErrorKind::Authentication)),
            (DENIED, Ok(ErrorKind::AccessDenied)),
            (DOWN, Ok(ErrorKind::Unavailable)),
        ] {
            let vault = vault(Service::new("a").fails("unwrap", kind));
            let proof = Proofs::default().prove(&vault, &sample.target, &header, key).await;
            let found = match proof {
                KeyProof::Disproved(error) => Err(error.kind()),
                KeyProof::Unknown(error) => Ok(error.kind()),
                _ => panic!("it fails"),
            };
            assert_eq!(found, expected);
        }
    }
}

/// A keyring whose key service does not answer.
#[derive(Debug)]
struct Down;

impl s3ec::Keyring for Down {
    fn accepts(&self, _: s3ec::WrapAlgorithm) -> bool {
        true
    }

    fn binds_context(&self) -> bool {
        false
    }

    fn wrap<'a>(
        &'a self,
        _: &'a PlaintextDataKey,
        _: s3ec::ContentSuite,
        _: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<s3ec::WrappedKey, KeyringError>> {
        Box::pin(async { Err(KeyringError::new(DOWN, "service")) })
    }

    fn unwrap<'a>(
        &'a self,
        _: &'a s3ec::Admitted,
    ) -> BoxFuture<'a, Result<PlaintextDataKey, KeyringError>> {
        Box::pin(async { Err(KeyringError::new(DOWN, "service")) })
    }
}

#[tokio::test]
async fn the_key_of_an_encryption_clients_object_is_checked_and_proven() {
    let raw = |byte| s3ec::RawAesKeyring::new(&mut [byte; 32]).expect("a key");
    let suite = s3ec::ContentSuite::AesGcmCommitKey;
    let wrapped = |key: &PlaintextDataKey| {
        let context = EncryptionContext::new();
        let wrapped = s3ec::Keyring::wrap(&raw(1), key, suite, &context).now_or_never();
        wrapped.expect("nothing waits").expect("wrapped")
    };
    let key = another_key();
    let content = s3ec::ContentSealer::new(suite, &key).expect("a sealer").1;
    let envelope = |wrapped| {
        s3ec::Envelope::new(content, wrapped, s3ec::Storage::Metadata).expect("an envelope")
    };
    let (genuine, planted) = (envelope(wrapped(&key)), envelope(wrapped(&another_key())));
    let target = &Sample::new("here").target;
    let reads = |keyring| S3ec::new().keyring(keyring);
    for (s3ec, envelope, checked, proof) in [
        (reads(raw(1)), &genuine, Ok(()), Ok("proven")),
        (
            reads(raw(1)),
            &planted,
            Err(ErrorKind::Authentication),
            Err(("disproved", ErrorKind::Authentication)),
        ),
        (
            reads(raw(2)),
            &genuine,
            Err(ErrorKind::Authentication),
            Err(("unknown", ErrorKind::NoMatchingKey)),
        ),
        (
            S3ec::new().keyring(Down),
            &genuine,
            Err(ErrorKind::Unavailable),
            Err(("unknown", ErrorKind::Unavailable)),
        ),
        (S3ec::new(), &genuine, Err(ErrorKind::NoMatchingKey), Ok("not asked")),
    ] {
        let vault = vault_with(local("a"), |settings| settings.s3ec = s3ec);
        let found = vault.check_s3ec_key(target, envelope, 0).await;
        assert_eq!(found.map_err(|error| error.kind()), checked);
        let found = match vault.prove_s3ec(target, envelope, 0).await {
            KeyProof::Proven { by: None } => Ok("proven"),
            KeyProof::Proven { .. } | KeyProof::Unwrapped { .. } => panic!("V3 names no key"),
            KeyProof::NotAsked => Ok("not asked"),
            KeyProof::Disproved(error) => Err(("disproved", error.kind())),
            KeyProof::Unknown(error) => Err(("unknown", error.kind())),
        };
        assert_eq!(found, proof);
    }
}
