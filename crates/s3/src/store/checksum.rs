//! Checksums that S3 keeps of bodies.

use aws_sdk_s3::{
    config::{Builder, RequestChecksumCalculation},
    operation::put_object::{PutObjectOutput, builders::PutObjectFluentBuilder},
    types::{ChecksumAlgorithm, ChecksumType},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use crc_fast::CrcAlgorithm;
use futures_util::{FutureExt as _, future::BoxFuture};

use super::{Store, attributes::with_expires, known_store::StoreTrait};
use crate::error::aws_failure::AwsFailure;

/// Checksum that is sent with a body, which S3 verifies on arrival and keeps.
///
/// The body's authentication tags guard every byte already. With a checksum, S3 refuses a damaged
/// part on arrival, and S3's own tools can verify the stored body. (Amazon S3 User Guide, "Checking
/// object integrity".)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyChecksum {
    /// As [`BodyChecksum::Crc64Nvme`], but a store that refuses a request for its checksum gets the
    /// request again without one, and no checksum from then on. AWS always gets one.
    #[default]
    IfSupported,
    /// CRC-64/NVME of each part. S3 computes the checksum of the whole object from them.
    Crc64Nvme,
    /// No checksum, for stores that do not support it.
    None,
}

/// Checksum of one request or upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SentChecksum {
    Crc64Nvme,
    Nothing,
}

/// CRC-64/NVME of a body, computed while its bytes are made.
pub(crate) struct Crc64(crc_fast::Digest);

impl Crc64 {
    pub(crate) fn new() -> Self {
        Self(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme))
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut crc64 = Self::new();
        crc64.update(bytes);
        crc64
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the value of `x-amz-checksum-crc64nvme`: the big-endian checksum in Base64. (Amazon
    /// S3 User Guide, "Checking object integrity".)
    pub(crate) fn to_base64(&self) -> String {
        STANDARD.encode(self.0.finalize().to_be_bytes())
    }
}

impl SentChecksum {
    pub(crate) fn algorithm(self) -> Option<ChecksumAlgorithm> {
        match self {
            Self::Crc64Nvme => Some(ChecksumAlgorithm::Crc64Nvme),
            Self::Nothing => None,
        }
    }

    /// Returns the checksum of a body, which was computed before, if it is sent.
    pub(crate) fn of_body(self, crc64: Option<String>) -> Option<String> {
        match self {
            Self::Crc64Nvme => crc64,
            Self::Nothing => None,
        }
    }

    /// Returns the checksum type of a multipart upload.
    pub(crate) fn of_whole(self) -> Option<ChecksumType> {
        self.algorithm().map(|_| ChecksumType::FullObject)
    }

    /// Returns the settings of a request with a body. Without them, the SDK would add a checksum of
    /// its own.
    pub(crate) fn config(self) -> Builder {
        let config = aws_sdk_s3::Config::builder();
        match self {
            Self::Crc64Nvme => config,
            Self::Nothing => {
                config.request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            }
        }
    }
}

impl Store {
    /// Sends a request with a checksum, and once more without one if the store refuses the first
    /// because of it.
    pub(crate) fn with_checksum<'a, T: Send + 'a>(
        &'a self,
        bucket: &'a str,
        send: impl Fn(SentChecksum) -> BoxFuture<'a, Result<T, AwsFailure>> + Send + Sync + 'a,
    ) -> BoxFuture<'a, Result<(T, SentChecksum), AwsFailure>> {
        async move {
            let sent = |checksum| {
                let sending = send(checksum);
                async move { sending.await.map(|output| (output, checksum)) }.boxed()
            };
            match self.0.settings.checksum {
                BodyChecksum::IfSupported => {
                    let send = |is_with| match is_with {
                        true => sent(SentChecksum::Crc64Nvme),
                        false => sent(SentChecksum::Nothing),
                    };
                    self.if_supported(bucket, StoreTrait::RefusesBodyChecksums, send).await
                }
                BodyChecksum::Crc64Nvme => sent(SentChecksum::Crc64Nvme).await,
                BodyChecksum::None => sent(SentChecksum::Nothing).await,
            }
        }
        .boxed()
    }

    /// Sends a `PutObject` with its checksum and `Expires`. `request` makes the request for each
    /// attempt. If it has no checksum, the SDK computes it.
    pub(crate) fn put_object<'a>(
        &'a self,
        bucket: &'a str,
        request: impl Fn() -> PutObjectFluentBuilder + Send + Sync + 'a,
        expires: Option<String>,
    ) -> BoxFuture<'a, Result<PutObjectOutput, AwsFailure>> {
        let send = move |checksum: SentChecksum| {
            let request = request().bucket(bucket).set_checksum_algorithm(checksum.algorithm());
            let known = request.get_checksum_crc64_nvme().clone();
            let request = request.set_checksum_crc64_nvme(checksum.of_body(known));
            // The tags and the checksum protect the body: a second hash over it would cost more than
            // the encryption.
            let request = request.customize().disable_payload_signing();
            let request = request
                .config_override(checksum.config())
                .map_request(with_expires(expires.clone()));
            async move { request.send().await.map_err(|error| AwsFailure::new(&error)) }.boxed()
        };
        async move { self.with_checksum(bucket, send).await.map(|(output, _)| output) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        error::{ErrorKind, ObjectRef},
        store::answers::{Answer, answering, answering_elsewhere},
    };

    /// S3 stores any text, of which the SDK knows dates alone.
    #[tokio::test]
    async fn expires_is_sent_unchanged() {
        let (store, requests) = answering(|_| Answer::new(200, ""));
        let put = async |expires: &str| {
            let put = || store.s3().put_object().key("key");
            store.put_object("bucket", put, Some(expires.to_owned())).await
        };
        for expires in ["Thu, 01 Jan 1970 00:00:00 GMT", "0", "never", "1970-01-01T00:00:00Z"] {
            put(expires).await.expect("stored");
            assert_eq!(requests.take(), [format!("PUT /key expires:{expires}")]);
        }
        let failure = put("a\nb").await.expect_err("no header is so");
        let target = ObjectRef::new("put", store.s3(), Some("bucket".into()), Some("key".into()));
        let error = target.expect("a name").s3_failure("PutObject", failure);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(requests.take(), [""; 0], "it was sent");
    }

    /// Sends a `PutObject` twice, and returns the results, and the requests without their paths.
    async fn put_twice(answer: fn(&str) -> Answer) -> (Vec<bool>, Vec<bool>) {
        let (store, requests) = answering_elsewhere(answer);
        let mut results = Vec::new();
        for _ in 0..2 {
            let put = store.put_object("bucket", || store.s3().put_object().key("key"), None);
            results.push(put.await.is_ok());
        }
        let with = requests.take().iter().map(|request| request.contains("+checksum")).collect();
        (results, with)
    }

    #[tokio::test]
    async fn a_store_that_refuses_checksums_gets_none() {
        fn error(status: u16, code: &str) -> Answer {
            Answer::new(status, format!("<Error><Code>{code}</Code></Error>"))
        }
        let (taken, refused) = (vec![true, true], vec![false, false]);
        let fine = put_twice(|_| Answer::new(200, "")).await;
        assert_eq!(fine, (taken.clone(), vec![true, true]));
        let learned = put_twice(|request| match request.contains("+checksum") {
            true => error(501, "NotImplemented"),
            false => Answer::new(200, ""),
        });
        assert_eq!(learned.await, (taken.clone(), vec![true, false, false]));
        let invalid = put_twice(|request| match request.contains("+checksum") {
            true => error(400, "InvalidArgument"),
            false => Answer::new(200, ""),
        });
        assert_eq!(invalid.await, (taken, vec![true, false, false]));
        // The checksum is not to blame.
        let broken = put_twice(|_| error(501, "NotImplemented")).await;
        assert_eq!(broken, (refused.clone(), vec![true, false, true, false]));
        // The store says that the body arrived damaged.
        let damaged = put_twice(|_| error(400, "BadDigest")).await;
        assert_eq!(damaged, (refused.clone(), vec![true, true]));
        let denied = put_twice(|_| error(403, "AccessDenied")).await;
        assert_eq!(denied, (refused, vec![true, true]));
    }
}
