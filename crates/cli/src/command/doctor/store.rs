//! Checks of an S3 store's conditional requests and of a round trip, with a temporary test object.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
    primitives::ByteStream,
};
use sealwax_s3::{
    Error, KmsKeyArn, S3Uri,
    envelope::{EncryptionContext, Place},
    error_chain,
};

use super::check::{Check, Checks};
use crate::{args::Prefix, failure::Failure, local_key, session::Session};

/// Entity tag that no object has.
const OTHER_E_TAG: &str = "\"00000000000000000000000000000000\"";

/// Temporary test object.
#[derive(Debug)]
pub(super) struct Scratch {
    s3: Client,
    uri: S3Uri,
    /// `true` if the object may have been stored.
    is_used: AtomicBool,
}

impl Scratch {
    pub(super) fn new(session: &Session, prefix: &Prefix) -> Result<Self, Failure> {
        let name = format!(".sealwax-doctor/{}", local_key::random_name()?);
        Ok(Self {
            s3: session.s3(),
            uri: prefix.clone().into_folder().below(&name)?,
            is_used: AtomicBool::new(false),
        })
    }

    pub(super) fn bucket(&self) -> &str {
        self.uri.bucket()
    }

    /// Returns the object's place.
    pub(super) fn place(&self) -> Result<Place, Failure> {
        Place::new(self.uri.bucket(), self.uri.key()).map_err(Failure::usage)
    }

    /// Checks whether the store honours conditional requests.
    pub(super) async fn check(
        &self,
        session: &Session,
        checks: &mut Checks,
    ) -> Result<(), Failure> {
        let put = || {
            let put = self.s3.put_object().bucket(self.uri.bucket()).key(self.uri.key());
            put.body(ByteStream::from_static(b"test object of sealwax doctor; safe to delete"))
        };
        self.is_used.store(true, Ordering::Relaxed);
        if let Err(error) = put().if_none_match("*").send().await {
            let status = error.raw_response().map(|response| response.status().as_u16());
            let error = session.call_error("put", &self.uri, "PutObject", &error);
            let hint = match status {
                Some(403) => "allow s3:PutObject there, in the caller's and the bucket's policies",
                Some(501 | 400) => {
                    "do not use --no-overwrite: this store does not support If-None-Match"
                }
                _ => "check the bucket's policy, the endpoint and the network",
            };
            return checks.add(Check::failed("store", error_chain(&error), hint));
        }
        let again = put().if_none_match("*").send().await;
        checks.add(honoured(
            "If-None-Match on puts",
            "do not rely on --no-overwrite: it can replace an object on this store",
            &again,
        ))?;
        let other = put().if_match(OTHER_E_TAG).send().await;
        checks.add(honoured(
            "If-Match on puts",
            "do not rely on conditional puts: they can replace another object",
            &other,
        ))?;

        let copy = || {
            let source = format!("{}/{}", self.uri.bucket(), self.uri.key());
            let copy = self
                .s3
                .copy_object()
                .bucket(self.uri.bucket())
                .key(self.uri.key())
                .copy_source(source);
            copy.metadata_directive(aws_sdk_s3::types::MetadataDirective::Replace)
        };
        let from_other = copy().copy_source_if_match(OTHER_E_TAG).send().await;
        let lost = "allow one writer at a time: a rewrap can undo a concurrent write";
        checks.add(honoured("If-Match on the source of copies", lost, &from_other))?;
        let onto_other = copy().if_match(OTHER_E_TAG).send().await;
        let lost =
            "run one rewrap at a time: of two concurrent rewraps of one object, one can be lost";
        checks.add(honoured("If-Match on the target of copies", lost, &onto_other))?;
        let delete = self.s3.delete_object().bucket(self.uri.bucket()).key(self.uri.key());
        let deleted = delete.if_match(OTHER_E_TAG).send().await;
        let lost = "stop writers before `sealwax mv`: it can delete an object stored at the source meanwhile";
        checks.add(honoured("If-Match on deletes", lost, &deleted))?;
        Ok(())
    }

    /// Seals the object under the keys and opens it.
    pub(super) async fn round_trip(
        &self,
        session: &Session,
        keys: Vec<KmsKeyArn>,
        context: EncryptionContext,
        checks: &mut Checks,
    ) -> Result<(), Failure> {
        if keys.is_empty() && session.keyrings().local().is_none() {
            return checks.add(Check::skipped(
                "round trip",
                "no key was named",
                "name the keys with --key or --local-key",
            ));
        }
        const PLAINTEXT: &[u8] = b"sealed by sealwax doctor";
        let client = session.client(&self.uri, session.keyrings().writing(keys, None)?);
        let put = client
            .put()
            .uri(&self.uri)
            .encryption_context(context)
            .body(PLAINTEXT.to_vec())
            .send()
            .await;
        let opened = match put {
            Ok(_) => async { client.get().uri(&self.uri).send().await?.bytes().await }.await,
            Err(error) => Err(error),
        };
        checks.add(match opened {
            Ok(plaintext) if plaintext == PLAINTEXT => {
                Check::ok("round trip", "an object was sealed, stored and opened")
            }
            Ok(_) => Check::failed(
                "round trip",
                "a different plaintext came back",
                "do not use this store, and report a bug",
            ),
            Err(error) => {
                let hint = error.kind().advice();
                Check::failed("round trip", Failure::from(error).in_one_line(), hint)
            }
        })
    }

    /// Deletes all versions of the object.
    pub(super) async fn clean_up(
        &self,
        session: &Session,
        checks: &mut Checks,
    ) -> Result<(), Failure> {
        if !self.is_used.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Err(error) = self.delete(session).await {
            checks.add(Check::failed(
                "clean-up",
                error_chain(&error),
                format!("delete {} manually", self.uri),
            ))?;
        }
        Ok(())
    }

    async fn delete(&self, session: &Session) -> Result<(), Error> {
        let (bucket, key) = (self.uri.bucket(), self.uri.key());
        let failed = |error| session.call_error("delete", &self.uri, "DeleteObject", &error);
        let versions = self.s3.list_object_versions().bucket(bucket).prefix(key).send().await;
        let ids: Vec<String> = match versions {
            Ok(found) => {
                let objects = found
                    .versions
                    .unwrap_or_default()
                    .into_iter()
                    .map(|it| (it.key, it.version_id));
                let markers = found
                    .delete_markers
                    .unwrap_or_default()
                    .into_iter()
                    .map(|it| (it.key, it.version_id));
                let ours =
                    objects.chain(markers).filter(|(found, _)| found.as_deref() == Some(key));
                ours.filter_map(|(_, id)| id).collect()
            }
            // The object was never stored, or the caller may not list its versions.
            Err(_) => {
                let deleted = self.s3.delete_object().bucket(bucket).key(key).send().await;
                return deleted.map(drop).map_err(failed);
            }
        };
        for id in ids {
            let deleted =
                self.s3.delete_object().bucket(bucket).key(key).version_id(id).send().await;
            deleted.map_err(failed)?;
        }
        Ok(())
    }
}

/// Returns the check of a conditional request that the store must refuse.
fn honoured<T, E>(
    what: &str,
    otherwise: &str,
    answer: &Result<T, SdkError<E, HttpResponse>>,
) -> Check
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(_) => Check::warning("conditions", format!("{what} is ignored"), otherwise),
        Err(error) => match error.raw_response().map(|answer| answer.status().as_u16()) {
            Some(412 | 409) => Check::ok("conditions", format!("{what} is honoured")),
            Some(501 | 400) => Check::warning(
                "conditions",
                format!("{what} is refused: the store does not support it"),
                otherwise,
            ),
            _ => {
                let reason = error_chain(&Error::from_sdk("try", what, "the call", None, error));
                Check::unknown("conditions", reason, "try again")
            }
        },
    }
}
