"""s3fs: the file system of fsspec, which pandas, Dask and others use."""

import urllib.request

import s3fs
from operations import BUCKET, FILES, FORBIDDEN, MIB, PREFIX, STORED, WORK, equal, file, refused, run

# Endpoint, Region and credentials come from the environment. The address is path-style for any endpoint but Amazon's.
fs = s3fs.S3FileSystem(default_block_size=5 * MIB, config_kwargs={"signature_version": "s3v4"})
at = f"{BUCKET}/{PREFIX}"


def put():
    for name in STORED[:3]:
        fs.pipe_file(f"{at}/files/{name}", file(name))


def multipart():
    fs.put_file(FILES / "large", f"{at}/files/large", chunksize=5 * MIB, max_concurrency=4)


def get():
    for name in STORED:
        fs.get_file(f"{at}/files/{name}", WORK / "got")
        equal((WORK / "got").read_bytes(), file(name), name)


def ranges():
    large = file("large")
    equal(fs.cat_file(f"{at}/files/large", start=8388000, end=8389001), large[8388000:8389001], "a range")
    equal(fs.cat_file(f"{at}/files/large", start=-7), large[-7:], "a suffix")


def listed():
    fs.invalidate_cache()
    sizes = {it["name"].rsplit("/", 1)[1]: it["size"] for it in fs.ls(f"{at}/files", detail=True)}
    equal(sizes, {name: len(file(name)) for name in STORED}, "listed")


def head():
    for name in STORED:
        fs.invalidate_cache()
        equal(fs.info(f"{at}/files/{name}")["size"], len(file(name)), name)


def metadata():
    fs.pipe_file(f"{at}/metadata", file("small"), Metadata={"color": "blue"}, ContentType="text/csv")
    equal(fs.metadata(f"{at}/metadata", refresh=True), {"color": "blue"}, "metadata")
    equal(fs.info(f"{at}/metadata", refresh=True)["ContentType"], "text/csv", "content type")


def copy():
    for name in ("small", "large"):
        fs.copy(f"{at}/files/{name}", f"{at}/copies/{name}")
        equal(fs.cat_file(f"{at}/copies/{name}"), file(name), name)


def delete():
    for name in "abc":
        fs.pipe_file(f"{at}/deleted/{name}", name.encode())
    fs.rm_file(f"{at}/deleted/a")
    fs.rm(f"{at}/deleted", recursive=True)
    fs.invalidate_cache()
    equal([fs.exists(f"{at}/deleted/{name}") for name in "abc"], [False] * 3, "they exist")


def presign():
    with urllib.request.urlopen(fs.sign(f"{at}/files/large", expiration=600)) as response:
        equal(response.read(), file("large"), "presigned")


def sealed():
    equal(fs.cat_file(f"{at}/by-sealwax"), file("by-sealwax"), "by-sealwax")


def errors():
    refused(FileNotFoundError, "missing", fs.cat_file, f"{at}/missing")
    refused(FileNotFoundError, "missing", fs.info, f"{at}/missing")
    refused(PermissionError, "", fs.pipe_file, f"{FORBIDDEN}/small", b"a")
    refused(PermissionError, "", fs.ls, FORBIDDEN)


def own():
    """A file that is written in blocks, appended to, and read back and forth."""
    large = file("large")
    with fs.open(f"{at}/blocks", "wb") as out:
        for from_ in range(0, len(large), 700_000):
            out.write(large[from_ : from_ + 700_000])
    with fs.open(f"{at}/blocks", "ab") as out:
        out.write(b"the end")
    with fs.open(f"{at}/blocks", "rb") as back:
        back.seek(-len(b"the end"), 2)
        equal(back.read(), b"the end", "the end")
        back.seek(8388000)
        equal(back.read(1001), large[8388000:8389001], "the middle")
        back.seek(0)
        equal(back.read(), large + b"the end", "all")


run({
    "put": put, "multipart": multipart, "get": get, "range": ranges, "list": listed, "head": head,
    "metadata": metadata, "copy": copy, "delete": delete, "presign": presign, "sealed": sealed, "errors": errors,
    "own": own, "rewrapped": get,
})  # fmt: skip
