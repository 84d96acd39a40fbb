//! Everything that S3 has and the gateway has not is refused.

use super::*;

/// Sub-resources of S3's API that the gateway doesn't have, as of aws-sdk-s3 1.157. The names are
/// those in `operation/*.rs` (`query.push_v`, `query.push_kv`), and older ones.
const FOREIGN: [&str; 64] = [
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "annotation-prefix",
    "annotationName",
    "attributes",
    "cors",
    "encryption",
    "id",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "max-annotation-results",
    "max-directory-buckets",
    "metadataAnnotationTable",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "select-type",
    "session",
    "torrent",
    "website",
    // Of other stores, older protocols, and the case of ours.
    "append",
    "position",
    "lambdaArn",
    "extract",
    "replication-metrics",
    "quota",
    "rgwx-stat",
    "Action",
    "X-Amz-Foo",
    "x-amz-copy-source",
    "x-amz-acl",
    "x-amz-meta-a",
    "x-amz-server-side-encryption",
    "x-amz-checksum-crc32",
    "x-amz-signature",
    "x-amz-object-lock-mode",
    "PrEfIx",
    "TAGGING",
    "UploadId",
    "list-Type",
    "versionid",
    "unknown",
    "%00",
    "response-content-length",
];
const METHODS: [&str; 5] = ["GET", "HEAD", "PUT", "POST", "DELETE"];

#[test]
fn foreign_sub_resources_are_refused_for_every_method() {
    for name in FOREIGN {
        for method in METHODS {
            for path in ["/", "/bucket-1", "/bucket-1/", "/bucket-1/key"] {
                for query in [name.to_string(), format!("{name}=a"), format!("uploadId=a&{name}")] {
                    let uri = format!("{path}?{query}");
                    let request = TestRequest::new(method, &uri);
                    assert_eq!(request.code(), Code::NotImplemented, "{method} {uri}");
                    // A checksum is verified: `refusals`.
                    if name.starts_with("X-Amz-") || name == "x-amz-checksum-crc32" {
                        continue;
                    }
                    let presigned = TestRequest::new(method, &uri).presigned("60");
                    let code = code(gate(&[]).admit(presigned, now()));
                    assert_eq!(code, Code::NotImplemented, "{method} {uri}");
                }
            }
        }
    }
}

/// A request for each operation: method, URI, and headers.
const REQUESTS: [(&str, &str, Operation); 24] = [
    ("GET", "/", Operation::ListBuckets),
    ("HEAD", "/bucket-1", Operation::HeadBucket),
    ("PUT", "/bucket-1", Operation::CreateBucket),
    ("GET", "/bucket-1?location", Operation::GetBucketLocation),
    ("GET", "/bucket-1?versioning=", Operation::GetBucketVersioning),
    ("GET", "/bucket-1/", Operation::ListObjects),
    ("GET", "/bucket-1?list-type=2", Operation::ListObjectsV2),
    ("GET", "/bucket-1?versions", Operation::ListObjectVersions),
    ("GET", "/bucket-1?uploads", Operation::ListMultipartUploads),
    ("POST", "/bucket-1?delete", Operation::DeleteObjects),
    ("HEAD", "/bucket-1/key", Operation::HeadObject),
    ("GET", "/bucket-1/key", Operation::GetObject),
    ("PUT", "/bucket-1/key", Operation::PutObject),
    ("PUT", "/bucket-1/key", Operation::CopyObject),
    ("DELETE", "/bucket-1/key", Operation::DeleteObject),
    ("GET", "/bucket-1/key?tagging", Operation::GetObjectTagging),
    ("PUT", "/bucket-1/key?tagging", Operation::PutObjectTagging),
    ("DELETE", "/bucket-1/key?tagging", Operation::DeleteObjectTagging),
    ("POST", "/bucket-1/key?uploads", Operation::CreateMultipartUpload),
    ("PUT", "/bucket-1/key?uploadId=u&partNumber=1", Operation::UploadPart),
    ("PUT", "/bucket-1/key?uploadId=u&partNumber=1", Operation::UploadPartCopy),
    ("GET", "/bucket-1/key?uploadId=u", Operation::ListParts),
    ("POST", "/bucket-1/key?uploadId=u", Operation::CompleteMultipartUpload),
    ("DELETE", "/bucket-1/key?uploadId=u", Operation::AbortMultipartUpload),
];

fn request_of((method, uri, operation): (&str, &str, Operation)) -> TestRequest {
    let request = TestRequest::new(method, uri);
    let request = match operation.is_copy() {
        true => request.with("x-amz-copy-source", "bucket-1/source"),
        false => request,
    };
    match operation.body() {
        BodyKind::Empty => request,
        _ => request.body(b"body"),
    }
}

#[test]
fn every_operation_is_admitted_with_its_parameters() {
    for (entry, expected) in REQUESTS.into_iter().zip(Operation::ALL) {
        let (method, uri, operation) = entry;
        assert_eq!(operation, expected);
        assert_eq!(request_of(entry).admit().unwrap().operation, operation);
        for name in operation.query_parameters() {
            if uri.contains(&format!("?{name}")) || uri.contains(&format!("&{name}")) {
                continue;
            }
            let separator = if uri.contains('?') { '&' } else { '?' };
            let uri = format!("{uri}{separator}{name}=2&x-id=Any");
            let admitted = match request_of((method, &uri, operation)).admit() {
                Ok(admitted) => admitted,
                // These choose another operation.
                Err(refusal) => panic!("{method} {uri}: {refusal}"),
            };
            assert_eq!(admitted.operation, operation, "{method} {uri}");
            let query = admitted.request.uri().query().unwrap_or_default();
            // s3s would take it for a date.
            let is_handed_on = *name != "response-expires";
            assert_eq!(query.contains(&format!("{name}=2")), is_handed_on, "{query}");
            assert!(!query.contains("x-id"), "{query}");
        }
    }
}

#[test]
fn parameters_of_one_operation_are_refused_in_others() {
    let mut all: Vec<_> = Operation::ALL.iter().flat_map(|it| it.query_parameters()).collect();
    all.sort();
    all.dedup();
    for entry in REQUESTS {
        let (method, uri, operation) = entry;
        for name in &all {
            if operation.query_parameters().contains(name) {
                continue;
            }
            let separator = if uri.contains('?') { '&' } else { '?' };
            let uri = format!("{uri}{separator}{name}=");
            match request_of((method, &uri, operation)).admit() {
                // It chose another operation, in which it is allowed.
                Ok(admitted) => {
                    assert!(admitted.operation.query_parameters().contains(name), "{uri}");
                    assert_ne!(admitted.operation, operation);
                }
                Err(refusal) => {
                    let expected =
                        [Code::NotImplemented, Code::InvalidArgument, Code::InvalidRequest];
                    assert!(expected.contains(&refusal.code()), "{method} {uri}: {refusal}");
                }
            }
        }
    }
}

#[test]
fn markers_take_no_value_and_identifiers_need_one() {
    for (method, uri) in [
        ("GET", "/bucket-1?location=a"),
        ("GET", "/bucket-1?versioning=a"),
        ("GET", "/bucket-1?versions=a"),
        ("GET", "/bucket-1?uploads=a"),
        ("POST", "/bucket-1?delete=a"),
        ("PUT", "/bucket-1/key?tagging=a"),
        ("POST", "/bucket-1/key?uploads=a"),
        ("GET", "/bucket-1/key?versionId="),
        ("GET", "/bucket-1/key?uploadId="),
        ("PUT", "/bucket-1/key?uploadId=u"),
        ("PUT", "/bucket-1/key?partNumber=1"),
        ("PUT", "/bucket-1/key?partNumber=&uploadId=u"),
        ("GET", "/bucket-1?list-type=1"),
        ("GET", "/bucket-1?list-type="),
    ] {
        assert_eq!(TestRequest::new(method, uri).code(), Code::InvalidArgument, "{method} {uri}");
    }
}

#[test]
fn foreign_headers_are_refused() {
    let everywhere = [
        "x-amz-unknown",
        "x-amz-",
        "x-amz-mfa",
        "x-amz-grant-read",
        "x-amz-grant-full-control",
        "x-amz-write-offset-bytes",
        "x-amz-server-side-encryption-context",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-server-side-encryption-customer-key-md5",
        "x-amz-copy-source-server-side-encryption-customer-key",
        "x-amz-checksum-md5",
        "x-amz-checksum-sha512",
        "x-amz-checksum-xxhash64",
        "x-amz-object-lock-event-hold",
        "x-amz-object-annotation-directive",
        "x-amz-optional-object-attributes",
        "x-amz-rename-source",
        "x-amz-if-match-size",
        "x-amz-if-match-last-modified-time",
        "x-amz-if-match-initiated-time",
        "x-amz-create-session-mode",
        "x-amz-meta-",
        "x-amz-website-redirect",
        "if-range",
    ];
    for entry in REQUESTS {
        for name in everywhere {
            let request = request_of(entry).with(name, "a");
            assert_eq!(request.code(), Code::NotImplemented, "{:?} {name}", entry.2);
        }
    }
}

#[test]
fn conditions_are_admitted_where_s3_has_them() {
    use Operation::{
        CompleteMultipartUpload, CopyObject, DeleteObject, GetObject, HeadObject, PutObject,
    };
    for entry in REQUESTS {
        let operation = entry.2;
        for (name, allowed) in [
            (
                "if-match",
                &[
                    GetObject,
                    HeadObject,
                    PutObject,
                    CopyObject,
                    CompleteMultipartUpload,
                    DeleteObject,
                ][..],
            ),
            (
                "if-none-match",
                &[GetObject, HeadObject, PutObject, CopyObject, CompleteMultipartUpload],
            ),
            ("if-modified-since", &[GetObject, HeadObject]),
            ("if-unmodified-since", &[GetObject, HeadObject]),
        ] {
            let request = request_of(entry).with(name, "*");
            match allowed.contains(&operation) {
                true => {
                    let admitted = request.admit().unwrap();
                    assert_eq!(admitted.request.headers()[name], "*", "{operation:?}");
                }
                false => {
                    assert_eq!(request.code(), Code::NotImplemented, "{operation:?} {name}");
                }
            }
        }
    }
}

#[test]
fn allowed_headers_are_handed_on() {
    for (operation, headers) in [
        (Operation::GetObject, &["x-amz-checksum-mode"][..]),
        (Operation::HeadObject, &["x-amz-checksum-mode"]),
        (
            Operation::PutObject,
            &[
                "x-amz-tagging",
                "x-amz-storage-class",
                "x-amz-server-side-encryption",
                "x-amz-server-side-encryption-aws-kms-key-id",
                "x-amz-server-side-encryption-bucket-key-enabled",
                "x-amz-object-lock-mode",
                "x-amz-object-lock-retain-until-date",
                "x-amz-object-lock-legal-hold",
                "x-amz-website-redirect-location",
                "x-amz-user-agent",
            ],
        ),
        (
            Operation::CopyObject,
            &[
                "x-amz-metadata-directive",
                "x-amz-tagging-directive",
                "x-amz-copy-source-if-match",
                "x-amz-copy-source-if-none-match",
                "x-amz-copy-source-if-modified-since",
                "x-amz-copy-source-if-unmodified-since",
                "x-amz-checksum-algorithm",
            ],
        ),
        (Operation::UploadPartCopy, &["x-amz-copy-source-range"]),
        (Operation::CreateMultipartUpload, &["x-amz-checksum-algorithm", "x-amz-checksum-type"]),
        (Operation::CompleteMultipartUpload, &["x-amz-checksum-type", "x-amz-mp-object-size"]),
    ] {
        let entry = REQUESTS.into_iter().find(|(_, _, it)| *it == operation).unwrap();
        let mut request = request_of(entry);
        for name in headers {
            request = request.with(name, "SHA256");
        }
        let admitted = request.with("amz-sdk-invocation-id", "1").admit().unwrap();
        for name in headers {
            assert_eq!(admitted.request.headers()[*name], "SHA256", "{operation:?}");
        }
    }
}

#[test]
fn headers_of_objects_are_in_the_context_alone() {
    for entry in REQUESTS {
        let request = request_of(entry).with("expires", "never").with("x-amz-meta-a", "=?b");
        if !entry.2.has_metadata() {
            assert_eq!(request.code(), Code::NotImplemented, "{:?}", entry.2);
            continue;
        }
        let admitted = request.admit().unwrap();
        let expected = ObjectHeaders {
            expires: Some("never".into()),
            metadata: vec![("a".into(), "=?b".into())],
        };
        assert_eq!(admitted.object_headers, expected, "{:?}", entry.2);
        for name in ["expires", "x-amz-meta-a"] {
            assert!(!admitted.request.headers().contains_key(name), "{:?}", entry.2);
        }
    }
    let admitted = TestRequest::new("GET", "/bucket-1/key?response-expires=0").admit().unwrap();
    assert_eq!(admitted.object_headers.expires.as_deref(), Some("0"));
    assert_eq!(admitted.request.uri().query(), None);
}

#[test]
fn governance_is_bypassed_by_clients_that_may() {
    const NAME: &str = "x-amz-bypass-governance-retention";
    for entry in REQUESTS {
        let request = |value| request_of(entry).with(NAME, value);
        if !matches!(entry.2, Operation::DeleteObject | Operation::DeleteObjects) {
            assert_eq!(request("true").code(), Code::NotImplemented, "{:?}", entry.2);
            continue;
        }
        assert_eq!(request("true").code(), Code::AccessDenied);
        assert_eq!(request("yes").code(), Code::InvalidArgument);
        for (value, of, expected) in [
            ("false", ID, false),
            ("False", "AKIDKEEPER", false),
            ("true", "AKIDKEEPER", true),
            ("True", "AKIDKEEPER", true),
        ] {
            let admitted = request(value).of(of).admit().unwrap();
            assert_eq!(admitted.bypasses_governance, expected, "{value} {of}");
            assert!(!admitted.request.headers().contains_key(NAME));
        }
        assert!(!request_of(entry).of("AKIDKEEPER").admit().unwrap().bypasses_governance);
    }
}

#[test]
fn only_private_access_control_lists_are_admitted() {
    for (acl, is_allowed) in [
        ("private", true),
        ("bucket-owner-full-control", true),
        ("public-read", false),
        ("authenticated-read", false),
        ("bucket-owner-read", false),
        ("Private", false),
        ("", false),
    ] {
        let request = TestRequest::new("PUT", "/bucket-1/key").body(b"").with("x-amz-acl", acl);
        match is_allowed {
            true => assert_eq!(request.admit().unwrap().operation, Operation::PutObject),
            false => assert_eq!(request.code(), Code::NotImplemented, "{acl}"),
        }
    }
}

#[test]
fn configurations_of_buckets_are_refused() {
    for (method, uri) in [
        ("PUT", "/bucket-1?versioning"),
        ("GET", "/bucket-1?tagging"),
        ("PUT", "/bucket-1?tagging"),
        ("DELETE", "/bucket-1?tagging"),
        ("PUT", "/bucket-1?location"),
        ("GET", "/bucket-1/key?versions"),
        ("GET", "/bucket-1/key?uploads"),
        ("DELETE", "/bucket-1/key?uploads"),
        ("PUT", "/bucket-1/key?uploads"),
        ("PUT", "/bucket-1/key?versionId=v"),
        ("POST", "/bucket-1/key?tagging"),
        ("POST", "/bucket-1/key?delete"),
        ("HEAD", "/bucket-1/key?tagging"),
        ("HEAD", "/bucket-1?location"),
        ("HEAD", "/bucket-1/key?response-content-type=a"),
        ("GET", "/bucket-1?location&versioning"),
        ("GET", "/bucket-1/key?tagging&uploadId=a"),
        ("DELETE", "/bucket-1/key?tagging&uploadId=a"),
        ("GET", "/bucket-1?events=a"),
    ] {
        assert_eq!(TestRequest::new(method, uri).code(), Code::NotImplemented, "{method} {uri}");
    }
}

#[test]
fn other_methods_and_buckets_are_refused() {
    for (method, uri, expected) in [
        ("PUT", "/bucket-1?acl", Code::NotImplemented),
        ("DELETE", "/bucket-1", Code::NotImplemented),
        ("POST", "/bucket-1", Code::MethodNotAllowed),
        ("POST", "/bucket-1/key", Code::MethodNotAllowed),
        ("PUT", "/", Code::MethodNotAllowed),
        ("POST", "/", Code::MethodNotAllowed),
        ("HEAD", "/", Code::MethodNotAllowed),
        ("DELETE", "/", Code::MethodNotAllowed),
        ("OPTIONS", "/bucket-1/key", Code::MethodNotAllowed),
        ("PATCH", "/bucket-1/key", Code::MethodNotAllowed),
        ("CONNECT", "/bucket-1/key", Code::MethodNotAllowed),
        ("get", "/bucket-1/key", Code::MethodNotAllowed),
    ] {
        assert_eq!(TestRequest::new(method, uri).code(), expected, "{method} {uri}");
    }
    let request = TestRequest::new("GET", "/bucket-1/key").with("x-http-method-override", "DELETE");
    assert_eq!(request.admit().unwrap().operation, Operation::GetObject);
}
