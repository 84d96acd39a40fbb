"""DuckDB with httpfs: SQL over Parquet and CSV."""

import duckdb
from operations import (
    ACCESS_KEY, BUCKET, ENDPOINT, FILES, FORBIDDEN, MARKER, PREFIX, REGION, SECRET_KEY, WORK, equal, file, refused, run,
)  # fmt: skip

at = f"s3://{BUCKET}/{PREFIX}"
ROWS = 300_000


def connect():
    """Opens a database with httpfs, whose package has the extension that DuckDB else downloads."""
    from duckdb_extensions import import_extension

    database = duckdb.connect(config={"home_directory": str(WORK), "extension_directory": str(WORK / "extensions")})
    import_extension("httpfs", con=database)
    database.load_extension("httpfs")
    database.execute(f"""
        CREATE SECRET gateway (
            TYPE s3, KEY_ID '{ACCESS_KEY}', SECRET '{SECRET_KEY}', REGION '{REGION}',
            ENDPOINT '{ENDPOINT.removeprefix("http://")}', URL_STYLE 'path', USE_SSL false
        )
    """)
    return database


db = connect()


def one(sql):
    return db.execute(sql).fetchone()


def put():
    db.execute(f"COPY (SELECT range AS number, '{MARKER}' AS text FROM range(100)) TO '{at}/small.csv'")
    db.execute(f"COPY (SELECT 1 AS number WHERE false) TO '{at}/none.parquet' (FORMAT parquet)")


def multipart():
    """Uncompressed Parquet of 20 MB in parts of 5 MB, which is this maximum length by 10,000 parts."""
    db.execute("SET s3_uploader_max_filesize = '50GB'")
    db.execute(f"""
        COPY (SELECT range AS number, '{MARKER}' || range || repeat('.', 30) AS text FROM range({ROWS}))
        TO '{at}/large.parquet' (FORMAT parquet, COMPRESSION uncompressed, DICTIONARY_SIZE_LIMIT 1)
    """)


def get():
    count = one(f"SELECT count(*), sum(number), min(text) FROM read_csv('{at}/small.csv')")
    equal(count, (100, 4950, MARKER), "small.csv")
    equal(one(f"SELECT count(*) FROM '{at}/none.parquet'"), (0,), "none.parquet")
    found = one(f"SELECT count(*), sum(number), sum(length(text)) FROM '{at}/large.parquet'")
    length = sum(len(f"{MARKER}{number}") + 30 for number in range(ROWS))
    equal(found, (ROWS, sum(range(ROWS)), length), "large.parquet")


def ranges():
    """One column of some groups of rows: DuckDB reads ranges."""
    found = one(f"SELECT count(*), min(number), max(number) FROM '{at}/large.parquet' WHERE number >= 290000")
    equal(found, (10_000, 290_000, ROWS - 1), "the last rows")


def listed():
    found = {name.rsplit("/", 1)[1] for (name,) in db.execute(f"SELECT file FROM glob('{at}/*')").fetchall()}
    equal(found, {"by-sealwax", "small.csv", "none.parquet", "large.parquet"}, "listed")


def head():
    size = one(f"SELECT size FROM read_blob('{at}/by-sealwax')")
    equal(size, (len(file("by-sealwax")),), "by-sealwax")


def sealed():
    content = one(f"SELECT content FROM read_blob('{at}/by-sealwax')")[0]
    equal(bytes(content), (FILES / "by-sealwax").read_bytes(), "by-sealwax")


def errors():
    refused(duckdb.Error, "404", one, f"SELECT * FROM read_csv('{at}/missing.csv')")
    refused(duckdb.Error, "403", one, f"COPY (SELECT 1) TO 's3://{FORBIDDEN}/a.csv'")
    refused(duckdb.Error, "403", one, f"SELECT * FROM glob('s3://{FORBIDDEN}/*')")


def own():
    """Partitions: many files at a time, and a query that reads some of them."""
    db.execute(f"""
        COPY (SELECT range AS number, '{MARKER}' AS text, range % 5 AS part FROM range(50000))
        TO '{at}/parts' (FORMAT parquet, PARTITION_BY (part), COMPRESSION uncompressed)
    """)
    scan()


def scan():
    found = one(f"SELECT count(*), sum(number) FROM read_parquet('{at}/parts/*/*.parquet') WHERE part = 3")
    equal(found, (10_000, sum(range(3, 50_000, 5))), "a part")


def rewrapped():
    get()
    scan()


run({
    "put": put, "multipart": multipart, "get": get, "range": ranges, "list": listed, "head": head, "sealed": sealed,
    "errors": errors, "own": own, "rewrapped": rewrapped,
})  # fmt: skip
