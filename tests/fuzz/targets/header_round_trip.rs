//! Any valid header is written in printable ASCII and reads back equal.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sealwax_envelope::{
    BodyHeader, EncryptedDataKey, EncryptionContext, MissingKey, ObjectHeader, Place, WrapContext,
    geometry::HEADER_LEN,
    metadata::{METADATA_LIMIT, METADATA_READ_LIMIT},
};

#[derive(Debug, Arbitrary)]
struct Parts<'a> {
    context: Vec<(&'a str, &'a str)>,
    keys: Vec<Key<'a>>,
    missing: Vec<&'a str>,
    rewraps: u8,
    plaintext_len: Option<u64>,
    body_header: [u8; HEADER_LEN],
}

#[derive(Debug, Arbitrary)]
struct Key<'a> {
    provider: Provider<'a>,
    wrapping_key: &'a str,
    place: Option<(&'a str, &'a str)>,
    ciphertext: &'a [u8],
}

#[derive(Debug, Arbitrary)]
enum Provider<'a> {
    Kms,
    Local,
    Any(&'a str),
}

impl Parts<'_> {
    /// Returns `None` if any of its parts is invalid.
    fn header(&self) -> Option<ObjectHeader> {
        let context = EncryptionContext::try_from_iter(self.context.iter().copied()).ok()?;
        let body_header = BodyHeader::from_bytes(&self.body_header);
        let wrap = |key: &Key<'_>| key.wrap(&context, &body_header);
        let keys: Vec<_> = self.keys.iter().map(wrap).collect::<Option<_>>()?;
        let missing: Vec<_> = self
            .missing
            .iter()
            .map(|key| MissingKey::new("aws-kms", *key).ok())
            .collect::<Option<_>>()?;
        assert_eq!(body_header.to_bytes(), self.body_header);
        let header =
            ObjectHeader::new(context, keys.clone(), body_header, self.plaintext_len).ok()?;
        // As a keyring gives them: none with a wrapped key, and at most as many as there can be
        // keys.
        let missing: Vec<_> =
            missing.into_iter().filter(|it| !keys.iter().any(|key| it.is_filled_by(key))).collect();
        let missing = missing.into_iter().take(16).collect();
        let header = header.with_missing(missing);
        (0..self.rewraps % 4).try_fold(header, |header, _| header.rewrapped(keys.clone()).ok())
    }
}

impl Key<'_> {
    fn wrap(&self, context: &EncryptionContext, body: &BodyHeader) -> Option<EncryptedDataKey> {
        let place = match self.place {
            Some((bucket, key)) => Some(Place::new(bucket, key).ok()?),
            None => None,
        };
        let provider = match self.provider {
            Provider::Kms => "aws-kms",
            Provider::Local => "local",
            Provider::Any(name) => name,
        };
        let wrap_context = WrapContext::for_stored_data_key(context.clone(), place, body);
        let ciphertext = self.ciphertext.to_vec();
        EncryptedDataKey::new(provider, self.wrapping_key, ciphertext, &wrap_context).ok()
    }
}

fuzz_target!(|parts: Parts<'_>| {
    let Some(header) = parts.header() else { return };
    let written = header.to_metadata();
    assert!(written.is_sorted_by_key(|(name, _)| *name));
    for (name, value) in &written {
        assert!(!value.is_empty() && value.trim() == value, "{name}");
        assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name}");
    }
    let size: usize = written.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert_eq!(header.check_fits([]).is_ok(), size <= METADATA_LIMIT);
    let read = ObjectHeader::parse(written.iter().map(|(name, value)| (*name, value.as_str())));
    match read {
        Ok(read) => assert_eq!(read, header),
        Err(error) => assert!(size > METADATA_READ_LIMIT, "{error}"),
    }

    // Bindings of keys distinguish all inputs.
    let context = header.context();
    assert_eq!(EncryptionContext::from_json(&context.to_json()).as_ref(), Ok(context));
    let unbound = header.wrap_context(None).canonical_bytes();
    let mut other_body = parts.body_header;
    other_body[0] ^= 1;
    let other_body = BodyHeader::from_bytes(&other_body);
    for key in header.keys() {
        let place = key.place().cloned();
        let bound = header.wrap_context(place.clone()).canonical_bytes();
        assert_eq!(bound, key.wrap_context().canonical_bytes());
        assert_eq!(bound == unbound, place.is_none());
        let others = WrapContext::for_stored_data_key(context.clone(), place, &other_body);
        assert_ne!(bound, others.canonical_bytes());
    }
});
