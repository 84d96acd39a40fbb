//! Key objects: the wrapped forms of intermediate keys in a key store.
//!
//! One object holds one wrapped form. Nothing of it changes but the ciphertext, so that nothing can be
//! lost on any store. All of it is a claim until a key service unwraps it. (FORMAT.md, "Key store".)

use std::{collections::BTreeMap, fmt};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD as BASE64, URL_SAFE_NO_PAD},
};
use serde::{Deserialize, Serialize};

use crate::{
    EncryptedDataKey, EncryptionContext, Error, IntermediateKeyId, MAX_ENCRYPTED_DATA_KEY_LEN,
    Scope, SharedKeySlot, WrapContext, WrappedForms, ascii_json, context::canonical_bytes,
    crypto::sha512,
};

/// Maximum length of a key object that a reader accepts, in bytes.
pub const KEY_OBJECT_LIMIT: usize = 16_384;

const HASH_LEN: usize = 16;
/// Length of a hash of [`HASH_LEN`] bytes in base64url.
const HASH_TEXT_LEN: usize = 22;

/// A wrapped form of an intermediate key, as stored in a key store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyObject {
    id: IntermediateKeyId,
    form: EncryptedDataKey,
}

/// The members in the order of their names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Members {
    ciphertext: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    context: BTreeMap<String, String>,
    format: String,
    id: String,
    provider: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    scope: Option<String>,
    wrapping_key: String,
}

impl KeyObject {
    /// Takes the wrapped form of an intermediate key from `key`; `None` for a data key that is
    /// wrapped directly.
    #[must_use]
    pub fn of(key: &EncryptedDataKey) -> Option<Self> {
        let form = key.intermediate().unwrap_or_else(|| key.clone());
        let id = *form.intermediate_id()?;
        Some(Self { id, form })
    }

    /// Takes a wrapped form that a keyring just made of the intermediate key `id`, with that key's
    /// binding; `None` for any other key.
    #[must_use]
    pub fn of_new(id: IntermediateKeyId, form: EncryptedDataKey) -> Option<Self> {
        let is_of = form.wrap_context().nonce() == Some(id.nonce())
            && form.intermediate_id().is_none_or(|claimed| *claimed == id)
            && form.slot().is_none();
        is_of.then(|| Self { id, form: form.form_of(id) })
    }

    /// Returns the wrapped form. A keyring unwraps it to the intermediate key, which its id proves.
    #[must_use]
    pub fn form(&self) -> &EncryptedDataKey {
        &self.form
    }

    /// Returns the id of the intermediate key.
    #[must_use]
    pub fn id(&self) -> &IntermediateKeyId {
        &self.id
    }

    /// Returns the name that the object must have in its key store.
    #[must_use]
    pub fn name(&self) -> KeyObjectName {
        let (provider, wrapping_key) = (self.form.provider(), self.form.wrapping_key());
        KeyObjectName::new(self.form.wrap_context(), &self.id, provider, wrapping_key)
    }

    /// Returns the content of the object: canonical JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let binding = self.form.wrap_context();
        let forms = match binding.is_detached() {
            true => WrappedForms::Detached,
            false => WrappedForms::InObjects,
        };
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        ascii_json::to_string(&Members {
            ciphertext: BASE64.encode(self.form.ciphertext()),
            context: binding.context().iter().map(pair).collect(),
            format: forms.format().to_owned(),
            id: self.id.to_string(),
            provider: self.form.provider().to_owned(),
            scope: binding.scope().map(ToString::to_string),
            wrapping_key: self.form.wrapping_key().to_owned(),
        })
    }

    /// Parses the content of the key object `name`.
    ///
    /// # Errors
    /// As [`KeyObject::parse`]; [`Error::Malformed`] if the content demands another name.
    pub fn parse_named(name: &KeyObjectName, content: &[u8]) -> Result<Self, Error> {
        let stored = Self::parse(content)?;
        match stored.name() == *name {
            true => Ok(stored),
            false => Err(malformed("has a content that demands another name")),
        }
    }

    /// Parses the content of a key object.
    ///
    /// # Errors
    /// [`Error::UnsupportedFormat`] for another version; [`Error::Malformed`] for content that
    /// [`KeyObject::to_json`] does not write. Each limit is enforced before the data is processed.
    pub fn parse(content: &[u8]) -> Result<Self, Error> {
        if content.len() > KEY_OBJECT_LIMIT {
            return Err(malformed(&format!("is longer than {KEY_OBJECT_LIMIT} bytes")));
        }
        let members: Members = serde_json::from_slice(content)
            .map_err(|_| malformed("is not a JSON object of the expected members"))?;
        let known = [WrappedForms::InObjects, WrappedForms::Detached];
        let Some(forms) = known.into_iter().find(|forms| forms.format() == members.format) else {
            return Err(Error::UnsupportedFormat(members.format.chars().take(64).collect()));
        };
        let id =
            IntermediateKeyId::parse(&members.id).ok_or_else(|| malformed("has an invalid id"))?;
        let context = EncryptionContext::try_from_iter(members.context)
            .map_err(|error| malformed(&format!("has an invalid encryption context: {error}")))?;
        let scope = match members.scope {
            Some(text) => {
                Some(Scope::parse(&text).ok_or_else(|| malformed("has an invalid scope"))?)
            }
            None => None,
        };
        if members.ciphertext.len() > MAX_ENCRYPTED_DATA_KEY_LEN.div_ceil(3) * 4 {
            return Err(malformed("has an invalid ciphertext length"));
        }
        let ciphertext = BASE64
            .decode(members.ciphertext)
            .map_err(|_| malformed("has a ciphertext that is not base64"))?;
        let binding = WrapContext::for_intermediate_key(context, scope, id.nonce(), forms);
        let (provider, wrapping_key) = (members.provider, members.wrapping_key);
        let form = EncryptedDataKey::new(provider, wrapping_key, ciphertext, &binding)?;
        let parsed = Self { id, form: form.form_of(id) };
        if parsed.to_json().as_bytes() != content {
            return Err(malformed("is not canonical"));
        }
        Ok(parsed)
    }
}

fn malformed(what: &str) -> Error {
    Error::Malformed(format!("the key object {what}"))
}

impl SharedKeySlot {
    /// Returns the name of the key object that has this intermediate key under a wrapping key.
    #[must_use]
    pub fn key_object_name(&self, provider: &str, wrapping_key: &str) -> KeyObjectName {
        KeyObjectName::new(self.wrap_context(), self.intermediate_id(), provider, wrapping_key)
    }

    /// Returns the data key with the wrapped form in the key object `name`.
    ///
    /// # Errors
    /// As [`KeyObject::parse_named`]; [`Error::Malformed`] if the content is of another intermediate
    /// key or binding than this one.
    pub fn with_key_object(
        &self,
        name: &KeyObjectName,
        content: &[u8],
    ) -> Result<EncryptedDataKey, Error> {
        let stored = KeyObject::parse_named(name, content)?;
        self.with_form(stored.form())
            .ok_or_else(|| malformed("is of another intermediate key, scope or format"))
    }
}

/// Name of a key object, relative to the prefix of its key store:
/// `<hash of the context>/<id>/<hash of provider and wrapping key>`, 89 characters of base64url and
/// two slashes between them.
///
/// The key objects of one encryption context are in one folder, and those of one intermediate key in
/// one folder of that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyObjectName {
    context: [u8; HASH_LEN],
    id: IntermediateKeyId,
    wrapping_key: [u8; HASH_LEN],
}

impl KeyObjectName {
    /// Returns the name for the intermediate key `id` with this binding under a wrapping key.
    #[must_use]
    pub fn new(
        wrap_context: &WrapContext,
        id: &IntermediateKeyId,
        provider: &str,
        wrapping_key: &str,
    ) -> Self {
        let context = hash_of_context(wrap_context.context());
        Self { context, id: *id, wrapping_key: hash_of_wrapping_key(provider, wrapping_key) }
    }

    /// Parses a name; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (context, id, wrapping_key) = (parts.next()?, parts.next()?, parts.next()?);
        let hash = |text: &str| -> Option<[u8; HASH_LEN]> {
            let text = (text.len() == HASH_TEXT_LEN).then_some(text)?;
            URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
        };
        let name = Self {
            context: hash(context)?,
            id: IntermediateKeyId::parse(id)?,
            wrapping_key: hash(wrapping_key)?,
        };
        (name.to_string() == text).then_some(name)
    }

    /// Returns the name for the same intermediate key under another wrapping key.
    #[must_use]
    pub fn under(&self, provider: &str, wrapping_key: &str) -> Self {
        Self { wrapping_key: hash_of_wrapping_key(provider, wrapping_key), ..self.clone() }
    }

    /// Returns the id of the intermediate key.
    #[must_use]
    pub fn id(&self) -> &IntermediateKeyId {
        &self.id
    }

    /// Returns the folder of all wrapped forms of this intermediate key, with a `/` at its end.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}/{}/", URL_SAFE_NO_PAD.encode(self.context), self.id)
    }

    /// Returns the folder of all intermediate keys that are bound to `context`, with a `/` at its
    /// end.
    #[must_use]
    pub fn folder_of_context(context: &EncryptionContext) -> String {
        format!("{}/", URL_SAFE_NO_PAD.encode(hash_of_context(context)))
    }
}

impl fmt::Display for KeyObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.folder(), URL_SAFE_NO_PAD.encode(self.wrapping_key))
    }
}

fn hash_of_context(context: &EncryptionContext) -> [u8; HASH_LEN] {
    hash(&canonical_bytes(b"sealwax/v1/key-context\0", context.iter()))
}

fn hash_of_wrapping_key(provider: &str, wrapping_key: &str) -> [u8; HASH_LEN] {
    let label = b"sealwax/v1/wrapping-key\0".as_slice();
    hash(&[label, provider.as_bytes(), b"\0", wrapping_key.as_bytes()].concat())
}

fn hash(bytes: &[u8]) -> [u8; HASH_LEN] {
    *sha512(bytes).first_chunk().expect("64 bytes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Place, PlaintextDataKey};

    const ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn key_object(context: EncryptionContext, key: &str, forms: WrappedForms) -> KeyObject {
        let place = Place::new("bucket", key).expect("a place");
        let scope = Some(Scope::of(&place, 1));
        let binding = WrapContext::for_intermediate_key(context, scope, [0xb0; 16], forms);
        let key = PlaintextDataKey::from_slice_wiping(&mut [7; 32]).expect("32 bytes");
        let form = EncryptedDataKey::new("aws-kms", ARN, vec![0xa5; 184], &binding).expect("a key");
        KeyObject::of(&form.form_of(IntermediateKeyId::of(&key, [0xb0; 16]))).expect("one")
    }

    fn sample() -> KeyObject {
        let context = EncryptionContext::new().with("tenant", "acme").expect("a context");
        key_object(context, "a/k", WrappedForms::InObjects)
    }

    #[test]
    fn a_key_object_has_one_spelling() {
        let json = sample().to_json();
        assert_eq!(KeyObject::parse(json.as_bytes()), Ok(sample()));
        let start = format!("{{\"ciphertext\":\"{}\",", BASE64.encode([0xa5; 184]));
        let rest = json.strip_prefix(&start).expect(&json);
        let id = sample().id;
        assert_eq!(
            rest,
            format!(
                "\"context\":{{\"tenant\":\"acme\"}},\"format\":\"v1/intermediate\",\
                 \"id\":\"{id}\",\"provider\":\"aws-kms\",\"scope\":\"bucket/a/\",\
                 \"wrapping-key\":\"{ARN}\"}}"
            )
        );
        for (from, to) in [
            ("{\"ciph", "{ \"ciph"),
            ("\"context\":{\"tenant\":\"acme\"},", "\"context\":{},"),
            ("{\"tenant\":", "{\"aws:tenant\":"),
            ("\"scope\":\"bucket/a/\"", "\"scope\":null"),
            ("bucket/a/", "bucket/a"),
            ("bucket/a/", "arn:bucket/"),
            ("bucket/a/", ""),
            ("aws-kms\"", "AWS\""),
            ("\"format\"", "\"formats\""),
            ("\"provider\"", "\"other\":1,\"provider\""),
            ("\"id\":\"s", "\"id\":\""),
            ("acme", "\\u0061cme"),
        ] {
            let other = json.replacen(from, to, 1);
            assert_ne!(other, json, "{from}");
            let parsed = KeyObject::parse(other.as_bytes());
            assert!(matches!(parsed, Err(Error::Malformed(_))), "{other}: {parsed:?}");
        }
        let later = json.replacen("v1/inter", "v2/inter", 1);
        assert_eq!(
            KeyObject::parse(later.as_bytes()),
            Err(Error::UnsupportedFormat("v2/intermediate".into()))
        );
        let long = json.replacen("acme", &"a".repeat(KEY_OBJECT_LIMIT), 1);
        assert!(matches!(KeyObject::parse(long.as_bytes()), Err(Error::Malformed(_))));
    }

    #[test]
    fn a_detached_key_has_another_format_and_the_same_name() {
        let detached = key_object(
            sample().form.wrap_context().context().clone(),
            "a/k",
            WrappedForms::Detached,
        );
        let json = detached.to_json();
        assert!(json.contains("\"format\":\"v1/detached\""), "{json}");
        assert_eq!(KeyObject::parse(json.as_bytes()), Ok(detached.clone()));
        assert_eq!(detached.name(), sample().name());
    }

    #[test]
    fn names_are_parsed_in_one_spelling() {
        let name = sample().name();
        let text = name.to_string();
        assert_eq!(text.len(), 89);
        assert_eq!(KeyObjectName::parse(&text), Some(name.clone()));
        assert!(text.starts_with(&name.folder()));
        let context = sample().form.wrap_context().context().clone();
        assert!(name.folder().starts_with(&KeyObjectName::folder_of_context(&context)));
        for other in [
            format!("{text}/"),
            format!("/{text}"),
            format!("{text}A"),
            text.replacen('/', "//", 1),
            text[1..].to_owned(),
            text[..text.len() - 1].to_owned(),
            String::new(),
        ] {
            assert_eq!(KeyObjectName::parse(&other), None, "{other}");
        }
    }

    proptest! {
        /// Contexts, ids, providers and wrapping keys that differ have names that differ.
        #[test]
        fn names_differ_by_each_part(
            contexts in [proptest::collection::btree_map("[ab]{1,2}", "[ab]{0,2}", 0..3), proptest::collection::btree_map("[ab]{1,2}", "[ab]{0,2}", 0..3)],
            names in [("[ab]{1,2}", "[ab]{1,2}"), ("[ab]{1,2}", "[ab]{1,2}")],
        ) {
            let [one, other] = [0, 1].map(|at| {
                let context = EncryptionContext::try_from_iter(contexts[at].clone()).expect("valid");
                let binding = WrapContext::for_intermediate_key(context, None, [0; 16], WrappedForms::InObjects);
                let id = IntermediateKeyId::from_bytes([0; 32]);
                KeyObjectName::new(&binding, &id, &names[at].0, &names[at].1)
            });
            let same = contexts[0] == contexts[1] && names[0] == names[1];
            prop_assert_eq!(one == other, same);
        }
    }
}
