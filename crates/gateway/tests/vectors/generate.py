#!/usr/bin/env python3
"""Writes botocore.json: requests that botocore signed, for the tests of the gate.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install botocore==1.44.8
    /tmp/venv/bin/python generate.py > botocore.json

The credentials are made up. Everything is fixed: the clock, the random numbers, the key.
"""

import base64
import datetime
import json
import os
import random
from urllib.parse import quote, urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials

NOW = datetime.datetime(2026, 3, 1, 12, 30, 15, tzinfo=datetime.timezone.utc)
ID, SECRET, REGION = "AKIDVECTORS", "vectors/secret+key/0123456789abcdefghijk", "eu-central-1"
RANDOM = random.Random(20260301)

botocore.auth.get_current_datetime = lambda *args, **kwargs: NOW

ODD = [
    "a", "Z", "0", "-", "_", ".", "~", "/", "//", "./", "../", " ", "+", "%", "%2F", "%25", "&",
    "=", "?", "#", "@", ":", ";", ",", "$", "!", "*", "'", "(", ")", "[", "]", "{", "}", "|", "\\",
    "^", "`", "<", ">", '"', "\t", "\n", "\r", "\x01", "\x7f", "\u00e4", "e\u0301", "\u65e5", "\U0001f512", "\u2028",
]


class Sent(Exception):
    """Ends a call once its request is signed."""


def odd_text(most):
    return "".join(RANDOM.choice(ODD) for _ in range(RANDOM.randint(1, most)))


def record(request, operation, bucket, key, plaintext=b"", **others):
    parts = urlsplit(request.url)
    body = request.body
    if body is None:
        body = b""
    elif hasattr(body, "read"):
        body = body.read()
    elif isinstance(body, str):
        body = body.encode()
    headers = []
    for name, value in request.headers.items():
        value = value if isinstance(value, bytes) else str(value).encode()
        headers.append([name.lower(), value.decode("latin-1")])
    if not any(name == "host" for name, _ in headers):
        headers.append(["host", parts.netloc])
    vector = {
        "operation": operation,
        "method": request.method,
        "uri": parts.path + ("?" + parts.query if parts.query else ""),
        "headers": headers,
        "bucket": bucket,
        "key": key,
    }
    if body:
        vector["body"] = base64.b64encode(bytes(body)).decode()
    if plaintext != bytes(body):
        vector["plaintext"] = base64.b64encode(plaintext).decode()
    vector.update(others)
    return vector


def signed():
    """Requests of all kinds of keys, queries and headers, signed by the signers alone."""
    credentials = Credentials(ID, SECRET)
    for number in range(240):
        key = odd_text(12)
        path = "/bucket-1/" + quote(key, safe="/~")
        headers = {}
        params = {}
        method, operation = RANDOM.choice([
            ("GET", "GetObject"), ("HEAD", "HeadObject"), ("DELETE", "DeleteObject"),
            ("PUT", "PutObject"), ("GET", "ListObjectsV2"), ("POST", "CreateMultipartUpload"),
        ])
        body = b""
        if operation == "ListObjectsV2":
            key = None
            path = "/bucket-1"
            params["list-type"] = "2"
            for name in RANDOM.sample(["prefix", "delimiter", "start-after", "continuation-token"], 3):
                params[name] = odd_text(8)
        elif operation == "CreateMultipartUpload":
            params["uploads"] = ""
        elif operation in ("GetObject", "DeleteObject"):
            params["versionId"] = odd_text(6)
        if operation == "GetObject":
            params["response-content-type"] = odd_text(6)
        if operation in ("PutObject", "CreateMultipartUpload"):
            headers["X-Amz-Meta-Odd"] = RANDOM.choice(["a  b", " a", "a\t b ", "a,b, c", "a=b;c", ""])
            headers["x-amz-storage-class"] = "STANDARD"
            headers["Content-Type"] = "text/plain;  charset=utf-8"
        if operation == "PutObject":
            body = odd_text(20).encode()
        query = "&".join(quote(k, safe="-_.~") + "=" + quote(v, safe="-_.~") for k, v in params.items())
        url = "http://127.0.0.1:9000" + path + ("?" + query if query else "")
        is_presigned = number % 2 == 1
        data = b"" if is_presigned else body
        request = botocore.awsrequest.AWSRequest(method=method, url=url, headers=headers, data=data)
        request.context["payload_signing_enabled"] = number % 3 != 0
        request.context["client_config"] = Config(s3={"payload_signing_enabled": number % 3 != 0})
        signer = botocore.auth.S3SigV4QueryAuth if is_presigned else botocore.auth.S3SigV4Auth
        arguments = {"expires": RANDOM.randint(1, 604800)} if is_presigned else {}
        signer(credentials, "s3", REGION, **arguments).add_auth(request)
        request.data = body
        prepared = request.prepare()
        for name in ("Transfer-Encoding", "Content-Length"):
            if name in prepared.headers and not body:
                del prepared.headers[name]
        yield record(prepared, operation, "bucket-1", key, body,
                     **({"presigned": True} if is_presigned else {}),
                     **({"parameters": params} if operation == "ListObjectsV2" else {}))


def of_clients():
    """Requests of whole clients."""
    for scheme in ("http", "https"):
        sent = []
        session = botocore.session.Session()
        session.set_credentials(ID, SECRET)
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        client = session.create_client("s3", REGION, endpoint_url=scheme + "://127.0.0.1:9000", config=config)

        def answer(request, **_):
            if hasattr(request.body, "read"):
                request.body = request.body.read()
            sent.append(request)
            raise Sent

        client.meta.events.register("before-send.s3", answer)
        key, upload = "dir/k\u00e4y +&=?%2F.txt", {"UploadId": "upl.oad_1"}
        text = b"plain text " * 9
        at = {"Bucket": "bucket-1", "Key": key}
        calls = [
            ("ListBuckets", {}, b""),
            ("HeadBucket", {"Bucket": "bucket-1"}, b""),
            ("CreateBucket", {"Bucket": "bucket-1", "CreateBucketConfiguration": {"LocationConstraint": REGION}}, None),
            ("GetBucketLocation", {"Bucket": "bucket-1"}, b""),
            ("GetBucketVersioning", {"Bucket": "bucket-1"}, b""),
            ("ListObjects", {"Bucket": "bucket-1", "Prefix": "a b+c", "Delimiter": "/"}, b""),
            ("ListObjectsV2", {"Bucket": "bucket-1", "Prefix": "a b+c", "MaxKeys": 7, "FetchOwner": True}, b""),
            ("ListObjectVersions", {"Bucket": "bucket-1", "KeyMarker": "a&b"}, b""),
            ("ListMultipartUploads", {"Bucket": "bucket-1"}, b""),
            ("DeleteObjects", {"Bucket": "bucket-1", "Delete": {"Objects": [{"Key": key}]}}, None),
            ("HeadObject", at | {"PartNumber": 2}, b""),
            ("GetObject", at | {"Range": "bytes=1-2", "IfMatch": '"etag"', "ChecksumMode": "ENABLED"}, b""),
            ("PutObject", at | {"Body": text, "Metadata": {"a": "b  c"}, "ContentEncoding": "gzip"}, text),
            ("PutObject", at | {"Body": text, "ChecksumAlgorithm": "SHA256", "IfNoneMatch": "*"}, text),
            ("PutObject", at | {"Body": text, "ChecksumAlgorithm": "SHA1"}, text),
            ("PutObject", at | {"Body": b""}, b""),
            ("PutObject", at | {"Body": text, "ContentMD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, "BadDigest"),
            ("CopyObject", at | {"CopySource": {"Bucket": "bucket-1", "Key": key, "VersionId": "v1"}}, b""),
            ("DeleteObject", at | {"VersionId": "v1"}, b""),
            ("GetObjectTagging", at, b""),
            ("PutObjectTagging", at | {"Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}}, None),
            ("DeleteObjectTagging", at, b""),
            ("CreateMultipartUpload", at | {"ChecksumAlgorithm": "CRC32C", "ContentType": "text/plain"}, b""),
            ("UploadPart", at | upload | {"PartNumber": 3, "Body": text}, text),
            ("UploadPartCopy", at | upload | {"PartNumber": 3, "CopySource": "bucket-1/a%20b", "CopySourceRange": "bytes=0-9"}, b""),
            ("ListParts", at | upload, b""),
            ("CompleteMultipartUpload", at | upload | {"MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": '"e"'}]}, "ChecksumCRC32": "AAAAAA==", "ChecksumType": "FULL_OBJECT"}, None),
            ("AbortMultipartUpload", at | upload, b""),
        ]
        for operation, parameters, plaintext in calls:
            method = botocore.xform_name(operation)
            try:
                getattr(client, method)(**parameters)
            except Sent:
                pass
            request = sent.pop()
            assert not sent
            for name in ("amz-sdk-invocation-id", "User-Agent"):
                if name in request.headers:
                    del request.headers[name]
            others = {}
            if plaintext is None:
                plaintext = request.body
                plaintext = plaintext if isinstance(plaintext, bytes) else plaintext.encode()
            if plaintext == "BadDigest":
                others, plaintext = {"body_error": plaintext}, text
            yield record(request, operation, parameters.get("Bucket"), parameters.get("Key"), plaintext, **others)
        for operation, parameters in [("GetObject", at), ("PutObject", at), ("HeadObject", at), ("DeleteObject", at)]:
            url = client.generate_presigned_url(botocore.xform_name(operation), parameters, 600)
            method = {"G": "GET", "P": "PUT", "H": "HEAD", "D": "DELETE"}[operation[0]]
            body = text if method == "PUT" else b""
            headers = {"Content-Length": len(text)} if body else {}
            request = botocore.awsrequest.AWSPreparedRequest(method, url, headers, body, False)
            yield record(request, operation, "bucket-1", key, body, presigned=True)


def main():
    os.environ.clear()
    vectors = {
        "now": int(NOW.timestamp()),
        "access_key_id": ID,
        "secret_access_key": SECRET,
        "requests": [*signed(), *of_clients()],
    }
    text = json.dumps(vectors, sort_keys=True)
    print(text.replace('{"body', '\n{"body').replace('{"bucket', '\n{"bucket'))


main()
