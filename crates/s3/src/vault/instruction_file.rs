//! Instruction files of the S3 Encryption Client: a wrapped data key in a companion object.

use sealwax_envelope::s3ec::{
    INSTRUCTION_FILE_MARKER, MAX_INSTRUCTION_FILE_LEN, is_instruction_file,
};

use crate::{
    error::{Error, ErrorKind, ObjectRef, error_chain},
    store::{
        Store,
        attributes::Attributes,
        companion::{Companion, Found, Replaces},
        deletion::Look,
    },
};

/// Content at the address of an object's instruction file.
pub(crate) enum InstructionFile {
    Present {
        bytes: Vec<u8>,
        e_tag: Option<String>,
    },
    Absent,
    /// S3 does not say whether there is one.
    Denied,
}

impl InstructionFile {
    /// Reads the object's instruction file, within bounds.
    pub(crate) async fn find(
        store: &Store,
        target: &ObjectRef,
        suffix: &str,
    ) -> Result<Self, Error> {
        let Some(file) = Companion::of(target, suffix) else { return Ok(Self::Absent) };
        match file.read(store, MAX_INSTRUCTION_FILE_LEN).await? {
            Found::Object { bytes, .. } if bytes.len() > MAX_INSTRUCTION_FILE_LEN => {
                let message = "it is longer than the 64 KiB of an instruction file";
                Err(file.object().error(ErrorKind::Malformed, message))
            }
            Found::Object { bytes, e_tag } => Ok(Self::Present { bytes, e_tag }),
            Found::Nothing => Ok(Self::Absent),
            Found::Denied(_) => Ok(Self::Denied),
        }
    }
}

/// Writes an instruction file under the condition `replaces`.
pub(crate) async fn write(
    store: &Store,
    target: &ObjectRef,
    suffix: &str,
    file: String,
    attributes: Attributes,
    replaces: Replaces,
) -> Result<(), Error> {
    let request = || {
        let request = attributes.clone().on_put(store.s3().put_object());
        request.metadata(INSTRUCTION_FILE_MARKER, "")
    };
    address(target, suffix)?.write(store, request, file, replaces).await.map(drop)
}

/// Deletes the object's instruction file, if it has one. Any other object at that address stays.
pub(crate) async fn delete(store: &Store, target: &ObjectRef, suffix: &str) -> Result<(), Error> {
    let Some(file) = Companion::of(target, suffix) else { return Ok(()) };
    match file.read(store, MAX_INSTRUCTION_FILE_LEN).await? {
        Found::Object { bytes, .. } if is_instruction_file(&bytes) => {
            file.delete(store, Look::Once(None)).await
        }
        Found::Object { .. } | Found::Nothing => Ok(()),
        Found::Denied(error) => Err(error),
    }
}

/// Deletes an instruction file that no object needs. A failure is logged: the file does no harm.
pub(crate) async fn remove(store: &Store, target: &ObjectRef, suffix: &str) {
    let removed = match address(target, suffix) {
        Ok(file) => file.delete(store, Look::Never).await,
        Err(error) => Err(error),
    };
    if let Err(error) = removed {
        let failure = error_chain(&error);
        tracing::warn!(%failure, "an instruction file without an object is left");
    }
}

fn address(target: &ObjectRef, suffix: &str) -> Result<Companion, Error> {
    Companion::of(target, suffix).ok_or_else(|| {
        target.error(ErrorKind::InvalidInput, "its key is too long for an instruction file")
    })
}
