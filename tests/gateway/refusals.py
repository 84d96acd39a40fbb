"""Requests that only the gateway refuses, each with its code."""

import base64
import hashlib
import hmac
from email.utils import formatdate

from harness import body, call, check, client, digest
from wire import UNSIGNED

NOT_IMPLEMENTED = "501 NotImplemented"

BUCKET_OPERATIONS = {
    "put_bucket_acl": {"ACL": "private"},
    "get_bucket_acl": {},
    "put_bucket_policy": {"Policy": "{}"},
    "get_bucket_policy": {},
    "delete_bucket_policy": {},
    "get_bucket_policy_status": {},
    "put_bucket_lifecycle_configuration": {
        "LifecycleConfiguration": {
            "Rules": [{"Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]
        }
    },
    "get_bucket_lifecycle_configuration": {},
    "delete_bucket_lifecycle": {},
    "put_bucket_website": {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "index.html"}}},
    "get_bucket_website": {},
    "put_bucket_cors": {"CORSConfiguration": {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}},
    "get_bucket_cors": {},
    "put_bucket_encryption": {
        "ServerSideEncryptionConfiguration": {
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        }
    },
    "get_bucket_encryption": {},
    "delete_bucket_encryption": {},
    "put_object_lock_configuration": {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}},
    "get_object_lock_configuration": {},
    "put_bucket_versioning": {"VersioningConfiguration": {"Status": "Suspended"}},
    "put_bucket_tagging": {"Tagging": {"TagSet": []}},
    "get_bucket_tagging": {},
    "delete_bucket_tagging": {},
    "get_bucket_replication": {},
    "delete_bucket_replication": {},
    "put_bucket_notification_configuration": {"NotificationConfiguration": {}},
    "get_bucket_notification_configuration": {},
    "put_bucket_logging": {"BucketLoggingStatus": {}},
    "get_bucket_logging": {},
    "get_bucket_accelerate_configuration": {},
    "get_bucket_request_payment": {},
    "get_bucket_ownership_controls": {},
    "get_public_access_block": {},
    "delete_public_access_block": {},
    "list_bucket_inventory_configurations": {},
    "list_bucket_metrics_configurations": {},
    "list_bucket_analytics_configurations": {},
    "create_session": {},
    "delete_bucket": {},
}
OBJECT_OPERATIONS = {
    "put_object_acl": {"ACL": "private"},
    "get_object_acl": {},
    "get_object_attributes": {"ObjectAttributes": ["ETag"]},
    "get_object_torrent": {},
    "restore_object": {"RestoreRequest": {"Days": 1}},
    "put_object_retention": {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": "2031-01-01"}},
    "get_object_retention": {},
    "put_object_legal_hold": {"LegalHold": {"Status": "ON"}},
    "get_object_legal_hold": {},
    "select_object_content": {
        "Expression": "SELECT * FROM S3Object", "ExpressionType": "SQL",
        "InputSerialization": {"CSV": {}}, "OutputSerialization": {"CSV": {}},
    },
}  # fmt: skip


@check(needs="gateway")
def operations_that_are_refused(t):
    t.put()
    for operation, parameters in BUCKET_OPERATIONS.items():
        answer = call(getattr(t.s3, operation), Bucket=t.bucket, **parameters)
        t.demand(operation, answer.outcome, NOT_IMPLEMENTED)
    for operation, parameters in OBJECT_OPERATIONS.items():
        t.demand(operation, t.at(operation, **parameters).outcome, NOT_IMPLEMENTED)
    for name, outcome in (
        (t.bucket, "409 BucketAlreadyOwnedByYou"),
        (f"{t.bucket}-missing", NOT_IMPLEMENTED),
        (f"{t.bucket}-new", "403 AccessDenied"),
    ):
        t.demand(f"create_bucket of {name}", call(t.s3.create_bucket, Bucket=name).outcome, outcome)
    t.demand("content after them", t.content(), digest(b"content"))


@check(needs="gateway")
def parameters_that_are_refused(t):
    t.put()
    key = base64.b64encode(bytes(32)).decode()
    customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    for name, answer in (
        ("put with a customer's key", t.put(b"x", **customer)),
        ("get with a customer's key", t.get(**customer)),
        ("put with a public ACL", t.put(b"x", ACL="public-read")),
        ("put with a grant", t.put(b"x", GrantRead='uri="http://acs.amazonaws.com/groups/global/AllUsers"')),
        ("put at an offset", t.put(b"x", WriteOffsetBytes=7)),
        ("delete with MFA", t.at("delete_object", MFA="1 2")),
    ):
        t.demand(name, answer.outcome, NOT_IMPLEMENTED)
    blank = {"Bucket": t.bucket, "Key": " "}
    for function in ("get_object", "put_object", "delete_object", "create_multipart_upload"):
        answer = call(getattr(t.s3, function), **blank)
        outcome = [answer.outcome, answer["Error"].get("Message")]
        t.demand(f"{function} of a blank key", outcome, ["400 InvalidArgument", "a key of blanks alone is not supported"])
    past = {"BypassGovernanceRetention": True}
    t.demand("delete past governance", t.at("delete_object", **past).outcome, "403 AccessDenied")
    many = call(t.s3.delete_objects, Bucket=t.bucket, Delete={"Objects": [{"Key": t.key()}]}, **past)
    t.demand("delete several past governance", many.outcome, "403 AccessDenied")
    path = f"/{t.bucket}/{t.key()}"
    for name in ("annotation", "renameObject", "encryption", "acl", "torrent", "x-unknown", "versionId", "append"):
        t.demand(f"put with ?{name}", t.wire().request("PUT", path, [(name, "1")], data=b"x").outcome, NOT_IMPLEMENTED)
    for name in ("annotation", "retention", "x-unknown"):
        t.demand(f"delete with ?{name}", t.wire().request("DELETE", path, [(name, "1")]).outcome, NOT_IMPLEMENTED)
    for name in ("x-amz-unknown", "x-amz-fwd-status", "x-amz-write-offset-bytes", "if-range", "if-modified-since"):
        reply = t.wire().request("PUT", path, headers={name: "1"}, data=b"x")
        t.demand(f"put with {name}", reply.outcome, NOT_IMPLEMENTED)
    t.demand("content after them", t.content(), digest(b"content"))


@check(needs="gateway")
def authentication(t):
    t.put()
    of, path = t.settings, f"/{t.bucket}/{t.key()}"

    def with_each(name, expected, wire, **parameters):
        for method, data in (("GET", b""), ("PUT", b"changed"), ("DELETE", b"")):
            reply = wire.request(method, path, data=data, **parameters)
            t.demand(f"{name}: {method}", reply.outcome, expected)

    with_each("wrong secret", "403 SignatureDoesNotMatch", t.wire(secret_key=of.secret_key + "x"))
    with_each("unknown access key", "403 InvalidAccessKeyId", t.wire(access_key="AKIDUNKNOWN"))
    with_each(
        "upstream's credentials", "403 InvalidAccessKeyId", t.wire(of.upstream_access_key + "0", of.upstream_secret_key)
    )
    with_each("clock an hour late", "403 RequestTimeTooSkewed", t.wire(clock=-3600))
    with_each("clock an hour early", "403 RequestTimeTooSkewed", t.wire(clock=3600))
    with_each("another service", "400 AuthorizationHeaderMalformed", t.wire(service="ec2"))
    with_each("session token", "400 InvalidToken", t.wire(), headers={"x-amz-security-token": "token"})
    with_each("unsigned x-amz header", "403 AccessDenied", t.wire(), unsigned={"x-amz-copy-source": "a/b"})
    for method, data in (("GET", b""), ("HEAD", b""), ("PUT", b"changed"), ("DELETE", b"")):
        expected = "403" if method == "HEAD" else "403 AccessDenied"
        t.demand(f"anonymous: {method}", t.wire().plain(method, path, data=data).outcome, expected)
    t.demand("anonymous list", t.wire().plain("GET", f"/{t.bucket}").outcome, "403 AccessDenied")

    date = formatdate(usegmt=True)
    text = f"GET\n\n\n{date}\n{path}".encode()
    signature = base64.b64encode(hmac.digest(of.secret_key.encode(), text, "sha1")).decode()
    reply = t.wire().plain("GET", path, headers={"date": date, "authorization": f"AWS {of.access_key}:{signature}"})
    t.demand("Signature Version 2", reply.outcome, "400 InvalidRequest")
    query = [("AWSAccessKeyId", of.access_key), ("Expires", "4000000000"), ("Signature", signature)]
    t.demand("Signature Version 2 in a URL", t.wire().plain("GET", path, query).outcome, "400 InvalidRequest")
    signed_twice = t.wire().request("GET", path, t.wire().presigned("GET", path, 60))
    t.demand("two authentications", signed_twice.outcome, "400 InvalidArgument")
    t.demand("content after them", t.content(), digest(b"content"))


@check(needs="gateway")
def forms(t):
    fields = {"key": t.key(), "policy": base64.b64encode(b"{}").decode(), "x-amz-signature": "0" * 64}
    parts = [
        f'--limit\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    ]
    parts.append('--limit\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\ncontent\r\n--limit--\r\n')
    headers = {"content-type": "multipart/form-data; boundary=limit"}
    reply = t.wire().plain("POST", f"/{t.bucket}", headers=headers, data="".join(parts).encode())
    t.demand("anonymous", reply.outcome, NOT_IMPLEMENTED)
    reply = t.wire().request("POST", f"/{t.bucket}", headers=headers, data="".join(parts).encode())
    t.demand("signed", reply.outcome, NOT_IMPLEMENTED)
    t.demand("object", t.head().outcome, "404")


@check(needs="gateway")
def access(t):
    """The client of the suite may use its buckets and no other."""
    other = "sealwax-conformance-foreign"
    for function, parameters in (
        ("list_objects_v2", {}), ("list_multipart_uploads", {}), ("get_object", {"Key": "a"}), ("put_object", {"Key": "a"}),
        ("delete_object", {"Key": "a"}), ("get_object_tagging", {"Key": "a"}), ("create_multipart_upload", {"Key": "a"}),
        ("delete_objects", {"Delete": {"Objects": [{"Key": "a"}]}}),
    ):  # fmt: skip
        answer = call(getattr(t.s3, function), Bucket=other, **parameters)
        t.demand(function, answer.outcome, "403 AccessDenied")
    t.put()
    copied = t.at("copy_object", CopySource={"Bucket": other, "Key": "a"})
    t.demand("copy from it", copied.outcome, "403 AccessDenied")
    copied = call(t.s3.copy_object, Bucket=other, Key="a", CopySource={"Bucket": t.bucket, "Key": t.key()})
    t.demand("copy to it", copied.outcome, "403 AccessDenied")


@check(needs="gateway")
def reserved_names(t):
    for name in ("sealwax-header", "sealwax", "x-amz-key-v2", "x-amz-iv", "x-amz-matdesc", "x-amz-cek-alg"):
        t.demand(f"metadata {name}", t.put(Metadata={name: "1"}).outcome, "400 InvalidArgument")
        created = t.at("create_multipart_upload", Metadata={name: "1"})
        t.demand(f"metadata {name} of an upload", created.outcome, "400 InvalidArgument")
    t.demand("object after them", t.head().outcome, "404")
    t.put(Metadata={"md5chksum": "abc", "kept": "1"})
    t.demand("md5chksum is dropped", t.head().get("Metadata"), {"kept": "1"})


@check(needs="gateway")
def reserved_prefix(t):
    """Keys of Sealwax itself, such as those of a key store: neither seen nor changed."""
    t.put()
    key = f".sealwax/{t.prefix}x"
    denied = "403 AccessDenied"
    own = {"Bucket": t.bucket, "Key": t.key()}
    for name, answer in (
        ("put", call(t.s3.put_object, Bucket=t.bucket, Key=key, Body=b"x")),
        ("get", call(t.s3.get_object, Bucket=t.bucket, Key=key)),
        ("delete", call(t.s3.delete_object, Bucket=t.bucket, Key=key)),
        ("tags", call(t.s3.get_object_tagging, Bucket=t.bucket, Key=key)),
        ("put tags", call(t.s3.put_object_tagging, Bucket=t.bucket, Key=key, Tagging={"TagSet": []})),
        ("copy from it", t.at("copy_object", "copy", CopySource={"Bucket": t.bucket, "Key": key})),
        ("copy to it", call(t.s3.copy_object, Bucket=t.bucket, Key=key, CopySource=own)),
        ("upload", call(t.s3.create_multipart_upload, Bucket=t.bucket, Key=key)),
        ("list", call(t.s3.list_objects_v2, Bucket=t.bucket, Prefix=".sealwax/")),
    ):
        expected = ["200", []] if name == "list" and answer.status == 200 else denied
        t.demand(
            name,
            [answer.outcome, answer.get("Contents", [])] if isinstance(expected, list) else answer.outcome,
            expected,
        )
    t.demand("head", call(t.s3.head_object, Bucket=t.bucket, Key=key).outcome, "403")
    many = call(t.s3.delete_objects, Bucket=t.bucket, Delete={"Objects": [{"Key": key}]})
    t.demand("delete of several", [it.get("Code") for it in many.get("Errors", [])], ["AccessDenied"])


@check(needs="gateway")
def answers_of_the_gateway(t):
    """What clients rely on to not take an ETag for the MD5 digest of what they sent."""
    put = t.put(body(1000))
    for name, answer in (("put", put), ("head", t.head()), ("get", t.get())):
        t.demand(name, [answer.get("ServerSideEncryption"), "-" in answer.get("ETag", "")], ["aws:kms", True])
    t.demand("listing", ["-" in it["ETag"] for it in t.listed()], [True])
    copied = t.at("copy_object", "copy", CopySource={"Bucket": t.bucket, "Key": t.key()})
    t.demand(
        "copy",
        [copied.get("ServerSideEncryption"), "-" in copied.get("CopyObjectResult", {}).get("ETag", "")],
        ["aws:kms", True],
    )
    created = t.at("create_multipart_upload", "upload")
    t.demand("upload", created.get("ServerSideEncryption"), "aws:kms")
    of = {"UploadId": created.get("UploadId")}
    part = t.at("upload_part", "upload", **of, PartNumber=1, Body=b"x")
    t.demand("part", [part.get("ServerSideEncryption"), part.outcome], ["aws:kms", "200"])
    done = t.at(
        "complete_multipart_upload",
        "upload",
        **of,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    t.demand("completion", [done.get("ServerSideEncryption"), "-" in done.get("ETag", "")], ["aws:kms", True])
    reply = t.wire().request("PUT", f"/{t.bucket}/{t.key()}", data=b"x" * 100, payload=UNSIGNED)
    digests = (hashlib.md5(b"x" * 100).hexdigest(), hashlib.sha256(b"x" * 100).hexdigest())
    t.demand("no digest in an answer", any(it in str(reply.headers) for it in digests), False)
