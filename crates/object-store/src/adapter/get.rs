//! Reading objects and their metadata.

use super::super::{
    object_store::{
        GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, Result, path::Path,
    },
    results,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_s3::{ObjectInfo, envelope::EncryptionContext};

use super::{
    SealedStore, attributes,
    error::{During, of_operation},
    time,
};

/// Sets the conditions and the version on a get or a head request.
macro_rules! with_conditions {
    ($request:expr, $options:expr) => {{
        let mut request = $request;
        if let Some(version) = $options.version {
            request = request.version_id(version);
        }
        if let Some(e_tag) = $options.if_match {
            request = request.if_match(e_tag);
        }
        if let Some(e_tag) = $options.if_none_match {
            request = request.if_none_match(e_tag);
        }
        if let Some(since) = $options.if_modified_since {
            request = request.if_modified_since(time::to_aws(since));
        }
        if let Some(since) = $options.if_unmodified_since {
            request = request.if_unmodified_since(time::to_aws(since));
        }
        request
    }};
}

impl SealedStore {
    pub(crate) async fn get_object(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> Result<GetResult> {
        let context = options
            .extensions
            .get::<EncryptionContext>()
            .unwrap_or(self.required_context())
            .clone();
        let get = self
            .client()
            .get()
            .bucket(self.bucket())
            .key(location.as_ref())
            .encryption_context(context);
        let get = match options.range {
            Some(GetRange::Bounded(range)) => get.range(range),
            Some(GetRange::Offset(start)) => get.range(start..),
            Some(GetRange::Suffix(len)) => get.suffix(len),
            None => get,
        };
        let object = with_conditions!(get, options)
            .send()
            .await
            .map_err(of_operation(During::Read, location))?;
        let (meta, attributes, range) =
            (meta(location, object.info()), attributes::of_object(object.info()), object.range());
        let plaintext = object.into_stream().map_err(of_operation(During::Read, location)).boxed();
        Ok(results::of_get(GetResultPayload::Stream(plaintext), meta, range, attributes))
    }

    pub(crate) async fn head_object(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> Result<GetResult> {
        let head = self.client().head().bucket(self.bucket()).key(location.as_ref());
        let info = with_conditions!(head, options)
            .send()
            .await
            .map_err(of_operation(During::Read, location))?;
        Ok(results::of_get(
            GetResultPayload::Stream(stream::empty().boxed()),
            meta(location, &info),
            0..info.plaintext_len(),
            attributes::of_object(&info),
        ))
    }
}

fn meta(location: &Path, info: &ObjectInfo) -> ObjectMeta {
    ObjectMeta {
        location: location.clone(),
        last_modified: time::from_aws(info.last_modified),
        size: info.plaintext_len(),
        e_tag: info.e_tag.clone(),
        version: info.version_id.clone(),
    }
}
