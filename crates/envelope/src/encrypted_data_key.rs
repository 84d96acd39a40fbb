//! Encrypted data keys, as stored with an object.

use std::{fmt, sync::Arc};

use crate::{
    Error, IntermediateKeyId, Place, PlaintextDataKey, Scope, WrapContext,
    intermediate_key::{WrappedDataKey, unwrap_data_key, wrap_data_key},
};

/// Maximum ciphertext length of one encrypted data key, in bytes. (AWS KMS: about 184.)
pub const MAX_ENCRYPTED_DATA_KEY_LEN: usize = 1024;

/// A data key that is encrypted under one wrapping key, with all that its key service authenticates.
///
/// Either the wrapping key encrypts the data key itself, or it encrypts an intermediate key that
/// many objects share. In the second case the data key, encrypted under the intermediate key, is
/// alongside.
///
/// All of it comes from stored metadata: it is a claim until a key opens it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EncryptedDataKey {
    provider: String,
    wrapping_key: String,
    ciphertext: Vec<u8>,
    wrap_context: WrapContext,
    content: Content,
}

/// Content of [`EncryptedDataKey::ciphertext`].
#[derive(Clone, PartialEq, Eq, Hash)]
enum Content {
    /// The key that the wrap context names: a data key, or a new intermediate key without id.
    Key,
    /// An intermediate key without a data key. Never stored.
    Intermediate(IntermediateKeyId),
    /// An intermediate key. The data key, wrapped under it, is alongside.
    IntermediateAnd(Arc<UnderIntermediate>),
}

/// A data key under an intermediate key, without any wrapped form of that key.
#[derive(Clone, PartialEq, Eq, Hash)]
struct UnderIntermediate {
    id: IntermediateKeyId,
    wrapped: WrappedDataKey,
    /// Binding of the data key.
    wrap_context: WrapContext,
}

/// An object's data key under an intermediate key, apart from the wrapped forms of that key.
///
/// It opens with any wrapped form of the intermediate key that its id names: one that a key store
/// has, for example.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SharedKeySlot {
    under: Arc<UnderIntermediate>,
    /// Binding of the intermediate key.
    wrap_context: WrapContext,
}

impl SharedKeySlot {
    pub(crate) fn new(
        id: IntermediateKeyId,
        wrapped: WrappedDataKey,
        data_key_context: WrapContext,
        wrap_context: WrapContext,
    ) -> Self {
        let under = UnderIntermediate { id, wrapped, wrap_context: data_key_context };
        Self { under: Arc::new(under), wrap_context }
    }

    /// Returns the id of the intermediate key.
    #[must_use]
    pub fn intermediate_id(&self) -> &IntermediateKeyId {
        &self.under.id
    }

    /// Returns what the key service authenticates with each wrapped form of the intermediate key.
    #[must_use]
    pub fn wrap_context(&self) -> &WrapContext {
        &self.wrap_context
    }

    /// Returns the binding of the data key.
    #[must_use]
    pub fn data_key_context(&self) -> &WrapContext {
        &self.under.wrap_context
    }

    /// Returns the place that the data key is bound to, if any.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.under.wrap_context.place()
    }

    pub(crate) fn wrapped_data_key(&self) -> &WrappedDataKey {
        &self.under.wrapped
    }

    /// Returns the data key with `form`, a wrapped form of this intermediate key; `None` if `form`
    /// is of another key or has another binding.
    #[must_use]
    pub fn with_form(&self, form: &EncryptedDataKey) -> Option<EncryptedDataKey> {
        let is_form = form.content == Content::Intermediate(self.under.id)
            && form.wrap_context == self.wrap_context;
        let content = Content::IntermediateAnd(Arc::clone(&self.under));
        is_form.then(|| EncryptedDataKey { content, ..form.clone() })
    }
}

impl fmt::Debug for SharedKeySlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKeySlot")
            .field("intermediate", self.intermediate_id())
            .field("place", &self.place())
            .finish_non_exhaustive()
    }
}

impl EncryptedDataKey {
    /// Maximum length of a provider name, in bytes.
    pub const MAX_PROVIDER_LEN: usize = 32;
    /// Maximum length of a wrapping key name, in bytes.
    pub const MAX_WRAPPING_KEY_LEN: usize = 256;

    /// Creates an encrypted data key from the ciphertext of a key service.
    ///
    /// - `provider`: the kind of keyring that can unwrap it, such as `aws-kms`; 1 to 32 bytes of
    ///   `a-z`, `0-9` and `-`.
    /// - `wrapping_key`: the key that it is encrypted under; 1 to 256 bytes of printable ASCII
    ///   without `"` and `\`. For AWS KMS the key's ARN.
    /// - `ciphertext`: 1 to [`MAX_ENCRYPTED_DATA_KEY_LEN`] bytes.
    /// - `wrap_context`: what the key service authenticates with the ciphertext.
    ///
    /// # Errors
    /// [`Error::Malformed`], naming the invalid argument.
    pub fn new(
        provider: impl Into<String>,
        wrapping_key: impl Into<String>,
        ciphertext: Vec<u8>,
        wrap_context: &WrapContext,
    ) -> Result<Self, Error> {
        let (provider, wrapping_key) = (provider.into(), wrapping_key.into());
        check_names(&provider, &wrapping_key)?;
        if !(1..=MAX_ENCRYPTED_DATA_KEY_LEN).contains(&ciphertext.len()) {
            return Err(Error::Malformed(
                "an encrypted data key has an invalid ciphertext length".into(),
            ));
        }
        let wrap_context = wrap_context.clone();
        Ok(Self { provider, wrapping_key, ciphertext, wrap_context, content: Content::Key })
    }

    /// Returns the kind of keyring that can unwrap it, such as `aws-kms` or `local`.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Returns the wrapping key that it is encrypted under: for AWS KMS the key's ARN.
    #[must_use]
    pub fn wrapping_key(&self) -> &str {
        &self.wrapping_key
    }

    /// `true` if both name the same wrapping key.
    #[must_use]
    pub fn has_same_wrapping_key(&self, other: &Self) -> bool {
        (self.provider(), self.wrapping_key()) == (other.provider(), other.wrapping_key())
    }

    /// Returns the provider's ciphertext, either of the data key or of an intermediate key.
    #[must_use]
    pub fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }

    /// Returns what the key service authenticates with the ciphertext.
    #[must_use]
    pub fn wrap_context(&self) -> &WrapContext {
        &self.wrap_context
    }

    /// Returns the binding of the data key: that of the ciphertext, unless the ciphertext is of an
    /// intermediate key.
    #[must_use]
    pub fn data_key_context(&self) -> &WrapContext {
        match &self.content {
            Content::IntermediateAnd(under) => &under.wrap_context,
            Content::Key | Content::Intermediate(_) => &self.wrap_context,
        }
    }

    /// Returns the place that the data key is bound to, if any.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.data_key_context().place()
    }

    /// Returns the id of the intermediate key in the ciphertext, if there is one.
    #[must_use]
    pub fn intermediate_id(&self) -> Option<&IntermediateKeyId> {
        match &self.content {
            Content::Key => None,
            Content::Intermediate(id) => Some(id),
            Content::IntermediateAnd(under) => Some(&under.id),
        }
    }

    /// Returns the scope of the intermediate key in the ciphertext, if there is one.
    #[must_use]
    pub fn scope(&self) -> Option<&Scope> {
        self.wrap_context.scope()
    }

    /// Returns what the key service must authenticate with a new ciphertext of the same key, so
    /// that the data key is bound to `target`.
    ///
    /// Returns `None` if `target` is the binding of another body, or if the new ciphertext takes
    /// the intermediate key in plaintext. A data key under an intermediate key is bound to its place
    /// by that key, so a new ciphertext cannot move it.
    #[must_use]
    pub fn wrap_context_for(&self, target: &WrapContext) -> Option<WrapContext> {
        match &self.content {
            // An intermediate key is no body's key.
            Content::Key => self.wrap_context.is_same_body(target).then(|| target.clone()),
            Content::Intermediate(_) => {
                (self.wrap_context == *target).then(|| self.wrap_context.clone())
            }
            Content::IntermediateAnd(under) => {
                (under.wrap_context == *target).then(|| self.wrap_context.clone())
            }
        }
    }

    /// `true` if `target` is a binding of the same key: of this body's data key, at any place, or of
    /// the same intermediate key.
    #[must_use]
    pub fn is_key_of(&self, target: &WrapContext) -> bool {
        let own = self.data_key_context();
        own == target || own.is_same_body(target)
    }

    /// Returns the key in plaintext, given the plaintext of the ciphertext: the data key or, of
    /// [`EncryptedDataKey::intermediate`], the intermediate key.
    ///
    /// # Errors
    /// [`Error::Authentication`] if `decrypted` is not the intermediate key of this id, or did not
    /// wrap the data key for this binding.
    pub fn open(&self, decrypted: PlaintextDataKey) -> Result<PlaintextDataKey, Error> {
        match &self.content {
            Content::Key => Ok(decrypted),
            Content::Intermediate(id) => id.verify(&decrypted).map(|()| decrypted),
            Content::IntermediateAnd(_) => self.open_under(&decrypted),
        }
    }

    /// As [`EncryptedDataKey::open`], with an intermediate key that stays in use.
    ///
    /// # Errors
    /// [`Error::Authentication`] as there, and for a key without an intermediate key.
    pub fn open_under(&self, intermediate: &PlaintextDataKey) -> Result<PlaintextDataKey, Error> {
        let Content::IntermediateAnd(under) = &self.content else {
            return Err(Error::Authentication);
        };
        under.id.verify(intermediate)?;
        let binding = under.wrap_context.canonical_bytes_under(&under.id);
        unwrap_data_key(intermediate, &under.wrapped, &binding)
    }

    /// Returns the data key under its intermediate key, apart from this wrapped form of that key;
    /// `None` for a data key that is wrapped directly.
    #[must_use]
    pub fn slot(&self) -> Option<SharedKeySlot> {
        let Content::IntermediateAnd(under) = &self.content else { return None };
        let (under, wrap_context) = (Arc::clone(under), self.wrap_context.clone());
        Some(SharedKeySlot { under, wrap_context })
    }

    /// Creates a wrapped form of the intermediate key `id`, as stored in a key store.
    pub(crate) fn form_of(self, id: IntermediateKeyId) -> Self {
        Self { content: Content::Intermediate(id), ..self }
    }

    /// Returns the encrypted intermediate key alone, if there is one.
    #[must_use]
    pub fn intermediate(&self) -> Option<Self> {
        let Content::IntermediateAnd(under) = &self.content else { return None };
        Some(Self { content: Content::Intermediate(under.id), ..self.clone() })
    }

    /// Returns the same data key and binding with `other`, another encrypted form of the same
    /// intermediate key; `None` without an intermediate key, or if `other` has another binding.
    #[must_use]
    pub fn with_intermediate(&self, other: Self) -> Option<Self> {
        let Content::IntermediateAnd(_) = &self.content else { return None };
        let is_form = !matches!(other.content, Content::IntermediateAnd(_))
            && other.wrap_context == self.wrap_context;
        is_form.then(|| Self { content: self.content.clone(), ..other })
    }

    /// `true` if both are in one group: encrypted forms of the same key, with the same binding and,
    /// under an intermediate key, the same data key.
    #[must_use]
    pub fn shares_group(&self, other: &Self) -> bool {
        self.wrap_context == other.wrap_context && self.content == other.content
    }

    /// Wraps `data_key` under the intermediate key `intermediate` for `target`, and returns it with
    /// each of `encrypted`, the encrypted forms of that intermediate key.
    ///
    /// # Errors
    /// [`Error::RandomUnavailable`]; [`Error::Authentication`] if `encrypted` are not forms of one
    /// intermediate key, or if that key is not `intermediate`; [`Error::ApiMisuse`] if the place of
    /// `target` is outside of the scope.
    pub fn wrap_under(
        intermediate: &PlaintextDataKey,
        encrypted: &[Self],
        data_key: &PlaintextDataKey,
        target: &WrapContext,
    ) -> Result<Vec<Self>, Error> {
        let Some(first) = encrypted.first() else { return Ok(Vec::new()) };
        let form = |key: &Self| match &key.content {
            Content::Key => Some(IntermediateKeyId::of(intermediate, key.wrap_context.nonce()?)),
            Content::Intermediate(id) => Some(*id),
            Content::IntermediateAnd(_) => None,
        };
        let id = form(first).ok_or(Error::Authentication)?;
        id.verify(intermediate)?;
        let is_form = |key: &Self| form(key) == Some(id) && key.wrap_context == first.wrap_context;
        if !encrypted.iter().all(is_form) {
            return Err(Error::Authentication);
        }
        if !first.may_serve(target) {
            return Err(Error::ApiMisuse("the place is outside of the intermediate key's scope"));
        }
        let binding = target.canonical_bytes_under(&id);
        let wrapped = wrap_data_key(intermediate, data_key, &binding)?;
        let under = Arc::new(UnderIntermediate { id, wrapped, wrap_context: target.clone() });
        let with_data_key = |key: &Self| Self {
            content: Content::IntermediateAnd(Arc::clone(&under)),
            ..key.clone()
        };
        Ok(encrypted.iter().map(with_data_key).collect())
    }

    /// `true` if the intermediate key in the ciphertext may wrap a data key with the binding
    /// `target`: all pairs of its encryption context are in that one, and its scope contains the
    /// place.
    #[must_use]
    pub fn may_serve(&self, target: &WrapContext) -> bool {
        let is_in_scope = match (self.scope(), target.place()) {
            (Some(scope), Some(place)) => scope.contains(place),
            (None, None) => true,
            _ => false,
        };
        self.wrap_context.is_for_intermediate_key()
            && !target.is_for_intermediate_key()
            && self.wrap_context.context().is_part_of(target.context())
            && is_in_scope
    }

    /// Adds a data key, wrapped under this intermediate key, as stored or as expected.
    pub(crate) fn with_wrapped(
        self,
        id: IntermediateKeyId,
        wrapped: WrappedDataKey,
        wrap_context: WrapContext,
    ) -> Self {
        let under = UnderIntermediate { id, wrapped, wrap_context };
        Self { content: Content::IntermediateAnd(Arc::new(under)), ..self }
    }

    /// Returns the encrypted intermediate key alone, with the claim that it is `other`.
    pub(crate) fn with_id_of(&self, other: &PlaintextDataKey) -> Option<Self> {
        let id = IntermediateKeyId::of(other, self.wrap_context.nonce()?);
        Some(Self { content: Content::Intermediate(id), ..self.clone() })
    }

    /// Returns the same encrypted data key with the claim that it was encrypted for `wrap_context`:
    /// the ciphertext or, under an intermediate key, the data key.
    pub(crate) fn claiming(&self, wrap_context: WrapContext) -> Self {
        match &self.content {
            Content::Key | Content::Intermediate(_) => Self { wrap_context, ..self.clone() },
            Content::IntermediateAnd(under) => {
                self.clone().with_wrapped(under.id, under.wrapped, wrap_context)
            }
        }
    }
}

/// An encrypted data key that an object still lacks: the wrapping key was unreachable on writing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MissingKey {
    provider: String,
    wrapping_key: String,
}

impl MissingKey {
    /// Names the wrapping key as in [`EncryptedDataKey::new`].
    ///
    /// # Errors
    /// [`Error::Malformed`] for names that it rejects.
    pub fn new(
        provider: impl Into<String>,
        wrapping_key: impl Into<String>,
    ) -> Result<Self, Error> {
        let missing = Self { provider: provider.into(), wrapping_key: wrapping_key.into() };
        check_names(&missing.provider, &missing.wrapping_key)?;
        Ok(missing)
    }

    /// Returns the kind of keyring that could unwrap it, such as `aws-kms`.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Returns the wrapping key: for AWS KMS the key's ARN.
    #[must_use]
    pub fn wrapping_key(&self) -> &str {
        &self.wrapping_key
    }

    /// `true` if `key` is the one that was missing.
    #[must_use]
    pub fn is_filled_by(&self, key: &EncryptedDataKey) -> bool {
        (self.provider(), self.wrapping_key()) == (key.provider(), key.wrapping_key())
    }
}

fn check_names(provider: &str, wrapping_key: &str) -> Result<(), Error> {
    let provider_ok = (1..=EncryptedDataKey::MAX_PROVIDER_LEN).contains(&provider.len())
        && provider.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !provider_ok {
        return Err(Error::Malformed("an encrypted data key has an invalid provider name".into()));
    }
    let wrapping_key_ok = (1..=EncryptedDataKey::MAX_WRAPPING_KEY_LEN)
        .contains(&wrapping_key.len())
        && wrapping_key.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\');
    if !wrapping_key_ok {
        return Err(Error::Malformed(
            "an encrypted data key has an invalid wrapping key name".into(),
        ));
    }
    Ok(())
}

impl fmt::Debug for EncryptedDataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedDataKey")
            .field("provider", &self.provider)
            .field("wrapping_key", &self.wrapping_key)
            .field("place", &self.place())
            .field("intermediate", &self.intermediate_id())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        BodyHeader, EncryptionContext, WrappedForms, intermediate_key::WRAPPED_DATA_KEY_LEN,
    };

    fn place(key: &str) -> Place {
        Place::new("bucket", key).expect("a place")
    }

    fn data_key_at(key: &str, salt: u8) -> WrapContext {
        let header = BodyHeader::from_bytes(&[salt; 56]);
        WrapContext::for_stored_data_key(EncryptionContext::new(), Some(place(key)), &header)
    }

    fn intermediate_in(scope: Option<Scope>, nonce: u8) -> WrapContext {
        let forms = WrappedForms::InObjects;
        WrapContext::for_intermediate_key(EncryptionContext::new(), scope, [nonce; 16], forms)
    }

    fn form(name: &str, wrap_context: &WrapContext) -> EncryptedDataKey {
        EncryptedDataKey::new("p", name, vec![1], wrap_context).expect("a key")
    }

    fn plaintext(byte: u8) -> PlaintextDataKey {
        PlaintextDataKey::from_slice_wiping(&mut [byte; 32]).expect("32 bytes")
    }

    #[test]
    fn keys_are_in_one_group_by_binding_and_content() {
        let scoped = intermediate_in(Some(Scope::of(&place("k"), 0)), 1);
        let id = IntermediateKeyId::of(&plaintext(1), [1; 16]);
        let under = |name, wrapped, key| {
            let wrapped = [wrapped; WRAPPED_DATA_KEY_LEN];
            form(name, &scoped).with_wrapped(id, wrapped, data_key_at(key, 1))
        };
        let one = under("a", 7, "k");
        assert!(one.shares_group(&under("b", 7, "k")), "under another wrapping key");
        assert!(!one.shares_group(&under("a", 8, "k")), "another data key");
        assert!(!one.shares_group(&under("a", 7, "elsewhere")), "another place");
        let direct = form("a", &data_key_at("k", 1));
        assert!(direct.shares_group(&form("b", &data_key_at("k", 1))));
        assert!(!direct.shares_group(&form("b", &data_key_at("k", 2))), "another body");
        assert!(!one.shares_group(&direct) && !direct.shares_group(&one));
    }

    /// A data key must never be re-encrypted as an intermediate key, for another body, nor change
    /// its place unseen.
    #[test]
    fn a_new_ciphertext_keeps_the_kind_of_key_and_the_body() {
        let scoped = intermediate_in(Some(Scope::of(&place("k"), 0)), 1);
        let [here, there, other] =
            [data_key_at("here", 1), data_key_at("there", 1), data_key_at("here", 2)];
        let direct = form("a", &here);
        assert_eq!(direct.wrap_context_for(&here), Some(here.clone()));
        assert_eq!(direct.wrap_context_for(&there), Some(there.clone()));
        assert_eq!(direct.wrap_context_for(&other), None, "another body");
        assert_eq!(direct.wrap_context_for(&scoped), None, "another kind");
        let id = IntermediateKeyId::of(&plaintext(1), [1; 16]);
        let shared = form("a", &scoped).with_wrapped(id, [7; WRAPPED_DATA_KEY_LEN], here.clone());
        assert_eq!(shared.wrap_context_for(&here), Some(scoped.clone()));
        for target in [&there, &other, &scoped] {
            assert_eq!(shared.wrap_context_for(target), None, "{target:?}");
        }
        let alone = shared.intermediate().expect("it has one");
        assert_eq!(alone.wrap_context_for(&scoped), Some(scoped.clone()));
        assert_eq!(alone.wrap_context_for(&here), None);
        assert_eq!(form("a", &scoped).wrap_context_for(&scoped), None, "its id is unknown");
    }

    #[test]
    fn a_data_key_under_an_intermediate_key_opens_by_that_key_only() {
        let scoped = intermediate_in(Some(Scope::of(&place("k"), 0)), 1);
        let forms = [form("a", &scoped), form("b", &scoped)];
        let target = data_key_at("k", 1);
        let wrap = |forms: &[EncryptedDataKey], target: &WrapContext| {
            EncryptedDataKey::wrap_under(&plaintext(1), forms, &plaintext(3), target)
        };
        let keys = wrap(&forms, &target).expect("wrapped");
        assert_eq!(keys[0].place(), Some(&place("k")));
        assert!(keys[0].shares_group(&keys[1]));
        let open = |key: &EncryptedDataKey, by| {
            key.open(plaintext(by)).map(|opened| *opened.expose_secret())
        };
        for key in &keys {
            assert_eq!(open(key, 1), Ok([3; 32]));
            assert_eq!(open(key, 2), Err(Error::Authentication));
            let alone = key.intermediate().expect("it has one");
            assert_eq!(open(&alone, 1), Ok([1; 32]));
            assert_eq!(open(&alone, 2), Err(Error::Authentication), "the id names another key");
            assert!(matches!(alone.open_under(&plaintext(1)), Err(Error::Authentication)));
        }
        let alone: Vec<_> = keys.iter().filter_map(EncryptedDataKey::intermediate).collect();
        let again = wrap(&alone, &data_key_at("other", 2)).expect("wrapped");
        assert_eq!(open(&again[0], 1), Ok([3; 32]));

        let misuse = Err(Error::ApiMisuse("the place is outside of the intermediate key's scope"));
        let elsewhere = Place::new("elsewhere", "k").expect("a place");
        assert_eq!(wrap(&forms, &target.at(Some(elsewhere))), misuse);
        assert_eq!(wrap(&forms, &target.at(None)), misuse);
        let context = EncryptionContext::new().with("t", "x").expect("a context");
        let header = BodyHeader::from_bytes(&[1; 56]);
        let others = WrapContext::for_stored_data_key(context.clone(), Some(place("k")), &header);
        assert_eq!(wrap(&forms, &others).map(|keys| keys.len()), Ok(2), "one more pair");
        let scope = Some(Scope::of(&place("k"), 0));
        let narrower =
            WrapContext::for_intermediate_key(context, scope, [1; 16], WrappedForms::InObjects);
        assert_eq!(wrap(&[form("a", &narrower)], &target), misuse, "a pair is missing");
        let unlike = [form("a", &scoped), form("b", &intermediate_in(None, 1))];
        assert_eq!(wrap(&unlike, &target), Err(Error::Authentication));
        assert_eq!(wrap(&keys, &target), Err(Error::Authentication), "they have a data key");
        let by_another =
            EncryptedDataKey::wrap_under(&plaintext(2), &alone, &plaintext(3), &target);
        assert_eq!(by_another, Err(Error::Authentication));
        let other = form("c", &scoped);
        assert!(
            keys[0]
                .with_intermediate(other.clone())
                .is_some_and(|key| { key.wrapping_key() == "c" && key.shares_group(&keys[0]) })
        );
        assert_eq!(keys[0].with_intermediate(form("c", &intermediate_in(None, 1))), None);
        assert_eq!(form("a", &target).with_intermediate(other), None);
    }

    #[test]
    fn a_wrapping_key_is_named_with_its_provider() {
        let (one, context) = (form("a", &data_key_at("k", 1)), data_key_at("other", 2));
        let named = |provider, name| {
            EncryptedDataKey::new(provider, name, vec![2; 2], &context).expect("a key")
        };
        assert!(one.has_same_wrapping_key(&named("p", "a")));
        assert!(!one.has_same_wrapping_key(&named("p", "b")));
        assert!(!one.has_same_wrapping_key(&named("q", "a")));
    }

    #[test]
    fn names_and_lengths_are_bounded() {
        let context = data_key_at("k", 1);
        let new = |provider: &str, key: &str, len| {
            EncryptedDataKey::new(provider, key, vec![1; len], &context)
        };
        assert!(new("aws-kms", "arn:aws:kms:us-east-1:000000000000:key/x", 184).is_ok());
        for (provider, key, len) in [
            ("", "k", 1),
            ("AWS", "k", 1),
            ("a".repeat(33).as_str(), "k", 1),
            ("p", "", 1),
            ("p", "quo\"te", 1),
            ("p", "back\\slash", 1),
            ("p", "new\nline", 1),
            ("p", "\u{e9}", 1),
            ("p", "k".repeat(257).as_str(), 1),
            ("p", "k", 0),
            ("p", "k", 1025),
        ] {
            assert!(
                matches!(new(provider, key, len), Err(Error::Malformed(_))),
                "{provider:?} {key:?} {len}"
            );
        }
    }
}
