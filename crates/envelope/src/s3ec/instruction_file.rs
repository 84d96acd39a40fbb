//! Instruction files: separate objects that hold part of an envelope.

use serde::Deserialize;

use super::{
    Error,
    envelope_fields::{Fields, Pairs, bad},
    header_names as names,
};

/// Default suffix of an instruction file's key, after the object's key.
pub const INSTRUCTION_FILE_SUFFIX: &str = ".instruction";
/// Maximum length of an instruction file that is read, in bytes. Typical ones have some hundred
/// bytes.
pub const MAX_INSTRUCTION_FILE_LEN: usize = 64 * 1024;

/// A value in an instruction file. V1 clients wrote lengths as numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(u64),
}

/// `true` if an object with this content can be an instruction file: it has a wrapped data key, and
/// no more than [`MAX_INSTRUCTION_FILE_LEN`] bytes. Nothing of it is authenticated.
///
/// The content tells, because not every client marks its instruction files, and anyone can mark any
/// object.
#[must_use]
pub fn is_instruction_file(content: &[u8]) -> bool {
    let wrapped_keys = [names::KEY_V1, names::KEY_V2, names::KEY_V3];
    parse(content).is_ok_and(|fields| fields.any_of(&wrapped_keys).is_some())
}

/// Parses an instruction file: a JSON object in UTF-8, optionally after a byte order mark. Ignores
/// unknown names, but rejects those that start like the format's names.
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
            let starts_like_ours =
                name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
            if starts_like_ours {
                let name: String = name.chars().take(64).collect();
                return Err(malformed(&format!("has the unknown name {name:?}")));
            }
            continue;
        };
        if names::CONTENT_V3.contains(&known) {
            return Err(malformed(&format!(
                "was tampered with: {known} belongs in the object's metadata only"
            )));
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
