//! Names of intermediate keys.

use std::{fmt, str::FromStr};

use sealwax_s3::StoredKey;

/// Intermediate key: its id, or the folder of its key objects, `CONTEXT/ID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyId {
    /// With the folder, the slash included.
    folder: Option<String>,
    id: String,
}

impl KeyId {
    /// Returns the folder of its key objects, if it is known.
    pub(crate) fn folder(&self) -> Option<&str> {
        self.folder.as_deref()
    }

    /// Returns the id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// `true` if this is the intermediate key.
    pub(crate) fn is_of(&self, key: &StoredKey) -> bool {
        match &self.folder {
            Some(folder) => key.folder() == *folder,
            None => key.id().to_string() == self.id,
        }
    }
}

impl FromStr for KeyId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const LEN: usize = 43;
        const FORM: &str =
            "must be an id of 43 characters, or CONTEXT/ID, as `sealwax keys ls` shows";
        let path = text.trim_end_matches('/');
        let id = path.rsplit('/').next().unwrap_or_default();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if id.len() != LEN || !id.bytes().all(is_plain) || path.matches('/').count() > 1 {
            return Err(FORM);
        }
        let folder = path.contains('/').then(|| format!("{path}/"));
        Ok(Self { folder, id: id.to_owned() })
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.folder.as_deref().unwrap_or(&self.id).trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intermediate_key_is_named_by_its_id_or_its_folder() {
        let id = "A-_".repeat(14) + "z";
        let plain: KeyId = id.parse().expect("an id");
        assert_eq!((plain.folder(), plain.to_string()), (None, id.clone()));
        for text in [format!("context/{id}"), format!("context/{id}/")] {
            let key: KeyId = text.parse().expect("a folder");
            assert_eq!(key.folder(), Some(&*format!("context/{id}/")));
            assert_eq!(key.to_string(), format!("context/{id}"));
        }
        for text in
            ["", "/", "short", &format!("a/b/{id}"), &format!("{id}x"), &id.replace('A', "+")]
        {
            let error = text.parse::<KeyId>().expect_err(text);
            assert!(error.starts_with("must be an id of 43 characters"), "{text}: {error}");
        }
    }
}
