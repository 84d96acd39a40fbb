//! Detection of an object's format by the names in its metadata. Strict, so that no object is
//! mistaken for one of an older format.

use super::{
    Envelope, Error, Format, Storage, envelope_fields::Fields, header_names as names,
    instruction_file,
};

/// Envelope in an object's metadata.
///
/// Exhaustive: a caller must decide about each case, and no other case exists.
#[derive(Debug)]
pub enum Detected {
    /// The envelope is complete.
    Complete(Envelope),
    /// The envelope may be in an instruction file.
    Pending(Pending),
}

/// An object without a wrapped data key in its metadata.
#[derive(Debug)]
pub struct Pending {
    object: Fields,
}

/// Parses the envelope from an object's metadata and ignores other metadata.
///
/// # Errors
/// [`Error::InstructionFile`] for an object marked as one; [`Error::Malformed`] for names of
/// several formats, for an incomplete envelope and for invalid values; [`Error::Unsupported`] for
/// unknown algorithms.
pub fn detect<'a>(
    metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Detected, Error> {
    let object = Fields::of_metadata(metadata)?;
    let wrapped_key = object.any_of(&[names::KEY_V1, names::KEY_V2, names::KEY_V3]);
    if object.has(names::INSTRUCTION_FILE_MARKER) {
        return Err(match wrapped_key.or_else(|| object.any_of(&names::CONTENT_V3)) {
            // Else anyone who can write to the bucket could make jobs skip an encrypted object.
            Some(name) => Error::Malformed(format!(
                "it is marked as an instruction file, but has an envelope of its own: {name}"
            )),
            None => Error::InstructionFile,
        });
    }
    if wrapped_key.is_some() {
        return Ok(Detected::Complete(Envelope::of_fields(&object, Storage::Metadata)?));
    }
    // An instruction file must not complete an envelope from which the wrapped key was removed.
    if let Some(stray) = object.any_of(&names::LEGACY).or_else(|| object.any_of(&names::KEYS_V3)) {
        return Err(Error::Malformed(format!("{stray} is present without a wrapped data key")));
    }
    if object.any_of(&names::CONTENT_V3).is_some() {
        for name in names::CONTENT_V3 {
            object.required(name)?;
        }
    }
    Ok(Detected::Pending(Pending { object }))
}

impl Format {
    /// Returns the format that an object claims by the names in its metadata, which nothing
    /// authenticates: for reports. Use [`detect`] to read the object.
    ///
    /// Returns `None` for objects of other kinds, and for objects of V1 and V2 whose envelope is in
    /// an instruction file.
    #[must_use]
    pub fn claimed<'a>(metadata: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let known: Vec<_> =
            metadata.into_iter().filter_map(|(name, _)| names::known(name)).collect();
        let has = |name: &&str| known.contains(name);
        if names::CONTENT_V3.iter().all(has) {
            // The wrapped key may be in an instruction file; these names are in the object.
            Some(Self::V3)
        } else if has(&names::KEY_V2) {
            Some(Self::V2)
        } else if has(&names::KEY_V1) {
            Some(Self::V1)
        } else {
            None
        }
    }
}

impl Envelope {
    /// Parses the envelope of V1 or V2 in an instruction file, without its object. That of V3 has a
    /// part in the object's metadata.
    ///
    /// # Errors
    /// As [`detect`].
    pub fn of_instruction_file(content: &[u8]) -> Result<Self, Error> {
        let fields = instruction_file::parse(content)?;
        Self::of_fields(&fields, Storage::InstructionFile)
    }
}

impl Pending {
    /// `true` if the object certainly has a format of the S3 Encryption Client: V3. An object of V1
    /// or V2 with its envelope in an instruction file looks like any other object.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.object.has(names::SUITE_V3)
    }

    /// Completes the envelope with the content of the object's instruction file.
    ///
    /// # Errors
    /// As [`detect`].
    pub fn complete(self, file: &[u8]) -> Result<Envelope, Error> {
        let mut fields = instruction_file::parse(file)?;
        for name in names::CONTENT_V3 {
            if let Some(value) = self.object.get(name) {
                fields.insert(name, value.to_owned())?;
            }
        }
        Envelope::of_fields(&fields, Storage::InstructionFile)
    }
}
