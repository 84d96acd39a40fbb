//! Names and values of an envelope, each at most once and within limits.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::{Error, encoded_word, header_names as names};
use crate::metadata::METADATA_READ_LIMIT;

/// Known names in an object's metadata or instruction file. Empty values count as absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(BTreeMap<&'static str, String>);

impl Fields {
    /// Collects the S3 Encryption Client's names from an object's metadata.
    pub(super) fn of_metadata<'a>(
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Error> {
        let mut fields = Self::default();
        let mut len = 0;
        for (name, value) in metadata {
            let Some(name) = names::known(name) else { continue };
            len += name.len() + value.len();
            if len > METADATA_READ_LIMIT {
                return Err(Error::Malformed(format!(
                    "more than {METADATA_READ_LIMIT} bytes of metadata"
                )));
            }
            let is_text =
                matches!(name, names::DESCRIPTION | names::CONTEXT_V3 | names::DESCRIPTION_V3);
            let value = if is_text {
                encoded_word::decode(value).ok_or_else(|| bad(name))?
            } else {
                value.into()
            };
            fields.insert(name, value.into_owned())?;
        }
        Ok(fields)
    }

    /// Adds a value unless it is empty. Only the marker may be empty.
    pub(super) fn insert(&mut self, name: &'static str, value: String) -> Result<(), Error> {
        if value.is_empty() && name != names::INSTRUCTION_FILE_MARKER {
            return Ok(());
        }
        match self.0.insert(name, value) {
            None => Ok(()),
            Some(_) => Err(Error::Malformed(format!("{name} is repeated"))),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the first of `names` that is present.
    pub(super) fn any_of(&self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().copied().find(|name| self.has(name))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn required(&self, name: &'static str) -> Result<&str, Error> {
        self.get(name).ok_or_else(|| Error::Malformed(format!("{name} is missing")))
    }

    /// Decodes base64 with padding (RFC 4648 §4) of 1 to `max` bytes.
    pub(super) fn bytes(&self, name: &'static str, max: usize) -> Result<Vec<u8>, Error> {
        let bytes = STANDARD.decode(self.required(name)?).map_err(|_| bad(name))?;
        if (1..=max).contains(&bytes.len()) { Ok(bytes) } else { Err(bad(name)) }
    }

    /// Decodes base64 of exactly `N` bytes that are not all zero: no client writes zeros, and some
    /// reject them.
    pub(super) fn array<const N: usize>(&self, name: &'static str) -> Result<[u8; N], Error> {
        let bytes: [u8; N] = self.bytes(name, N)?.try_into().map_err(|_| bad(name))?;
        if bytes == [0; N] { Err(bad(name)) } else { Ok(bytes) }
    }

    /// Parses a JSON object of strings; empty if the name is absent.
    pub(super) fn map(&self, name: &'static str) -> Result<BTreeMap<String, String>, Error> {
        let Some(json) = self.get(name) else { return Ok(BTreeMap::new()) };
        let Pairs(pairs) = serde_json::from_str::<Pairs<String>>(json).map_err(|_| bad(name))?;
        let count = pairs.len();
        let map: BTreeMap<_, _> = pairs.into_iter().collect();
        if map.len() == count { Ok(map) } else { Err(bad(name)) }
    }
}

pub(super) fn bad(name: &str) -> Error {
    Error::Malformed(format!("{name} has an invalid value"))
}

/// Pairs of a JSON object, including repeated names.
pub(super) struct Pairs<V>(pub(super) Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<V>(std::marker::PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Collect<V> {
            type Value = Pairs<V>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect(std::marker::PhantomData))
    }
}
