//! A reader built on the library that reports the failed step.

use std::{error::Error as _, sync::Arc};

use futures_util::FutureExt as _;
use sealwax_envelope::{
    CachingKeyring, EncryptedDataKey, Error, Keyring, KeyringErrorKind, LocalKeyring, MultiKeyring,
    ObjectHeader, Place, SharedKeySlot, StreamOpener, Unwrap,
    geometry::{HEADER_LEN, SEALED_CHUNK_LEN, plaintext_len},
    metadata,
};

use crate::{construct::CHUNK, vectors::Vector};

/// Reads an object; returns the result and the released plaintext.
///
/// FORMAT.md R15: all cryptographic failures are the same error.
pub(crate) fn read(vector: &Vector, cached: bool) -> (String, Vec<u8>) {
    let mut released = Vec::new();
    let outcome = match open(vector, cached, &mut released) {
        Ok(()) => "opened".into(),
        Err(failure) => failure,
    };
    (outcome, released)
}

/// Returns the vectors' name of a cryptographic failure, whose error must not contain details.
fn alike(error: Error, layer: impl Into<String>) -> String {
    assert_eq!(error, Error::Authentication);
    layer.into()
}

pub(crate) fn keyring(vector: &Vector) -> MultiKeyring {
    let mut keyrings = vector.wrapping_keys.iter().map(|(name, key)| -> Arc<dyn Keyring> {
        Arc::new(
            LocalKeyring::new(name, &mut hex::decode(key).expect("hex")).expect("a wrapping key"),
        )
    });
    MultiKeyring::new(keyrings.next().expect("a wrapping key"), keyrings)
}

pub(crate) fn header(vector: &Vector) -> Result<ObjectHeader, Error> {
    ObjectHeader::parse(metadata::pairs(&vector.metadata))
}

/// `true` if the reader accepts this place, selected like the client's policy in `sealwax-s3`.
fn accepts(vector: &Vector, place: Option<&Place>) -> bool {
    let Some(places) = &vector.places else { return true };
    place.is_some_and(|place| places.iter().any(|other| other == place.as_str()))
}

/// Returns the keys that may be unwrapped.
fn acceptable(vector: &Vector, header: &ObjectHeader) -> Vec<EncryptedDataKey> {
    header.keys().iter().filter(|key| accepts(vector, key.place())).cloned().collect()
}

fn open(vector: &Vector, cached: bool, released: &mut Vec<u8>) -> Result<(), String> {
    let header = header(vector).map_err(|error| match error {
        Error::NotSealed => "not-sealed".to_owned(),
        Error::UnsupportedFormat(_) => "unsupported".into(),
        Error::Malformed(_) => "malformed".into(),
        other => panic!("{}: {other}", vector.name),
    })?;
    let body = vector.body();
    let announced = vector.announced.unwrap_or(body.len() as u64);
    let len = plaintext_len(announced).ok_or("length")?;
    if header.plaintext_len().is_some_and(|told| told != len) {
        return Err("length".into());
    }
    let mut opener = opener(vector, cached, &header).or_else(|failure| {
        let sidecar = vector
            .sidecar()
            .and_then(|sidecar| header.parse_sidecar(sidecar.as_bytes()).ok().flatten());
        // If the sidecar does not help either, the result is the failure of the object's own keys.
        sidecar.and_then(|sidecar| opener(vector, cached, &sidecar).ok()).ok_or(failure)
    })?;
    let (head, chunks) = body.split_at(body.len().min(HEADER_LEN));
    opener.feed(head).map_err(|error| alike(error, "header-mismatch"))?;
    for chunk in chunks.chunks(SEALED_CHUNK_LEN) {
        opener
            .feed(chunk)
            .map_err(|error| alike(error, format!("chunk {}", released.len() / CHUNK)))?;
        while let Some(chunk) = opener.next_chunk() {
            released.extend_from_slice(&chunk);
        }
    }
    let end = opener.finish();
    if (body.len() as u64) < announced {
        let error = end.err().expect("a cut body does not open");
        assert!(matches!(error, Error::Truncated | Error::Authentication), "{error:?}");
        return Err("truncated".into());
    }
    let end = end.map_err(|error| alike(error, format!("chunk {}", released.len() / CHUNK)))?;
    end.for_each(|chunk| released.extend_from_slice(&chunk));
    Ok(())
}

/// Starts to open the body with the keys of a header, or else with those of the key store.
fn opener(vector: &Vector, cached: bool, header: &ObjectHeader) -> Result<StreamOpener, String> {
    let keyring: Box<dyn Keyring> = match cached {
        true => Box::new(CachingKeyring::new(keyring(vector))),
        false => Box::new(keyring(vector)),
    };
    let own = || opener_with(vector, &*keyring, header, &acceptable(vector, header));
    let slots: Vec<_> =
        header.slots().into_iter().filter(|slot| accepts(vector, slot.place())).collect();
    let stored = |slots: &[SharedKeySlot]| -> Vec<_> {
        slots.iter().flat_map(|slot| stored_keys(vector, &*keyring, slot)).collect()
    };
    if header.keys().is_empty() {
        if slots.is_empty() {
            return Err("place".into());
        }
        return match &stored(&slots)[..] {
            [] => Err("no-key-object".into()),
            keys => opener_with(vector, &*keyring, header, keys),
        };
    }
    // If the key store does not help either, the result is the failure of the object's own keys.
    own().or_else(|failure| {
        opener_with(vector, &*keyring, header, &stored(&slots)).map_err(|_| failure)
    })
}

/// Returns the data key in `slot` with the wrapped forms in the key store that the reader may use.
fn stored_keys(
    vector: &Vector,
    keyring: &dyn Keyring,
    slot: &SharedKeySlot,
) -> Vec<EncryptedDataKey> {
    let find = |key: &EncryptedDataKey| {
        let name = slot.key_object_name(key.provider(), key.wrapping_key());
        let content = vector.key_object(&name.to_string())?;
        slot.with_key_object(&name, content.as_bytes()).ok()
    };
    keyring.expected_keys(slot.wrap_context()).iter().filter_map(find).collect()
}

fn opener_with(
    vector: &Vector,
    keyring: &dyn Keyring,
    header: &ObjectHeader,
    keys: &[EncryptedDataKey],
) -> Result<StreamOpener, String> {
    if keys.is_empty() {
        return Err("place".into());
    }
    let data_key = match keyring.unwrap(keys).now_or_never().expect("nothing waits") {
        Unwrap::Unwrapped(data_key) => data_key,
        Unwrap::NotMine => return Err("no-matching-key".into()),
        Unwrap::Failed(failures) => {
            for failure in failures {
                assert_eq!(failure.kind(), KeyringErrorKind::Rejected, "{}", vector.name);
                assert!(
                    failure
                        .source()
                        .is_some_and(|cause| cause.to_string().contains("failed authentication"))
                );
            }
            return Err("unwrap".into());
        }
    };
    let opener =
        StreamOpener::new(&data_key, &header.context().body_context(), *header.body_header());
    opener.map_err(|error| alike(error, "commitment"))
}
