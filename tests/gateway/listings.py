"""Buckets, and listings of objects."""

import datetime

from harness import body, call, check

NEVER = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
LENGTHS = {
    "a": 0, "b/1": 1, "b/2": 16384, "b/3/x": 16385, "b/3/y": 70_000, "c d+e": 5, "d/": 0, "d/e": 32768, "é": 7, "z": 1 << 20,
}  # fmt: skip


def stored(t):
    return {name: t.put(body(length, name), name) for name, length in LENGTHS.items()}


def ordered(names):
    return sorted(names, key=str.encode)


def page(t, answer):
    """The outcome of a listing, with names below the check's prefix."""
    if answer.status != 200:
        return answer.outcome
    out = {
        name: answer[name] for name in ("KeyCount", "IsTruncated", "MaxKeys", "EncodingType") if name in answer.response
    }
    out["keys"] = {t.short(entry["Key"]): entry["Size"] for entry in answer.get("Contents", [])}
    out["prefixes"] = [t.short(entry["Prefix"]) for entry in answer.get("CommonPrefixes", [])]
    for name in ("Prefix", "StartAfter", "Marker", "NextMarker"):
        if answer.get(name):
            out[name] = t.short(answer[name])
    if "Delimiter" in answer.response:
        out["Delimiter"] = answer["Delimiter"]
    return out


def names(value):
    """The keys and prefixes of a page."""
    return [list(value["keys"]), value["prefixes"]] if isinstance(value, dict) else value


def listing(t, function, **parameters):
    parameters["Prefix"] = t.prefix + parameters.get("Prefix", "")
    for name in ("StartAfter", "Marker"):
        if name in parameters:
            parameters[name] = t.prefix + parameters[name]
    return call(getattr(t.s3, function), **{"Bucket": t.bucket, **parameters})


@check
def buckets(t):
    t.record("listed", t.bucket in [it["Name"] for it in call(t.s3.list_buckets).get("Buckets", [])], True)
    t.record("head", call(t.s3.head_bucket, Bucket=t.bucket).outcome, "200")
    t.record("location", call(t.s3.get_bucket_location, Bucket=t.bucket).pick("LocationConstraint"),
             {"outcome": "200", "LocationConstraint": None})  # fmt: skip
    t.record("versioning", call(t.s3.get_bucket_versioning, Bucket=t.bucket).pick("Status"), {"outcome": "200"})
    missing = f"{t.bucket}-missing"
    t.record("head of no bucket", call(t.s3.head_bucket, Bucket=missing).outcome, "404")
    for function in ("get_bucket_location", "list_objects", "list_objects_v2", "list_multipart_uploads"):
        t.record(f"{function} of no bucket", call(getattr(t.s3, function), Bucket=missing).outcome, "404 NoSuchBucket")


@check
def empty_delimiter(t):
    stored(t)
    for function in ("list_objects", "list_objects_v2", "list_object_versions"):
        answer = listing(t, function, Delimiter="")
        t.record(f"{function}: prefixes", answer.get("CommonPrefixes", []), [])
        t.record(f"{function}: Delimiter", answer.get("Delimiter"))


@check
def listed_sizes(t):
    put = stored(t)
    entries = {t.short(entry["Key"]): entry for entry in t.listed()}
    t.record("sizes", {name: entry["Size"] for name, entry in entries.items()}, LENGTHS)
    t.record("order", list(entries), ordered(LENGTHS))
    t.record(
        "as HEAD", all(t.head(name).get("ContentLength") == entry["Size"] for name, entry in entries.items()), True
    )
    t.record("ETags as HEAD", all(t.head(name).get("ETag") == entry["ETag"] for name, entry in entries.items()), True)
    t.record("ETags as PUT", all(put[name]["ETag"] == entry["ETag"] for name, entry in entries.items()), True)
    t.record("times as HEAD", all(
        abs((t.head(name).get("LastModified", NEVER) - entry["LastModified"]).total_seconds()) <= 1
        for name, entry in entries.items()
    ), True)  # fmt: skip


@check
def listings_v2(t):
    stored(t)
    everything = ordered(LENGTHS)
    for name, parameters, keys, prefixes in (
        ("all", {}, everything, []),
        ("prefix", {"Prefix": "b/"}, ["b/1", "b/2", "b/3/x", "b/3/y"], []),
        ("prefix within a name", {"Prefix": "b/3/"}, ["b/3/x", "b/3/y"], []),
        ("prefix of nothing", {"Prefix": "nothing"}, [], []),
        ("prefix is a key", {"Prefix": "a"}, ["a"], []),
        ("delimiter", {"Delimiter": "/"}, ["a", "c d+e", "z", "é"], ["b/", "d/"]),
        ("prefix and delimiter", {"Prefix": "b/", "Delimiter": "/"}, ["b/1", "b/2"], ["b/3/"]),
        ("prefix without its slash and delimiter", {"Prefix": "b", "Delimiter": "/"}, [], ["b/"]),
        ("folder object and delimiter", {"Prefix": "d/", "Delimiter": "/"}, ["d/", "d/e"], []),
        ("other delimiter", {"Delimiter": " d"}, [it for it in everything if it != "c d+e"], ["c d"]),
        ("start after a key", {"StartAfter": "b/2"}, everything[3:], []),
        ("start after no key", {"StartAfter": "b/25"}, everything[3:], []),
        ("start after all", {"StartAfter": "\U0010ffff"}, [], []),
        ("start after in a common prefix", {"StartAfter": "b/2", "Delimiter": "/"}, None, None),
        ("encoding", {"EncodingType": "url", "Prefix": "c"}, None, None),
    ):  # fmt: skip
        value = page(t, listing(t, "list_objects_v2", **parameters))
        t.record(name, value)
        if keys is not None:
            t.record(f"{name}: names", names(value), [keys, prefixes])
    for size in (0, 1, 3, 10, 11, 1001):
        first = listing(t, "list_objects_v2", MaxKeys=size)
        t.record(f"at most {size}", page(t, first))
        t.record(f"at most {size}: names", names(page(t, first)), [everything[:size], []])
        t.record(f"at most {size}: continues", bool(first.get("NextContinuationToken")), 0 < size < len(everything))
    owner = listing(t, "list_objects_v2", Prefix="a", FetchOwner=True).get("Contents", [{}])[0]
    t.record("owner", ["Owner" in owner, "Owner" in t.listed("a")[0]], [True, False])
    t.record("negative maximum", listing(t, "list_objects_v2", MaxKeys=-1).outcome, "400 InvalidArgument")
    t.record("no such token", listing(t, "list_objects_v2", ContinuationToken="?").outcome, "400 InvalidArgument")


def pages(t, function, token, following, **parameters):
    """The names of each page."""
    out, more = [], {}
    while len(out) < 30:
        answer = call(getattr(t.s3, function), Bucket=t.bucket, Prefix=t.prefix, **parameters, **more)
        out.append(names(page(t, answer)))
        following_value = answer.get(following) or (answer.get("Contents") or [{}])[-1].get("Key")
        if not answer.get("IsTruncated") or not following_value:
            break
        more = {token: following_value}
    return out


@check
def paging(t):
    stored(t)
    everything = ordered(LENGTHS)
    for size in (1, 3, 4):
        s3 = [[everything[at : at + size], []] for at in range(0, len(everything), size)]
        t.record(
            f"v2, {size} keys",
            pages(t, "list_objects_v2", "ContinuationToken", "NextContinuationToken", MaxKeys=size),
            s3,
        )
        t.record(f"v1, {size} keys", pages(t, "list_objects", "Marker", "NextMarker", MaxKeys=size), s3)
    s3 = [[["a"], ["b/"]], [["c d+e"], ["d/"]], [["z", "é"], []]]
    for name, function, token in (("v2", "list_objects_v2", "ContinuationToken"), ("v1", "list_objects", "Marker")):
        t.record(f"{name}, delimiter", pages(t, function, token, f"Next{token}", MaxKeys=2, Delimiter="/"), s3)
    paginated = t.s3.get_paginator("list_objects_v2").paginate(
        Bucket=t.bucket, Prefix=t.prefix, PaginationConfig={"PageSize": 3}
    )
    t.record("paginator", [t.short(entry["Key"]) for it in paginated for entry in it.get("Contents", [])], everything)


@check
def listings_v1(t):
    stored(t)
    everything = ordered(LENGTHS)
    for name, parameters, keys, prefixes in (
        ("all", {}, everything, []),
        ("prefix and delimiter", {"Prefix": "b/", "Delimiter": "/"}, ["b/1", "b/2"], ["b/3/"]),
        ("marker", {"Marker": "b/2"}, everything[3:], []),
        ("marker and delimiter", {"Marker": "b/", "Delimiter": "/"}, ["c d+e", "z", "é"], ["d/"]),
        ("at most 2", {"MaxKeys": 2}, everything[:2], []),
        ("at most 2 with a delimiter", {"MaxKeys": 2, "Delimiter": "/"}, ["a"], ["b/"]),
        ("at most 0", {"MaxKeys": 0}, [], []),
    ):
        value = page(t, listing(t, "list_objects", **parameters))
        t.record(name, value)
        t.record(f"{name}: names", names(value), [keys, prefixes])


@check
def listings_on_the_wire(t):
    """Names that boto3 doesn't decode."""
    t.put(name="c d+é&<>")
    t.put(name="folder +/x")
    for name, query in (
        ("plain", []), ("encoded", [("encoding-type", "url")]), ("encoding of no such kind", [("encoding-type", "hex")]),
    ):  # fmt: skip
        for version in ("1", "2"):
            more = [("list-type", "2")] if version == "2" else []
            reply = t.wire().request("GET", f"/{t.bucket}", [*more, *query, ("prefix", t.prefix), ("delimiter", "/")])
            found = [
                it.split(b"</")[0].decode().replace(t.prefix, "").replace(t.prefix.replace("/", "%2F"), "")
                for tag in (b"<Key>", b"<Prefix>", b"<EncodingType>", b"<Delimiter>")
                for it in reply.body.split(tag)[1:]
            ]
            t.record(f"{name}, v{version}", [reply.outcome, found])


@check(needs="versions")
def versions(t):
    t.bucket = t.settings.versioned_bucket
    first, second = t.put(body(70_000)), t.put(b"second")
    ids = [first.get("VersionId"), second.get("VersionId")]
    t.record("ids differ", None not in ids and ids[0] != ids[1], True)
    t.record("versioning", call(t.s3.get_bucket_versioning, Bucket=t.bucket).get("Status"), "Enabled")

    def listed(**parameters):
        answer = call(t.s3.list_object_versions, Bucket=t.bucket, Prefix=t.prefix, **parameters)
        known = {first["VersionId"]: "first", second["VersionId"]: "second"}
        return {
            "versions": [
                [t.short(it["Key"]), known.get(it["VersionId"], "other"), it["Size"], it["IsLatest"]]
                for it in answer.get("Versions", [])
            ],
            "markers": [[t.short(it["Key"]), it["IsLatest"]] for it in answer.get("DeleteMarkers", [])],
            "truncated": answer.get("IsTruncated"),
        }

    both = [["object", "second", 6, True], ["object", "first", 70_000, False]]
    t.record("listed", listed(), {"versions": both, "markers": [], "truncated": False})
    t.record("listed, at most 1", listed(MaxKeys=1), {"versions": both[:1], "markers": [], "truncated": True})
    for name, version, length in (("first", ids[0], 70_000), ("second", ids[1], 6)):
        answers = t.get(VersionId=version), t.head(VersionId=version)
        t.record(f"get and head of {name}",
                 [[it.outcome, it.get("ContentLength"), it.get("VersionId") == version] for it in answers],
                 [["200", length, True]] * 2)  # fmt: skip
    t.record(
        "range of the first",
        t.get(VersionId=ids[0], Range="bytes=65000-").pick("ContentLength"),
        {"outcome": "206", "ContentLength": 5000},
    )
    t.record("no such version", t.get(VersionId=ids[0][::-1]).outcome)
    t.record("no version's id", t.get(VersionId="?").outcome, "400 InvalidArgument")
    copied = t.at("copy_object", "copy", CopySource={"Bucket": t.bucket, "Key": t.key(), "VersionId": ids[0]})
    t.record("copy of the first", [copied.outcome, copied.get("CopySourceVersionId") == ids[0], t.content("copy") == t.content(VersionId=ids[0])],
             ["200", True, True])  # fmt: skip
    tags = {"TagSet": [{"Key": "a", "Value": "1"}]}
    t.record("tags of the first", [
        t.at("put_object_tagging", VersionId=ids[0], Tagging=tags).outcome,
        t.at("get_object_tagging", VersionId=ids[0]).get("TagSet"), t.at("get_object_tagging").get("TagSet")],
        ["200", tags["TagSet"], []])  # fmt: skip
    deleted = t.at("delete_object")
    t.record("delete", deleted.pick("DeleteMarker"), {"outcome": "204", "DeleteMarker": True})
    reply = t.wire().request("GET", f"/{t.bucket}/{t.key()}")
    t.record("get after it", [reply.outcome, reply.headers.get("x-amz-delete-marker")], ["404 NoSuchKey", "true"])
    t.record("head after it", t.head().outcome, "404")
    marker = deleted.get("VersionId") or "none"
    t.record("get of the marker", t.get(VersionId=marker).outcome, "405 MethodNotAllowed")
    for method in ("GET", "HEAD"):
        for name, query in (("current", ()), ("named", [("versionId", marker)])):
            reply = t.wire().request(method, f"/{t.bucket}/{t.key()}", query)
            told = map(reply.headers.get, ("x-amz-delete-marker", "allow"))
            t.record(
                f"{method} of the marker, {name}",
                [reply.status, *told, reply.headers.get("x-amz-version-id") == marker],
                [405, "true", "DELETE", True] if query else [404, "true", None, True],
            )
    t.record("listed after it", listed()["markers"], [["object", True]])
    t.record("first after it", t.get(VersionId=ids[0]).outcome, "200")
    t.record("delete of the marker", t.at("delete_object", VersionId=deleted.get("VersionId") or "none").pick("DeleteMarker"),
             {"outcome": "204", "DeleteMarker": True})  # fmt: skip
    t.record("content after it", t.get().get("Body") == b"second", True)
    t.record("delete of the second", t.at("delete_object", VersionId=ids[1]).outcome, "204")
    t.record("content at last", t.get().get("ContentLength"), 70_000)
    many = call(
        t.s3.delete_objects,
        Bucket=t.bucket,
        Delete={"Objects": [{"Key": t.key(), "VersionId": ids[0]}, {"Key": t.key("copy")}]},
    )
    t.record("delete of several", [
        [t.short(it["Key"]), it.get("VersionId") == ids[0], it.get("DeleteMarker")] for it in many.get("Deleted", [])],
        [["object", True, None], ["copy", False, True]])  # fmt: skip
