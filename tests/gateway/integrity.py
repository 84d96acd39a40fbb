"""Checksums, digests and chunked bodies, right and wrong."""

import base64
import hashlib

from harness import ALGORITHMS, KIB, MIB, body, check, checksum, client, digest
from wire import CHUNKED, CHUNKED_TRAILER, UNSIGNED, UNSIGNED_TRAILER

BAD = "400 BadDigest"


@check
def checksums(t):
    for algorithm in ALGORITHMS:
        data, field = body(70_000, algorithm), f"Checksum{algorithm}"
        put = t.put(data, algorithm, ChecksumAlgorithm=algorithm)
        value = checksum(algorithm, data)
        t.record(f"{algorithm} in the answer to a put", put.pick(field), {"outcome": "200", field: value})
        t.record(f"{algorithm} of a get", [
            t.get(algorithm, ChecksumMode="ENABLED").pick(field, "ChecksumType"), t.content(algorithm) == digest(data)],
            [{"outcome": "200", field: value, "ChecksumType": "FULL_OBJECT"}, True])  # fmt: skip
        t.record(
            f"{algorithm} of a head",
            t.head(algorithm, ChecksumMode="ENABLED").pick(field),
            {"outcome": "200", field: value},
        )
        t.record(f"{algorithm} of a head without the mode", t.head(algorithm).pick(field), {"outcome": "200"})
        given = t.put(data, f"{algorithm}-given", **{field: value})
        t.record(f"{algorithm} given", given.pick(field), {"outcome": "200", field: value})
        wrong = t.put(data, f"{algorithm}-wrong", **{field: checksum(algorithm, b"other")})
        t.record(f"{algorithm} wrong", [wrong.outcome, t.head(f"{algorithm}-wrong").outcome], [BAD, "404"])
        malformed = t.put(data, f"{algorithm}-wrong", **{field: "AAA="})
        t.record(
            f"{algorithm} malformed",
            [malformed.outcome, t.head(f"{algorithm}-wrong").outcome],
            ["400 InvalidRequest", "404"],
        )


@check
def no_checksums(t):
    of = t.settings
    plain = client(of.endpoint, of.access_key, of.secret_key, of.region,
                   request_checksum_calculation="when_required", response_checksum_validation="when_required")  # fmt: skip
    plain.put_object(Bucket=t.bucket, Key=t.key(), Body=body(70_000))
    t.record("content", t.content(), digest(body(70_000)))


@check
def digests(t):
    data, path = body(70_000), f"/{t.bucket}/{t.key()}"

    def md5(data):
        return base64.b64encode(hashlib.md5(data).digest()).decode()

    def put(headers=(), **parameters):
        reply = t.wire().request("PUT", path, headers=headers, data=data, **parameters)
        outcome = [reply.outcome, t.content()]
        t.at("delete_object")
        return outcome

    right, missing = ["200", digest(data)], "404 NoSuchKey"
    t.record("Content-MD5 right", put({"content-md5": md5(data)}), right)
    t.record("Content-MD5 wrong", put({"content-md5": md5(b"other")}), [BAD, missing])
    t.record("Content-MD5 malformed", put({"content-md5": "abc"}), ["400 InvalidDigest", missing])
    t.record("Content-MD5 right, CRC32 wrong",
             put({"content-md5": md5(data), "x-amz-checksum-crc32": checksum("CRC32", b"other")}), [BAD, missing])  # fmt: skip
    two = {f"x-amz-checksum-{name.lower()}": checksum(name, data) for name in ("CRC32", "SHA256")}
    t.record("two checksums", put(two), ["400 InvalidRequest", missing])
    wrong = hashlib.sha256(b"other").hexdigest()
    t.record("x-amz-content-sha256 wrong", put(payload=wrong), ["400 XAmzContentSHA256Mismatch", missing])
    t.record("x-amz-content-sha256 malformed", put(payload="abc"), ["400 InvalidArgument", missing])
    t.record("unsigned payload", put(payload=UNSIGNED), right)
    t.record("unsigned payload, CRC32 wrong",
             put({"x-amz-checksum-crc32": checksum("CRC32", b"other")}, payload=UNSIGNED), [BAD, missing])  # fmt: skip


@check
def chunked_bodies(t):
    path = f"/{t.bucket}/{t.key()}"

    def put(data, **parameters):
        reply = t.wire().chunked(path, data, **parameters)
        head = t.head()
        outcome = [reply.outcome, t.content() == digest(data), head.get("ContentEncoding")]
        t.at("delete_object")
        return outcome

    for length in (0, 1, 64 * KIB, 200_000, 5 * MIB + 1):
        t.record(f"signed, {length} bytes", put(body(length)), ["200", True, None])
    for chunk in (8 * KIB, MIB):
        t.record(f"signed, chunks of {chunk}", put(body(2_000_000), chunk=chunk), ["200", True, None])
    t.record("with a content encoding", put(body(10), headers={"content-encoding": "gzip"}), ["200", True, "gzip"])
    for algorithm in ALGORITHMS:
        data, name = body(150_000, algorithm), f"x-amz-checksum-{algorithm.lower()}"
        for kind, payload in (("unsigned", UNSIGNED_TRAILER), ("signed", CHUNKED_TRAILER)):
            trailer = (name, checksum(algorithm, data))
            t.record(
                f"{kind}, {algorithm} as trailer", put(data, payload=payload, trailer=trailer), ["200", True, None]
            )
            trailer = (name, checksum(algorithm, b"other"))
            t.record(
                f"{kind}, wrong {algorithm} as trailer", put(data, payload=payload, trailer=trailer), [BAD, False, None]
            )


@check
def broken_chunked_bodies(t):
    path, data = f"/{t.bucket}/{t.key()}", body(200_000)
    right = ("x-amz-checksum-crc32", checksum("CRC32", data))

    def put(payload=CHUNKED, **parameters):
        reply = t.wire().chunked(path, data, payload=payload, **parameters)
        head = t.head().outcome
        t.at("delete_object")
        return [reply.outcome, head]

    forged, cut = ["403 SignatureDoesNotMatch", "404"], ["400 IncompleteBody", "404"]
    t.record("forged first chunk", put(forged=0), forged)
    t.record("forged last chunk", put(forged=3), forged)
    t.record("forged final chunk", put(forged=4), forged)
    t.record("no final chunk, signed", put(final=False), cut)
    t.record("no final chunk, unsigned", put(UNSIGNED_TRAILER, final=False, trailer=right), cut)
    t.record("shorter than announced", put(length=300_000), cut)
    t.record("longer than announced", put(length=100_000))
    t.record("another trailer than announced", put(UNSIGNED_TRAILER, trailer=right, announced="x-amz-checksum-sha1"))
    t.record("an unannounced trailer", put(UNSIGNED_TRAILER, trailer=right, announced="x-amz-checksum-crc32c"))
    t.record("chunks of 1 KiB", put(chunk=KIB))


@check(needs="gateway")
def bodies_in_pieces(t):
    """SeaweedFS sometimes takes the trailer for wrong if it comes in a packet of its own."""
    data = body(20)
    trailer = ("x-amz-checksum-crc32", checksum("CRC32", data))
    for pieces in (2, 7, 50):
        for kind, payload in (("unsigned", UNSIGNED_TRAILER), ("signed", CHUNKED_TRAILER)):
            reply = t.wire().chunked(f"/{t.bucket}/{t.key()}", data, payload, trailer, pieces=pieces)
            t.demand(f"{kind}, {pieces} pieces", [reply.outcome, t.content() == digest(data)], ["200", True])
            t.at("delete_object")
