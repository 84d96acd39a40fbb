//! `NAME=VALUE`.

use std::str::FromStr;

use sealwax_s3::envelope::EncryptionContext;

use crate::error::Failure;

/// A name and a value, of which the value may hold `=` and may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("not NAME=VALUE: there is no '='")?;
        if name.is_empty() {
            return Err("not NAME=VALUE: the name is empty");
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// The encryption context of these pairs.
pub(crate) fn context(pairs: Vec<Pair>) -> Result<EncryptionContext, Failure> {
    EncryptionContext::try_from_iter(pairs.into_iter().map(|pair| (pair.name, pair.value)))
        .map_err(Failure::usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_equals_sign_divides() {
        for (text, name, value) in [
            ("a=b", "a", "b"),
            ("a=", "a", ""),
            ("a=b=c", "a", "b=c"),
            ("a==", "a", "="),
            ("a b= c ", "a b", " c "),
        ] {
            assert_eq!(text.parse(), Ok(Pair { name: name.into(), value: value.into() }), "{text}");
        }
    }

    #[test]
    fn a_pair_needs_a_name_and_an_equals_sign() {
        for text in ["", "a", "=", "=b"] {
            assert!(text.parse::<Pair>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_context_has_no_name_twice_and_none_that_is_reserved() {
        let context_of = |texts: &[&str]| {
            context(texts.iter().map(|text| text.parse().expect("a pair")).collect())
        };
        assert_eq!(context_of(&["a=1", "b=2"]).expect("fine pairs").len(), 2);
        assert!(context_of(&["a=1", "a=2"]).is_err());
        assert!(context_of(&["aws:x=1"]).is_err());
    }
}
