//! Instruction files in S3: objects beside the object.

use aws_sdk_s3::{operation::put_object::builders::PutObjectFluentBuilder, primitives::ByteStream};
use sealwax_envelope::s3ec::{INSTRUCTION_FILE_MARKER, MAX_INSTRUCTION_FILE_LEN};

use crate::{
    Attributes, SealedClient,
    aws_failure::AwsFailure,
    error::{Error, ErrorKind, Target},
};

/// What is at an instruction file's place.
pub(crate) enum Found {
    File(InstructionFile),
    /// There is none.
    Nothing,
    /// S3 does not say whether there is one: without the permission to list the bucket it denies what is not there, too.
    Denied,
}

pub(crate) struct InstructionFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) e_tag: Option<String>,
}

/// The object's instruction file, with this suffix.
pub(crate) fn target_of(target: &Target, suffix: &str) -> Target {
    let mut file = target.clone();
    file.key.push_str(suffix);
    file
}

/// Reads it, within bounds.
pub(crate) async fn fetch(
    client: &SealedClient,
    target: &Target,
    suffix: &str,
) -> Result<Found, Error> {
    let file = target_of(target, suffix);
    let sent = client.s3().get_object().bucket(&file.bucket).key(&file.key).send().await;
    let mut output = match sent {
        Ok(output) => output,
        Err(error) => {
            let failure = AwsFailure::new(&error);
            return match failure.status {
                Some(404) => Ok(Found::Nothing),
                Some(403) => Ok(Found::Denied),
                _ => Err(file.s3_failure("GetObject", failure)),
            };
        }
    };
    let mut bytes = Vec::new();
    while let Some(piece) = output.body.try_next().await.map_err(|error| {
        file.error(ErrorKind::Unavailable, format!("the instruction file broke off: {error}"))
    })? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_INSTRUCTION_FILE_LEN {
            return Err(file.error(
                ErrorKind::Malformed,
                "it is longer than the 64 KiB of an instruction file",
            ));
        }
    }
    Ok(Found::File(InstructionFile { bytes, e_tag: output.e_tag }))
}

/// Stores it; where there is one already only if not `new`.
pub(crate) async fn store(
    client: &SealedClient,
    target: &Target,
    suffix: &str,
    file: String,
    attributes: Attributes,
    new: bool,
) -> Result<(), Error> {
    let request = client.s3().put_object().set_if_none_match(new.then(|| "*".to_owned()));
    send(target, suffix, file, attributes.on_put(request)).await
}

/// Stores it in the place of the one with the entity tag `e_tag`.
pub(crate) async fn replace(
    client: &SealedClient,
    target: &Target,
    suffix: &str,
    file: String,
    attributes: Attributes,
    e_tag: Option<String>,
) -> Result<(), Error> {
    let request = client.s3().put_object().set_if_match(e_tag);
    send(target, suffix, file, attributes.on_put(request)).await
}

async fn send(
    target: &Target,
    suffix: &str,
    file: String,
    request: PutObjectFluentBuilder,
) -> Result<(), Error> {
    let at = target_of(target, suffix);
    let request = request.bucket(&at.bucket).key(&at.key).metadata(INSTRUCTION_FILE_MARKER, "");
    let sent = request.body(ByteStream::from(file.into_bytes())).send().await;
    sent.map(|_| ()).map_err(|error| at.s3("PutObject", &error))
}

/// Deletes one that nobody needs. Where that fails, it stays, and does no harm.
pub(crate) async fn remove(client: &SealedClient, target: &Target, suffix: &str) {
    let at = target_of(target, suffix);
    if let Err(error) = client.s3().delete_object().bucket(&at.bucket).key(&at.key).send().await {
        let failure = AwsFailure::new(&error);
        tracing::warn!(bucket = at.bucket, key = at.key, %failure, "an instruction file without an object is left");
    }
}
