//! Puts of whole objects.

use super::super::{
    object_store::{Extensions, PutMode, PutOptions, PutPayload, PutResult, Result, path::Path},
    results,
};
use bytes::Bytes;
use sealwax_s3::{Put, envelope::EncryptionContext};

use super::{
    SealedStore, attributes,
    error::{During, generic, of_operation},
};

impl SealedStore {
    pub(crate) async fn put_object(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let put = self.begin_put(location, &options.extensions);
        let put =
            attributes::set_on(put, &options.attributes, &options.tags)?.body(Bytes::from(payload));
        let (put, during) = match options.mode {
            PutMode::Overwrite => (put, During::Write),
            PutMode::Create => (put.if_none_match("*"), During::Creation),
            PutMode::Update(version) => {
                let e_tag = version.e_tag.ok_or_else(|| {
                    generic("PutMode::Update needs an entity tag: set e_tag of the version")
                })?;
                (put.if_match(e_tag), During::Update)
            }
        };
        let output = put.send().await.map_err(of_operation(during, location))?;
        Ok(results::of_put(output.e_tag, output.version_id))
    }

    /// Starts a put with its encryption context.
    pub(crate) fn begin_put(&self, location: &Path, extensions: &Extensions) -> Put {
        let context = extensions.get::<EncryptionContext>().unwrap_or(self.context());
        self.client()
            .put()
            .bucket(self.bucket())
            .key(location.as_ref())
            .encryption_context(context.clone())
    }
}
