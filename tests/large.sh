#!/usr/bin/env bash
# large.sh SEALWAX PYTHON
#
# Seals an object above 5 GiB on SeaweedFS, rewraps it for another Region, and reads it with that Region's key. S3
# copies such objects only in parts. It temporarily takes 17 GB of disk. `make large` runs it under with-servers.sh.
# PYTHON has boto3.
set -euo pipefail

sealwax=$1 python=$2
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1
export AWS_ENDPOINT_URL=$SEALWAX_TEST_LOCALSTACK_URL AWS_ENDPOINT_URL_S3=$SEALWAX_TEST_SEAWEEDFS_URL
unset AWS_PROFILE SEALWAX_KEYS SEALWAX_PROFILE
object=s3://sealwax-large/object

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Not a multiple of a part, a chunk or a block.
truncate -s 5500000123 "$folder/plaintext"
"$python" -c 'import boto3, os
boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"]).create_bucket(Bucket="sealwax-large")'

echo '==> seal'
time "$sealwax" put "$folder/plaintext" "$object" --key "$SEALWAX_EAST_KEY" --metadata name=kept
echo '==> rewrap'
time "$sealwax" rewrap "$object" --replace "$SEALWAX_WEST_KEY"
echo '==> read with the new key only'
time "$sealwax" get "$object" "$folder/opened" --key "$SEALWAX_WEST_KEY"
cmp "$folder/plaintext" "$folder/opened"
"$sealwax" inspect "$object" --json | "$python" -c '
import json, os, sys
told = json.load(sys.stdin)
keys = [key["wrapping_key"] for key in told["keys"]]
assert keys == [os.environ["SEALWAX_WEST_KEY"]], keys
assert told["generation"] == 2 and told["metadata"] == {"name": "kept"}, told'
[ -z "$("$sealwax" uploads ls s3://sealwax-large)" ] || { echo 'error: an incomplete upload is left' >&2; exit 1; }
echo OK
