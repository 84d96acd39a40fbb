"""Single objects: content, headers, names, ranges, conditions, presigned requests."""

import datetime
import re
import time
from email.header import decode_header
from urllib.parse import parse_qsl, urlsplit

from harness import KIB, MIB, body, call, check, client, digest

LENGTHS = (0, 1, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, MIB, 5 * MIB + 1, 9 * MIB)
CHUNK = 16 * KIB


@check
def lengths(t):
    for length in LENGTHS:
        data, name = body(length, f"length {length}"), f"object-{length}"
        put, head, get = t.put(data, name), t.head(name), t.get(name)
        t.record(
            f"{length} bytes",
            {
                "put": put.outcome,
                "head": head.pick("ContentLength", "AcceptRanges"),
                "get": get.pick("ContentLength", "AcceptRanges"),
                "same content": get.get("Body") == data,
                "same ETag": put.get("ETag") == head.get("ETag") == get.get("ETag"),
                "quoted ETag": put.get("ETag", "")[:1] + put.get("ETag", "")[-1:],
                "Last-Modified is recent": "LastModified" in head.response
                and abs(head["LastModified"].timestamp() - time.time()) < 300,
            },
            {
                "put": "200",
                "head": (fields := {"outcome": "200", "ContentLength": length, "AcceptRanges": "bytes"}),
                "get": fields,
                "same content": True, "same ETag": True, "quoted ETag": '""', "Last-Modified is recent": True,
            },
        )  # fmt: skip


@check
def etags(t):
    first, again, other = t.put(b"one"), t.put(b"one"), t.put(b"two")
    t.record("changes with the content", first["ETag"] != other["ETag"], True)
    t.record("is the same after the same content", first["ETag"] == again["ETag"], True)
    t.record("is the MD5 digest", first["ETag"] == '"f97c5d29941bfb1b2fdab0874906ab82"', True)
    t.record("in a listing", [entry["ETag"] == other["ETag"] for entry in t.listed()], [True])


@check
def overwriting(t):
    t.put(body(70000), Metadata={"old": "1"}, ContentType="text/old")
    t.put(b"new")
    t.record("content", t.content(), digest(b"new"))
    t.record("head", t.head().pick("Metadata", "ContentLength"), {"outcome": "200", "Metadata": {}, "ContentLength": 3})
    t.record("content type", t.head().get("ContentType"), "binary/octet-stream")


@check
def missing_objects(t):
    t.record("get", t.get().outcome, "404 NoSuchKey")
    t.record("head", t.head().outcome, "404")
    t.record("get of a range", t.get(Range="bytes=0-1").outcome, "404 NoSuchKey")
    for operation in ("get_object", "head_object"):
        answer = call(getattr(t.s3, operation), Bucket=f"{t.bucket}-missing", Key="key")
        t.record(f"{operation} in no bucket", answer.outcome, "404" if "head" in operation else "404 NoSuchBucket")
    put = call(t.s3.put_object, Bucket=f"{t.bucket}-missing", Key="key", Body=b"")
    t.record("put_object in no bucket", put.outcome, "404 NoSuchBucket")


@check
def content_headers(t):
    expires = datetime.datetime(2031, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
    headers = {
        "CacheControl": "max-age=60, private", "ContentDisposition": 'attachment; filename="a b.txt"',
        "ContentEncoding": "gzip", "ContentLanguage": "de, en", "ContentType": "text/plain; charset=utf-8",
    }  # fmt: skip
    t.put(**headers, Expires=expires)
    for name, answer in (("head", t.head()), ("get", t.get())):
        t.record(name, answer.pick(*headers), {"outcome": "200", **headers})
        t.record(f"Expires of {name}", answer.get("ExpiresString"), "Mon, 03 Feb 2031 04:05:06 GMT")
    t.put(name="plain", ContentType="")
    t.record("empty content type", t.head("plain").get("ContentType"))


@check
def metadata(t):
    given = {
        "plain": "value",
        "MiXeD-Case": "MiXeD",
        "dash-and_underscore": "1",
        "blanks": "a  b",
        "marks": "<&\">'%20+",
    }
    t.put(Metadata=given)
    shown = {name.lower(): value for name, value in given.items()}
    t.record("head", t.head().pick("Metadata"), {"outcome": "200", "Metadata": shown})
    t.record("get", t.get().pick("Metadata"), {"outcome": "200", "Metadata": shown})
    t.record("put of an empty value", t.put(name="empty", Metadata={"empty": ""}).outcome, "200")
    t.record("an empty value", t.head("empty").get("Metadata"), {"empty": ""})
    for length in (1024, 1900, 2048, 2049, 8000):
        name = f"long-{length}"
        put = t.put(name=name, Metadata={"long": "x" * (length - 4)})
        shown = t.head(name).get("Metadata", {}).get("long", "")
        t.record(f"{length} bytes", {"put": put.outcome, "shown": len(shown)},
                 {"put": "200", "shown": length - 4} if length <= 2048 else {"put": "400 MetadataTooLarge", "shown": 0})  # fmt: skip


def unencoded(value):
    """Returns a header's value without the encoding of RFC 2047, if it has one."""
    words = decode_header(value.encode("latin-1").decode("utf-8", "replace"))
    return "".join(word if isinstance(word, str) else word.decode(charset or "ascii") for word, charset in words)


@check
def unicode_metadata(t):
    path = f"/{t.bucket}/{t.key()}"
    for name, value in (("UTF-8", "grüße ✓"), ("RFC 2047", "=?UTF-8?B?Z3LDvMOfZSDinJM=?=")):
        put = t.wire().request("PUT", path, headers={"x-amz-meta-text": value}, data=b"1")
        got = t.wire().request("GET", path)
        shown = got.headers.get("x-amz-meta-text", "").encode("latin-1").decode("utf-8", "replace")
        t.record(name, {"put": put.outcome, "shown": shown}, {"put": "200", "shown": "=?UTF-8?B?Z3LDvMOfZSDinJM=?="})
    texts = {"long": "é" * 300, "no word": "=?not a word?=", "word and text": "=?UTF-8?B?YQ==?= and =?b?="}
    for name, text in texts.items():
        put = t.wire().request("PUT", path, headers={"x-amz-meta-text": text}, data=b"1")
        shown = t.wire().request("GET", path).headers.get("x-amz-meta-text", "")
        shown = unencoded(shown) if name == "long" else shown
        t.record(name, [put.outcome, shown == text], ["200", True])
    t.wire().request("PUT", path, headers={"x-amz-meta-text": "grüße ✓"}, data=b"1")
    copied = t.at("copy_object", "copy", CopySource={"Bucket": t.bucket, "Key": t.key()})

    def shown_of(name):
        reply = t.wire().request("HEAD", f"/{t.bucket}/{t.key(name)}")
        return unencoded(reply.headers.get("x-amz-meta-text", ""))

    t.record("copy", [copied.outcome, shown_of("object"), shown_of("copy")], ["200", "grüße ✓", "grüße ✓"])
    path, headers = f"/{t.bucket}/{t.key('upload')}", {"x-amz-meta-text": "grüße ✓"}
    upload = t.wire().request("POST", path, [("uploads", "")], headers)
    upload_id = re.search(b"<UploadId>(.*?)</UploadId>", upload.body)
    of = {"UploadId": upload_id[1].decode() if upload_id else "none"}
    part = t.at("upload_part", "upload", **of, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part.get("ETag", "")}]}
    done = t.at("complete_multipart_upload", "upload", **of, MultipartUpload=parts)
    t.record("upload", [done.outcome, shown_of("upload")], ["200", "grüße ✓"])


@check
def storage_classes(t):
    t.put(name="standard")
    t.put(name="ia", StorageClass="STANDARD_IA")
    t.record("of a put", {name: t.head(name).get("StorageClass") for name in ("standard", "ia")},
             {"standard": None, "ia": "STANDARD_IA"})  # fmt: skip
    t.record("in a listing", {t.short(entry["Key"]): entry["StorageClass"] for entry in t.listed()},
             {"standard": "STANDARD", "ia": "STANDARD_IA"})  # fmt: skip
    t.record("of no such name", t.put(name="none", StorageClass="WARM").outcome, "400 InvalidStorageClass")


ODD_KEYS = {
    "blanks": "a b  c ", "leading blank": " a", "plus": "a+b", "percent": "100%", "percent-encoded": "a%20b%2Fc",
    "unicode": "grüße/日本語", "decomposed unicode": "u\u0308", "emoji": "🦭/✉️", "two slashes": "a//b",
    "only slashes": "//", "dot": "./a", "dots": "a/../b", "last dots": "a/..", "trailing slash": "folder/",
    "XML": "&<>\"'&amp;", "query": "a?b=c&versionId=1#d", "backslash": "a\\b", "brackets": "[a]{b}|^`~", "colon": "a:b;c=d,e@f$!*'()",
    "line feed": "a\nb", "carriage return": "a\rb", "tab": "a\tb", "delete": "a\x7fb", "control": "a\x01\x1fb",
    "non-character": "a\uffffb", "astral": "\U0010fffd",
}  # fmt: skip


@check
def odd_keys(t):
    for kind, key in ODD_KEYS.items():
        name, data = f"{kind}/{key}", kind.encode()
        whole = t.key(name)
        outcome = {
            "put": t.put(data, name).outcome,
            "content": t.content(name) == digest(data),
            "head": t.head(name).pick("ContentLength"),
            "listed": [entry["Key"] == whole for entry in t.listed(f"{kind}/")],
            "copy": t.at("copy_object", f"copy of {name}", CopySource={"Bucket": t.bucket, "Key": whole}).outcome,
            "copied": t.content(f"copy of {name}") == digest(data),
            "deleted": [
                [item["Key"] == whole for item in call(
                    t.s3.delete_objects, Bucket=t.bucket, Delete={"Objects": [{"Key": whole}]},
                ).get("Deleted", [])],
                t.head(name).outcome,
            ],
        }  # fmt: skip
        # Elements that XML 1.0 can't express can't be in the list of keys to delete.
        can_delete = kind not in ("control", "non-character")
        s3 = {
            "put": "200", "content": True, "head": {"outcome": "200", "ContentLength": len(data)}, "listed": [True],
            "copy": "200", "copied": True, "deleted": [[True], "404"],
        }  # fmt: skip
        t.record(kind, outcome, s3 if can_delete else None)


@check
def long_keys(t):
    for length in (255, 256, 1024, 1025):
        name = "k" * (length - len(t.prefix))
        t.record(f"put of {length} bytes", t.put(name=name).outcome, "200" if length <= 1024 else "400 KeyTooLongError")
        t.record(f"head of {length} bytes", t.head(name).outcome, "200" if length <= 1024 else None)
    name = "ü/" * ((1024 - len(t.prefix)) // 3)
    t.record(
        "1024 bytes of two-byte letters",
        [t.put(name=name).outcome, t.content(name) == digest(b"content")],
        ["200", True],
    )


@check
def ranges(t):
    length = 100_000
    data = body(length, "ranges")
    t.put(data)
    for given, first, last in (
        ("0-0", 0, 0), ("0-", 0, length - 1), ("0-99999", 0, length - 1), ("99999-99999", 99999, 99999),
        ("50000-", 50000, 99999), ("-1", 99999, 99999), ("-100", 99900, 99999), ("-200000", 0, 99999),
        (f"{CHUNK - 1}-{CHUNK}", CHUNK - 1, CHUNK), (f"{CHUNK}-{2 * CHUNK - 1}", CHUNK, 2 * CHUNK - 1),
        ("16000-49500", 16000, 49500), ("99000-200000", 99000, 99999), ("0-18446744073709551615", 0, 99999),
    ):  # fmt: skip
        answer = t.get(Range=f"bytes={given}")
        t.record(
            f"bytes={given}",
            [answer.outcome, answer.get("ContentRange"), answer.get("ContentLength"),
             answer.get("Body") == data[first : last + 1]],
            ["206", f"bytes {first}-{last}/{length}", last - first + 1, True],
        )  # fmt: skip
    for given in ("100000-", "100000-100001", "-0"):
        t.record(f"bytes={given}", t.get(Range=f"bytes={given}").outcome, "416 InvalidRange")
    for given in ("bytes=5-4", "bytes=0-1,5-6", "items=0-1", "bytes=a-b"):
        answer = t.get(Range=given)
        t.record(given, [answer.outcome, answer.get("ContentLength")], ["200", length])
    answer = t.head(Range="bytes=10-19")
    t.record("head", answer.pick("ContentLength", "ContentRange"),
             {"outcome": "206", "ContentLength": 10, "ContentRange": f"bytes 10-19/{length}"})  # fmt: skip
    t.record("head beyond the end", t.head(Range="bytes=100000-").outcome, "416")


@check
def ranges_of_small_objects(t):
    t.put(b"", "empty")
    t.put(b"x", "one")
    for name, given, s3 in (
        ("empty", "0-", "416 InvalidRange"), ("empty", "0-0", "416 InvalidRange"), ("empty", "-1", "416 InvalidRange"),
        ("one", "0-", "206"), ("one", "0-100", "206"), ("one", "-5", "206"), ("one", "1-", "416 InvalidRange"),
    ):  # fmt: skip
        t.record(f"{name} bytes={given}", t.get(name, Range=f"bytes={given}").outcome, s3)


@check
def part_numbers(t):
    t.put(body(20000))
    t.record("get 1", t.get(PartNumber=1).pick("ContentLength", "ContentRange", "PartsCount"),
             {"outcome": "206", "ContentLength": 20000, "ContentRange": "bytes 0-19999/20000"})  # fmt: skip
    t.record(
        "head 1", t.head(PartNumber=1).pick("ContentLength", "PartsCount"), {"outcome": "206", "ContentLength": 20000}
    )
    t.record("get 2", t.get(PartNumber=2).outcome, "416 InvalidPartNumber")
    t.record("get with a range", t.get(PartNumber=1, Range="bytes=0-1").outcome, "400 InvalidRequest")


@check
def request_ids(t):
    for name, path in (("missing object", t.key()), ("object of the gateway's own", ".sealwax/x")):
        reply = t.wire().request("GET", f"/{t.bucket}/{path}")
        named = re.search(rb"<RequestId>([^<]+)</RequestId>", reply.body)
        t.record(f"{name}: the same in body and headers", bool(named) and named[1].decode() == reply.headers.get("x-amz-request-id"), True)


@check
def conditional_reads(t):
    etag = t.put(body(20000))["ETag"]
    now = t.head()["LastModified"]
    hour = datetime.timedelta(hours=1)
    wrong = '"00000000000000000000000000000000"'
    failed, unchanged = "412 PreconditionFailed", "304"
    for name, condition, s3 in (
        ("If-Match right", {"IfMatch": etag}, "200"),
        ("If-Match without quotation marks", {"IfMatch": etag.strip('"')}, "200"),
        ("If-Match wrong", {"IfMatch": wrong}, failed),
        ("If-Match any", {"IfMatch": "*"}, "200"),
        ("If-None-Match right", {"IfNoneMatch": etag}, unchanged),
        ("If-None-Match wrong", {"IfNoneMatch": wrong}, "200"),
        ("If-None-Match any", {"IfNoneMatch": "*"}, unchanged),
        ("If-Modified-Since before", {"IfModifiedSince": now - hour}, "200"),
        ("If-Modified-Since the same", {"IfModifiedSince": now}, unchanged),
        ("If-Unmodified-Since before", {"IfUnmodifiedSince": now - hour}, failed),
        ("If-Unmodified-Since the same", {"IfUnmodifiedSince": now}, "200"),
        ("If-Match right, If-Unmodified-Since before", {"IfMatch": etag, "IfUnmodifiedSince": now - hour}, "200"),
        (
            "If-None-Match right, If-Modified-Since before",
            {"IfNoneMatch": etag, "IfModifiedSince": now - hour},
            unchanged,
        ),
        ("If-None-Match wrong, If-Modified-Since the same", {"IfNoneMatch": wrong, "IfModifiedSince": now}, None),
    ):
        t.record(f"get {name}", t.get(**condition).outcome, s3)
        t.record(f"head {name}", t.head(**condition).outcome, s3 and s3[:3])
    for name, condition in (("If-None-Match", {"IfNoneMatch": etag}), ("If-Modified-Since", {"IfModifiedSince": now})):
        t.record(f"get {name}: ETag", t.get(**condition).headers.get("etag") == etag, True)
        t.record(f"head {name}: ETag", t.head(**condition).headers.get("etag") == etag, True)
    t.record("range If-Match right", t.get(IfMatch=etag, Range="bytes=0-1").outcome, "206")
    t.record("range If-Match wrong", t.get(IfMatch=wrong, Range="bytes=0-1").outcome, failed)
    t.record("range beyond the end, If-None-Match right", t.get(IfNoneMatch=etag, Range="bytes=20000-").outcome)
    t.record("If-Match on nothing", t.get("missing", IfMatch=etag).outcome, "404 NoSuchKey")


@check
def conditional_writes(t):
    failed = "412 PreconditionFailed"
    wrong = '"00000000000000000000000000000000"'
    t.record("If-None-Match on nothing", t.put(b"1", IfNoneMatch="*").outcome, "200")
    t.record("If-None-Match on an object", t.put(b"2", IfNoneMatch="*").outcome, failed)
    t.record("content after it", t.content(), digest(b"1"))
    t.record("If-Match wrong", t.put(b"3", IfMatch=wrong).outcome, failed)
    t.record("content after that", t.content(), digest(b"1"))
    t.record("If-Match right", t.put(b"4", IfMatch=t.head()["ETag"]).outcome, "200")
    t.record("content at last", t.content(), digest(b"4"))
    t.record("If-Match on nothing", t.put(name="missing", IfMatch=wrong).outcome, "404 NoSuchKey")
    t.record("If-None-Match with a tag", t.put(name="tag", IfNoneMatch=wrong).outcome, "501 NotImplemented")
    t.record("long body, If-None-Match on an object", t.put(body(9 * MIB), IfNoneMatch="*").outcome, failed)
    t.record("content after the long body", t.content(), digest(b"4"))


@check
def response_overrides(t):
    t.put(ContentType="text/plain")
    given = {
        "ResponseCacheControl": "no-cache", "ResponseContentDisposition": 'attachment; filename="a.txt"',
        "ResponseContentEncoding": "identity", "ResponseContentLanguage": "fr", "ResponseContentType": "text/html",
    }  # fmt: skip
    shown = {name.removeprefix("Response"): value for name, value in given.items()}
    t.record("get", t.get(**given).pick(*shown), {"outcome": "200", **shown})
    t.record("range", t.get(**given, Range="bytes=0-1").pick(*shown), {"outcome": "206", **shown})
    expires = datetime.datetime(2031, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
    t.record("expires", t.get(ResponseExpires=expires).get("ExpiresString"), "Mon, 03 Feb 2031 04:05:06 GMT")


@check
def presigned(t):
    t.put(b"presigned")
    wire, path = t.wire(), f"/{t.bucket}/{t.key()}"

    of = t.settings
    # boto3 presigns with Signature Version 2 unless told otherwise.
    s3v4 = client(of.endpoint, of.access_key, of.secret_key, of.region, signature_version="s3v4")

    def sent(method, operation, data=b"", headers=(), s3=s3v4, **parameters):
        url = s3.generate_presigned_url(
            operation, Params={"Bucket": t.bucket, "Key": t.key(), **parameters}, ExpiresIn=300
        )
        parts = urlsplit(url)
        return wire.sent(method, parts.path, parse_qsl(parts.query, keep_blank_values=True),
                         {"host": parts.netloc, "content-length": str(len(data)), **dict(headers)}, data)  # fmt: skip

    reply = sent("GET", "get_object")
    t.record("get", [reply.outcome, digest(reply.body)], ["200", digest(b"presigned")])
    reply = sent("GET", "get_object", headers={"range": "bytes=3-5"})
    t.record("get of a range", [reply.outcome, digest(reply.body)], ["206", digest(b"sig")])
    reply = sent("GET", "get_object", ResponseContentType="text/csv")
    t.record("get with an override", reply.headers.get("content-type"), "text/csv")
    t.record("head", sent("HEAD", "head_object").outcome, "200")
    t.record("Signature Version 2", sent("GET", "get_object", s3=t.s3).outcome)
    t.record("put", [sent("PUT", "put_object", body(100_000)).outcome, t.content()], ["200", digest(body(100_000))])
    put = sent("PUT", "put_object", b"typed", {"content-type": "text/csv"}, ContentType="text/csv")
    t.record("put with a signed type", [put.outcome, t.head().get("ContentType")], ["200", "text/csv"])
    put = sent("PUT", "put_object", b"other", {"content-type": "text/html"}, ContentType="text/csv")
    t.record(
        "put with another type than signed", [put.outcome, t.content()], ["403 SignatureDoesNotMatch", digest(b"typed")]
    )

    def own(method, query, path=path, **parameters):
        return wire.plain(method, path, query, **parameters).outcome

    t.record("own signature", own("GET", wire.presigned("GET", path, 300)), "200")
    t.record("expired", own("GET", t.wire(clock=-3600).presigned("GET", path, 60)), "403 AccessDenied")
    t.record("put expired", own("PUT", t.wire(clock=-3600).presigned("PUT", path, 60), data=b"3"), "403 AccessDenied")
    t.record("not yet valid", own("GET", t.wire(clock=3600).presigned("GET", path, 60)), "403 AccessDenied")
    too_long = "400 AuthorizationQueryParametersError"
    t.record("longer than 7 days", own("GET", wire.presigned("GET", path, 604801)), too_long)
    query = wire.presigned("GET", path, 300)
    forged = "403 SignatureDoesNotMatch"
    t.record("for another key", own("GET", query, path=path + "2"), forged)
    t.put(name="deleted")
    other = f"/{t.bucket}/{t.key('deleted')}"
    query = wire.presigned("GET", other, 300)
    t.record("for another method", [own("DELETE", query, path=other), t.head("deleted").outcome], [forged, "200"])
    query = wire.presigned("GET", path, 300)
    longer = [(name, "3000" if name == "X-Amz-Expires" else value) for name, value in query]
    t.record("with another expiry", own("GET", longer), forged)
    t.record("with another parameter", own("GET", [*query, ("response-content-type", "text/html")]), forged)
    t.record("without a signature", own("GET", query[:-1]), too_long)
    t.record("of another secret", own("GET", t.wire(secret_key="0" * 20).presigned("GET", path, 300)), forged)
    t.record("content at last", t.content(), digest(b"typed"))


@check
def tagging(t):
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b c", "Value": "x+y/z @:=_-"}]

    def shown(name="object"):
        answer = t.at("get_object_tagging", name)
        pairs = {tag["Key"]: tag["Value"] for tag in answer.get("TagSet", [])}
        return pairs if answer.status == 200 else answer.outcome

    t.put(Tagging="a=1&b%20c=2%2B3")
    t.record("of a put", shown(), {"a": "1", "b c": "2+3"})
    t.record("count in a get", t.get().get("TagCount"), 2)
    t.record("count in a head", t.head().get("TagCount"), 2)
    t.record("put", [t.at("put_object_tagging", Tagging={"TagSet": tags}).outcome, shown()],
             ["200", {tag["Key"]: tag["Value"] for tag in tags}])  # fmt: skip
    t.record("content after it", t.content(), digest(b"content"))
    t.record("delete", [t.at("delete_object_tagging").outcome, shown()], ["204", {}])
    t.record("count without tags", t.get().get("TagCount"))
    many = [{"Key": str(n), "Value": "x"} for n in range(11)]
    t.record("11 tags", t.at("put_object_tagging", Tagging={"TagSet": many}).outcome, "400 BadRequest")
    t.record(
        "one name twice", t.at("put_object_tagging", Tagging={"TagSet": [tags[0], tags[0]]}).outcome, "400 InvalidTag"
    )
    t.record("too long a name",
             t.at("put_object_tagging", Tagging={"TagSet": [{"Key": "k" * 129, "Value": ""}]}).outcome, "400 InvalidTag")  # fmt: skip
    t.record("of no object", shown("missing"), "404 NoSuchKey")
    t.record(
        "put to no object", t.at("put_object_tagging", "missing", Tagging={"TagSet": tags}).outcome, "404 NoSuchKey"
    )
    t.put(name="again", Tagging="a=1")
    t.put(name="again")
    t.record("after an overwrite", shown("again"), {})
