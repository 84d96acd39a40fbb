//! The caller's encryption context.

use std::collections::BTreeMap;

use crate::{Error, ascii_json};

/// Prefixes of names that callers cannot use, in any case.
const RESERVED_PREFIXES: [&str; 3] = ["sealwax:", "aws:", "aws-crypto-"];

/// Non-secret name-value pairs, authenticated with an object and with each of its wrapped keys.
///
/// The context is stored in plaintext with the object and appears in plaintext in CloudTrail for
/// each KMS call, so it must hold no personal data and no secrets. Changing it makes the object
/// unreadable. (AWS KMS Developer Guide, "Encryption context".)
///
/// ```
/// use sealwax_envelope::{EncryptionContext, Error};
///
/// let context = EncryptionContext::new().with("tenant", "acme")?.with("class", "invoice")?;
/// assert_eq!(context.get("tenant"), Some("acme"));
///
/// let same = EncryptionContext::try_from_iter([("class", "invoice"), ("tenant", "acme")])?;
/// assert_eq!(context, same, "the order does not matter");
///
/// let reserved = EncryptionContext::new().with("aws:tenant", "acme");
/// assert!(matches!(reserved, Err(Error::InvalidContext(_))));
/// # Ok::<(), sealwax_envelope::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct EncryptionContext(BTreeMap<String, String>);

impl EncryptionContext {
    /// Maximum number of pairs in one context.
    pub const MAX_PAIRS: usize = 64;

    /// Returns an empty context.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a context from `pairs`.
    ///
    /// # Errors
    /// [`Error::InvalidContext`] for a name that is empty, reserved (`sealwax:`, `aws:`,
    /// `aws-crypto-`) or repeated, and for more than [`EncryptionContext::MAX_PAIRS`] pairs. Names
    /// are compared without regard to ASCII case, as the condition keys of IAM are.
    pub fn try_from_iter<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, Error>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let mut context = Self::new();
        for (name, value) in pairs {
            context.insert(name, value)?;
        }
        Ok(context)
    }

    /// Returns the context with one more pair.
    ///
    /// # Errors
    /// As [`EncryptionContext::try_from_iter`].
    pub fn with(
        mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Self, Error> {
        self.insert(name, value)?;
        Ok(self)
    }

    /// Adds one pair.
    ///
    /// # Errors
    /// As [`EncryptionContext::try_from_iter`].
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), Error> {
        let name = name.into();
        if name.is_empty() {
            return Err(Error::InvalidContext("a name is empty".into()));
        }
        let is_reserved = |prefix: &&&str| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if let Some(prefix) = RESERVED_PREFIXES.iter().find(is_reserved) {
            return Err(Error::InvalidContext(format!(
                "the name {name:?} starts with the reserved prefix {prefix:?}"
            )));
        }
        if self.0.len() == Self::MAX_PAIRS {
            return Err(Error::InvalidContext(format!("more than {} pairs", Self::MAX_PAIRS)));
        }
        match self.0.keys().find(|known| known.eq_ignore_ascii_case(&name)) {
            Some(known) if *known == name => {
                Err(Error::InvalidContext(format!("the name {name:?} is repeated")))
            }
            Some(known) => Err(Error::InvalidContext(format!(
                "the names {known:?} and {name:?} differ only in case"
            ))),
            None => {
                self.0.insert(name, value.into());
                Ok(())
            }
        }
    }

    /// Returns the value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the pairs, sorted by the bytes of their names.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the pairs whose names are among `names`.
    #[must_use]
    pub fn restricted_to<N: AsRef<str>>(&self, names: impl IntoIterator<Item = N>) -> Self {
        let pairs = names.into_iter().filter_map(|name| {
            let (name, value) = self.0.get_key_value(name.as_ref())?;
            Some((name.clone(), value.clone()))
        });
        Self(pairs.collect())
    }

    /// `true` if `other` has all pairs of this context.
    #[must_use]
    pub fn is_part_of(&self, other: &Self) -> bool {
        self.iter().all(|(name, value)| other.get(name) == Some(value))
    }

    /// Returns the number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// `true` if there are no pairs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the context as canonical JSON: one object, names sorted by their bytes, no white
    /// space, ASCII only (other characters as `\uXXXX`).
    #[must_use]
    pub fn to_json(&self) -> String {
        ascii_json::to_string(&self.0)
    }

    /// Parses the output of [`EncryptionContext::to_json`] and rejects any other spelling.
    ///
    /// # Errors
    /// [`Error::Malformed`] for JSON that is not canonical and for invalid pairs.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let pairs: BTreeMap<String, String> = serde_json::from_str(json).map_err(|_| {
            Error::Malformed("the encryption context is not a JSON object of strings".into())
        })?;
        let context =
            Self::try_from_iter(pairs).map_err(|error| Error::Malformed(error.to_string()))?;
        if context.to_json() != json {
            return Err(Error::Malformed("the encryption context is not canonical JSON".into()));
        }
        Ok(context)
    }

    /// Returns the `context` input of the body's key derivation (FORMAT.md, "Body context").
    ///
    /// `"sealwax/v1" ‖ 0x00 ‖ n ‖ (len ‖ name ‖ len ‖ value)…`. All numbers are 32 bits,
    /// big-endian. Lengths are in bytes of UTF-8. Pairs are sorted by the bytes of their names.
    #[must_use]
    pub fn body_context(&self) -> Vec<u8> {
        canonical_bytes(b"sealwax/v1\0", self.iter())
    }
}

impl<N: Into<String>, V: Into<String>, const LEN: usize> TryFrom<[(N, V); LEN]>
    for EncryptionContext
{
    type Error = Error;

    fn try_from(pairs: [(N, V); LEN]) -> Result<Self, Error> {
        Self::try_from_iter(pairs)
    }
}

/// Returns `label` and then `pairs`, unambiguously. (FORMAT.md, "Encryption context".)
pub(crate) fn canonical_bytes<'a>(
    label: &[u8],
    pairs: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) -> Vec<u8> {
    let length =
        |len: usize| u32::try_from(len).expect("bounded by MAX_PAIRS and by memory").to_be_bytes();
    let mut bytes = label.to_vec();
    bytes.extend(length(pairs.len()));
    for (name, value) in pairs {
        for text in [name, value] {
            bytes.extend(length(text.len()));
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn invalid_pairs_are_rejected() {
        for name in [
            "",
            "sealwax:place",
            "Sealwax:place",
            "SEALWAX:FORMAT",
            "aws:x",
            "AWS:x",
            "aws-crypto-public-key",
            "Aws-Crypto-Public-Key",
        ] {
            assert!(
                matches!(
                    EncryptionContext::try_from_iter([(name, "v")]),
                    Err(Error::InvalidContext(_))
                ),
                "{name:?} was accepted"
            );
            let json = format!("{{{name:?}:\"v\"}}");
            assert!(
                matches!(EncryptionContext::from_json(&json), Err(Error::Malformed(_))),
                "{json} was read"
            );
        }
        for name in ["sealwax", "sealwaxé", "aws", "é:aws:"] {
            assert_eq!(
                EncryptionContext::try_from_iter([(name, "v")]).map(|context| context.len()),
                Ok(1),
                "{name:?}"
            );
        }
        let twice = EncryptionContext::try_from_iter([("a", "1"), ("a", "2")]);
        assert_eq!(twice, Err(Error::InvalidContext(r#"the name "a" is repeated"#.into())));
        let many = (0..=EncryptionContext::MAX_PAIRS).map(|n| (format!("n{n}"), "v"));
        assert!(matches!(EncryptionContext::try_from_iter(many), Err(Error::InvalidContext(_))));
    }

    #[test]
    fn pairs_are_found_and_counted() {
        assert!(EncryptionContext::new().is_empty());
        let mut context = EncryptionContext::new().with("b", "2").expect("a valid pair");
        context.insert("a", "").expect("a valid pair");
        assert_eq!(EncryptionContext::try_from([("a", ""), ("b", "2")]).as_ref(), Ok(&context));
        assert!(matches!(context.clone().with("a", ""), Err(Error::InvalidContext(_))));
        assert_eq!((context.len(), context.is_empty()), (2, false));
        assert_eq!(["a", "b", "c"].map(|name| context.get(name)), [Some(""), Some("2"), None]);
        assert_eq!(context.iter().collect::<Vec<_>>(), [("a", ""), ("b", "2")]);
        let most = (0..EncryptionContext::MAX_PAIRS).map(|n| (format!("n{n}"), "v"));
        assert_eq!(
            EncryptionContext::try_from_iter(most).expect("the maximum number of pairs").len(),
            64
        );
    }

    /// IAM takes such names for one condition key.
    #[test]
    fn names_that_differ_only_in_case_are_rejected() {
        let both = EncryptionContext::try_from_iter([("tenant", "acme"), ("Tenant", "evil")]);
        let expected = r#"the names "tenant" and "Tenant" differ only in case"#;
        assert_eq!(both, Err(Error::InvalidContext(expected.into())));
        let stored = r#"{"Tenant":"evil","tenant":"acme"}"#;
        assert!(matches!(EncryptionContext::from_json(stored), Err(Error::Malformed(_))));
        let other = EncryptionContext::try_from_iter([("é", "1"), ("É", "2")]);
        assert_eq!(other.map(|context| context.len()), Ok(2), "only ASCII has such pairs in IAM");
    }

    #[test]
    fn json_is_sorted_ascii_without_white_space() {
        let context = EncryptionContext::try_from_iter([("z", "é"), ("a", "q\"\u{7f}\n😀")])
            .expect("valid pairs");
        assert_eq!(context.to_json(), r#"{"a":"q\"\u007f\n\ud83d\ude00","z":"\u00e9"}"#);
    }

    #[test]
    fn other_spellings_of_the_same_json_are_rejected() {
        for json in [
            r#"{"a": "1"}"#,
            r#"{"b":"1","a":"2"}"#,
            r#"{"a":"1","a":"1"}"#,
            r#"{"a":"\u0031"}"#,
            r#"{"a":"é"}"#,
            r#"{"a":1}"#,
            r#"["a"]"#,
            "",
        ] {
            assert!(
                matches!(EncryptionContext::from_json(json), Err(Error::Malformed(_))),
                "{json}"
            );
        }
    }

    #[test]
    fn canonical_bytes_have_the_documented_layout() {
        let context =
            EncryptionContext::try_from_iter([("b", "22"), ("a", "1")]).expect("valid pairs");
        let expected = b"sealwax/v1\0\0\0\0\x02\0\0\0\x01a\0\0\0\x011\0\0\0\x01b\0\0\0\x0222";
        assert_eq!(context.body_context(), expected);
    }

    proptest! {
        #[test]
        fn json_round_trips_and_canonical_bytes_are_injective(
            a in proptest::collection::btree_map("[^:A-Z]{1,8}", ".{0,12}", 0..5),
            b in proptest::collection::btree_map("[^:A-Z]{1,8}", ".{0,12}", 0..5),
        ) {
            let one = EncryptionContext::try_from_iter(a).expect("no reserved names");
            let other = EncryptionContext::try_from_iter(b).expect("no reserved names");
            prop_assert_eq!(&EncryptionContext::from_json(&one.to_json()).expect("canonical"), &one);
            prop_assert!(one.to_json().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(one == other, one.body_context() == other.body_context());
        }

        /// Moving text between a name and its value, or between pairs, changes the context.
        #[test]
        fn no_two_splits_of_one_text_have_the_same_bytes(text in "[a-c]{4,12}", cuts: [prop::sample::Index; 6]) {
            let split = |cuts: &[prop::sample::Index]| {
                let mut at: Vec<usize> = cuts.iter().map(|cut| 1 + cut.index(text.len() - 1)).collect();
                at.sort_unstable();
                let pieces = [&text[..at[0]], &text[at[0]..at[1]], &text[at[1]..at[2]], &text[at[2]..]];
                EncryptionContext::try_from_iter([(pieces[0], pieces[1]), (pieces[2], pieces[3])]).ok()
            };
            if let (Some(one), Some(other)) = (split(&cuts[..3]), split(&cuts[3..])) {
                prop_assert_eq!(one == other, one.body_context() == other.body_context());
                prop_assert_eq!(one == other, one.to_json() == other.to_json());
            }
        }
    }
}
