"""pyarrow: its S3 file system, of the AWS SDK for C++, and data sets of Parquet."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from operations import (
    ACCESS_KEY, BUCKET, ENDPOINT, FORBIDDEN, MARKER, PREFIX, REGION, SECRET_KEY, STORED, equal, file, refused, run,
)  # fmt: skip
from pyarrow.fs import FileSelector, FileType, S3FileSystem

fs = S3FileSystem(
    endpoint_override=ENDPOINT, region=REGION, access_key=ACCESS_KEY, secret_key=SECRET_KEY,
    force_virtual_addressing=False,
)  # fmt: skip
at = f"{BUCKET}/{PREFIX}"


def write(name, content, **more):
    with fs.open_output_stream(f"{at}/{name}", **more) as out:
        for from_ in range(0, len(content), 1_000_000):
            out.write(content[from_ : from_ + 1_000_000])


def read(name):
    with fs.open_input_stream(f"{at}/{name}") as stream:
        return stream.read()


def put():
    for name in STORED[:3]:
        write(f"files/{name}", file(name))


def multipart():
    """Parts of 10 MiB, which are sent in the background."""
    write("files/large", file("large"))


def get():
    for name in STORED:
        equal(read(f"files/{name}"), file(name), name)


def ranges():
    large = file("large")
    with fs.open_input_file(f"{at}/files/large") as opened:
        equal(opened.read_at(1001, 8388000), large[8388000:8389001], "a range")
        equal(opened.read_at(7, len(large) - 7), large[-7:], "the end")


def listed():
    found = fs.get_file_info(FileSelector(f"{at}/files"))
    equal({it.base_name: it.size for it in found}, {name: len(file(name)) for name in STORED}, "listed")


def head():
    for name in STORED:
        equal(fs.get_file_info(f"{at}/files/{name}").size, len(file(name)), name)


def metadata():
    write("metadata", file("small"), metadata={"Content-Type": "text/csv", "color": "blue"})
    with fs.open_input_stream(f"{at}/metadata") as stream:
        told = stream.metadata()
    equal(told["Content-Type"], b"text/csv", "content type")


def copy():
    for name in ("small", "large"):
        fs.copy_file(f"{at}/files/{name}", f"{at}/copies/{name}")
        equal(read(f"copies/{name}"), file(name), name)


def delete():
    for name in "abc":
        write(f"deleted/{name}", name.encode())
    fs.delete_file(f"{at}/deleted/a")
    equal(fs.get_file_info(f"{at}/deleted/a").type, FileType.NotFound, "a")
    fs.move(f"{at}/deleted/b", f"{at}/deleted/d")
    fs.delete_dir(f"{at}/deleted")
    equal(fs.get_file_info(f"{at}/deleted").type, FileType.NotFound, "deleted")


def sealed():
    equal(read("by-sealwax"), file("by-sealwax"), "by-sealwax")


def errors():
    refused(FileNotFoundError, "missing", read, "missing")
    refused(OSError, "ACCESS_DENIED", fs.get_file_info, FileSelector(FORBIDDEN))
    refused(OSError, "ACCESS_DENIED", fs.copy_file, f"{at}/files/small", f"{FORBIDDEN}/small")


TABLE = pa.table({
    "day": [f"2026-11-{1 + number % 3:02}" for number in range(300_000)],
    "number": range(300_000),
    "text": [f"{MARKER} {number}" for number in range(300_000)],
})  # fmt: skip


def own():
    """A partitioned data set of uncompressed Parquet, written and filtered."""
    options = ds.ParquetFileFormat().make_write_options(compression="none", use_dictionary=False)
    ds.write_dataset(
        TABLE, f"{at}/table", filesystem=fs, format="parquet", file_options=options,
        partitioning=ds.partitioning(pa.schema([("day", pa.string())]), flavor="hive"),
        existing_data_behavior="delete_matching",
    )  # fmt: skip
    scan()


def scan():
    table = ds.dataset(f"{at}/table", filesystem=fs, format="parquet", partitioning="hive")
    equal(table.count_rows(), 300_000, "rows")
    found = table.to_table(columns=["number", "text"], filter=ds.field("day") == "2026-11-02")
    equal(found.num_rows, 100_000, "rows of a day")
    equal(pc.sum(found["number"]).as_py(), sum(range(1, 300_000, 3)), "the sum")


def rewrapped():
    get()
    scan()


run({
    "put": put, "multipart": multipart, "get": get, "range": ranges, "list": listed, "head": head,
    "metadata": metadata, "copy": copy, "delete": delete, "sealed": sealed, "errors": errors, "own": own,
    "rewrapped": rewrapped,
})  # fmt: skip
