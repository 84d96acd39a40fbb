"""obstore: the crate `object_store`, which DataFusion, Polars, Lance and others use."""

import urllib.request
from datetime import timedelta

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, PreconditionError
from obstore.store import S3Store
from operations import (
    ACCESS_KEY, BUCKET, ENDPOINT, FILES, FORBIDDEN, MIB, PREFIX, REGION, SECRET_KEY, STORED, equal, file, refused, run,
)  # fmt: skip


def open_store(bucket, prefix=None):
    return S3Store(
        bucket, prefix=prefix, endpoint=ENDPOINT, region=REGION, access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY, virtual_hosted_style_request=False, client_options={"allow_http": True},
    )  # fmt: skip


store = open_store(BUCKET, PREFIX)


def read(name):
    return bytes(obstore.get(store, name).bytes())


def put():
    for name in STORED[:3]:
        obstore.put(store, f"files/{name}", file(name))


def multipart():
    obstore.put(store, "files/large", FILES / "large", chunk_size=5 * MIB, max_concurrency=4)


def get():
    for name in STORED:
        equal(read(f"files/{name}"), file(name), name)


def ranges():
    large = file("large")
    equal(bytes(obstore.get_range(store, "files/large", start=8388000, end=8389001)), large[8388000:8389001], "one")
    two = obstore.get_ranges(store, "files/large", starts=[7, 20_000_000], ends=[9, 20_000_100])
    equal([bytes(it) for it in two], [large[7:9], large[20_000_000:20_000_100]], "two")
    suffix = obstore.get(store, "files/large", options={"range": {"suffix": 7}})
    equal(bytes(suffix.bytes()), large[-7:], "a suffix")


def listed():
    sizes = {it["path"].rsplit("/", 1)[1]: it["size"] for it in obstore.list(store, prefix="files").collect()}
    equal(sizes, {name: len(file(name)) for name in STORED}, "listed")


def head():
    for name in STORED:
        equal(obstore.head(store, f"files/{name}")["size"], len(file(name)), name)


def metadata():
    obstore.put(store, "metadata", file("small"), attributes={"Content-Type": "text/csv", "color": "blue"})
    equal(obstore.get(store, "metadata").attributes, {"Content-Type": "text/csv", "color": "blue"}, "attributes")


def copy():
    for name in ("small", "large"):
        obstore.copy(store, f"files/{name}", f"copies/{name}")
        equal(read(f"copies/{name}"), file(name), name)


def delete():
    for name in "abc":
        obstore.put(store, f"deleted/{name}", name.encode())
    obstore.rename(store, "deleted/a", "deleted/d")
    obstore.delete(store, ["deleted/b", "deleted/c", "deleted/d"])
    found = [it["path"] for it in obstore.list(store, prefix="deleted").collect()]
    equal([path for path in found if path[-2:-1] == "/"], [], "left")


def presign():
    url = obstore.sign(store, "PUT", "presigned", timedelta(hours=1))
    with urllib.request.urlopen(urllib.request.Request(url, file("small"), method="PUT")) as response:
        equal(response.status, 200, "PUT")
    with urllib.request.urlopen(obstore.sign(store, "GET", "presigned", timedelta(hours=1))) as response:
        equal(response.read(), file("small"), "presigned")


def sealed():
    equal(read("by-sealwax"), file("by-sealwax"), "by-sealwax")


def errors():
    forbidden = open_store(FORBIDDEN)
    refused(FileNotFoundError, "missing", obstore.get, store, "missing")
    refused(FileNotFoundError, "missing", obstore.head, store, "missing")
    refused(PermissionDeniedError, "403", obstore.put, forbidden, "small", b"a")
    refused(BaseError, "AccessDenied", lambda: obstore.list(forbidden).collect())


def own():
    """Conditions, and a file that is written in blocks."""
    first = {"e_tag": obstore.put(store, "conditional", file("small"), mode="create")["e_tag"]}
    refused(AlreadyExistsError, "", lambda: obstore.put(store, "conditional", b"other", mode="create"))
    obstore.put(store, "conditional", file("one"), mode=first, use_multipart=False)
    refused(PreconditionError, "", lambda: obstore.put(store, "conditional", b"x", mode=first, use_multipart=False))
    equal(read("conditional"), file("one"), "conditional")
    large = file("large")
    with obstore.open_writer(store, "blocks", buffer_size=5 * MIB) as out:
        for from_ in range(0, len(large), 700_000):
            out.write(large[from_ : from_ + 700_000])
    equal(read("blocks"), large, "blocks")


run({
    "put": put, "multipart": multipart, "get": get, "range": ranges, "list": listed, "head": head,
    "metadata": metadata, "copy": copy, "delete": delete, "presign": presign, "sealed": sealed, "errors": errors,
    "own": own, "rewrapped": get,
})  # fmt: skip
