#!/usr/bin/env python3
"""Creates the buckets and KMS keys that the tests and the demonstration use, in two Regions of a LocalStack.

Prints their names as KEY=value lines that a shell can source. Repeated runs keep existing buckets and keys, enable
disabled keys and cancel scheduled deletions. Also a LocalStack init hook, which the server runs with `exec`.
"""

import argparse
import os
import shlex
import sys
import tempfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

EAST = "us-east-1"
WEST = "us-west-2"
REGIONS = (EAST, WEST)


def client(service, region, endpoint):
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 5},
            s3={"addressing_style": "path"},
        ),
    )


def ensure_bucket(s3, name, region):
    """Creates a versioned bucket in `region` unless it exists; returns its name."""
    try:
        s3.head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        # The API has no location constraint for us-east-1.
        where = {} if region == EAST else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=name, **where)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def find_key(kms, key):
    """Returns the key's metadata, or None if the key is missing."""
    try:
        return kms.describe_key(KeyId=key)["KeyMetadata"]
    except kms.exceptions.NotFoundException:
        return None


def make_usable(kms, metadata):
    """Enables the key; returns its ARN."""
    arn = metadata["Arn"]
    if metadata["KeyState"] in ("PendingDeletion", "PendingReplicaDeletion"):
        kms.cancel_key_deletion(KeyId=arn)  # which leaves the key disabled
    if metadata["KeyState"] != "Enabled":
        kms.enable_key(KeyId=arn)
    return arn


def ensure_key(kms, alias, **properties):
    """Creates the symmetric key behind `alias` unless it exists; returns its ARN."""
    metadata = find_key(kms, alias)
    if metadata is None:
        metadata = kms.create_key(Description=f"Sealwax tests: {alias}", **properties)["KeyMetadata"]
        kms.create_alias(AliasName=alias, TargetKeyId=metadata["KeyId"])
    return make_usable(kms, metadata)


def ensure_replica(primary, replica, region, alias, primary_arn):
    """Creates the multi-Region key's replica in `region` unless it exists; returns its ARN.

    A replica has the primary's key ID.
    """
    key_id = primary_arn.rpartition("/")[2]
    metadata = find_key(replica, key_id)
    if metadata is None:
        primary.replicate_key(KeyId=key_id, ReplicaRegion=region)
        metadata = find_key(replica, key_id)
    if find_key(replica, alias) is None:
        replica.create_alias(AliasName=alias, TargetKeyId=key_id)
    return make_usable(replica, metadata)


def seed(endpoint):
    s3 = {region: client("s3", region, endpoint) for region in REGIONS}
    kms = {region: client("kms", region, endpoint) for region in REGIONS}
    east_mrk = ensure_key(kms[EAST], "alias/sealwax-mrk", MultiRegion=True)
    return {
        "SEALWAX_EAST_BUCKET": ensure_bucket(s3[EAST], f"sealwax-{EAST}", EAST),
        "SEALWAX_WEST_BUCKET": ensure_bucket(s3[WEST], f"sealwax-{WEST}", WEST),
        "SEALWAX_EAST_KEY": ensure_key(kms[EAST], "alias/sealwax"),
        "SEALWAX_WEST_KEY": ensure_key(kms[WEST], "alias/sealwax"),
        "SEALWAX_EAST_KEY_2": ensure_key(kms[EAST], "alias/sealwax-2"),
        "SEALWAX_WEST_KEY_2": ensure_key(kms[WEST], "alias/sealwax-2"),
        "SEALWAX_EAST_MRK": east_mrk,
        "SEALWAX_WEST_MRK": ensure_replica(kms[EAST], kms[WEST], WEST, "alias/sealwax-mrk", east_mrk),
    }


def write(path, text):
    """Replaces the file at `path` in one step."""
    directory = os.path.dirname(os.path.abspath(path))
    os.makedirs(directory, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=directory, delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--endpoint",
        default=os.environ.get("AWS_ENDPOINT_URL") or "http://127.0.0.1:4566",
        help="server to seed (default: AWS_ENDPOINT_URL, else port 4566 of this machine)",
    )
    parser.add_argument("--env-file", help="file for the lines (default: standard output)")
    options = parser.parse_args(arguments)
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in seed(options.endpoint).items())
    if options.env_file:
        write(options.env_file, lines)
    else:
        print(lines, end="", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
elif "__file__" not in globals():  # an init hook: the arguments are the server's
    main([])
