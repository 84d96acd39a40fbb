"""Multipart uploads, and boto3's transfer managers."""

import io
from concurrent.futures import ThreadPoolExecutor

from boto3.s3.transfer import TransferConfig
from harness import ALGORITHMS, KIB, MIB, Failed, body, call, check, checksum, composite, digest
from wire import CHUNKED_TRAILER, UNSIGNED_TRAILER

LEAST = 5 * MIB
NONE = "404 NoSuchUpload"
WRONG = '"00000000000000000000000000000000"'


class Upload:
    """A multipart upload of a check, and the parts that were sent."""

    def __init__(self, t, name="object", **parameters):
        self.t, self.name, self.etags, self.data = t, name, {}, {}
        self.created = t.at("create_multipart_upload", name, **parameters)
        if self.created.status != 200:
            raise Failed(f"create_multipart_upload of {name}: {self.created.outcome}")
        self.id = self.created["UploadId"]

    def part(self, number, data, **parameters):
        answer = self.t.at("upload_part", self.name, UploadId=self.id, PartNumber=number, Body=data, **parameters)
        if answer.status == 200:
            self.etags[number], self.data[number] = answer["ETag"], data
        return answer

    def copy(self, number, source, **parameters):
        return self.t.at(
            "upload_part_copy", self.name, UploadId=self.id, PartNumber=number, CopySource=source, **parameters
        )

    def parts(self, numbers=None):
        return [{"PartNumber": n, "ETag": self.etags[n]} for n in (numbers or sorted(self.etags))]

    def complete(self, parts=None, **parameters):
        parts = self.parts() if parts is None else parts
        return self.t.at(
            "complete_multipart_upload", self.name, UploadId=self.id, MultipartUpload={"Parts": parts}, **parameters
        )

    def abort(self):
        return self.t.at("abort_multipart_upload", self.name, UploadId=self.id)

    def listed(self, **parameters):
        return self.t.at("list_parts", self.name, UploadId=self.id, **parameters)

    def whole(self, numbers=None):
        return b"".join(self.data[n] for n in (numbers or sorted(self.data)))


def finished(upload, numbers=None, **parameters):
    """The outcomes of the completion, and of the object after it."""
    answer, t = upload.complete(upload.parts(numbers), **parameters), upload.t
    head, whole = t.head(upload.name), upload.whole(numbers)
    return [
        answer.outcome,
        t.content(upload.name) == digest(whole),
        head.get("ContentLength") == len(whole),
        answer.get("ETag") == head.get("ETag"),
        "-" in head.get("ETag", ""),
    ]


RIGHT = ["200", True, True, True, True]


@check
def orders_of_parts(t):
    for name, order in (
        ("one part", [1]), ("two parts", [1, 2]), ("three parts, reversed", [3, 2, 1]), ("three parts, mixed", [2, 3, 1]),
        ("gaps", [2, 700, 10_000]), ("gaps, reversed", [9000, 17, 2]),
    ):  # fmt: skip
        upload = Upload(t, name)
        sent = [
            upload.part(n, body(100_000 if n == max(order) else LEAST + (n % 3) * 1000, f"{name} {n}")).outcome
            for n in order
        ]
        t.record(name, [sent, finished(upload)], [["200"] * len(order), RIGHT])
    t.record(
        "sizes in a listing",
        {t.short(it["Key"]): it["Size"] == t.head(t.short(it["Key"])).get("ContentLength") for it in t.listed()},
    )
    edge = t.get("two parts", Range=f"bytes={LEAST + 990}-{LEAST + 1010}")
    whole = body(LEAST + 1000, "two parts 1") + body(100_000, "two parts 2")
    t.record("range over the parts' edge", edge.get("Body") == whole[LEAST + 990 : LEAST + 1011], True)


@check
def short_uploads(t):
    for name, data in (("empty part", b""), ("one byte", b"x"), ("one chunk", body(16 * KIB))):
        upload = Upload(t, name)
        upload.part(1, data)
        t.record(name, finished(upload), RIGHT)
    upload = Upload(t, "empty last part")
    upload.part(1, body(LEAST))
    upload.part(2, b"")
    t.record("empty last part", finished(upload), RIGHT)


@check
def reads_of_parts(t):
    upload = Upload(t)
    upload.part(1, body(LEAST + 1000, "1"))
    upload.part(2, body(100_000, "2"))
    upload.complete()
    whole = upload.whole()
    for number, at, length in ((1, 0, LEAST + 1000), (2, LEAST + 1000, 100_000)):
        answer = t.get(PartNumber=number)
        t.record(f"get {number}", [answer.pick("ContentLength", "PartsCount"), answer.get("Body") == whole[at : at + length]],
                 [{"outcome": "206", "ContentLength": length, "PartsCount": 2}, True])  # fmt: skip
    t.record("get 3", t.get(PartNumber=3).outcome, "416 InvalidPartNumber")
    t.record("head 1", t.head(PartNumber=1).pick("ContentLength", "PartsCount"),
             {"outcome": "206", "ContentLength": LEAST + 1000, "PartsCount": 2})  # fmt: skip


@check
def attributes_of_uploads(t):
    given = {
        "ContentType": "text/csv",
        "CacheControl": "no-cache",
        "ContentEncoding": "gzip",
        "ContentDisposition": "inline",
        "Metadata": {"a": "B c"},
    }
    expires = "Mon, 03 Feb 2031 04:05:06 GMT"
    upload = Upload(t, **given, Expires=expires, Tagging="t=1", StorageClass="STANDARD_IA")
    upload.part(1, b"content")
    upload.complete()
    t.record("head", t.head().pick(*given, "StorageClass"), {"outcome": "200", **given, "StorageClass": "STANDARD_IA"})
    t.record("Expires", t.head().get("ExpiresString"), expires)
    t.record("tags", t.at("get_object_tagging").get("TagSet"), [{"Key": "t", "Value": "1"}])
    copied = t.at("copy_object", "copy", CopySource={"Bucket": t.bucket, "Key": t.key()})
    t.record(
        "copy",
        [copied.outcome, t.head("copy").pick(*given), t.content("copy") == t.content()],
        ["200", {"outcome": "200", **given}, True],
    )


@check
def parallel_parts(t):
    upload = Upload(t)
    sizes = {n: LEAST + n for n in range(1, 8)} | {8: 12345}
    with ThreadPoolExecutor(4) as pool:
        sent = list(
            pool.map(lambda n: upload.part(n, body(sizes[n], str(n))).outcome, sorted(sizes, key=lambda n: -n % 5))
        )
    t.record("parts", sent, ["200"] * 8)
    t.record("whole", finished(upload), RIGHT)


@check
def parallel_uploads(t):
    def one(number):
        upload = Upload(t)
        sent = [upload.part(n, body(LEAST if n < 3 else 1000, f"{number} {n}")).outcome for n in (2, 1, 3)]
        return upload, sent

    with ThreadPoolExecutor(3) as pool:
        uploads = list(pool.map(one, range(3)))
    t.record("parts", [sent for _, sent in uploads], [["200"] * 3] * 3)
    for number, (upload, _) in enumerate(uploads):
        t.record(f"completion {number + 1}", finished(upload), RIGHT)


@check
def resent_parts(t):
    first, other, last = body(LEAST, "first"), body(LEAST + 5, "other"), b"last"
    upload = Upload(t, "same")
    etags = [upload.part(1, first).get("ETag") for _ in range(2)]
    upload.part(2, last)
    etags.append(upload.part(1, first).get("ETag"))
    t.record("same bytes, same ETag", len(set(etags)), 1)
    t.record("same bytes", finished(upload), RIGHT)

    upload = Upload(t, "other")
    one = upload.part(1, first).get("ETag")
    upload.part(2, last)
    two = upload.part(1, other).get("ETag")
    t.record("other bytes, other ETag", one != two, True)
    t.record("other bytes", finished(upload), RIGHT)

    upload = Upload(t, "old ETag")
    old = upload.part(1, first).get("ETag")
    upload.part(2, last)
    upload.part(1, other)
    answer = upload.complete([{"PartNumber": 1, "ETag": old}, {"PartNumber": 2, "ETag": upload.etags[2]}])
    t.record("completion with the replaced part's ETag", answer.outcome, "400 InvalidPart")
    t.record("completion with the new one after it", finished(upload), RIGHT)

    upload = Upload(t, "last")
    for data in (b"1", b"22", b"333"):
        upload.part(1, data)
    t.record("the only part three times", finished(upload), RIGHT)

    upload = Upload(t, "failed")
    upload.part(1, first)
    wrong = upload.t.at(
        "upload_part", "failed", UploadId=upload.id, PartNumber=1, Body=other, ChecksumSHA256=checksum("SHA256", first)
    )
    t.record("again with a wrong checksum", wrong.outcome, "400 BadDigest")
    t.record("after it", finished(upload), RIGHT)


@check
def omitted_parts(t):
    for name, left in (("first", [2, 3]), ("middle", [1, 3]), ("last", [1, 2]), ("all but one", [2])):
        upload = Upload(t, name)
        for n in (1, 2, 3):
            upload.part(n, body(LEAST, f"{name} {n}"))
        t.record(name, finished(upload, left), RIGHT)


@check
def wrong_completions(t):
    for name, wrong, s3 in (
        ("wrong ETag", lambda one, two: [one, two | {"ETag": WRONG}], "400 InvalidPart"),
        ("empty ETag", lambda one, two: [one, two | {"ETag": '""'}], None),
        ("ETag of another part", lambda one, two: [one, two | {"ETag": one["ETag"]}], "400 InvalidPart"),
        ("missing part", lambda one, two: [one, {"PartNumber": 3, "ETag": two["ETag"]}], "400 InvalidPart"),
        ("wrong order", lambda one, two: [two, one], "400 InvalidPartOrder"),
        ("one part twice", lambda one, two: [one, one, two], "400 InvalidPartOrder"),
        ("no parts", lambda one, two: [], "400 MalformedXML"),
    ):
        upload = Upload(t, name)
        upload.part(1, body(LEAST, name))
        upload.part(2, b"last")
        t.record(name, [upload.complete(wrong(*upload.parts())).outcome, t.head(name).outcome], s3 and [s3, "404"])
        t.record(f"{name}: right one after it", finished(upload), RIGHT)
    upload = Upload(t, "unquoted")
    upload.part(1, b"x")
    t.record(
        "ETag without quotation marks",
        upload.complete([{"PartNumber": 1, "ETag": upload.etags[1].strip('"')}]).outcome,
        "200",
    )


@check
def small_parts(t):
    upload = Upload(t)
    upload.part(1, body(LEAST - 1))
    upload.part(2, b"last")
    t.record("completion", upload.complete().outcome, "400 EntityTooSmall")
    t.record("object after it", t.head().outcome, "404")
    upload.part(1, body(LEAST))
    t.record("after a longer part", finished(upload), RIGHT)


@check
def part_numbers_of_uploads(t):
    upload = Upload(t)
    for number, s3 in ((0, "400 InvalidArgument"), (10_001, "400 InvalidArgument"), (10_000, "200")):
        t.record(str(number), upload.part(number, b"x").outcome, s3)


def later(t, upload, numbers=(1,)):
    """The outcomes of each call after the upload's end."""
    return {
        "upload_part": t.at("upload_part", upload.name, UploadId=upload.id, PartNumber=1, Body=b"x").outcome,
        "list_parts": upload.listed().outcome,
        "complete with other parts": upload.complete([{"PartNumber": 7, "ETag": WRONG}]).outcome,
        "abort": upload.abort().outcome,
    }


@check
def after_completion(t):
    upload = Upload(t)
    upload.part(1, body(LEAST))
    upload.part(2, b"x")
    first, again = upload.complete(), upload.complete()
    t.record("completion twice", [first.outcome, again.outcome])
    t.record("content", t.content() == digest(upload.whole()), True)
    for name, value in later(t, upload).items():
        t.record(name, value, NONE if name in ("upload_part", "list_parts") else None)
    t.record("content after it", t.content() == digest(upload.whole()), True)
    uploads = call(t.s3.list_multipart_uploads, Bucket=t.bucket, Prefix=t.prefix)
    t.record("uploads", [t.short(it["Key"]) for it in uploads.get("Uploads", [])], [])


@check
def aborts(t):
    upload = Upload(t)
    upload.part(1, body(LEAST))
    upload.part(2, b"x")
    t.record("abort", upload.abort().outcome, "204")
    t.record("object", t.head().outcome, "404")
    t.record("completion after it", upload.complete().outcome, NONE)
    for name, value in later(t, upload).items():
        t.record(f"{name} after it", value, NONE)
    uploads = call(t.s3.list_multipart_uploads, Bucket=t.bucket, Prefix=t.prefix)
    t.record("uploads", [t.short(it["Key"]) for it in uploads.get("Uploads", [])], [])
    t.put(b"kept", "kept")
    upload = Upload(t, "kept")
    upload.part(1, b"x")
    upload.abort()
    t.record("object under the same key", t.content("kept"), digest(b"kept"))
    unused = Upload(t, "unused")
    t.record("abort without parts", unused.abort().outcome, "204")


@check
def no_such_uploads(t):
    real = Upload(t)
    real.part(1, b"x")
    for name, key, upload_id in (("id", "object", "nonsense"), ("id of another key", "other", real.id)):
        of = {"UploadId": upload_id}
        t.record(f"{name}: upload_part", t.at("upload_part", key, **of, PartNumber=1, Body=b"x").outcome, NONE)
        t.record(f"{name}: list_parts", t.at("list_parts", key, **of).outcome, NONE)
        t.record(f"{name}: abort", t.at("abort_multipart_upload", key, **of).outcome, NONE)
        parts = {"Parts": real.parts()}
        t.record(f"{name}: complete", t.at("complete_multipart_upload", key, **of, MultipartUpload=parts).outcome, NONE)
    t.record("the real one after them", finished(real), RIGHT)
    created = call(t.s3.create_multipart_upload, Bucket=f"{t.bucket}-missing", Key="key")
    t.record("no such bucket", created.outcome, "404 NoSuchBucket")


@check
def lists_of_parts(t):
    upload = Upload(t)
    t.record("no parts", upload.listed().pick("Parts", "IsTruncated"), {"outcome": "200", "IsTruncated": False})
    sizes = {1: LEAST, 2: LEAST + 1, 4: 70_000, 10: 1}
    for n in (4, 1, 10, 2):
        upload.part(n, body(sizes[n], str(n)))
    answer = upload.listed()
    parts = answer.get("Parts", [])
    t.record("sizes", {it["PartNumber"]: it["Size"] for it in parts}, sizes)
    t.record("ETags", [it["ETag"] == upload.etags[it["PartNumber"]] for it in parts], [True] * 4)
    t.record("fields", answer.pick("IsTruncated", "MaxParts", "StorageClass"),
             {"outcome": "200", "IsTruncated": False, "MaxParts": 1000, "StorageClass": "STANDARD"})  # fmt: skip
    t.record("key and id", [t.short(answer.get("Key")), answer.get("UploadId") == upload.id], ["object", True])
    pages, marker = [], 0
    while marker is not None and len(pages) < 5:
        answer = upload.listed(MaxParts=3, PartNumberMarker=marker)
        pages.append([it["PartNumber"] for it in answer.get("Parts", [])])
        marker = answer.get("NextPartNumberMarker") if answer.get("IsTruncated") else None
    t.record("pages", pages, [[1, 2, 4], [10]])
    t.record("after a part", [it["PartNumber"] for it in upload.listed(PartNumberMarker=2).get("Parts", [])], [4, 10])
    t.record("at most 0", [it["PartNumber"] for it in upload.listed(MaxParts=0).get("Parts", [])], [])
    upload.part(2, b"shorter")
    t.record(
        "after another part 2", sorted(it["Size"] for it in upload.listed().get("Parts", [])), [1, 7, 70_000, LEAST]
    )
    upload.abort()


@check
def lists_of_uploads(t):
    names = ["a", "a", "b/1", "b/2", "c d+ü"]
    uploads = [Upload(t, name) for name in names]
    for upload in uploads:
        upload.part(1, b"x")

    def listed(prefix="", **parameters):
        answer = call(t.s3.list_multipart_uploads, Bucket=t.bucket, Prefix=t.prefix + prefix, **parameters)
        keys = [t.short(it["Key"]) for it in answer.get("Uploads", [])]
        return answer, [sorted(keys), [t.short(it["Prefix"]) for it in answer.get("CommonPrefixes", [])]], keys

    answer, found, order = listed()
    t.record("all", found, [names, []])
    t.record("order", order == names, True)
    t.record("ids", {it["UploadId"] for it in answer.get("Uploads", [])} == {it.id for it in uploads}, True)
    t.record("prefix", listed("b/")[1], [["b/1", "b/2"], []])
    t.record("delimiter", listed(Delimiter="/")[1], [["a", "a", "c d+ü"], ["b/"]])
    t.record("delimiter and prefix", listed("b/", Delimiter="/")[1], [["b/1", "b/2"], []])
    t.record("prefix of nothing", listed("nothing")[1], [[], []])
    pages, more = [], {}
    while len(pages) < 10:
        answer, _, found = listed(MaxUploads=1, **more)
        pages.append(found)
        if not answer.get("IsTruncated"):
            break
        more = {"KeyMarker": answer.get("NextKeyMarker", ""), "UploadIdMarker": answer.get("NextUploadIdMarker", "")}
    t.record("pages", sorted(pages), [[name] for name in names])
    t.record("after a key", listed(KeyMarker=t.key("b/1"))[1], [["b/2", "c d+ü"], []])
    t.record("objects meanwhile", t.listed(), [])
    for upload in uploads:
        upload.abort()
    t.record("after their aborts", listed()[1], [[], []])


@check
def copied_parts(t):
    source, data = {"Bucket": t.bucket, "Key": t.key("source")}, body(11 * MIB, "source")
    t.put(data, "source")
    etag = t.head("source")["ETag"]
    upload = Upload(t)
    for n, given, first, last in (
        (1, "bytes=0-5242879", 0, 5242879), (3, "bytes=11534000-11534335", 11534000, 11534335),
        (2, "bytes=5242880-10485777", 5242880, 10485777),
    ):  # fmt: skip
        answer = upload.copy(n, source, CopySourceRange=given)
        result = answer.get("CopyPartResult", {})
        t.record(f"part {n}", [answer.outcome, sorted(result)[:2]], ["200", ["ETag", "LastModified"]])
        upload.etags[n], upload.data[n] = result.get("ETag"), data[first : last + 1]
    t.record("sizes", [it["Size"] for it in upload.listed().get("Parts", [])], [len(upload.data[n]) for n in (1, 2, 3)])
    t.record(
        "ETags", [it["ETag"] == upload.etags[it["PartNumber"]] for it in upload.listed().get("Parts", [])], [True] * 3
    )
    t.record("whole", finished(upload), RIGHT)

    upload = Upload(t, "mixed")
    upload.part(1, body(LEAST, "mixed"))
    upload.etags[2], upload.data[2] = upload.copy(2, source).get("CopyPartResult", {}).get("ETag"), data
    upload.part(3, b"end")
    t.record("with uploaded parts", finished(upload), RIGHT)

    upload = Upload(t, "wrong")
    for name, given, s3 in (
        ("range beyond the end", "bytes=11000000-11534336", "400 InvalidRange"), ("open range", "bytes=5-", "400 InvalidArgument"),
        ("suffix", "bytes=-5", "400 InvalidArgument"), ("no range", "5-6", "400 InvalidArgument"),
    ):  # fmt: skip
        t.record(
            name, upload.copy(1, source, CopySourceRange=given).outcome, None if name == "range beyond the end" else s3
        )
    t.record("missing source", upload.copy(1, source | {"Key": t.key("missing")}).outcome, "404 NoSuchKey")
    t.record("If-Match wrong", upload.copy(1, source, CopySourceIfMatch=WRONG).outcome, "412 PreconditionFailed")
    t.record(
        "If-None-Match right", upload.copy(1, source, CopySourceIfNoneMatch=etag).outcome, "412 PreconditionFailed"
    )
    t.record("If-Match right", upload.copy(1, source, CopySourceIfMatch=etag).outcome, "200")
    missing = t.at("upload_part_copy", UploadId="nonsense", PartNumber=1, CopySource=source)
    t.record("no such upload", missing.outcome, NONE)
    upload.abort()


@check
def checksums_of_uploads(t):
    parts = [body(LEAST, "one"), body(70_000, "two")]
    whole = b"".join(parts)
    for algorithm, kind in (
        ("CRC32", "COMPOSITE"), ("CRC32", "FULL_OBJECT"), ("CRC32C", "COMPOSITE"), ("CRC32C", "FULL_OBJECT"),
        ("CRC64NVME", "FULL_OBJECT"), ("SHA1", "COMPOSITE"), ("SHA256", "COMPOSITE"),
    ):  # fmt: skip
        name, field = f"{algorithm} {kind}", f"Checksum{algorithm}"
        expected = composite(algorithm, parts) if kind == "COMPOSITE" else checksum(algorithm, whole)
        upload = Upload(t, name, ChecksumAlgorithm=algorithm, ChecksumType=kind)
        t.record(f"{name}: create", upload.created.pick("ChecksumAlgorithm", "ChecksumType"),
                 {"outcome": "200", "ChecksumAlgorithm": algorithm, "ChecksumType": kind})  # fmt: skip
        sent = [upload.part(n, data, ChecksumAlgorithm=algorithm).pick(field) for n, data in enumerate(parts, 1)]
        t.record(f"{name}: parts", sent, [{"outcome": "200", field: checksum(algorithm, data)} for data in parts])
        listed = upload.parts()
        for part, data in zip(listed, parts, strict=True):
            part[field] = checksum(algorithm, data)
        forged = [listed[0], listed[1] | {field: checksum(algorithm, b"forged")}]
        t.record(f"{name}: wrong checksum of a part", upload.complete(forged).outcome)
        right = upload.complete(listed, **{field: expected, "ChecksumType": kind})
        t.record(
            f"{name}: completion",
            right.pick(field, "ChecksumType"),
            {"outcome": "200", field: expected, "ChecksumType": kind},
        )
        t.record(f"{name}: head", t.head(name, ChecksumMode="ENABLED").pick(field, "ChecksumType"),
                 {"outcome": "200", field: expected, "ChecksumType": kind})  # fmt: skip
        t.record(f"{name}: content", t.content(name) == digest(whole), True)
        name = f"{name} wrong"
        upload = Upload(t, name, ChecksumAlgorithm=algorithm, ChecksumType=kind)
        upload.part(1, b"part", ChecksumAlgorithm=algorithm)
        given = checksum(algorithm, b"forged") + ("-1" if kind == "COMPOSITE" else "")
        one = upload.parts()[0] | {field: checksum(algorithm, b"part")}
        wrong = upload.complete([one], **{field: given, "ChecksumType": kind})
        t.record(name, [wrong.outcome, t.head(name).outcome], ["400 BadDigest", "404"])


@check
def checksums_that_do_not_fit(t):
    for algorithm, kind in (("SHA256", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE")):
        created = t.at("create_multipart_upload", ChecksumAlgorithm=algorithm, ChecksumType=kind)
        t.record(f"{algorithm} {kind}", created.outcome, "400 InvalidRequest")
    upload = Upload(t, ChecksumAlgorithm="SHA256")
    t.record(
        "part with another algorithm", upload.part(1, b"x", ChecksumAlgorithm="CRC32").outcome, "400 InvalidRequest"
    )
    wrong = t.at("upload_part", UploadId=upload.id, PartNumber=1, Body=b"x", ChecksumSHA256=checksum("SHA256", b"y"))
    t.record("part with a wrong checksum", wrong.outcome, "400 BadDigest")
    upload.part(1, body(LEAST), ChecksumAlgorithm="SHA256")
    t.record("completion without the parts' checksums", upload.complete().outcome, "400 InvalidRequest")
    upload = Upload(t, "size")
    upload.part(1, b"12345")
    t.record("wrong length of the whole", upload.complete(MpuObjectSize=6).outcome, "400 InvalidRequest")
    t.record("right length of the whole", finished(upload, MpuObjectSize=5), RIGHT)


@check
def chunked_parts(t):
    upload, data = Upload(t), body(LEAST, "chunked")
    query = [("partNumber", "1"), ("uploadId", upload.id)]
    for kind, payload in (("unsigned", UNSIGNED_TRAILER), ("signed", CHUNKED_TRAILER)):
        for name, of, s3 in (("wrong", b"other", "400 BadDigest"), ("right", data, "200")):
            trailer = ("x-amz-checksum-crc32", checksum("CRC32", of))
            reply = t.wire().chunked(f"/{t.bucket}/{t.key()}", data, payload, trailer, query=query)
            t.record(f"{kind}, {name} trailer", reply.outcome, s3)
    cut = t.wire().chunked(f"/{t.bucket}/{t.key()}", data, final=False, query=query)
    t.record("no final chunk", cut.outcome, "400 IncompleteBody")
    upload.etags[1], upload.data[1] = reply.headers.get("etag"), data
    t.record("completion", finished(upload), RIGHT)


@check
def presigned_parts(t):
    upload = Upload(t)
    path, query = f"/{t.bucket}/{t.key()}", [("partNumber", "1"), ("uploadId", upload.id)]
    reply = t.wire().plain("PUT", path, t.wire().presigned("PUT", path, 60, query), data=b"presigned")
    upload.etags[1], upload.data[1] = reply.headers.get("etag"), b"presigned"
    t.record("part", reply.outcome, "200")
    t.record("completion", finished(upload), RIGHT)


@check
def conditions_of_completions(t):
    failed = "412 PreconditionFailed"

    def made(name):
        upload = Upload(t, name)
        upload.part(1, name.encode())
        return upload

    t.record("If-None-Match on nothing", finished(made("new"), IfNoneMatch="*"), RIGHT)
    t.put(b"old", "old")
    upload = made("old")
    t.record(
        "If-None-Match on an object",
        [upload.complete(IfNoneMatch="*").outcome, t.content("old")],
        [failed, digest(b"old")],
    )
    t.record("If-Match wrong", [upload.complete(IfMatch=WRONG).outcome, t.content("old")], [failed, digest(b"old")])
    t.record("the upload after them", upload.listed().outcome, "200")
    t.record("If-Match right", finished(upload, IfMatch=t.head("old").get("ETag")), RIGHT)
    t.record("If-Match on nothing", made("missing").complete(IfMatch=WRONG).outcome, "404 NoSuchKey")


@check
def transfer_managers(t):
    data = body(20 * MIB, "managers")
    for name, config in (
        ("defaults", TransferConfig()), ("5 MiB parts, 4 threads", TransferConfig(LEAST, 4, LEAST)),
        ("one thread", TransferConfig(LEAST, 1, LEAST, use_threads=False)), ("in one request", TransferConfig(64 * MIB)),
    ):  # fmt: skip
        t.s3.upload_fileobj(io.BytesIO(data), t.bucket, t.key(name), Config=config, ExtraArgs={"Metadata": {"a": "1"}})
        file = io.BytesIO()
        t.s3.download_fileobj(t.bucket, t.key(name), file, Config=config)
        head = t.head(name)
        t.record(
            name,
            [file.getvalue() == data, head.get("ContentLength"), head.get("Metadata")],
            [True, len(data), {"a": "1"}],
        )
    config = TransferConfig(LEAST, 4, LEAST)
    t.s3.copy({"Bucket": t.bucket, "Key": t.key("defaults")}, t.bucket, t.key("copy"), Config=config)
    t.record("copy in parts", t.content("copy"), digest(data))
    for algorithm in ALGORITHMS:
        t.s3.upload_fileobj(
            io.BytesIO(data), t.bucket, t.key(algorithm), Config=config, ExtraArgs={"ChecksumAlgorithm": algorithm}
        )
        t.record(algorithm, t.content(algorithm), digest(data))
