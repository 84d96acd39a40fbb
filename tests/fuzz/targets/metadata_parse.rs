//! Any user-defined metadata, one `name: value` per line: parsed metadata is within the limits and
//! has one spelling.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use sealwax_envelope::{
    EncryptedDataKey, EncryptionContext, Error, MAX_ENCRYPTED_DATA_KEY_LEN, ObjectHeader, Place,
    metadata::{MAX_ENCRYPTED_DATA_KEYS, METADATA_READ_LIMIT, is_reserved},
};

fuzz_target!(|text: &str| {
    let metadata: Vec<(&str, &str)> =
        text.lines().filter_map(|line| line.split_once(": ")).collect();
    let Ok(header) = ObjectHeader::parse(metadata.iter().copied()) else { return };

    let ours = metadata.iter().filter(|(name, _)| is_reserved(name));
    let stored: BTreeMap<String, &str> =
        ours.map(|(name, value)| (name.to_ascii_lowercase(), *value)).collect();
    let size: usize = stored.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(size <= METADATA_READ_LIMIT);
    let written = header.to_metadata();
    let written: BTreeMap<String, &str> =
        written.iter().map(|(name, value)| ((*name).to_owned(), value.as_str())).collect();
    assert_eq!(written, stored, "one header has two spellings");

    let count = header.keys().len() + header.detached().len();
    assert!((1..=MAX_ENCRYPTED_DATA_KEYS).contains(&count));
    assert!(header.missing().len() <= MAX_ENCRYPTED_DATA_KEYS);
    assert!(header.context().len() <= EncryptionContext::MAX_PAIRS);
    assert!(header.generation() > 0);
    for key in header.keys() {
        assert!((1..=MAX_ENCRYPTED_DATA_KEY_LEN).contains(&key.ciphertext().len()));
        assert!((1..=EncryptedDataKey::MAX_PROVIDER_LEN).contains(&key.provider().len()));
        assert!((1..=EncryptedDataKey::MAX_WRAPPING_KEY_LEN).contains(&key.wrapping_key().len()));
        assert!(
            key.place().is_none_or(|place| (1..=Place::MAX_LEN).contains(&place.as_str().len()))
        );
        assert!(!header.missing().iter().any(|missing| missing.is_filled_by(key)));
        let is_shared = key.intermediate_id().is_some();
        assert_eq!(key.scope().is_some(), is_shared && key.place().is_some());
        if let (Some(scope), Some(place)) = (key.scope(), key.place()) {
            assert!(scope.as_str().ends_with('/') && scope.contains(place));
        }
    }
    let slots = header.slots();
    assert!(slots.ends_with(header.detached()));
    for slot in &slots {
        let binding = slot.wrap_context();
        assert!(binding.context().is_part_of(header.context()));
        assert_eq!(binding.scope().is_some(), slot.place().is_some());
        assert!(slot.place().is_none_or(|place| binding.scope().expect("one").contains(place)));
        assert_eq!(binding.is_detached(), header.detached().contains(slot));
    }
    // Any header can be rewrapped, except one of the last generation.
    match header.rewrapped(header.keys().to_vec()) {
        Ok(_) => assert!(header.generation() < u32::MAX),
        Err(error) => {
            assert!(matches!(error, Error::Malformed(_)), "{error}");
            assert_eq!(header.generation(), u32::MAX);
        }
    }
});
