//! Any bytes as a key object: an accepted one is within the limits, and has one spelling and one
//! name.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwax_envelope::{
    EncryptedDataKey, EncryptionContext, KEY_OBJECT_LIMIT, KeyObject, KeyObjectName,
    MAX_ENCRYPTED_DATA_KEY_LEN, Place,
};

fuzz_target!(|bytes: &[u8]| {
    if let Some(name) = std::str::from_utf8(bytes).ok().and_then(KeyObjectName::parse) {
        assert_eq!(name.to_string().as_bytes(), bytes, "one name has two spellings");
        assert!(name.to_string().starts_with(&name.folder()));
    }

    let Ok(object) = KeyObject::parse(bytes) else { return };
    assert!(bytes.len() <= KEY_OBJECT_LIMIT);
    assert_eq!(object.to_json().as_bytes(), bytes, "one key object has two spellings");
    assert_eq!(KeyObject::of(object.form()).as_ref(), Some(&object));

    let form = object.form();
    assert!((1..=MAX_ENCRYPTED_DATA_KEY_LEN).contains(&form.ciphertext().len()));
    assert!((1..=EncryptedDataKey::MAX_PROVIDER_LEN).contains(&form.provider().len()));
    assert!((1..=EncryptedDataKey::MAX_WRAPPING_KEY_LEN).contains(&form.wrapping_key().len()));
    assert_eq!(form.intermediate_id(), Some(object.id()));
    assert!(form.wrap_context().is_for_intermediate_key() && form.place().is_none());
    let context = form.wrap_context().context();
    assert!(context.len() <= EncryptionContext::MAX_PAIRS);
    if let Some(scope) = form.scope() {
        assert!(scope.as_str().ends_with('/') && scope.as_str().len() < Place::MAX_LEN);
    }

    let name = object.name();
    assert_eq!(KeyObjectName::parse(&name.to_string()).as_ref(), Some(&name));
    assert_eq!((name.to_string().len(), name.id()), (89, object.id()));
    assert!(name.folder().starts_with(&KeyObjectName::folder_of_context(context)));
    let other = name.under("another-provider", form.wrapping_key());
    assert_eq!(
        (other.folder(), other == name),
        (name.folder(), form.provider() == "another-provider")
    );
});
