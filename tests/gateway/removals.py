"""Deletions."""

import base64
import hashlib

from harness import call, check, digest


def deleted(t, keys, quiet=None, **parameters):
    listed = {"Objects": [{"Key": t.key(key)} for key in keys]}
    if quiet is not None:
        listed["Quiet"] = quiet
    answer = call(t.s3.delete_objects, Bucket=t.bucket, Delete=listed, **parameters)
    return [
        answer.outcome,
        sorted(t.short(it["Key"]) for it in answer.get("Deleted", [])),
        [[t.short(it["Key"]), it["Code"]] for it in answer.get("Errors", [])],
    ]


@check
def deletions(t):
    t.put()
    t.record("object", t.at("delete_object").pick("DeleteMarker"), {"outcome": "204"})
    t.record("get after it", t.get().outcome, "404 NoSuchKey")
    t.record("listing after it", t.listed(), [])
    t.record("missing object", t.at("delete_object").pick("DeleteMarker"), {"outcome": "204"})
    t.record(
        "in no bucket", call(t.s3.delete_object, Bucket=f"{t.bucket}-missing", Key="key").outcome, "404 NoSuchBucket"
    )
    put = t.put(name="kept")
    wrong = t.at("delete_object", "kept", IfMatch='"00000000000000000000000000000000"').outcome
    t.record("If-Match wrong", [wrong, t.content("kept")], ["412 PreconditionFailed", digest(b"content")])
    right = t.at("delete_object", "kept", IfMatch=put["ETag"]).outcome
    t.record("If-Match right", [right, t.head("kept").outcome], ["204", "404"])


@check
def deletions_of_several(t):
    names = ["a", "b/c", "d e", "ü+%", "<&>'\""]
    for quiet in (None, False, True):
        for name in names:
            t.put(name=name)
        given = [*names, "missing"]
        t.record(f"quiet is {quiet}", deleted(t, given, quiet), ["200", [] if quiet else sorted(given), []])
        t.record(f"objects after quiet is {quiet}", t.listed(), [])
    t.record("one key twice", deleted(t, ["a", "a"])[0], "200")
    t.record("no keys", deleted(t, [])[0], "400 MalformedXML")
    t.record("1000 keys", deleted(t, [str(n) for n in range(1000)], True)[:2], ["200", []])
    t.put(name="0")
    t.record("1001 keys", deleted(t, [str(n) for n in range(1001)])[0], "400 MalformedXML")
    t.record("object after 1001 keys", t.head("0").outcome, "200")
    for algorithm in ("SHA256", "CRC32C"):
        t.record(f"with {algorithm}", deleted(t, ["0"], ChecksumAlgorithm=algorithm)[:2], ["200", ["0"]])


@check
def deletions_on_the_wire(t):
    """Lists of keys that boto3 doesn't send."""
    t.put()

    def sent(data, headers=()):
        reply = t.wire().request("POST", f"/{t.bucket}", [("delete", "")], headers, data)
        outcome = [reply.outcome, t.head().outcome]
        t.put()
        return outcome

    right = f"<Delete><Object><Key>{t.key()}</Key></Object></Delete>".encode()
    t.record("no digest", sent(right), ["400 InvalidRequest", "200"])
    t.record("wrong Content-MD5", sent(right, {"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}), ["400 BadDigest", "200"])
    t.record("wrong CRC32", sent(right, {"x-amz-checksum-crc32": "AAAAAA=="}), ["400 BadDigest", "200"])
    for name, data in (("no XML", b"delete"), ("unclosed XML", right[:-9])):
        md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
        t.record(name, sent(data, {"content-md5": md5}), ["400 MalformedXML", "200"])
