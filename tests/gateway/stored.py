"""What the gateway stores upstream, seen by a client of the upstream server."""

import base64
import hashlib
import io
import json

from boto3.s3.transfer import TransferConfig
from harness import ALGORITHMS, MIB, body, call, check, checksum

WINDOW = 16


def upstream(t, name="object", **parameters):
    return call(t.settings.upstream.get_object, Bucket=t.bucket, Key=t.key(name), **parameters)


def leaks(plaintext, stored):
    """Returns `true` if any window of the plaintext, at any offset, occurs in the stored bytes."""
    windows = {plaintext[at : at + WINDOW] for at in range(0, len(plaintext) - WINDOW + 1)}
    return any(stored[at : at + WINDOW] in windows for at in range(len(stored) - WINDOW + 1))


def sealed(t, name, plaintext):
    answer = upstream(t, name)
    stored = answer.get("Body", b"")
    own = [it for it in answer.get("Metadata", {}) if it.startswith("sealwax")]
    # A long body's windows at all offsets take a minute, so they are searched in a part of it.
    sample = plaintext if len(plaintext) <= MIB else plaintext[:4096] + plaintext[-4096:]
    return {
        "outcome": answer.outcome,
        "longer": len(stored) > len(plaintext),
        "leaks": leaks(sample, stored),
        "metadata": bool(own),
        "reads back": t.get(name).get("Body") == plaintext,
    }


SEALED = {"outcome": "200", "longer": True, "leaks": False, "metadata": True, "reads back": True}


@check(needs="upstream")
def stored_bytes(t):
    for length in (0, 1, WINDOW, 16_385, MIB):
        data = body(length, f"stored {length}")
        t.put(data, str(length))
        t.demand(f"{length} bytes", sealed(t, str(length), data), SEALED)
    zeros = bytes(300_000)
    t.put(zeros, "zeros")
    t.demand("zeros", sealed(t, "zeros", zeros), SEALED)
    one, two = (upstream(t, name).get("Body") for name in ("zeros", "zeros"))
    t.put(zeros, "zeros")
    t.demand("sealed again", [one == two, upstream(t, "zeros").get("Body") == one], [True, False])


@check(needs="upstream")
def stored_uploads(t):
    data = body(17 * MIB, "stored upload")
    t.s3.upload_fileobj(io.BytesIO(data), t.bucket, t.key(), Config=TransferConfig(5 * MIB, 4, 5 * MIB))
    t.demand("upload in parts", sealed(t, "object", data), SEALED)
    t.at("copy_object", "copy", CopySource={"Bucket": t.bucket, "Key": t.key()})
    t.demand("copy", sealed(t, "copy", data), SEALED)
    created = t.at("create_multipart_upload", "copied")
    of = {"UploadId": created["UploadId"]}
    part = t.at("upload_part_copy", "copied", **of, PartNumber=1, CopySource={"Bucket": t.bucket, "Key": t.key()})
    listed = {"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]}
    t.at("complete_multipart_upload", "copied", **of, MultipartUpload=listed)
    t.demand("copied part", sealed(t, "copied", data), SEALED)
    uploads = call(t.settings.upstream.list_multipart_uploads, Bucket=t.bucket, Prefix=t.prefix)
    t.demand("incomplete uploads upstream", [t.short(it["Key"]) for it in uploads.get("Uploads", [])], [])


@check(needs="upstream")
def stored_attributes(t):
    data = body(70_000, "attributes")
    given = {"ContentType": "text/csv", "Metadata": {"a": "1"}, "StorageClass": "STANDARD_IA"}
    t.put(data, **given, Tagging="t=1")
    through, stored = t.head(), call(t.settings.upstream.head_object, Bucket=t.bucket, Key=t.key())
    t.demand("content type", stored.get("ContentType"), "text/csv")
    t.demand("metadata through the gateway", through.get("Metadata"), {"a": "1"})
    t.demand(
        "metadata upstream",
        [stored["Metadata"].get("a"), any(it.startswith("sealwax") for it in stored["Metadata"])],
        ["1", True],
    )
    # Clients repeat what HEAD told them. The store's own encryption by KMS is another matter.
    t.put(data, "repeated", ServerSideEncryption=through.get("ServerSideEncryption"))
    repeated = call(t.settings.upstream.head_object, Bucket=t.bucket, Key=t.key("repeated"))
    t.demand(
        "encryption that is repeated",
        [repeated.outcome, repeated.get("ServerSideEncryption")],
        ["200", stored.get("ServerSideEncryption")],
    )
    t.demand("length through the gateway", through.get("ContentLength"), len(data))
    t.demand("length upstream", stored.get("ContentLength", 0) > len(data), True)


@check(needs="upstream")
def digests_of_the_plaintext(t):
    """No digest of the plaintext is in what upstream tells of the object."""
    data = body(50_000, "digests")
    md5, sha256 = hashlib.md5(data), hashlib.sha256(data)
    t.put(data, Metadata={"md5chksum": base64.b64encode(md5.digest()).decode()})
    for algorithm in ALGORITHMS:
        t.put(data, algorithm, ChecksumAlgorithm=algorithm)
    for name in ("object", *ALGORITHMS):
        answer = call(t.settings.upstream.head_object, Bucket=t.bucket, Key=t.key(name), ChecksumMode="ENABLED")
        told = json.dumps(answer.headers) + json.dumps(answer.get("Metadata", {}))
        forms = [md5.hexdigest(), sha256.hexdigest(), *(base64.b64encode(it.digest()).decode() for it in (md5, sha256))]
        forms += [checksum(it, data) for it in ALGORITHMS]
        t.demand(name, [it for it in forms if it in told], [])


@check(needs="upstream")
def hidden_objects(t):
    """Keys of Sealwax that exist upstream are in no listing."""
    key = f".sealwax/{t.prefix}hidden"
    t.settings.upstream.put_object(Bucket=t.bucket, Key=key, Body=b"hidden")
    try:
        for function, parameters in (
            ("list_objects_v2", {}), ("list_objects", {}), ("list_objects_v2", {"Delimiter": "/"}), ("list_objects", {"Delimiter": "/"}),
            ("list_objects_v2", {"Prefix": ".seal"}), ("list_objects_v2", {"Prefix": "."}), ("list_object_versions", {}),
        ):  # fmt: skip
            answer = call(getattr(t.s3, function), Bucket=t.bucket, **parameters)
            found = [it.get("Key") for name in ("Contents", "Versions", "DeleteMarkers") for it in answer.get(name, [])]
            found += [it["Prefix"] for it in answer.get("CommonPrefixes", [])]
            t.demand(
                f"{function} {parameters}",
                [answer.outcome, [it for it in found if it.startswith(".sealwax")]],
                ["200", []],
            )
        t.demand("get", call(t.s3.get_object, Bucket=t.bucket, Key=key).outcome, "403 AccessDenied")
        call(t.s3.delete_object, Bucket=t.bucket, Key=key)
        left = call(t.settings.upstream.head_object, Bucket=t.bucket, Key=key)
        t.demand("upstream after a delete", left.outcome, "200")
    finally:
        t.settings.upstream.delete_object(Bucket=t.bucket, Key=key)


@check(needs="upstream")
def objects_that_are_not_sealed(t):
    """An object that was stored without the gateway is not passed on as if it had been sealed."""
    t.settings.upstream.put_object(Bucket=t.bucket, Key=t.key(), Body=b"plain")
    answer = t.get()
    t.demand("its content", [answer.status >= 400, b"plain" in answer.get("Body", b"")], [True, False])
    t.record("get", answer.outcome)
    t.record("head", t.head().outcome)
    t.record("copy", t.at("copy_object", "copy", CopySource={"Bucket": t.bucket, "Key": t.key()}).outcome)


@check(needs="upstream")
def changed_objects(t):
    """Changed bytes upstream are an error, never content."""
    data = body(70_000, "changed")
    t.put(data)
    stored = upstream(t)
    changed = bytearray(stored["Body"])
    changed[40_000] ^= 1
    t.settings.upstream.put_object(Bucket=t.bucket, Key=t.key(), Body=bytes(changed), Metadata=stored["Metadata"])
    answer = t.get()
    t.demand("get", answer.get("Body") == data or answer.outcome == "200", False)
    t.demand("range before the change", t.get(Range="bytes=0-9").get("Body") in (data[:10], None), True)
    t.settings.upstream.put_object(
        Bucket=t.bucket, Key=t.key("moved"), Body=stored["Body"], Metadata=stored["Metadata"]
    )
    moved = t.get("moved")
    t.demand("under another key", moved.outcome == "200", False)
