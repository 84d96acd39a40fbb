//! Copies to another store: the stored bytes pass through this process, and are not opened.

use std::io;

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_envelope::metadata;
use tracing::Span;

use super::{CopyAttributes, CopyObject, CopyObjectOutput, is_another_name};
use crate::{
    download::fetch::Fetcher,
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    object::ObjectInfo,
    operation::Handle,
    store::{attributes::Attributes, ranged_get::Pin, snapshot::Snapshot},
    upload::{
        BodySealer, Upload, Uploaded,
        source::{Parts, PlaintextSource},
    },
};

impl CopyObject {
    /// Copies the object into the store of `there`.
    pub(super) async fn send_to(&self, there: Handle) -> Result<CopyObjectOutput, Error> {
        let Handle { store, vault, .. } = &self.handle;
        let (bucket, key) = (self.source_bucket.clone(), self.source_key.clone());
        let source = ObjectRef::new("copy", store.s3(), bucket, key)?;
        let target =
            ObjectRef::new("copy", there.store.s3(), self.bucket.clone(), self.key.clone())?;

        let version_id = self.source_version_id.clone();
        let snapshot = Snapshot::of_version(store, &source, version_id).await?;
        let format = vault.format_of(store, &source, snapshot.head.metadata()).await?;
        let info = ObjectInfo::of_head(&source, &snapshot.head, format)?;
        info.sealed_header(&source)?;
        snapshot.check_copyable(&source)?;
        self.check_source(&source, &info)?;
        if is_another_name(&there.store, &snapshot, &target).await {
            let message = "source and destination are one object in one store";
            return Err(source.error(ErrorKind::InvalidInput, message));
        }

        let (info, header, report) = self.header_for(&source, &target, info).await?;
        Span::current().record("bytes", info.plaintext_len());
        let own = self.own_metadata(&info);
        header.check_fits(metadata::pairs(&own)).map_err(|error| target.envelope_error(error))?;
        let attributes = self.attributes_elsewhere(&source, &snapshot).await?;
        let stored_len = snapshot.head.content_length().and_then(|len| u64::try_from(len).ok());
        let stored_len = stored_len.ok_or_else(|| {
            source.error(ErrorKind::Service, "HeadObject returned no Content-Length")
        })?;

        let fetcher = Fetcher {
            store: store.clone(),
            target: source,
            pin: Pin::new(
                self.source_version_id.clone().or_else(|| info.version_id.clone()),
                info.e_tag.clone(),
            ),
            stored_len,
        };
        let body = stored_bytes(fetcher).await?;
        let parts = Parts::open(body).await.map_err(|error| target.io("no body", error))?;
        let upload = Upload {
            store: there.store,
            budget: there.budget,
            target,
            format: ObjectFormat::Sealwax(header.clone()),
            attributes,
            user_metadata: own,
            conditions: self.conditions.clone(),
            on_progress: None,
            state_file: None,
        };
        let sent = upload.run(parts, BodySealer::Stored).await;
        let Uploaded { e_tag, version_id, .. } = sent.map_err(Error::or_from_source)?;
        Ok(CopyObjectOutput { e_tag, version_id, header, report, source: info })
    }

    /// Returns the copy's attributes: what belongs to the content, and tags. Access, server-side
    /// encryption, storage class and Object Lock name things of the source's account and store.
    async fn attributes_elsewhere(
        &self,
        source: &ObjectRef,
        snapshot: &Snapshot,
    ) -> Result<Attributes, Error> {
        let head = &snapshot.head;
        let given = match &self.attributes {
            CopyAttributes::Only(attributes) => attributes.clone(),
            CopyAttributes::Over(attributes) => {
                let date = |text: &String| DateTime::from_str(text, DateTimeFormat::HttpDate).ok();
                let kept = Attributes {
                    cache_control: head.cache_control.clone(),
                    content_disposition: head.content_disposition.clone(),
                    content_encoding: head.content_encoding.clone(),
                    content_language: head.content_language.clone(),
                    content_type: head.content_type.clone(),
                    website_redirect_location: head.website_redirect_location.clone(),
                    expires: head.expires_string.as_ref().and_then(date),
                    ..Attributes::default()
                };
                attributes.clone().over(kept)
            }
        };
        let tagging = match given.tagging {
            Some(tagging) => Some(tagging),
            None if head.tag_count().is_some_and(|count| count > 0) => {
                self.handle.store.tags_to_keep(source, head).await?
            }
            None => None,
        };
        Ok(Attributes { tagging, ..given })
    }
}

/// Returns the whole stored body, of one version: at once if it fits into a part.
async fn stored_bytes(fetcher: Fetcher) -> Result<PlaintextSource, Error> {
    let (len, part) = (fetcher.stored_len, fetcher.store.part_len() as u64);
    if len <= part {
        return Ok(PlaintextSource::from(fetcher.fetch(0..len, None).await?));
    }
    let spans =
        (0..len).step_by(fetcher.store.part_len()).map(move |start| start..(start + part).min(len));
    let pieces = stream::iter(spans).then(move |span| {
        let fetcher = fetcher.clone();
        async move { fetcher.fetch(span, None).await.map(Bytes::from) }
    });
    Ok(PlaintextSource::stream(pieces.map_err(io::Error::other)))
}
