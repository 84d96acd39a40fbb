//! Construction of sealed objects from FORMAT.md without the library, with chosen salts, nonces and
//! keys.

use std::collections::BTreeMap;

use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha512};

pub(crate) const CHUNK: usize = 16384;
pub(crate) const SEALED_CHUNK: usize = 16400;
pub(crate) const PLACE: &str = "bucket/key";

/// `N` bytes: `start`, `start + 1`, …
pub(crate) fn counting<const N: usize>(start: u8) -> [u8; N] {
    std::array::from_fn(|index| start.wrapping_add(u8::try_from(index % 256).expect("a byte")))
}

/// Returns `len` bytes of plaintext in which no two chunks are equal.
pub(crate) fn plaintext(len: usize) -> Vec<u8> {
    (0..len).map(|index| u8::try_from(index % 251).expect("a byte")).collect()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) type Context = BTreeMap<String, String>;

pub(crate) fn context(pairs: &[(&str, &str)]) -> Context {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Returns `text` as a JSON string in canonical spelling.
pub(crate) fn json_string(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        '\u{8}' => "\\b".into(),
        '\t' => "\\t".into(),
        '\n' => "\\n".into(),
        '\u{c}' => "\\f".into(),
        '\r' => "\\r".into(),
        ' '..='~' => c.into(),
        _ => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

pub(crate) fn json_context(context: &Context) -> String {
    let pairs =
        context.iter().map(|(name, value)| format!("{}:{}", json_string(name), json_string(value)));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

fn pairs(label: &[u8], context: &Context) -> Vec<u8> {
    let length = |len: usize| u32::try_from(len).expect("a short text").to_be_bytes();
    let mut bytes = [label, &length(context.len())].concat();
    for text in context.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(length(text.len()));
        bytes.extend(text.as_bytes());
    }
    bytes
}

pub(crate) fn body_context(context: &Context) -> Vec<u8> {
    pairs(b"sealwax/v1\0", context)
}

/// Returns the wrap context bytes for these reserved pairs, named here without `sealwax:`.
pub(crate) fn wrap_context(context: &Context, reserved: &[(&str, &str)]) -> Vec<u8> {
    let mut all = context.clone();
    let reserved =
        reserved.iter().map(|(name, value)| (format!("sealwax:{name}"), (*value).into()));
    all.extend(reserved);
    pairs(b"sealwax/v1/wrap\0", &all)
}

/// HKDF-Expand-SHA512.
fn expand<const LEN: usize>(key: &[u8; 32], info: &[u8]) -> [u8; LEN] {
    let hmac = |message: &[u8]| {
        let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("any length");
        mac.update(message);
        mac.finalize().into_bytes()
    };
    let first = hmac(&[info, [1].as_slice()].concat());
    let second = hmac(&[&first, info, &[2]].concat());
    [&first[..], &second[..]].concat()[..LEN].try_into().expect("at most 128 bytes")
}

/// Derives key, base nonce and commitment of a body.
pub(crate) fn derive(key: &[u8; 32], salt: &[u8; 24], context: &[u8]) -> [u8; 76] {
    let label = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0".as_slice();
    expand(key, &[label, salt, context].concat())
}

/// Returns the id of an intermediate key whose random half is `r`.
pub(crate) fn intermediate_id(intermediate: &[u8; 32], r: &[u8; 16]) -> [u8; 32] {
    let info = [b"sealwax/v1/intermediate-id\0".as_slice(), r].concat();
    let c: [u8; 16] = expand(intermediate, &info);
    [r.as_slice(), &c].concat().try_into().expect("32 bytes")
}

/// Derives the key that encrypts one data key under an intermediate key.
pub(crate) fn data_key_wrapping_key(intermediate: &[u8; 32], wrap_context: &[u8]) -> [u8; 32] {
    expand(intermediate, &[b"sealwax/v1/data-key\0".as_slice(), wrap_context].concat())
}

pub(crate) fn seal(key: &[u8], nonce: &[u8], aad: &[u8], data: &[u8]) -> Vec<u8> {
    let cipher = Aes256Gcm::new_from_slice(key).expect("32 bytes");
    let nonce: [u8; 12] = nonce.try_into().expect("12 bytes");
    let mut sealed = data.to_vec();
    let tag = cipher
        .encrypt_inout_detached(&nonce.into(), aad, sealed.as_mut_slice().into())
        .expect("a short text");
    sealed.extend(tag);
    sealed
}

/// Creates a chunked-encryption message.
pub(crate) fn message(
    key: &[u8; 32],
    salt: &[u8; 24],
    context: &[u8],
    plaintext: &[u8],
) -> Vec<u8> {
    let derived = derive(key, salt, context);
    let mut body = [salt.as_slice(), &derived[44..]].concat();
    for number in 0..=plaintext.len() / CHUNK {
        let chunk = &plaintext[number * CHUNK..plaintext.len().min((number + 1) * CHUNK)];
        body.extend(sealed_chunk(&derived, number, chunk));
    }
    body
}

pub(crate) fn sealed_chunk(derived: &[u8; 76], number: usize, chunk: &[u8]) -> Vec<u8> {
    let mut nonce: [u8; 12] = derived[32..44].try_into().expect("12 bytes");
    nonce.iter_mut().rev().zip(number.to_le_bytes()).for_each(|(byte, counter)| *byte ^= counter);
    seal(&derived[..32], &nonce, &[], chunk)
}

/// Returns a local wrapping key. The vectors' reader has the one named `first`.
pub(crate) fn wrapping_key(name: &str) -> [u8; 32] {
    if name == "first" { counting(0) } else { counting(name.bytes().fold(100, u8::wrapping_add)) }
}

/// Wraps `key` under a local wrapping key.
pub(crate) fn wrap(name: &str, key: &[u8; 32], wrap_context: &[u8]) -> Key {
    Key(
        "local".into(),
        name.into(),
        message(&wrapping_key(name), &counting(0x60), wrap_context, key),
    )
}

/// Encrypts a data key under an intermediate key.
pub(crate) fn wrap_under(
    intermediate: &[u8; 32],
    data_key: &[u8; 32],
    wrap_context: &[u8],
) -> Vec<u8> {
    let nonce: [u8; 12] = counting(0xa0);
    let key = data_key_wrapping_key(intermediate, wrap_context);
    [nonce.as_slice(), &seal(&key, &nonce, &[], data_key)].concat()
}

/// Provider, wrapping key, ciphertext.
#[derive(Clone)]
pub(crate) struct Key(pub(crate) String, pub(crate) String, pub(crate) Vec<u8>);

#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) place: Option<String>,
    pub(crate) scope: Option<usize>,
    /// Names of the pairs that the intermediate key is bound to.
    pub(crate) context: Option<Vec<String>>,
    pub(crate) intermediate: Option<Vec<u8>>,
    pub(crate) data_key: Option<Vec<u8>>,
    /// `None` for a detached intermediate key.
    pub(crate) keys: Option<Vec<Key>>,
}

impl Group {
    pub(crate) fn first_key(&self) -> Key {
        self.keys.as_ref().expect("a group with keys")[0].clone()
    }

    pub(crate) fn keys_mut(&mut self) -> &mut Vec<Key> {
        self.keys.as_mut().expect("a group with keys")
    }
}

/// A key object.
#[derive(Clone)]
pub(crate) struct KeyObject {
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) context: Context,
    pub(crate) format: String,
    pub(crate) id: [u8; 32],
    pub(crate) provider: String,
    pub(crate) scope: Option<String>,
    pub(crate) wrapping_key: String,
}

/// Returns the first 16 bytes of SHA-512.
fn short_hash(bytes: &[u8]) -> Vec<u8> {
    Sha512::digest(bytes)[..16].to_vec()
}

impl KeyObject {
    /// Returns the bytes whose hashes are in the name: of the context, and of the wrapping key.
    pub(crate) fn hashed(&self) -> [Vec<u8>; 2] {
        let label = b"sealwax/v1/wrapping-key\0".as_slice();
        let of_key =
            [label, self.provider.as_bytes(), b"\0", self.wrapping_key.as_bytes()].concat();
        [pairs(b"sealwax/v1/key-context\0", &self.context), of_key]
    }

    /// Returns the name in the key store.
    pub(crate) fn name(&self) -> String {
        let [context, wrapping_key] = self.hashed().map(|bytes| base64url(&short_hash(&bytes)));
        format!("{context}/{}/{wrapping_key}", base64url(&self.id))
    }

    /// Returns the content.
    pub(crate) fn content(&self) -> String {
        let member = |name: &str, text: &str| format!("\"{name}\":{}", json_string(text));
        let mut members = vec![member("ciphertext", &base64(&self.ciphertext))];
        if !self.context.is_empty() {
            members.push(format!("\"context\":{}", json_context(&self.context)));
        }
        members.push(member("format", &self.format));
        members.push(member("id", &base64url(&self.id)));
        members.push(member("provider", &self.provider));
        members.extend(self.scope.as_ref().map(|scope| member("scope", scope)));
        members.push(member("wrapping-key", &self.wrapping_key));
        format!("{{{}}}", members.join(","))
    }
}

/// Ingredients of an object.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) context: Context,
    pub(crate) data_key: [u8; 32],
    pub(crate) intermediate_key: [u8; 32],
    /// Random half of the intermediate key's id.
    pub(crate) r: [u8; 16],
    pub(crate) salt: [u8; 24],
    pub(crate) plaintext: Vec<u8>,
    /// Names of the pairs that the intermediate key is bound to; `None` for all.
    pub(crate) key_context: Option<Vec<String>>,
    /// `true` if the intermediate key is detached.
    pub(crate) detached: bool,
}

impl Recipe {
    /// Creates the object that most cases use.
    pub(crate) fn new(plaintext: impl Into<Vec<u8>>) -> Self {
        Self {
            context: context(&[("tenant", "acme")]),
            data_key: counting(0x20),
            intermediate_key: counting(0x80),
            r: counting(0xb0),
            salt: counting(0x40),
            plaintext: plaintext.into(),
            key_context: None,
            detached: false,
        }
    }

    /// Binds the intermediate key to the pairs with these names alone.
    pub(crate) fn with_key_context(self, names: &[&str]) -> Self {
        Self { key_context: Some(names.iter().map(|name| (*name).into()).collect()), ..self }
    }

    /// Returns the same object under a detached intermediate key.
    pub(crate) fn detached(self) -> Self {
        Self { detached: true, ..self }
    }

    pub(crate) fn with_context(self, pairs: &[(&str, &str)]) -> Self {
        Self { context: context(pairs), ..self }
    }

    /// Returns another object, with another data key and salt.
    pub(crate) fn other(self) -> Self {
        Self { data_key: counting(0xc0), salt: counting(0xe0), ..self }
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        message(&self.data_key, &self.salt, &body_context(&self.context), &self.plaintext)
    }

    /// Returns the same object under another intermediate key.
    pub(crate) fn other_intermediate(self) -> Self {
        Self { intermediate_key: counting(0x90), r: counting(0x10), ..self }
    }

    /// Returns the same body with another data key in its keys.
    pub(crate) fn other_data_key(self) -> Self {
        Self { data_key: counting(0xc0), ..self }
    }

    /// Returns the id of the intermediate key.
    pub(crate) fn id(&self) -> [u8; 32] {
        intermediate_id(&self.intermediate_key, &self.r)
    }

    /// Returns the wrap context of the data key, bound to `place`, under a wrapping key.
    pub(crate) fn data_key_context(&self, place: Option<&str>) -> Vec<u8> {
        self.bound(place, None)
    }

    /// Returns the wrap context of the data key, bound to `place`, under the intermediate key `id`.
    pub(crate) fn inner_context(&self, place: Option<&str>, id: &[u8; 32]) -> Vec<u8> {
        self.bound(place, Some(&base64url(id)))
    }

    fn bound(&self, place: Option<&str>, id: Option<&str>) -> Vec<u8> {
        let salt = base64(&self.salt);
        let mut reserved = vec![("format", "v1"), ("salt", salt.as_str())];
        reserved.extend(place.map(|place| ("place", place)));
        reserved.extend(id.map(|id| ("intermediate-id", id)));
        wrap_context(&self.context, &reserved)
    }

    /// Returns the pairs that the intermediate key is bound to.
    fn own_context(&self) -> Context {
        let Some(names) = &self.key_context else { return self.context.clone() };
        let is_named = |(name, _): &(&String, &String)| names.contains(name);
        let pairs = self.context.iter().filter(is_named);
        pairs.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn intermediate_format(&self) -> &'static str {
        if self.detached { "v1/detached" } else { "v1/intermediate" }
    }

    /// Returns the wrap context of the intermediate key, bound to `scope`.
    pub(crate) fn intermediate_context(&self, scope: Option<&str>) -> Vec<u8> {
        let r = base64url(&self.r);
        let format = self.intermediate_format();
        let mut reserved = vec![("format", format), ("intermediate", r.as_str())];
        reserved.extend(scope.map(|scope| ("scope", scope)));
        wrap_context(&self.own_context(), &reserved)
    }

    /// Returns the key object of the intermediate key under the wrapping key `name`.
    pub(crate) fn key_object(&self, name: &str, scope: Option<&str>) -> KeyObject {
        let Key(provider, wrapping_key, ciphertext) = self.intermediate(name, scope);
        KeyObject {
            ciphertext,
            context: self.own_context(),
            format: self.intermediate_format().into(),
            id: self.id(),
            provider,
            scope: scope.map(Into::into),
            wrapping_key,
        }
    }

    /// Wraps the data key under the wrapping key `name`, bound to `place`.
    pub(crate) fn key(&self, name: &str, place: Option<&str>) -> Key {
        wrap(name, &self.data_key, &self.data_key_context(place))
    }

    pub(crate) fn group(&self, place: Option<&str>) -> Group {
        Group {
            place: place.map(Into::into),
            scope: None,
            context: None,
            intermediate: None,
            data_key: None,
            keys: Some(vec![self.key("first", place)]),
        }
    }

    /// Wraps the intermediate key under the wrapping key `name`, bound to `scope`.
    pub(crate) fn intermediate(&self, name: &str, scope: Option<&str>) -> Key {
        wrap(name, &self.intermediate_key, &self.intermediate_context(scope))
    }

    /// Encrypts the data key under the intermediate key, bound to `place`.
    pub(crate) fn under_intermediate(&self, place: Option<&str>) -> Vec<u8> {
        let context = self.inner_context(place, &self.id());
        wrap_under(&self.intermediate_key, &self.data_key, &context)
    }

    /// Returns a group under the intermediate key, whose scope is the bucket.
    pub(crate) fn intermediate_group(&self, place: Option<&str>) -> Group {
        self.scoped_group(place, place.map(|place| place.find('/').expect("a slash") + 1))
    }

    /// Returns a group under the intermediate key, whose scope has `scope` bytes of the place.
    pub(crate) fn scoped_group(&self, place: Option<&str>, scope: Option<usize>) -> Group {
        let text = place.zip(scope).map(|(place, scope)| &place[..scope]);
        Group {
            place: place.map(Into::into),
            scope,
            context: self.key_context.clone(),
            intermediate: Some(self.id().into()),
            data_key: Some(self.under_intermediate(place)),
            keys: (!self.detached).then(|| vec![self.intermediate("first", text)]),
        }
    }

    /// Returns the stored object with these groups of keys.
    pub(crate) fn stored(&self, groups: &[Group]) -> Stored {
        let body = self.body();
        let mut metadata = BTreeMap::from([
            ("sealwax-format".to_owned(), "v1+Cobblestone-256".to_owned()),
            ("sealwax-generation".into(), "1".into()),
            ("sealwax-header".into(), base64(&body[..56])),
            ("sealwax-keys".into(), json_keys(groups)),
            ("sealwax-length".into(), self.plaintext.len().to_string()),
        ]);
        if !self.context.is_empty() {
            metadata.insert("sealwax-context".into(), json_context(&self.context));
        }
        Stored {
            metadata,
            body,
            announced: None,
            places: Some(vec![PLACE.into()]),
            sidecar: None,
            sidecars: true,
            key_objects: BTreeMap::new(),
            key_store: true,
        }
    }

    /// Returns the stored object with one key, bound to its place.
    pub(crate) fn sealed(&self) -> Stored {
        self.stored(&[self.group(Some(PLACE))])
    }
}

pub(crate) fn json_keys(groups: &[Group]) -> String {
    let groups = groups.iter().map(|group| {
        let mut members = Vec::new();
        members
            .extend(group.place.as_ref().map(|place| format!("\"place\":{}", json_string(place))));
        members.extend(group.scope.map(|scope| format!("\"scope\":{scope}")));
        members.extend(group.context.as_ref().map(|names| {
            let names: Vec<_> = names.iter().map(|name| json_string(name)).collect();
            format!("\"context\":[{}]", names.join(","))
        }));
        let id = group.intermediate.as_ref();
        members.extend(id.map(|id| format!("\"intermediate\":\"{}\"", base64url(id))));
        let data_key = group.data_key.as_ref();
        members.extend(data_key.map(|wrapped| format!("\"data-key\":\"{}\"", base64(wrapped))));
        let key = |Key(provider, name, wrapped): &Key| {
            format!("[{},{},\"{}\"]", json_string(provider), json_string(name), base64(wrapped))
        };
        members.extend(group.keys.as_ref().map(|keys| {
            let keys: Vec<_> = keys.iter().map(key).collect();
            format!("\"keys\":[{}]", keys.join(","))
        }));
        format!("{{{}}}", members.join(","))
    });
    format!("[{}]", groups.collect::<Vec<_>>().join(","))
}

/// A stored object, and the settings of its reader.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) announced: Option<u64>,
    pub(crate) places: Option<Vec<String>>,
    /// Content of the sidecar.
    pub(crate) sidecar: Option<String>,
    /// `true` if the reader's policy reads sidecars.
    pub(crate) sidecars: bool,
    /// Contents of the key store by name.
    pub(crate) key_objects: BTreeMap<String, String>,
    /// `true` if the reader's policy reads key objects.
    pub(crate) key_store: bool,
}

impl Stored {
    /// Returns the metadata as the content of a sidecar.
    pub(crate) fn to_sidecar(&self) -> String {
        json_context(&self.metadata)
    }

    /// Adds a sidecar.
    pub(crate) fn beside(self, sidecar: impl Into<String>) -> Self {
        Self { sidecar: Some(sidecar.into()), ..self }
    }

    /// Lets the reader ignore sidecars.
    pub(crate) fn without_sidecars(self) -> Self {
        Self { sidecars: false, ..self }
    }

    /// Adds a key object.
    pub(crate) fn key_object(self, object: &KeyObject) -> Self {
        self.key_object_at(object.name(), object.content())
    }

    /// Adds an object of any name and content to the key store.
    pub(crate) fn key_object_at(mut self, name: String, content: impl Into<String>) -> Self {
        self.key_objects.insert(name, content.into());
        self
    }

    /// Lets the reader ignore key objects.
    pub(crate) fn without_key_store(self) -> Self {
        Self { key_store: false, ..self }
    }

    pub(crate) fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.metadata.remove(name).expect("it was there");
        self
    }

    /// Changes a value. Panics if the value stays the same.
    pub(crate) fn edit(mut self, name: &str, from: &str, to: &str) -> Self {
        let value = self.metadata.get_mut(name).expect("it is there");
        let edited = value.replacen(from, to, 1);
        assert_ne!(*value, edited, "{name} has no {from}");
        *value = edited;
        self
    }

    pub(crate) fn body(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(&mut self.body);
        self
    }

    /// Copies the header of the body to the metadata.
    pub(crate) fn header_of_body(self) -> Self {
        let header = base64(&self.body[..56]);
        self.set("sealwax-header", header)
    }

    pub(crate) fn announced(self, len: usize) -> Self {
        Self { announced: Some(len as u64), ..self }
    }

    /// Lets the reader accept these places.
    pub(crate) fn at(self, places: &[&str]) -> Self {
        Self { places: Some(places.iter().map(|place| (*place).to_owned()).collect()), ..self }
    }

    /// Lets the reader accept any place.
    pub(crate) fn anywhere(self) -> Self {
        Self { places: None, ..self }
    }
}
