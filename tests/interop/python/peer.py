"""The official S3 Encryption Client for Python, driven by the tests.

Reads one JSON object per line from standard input, and writes one response per line. Plaintext is
passed in files.

    {"op": "put" | "get", "bucket", "key", "file", "context": {...} | null, "suite": "v2" | "v3", "suffix",
     "multipart": part length in bytes | null}

The endpoint, the wrapping key and the credentials come from the environment.
"""

import io
import json
import os
import sys

import boto3
from botocore.config import Config
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.kms_keyring import KmsKeyring
from s3_encryption.materials.materials import AlgorithmSuite, CommitmentPolicy

V2 = (AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF, CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT)
V3 = (AlgorithmSuite.ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY, CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)


def client(suite, policy):
    endpoint = os.environ["SEALWAX_PEER_ENDPOINT"]
    path_style = Config(s3={"addressing_style": "path"})
    s3 = boto3.client("s3", endpoint_url=endpoint, config=path_style)
    kms = boto3.client("kms", endpoint_url=endpoint)
    keyring = KmsKeyring(kms, os.environ["SEALWAX_PEER_KEY"])
    config = S3EncryptionClientConfig(keyring, encryption_algorithm=suite, commitment_policy=policy)
    return S3EncryptionClient(s3, config)


def put(s3, call, named, context):
    with open(call["file"], "rb") as file:
        plaintext = file.read()
    part_len = call.get("multipart")
    if not part_len:
        s3.put_object(Body=plaintext, **named, **context)
        return {}
    upload = s3.create_multipart_upload(**named, **context)
    upload_id, parts = upload["UploadId"], []
    starts = range(0, max(len(plaintext), 1), part_len)
    for number, start in enumerate(starts, 1):
        part = s3.upload_part(
            **named,
            UploadId=upload_id,
            PartNumber=number,
            Body=io.BytesIO(plaintext[start : start + part_len]),
            IsLastPart=number == len(starts),
        )
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(**named, UploadId=upload_id, MultipartUpload={"Parts": parts})
    return {}


def get(s3, call, named, context):
    if call.get("suffix"):
        named = {**named, "InstructionFileSuffix": call["suffix"]}
    plaintext = s3.get_object(**named, **context)["Body"].read()
    with open(call["file"], "wb") as file:
        file.write(plaintext)
    return {}


def main():
    clients = {"v2": client(*V2), "v3": client(*V3)}
    for line in sys.stdin:
        call = json.loads(line)
        named = {"Bucket": call["bucket"], "Key": call["key"]}
        context = {"EncryptionContext": call["context"]} if call["context"] else {}
        try:
            answer = {"put": put, "get": get}[call["op"]](clients[call["suite"]], call, named, context)
        except Exception as error:  # The test gets every failure.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
