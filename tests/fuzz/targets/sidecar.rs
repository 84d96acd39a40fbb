//! Any bytes as the sidecar of a fixed object: an accepted sidecar is within the limits, belongs to
//! that object, and has one spelling.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sealwax_envelope::{
    BodyHeader, EncryptedDataKey, EncryptionContext, ObjectHeader, WrapContext,
    geometry::HEADER_LEN,
    metadata::{MAX_ENCRYPTED_DATA_KEYS, SIDECAR_LIMIT},
};

static OBJECT: LazyLock<ObjectHeader> = LazyLock::new(|| {
    let context = EncryptionContext::new().with("tenant", "acme").expect("a context");
    let body = BodyHeader::from_bytes(&[0; HEADER_LEN]);
    let wrap_context = WrapContext::for_stored_data_key(context.clone(), None, &body);
    let key = EncryptedDataKey::new("local", "first", vec![7; 40], &wrap_context).expect("a key");
    ObjectHeader::new(context, vec![key], body, Some(8)).expect("a header")
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(sidecar)) = OBJECT.parse_sidecar(bytes) else { return };
    assert!(bytes.len() <= SIDECAR_LIMIT);
    assert_eq!(sidecar.to_sidecar().map(String::into_bytes).as_deref(), Ok(bytes));
    assert_eq!(sidecar.context(), OBJECT.context());
    assert_eq!(sidecar.body_header(), OBJECT.body_header());
    if let Ok(joined) = OBJECT.joined(&sidecar) {
        assert!(joined.keys().len() <= MAX_ENCRYPTED_DATA_KEYS);
        let has = |key| joined.keys().contains(key);
        assert!(OBJECT.keys().iter().chain(sidecar.keys()).all(has));
        assert!(joined.generation() >= sidecar.generation());
    }
});
