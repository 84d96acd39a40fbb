"""Copies inside the store."""

import datetime

from harness import body, call, check, digest

DATA = body(70_000, "copies")
EXPIRES = "Mon, 03 Feb 2031 04:05:06 GMT"
KEPT = {"ContentType": "text/csv", "CacheControl": "no-cache", "ExpiresString": EXPIRES}


def source(t, name="source", bucket=None):
    return {"Bucket": bucket or t.bucket, "Key": t.key(name)}


def tags(t, name):
    return {tag["Key"]: tag["Value"] for tag in t.at("get_object_tagging", name).get("TagSet", [])}


def put_source(t):
    headers = {"ContentType": "text/csv", "CacheControl": "no-cache", "Expires": EXPIRES}
    return t.put(DATA, "source", Metadata={"a": "1"}, **headers, Tagging="t=1")


@check
def copies(t):
    put_source(t)
    copied = t.at("copy_object", "copy", CopySource=source(t))
    t.record(
        "answer",
        [copied.outcome, copied.get("CopyObjectResult", {}).get("ETag") == t.head("copy").get("ETag")],
        ["200", True],
    )
    t.record("content", t.content("copy"), digest(DATA))
    shown = {"outcome": "200", "ContentLength": 70_000, **KEPT}
    t.record(
        "head",
        t.head("copy").pick("ContentLength", "ContentType", "CacheControl", "ExpiresString", "Metadata"),
        {**shown, "Metadata": {"a": "1"}},
    )
    t.record("tags", tags(t, "copy"), {"t": "1"})
    t.record("range", t.get("copy", Range="bytes=16383-16384").get("Body") == DATA[16383:16385], True)
    t.record("source after it", t.content("source"), digest(DATA))
    t.record("size in a listing", [entry["Size"] for entry in t.listed("copy")], [70_000])
    again = t.at("copy_object", "copy of copy", CopySource=source(t, "copy"))
    t.record("copy of a copy", [again.outcome, t.content("copy of copy")], ["200", digest(DATA)])
    t.at("delete_object", "source")
    t.record("copy without its source", t.content("copy"), digest(DATA))
    t.put(b"", "empty")
    t.record(
        "of nothing",
        [t.at("copy_object", "empty2", CopySource=source(t, "empty")).outcome, t.content("empty2")],
        ["200", digest(b"")],
    )


@check
def copies_to_another_bucket(t):
    put_source(t)
    copied = call(t.s3.copy_object, Bucket=t.other_bucket, Key=t.key("copy"), CopySource=source(t))
    got = call(t.s3.get_object, Bucket=t.other_bucket, Key=t.key("copy"))
    t.record("copy", [copied.outcome, got.get("Body") == DATA, got.get("Metadata")], ["200", True, {"a": "1"}])
    back = t.at("copy_object", "back", CopySource=source(t, "copy", t.other_bucket))
    t.record("copy back", [back.outcome, t.content("back")], ["200", digest(DATA)])


@check
def directives(t):
    put_source(t)

    def copied(name, **parameters):
        answer = t.at("copy_object", name, CopySource=source(t), **parameters)
        return [
            answer.outcome,
            t.head(name).pick("Metadata", "ContentType", "CacheControl", "ExpiresString"),
            tags(t, name),
            t.content(name) == digest(DATA),
        ]

    kept = {"outcome": "200", "Metadata": {"a": "1"}, **KEPT}
    new = {"outcome": "200", "Metadata": {"b": "2"}, "ContentType": "text/html"}
    t.record(
        "COPY",
        copied("1", MetadataDirective="COPY", Metadata={"b": "2"}, ContentType="text/html"),
        ["200", kept, {"t": "1"}, True],
    )
    t.record(
        "REPLACE",
        copied("2", MetadataDirective="REPLACE", Metadata={"b": "2"}, ContentType="text/html"),
        ["200", new, {"t": "1"}, True],
    )
    bare = copied("3", MetadataDirective="REPLACE")
    t.record("REPLACE by nothing", bare[1].get("Metadata"), {})
    t.record("tags COPY", copied("4", TaggingDirective="COPY"), ["200", kept, {"t": "1"}, True])
    t.record("tags REPLACE", copied("5", TaggingDirective="REPLACE", Tagging="u=2"), ["200", kept, {"u": "2"}, True])
    t.record("tags REPLACE by nothing", copied("6", TaggingDirective="REPLACE"), ["200", kept, {}, True])
    t.record("no such directive", copied("7", MetadataDirective="MOVE")[0], "400 InvalidArgument")
    t.record(
        "storage class",
        [copied("8", StorageClass="STANDARD_IA")[0], t.head("8").get("StorageClass")],
        ["200", "STANDARD_IA"],
    )


@check
def copies_onto_itself(t):
    put_source(t)

    def copied(**parameters):
        answer = t.at("copy_object", "source", CopySource=source(t), **parameters)
        return [answer.outcome, t.head("source").get("Metadata"), t.content("source") == digest(DATA)]

    t.record("without a change", copied(), ["400 InvalidRequest", {"a": "1"}, True])
    t.record("with metadata", copied(MetadataDirective="REPLACE", Metadata={"b": "2"}), ["200", {"b": "2"}, True])
    t.record("with a storage class", copied(StorageClass="STANDARD_IA"), ["200", {"b": "2"}, True])


@check
def conditions_of_copies(t):
    etag = put_source(t)["ETag"]
    now, hour = t.head("source")["LastModified"], datetime.timedelta(hours=1)
    wrong, failed = '"00000000000000000000000000000000"', "412 PreconditionFailed"
    for name, condition, s3 in (
        ("If-Match right", {"IfMatch": etag}, "200"), ("If-Match wrong", {"IfMatch": wrong}, failed),
        ("If-None-Match right", {"IfNoneMatch": etag}, failed), ("If-None-Match wrong", {"IfNoneMatch": wrong}, "200"),
        ("If-Modified-Since before", {"IfModifiedSince": now - hour}, "200"),
        ("If-Modified-Since the same", {"IfModifiedSince": now}, failed),
        ("If-Unmodified-Since before", {"IfUnmodifiedSince": now - hour}, failed),
        ("If-Unmodified-Since the same", {"IfUnmodifiedSince": now}, "200"),
    ):  # fmt: skip
        condition = {f"CopySource{key}": value for key, value in condition.items()}
        t.record(f"source {name}", t.at("copy_object", "copy", CopySource=source(t), **condition).outcome, s3)
    t.put(b"target", "target")
    copied = t.at("copy_object", "target", CopySource=source(t), IfNoneMatch="*")
    t.record("target If-None-Match on an object", [copied.outcome, t.content("target")], [failed, digest(b"target")])
    copied = t.at("copy_object", "target", CopySource=source(t), IfMatch=wrong)
    t.record("target If-Match wrong", [copied.outcome, t.content("target")], [failed, digest(b"target")])
    copied = t.at("copy_object", "target", CopySource=source(t), IfMatch=t.head("target")["ETag"])
    t.record("target If-Match right", [copied.outcome, t.content("target")], ["200", digest(DATA)])
    copied = t.at("copy_object", "new", CopySource=source(t), IfNoneMatch="*")
    t.record("target If-None-Match on nothing", [copied.outcome, t.content("new")], ["200", digest(DATA)])


@check
def copies_of_nothing(t):
    t.record("missing key", t.at("copy_object", "copy", CopySource=source(t, "missing")).outcome, "404 NoSuchKey")
    t.record(
        "missing bucket",
        t.at("copy_object", "copy", CopySource=source(t, "a", f"{t.bucket}-missing")).outcome,
        "404 NoSuchBucket",
    )
    put_source(t)
    copied = call(t.s3.copy_object, Bucket=f"{t.bucket}-missing", Key=t.key("copy"), CopySource=source(t))
    t.record("to a missing bucket", copied.outcome, "404 NoSuchBucket")
    for name, given in (("no key", t.bucket), ("no bucket", "/"), ("leading slash", f"/{t.bucket}/{t.key('source')}")):
        reply = t.wire().request("PUT", f"/{t.bucket}/{t.key('copy')}", headers={"x-amz-copy-source": given})
        t.record(f"source with {name}", reply.outcome, "200" if name == "leading slash" else "400 InvalidArgument")
