//! Wrap contexts: what a key service authenticates with a wrapped key.

use std::{collections::BTreeMap, fmt, sync::Arc};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use crate::{
    BodySalt, EncryptionContext, IntermediateKeyId, Place, Scope,
    context::canonical_bytes,
    intermediate_key::IntermediateNonce,
    key_schedule::{BodyHeader, SALT_LEN},
};

/// Reserved pair for the format and the kind of the wrapped key. KMS sees it; callers cannot set
/// it.
pub const FORMAT_PAIR: &str = "sealwax:format";
/// Reserved pair for the object's place. KMS sees it; callers cannot set it.
pub const PLACE_PAIR: &str = "sealwax:place";
/// Reserved pair for the salt of the object's body. KMS sees it; callers cannot set it.
pub const SALT_PAIR: &str = "sealwax:salt";
/// Reserved pair for the random part of an intermediate key's id. KMS sees it; callers cannot set
/// it.
pub const INTERMEDIATE_PAIR: &str = "sealwax:intermediate";
/// Reserved pair for the scope of an intermediate key. KMS sees it; callers cannot set it.
pub const SCOPE_PAIR: &str = "sealwax:scope";
/// Pair for the intermediate key of a data key. It enters the derivation of the key that wraps the
/// data key, and no request to a key service.
const INTERMEDIATE_ID_PAIR: &str = "sealwax:intermediate-id";

/// Full encryption context of one wrapped key: the caller's pairs and the reserved ones.
///
/// The key service authenticates it with the ciphertext. A wrapped key therefore serves one body at
/// one place, or one intermediate key in one scope, and nothing else. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WrapContext(Arc<Inner>);

#[derive(PartialEq, Eq, Hash)]
struct Inner {
    context: EncryptionContext,
    format: &'static str,
    kind: Kind,
}

/// The kind of the wrapped key, with the pairs that only this kind has.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Kind {
    DataKey { place: Option<Place>, salt: [u8; SALT_LEN] },
    Intermediate { scope: Option<Scope>, nonce: IntermediateNonce, wrapped_forms: WrappedForms },
}

/// Home of the wrapped forms of an intermediate key: in the objects under it, or apart from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum WrappedForms {
    /// In the metadata of each object under it, and in a key store if there is one.
    #[default]
    InObjects,
    /// In a key store alone: the key is *detached*. An object under it opens only while the key
    /// store has the key.
    Detached,
}

impl WrappedForms {
    /// Returns the value of the reserved pair for the format.
    pub(crate) fn format(self) -> &'static str {
        match self {
            Self::InObjects => "v1/intermediate",
            Self::Detached => "v1/detached",
        }
    }
}

impl WrapContext {
    /// Binds a new data key to `context`, to the body with `salt` and, if given, to `place`.
    #[must_use]
    pub fn for_data_key(context: EncryptionContext, place: Option<Place>, salt: &BodySalt) -> Self {
        Self::with_salt(context, place, *salt.bytes())
    }

    /// Returns the binding of the data key of a stored body, at `place` if given.
    #[must_use]
    pub fn for_stored_data_key(
        context: EncryptionContext,
        place: Option<Place>,
        header: &BodyHeader,
    ) -> Self {
        Self::with_salt(context, place, *header.salt())
    }

    /// Returns the binding of no object, to ask a keyring for the names of its wrapping keys.
    #[must_use]
    pub fn for_names() -> Self {
        Self::with_salt(EncryptionContext::new(), None, [0; SALT_LEN])
    }

    fn with_salt(context: EncryptionContext, place: Option<Place>, salt: [u8; SALT_LEN]) -> Self {
        Self(Arc::new(Inner { context, format: "v1", kind: Kind::DataKey { place, salt } }))
    }

    /// Binds an intermediate key, which the objects of `scope` share, to `context`, to the random
    /// part of its id, and to the place of its wrapped forms.
    pub(crate) fn for_intermediate_key(
        context: EncryptionContext,
        scope: Option<Scope>,
        nonce: IntermediateNonce,
        wrapped_forms: WrappedForms,
    ) -> Self {
        let kind = Kind::Intermediate { scope, nonce, wrapped_forms };
        Self(Arc::new(Inner { context, format: wrapped_forms.format(), kind }))
    }

    /// Returns the binding with another value of one pair alone, the format's. No stored key has it.
    pub(crate) fn of_another_format(&self) -> Self {
        let Inner { context, kind, .. } = &*self.0;
        Self(Arc::new(Inner { context: context.clone(), format: "v2", kind: kind.clone() }))
    }

    /// Returns the caller's encryption context.
    #[must_use]
    pub fn context(&self) -> &EncryptionContext {
        &self.0.context
    }

    /// Returns the object's place, if this is a data key that is bound to one.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match &self.0.kind {
            Kind::DataKey { place, .. } => place.as_ref(),
            Kind::Intermediate { .. } => None,
        }
    }

    /// Returns the scope, if this is an intermediate key that has one.
    #[must_use]
    pub fn scope(&self) -> Option<&Scope> {
        match &self.0.kind {
            Kind::DataKey { .. } => None,
            Kind::Intermediate { scope, .. } => scope.as_ref(),
        }
    }

    /// `true` for an intermediate key whose wrapped forms are in a key store alone.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        let forms = WrappedForms::Detached;
        matches!(&self.0.kind, Kind::Intermediate { wrapped_forms, .. } if *wrapped_forms == forms)
    }

    /// `true` for an intermediate key, `false` for a data key.
    #[must_use]
    pub fn is_for_intermediate_key(&self) -> bool {
        self.nonce().is_some()
    }

    /// Returns the same binding at another place, for a data key; an intermediate key has none.
    #[must_use]
    pub fn at(&self, place: Option<Place>) -> Self {
        match &self.0.kind {
            Kind::DataKey { salt, .. } => Self::with_salt(self.0.context.clone(), place, *salt),
            Kind::Intermediate { .. } => self.clone(),
        }
    }

    /// `true` if both are bindings of the data key of one body, wherever it is.
    #[must_use]
    pub fn is_same_body(&self, other: &Self) -> bool {
        match (&self.0.kind, &other.0.kind) {
            (Kind::DataKey { salt, .. }, Kind::DataKey { salt: others, .. }) => {
                salt == others && self.0.context == other.0.context
            }
            _ => false,
        }
    }

    /// `true` if this is the binding of the data key of the body with `header`, somewhere.
    pub(crate) fn is_of_body(&self, context: &EncryptionContext, header: &BodyHeader) -> bool {
        matches!(&self.0.kind, Kind::DataKey { salt, .. } if salt == header.salt())
            && self.0.context == *context
    }

    /// Returns the random part of the intermediate key's id.
    pub(crate) fn nonce(&self) -> Option<IntermediateNonce> {
        match &self.0.kind {
            Kind::DataKey { .. } => None,
            Kind::Intermediate { nonce, .. } => Some(*nonce),
        }
    }

    /// Returns the reserved pairs, without those of the caller.
    fn reserved_pairs(&self) -> Vec<(&'static str, String)> {
        let text = |name: &'static str, value: &str| (name, value.to_owned());
        match &self.0.kind {
            Kind::DataKey { place, salt } => [text(FORMAT_PAIR, self.0.format)]
                .into_iter()
                .chain(place.iter().map(|place| text(PLACE_PAIR, place.as_str())))
                .chain([(SALT_PAIR, STANDARD_NO_PAD.encode(salt))])
                .collect(),
            Kind::Intermediate { scope, nonce, .. } => [
                text(FORMAT_PAIR, self.0.format),
                (INTERMEDIATE_PAIR, URL_SAFE_NO_PAD.encode(nonce)),
            ]
            .into_iter()
            .chain(scope.iter().map(|scope| text(SCOPE_PAIR, scope.as_str())))
            .collect(),
        }
    }

    /// Returns all pairs that the key service authenticates: the caller's and the reserved ones.
    #[must_use]
    pub fn pairs(&self) -> BTreeMap<String, String> {
        let own = self.0.context.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let reserved = self.reserved_pairs().into_iter();
        own.chain(reserved.map(|(name, value)| (name.to_owned(), value))).collect()
    }

    /// Returns all pairs as canonical bytes, for keyrings that wrap in this process. (FORMAT.md,
    /// "Wrapped keys".)
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        bytes_of(&self.pairs())
    }

    /// Returns the canonical bytes of a data key that is wrapped under the intermediate key `id`.
    pub(crate) fn canonical_bytes_under(&self, id: &IntermediateKeyId) -> Vec<u8> {
        let mut pairs = self.pairs();
        pairs.insert(INTERMEDIATE_ID_PAIR.to_owned(), id.to_string());
        bytes_of(&pairs)
    }
}

fn bytes_of(pairs: &BTreeMap<String, String>) -> Vec<u8> {
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    canonical_bytes(b"sealwax/v1/wrap\0", pairs)
}

impl fmt::Debug for WrapContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.pairs()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(salt: u8) -> BodyHeader {
        BodyHeader::from_bytes(&[salt; 56])
    }

    #[test]
    fn a_data_key_is_bound_to_format_place_and_salt() {
        let context = EncryptionContext::try_from_iter([("t", "x")]).expect("a valid pair");
        let place = Place::new("bucket", "a/key").expect("a place");
        let pairs = |context: WrapContext| context.pairs().into_iter().collect::<Vec<_>>();
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let salt = ("sealwax:salt", "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ");
        let bound =
            WrapContext::for_stored_data_key(context.clone(), Some(place.clone()), &header(9));
        let format = ("sealwax:format", "v1");
        assert_eq!(
            pairs(bound.clone()),
            owned(&[format, ("sealwax:place", "bucket/a/key"), salt, ("t", "x")])
        );
        assert_eq!(pairs(bound.at(None)), owned(&[format, salt, ("t", "x")]));
        let scope = Scope::of(&place, 1);
        for (forms, format) in
            [(WrappedForms::InObjects, "v1/intermediate"), (WrappedForms::Detached, "v1/detached")]
        {
            let (context, scope) = (context.clone(), Some(scope.clone()));
            let shared = WrapContext::for_intermediate_key(context, scope, [0xff; 16], forms);
            assert_eq!(
                pairs(shared),
                owned(&[
                    ("sealwax:format", format),
                    ("sealwax:intermediate", "_____________________w"),
                    ("sealwax:scope", "bucket/a/"),
                    ("t", "x"),
                ])
            );
        }
    }

    proptest! {
        /// Bindings of different kinds, contexts, places, salts, scopes and ids have different
        /// bytes, and none equals a body context.
        #[test]
        fn bindings_differ_by_every_pair(
            a in proptest::collection::btree_map("[ab]{1,2}", "[ab/]{0,2}", 0..3),
            b in proptest::collection::btree_map("[ab]{1,2}", "[ab/]{0,2}", 0..3),
            places in [("[ab]{1,2}", "[ab/]{1,2}"), ("[ab]{1,2}", "[ab/]{1,2}")],
        ) {
            let contexts = [a, b].map(|pairs| EncryptionContext::try_from_iter(pairs).expect("no reserved names"));
            let places = places.map(|(bucket, key)| Place::new(&bucket, &key).expect("a place"));
            let scopes = [None, Some(Scope::of(&places[0], 0)), Some(Scope::of(&places[1], 1))];
            let mut seen = std::collections::HashMap::new();
            for context in &contexts {
                let body = ("body", format!("{context:?}"));
                prop_assert_eq!(seen.entry(context.body_context()).or_insert(body.clone()), &body);
                let mut kinds = Vec::new();
                for (nonce, forms) in [
                    ([1; 16], WrappedForms::InObjects),
                    ([2; 16], WrappedForms::InObjects),
                    ([1; 16], WrappedForms::Detached),
                ] {
                    kinds.extend(scopes.iter().map(|scope| {
                        let (context, scope) = (context.clone(), scope.clone());
                        WrapContext::for_intermediate_key(context, scope, nonce, forms)
                    }));
                }
                for place in [None, Some(&places[0]), Some(&places[1])] {
                    kinds.extend([1, 2].map(|salt| {
                        WrapContext::for_stored_data_key(context.clone(), place.cloned(), &header(salt))
                    }));
                }
                for kind in kinds {
                    let is = ("wrap", format!("{kind:?}"));
                    prop_assert_eq!(seen.entry(kind.canonical_bytes()).or_insert(is.clone()), &is);
                    for id in [[3; 32], [4; 32]] {
                        let id = IntermediateKeyId::from_bytes(id);
                        let is = ("under", format!("{kind:?} {id}"));
                        let bytes = kind.canonical_bytes_under(&id);
                        prop_assert_eq!(seen.entry(bytes).or_insert(is.clone()), &is);
                    }
                }
            }
        }
    }
}
