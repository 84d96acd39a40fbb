//! Operations of the gateway: how requests name them, and what each may carry.

use http::{HeaderMap, Method};

use super::{
    query::Query,
    refusal::{Code, Refusal, refuse},
    target::Target,
};

/// Operations that the gateway has. Anything else is refused before routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    ListBuckets,
    HeadBucket,
    CreateBucket,
    GetBucketLocation,
    GetBucketVersioning,
    ListObjects,
    ListObjectsV2,
    ListObjectVersions,
    ListMultipartUploads,
    DeleteObjects,
    HeadObject,
    GetObject,
    PutObject,
    CopyObject,
    DeleteObject,
    GetObjectTagging,
    PutObjectTagging,
    DeleteObjectTagging,
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    ListParts,
    CompleteMultipartUpload,
    AbortMultipartUpload,
}

/// Kind of body that an operation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// No body.
    Empty,
    /// Plaintext of an object or part.
    Payload,
    /// XML of at most that many bytes.
    Xml(u64),
}

/// Query parameters that choose the response's headers.
const RESPONSE_OVERRIDES: [&str; 6] = [
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];
/// Headers of requests that carry the plaintext of an object or part.
const CHECKSUMS: &[&str] = &[
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
];
/// Headers that set an object's properties. `x-amz-meta-*` goes with them.
const OBJECT_PROPERTIES: &[&str] = &[
    "x-amz-acl",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
];
const COPY: &[&str] = &[
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-unmodified-since",
];
/// Headers that concern the request itself, whatever the operation.
const EVERYWHERE: &[&str] = &[
    "x-amz-api-version",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-trailer",
    "x-amz-user-agent",
];
/// Conditions of HTTP. S3 ignores some of them in some operations; ignoring one loses data.
const CONDITIONS: [&str; 5] =
    ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"];

/// Maximum length of the list of 1,000 keys that `DeleteObjects` takes: 2 MiB.
const MAX_DELETE_LEN: u64 = 2 << 20;
/// Maximum length of the list of 10,000 parts that `CompleteMultipartUpload` takes: 4 MiB. A part
/// with a SHA-256 checksum takes 250 bytes with blanks.
const MAX_COMPLETE_LEN: u64 = 4 << 20;
/// Maximum length of a bucket's configuration, which names a Region and tags: 64 KiB.
const MAX_BUCKET_LEN: u64 = 64 << 10;
/// Maximum length of ten tags: 64 KiB.
const MAX_TAGS_LEN: u64 = 64 << 10;

impl Operation {
    /// All operations.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 24] = [
        Self::ListBuckets,
        Self::HeadBucket,
        Self::CreateBucket,
        Self::GetBucketLocation,
        Self::GetBucketVersioning,
        Self::ListObjects,
        Self::ListObjectsV2,
        Self::ListObjectVersions,
        Self::ListMultipartUploads,
        Self::DeleteObjects,
        Self::HeadObject,
        Self::GetObject,
        Self::PutObject,
        Self::CopyObject,
        Self::DeleteObject,
        Self::GetObjectTagging,
        Self::PutObjectTagging,
        Self::DeleteObjectTagging,
        Self::CreateMultipartUpload,
        Self::UploadPart,
        Self::UploadPartCopy,
        Self::ListParts,
        Self::CompleteMultipartUpload,
        Self::AbortMultipartUpload,
    ];

    /// Returns the name in S3's API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ListBuckets => "ListBuckets",
            Self::HeadBucket => "HeadBucket",
            Self::CreateBucket => "CreateBucket",
            Self::GetBucketLocation => "GetBucketLocation",
            Self::GetBucketVersioning => "GetBucketVersioning",
            Self::ListObjects => "ListObjects",
            Self::ListObjectsV2 => "ListObjectsV2",
            Self::ListObjectVersions => "ListObjectVersions",
            Self::ListMultipartUploads => "ListMultipartUploads",
            Self::DeleteObjects => "DeleteObjects",
            Self::HeadObject => "HeadObject",
            Self::GetObject => "GetObject",
            Self::PutObject => "PutObject",
            Self::CopyObject => "CopyObject",
            Self::DeleteObject => "DeleteObject",
            Self::GetObjectTagging => "GetObjectTagging",
            Self::PutObjectTagging => "PutObjectTagging",
            Self::DeleteObjectTagging => "DeleteObjectTagging",
            Self::CreateMultipartUpload => "CreateMultipartUpload",
            Self::UploadPart => "UploadPart",
            Self::UploadPartCopy => "UploadPartCopy",
            Self::ListParts => "ListParts",
            Self::CompleteMultipartUpload => "CompleteMultipartUpload",
            Self::AbortMultipartUpload => "AbortMultipartUpload",
        }
    }

    /// Returns `true` if the operation changes the bucket.
    pub(crate) fn is_write(self) -> bool {
        match self {
            Self::ListBuckets
            | Self::HeadBucket
            | Self::GetBucketLocation
            | Self::GetBucketVersioning
            | Self::ListObjects
            | Self::ListObjectsV2
            | Self::ListObjectVersions
            | Self::ListMultipartUploads
            | Self::HeadObject
            | Self::GetObject
            | Self::GetObjectTagging
            | Self::ListParts => false,
            Self::CreateBucket
            | Self::DeleteObjects
            | Self::PutObject
            | Self::CopyObject
            | Self::DeleteObject
            | Self::PutObjectTagging
            | Self::DeleteObjectTagging
            | Self::CreateMultipartUpload
            | Self::UploadPart
            | Self::UploadPartCopy
            | Self::CompleteMultipartUpload
            | Self::AbortMultipartUpload => true,
        }
    }

    /// Returns `true` if the operation lists the keys, or uploads, with a prefix.
    pub(crate) fn is_listing(self) -> bool {
        matches!(
            self,
            Self::ListObjects
                | Self::ListObjectsV2
                | Self::ListObjectVersions
                | Self::ListMultipartUploads
        )
    }

    /// Returns `true` if the operation copies, so that it has a source.
    pub(crate) fn is_copy(self) -> bool {
        matches!(self, Self::CopyObject | Self::UploadPartCopy)
    }

    /// Returns the kind of body.
    pub(super) fn body(self) -> BodyKind {
        match self {
            Self::PutObject | Self::UploadPart => BodyKind::Payload,
            Self::DeleteObjects => BodyKind::Xml(MAX_DELETE_LEN),
            Self::CompleteMultipartUpload => BodyKind::Xml(MAX_COMPLETE_LEN),
            Self::PutObjectTagging => BodyKind::Xml(MAX_TAGS_LEN),
            Self::CreateBucket => BodyKind::Xml(MAX_BUCKET_LEN),
            _ => BodyKind::Empty,
        }
    }

    /// Returns `true` if `x-amz-checksum-*` announces the body's checksum. The checksum of
    /// `CompleteMultipartUpload` is the object's. Some versions of the Java SDK announce that of the
    /// empty body with `GetObject`.
    pub(super) fn has_checksum_of_body(self) -> bool {
        match self {
            Self::GetObject => true,
            Self::CompleteMultipartUpload => false,
            _ => self.body() != BodyKind::Empty,
        }
    }

    /// Returns the allowed query parameters, apart from those of authentication and `x-id`.
    pub(crate) fn query_parameters(self) -> &'static [&'static str] {
        match self {
            Self::ListBuckets => &["bucket-region", "continuation-token", "max-buckets", "prefix"],
            Self::HeadBucket | Self::CreateBucket => &[],
            Self::GetBucketLocation => &["location"],
            Self::GetBucketVersioning => &["versioning"],
            Self::ListObjects => &["delimiter", "encoding-type", "marker", "max-keys", "prefix"],
            Self::ListObjectsV2 => &[
                "continuation-token",
                "delimiter",
                "encoding-type",
                "fetch-owner",
                "list-type",
                "max-keys",
                "prefix",
                "start-after",
            ],
            Self::ListObjectVersions => &[
                "delimiter",
                "encoding-type",
                "key-marker",
                "max-keys",
                "prefix",
                "version-id-marker",
                "versions",
            ],
            Self::ListMultipartUploads => &[
                "delimiter",
                "encoding-type",
                "key-marker",
                "max-uploads",
                "prefix",
                "upload-id-marker",
                "uploads",
            ],
            Self::DeleteObjects => &["delete"],
            Self::GetObject => {
                const ALLOWED: &[&str] = &[
                    "partNumber",
                    "versionId",
                    RESPONSE_OVERRIDES[0],
                    RESPONSE_OVERRIDES[1],
                    RESPONSE_OVERRIDES[2],
                    RESPONSE_OVERRIDES[3],
                    RESPONSE_OVERRIDES[4],
                    RESPONSE_OVERRIDES[5],
                ];
                ALLOWED
            }
            Self::HeadObject => &["partNumber", "versionId"],
            Self::DeleteObject => &["versionId"],
            Self::PutObject | Self::CopyObject => &[],
            Self::GetObjectTagging | Self::PutObjectTagging | Self::DeleteObjectTagging => {
                &["tagging", "versionId"]
            }
            Self::CreateMultipartUpload => &["uploads"],
            Self::UploadPart | Self::UploadPartCopy => &["partNumber", "uploadId"],
            Self::ListParts => &["max-parts", "part-number-marker", "uploadId"],
            Self::CompleteMultipartUpload | Self::AbortMultipartUpload => &["uploadId"],
        }
    }

    /// Returns the lists of allowed `x-amz-*` headers.
    fn header_lists(self) -> [&'static [&'static str]; 4] {
        match self {
            // It is refused, whatever they say.
            Self::CreateBucket => [
                EVERYWHERE,
                &["x-amz-acl", "x-amz-bucket-object-lock-enabled", "x-amz-object-ownership"],
                &[],
                &[],
            ],
            Self::HeadObject => [EVERYWHERE, &["x-amz-checksum-mode"], &[], &[]],
            Self::GetObject => [
                EVERYWHERE,
                CHECKSUMS,
                &["x-amz-sdk-checksum-algorithm", "x-amz-checksum-mode", "x-amz-te"],
                &[],
            ],
            Self::PutObject => [
                EVERYWHERE,
                CHECKSUMS,
                OBJECT_PROPERTIES,
                &["x-amz-checksum-algorithm", "x-amz-sdk-checksum-algorithm"],
            ],
            Self::UploadPart => [
                EVERYWHERE,
                CHECKSUMS,
                &["x-amz-checksum-algorithm", "x-amz-sdk-checksum-algorithm"],
                &[],
            ],
            Self::DeleteObject => [EVERYWHERE, &["x-amz-bypass-governance-retention"], &[], &[]],
            Self::DeleteObjects => [
                EVERYWHERE,
                CHECKSUMS,
                &["x-amz-bypass-governance-retention", "x-amz-sdk-checksum-algorithm"],
                &[],
            ],
            Self::PutObjectTagging => {
                [EVERYWHERE, CHECKSUMS, &["x-amz-sdk-checksum-algorithm"], &[]]
            }
            Self::CopyObject => [
                EVERYWHERE,
                COPY,
                OBJECT_PROPERTIES,
                &[
                    "x-amz-checksum-algorithm",
                    "x-amz-metadata-directive",
                    "x-amz-tagging-directive",
                ],
            ],
            Self::UploadPartCopy => [EVERYWHERE, COPY, &["x-amz-copy-source-range"], &[]],
            Self::CreateMultipartUpload => [
                EVERYWHERE,
                OBJECT_PROPERTIES,
                &["x-amz-checksum-algorithm", "x-amz-checksum-type"],
                &[],
            ],
            Self::CompleteMultipartUpload => {
                [EVERYWHERE, CHECKSUMS, &["x-amz-checksum-type", "x-amz-mp-object-size"], &[]]
            }
            _ => [EVERYWHERE, &[], &[], &[]],
        }
    }

    /// Returns `true` if requests set an object's headers and its user-defined metadata.
    pub(super) fn has_metadata(self) -> bool {
        matches!(self, Self::PutObject | Self::CopyObject | Self::CreateMultipartUpload)
    }

    /// Returns `true` if requests may have the `x-amz-*` header.
    pub(crate) fn allows_header(self, name: &str) -> bool {
        if let Some(name) = name.strip_prefix("x-amz-meta-") {
            return self.has_metadata() && !name.is_empty();
        }
        self.header_lists().iter().any(|list| list.contains(&name))
    }

    /// Returns the conditions that S3 has for the operation.
    fn conditions(self) -> &'static [&'static str] {
        match self {
            Self::HeadObject | Self::GetObject => {
                &["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"]
            }
            Self::PutObject | Self::CopyObject | Self::CompleteMultipartUpload => {
                &["if-match", "if-none-match"]
            }
            Self::DeleteObject => &["if-match"],
            _ => &[],
        }
    }

    /// Returns the operation of a request.
    ///
    /// The parameters of authentication are no longer in the query.
    pub(super) fn of(
        method: &Method,
        target: &Target,
        query: &Query,
        headers: &HeaderMap,
    ) -> Result<Self, Refusal> {
        let has = |name| query.get(name).is_some();
        let is_copy = headers.contains_key("x-amz-copy-source");
        let operation = match (method.as_str(), target.bucket.is_some(), target.key.is_some()) {
            ("GET", false, _) => Some(Self::ListBuckets),
            ("HEAD", true, false) => Some(Self::HeadBucket),
            ("PUT", true, false) if query.pairs().next().is_none() => Some(Self::CreateBucket),
            ("GET", true, false) if has("location") => Some(Self::GetBucketLocation),
            ("GET", true, false) if has("versioning") => Some(Self::GetBucketVersioning),
            ("GET", true, false) if has("uploads") => Some(Self::ListMultipartUploads),
            ("GET", true, false) if has("versions") => Some(Self::ListObjectVersions),
            ("GET", true, false) if has("list-type") => Some(Self::ListObjectsV2),
            ("GET", true, false) => Some(Self::ListObjects),
            ("POST", true, false) if has("delete") => Some(Self::DeleteObjects),
            ("HEAD", true, true) => Some(Self::HeadObject),
            ("GET", true, true) if has("tagging") => Some(Self::GetObjectTagging),
            ("GET", true, true) if has("uploadId") => Some(Self::ListParts),
            ("GET", true, true) => Some(Self::GetObject),
            ("PUT", true, true) if has("tagging") => Some(Self::PutObjectTagging),
            ("PUT", true, true) if has("uploadId") || has("partNumber") => {
                Some(if is_copy { Self::UploadPartCopy } else { Self::UploadPart })
            }
            ("PUT", true, true) if is_copy => Some(Self::CopyObject),
            ("PUT", true, true) => Some(Self::PutObject),
            ("POST", true, true) if has("uploads") => Some(Self::CreateMultipartUpload),
            ("POST", true, true) if has("uploadId") => Some(Self::CompleteMultipartUpload),
            ("DELETE", true, true) if has("tagging") => Some(Self::DeleteObjectTagging),
            ("DELETE", true, true) if has("uploadId") => Some(Self::AbortMultipartUpload),
            ("DELETE", true, true) => Some(Self::DeleteObject),
            _ => None,
        };
        match operation {
            Some(operation) => Ok(operation),
            None => refuse_unknown(method, target, query),
        }
    }

    /// Refuses parameters and headers that are not of the operation.
    pub(super) fn check(self, query: &Query, headers: &HeaderMap) -> Result<(), Refusal> {
        for (name, value) in query.pairs() {
            if !self.query_parameters().contains(&name) {
                return refuse_parameter(name);
            }
            match name {
                "location" | "versioning" | "uploads" | "versions" | "delete" | "tagging"
                    if !value.is_empty() =>
                {
                    let message = format!("the query parameter {name} takes no value");
                    return refuse(Code::InvalidArgument, message);
                }
                "versionId" | "uploadId" | "partNumber" if value.is_empty() => {
                    let message = format!("the query parameter {name} must not be empty");
                    return refuse(Code::InvalidArgument, message);
                }
                "list-type" if value != "2" => {
                    return refuse(Code::InvalidArgument, "list-type must be 2");
                }
                _ => {}
            }
        }
        if matches!(self, Self::UploadPart | Self::UploadPartCopy)
            && (query.get("uploadId").is_none() || query.get("partNumber").is_none())
        {
            return refuse(Code::InvalidArgument, "uploadId and partNumber belong together");
        }
        for name in headers.keys().map(http::HeaderName::as_str) {
            let is_allowed = match name.starts_with("x-amz-") {
                true => self.allows_header(name),
                false => !CONDITIONS.contains(&name) || self.conditions().contains(&name),
            };
            if !is_allowed {
                let message = format!("{} does not support the header {name}", self.name());
                return refuse(Code::NotImplemented, message);
            }
        }
        // Other access control lists would make ciphertext readable and the gateway's plain
        // objects public.
        let acl = headers.get("x-amz-acl").map(http::HeaderValue::as_bytes);
        match acl {
            None | Some(b"private" | b"bucket-owner-full-control") => Ok(()),
            Some(_) => refuse(Code::NotImplemented, "this value of x-amz-acl is not supported"),
        }
    }
}

fn refuse_unknown<T>(method: &Method, target: &Target, query: &Query) -> Result<T, Refusal> {
    if let Some((name, _)) = query.pairs().next() {
        return refuse_parameter(name);
    }
    match (method.as_str(), target.bucket.is_some(), target.key.is_some()) {
        ("DELETE", true, false) => refuse(Code::NotImplemented, "the gateway deletes no buckets"),
        _ => refuse(Code::MethodNotAllowed, "the resource has no such method"),
    }
}

fn refuse_parameter<T>(name: &str) -> Result<T, Refusal> {
    // The name is the client's, so its length is bounded here.
    let name: String = name.chars().take(64).collect();
    refuse(Code::NotImplemented, format!("the query parameter {name:?} is not supported"))
}
