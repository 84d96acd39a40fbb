"""Puts or gets one object with the Amazon S3 Encryption Client for Python, with its defaults.

    s3ec.py put FILE|- BUCKET KEY
    s3ec.py get BUCKET KEY FILE
"""

import os
import shutil
import sys

import boto3
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.kms_keyring import KmsKeyring

BUFFER = 8 * 1024 * 1024


def main(action, first, second, third):
    keyring = KmsKeyring(boto3.client("kms"), os.environ["KEY_ARN"])
    client = S3EncryptionClient(boto3.client("s3"), S3EncryptionClientConfig(keyring=keyring))
    if action == "get":
        body = client.get_object(Bucket=first, Key=second)["Body"]
        with open(third, "wb") as file:
            shutil.copyfileobj(body, file, BUFFER)
    elif first == "-":
        client.upload_fileobj(sys.stdin.buffer, second, third)
    else:
        client.upload_file(first, second, third)


main(*sys.argv[1:])
