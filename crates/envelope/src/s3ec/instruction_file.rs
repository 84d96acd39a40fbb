//! Instruction files: the part of an envelope that is in an object of its own.

use serde::Deserialize;

use super::{
    Error,
    envelope_fields::{Fields, Pairs, bad},
    header_names as names,
};

/// What an instruction file's key ends with, after the object's key, unless another suffix was chosen.
pub const INSTRUCTION_FILE_SUFFIX: &str = ".instruction";
/// Longest instruction file that is read, in bytes. A real one has some hundreds.
pub const MAX_INSTRUCTION_FILE_LEN: usize = 64 * 1024;

/// A value of an instruction file; clients of V1 wrote lengths as numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(u64),
}

/// Reads one: a JSON object in UTF-8, maybe behind a byte order mark. Names that are none of the format's are passed over,
/// but for those that begin like them.
pub(super) fn parse(bytes: &[u8]) -> Result<Fields, Error> {
    let malformed = |what: &str| Error::Malformed(format!("the instruction file {what}"));
    if bytes.len() > MAX_INSTRUCTION_FILE_LEN {
        return Err(malformed("is longer than 64 KiB"));
    }
    let json = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Pairs(pairs) = serde_json::from_slice::<Pairs<serde_json::Value>>(json)
        .map_err(|_| malformed("is not a JSON object"))?;
    let mut fields = Fields::default();
    for (name, value) in pairs {
        let known = names::known(&name).filter(|known| *known == name);
        let Some(known) = known else {
            let begins_like_ours =
                name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
            if begins_like_ours {
                let name: String = name.chars().take(64).collect();
                return Err(malformed(&format!("has the unknown name {name:?}")));
            }
            continue;
        };
        if names::CONTENT_V3.contains(&known) {
            return Err(malformed(&format!("was tampered with: {known} is the object's alone")));
        }
        let is_length = matches!(known, names::TAG_LEN | names::PLAINTEXT_LEN);
        let value = match serde_json::from_value(value).map_err(|_| bad(known))? {
            Value::Text(text) => text,
            Value::Number(number) if is_length => number.to_string(),
            Value::Number(_) => return Err(bad(known)),
        };
        fields.insert(known, value)?;
    }
    Ok(fields)
}
