"""Exits 0 if an S3 server stores and returns an object: probe_s3.py HOST:PORT. Needs only the standard library.

A server may answer on its S3 port before it can store objects, and before it has read its credentials. The probe
therefore signs its requests, and checks that the server refuses an unsigned one.
"""

import datetime
import hashlib
import hmac
import http.client
import sys

ACCESS_KEY = SECRET_KEY = "test"
REGION = "us-east-1"


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature_headers(host, method, path, body):
    """AWS Signature Version 4 of a request without a query."""
    time = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{time[:8]}/{REGION}/s3/aws4_request"
    headers = {"host": host, "x-amz-content-sha256": hashlib.sha256(body).hexdigest(), "x-amz-date": time}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = "\n".join([method, path, "", lines, names, headers["x-amz-content-sha256"]])
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = sign(key, part)
    to_sign = "\n".join(["AWS4-HMAC-SHA256", time, scope, hashlib.sha256(request.encode()).hexdigest()])
    signature = sign(key, to_sign).hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def request(host, method, path, body=b"", signed=True):
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request(method, path, body, signature_headers(host, method, path, body) if signed else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def probe(host):
    def expect(want, *arguments, **options):
        status, body = request(host, *arguments, **options)
        if status not in want:
            raise ValueError(f"{arguments[:2]} answered {status}, not {want}: {body[:200]!r}")
        return body

    bucket = "/readiness-probe"
    expect((200, 409), "PUT", bucket)
    expect((200,), "PUT", f"{bucket}/object", b"stored")
    if expect((200,), "GET", f"{bucket}/object") != b"stored":
        raise ValueError("the object came back changed")
    expect((403,), "GET", f"{bucket}/object", signed=False)
    expect((204,), "DELETE", f"{bucket}/object")
    expect((204,), "DELETE", bucket)


try:
    probe(sys.argv[1])
except (OSError, http.client.HTTPException, ValueError) as error:
    sys.exit(str(error))
