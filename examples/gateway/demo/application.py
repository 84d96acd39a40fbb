#!/usr/bin/env python3
"""Keeps invoices in S3. It knows nothing of encryption: this is how boto3 is used with any bucket.

    application.py store BUCKET     writes invoices and an archive of scans
    application.py report BUCKET    reads all of it, and prints the total and a digest of the content
    application.py correct BUCKET   writes one invoice again, copies it, and deletes another

Endpoint and credentials come from the AWS environment.
"""

import hashlib
import io
import json
import sys

import boto3

INVOICES = 40
ARCHIVE = "invoices/2026/scans.tar"
ARCHIVE_LEN = 24 << 20


def invoice(number, cents):
    lines = [{"item": f"INVOICE-LINE {line}", "cents": cents} for line in range(20)]
    return json.dumps({"number": number, "customer": f"customer {number % 7}", "lines": lines}).encode()


def store(s3, bucket):
    for number in range(INVOICES):
        key = f"invoices/2026/{number:04}.json"
        s3.put_object(Bucket=bucket, Key=key, Body=invoice(number, 100 + number), ContentType="application/json")
    scans = (b"INVOICE-LINE scan %08d\n" % line for line in range(ARCHIVE_LEN // 27 + 1))
    # boto3 makes this a multipart upload.
    s3.upload_fileobj(io.BytesIO(b"".join(scans)[:ARCHIVE_LEN]), bucket, ARCHIVE)
    print(f"stored {INVOICES} invoices and an archive of {ARCHIVE_LEN >> 20} MiB")


def report(s3, bucket):
    digest, cents, count, listed = hashlib.sha256(), 0, 0, 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="invoices/"):
        for entry in page["Contents"]:
            content = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
            assert len(content) == entry["Size"], entry
            digest.update(content)
            count, listed = count + 1, listed + entry["Size"]
            if entry["Key"].endswith(".json"):
                cents += sum(line["cents"] for line in json.loads(content)["lines"])
    tail = s3.get_object(Bucket=bucket, Key=ARCHIVE, Range="bytes=-1000")["Body"].read()
    assert tail == s3.get_object(Bucket=bucket, Key=ARCHIVE)["Body"].read()[-1000:]
    print(f"{count} objects of {listed} bytes, {cents / 100:.2f} in total, content {digest.hexdigest()[:16]}")


def correct(s3, bucket):
    key = "invoices/2026/0000.json"
    s3.put_object(Bucket=bucket, Key=key, Body=invoice(0, 99), ContentType="application/json")
    s3.copy_object(Bucket=bucket, Key="invoices/2026/copy.json", CopySource={"Bucket": bucket, "Key": key})
    s3.delete_object(Bucket=bucket, Key="invoices/2026/0001.json")
    print("corrected an invoice, copied it, and deleted another")


if __name__ == "__main__":
    {"store": store, "report": report, "correct": correct}[sys.argv[1]](boto3.client("s3"), sys.argv[2])
