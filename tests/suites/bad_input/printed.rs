//! Printed values hold no key and no plaintext.
//!
//! This suite prints each public type with a hand-written `Debug` or `Display`, and each type with
//! bytes or a value of unknown type in it. All other types derive `Debug`, and so print what their
//! members print. The list of types comes from the sources: a new type fails this test until it is
//! printed here.

use std::{
    any::type_name_of_val,
    collections::BTreeSet,
    error::Error as _,
    fmt::{Debug, Display},
    fs,
    path::Path,
    sync::Arc,
};

use sealwax_jobs::{
    drill::BlockedRegions,
    listing::ManifestLocation,
    merge::{Joined, OutOfOrder},
    rewrap::{Apply, JobInput, Plan},
};
use sealwax_object_store::v0_14::SealedStore;
use sealwax_s3::{
    Attributes, BodyChecksum, ConditionPolicy, DiscoveryFilter, ErrorKind, InvalidArn,
    InvalidKeyName, InvalidKeyring, InvalidUri, KeyChanges, KeyStorePolicy, KmsKeyArn, KmsKeyName,
    KmsKeyring, KnownStore, ListedObject, ObjectState, PlacePolicy, PlainHttp, PlaintextSource,
    S3Uri, SealedClient, StoreTrait, UnfinishedUpload, WrapPolicy,
    envelope::s3ec::{self, Keyring as _},
    envelope::{
        BodyHeader, BodySalt, CacheLimits, CachingKeyring, EncryptedDataKey, EncryptionContext,
        Error, KeyObject, Keyring as _, KeyringError, MissingKey, MultiKeyring, ObjectHeader,
        Opener, PartBuffer, Place, PlaintextDataKey, Scope, Sealer, SpanOpener, StreamOpener,
        Unwrap, WrapContext, conformance, geometry,
    },
    files::{Exposure, FileKind, KeyFile, Refusal, RelativePath},
    s3ec::S3ec,
};
use sealwax_tests::{BodyKey, LocalStack, Reaction, SeaweedFs, Stored, Wire, east, read};

use crate::secrets::{KEY, PLAINTEXT, assert_absent, keyring};

const DATA_KEY: &[u8; 32] = b"MARKER-OF-A-DATA-KEY-OF-32-BYTES";
const CRATES: [(&str, &str); 4] = [
    ("sealwax_envelope", "envelope"),
    ("sealwax_files", "files"),
    ("sealwax_s3", "s3"),
    ("sealwax_object_store", "object-store"),
];

/// Printed text, and the types that it came from.
#[derive(Default)]
struct Printed {
    text: String,
    debug: BTreeSet<String>,
    display: BTreeSet<String>,
}

impl Printed {
    fn debug(&mut self, value: &impl Debug) {
        self.debug.insert(name(type_name_of_val(value)));
        self.text.push_str(&format!("{value:?}\n{value:#?}\n"));
    }

    fn both(&mut self, value: &(impl Debug + Display)) {
        self.debug(value);
        self.display.insert(name(type_name_of_val(value)));
        self.text.push_str(&format!("{value}\n{value:#}\n"));
    }
}

/// Returns the names of the crate and the type.
fn name(path: &str) -> String {
    let path = path.split('<').next().expect("a path");
    let (krate, _) = path.split_once("::").expect("a crate");
    format!("{krate} {}", path.rsplit("::").next().expect("a type"))
}

#[test]
fn type_names_are_reduced_to_crate_and_type() {
    assert_eq!(name("a::b::C"), "a C");
    assert_eq!(name("a::b::C<d::E>"), "a C");
}

/// Members that a derived `Debug` would print: bytes, and values of any type.
const RAW: [&str; 5] = ["[u8", "<u8>", "Bytes", "dyn ", "Zeroizing"];
/// Private types with a derived `Debug` over such members: an error's cause; and buffers, keyrings
/// and digests, which occur only inside types that are printed here.
const PRIVATE: [&str; 10] = [
    // Answers of tests.
    "sealwax_s3 Answer",
    "sealwax_s3 Answers",
    "sealwax_s3 Change",
    "sealwax_s3 Counted",
    "sealwax_s3 Inner",
    "sealwax_s3 KeyStore",
    "sealwax_s3 NewKeys",
    "sealwax_s3 Step",
    "sealwax_s3 Store",
    "sealwax_s3 VaultSettings",
];

/// Returns the public types in the sources that must be printed by `Debug`, and those by `Display`.
/// (The lint `unreachable_pub` limits `pub` to names reachable from outside. The lint
/// `missing_debug_implementations` demands a reason for a type without `Debug`.)
fn printable() -> [BTreeSet<String>; 2] {
    let (mut debug, mut display) = (BTreeSet::new(), BTreeSet::new());
    let (mut silent, mut private) = (BTreeSet::new(), BTreeSet::new());
    for (krate, directory) in CRATES {
        let mut files = Vec::new();
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(directory).join("src"),
            &mut files,
        );
        for text in files {
            let text = text.split("#[cfg(test)]\nmod tests {").next().expect("a text");
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            for (index, line) in lines.iter().enumerate() {
                let (is_public, line) = match line.strip_prefix("pub") {
                    Some(rest) => {
                        (rest.starts_with(' '), rest.trim_start_matches(|c| c != ' ').trim_start())
                    }
                    None => (false, *line),
                };
                let rest = line.strip_prefix("struct ").or(line.strip_prefix("enum "));
                let Some(ident) = rest
                    .map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().expect("a name"))
                else {
                    continue;
                };
                let name = format!("{krate} {ident}");
                // Its attributes, back to the previous item, and its members.
                let begins =
                    |line: &&&str| !line.is_empty() && !line.ends_with('}') && !line.ends_with(';');
                let attributes: String =
                    lines[..index].iter().rev().take_while(begins).copied().collect();
                let by_hand = |what: &str| {
                    let begins = format!("fmt::{what} for {ident}");
                    let is_it = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric());
                    text.split(&begins).skip(1).any(is_it)
                };
                let is_raw = || {
                    let members = members(&lines[index..]);
                    attributes.contains("Debug") && RAW.iter().any(|raw| members.contains(raw))
                };
                if attributes.contains("missing_debug_implementations") {
                    silent.insert(name);
                } else if by_hand("Debug") || is_raw() {
                    if is_public {
                        debug.insert(name)
                    } else {
                        private.insert(name)
                    };
                }
                if is_public && (by_hand("Display") || attributes.contains("thiserror::Error")) {
                    display.insert(format!("{krate} {ident}"));
                }
            }
        }
    }
    let silent: Vec<_> = silent.iter().map(String::as_str).collect();
    let expected = ["EncryptionMaterials", "PlaintextDataKey", "Unwrap", "UnwrappedKey"]
        .map(|name| format!("sealwax_envelope {name}"));
    assert_eq!(silent, expected, "the types that hold a data key and cannot be printed");
    // Written by hand, to print less.
    for name in [
        "sealwax_s3 AnswerBody",
        "sealwax_s3 BufferPool",
        "sealwax_s3 ByScheme",
        "sealwax_s3 Direct",
        "sealwax_s3 IntermediateKeys",
        "sealwax_s3 Proofs",
        "sealwax_s3 Resealing",
        "sealwax_s3 SecretPlaintext",
        "sealwax_object_store SealedUpload",
    ] {
        assert!(private.remove(name), "{name}");
    }
    assert_eq!(
        private.iter().map(String::as_str).collect::<Vec<_>>(),
        PRIVATE,
        "private types, reviewed one by one"
    );
    [debug, display]
}

/// Returns the members of the type defined in the first of `lines`, without comments.
fn members(lines: &[&str]) -> String {
    let mut members = String::new();
    let mut depth = 0_i32;
    for line in lines.iter().filter(|line| !line.starts_with("//")) {
        members.push_str(line);
        depth += line
            .chars()
            .map(|c| i32::from("{(".contains(c)) - i32::from("})".contains(c)))
            .sum::<i32>();
        if depth == 0 && line.ends_with(['}', ';']) {
            break;
        }
    }
    members
}

fn sources(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        // `samples.rs` is part of the unit tests.
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("samples.rs")
        {
            found.push(fs::read_to_string(path).expect("a source"));
        }
    }
}

fn data_key() -> PlaintextDataKey {
    PlaintextDataKey::from_slice_wiping(&mut DATA_KEY.clone()).expect("a key")
}

/// Prints the types that seal and open a body under [`DATA_KEY`]. Returns the header of the body.
fn print_bodies(printed: &mut Printed) -> BodyHeader {
    let data_key = data_key();
    let context = EncryptionContext::new().body_context();
    let salt = BodySalt::generate().expect("random");
    printed.debug(&salt);
    let mut sealer = Sealer::new(&data_key, &context, salt);
    let header = *sealer.header();
    printed.debug(&sealer);
    printed.debug(&header);
    let mut buffer = PartBuffer::new(Some(&header), 1);
    buffer.put_slice(&PLAINTEXT.as_bytes().repeat(geometry::CHUNK_LEN / PLAINTEXT.len() + 1));
    printed.debug(&buffer);
    let part = sealer.next_part(1).expect("a part");
    printed.debug(&part);
    let mut body = part.seal(buffer).expect("sealed");
    let mut last = PartBuffer::new(None, 1);
    last.put_slice(PLAINTEXT.as_bytes());
    let last = sealer.last_part().sealing(last, |_| {});
    printed.debug(&last);
    body.extend(last.finish().expect("sealed"));

    let mut stream = StreamOpener::new(&data_key, &context, header).expect("the commitment");
    stream.feed(&body).expect("verified");
    printed.debug(&stream);
    assert!(stream.next_chunk().expect("a chunk").starts_with(PLAINTEXT.as_bytes()));
    let opener = Opener::new(&data_key, &context, &header).expect("the commitment");
    printed.debug(&opener);
    let sealed = &body[geometry::HEADER_LEN..];
    let mut span = SpanOpener::new(opener.clone(), 0, sealed.len() as u64);
    let mut room = vec![0; 2 * geometry::CHUNK_LEN];
    let taken = span.open(sealed, &mut room).expect("verified");
    assert!(room.starts_with(PLAINTEXT.as_bytes()));
    printed.debug(&taken);
    printed.debug(&span);
    let opened = opener.open_chunks(0, &mut body[geometry::HEADER_LEN..]).expect("verified");
    assert!(opened.chunks().next().expect("a chunk").starts_with(PLAINTEXT.as_bytes()));
    printed.debug(&opened);
    printed.debug(&geometry::chunk_span(0..1, 1).expect("a range"));
    header
}

async fn print_keyrings(printed: &mut Printed, data_key: &PlaintextDataKey) {
    let (context, place) =
        (EncryptionContext::new(), Place::new("bucket", "key").expect("a place"));
    let body = BodyHeader::from_bytes(&[0; 56]);
    let wrap_context =
        WrapContext::for_stored_data_key(context.clone(), Some(place.clone()), &body);
    printed.debug(&context);
    printed.both(&place);
    printed.both(&Scope::of(&place, 0));
    printed.debug(&wrap_context);
    printed.debug(&keyring());
    printed.debug(&MultiKeyring::new(Arc::new(keyring()), []));
    let caching = CachingKeyring::new(keyring());
    let keys = caching.wrap(data_key, &wrap_context).await.expect("wrapped");
    assert!(matches!(caching.unwrap(&keys).await, Unwrap::Unwrapped(_)));
    printed.debug(&caching);
    printed.debug(&keys[0]);
    printed.both(keys[0].intermediate_id().expect("an intermediate key"));
    printed.debug(&keys[0].slot().expect("an intermediate key"));
    printed.both(&KeyObject::of(&keys[0]).expect("an intermediate key").name());
    printed.debug(&CacheLimits::default());
    printed.debug(&MissingKey::new("aws-kms", "key").expect("a name"));
    let elsewhere = Place::new("bucket", "other").expect("a place");
    let other = EncryptedDataKey::new(
        keys[0].provider(),
        keys[0].wrapping_key(),
        KEY.to_vec(),
        &wrap_context.at(Some(elsewhere)),
    );
    let Unwrap::Failed(failures) = keyring().unwrap(&[other.expect("a key")]).await else {
        panic!("it opens")
    };
    let failure: &KeyringError = &failures[0];
    printed.both(failure);
    printed.both(&failure.kind());
    printed
        .both(failure.source().and_then(|cause| cause.downcast_ref::<Error>()).expect("a cause"));
    printed.debug(&ObjectHeader::new(context, keys, body, None).expect("a header"));
}

fn print_names(printed: &mut Printed) {
    let arn: KmsKeyArn = "arn:aws:kms:us-east-1:111122223333:key/a".parse().expect("an ARN");
    printed.both(&arn);
    let invalid: InvalidArn = "alias/a".parse::<KmsKeyArn>().expect_err("an alias");
    printed.both(&invalid);
    let name: KmsKeyName = "alias/a".parse().expect("a name");
    printed.both(&name);
    let invalid: InvalidKeyName = "a".parse::<KmsKeyName>().expect_err("no name");
    printed.both(&invalid);
    let config = sealwax_s3::aws_config::SdkConfig::builder().build();
    let short = KmsKeyring::builder(&config).key(arn.clone()).wrap_policy(WrapPolicy::AtLeast(2));
    let short = short.build().expect_err("one key");
    printed.both(&short);
    let InvalidKeyring::TooFewKeys(too_few) = short else { panic!("{short:?}") };
    printed.both(&too_few);
    printed.both(&"s3://b/k".parse::<S3Uri>().expect("a name"));
    let invalid: InvalidUri = "b/k".parse::<S3Uri>().expect_err("no scheme");
    printed.both(&invalid);
    printed.both(&PlainHttp::check("KMS", "http://kms.example").expect_err("not this machine"));
    printed.debug(&DiscoveryFilter::keys([arn]));
    printed.debug(&WrapPolicy::All);
    printed.debug(&PlacePolicy::bound());
    printed.debug(&BodyChecksum::default());
    printed.debug(&ConditionPolicy::default());
    printed.debug(&KnownStore::default());
    printed.both(&StoreTrait::RefusesBodyChecksums);
    printed.debug(&Attributes::default());
}

/// Prints a file with a key, and errors about files.
fn print_files(printed: &mut Printed) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    fs::write(&path, DATA_KEY).expect("written");
    printed.debug(&KeyFile::read(&path, DATA_KEY.len()).expect("a key file"));
    printed.both(&Exposure::Readable(0o644));
    printed.both(&Refusal::NotRegular(FileKind::Pipe));
    printed.both(&FileKind::Pipe);
    printed.both(&RelativePath::parse("..").expect_err("it leads out"));
}

/// Prints the formats of the S3 Encryption Client.
async fn print_s3ec(printed: &mut Printed) {
    let context = EncryptionContext::new();
    let keyring = || s3ec::RawAesKeyring::new(&mut KEY.clone()).expect("a key");
    printed.debug(&keyring());
    let pem =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/s3ec/_keys/rsa2048-private-pkcs8.pem");
    printed.debug(
        &s3ec::RawRsaKeyring::from_private_key(&fs::read(pem).expect("a key"))
            .expect("a private key"),
    );
    printed.debug(&S3ec::new().keyring(keyring()));
    let suite = s3ec::ContentSuite::AesGcm;
    printed.both(&suite);
    printed.both(&s3ec::CommitmentPolicy::default());
    let data_key = data_key();
    let wrapped = keyring().wrap(&data_key, suite, &context).await.expect("wrapped");
    printed.both(&wrapped.algorithm());
    printed.debug(&wrapped);
    let (mut sealer, content) = s3ec::ContentSealer::new(suite, &data_key).expect("random");
    let mut body = PLAINTEXT.as_bytes().to_vec();
    sealer.seal(&mut body).expect("short");
    printed.debug(&sealer);
    body.extend(sealer.finish());
    printed.debug(&content);
    let envelope =
        s3ec::Envelope::new(content, wrapped, s3ec::Storage::Metadata).expect("an envelope");
    printed.both(&envelope.format());
    printed.debug(&envelope);
    printed.both(
        &envelope
            .clone()
            .admit(&s3ec::ReadPolicy::new(), &context)
            .expect_err("it commits to no key"),
    );
    let policy =
        s3ec::ReadPolicy::new().commitment(s3ec::CommitmentPolicy::ForbidEncryptAllowDecrypt);
    let admitted = envelope.admit(&policy, &context).expect("admitted");
    printed.debug(&admitted.dangerous_range_opener(&data_key).expect("a cipher"));
    let mut opener = admitted.opener(&data_key, body.len() as u64).expect("a cipher");
    let unverified = opener.open(body).expect("short");
    printed.debug(&opener);
    printed.debug(&unverified);
    let verified = opener.finish().expect("verified");
    printed.debug(&verified);
    assert_eq!(unverified.release(&verified), PLAINTEXT.as_bytes());
}

/// Prints rewraps of many objects, and drills.
fn print_jobs(printed: &mut Printed, client: &SealedClient) {
    printed.debug(&client.key_audit());
    let s3 = client.s3().clone();
    let with_store = SealedClient::builder(s3, keyring()).key_store(KeyStorePolicy::on()).build();
    printed.debug(&with_store.stored_keys("bucket").expect("a key store"));
    let rewrapper = client.rewrapper(KeyChanges::new().add_keys(keyring())).expect("edits");
    printed.debug(&rewrapper);
    printed.debug(&Plan::new(rewrapper.clone()));
    printed.debug(&Apply::new(rewrapper.clone()));
    printed.debug(&JobInput::listing(futures_util::stream::empty(), "none"));
    printed.debug(&client.migrator(sealwax_s3::WriteFormat::Sealwax).keyring(keyring()));
    printed.debug(&BlockedRegions::new(["us-east-1"]));
    printed.both(&ListedObject::new("bucket", "key"));
    printed.both(&OutOfOrder { key: "key".into(), is_repeated: true });
    printed.debug(&Joined::<u8, u8>::Both(1, 2));
    let version = ObjectState::of_listed(&ListedObject::new("bucket", "key").version("v"));
    printed.debug(&version.id().expect("a version"));
    printed.both(&"s3://bucket/manifest".parse::<ManifestLocation>().expect("a place"));
}

async fn print_operations(printed: &mut Printed) {
    let stack = LocalStack::new(east());
    let builder = KmsKeyring::builder(&stack.config).key(stack.home.key.clone());
    printed.debug(&builder);
    printed.debug(&builder.build().expect("a keyring"));
    let without_keys = KmsKeyring::builder(&stack.config).build().expect("a keyring");
    let violation = conformance::check(&without_keys).await.expect_err("it wraps nothing");
    printed.both(&violation);

    let store = SeaweedFs::new().await;
    let (client, uri) = (store.client(keyring()), store.object("printed"));
    printed.debug(&client);
    printed.debug(&store.client_builder(keyring()));
    printed.both(&SealedStore::new(client.clone(), uri.bucket()));
    printed.debug(&PlaintextSource::from(PLAINTEXT));
    let put = client.put().uri(&uri).body(PLAINTEXT);
    printed.debug(&put);
    printed.debug(&put.send().await.expect("put"));
    printed.debug(&client.head().uri(&uri));
    printed.debug(&client.delete().uri(&uri));
    printed.debug(&client.reencrypt().uri(&uri).keyring(keyring()));
    printed.debug(&client.copy().uri(&uri).keyring(keyring()));
    printed.debug(&client.put().uri(&uri).body(PLAINTEXT).s3ec());
    let moved = format!("{uri}-moved").parse().expect("a name");
    let copied = client.copy().source_uri(&uri).uri(&moved).delete_source().copy().await;
    printed.debug(&copied.expect("copy"));
    print_jobs(printed, &client);
    let get = client.get().uri(&uri);
    printed.debug(&get);
    let object = get.send().await.expect("get");
    printed.debug(object.info());
    printed.debug(&object.info().content_id().expect("it is sealed"));
    printed.debug(&object);
    printed.debug(&object.into_stream());
    let rewrap = client.rewrap().uri(&uri).add_keys(keyring());
    printed.debug(&rewrap);
    let rewrap = rewrap.send().await.expect("rewrap");
    printed.debug(&rewrap);
    Stored::fetch(client.s3(), &uri).await.with_body(vec![0; 105]).store(client.s3(), &uri).await;
    let error = read(&client, &uri).await.expect_err("tampered");
    assert_eq!(error.kind(), ErrorKind::Authentication);
    printed.both(&error);
    printed.debug(&error.kind());

    // An interrupted upload, as read from its state file.
    let directory = tempfile::tempdir().expect("a directory");
    let (file, state) = (directory.path().join("file"), directory.path().join("state"));
    fs::write(&file, PLAINTEXT.repeat(400_000)).expect("a file");
    let wire =
        Wire::new(|call| if call.part == Some(2) { Reaction::Refuse } else { Reaction::Pass });
    let cut = SeaweedFs::over(wire).await.client_builder(keyring()).part_len(5 << 20).build();
    let put = cut.put().uri(&uri).body(PlaintextSource::file(&file)).state_file(&state);
    let error = put.send().await.expect_err("the wire is cut");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    printed.debug(
        &UnfinishedUpload::from_state_file(&state).await.expect("a state file").expect("an upload"),
    );
    printed.text.push_str(&fs::read_to_string(&state).expect("a state file"));
}

#[tokio::test]
async fn no_public_type_prints_a_secret() {
    let mut printed = Printed::default();
    let header = print_bodies(&mut printed).to_bytes();
    print_keyrings(&mut printed, &data_key()).await;
    print_names(&mut printed);
    print_files(&mut printed);
    print_s3ec(&mut printed).await;
    print_operations(&mut printed).await;

    let [debug, display] = printable();
    let not_yet: Vec<_> = debug.difference(&printed.debug).collect();
    assert!(not_yet.is_empty(), "types that no test here prints by `Debug`: {not_yet:#?}");
    let not_yet: Vec<_> = display.difference(&printed.display).collect();
    assert!(not_yet.is_empty(), "types that no test here prints by `Display`: {not_yet:#?}");
    assert!(debug.len() > 30 && display.len() > 10, "the sources are not understood");
    let derived =
        BodyKey::derive(DATA_KEY, &header[..24], &EncryptionContext::new().body_context());
    assert!(derived.commitment == header[24..], "the test derives another body key");
    for secret in [&KEY[..], DATA_KEY, PLAINTEXT.as_bytes(), &derived.key, &derived.base_nonce] {
        assert_absent(&printed.text, secret);
    }
}
