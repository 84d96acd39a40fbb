//! Rewrapping an object of the Amazon S3 Encryption Client. It has one wrapping key, which is replaced.

use sealwax_envelope::s3ec::{Envelope, INSTRUCTION_FILE_SUFFIX, Keyring, Storage};

use super::{
    RewrapOutput,
    copy::{self, NewMetadata},
    edits::Edit,
    present::Present,
    wrapping::Wrapping,
};
use crate::{
    Attributes, ObjectFormat, ObjectInfo,
    client::{envelope_error, wrap_error},
    error::{Error, ErrorKind, Target},
    object::join_metadata,
    s3ec::instruction_file::{self, Found},
};

impl Wrapping {
    /// Wraps the data key anew, under the key of the last edit, where the old wrap is.
    pub(super) async fn rewrap_s3ec(
        &self,
        target: &Target,
        present: Present,
        info: ObjectInfo,
        envelope: &Envelope,
    ) -> Result<RewrapOutput, Error> {
        let client = &self.client;
        let keyring = self.s3ec_keyring(target)?;
        copy::check_possible(target, &present.head)?;
        let admitted = client.admit(target, envelope.clone(), &Default::default(), true)?;
        let context = envelope.encryption_context().map_err(envelope_error(target))?;
        let data_key = client.unwrap_s3ec(target, &admitted).await?;
        let stored_len = present
            .head
            .content_length()
            .and_then(|len| u64::try_from(len).ok())
            .unwrap_or_default();
        // Of V3 this proves that it is the key of the content. A wrap of anything else would lose the object.
        admitted.opener(&data_key, stored_len).map_err(|error| target.s3ec(error))?;
        let suite = envelope.content().suite();
        let wrapped = keyring.wrap(&data_key, suite, &context).await.map_err(wrap_error(target))?;
        drop(data_key);
        let rewrapped = envelope.rewrapped(wrapped).map_err(|error| target.s3ec(error))?;
        rewrapped
            .check_fits(info.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .map_err(envelope_error(target))?;

        let (mut e_tag, mut version_id) = (info.e_tag.clone(), info.version_id.clone());
        let format = ObjectFormat::S3ec(rewrapped.clone());
        match rewrapped.to_instruction_file() {
            Some(file) => self.replace_file(target, envelope, &present, file).await?,
            None => {
                let present = present.settled(client, target).await?;
                let metadata = NewMetadata::new(join_metadata(&format, &info.metadata));
                let stored = copy::onto_itself(client, target, &present, metadata).await?;
                (e_tag, version_id) = (stored.e_tag, stored.version_id);
            }
        }
        Ok(RewrapOutput { rewrapped: true, format, e_tag, version_id, sidecar: None })
    }

    /// Writes the instruction file anew, if it still is what was read.
    async fn replace_file(
        &self,
        target: &Target,
        envelope: &Envelope,
        present: &Present,
        file: String,
    ) -> Result<(), Error> {
        let suffix = self.instruction_file_suffix.as_deref().unwrap_or(INSTRUCTION_FILE_SUFFIX);
        let changed = || {
            target.error(
                ErrorKind::Conflict,
                "its instruction file changed while its new key was being made",
            )
        };
        let Found::File(now) = instruction_file::fetch(&self.client, target, suffix).await? else {
            return Err(changed());
        };
        let metadata = present.head.metadata().into_iter().flatten();
        let metadata = metadata.map(|(name, value)| (name.as_str(), value.as_str()));
        let still =
            match sealwax_envelope::s3ec::detect(metadata).map_err(|error| target.s3ec(error))? {
                sealwax_envelope::s3ec::Detected::Pending(pending) => pending.complete(&now.bytes),
                sealwax_envelope::s3ec::Detected::Complete(envelope) => Ok(envelope),
            };
        if still.as_ref() != Ok(envelope) || envelope.storage() != Storage::InstructionFile {
            return Err(changed());
        }
        let attributes = Attributes::of_stored(&present.head, present.now.into()).of_companion();
        instruction_file::replace(&self.client, target, suffix, file, attributes, now.e_tag).await
    }

    /// Who wraps: such an object has one wrapping key, so that it can be replaced, and nothing else.
    pub(crate) fn s3ec_keyring(&self, target: &Target) -> Result<&dyn Keyring, Error> {
        let unsupported = |message: &str| target.error(ErrorKind::Unsupported, message);
        let [edit] = self.edits.all() else {
            return Err(unsupported(
                "an object of the S3 Encryption Client has one wrapping key: it is replaced by one edit",
            ));
        };
        match edit {
            Edit::Replace(keyring) => keyring.s3ec().ok_or_else(|| {
                unsupported("this keyring cannot wrap for the S3 Encryption Client")
            }),
            Edit::ReplaceS3ec(keyring) => Ok(&**keyring),
            Edit::Refresh => {
                let own = self.client.s3ec_keyrings().next();
                own.ok_or_else(|| {
                    unsupported("the client's keyring cannot wrap for the S3 Encryption Client")
                })
            }
            Edit::Add(_) | Edit::Remove(_) => Err(unsupported(
                "an object of the S3 Encryption Client has one wrapping key: it can be replaced or refreshed",
            )),
        }
    }
}
