//! Resumption of an interrupted upload.

use std::{collections::HashMap, sync::Arc};

use sealwax_envelope::{EncryptionContext, ObjectHeader, Sealer, metadata};

use super::{Handle, OnResume, PutOutput};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::{ObjectFormat, are_under_same_keys, key_name},
    operation::abort::check_target,
    progress::OnProgress,
    store::{attributes::Attributes, conditions::WriteConditions},
    upload::{
        Upload,
        source::Parts,
        state_file::{FileIdentity, StateFile, UploadSource},
        unfinished::UnfinishedUpload,
    },
};

/// A put that resumes an interrupted upload.
pub(super) struct Resumption {
    pub(super) handle: Handle,
    pub(super) target: ObjectRef,
    pub(super) context: EncryptionContext,
    pub(super) conditions: WriteConditions,
    pub(super) on_progress: Option<OnProgress>,
}

impl Resumption {
    pub(super) async fn run(
        self,
        parts: Parts,
        state_file: Arc<StateFile>,
        on_resume: Option<OnResume>,
    ) -> Result<PutOutput, Error> {
        let Handle { store, vault, budget } = self.handle.clone();
        let Self { target, context, .. } = &self;
        let metadata = metadata::pairs(&state_file.start().metadata);
        let header = ObjectHeader::parse(metadata).map_err(|error| target.envelope_error(error))?;
        check_target(&state_file, target)?;
        let UploadSource::File(recorded) = &state_file.start().source else {
            let message = "the upload that the state file describes is that of a copy";
            return Err(target.error(ErrorKind::StateFileMismatch, message));
        };
        self.check_same_upload(&header)?;
        if parts.file().map(|file| FileIdentity::of(&file)).as_ref() != Some(recorded) {
            let message = "the file's length or modification time changed since its upload began";
            return Err(target.error(ErrorKind::SourceChanged, message));
        }
        let keys = vault.openable_keys(&store, target, &header, &[]).await?;
        let (data_key, _) = vault.prove(target, &header, &keys).await?;
        let sealer =
            Sealer::dangerous_resume(&data_key, &context.body_context(), header.body_header())
                .map_err(|error| target.envelope_error(error))?;
        drop(data_key);
        if let Some(on_resume) = on_resume {
            on_resume(&UnfinishedUpload::of(&state_file));
        }
        let upload = Upload {
            store,
            budget,
            target: self.target,
            format: ObjectFormat::Sealwax(header.clone()),
            attributes: Attributes::default(),
            user_metadata: HashMap::new(),
            conditions: self.conditions,
            late_conditions: None,
            on_progress: self.on_progress,
            state_file: None,
        };
        Ok(PutOutput::new(upload.resume(parts, sealer.into(), state_file).await?, header))
    }

    /// Refuses a state file of an upload with another encryption context or other wrapping keys.
    fn check_same_upload(&self, header: &ObjectHeader) -> Result<(), Error> {
        let mismatch = |what: String| {
            let message = format!("the upload that the state file describes {what}");
            Err(self.target.error(ErrorKind::StateFileMismatch, message))
        };
        if header.context() != &self.context {
            return mismatch(format!("has the encryption context {}", header.context().to_json()));
        }
        let place = self.handle.vault.places().to_bind(&self.target)?;
        let mut wanted = self.handle.vault.keyring().expected_keys(&header.wrap_context(place));
        wanted.retain(|key| !header.missing().iter().any(|missing| missing.is_filled_by(key)));
        // A keyring that does not know its keys in advance cannot be compared, nor can detached keys.
        let is_known = !wanted.is_empty() && header.detached().is_empty();
        if is_known && !are_under_same_keys(&wanted, header.keys()) {
            let keys: Vec<_> = header.keys().iter().map(key_name).collect();
            return mismatch(format!("is sealed under {}", keys.join(", ")));
        }
        Ok(())
    }
}
