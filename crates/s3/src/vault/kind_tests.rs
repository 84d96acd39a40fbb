//! Kinds of objects: what metadata, content and companions tell, and which requests that costs.

use aws_sdk_s3::operation::head_object::{HeadObjectOutput, builders::HeadObjectOutputBuilder};
use sealwax_envelope::s3ec::{INSTRUCTION_FILE_MARKER, MAX_INSTRUCTION_FILE_LEN};

use super::{
    Vault,
    object_kind::{ObjectKind, is_folder_marker, shredded_at},
    samples::{Sample, local, vault},
    sidecar::CONTENT_TYPE,
};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::SHREDDED,
    store::answers::{Answer, answering},
};

/// Content of an instruction file.
const FILE: &str = r#"{"x-amz-key-v2":"eA=="}"#;
/// Names in the metadata of a V3 object whose wrapped key is elsewhere.
const V3: [&str; 3] = ["x-amz-c", "x-amz-d", "x-amz-i"];

fn head(len: i64, names: &[&str]) -> HeadObjectOutputBuilder {
    let head = HeadObjectOutput::builder().content_length(len);
    names.iter().fold(head, |head, name| head.metadata(*name, "x"))
}

async fn sidecar_of(sample: &Sample) -> String {
    let header = sample.header(sample.wrapped(&local("a")).await);
    header.to_sidecar().expect("short")
}

#[test]
fn each_kind_has_a_name_and_a_group() {
    use ObjectKind as Kind;
    // (kind, name, is sealed, is the encryption client's, is a companion)
    for (kind, name, sealed, client, companion) in [
        (Kind::Sealwax, "sealwax", true, false, false),
        (Kind::Sidecar, "sidecar", false, false, true),
        (Kind::Shredded, "shredded", false, false, false),
        (Kind::EncryptionClientV1, "s3ec-v1", true, true, false),
        (Kind::EncryptionClientV2, "s3ec-v2", true, true, false),
        (Kind::EncryptionClientV3, "s3ec-v3", true, true, false),
        (Kind::EncryptionClientInstructed, "s3ec-instructed", true, true, false),
        (Kind::InstructionFile, "instruction-file", false, false, true),
        (Kind::FolderMarker, "folder-marker", false, false, false),
        (Kind::Unsealed, "unsealed", false, false, false),
        (Kind::Unreadable, "unreadable", false, false, false),
    ] {
        assert_eq!(kind.name(), name);
        let groups = (kind.is_sealed(), kind.is_encryption_client(), kind.is_companion());
        assert_eq!(groups, (sealed, client, companion), "{name}");
    }
}

#[test]
fn an_object_claims_a_kind_by_its_metadata() {
    use ObjectKind as Kind;
    let (mark, file) = (SHREDDED, INSTRUCTION_FILE_MARKER);
    for (key, len, content_type, names, expected) in [
        ("k", 1, None, &["sealwax-format"][..], Kind::Sealwax),
        ("k", 1, Some(CONTENT_TYPE), &["Sealwax-Format", mark, file], Kind::Sealwax),
        ("k", 1, Some(CONTENT_TYPE), &["x-amz-key", mark, file], Kind::EncryptionClientV1),
        ("k", 1, None, &["x-amz-key-v2"], Kind::EncryptionClientV2),
        ("k", 1, None, &V3, Kind::EncryptionClientV3),
        ("k", 1, None, &V3[..2], Kind::Unsealed),
        ("k/", 0, Some(CONTENT_TYPE), &[mark, file], Kind::Shredded),
        ("k", 1, None, &["SEALWAX-shredded"], Kind::Shredded),
        ("k/", 0, Some(CONTENT_TYPE), &[file], Kind::FolderMarker),
        ("k/", 1, None, &[], Kind::Unsealed),
        ("k", 0, None, &[], Kind::Unsealed),
        ("k", 1, Some(CONTENT_TYPE), &[file], Kind::Sidecar),
        ("k", 1, Some("text/plain"), &["X-Amz-Crypto-Instr-File"], Kind::InstructionFile),
        ("k", 1, Some("text/plain"), &["other"], Kind::Unsealed),
        ("k", 1, None, &[], Kind::Unsealed),
    ] {
        let head = head(len, names).set_content_type(content_type.map(str::to_owned)).build();
        assert_eq!(ObjectKind::of(key, &head), expected, "{key} {len} {content_type:?} {names:?}");
    }
}

#[test]
fn a_folder_marker_is_empty_and_ends_in_a_slash() {
    for (key, len, expected) in [
        ("k/", Some(0), true),
        ("k/", Some(1), false),
        ("k/", None, false),
        ("k", Some(0), false),
        ("k", Some(1), false),
    ] {
        assert_eq!(is_folder_marker(key, len), expected, "{key} {len:?}");
    }
}

/// Nothing but a time is repeated.
#[test]
fn the_mark_of_a_shredded_object_is_a_time() {
    for (stored, expected) in [
        (&[(SHREDDED, "2026-11-28T12:00:00Z")][..], Some("2026-11-28T12:00:00Z")),
        (
            &[("other", "x"), ("Sealwax-Shredded", "2026-11-28T12:00:00Z")],
            Some("2026-11-28T12:00:00Z"),
        ),
        (&[(SHREDDED, "call this number")], Some("an unknown date")),
        (&[("other", "2026-11-28T12:00:00Z")], None),
        (&[], None),
    ] {
        assert_eq!(shredded_at(stored.iter().copied()).as_deref(), expected, "{stored:?}");
    }
}

/// Classifies the object at `key`. The store has it with `content`, and nothing else.
async fn kind_of(
    key: &str,
    head: HeadObjectOutputBuilder,
    (status, content): (u16, String),
) -> (Result<ObjectKind, ErrorKind>, Vec<String>) {
    let (vault, target) = (vault(local("a")), Sample::new(key).target);
    let path = format!("GET /{key} ");
    let (store, requests) = answering(move |request| match request.starts_with(&path) {
        true => Answer::new(status, content.clone()),
        false => Answer::new(404, ""),
    });
    let kind = vault.kind(&store, &target, None, &head.build()).await;
    (kind.map_err(|error| error.kind()), requests.take())
}

const READ: &str = "range:bytes=0-65536";

#[tokio::test]
async fn no_mark_and_no_name_makes_an_object_a_companion() {
    let sidecar = &sidecar_of(&Sample::new("here")).await;
    let (claims_sidecar, claims_file) = (Some(CONTENT_TYPE), &[INSTRUCTION_FILE_MARKER][..]);
    let (file, junk) = (&FILE.to_owned(), &"x".to_owned());
    for (key, content_type, names, content, expected) in [
        ("k", claims_sidecar, &[][..], sidecar, ObjectKind::Sidecar),
        ("k", claims_sidecar, &[], file, ObjectKind::Unsealed),
        ("k", claims_sidecar, &[], junk, ObjectKind::Unsealed),
        ("k", None, claims_file, file, ObjectKind::InstructionFile),
        ("k", None, claims_file, sidecar, ObjectKind::Unsealed),
        ("k", None, claims_file, junk, ObjectKind::Unsealed),
        ("k.sealwax", None, &[], sidecar, ObjectKind::Sidecar),
        ("k.sealwax", None, &[], file, ObjectKind::Unsealed),
        ("k.instruction", None, &[], file, ObjectKind::InstructionFile),
        ("k.instruction", None, &[], sidecar, ObjectKind::Unsealed),
        ("k.instruction", claims_sidecar, &[], file, ObjectKind::InstructionFile),
        ("k.instruction", claims_sidecar, &[], sidecar, ObjectKind::Sidecar),
    ] {
        let head = head(1, names).set_content_type(content_type.map(str::to_owned));
        let (kind, requests) = kind_of(key, head, (200, content.clone())).await;
        assert_eq!(kind, Ok(expected), "{key} {content_type:?} {names:?} {content}");
        assert_eq!(requests[0], format!("GET /{key} {READ}"));
        // Else it may have an instruction file of its own.
        let more = usize::from(!expected.is_companion());
        assert_eq!(requests[1..], vec![format!("GET /{key}.instruction {READ}"); more]);
    }
}

#[tokio::test]
async fn only_what_may_be_a_companion_is_read() {
    let sidecar = &sidecar_of(&Sample::new("here")).await;
    let max = i64::try_from(MAX_INSTRUCTION_FILE_LEN).expect("short");
    let own = format!("GET /k.sealwax {READ}");
    for (len, is_read) in [(0, true), (max, true), (max + 1, false)] {
        let (kind, requests) = kind_of("k.sealwax", head(len, &[]), (200, sidecar.clone())).await;
        let expected = if is_read { ObjectKind::Sidecar } else { ObjectKind::Unsealed };
        assert_eq!((kind, requests.contains(&own)), (Ok(expected), is_read), "{len}");
    }
    let (kind, requests) = kind_of("k", head(1, &[]), (200, sidecar.clone())).await;
    assert_eq!(kind, Ok(ObjectKind::Unsealed));
    assert_eq!(requests, [format!("GET /k.instruction {READ}")]);
    // The metadata decides.
    for (names, expected) in [
        (&["sealwax-format"][..], ObjectKind::Sealwax),
        (&["x-amz-key-v2"], ObjectKind::EncryptionClientV2),
        (&[SHREDDED], ObjectKind::Shredded),
    ] {
        let decided = kind_of("k.sealwax", head(1, names), (200, sidecar.clone())).await;
        assert_eq!(decided, (Ok(expected), Vec::new()));
    }
    // It changed meanwhile, or cannot be read.
    let (kind, _) = kind_of("k.sealwax", head(1, &[]), (404, String::new())).await;
    assert_eq!(kind, Err(ErrorKind::NotFound));
    let (kind, _) = kind_of("k.sealwax", head(1, &[]), (403, String::new())).await;
    assert_eq!(kind, Ok(ObjectKind::Unsealed));
}

/// Classifies an object whose metadata says nothing, beside which `status` and `content` are at the
/// instruction file's address.
async fn kind_beside(status: u16, content: &'static str) -> Result<ObjectKind, ErrorKind> {
    let store = Answer::new(status, content).store();
    let (vault, target) = (vault(local("a")), Sample::new("here").target);
    let kind = vault.kind(&store, &target, None, &head(1, &[]).build()).await;
    kind.map_err(|error| error.kind())
}

#[tokio::test]
async fn an_object_may_have_an_instruction_file() {
    for (status, content, expected) in [
        (200, FILE, Ok(ObjectKind::EncryptionClientInstructed)),
        (200, "x", Ok(ObjectKind::Unsealed)),
        (404, "", Ok(ObjectKind::Unsealed)),
        (403, "", Ok(ObjectKind::Unsealed)),
        (500, "", Err(ErrorKind::Unavailable)),
    ] {
        assert_eq!(kind_beside(status, content).await, expected, "{status} {content}");
    }
}

/// Classifies version `1` of an object. At its instruction file's address are versions with these
/// keys, lengths and contents, and no object now. Also returns the versions that were read.
async fn kind_of_version(
    versions: &[(&str, usize, &'static str)],
) -> (Result<ObjectKind, ErrorKind>, Vec<String>) {
    let mut list = String::from("<ListVersionsResult><IsTruncated>false</IsTruncated>");
    for (at, (key, len, _)) in versions.iter().enumerate() {
        list.push_str(&format!(
            "<Version><Key>{key}</Key><VersionId>{at}</VersionId><Size>{len}</Size></Version>"
        ));
    }
    list.push_str("</ListVersionsResult>");
    let contents: Vec<_> = versions.iter().map(|(_, _, content)| *content).collect();
    let (store, requests) = answering(move |request| {
        if request.contains("versions") {
            return Answer::new(200, list.clone());
        }
        let version = request.split_once("versionId=").map(|(_, rest)| rest);
        match version.and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok()) {
            Some(at) => Answer::new(200, contents[at]),
            None => Answer::new(404, ""),
        }
    });
    let (vault, target) = (vault(local("a")), Sample::new("here").target);
    let kind = vault.kind(&store, &target, Some("1"), &head(1, &[]).build()).await;
    let mut read = requests.take();
    read.retain(|request| request.contains("versionId="));
    (kind.map_err(|error| error.kind()), read)
}

#[tokio::test]
async fn any_version_of_an_instruction_file_may_belong_to_an_older_version() {
    let own = "here.instruction";
    let max = MAX_INSTRUCTION_FILE_LEN;
    let (instructed, unsealed) = (ObjectKind::EncryptionClientInstructed, ObjectKind::Unsealed);
    for (versions, expected, read) in [
        (vec![], unsealed, 0),
        (vec![(own, 1, "x")], unsealed, 1),
        (vec![(own, 1, FILE)], instructed, 1),
        (vec![(own, max, FILE)], instructed, 1),
        (vec![(own, max + 1, FILE)], unsealed, 0),
        (vec![(own, max + 1, "x"), (own, 1, "x"), (own, 1, FILE), (own, 1, "x")], instructed, 2),
        (vec![("here.instructions", 1, FILE), (own, 1, FILE)], unsealed, 0),
        (vec![(own, 1, "x"); 20], unsealed, 20),
        // So many that one of them may be a file.
        (vec![(own, 1, "x"); 21], instructed, 20),
    ] {
        let (kind, requests) = kind_of_version(&versions).await;
        assert_eq!((kind, requests.len()), (Ok(expected), read), "{versions:?}");
    }
}

/// Asks if the object at `key` serves another one, whose `HeadObject` is answered like this.
async fn serves(key: &str, answer: Answer) -> (Result<bool, ErrorKind>, Vec<String>) {
    let (store, requests) = answering(move |_| answer.clone());
    let (vault, target) = (vault(local("a")), Sample::new(key).target);
    let serves = vault.serves_its_object(&store, &target).await;
    (serves.map_err(|error| error.kind()), requests.take())
}

#[tokio::test]
async fn an_instruction_file_serves_an_object_whose_key_is_elsewhere() {
    let with = |names: &[&'static str]| {
        let answer = Answer::new(200, "x");
        names.iter().fold(answer, |answer, name| answer.with(*name, "x"))
    };
    let v3 = ["x-amz-meta-x-amz-c", "x-amz-meta-x-amz-d", "x-amz-meta-x-amz-i"];
    let complete = [v3[0], v3[1], v3[2], "x-amz-meta-x-amz-3"];
    for (answer, expected) in [
        (with(&[]), Ok(true)),
        (with(&v3), Ok(true)),
        (with(&complete), Ok(false)),
        (with(&["x-amz-meta-x-amz-key-v2"]), Ok(false)),
        (with(&["x-amz-meta-sealwax-format"]), Ok(false)),
        (Answer::new(404, ""), Ok(false)),
        (Answer::new(403, ""), Err(ErrorKind::AccessDenied)),
        (Answer::new(500, ""), Err(ErrorKind::Unavailable)),
    ] {
        let (found, requests) = serves("here.instruction", answer.clone()).await;
        assert_eq!(found, expected, "{answer:?}");
        assert_eq!(requests, ["HEAD /here"]);
    }
    for key in ["here", ".instruction"] {
        assert_eq!(serves(key, with(&[])).await, (Ok(false), Vec::new()), "{key}");
    }
}

async fn checked(
    vault: &Vault,
    target: &ObjectRef,
    objects: Vec<(&'static str, String)>,
) -> Result<(), Error> {
    let (store, _) = answering(move |request| {
        let found = objects.iter().find(|(key, _)| request.contains(&format!("/{key} ")));
        found.map_or(Answer::new(404, ""), |(_, content)| Answer::new(200, content.clone()))
    });
    vault.check_shredded(&store, target).await
}

#[tokio::test]
async fn a_shredded_object_has_no_keys_in_a_companion() {
    let sample = Sample::new("here");
    let vault = vault(local("a"));
    let sidecar = sidecar_of(&sample).await;
    let (at_sidecar, at_file) = ("here.sealwax", "here.instruction");
    for (objects, still) in [
        (vec![], None),
        (vec![(at_sidecar, "x".to_owned()), (at_file, "x".to_owned())], None),
        (vec![(at_sidecar, FILE.to_owned()), (at_file, sidecar.clone())], None),
        (vec![(at_sidecar, sidecar.clone())], Some(at_sidecar)),
        (vec![(at_file, FILE.to_owned())], Some(at_file)),
    ] {
        let checked = checked(&vault, &sample.target, objects.clone()).await;
        let expected = still.map(|key| {
            let message = format!(
                "it is marked as shredded, but s3://bucket/{key} still holds keys of it; shred the \
                 object again, or delete that object"
            );
            (ErrorKind::Malformed, message)
        });
        let failed = checked.err().map(|error| (error.kind(), error.message().to_owned()));
        assert_eq!(failed, expected, "{objects:?}");
    }
    // Its companions' keys would be longer than S3 allows.
    let long = Sample::new(&"k".repeat(1024)).target;
    assert!(checked(&vault, &long, Vec::new()).await.is_ok());
}
