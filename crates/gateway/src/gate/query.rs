//! Query parameters of a request.

use super::{
    percent::{decode, encode},
    refusal::{Code, Refusal, refuse},
};

/// Maximum number of parameters. S3 has less than 20 in any operation.
const MAX_PARAMETERS: usize = 64;

/// Query parameters, decoded, in the order of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Decodes a query. A plus sign is a space, as in S3 and in the types of s3s.
    pub(super) fn parse(query: &str) -> Result<Self, Refusal> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|it| !it.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode_form(name), decode_form(value)) else {
                return refuse(Code::InvalidURI, "the query is not percent-encoded UTF-8");
            };
            if pairs.iter().any(|(other, _)| *other == name) {
                return refuse(Code::InvalidArgument, "a query parameter occurs twice");
            }
            if pairs.len() == MAX_PARAMETERS {
                return refuse(Code::InvalidArgument, "the query has more than 64 parameters");
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// Returns a parameter's value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Removes a parameter and returns its value.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(other, _)| other == name)?;
        Some(self.pairs.remove(at).1)
    }

    /// Removes a parameter that stands for a header, whose letter case does not matter, and returns its
    /// value.
    pub(super) fn take_header(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(other, _)| other.eq_ignore_ascii_case(name))?;
        Some(self.pairs.remove(at).1)
    }

    /// Returns names and values.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the canonical form, without one parameter: encoded, and sorted by encoded names.
    pub(super) fn canonical(&self, without: Option<&str>) -> String {
        let is_signed = |(name, _): &(&str, &str)| Some(*name) != without;
        let mut pairs: Vec<_> = self
            .pairs()
            .filter(is_signed)
            .map(|(name, value)| (encode(name), encode(value)))
            .collect();
        pairs.sort();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    }
}

fn decode_form(text: &str) -> Option<String> {
    decode(&text.replace('+', " "))
}
