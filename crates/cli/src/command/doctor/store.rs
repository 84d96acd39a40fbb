//! Checks of an S3 store's conditional requests and of a round trip, with a temporary test object.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::{
    Client, Config,
    config::{Builder, RequestChecksumCalculation, http::HttpResponse},
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        RequestId,
        put_object::{PutObjectError, PutObjectOutput, builders::PutObjectFluentBuilder},
    },
    primitives::ByteStream,
    types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart},
};
use sealwax_s3::{
    Attributes, Error, KmsKeyArn, S3Uri,
    envelope::{EncryptionContext, Place},
    error_chain,
};

use super::check::{Check, Checks};
use crate::{
    args::{AtRestArgs, Prefix},
    failure::Failure,
    local_key,
    session::Session,
};

/// Entity tag that no object has.
const OTHER_E_TAG: &str = "\"00000000000000000000000000000000\"";

/// Content of the test object.
const TEXT: &[u8] = b"test object of sealwax doctor; safe to delete";

/// Meaning of a condition that the store does not honour.
const NOT_KEPT: &str = "--no-overwrite fails on this store before anything is stored, unless --conditions=look is given: it then looks right before";

/// Temporary test object.
#[derive(Debug)]
pub(super) struct Scratch {
    s3: Client,
    uri: S3Uri,
    /// Server-side encryption, which the bucket's policy may require. The storage class is left out:
    /// an archived object does not open.
    stored: Attributes,
    /// `true` if the object may have been stored.
    is_used: AtomicBool,
}

impl Scratch {
    pub(super) fn new(
        session: &Session,
        prefix: &Prefix,
        at_rest: AtRestArgs,
    ) -> Result<Self, Failure> {
        let name = format!(".sealwax-doctor/{}", local_key::random_name()?);
        Ok(Self {
            s3: session.s3(),
            uri: prefix.clone().into_folder().below(&name)?,
            stored: at_rest.encryption_onto(Attributes::default()),
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
        self.is_used.store(true, Ordering::Relaxed);
        let mut checksum = Some(ChecksumAlgorithm::Crc64Nvme);
        let mut stored = self.put(checksum.clone(), |put| put).await;
        if may_be_refused(&stored) {
            let without = self.put(None, |put| put).await;
            if without.is_ok() {
                (stored, checksum) = (without, None);
                checks.add(without_checksums("puts"))?;
            }
        }
        if let Err(error) = stored {
            let status = error.raw_response().map(|response| response.status().as_u16());
            let error = session.call_error("put", &self.uri, "PutObject", &error);
            let hint = match status {
                Some(403) => "allow s3:PutObject there, in the caller's and the bucket's policies",
                _ => "check the bucket's policy, the endpoint and the network",
            };
            return checks.add(Check::failed("store", error_chain(&error), hint));
        }
        let again = self.put(checksum.clone(), |put| put.if_none_match("*")).await;
        checks.add(honoured("If-None-Match on puts", NOT_KEPT, &again))?;
        let other = self.put(checksum.clone(), |put| put.if_match(OTHER_E_TAG)).await;
        let lost = "stop writers before `sealwax reencrypt`: right before it stores an object, it looks whether that was replaced, and no later";
        checks.add(honoured("If-Match on puts", lost, &other))?;
        self.check_multipart(session, checksum, checks).await?;

        let copy = || {
            let source = format!("{}/{}", self.uri.bucket(), self.uri.key());
            let copy = self
                .s3
                .copy_object()
                .bucket(self.uri.bucket())
                .key(self.uri.key())
                .copy_source(source);
            copy.metadata_directive(aws_sdk_s3::types::MetadataDirective::Replace)
                .set_server_side_encryption(self.stored.server_side_encryption.clone())
                .set_ssekms_key_id(self.stored.ssekms_key_id.clone())
                .set_bucket_key_enabled(self.stored.bucket_key_enabled)
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

    /// Stores the test object, with the checksum that bodies of sealed objects get.
    async fn put(
        &self,
        checksum: Option<ChecksumAlgorithm>,
        on: impl FnOnce(PutObjectFluentBuilder) -> PutObjectFluentBuilder,
    ) -> Result<PutObjectOutput, SdkError<PutObjectError, HttpResponse>> {
        let put = self.s3.put_object().bucket(self.uri.bucket()).key(self.uri.key());
        let put = put.body(ByteStream::from_static(TEXT)).set_checksum_algorithm(checksum.clone());
        let put = put
            .set_server_side_encryption(self.stored.server_side_encryption.clone())
            .set_ssekms_key_id(self.stored.ssekms_key_id.clone())
            .set_bucket_key_enabled(self.stored.bucket_key_enabled);
        let put = on(put).customize().disable_payload_signing();
        put.config_override(config(checksum.as_ref())).send().await
    }

    /// Checks a multipart upload, and the condition of its completion.
    async fn check_multipart(
        &self,
        session: &Session,
        checksum: Option<ChecksumAlgorithm>,
        checks: &mut Checks,
    ) -> Result<(), Failure> {
        let (bucket, key) = (self.uri.bucket(), self.uri.key());
        let begin = |checksum: Option<ChecksumAlgorithm>| {
            let kind = checksum.is_some().then_some(ChecksumType::FullObject);
            let begin = self.s3.create_multipart_upload().bucket(bucket).key(key);
            let begin = begin
                .set_server_side_encryption(self.stored.server_side_encryption.clone())
                .set_ssekms_key_id(self.stored.ssekms_key_id.clone())
                .set_bucket_key_enabled(self.stored.bucket_key_enabled);
            begin.set_checksum_algorithm(checksum).set_checksum_type(kind).send()
        };
        let mut sent = checksum.clone();
        let mut begun = begin(checksum).await;
        if sent.is_some() && may_be_refused(&begun) {
            let without = begin(None).await;
            if without.is_ok() {
                (begun, sent) = (without, None);
                checks.add(without_checksums("multipart uploads"))?;
            }
        }
        let failed = |error: Error| {
            Check::failed(
                "multipart",
                error_chain(&error),
                "store only objects up to 8 MiB, or use another store",
            )
        };
        let id = match begun {
            Ok(begun) => begun.upload_id.unwrap_or_default(),
            Err(error) => {
                let call = "CreateMultipartUpload";
                return checks.add(failed(session.call_error("put", &self.uri, call, &error)));
            }
        };
        let part = self.s3.upload_part().bucket(bucket).key(key).upload_id(&id).part_number(1);
        let part = part.body(ByteStream::from_static(TEXT)).set_checksum_algorithm(sent.clone());
        let part = part.customize().disable_payload_signing();
        match part.config_override(config(sent.as_ref())).send().await {
            Ok(part) => {
                let part = CompletedPart::builder()
                    .part_number(1)
                    .set_e_tag(part.e_tag)
                    .set_checksum_crc64_nvme(part.checksum_crc64_nvme);
                let parts = CompletedMultipartUpload::builder().parts(part.build()).build();
                let complete = self.s3.complete_multipart_upload().bucket(bucket).key(key);
                let complete = complete.upload_id(&id).multipart_upload(parts).if_none_match("*");
                let completed = complete.send().await;
                checks.add(honoured("If-None-Match on multipart uploads", NOT_KEPT, &completed))?;
            }
            Err(error) => {
                checks.add(failed(session.call_error("put", &self.uri, "UploadPart", &error)))?;
            }
        }
        // It is gone already if it was completed.
        let abort = self.s3.abort_multipart_upload().bucket(bucket).key(key);
        let _ = abort.upload_id(&id).send().await;
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
            .attributes(self.stored.clone())
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

/// Settings of a request with this checksum, or with none.
fn config(checksum: Option<&ChecksumAlgorithm>) -> Builder {
    let calculation = match checksum {
        Some(_) => RequestChecksumCalculation::WhenSupported,
        None => RequestChecksumCalculation::WhenRequired,
    };
    Config::builder().request_checksum_calculation(calculation)
}

/// `true` if the answer may be a refusal of the checksum.
fn may_be_refused<T, E>(answer: &Result<T, SdkError<E, HttpResponse>>) -> bool {
    let error = answer.as_ref().err();
    let status = error.and_then(SdkError::raw_response).map(|answer| answer.status().as_u16());
    matches!(status, Some(400 | 501))
}

/// Describes a store that refuses checksums.
fn without_checksums(of: &str) -> Check {
    Check::warning(
        "checksums",
        format!("checksums of {of} are refused: bodies are stored without one"),
        "nothing needs to be done: the objects' own authentication tags protect them; --body-checksum=none spares the attempt",
    )
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
