//! Sidecars and instruction files: which are read, written and deleted.

use sealwax_envelope::{Keyring as _, ObjectHeader, s3ec::INSTRUCTION_FILE_MARKER};

use super::{
    instruction_file,
    object_keys::ObjectKeys,
    samples::{Sample, local, names, vault, vault_with},
    sidecar::{self, CONTENT_TYPE, Sidecar, SidecarPolicy},
};
use crate::{
    error::ErrorKind,
    store::{
        answers::{Answer, answering, deleting},
        attributes::Attributes,
        companion::Replaces,
    },
};

#[test]
fn a_policy_has_a_suffix_or_looks_for_no_sidecar() {
    for (policy, suffix, to_write) in [
        (SidecarPolicy::off(), None, ".sealwax"),
        (SidecarPolicy::default(), None, ".sealwax"),
        (SidecarPolicy::with_suffix(""), None, ".sealwax"),
        (SidecarPolicy::read(), Some(".sealwax"), ".sealwax"),
        (SidecarPolicy::with_suffix(".keys"), Some(".keys"), ".keys"),
    ] {
        assert_eq!((policy.suffix(), policy.suffix_to_write()), (suffix, to_write));
    }
}

#[tokio::test]
async fn a_sidecar_is_replaced_if_it_is_unchanged() {
    let sample = Sample::new("here");
    let header = sample.header(sample.wrapped(&local("a")).await);
    let boxed = || Box::new(header.clone());
    let e_tag = || Some("\"old\"".to_owned());
    let put = "PUT /here.keys";
    for (sidecar, expected) in [
        (Sidecar::Absent, Ok(format!("{put} if-none-match:*"))),
        (Sidecar::Stale { e_tag: e_tag() }, Ok(format!("{put} if-match:\"old\""))),
        (
            Sidecar::Present { header: boxed(), e_tag: e_tag() },
            Ok(format!("{put} if-match:\"old\"")),
        ),
        (Sidecar::Stale { e_tag: None }, Err(ErrorKind::Service)),
        (Sidecar::Present { header: boxed(), e_tag: None }, Err(ErrorKind::Service)),
    ] {
        let (store, requests) = answering(|_| Answer::new(200, "").with("etag", "\"e\""));
        let replaced = sidecar.replace(&store, &sample.target, ".keys", &header).await;
        let requests = requests.take();
        match expected {
            Ok(request) => {
                assert_eq!(replaced.expect("replaced").key(), "here.keys");
                assert_eq!(requests, [request]);
            }
            Err(kind) => {
                assert_eq!(replaced.expect_err("no entity tag").kind(), kind);
                assert_eq!(requests, [""; 0]);
            }
        }
        let is_present = matches!(sidecar, Sidecar::Present { .. });
        assert_eq!(sidecar.header().map(names_of), is_present.then(|| vec!["a"]));
    }
    let long = sample.target.with_key("k".repeat(1020));
    let (store, _) = answering(|_| Answer::new(500, ""));
    let failed = Sidecar::Absent.replace(&store, &long, ".keys", &header).await;
    let failed = failed.expect_err("its key is too long");
    assert_eq!(failed.kind(), ErrorKind::InvalidInput);
    assert_eq!(failed.message(), "its key is too long for a sidecar");
}

fn names_of(header: &ObjectHeader) -> Vec<&str> {
    names(header.keys())
}

/// Older keys stay, and with them the new ones that the same file holds.
#[tokio::test]
async fn new_keys_are_taken_back_unless_older_ones_are_lost_with_them() {
    let sample = Sample::new("here");
    let header = sample.header(sample.wrapped(&local("a")).await);
    let e_tag = || Some("\"old\"".to_owned());
    let present = || Sidecar::Present { header: Box::new(header.clone()), e_tag: e_tag() };
    for (sidecar, version, expected) in [
        (Sidecar::Absent, None, Some("DELETE /here.keys if-match:\"e\"")),
        (Sidecar::Stale { e_tag: e_tag() }, None, Some("DELETE /here.keys if-match:\"e\"")),
        (present(), None, None),
        (present(), Some("v1"), Some("DELETE /here.keys?versionId=v1")),
        (Sidecar::Absent, Some("v1"), Some("DELETE /here.keys?versionId=v1")),
    ] {
        let (store, requests) = answering(move |_| {
            let answer = Answer::new(200, "").with("etag", "\"e\"");
            version.into_iter().fold(answer, |answer, id| answer.with("x-amz-version-id", id))
        });
        let written = sidecar.replace(&store, &sample.target, ".keys", &header).await;
        let written = written.expect("replaced");
        requests.take();
        written.take_back(&store).await;
        assert_eq!(requests.take(), Vec::from_iter(expected), "{sidecar:?} {version:?}");
    }
}

#[tokio::test]
async fn only_a_sidecar_is_deleted_as_one() {
    let target = Sample::new("here").target;
    for (head, expected, deletes) in [
        (Answer::new(200, "x").with("content-type", CONTENT_TYPE), Ok(()), true),
        (Answer::new(200, "x").with("content-type", "text/plain"), Ok(()), false),
        (Answer::new(200, "x"), Ok(()), false),
        (Answer::new(404, ""), Ok(()), false),
        (Answer::new(403, ""), Err(ErrorKind::AccessDenied), false),
        (Answer::new(500, ""), Err(ErrorKind::Unavailable), false),
    ] {
        let expects = head.clone();
        let (store, requests) = deleting(move |_| head.clone());
        let deleted = sidecar::delete(&store, &target, ".sealwax").await;
        let hint = "allow s3:ListBucket on the bucket too";
        if let Err(error) = &deleted {
            let is_hinted = error.message().contains(hint);
            assert_eq!(is_hinted, error.kind() == ErrorKind::AccessDenied, "{error}");
        }
        assert_eq!(deleted.map_err(|error| error.kind()), expected, "{expects:?}");
        let deletion = "DELETE /here.sealwax".to_owned();
        assert_eq!(requests.take().contains(&deletion), deletes, "{expects:?}");
        // A failure is only logged.
        sidecar::remove(&store, &target, ".sealwax").await;
        assert_eq!(requests.take().contains(&deletion), deletes, "{expects:?}");
    }
}

#[tokio::test]
async fn a_sidecar_that_s3_denies_is_an_error_with_a_hint() {
    let sample = Sample::new("here");
    let header = sample.header(sample.wrapped(&local("a")).await);
    let store = Answer::new(403, "").store();
    let failed = Sidecar::find(&store, &sample.target, ".sealwax", &header).await;
    let failed = failed.expect_err("denied");
    assert_eq!(failed.kind(), ErrorKind::AccessDenied);
    let hint = "allow s3:ListBucket on the bucket too: without it, S3 answers 403 instead of 404 \
                when there is no sidecar";
    assert!(failed.message().contains(hint), "{failed}");
}

#[tokio::test]
async fn an_instruction_file_is_written_under_its_condition() {
    let target = Sample::new("here").target;
    let (store, requests) = answering(|_| Answer::new(200, "").with("etag", "\"e\""));
    let write = |replaces| {
        let attributes = Attributes::default();
        instruction_file::write(&store, &target, ".i", "{}".into(), attributes, replaces)
    };
    write(Replaces::ETag("\"old\"".into())).await.expect("written");
    assert_eq!(requests.take(), ["PUT /here.i if-match:\"old\""]);
    write(Replaces::Nothing).await.expect("written");
    assert_eq!(requests.take(), ["PUT /here.i if-none-match:*"]);
}

#[tokio::test]
async fn only_an_instruction_file_is_deleted_as_one() {
    let target = Sample::new("here").target;
    let file = r#"{"x-amz-key-v2":"eA=="}"#;
    let marker = format!("x-amz-meta-{INSTRUCTION_FILE_MARKER}");
    assert_eq!(marker, "x-amz-meta-x-amz-crypto-instr-file");
    let marked = |answer: Answer| answer.with("x-amz-meta-x-amz-crypto-instr-file", "");
    for (read, expected, deletes) in [
        (Answer::new(200, file), Ok(()), true),
        (marked(Answer::new(200, file)), Ok(()), true),
        (marked(Answer::new(200, "x")), Ok(()), false),
        (Answer::new(404, ""), Ok(()), false),
        (Answer::new(403, ""), Err(ErrorKind::AccessDenied), false),
    ] {
        let expects = read.clone();
        let (store, requests) = deleting(move |_| read.clone());
        let deleted = instruction_file::delete(&store, &target, ".instruction").await;
        assert_eq!(deleted.map_err(|error| error.kind()), expected, "{expects:?}");
        let deletion = "DELETE /here.instruction".to_owned();
        assert_eq!(requests.take().contains(&deletion), deletes, "{expects:?}");
    }
    let (store, requests) = answering(|_| Answer::new(204, ""));
    instruction_file::remove(&store, &target, ".instruction").await;
    assert_eq!(requests.take(), ["DELETE /here.instruction"]);
}

/// A sidecar is read if the policy looks for sidecars, or if the new keys are stored in one.
#[tokio::test]
async fn the_keys_of_a_sidecar_count_as_the_objects() {
    let sample = Sample::new("here");
    let own = sample.wrapped(&local("a")).await;
    let more = [own.clone(), sample.wrapped(&local("b")).await].concat();
    let sidecar = sample.header(own.clone()).rewrapped(more).expect("a header");
    let sidecar = sidecar.to_sidecar().expect("short");
    for (sidecars, is_sidecar, suffix) in [
        (SidecarPolicy::off(), false, None),
        (SidecarPolicy::off(), true, Some(".sealwax")),
        (SidecarPolicy::read(), false, Some(".sealwax")),
        (SidecarPolicy::with_suffix(".keys"), true, Some(".keys")),
    ] {
        let vault = vault_with(local("a"), |settings| settings.sidecars = sidecars);
        let content = sidecar.clone();
        let (store, requests) = answering(move |_| Answer::new(200, content.clone()));
        let info = sample.object(&vault, own.clone(), "here").info;
        let target = &sample.target;
        let object =
            ObjectKeys::find((&store, &vault), target, info, target, &[], is_sidecar).await;
        let object = object.expect("found");
        let expected: &[&str] = if suffix.is_some() { &["a", "b"] } else { &["a"] };
        assert_eq!(names(object.info.keys()), expected);
        assert_eq!(names(&object.own_keys), ["a"]);
        let expected = suffix.map(|it| format!("GET /here{it} range:bytes=0-16384"));
        assert_eq!(requests.take(), Vec::from_iter(expected));
    }
}

#[tokio::test]
async fn keys_may_be_used_at_an_accepted_place_by_a_keyring_that_has_them() {
    let sample = Sample::new("here");
    let vault = vault(local("a"));
    let at = async |name: &str, key: &str| {
        let (keyring, binding) = (local(name), sample.binding(key));
        let wrapped = keyring.wrap(&sample.data_key, &binding).await;
        wrapped.expect("wrapped").swap_remove(0)
    };
    let accepted = ["bucket/old".to_owned()];
    let keys = vec![at("a", "here").await];
    let object = ObjectKeys { accepted_places: &accepted, ..sample.object(&vault, keys, "there") };
    for (name, key, expected) in [
        ("a", "here", true),
        ("a", "old", true),
        ("a", "there", false),
        ("b", "here", false),
        ("b", "there", false),
    ] {
        let may_use = object.may_use(&at(name, key).await).expect("valid");
        assert_eq!(may_use, expected, "{name} {key}");
    }
    // New keys are bound to `there`; those at the object's own place count unless it rebinds.
    for (key, rebinds, expected) in [
        ("there", false, true),
        ("there", true, true),
        ("here", false, true),
        ("here", true, false),
        ("old", false, false),
        ("old", true, false),
    ] {
        let opens = object.opens_here(&at("b", key).await, rebinds).expect("valid");
        assert_eq!(opens, expected, "{key} {rebinds}");
    }
}

/// The metadata of an object has less room than a sidecar.
#[tokio::test]
async fn keys_must_fit_where_they_are_stored() {
    let sample = Sample::new("here");
    let vault = vault(local("a"));
    for (keys, in_metadata) in [(1, Ok(())), (16, Err(ErrorKind::MetadataTooLarge))] {
        let many = (0..keys).map(|at| format!("key {at}"));
        let mut wrapped = Vec::new();
        for name in many {
            wrapped.extend(sample.wrapped(&local(&name)).await);
        }
        let header = sample.header(wrapped);
        for (is_sidecar, expected) in [(false, in_metadata), (true, Ok(()))] {
            let object =
                ObjectKeys { is_sidecar, ..sample.object(&vault, header.keys().to_vec(), "here") };
            let fits = object.check_fits(&header).map_err(|error| error.kind());
            assert_eq!(fits, expected, "{keys} {is_sidecar}");
        }
    }
}
