"""Requests that boto3 doesn't make: crafted signatures, bodies in aws-chunks, wrong digests."""

import datetime
import hashlib
import hmac
import http.client
import re
import time
from urllib.parse import quote, urlsplit

EMPTY = hashlib.sha256(b"").hexdigest()
ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
CHUNKED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
CHUNKED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def encode(text):
    return quote(text, safe="-_.~")


class Reply:
    """Response to a crafted request."""

    def __init__(self, response):
        self.status, self.headers = response.status, {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()
        code = re.search(rb"<Code>([^<]+)</Code>", self.body) if self.status >= 300 else None
        self.code = code[1].decode() if code else None

    @property
    def outcome(self):
        return f"{self.status} {self.code}" if self.code else str(self.status)


class Broken:
    """A connection that the server closed without a response."""

    status, headers, body, code, outcome = 0, {}, b"", None, "closed"


class Wire:
    """Client of one endpoint with one pair of keys. `clock` moves its clock by seconds."""

    def __init__(self, endpoint, access_key, secret_key, region, clock=0, service="s3"):
        self.endpoint, self.access_key, self.secret_key = urlsplit(endpoint), access_key, secret_key
        self.region, self.clock, self.service = region, clock, service

    def now(self):
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self.clock)
        return now.strftime("%Y%m%dT%H%M%SZ")

    def scope(self, date):
        return f"{date[:8]}/{self.region}/{self.service}/aws4_request"

    def mac(self, date, text):
        key = b"AWS4" + self.secret_key.encode()
        for item in self.scope(date).split("/"):
            key = hmac.digest(key, item.encode(), "sha256")
        return hmac.digest(key, text.encode(), "sha256").hex()

    def signature(self, method, path, query, headers, date, payload, names):
        lines = [f"{name}:{' '.join(headers[name].split())}\n" for name in names]
        pairs = "&".join(sorted(f"{encode(name)}={encode(value)}" for name, value in query))
        request = "\n".join((method, path, pairs, "".join(lines), ";".join(names), payload))
        digest = hashlib.sha256(request.encode()).hexdigest()
        return self.mac(date, "\n".join((ALGORITHM, date, self.scope(date), digest)))

    def sent(self, method, path, query, headers, data):
        """Sends a request unchanged. `data` is bytes, or a list of pieces that go out one by one."""
        secure = self.endpoint.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(self.endpoint.hostname, self.endpoint.port, timeout=60)
        target = path + ("?" + "&".join(f"{encode(name)}={encode(value)}" for name, value in query) if query else "")
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value.encode())
            try:
                connection.endheaders()
                for piece in data if isinstance(data, list) else [data]:
                    connection.send(piece)
                    time.sleep(0.02 if isinstance(data, list) else 0)
            except (BrokenPipeError, ConnectionResetError):
                pass  # The response may have come first.
            return Reply(connection.getresponse())
        except (http.client.HTTPException, ConnectionError):
            return Broken()
        finally:
            connection.close()

    def request(self, method, path, query=(), headers=(), data=b"", payload=None, unsigned=()):
        """Sends a signed request. `unsigned` are headers without a signature; `path` is the decoded one."""
        path, headers, date = quote(path, safe="/-_.~"), dict(headers), self.now()
        payload = payload or hashlib.sha256(data).hexdigest()
        headers |= {"host": self.endpoint.netloc, "x-amz-date": date, "x-amz-content-sha256": payload}
        if data or method in ("PUT", "POST"):
            headers.setdefault("content-length", str(len(data)))
        names = sorted(headers)
        signature = self.signature(method, path, query, headers, date, payload, names)
        credential = f"{self.access_key}/{self.scope(date)}"
        headers["authorization"] = (
            f"{ALGORITHM} Credential={credential}, SignedHeaders={';'.join(names)}, Signature={signature}"
        )
        return self.sent(method, path, query, headers | dict(unsigned), data)

    def presigned(self, method, path, expires, query=()):
        """Returns the query of a presigned request."""
        date = self.now()
        query = [
            *query,
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", f"{self.access_key}/{self.scope(date)}"),
            ("X-Amz-Date", date),
            ("X-Amz-Expires", str(expires)),
            ("X-Amz-SignedHeaders", "host"),
        ]
        headers = {"host": self.endpoint.netloc}
        path = quote(path, safe="/-_.~")
        return [*query, ("X-Amz-Signature", self.signature(method, path, query, headers, date, UNSIGNED, ["host"]))]

    def plain(self, method, path, query=(), headers=(), data=b""):
        """Sends a request without a signature of its own."""
        headers = {"host": self.endpoint.netloc, **dict(headers)}
        if data or method in ("PUT", "POST"):
            headers.setdefault("content-length", str(len(data)))
        return self.sent(method, quote(path, safe="/-_.~"), query, headers, data)

    def chunked(
        self, path, data, payload=CHUNKED, trailer=None, headers=(), chunk=1 << 16, query=(),
        final=True, length=None, forged=None, announced=None, pieces=1,
    ):  # fmt: skip
        """Puts an object in aws-chunks, with a `trailer` (name and value) if `payload` says so.

        Wrong on request: no `final` chunk, another decoded `length`, a `forged` chunk's signature (its number),
        another `announced` trailer. The body goes out in so many `pieces`.
        """
        path, date, signed = quote(path, safe="/-_.~"), self.now(), payload != UNSIGNED_TRAILER
        chunks = [data[at : at + chunk] for at in range(0, len(data), chunk)]
        headers = {
            **dict(headers),
            "host": self.endpoint.netloc,
            "x-amz-date": date,
            "x-amz-content-sha256": payload,
            "x-amz-decoded-content-length": str(len(data) if length is None else length),
        }
        headers["content-encoding"] = ",".join(filter(None, ("aws-chunked", headers.get("content-encoding"))))
        if trailer:
            headers["x-amz-trailer"] = announced or trailer[0]

        # The length must be known before the signatures are.
        def framed(sign):
            out, previous = [], sign(None, None)
            for number, piece in enumerate([*chunks, b""] if final else chunks):
                mark = ""
                if signed:
                    previous = sign(previous, piece)
                    wrong = "0" * 64 if number == forged else previous
                    mark = f";chunk-signature={wrong}"
                end = b"" if trailer and not piece else b"\r\n"
                out.append(f"{len(piece):x}{mark}\r\n".encode() + piece + end)
            if trailer and final:
                out.append(f"{trailer[0]}:{trailer[1]}\r\n".encode())
                if signed:
                    out.append(f"x-amz-trailer-signature:{sign(previous, None)}\r\n".encode())
                out.append(b"\r\n")
            return out

        headers["content-length"] = str(sum(map(len, framed(lambda *_: "0" * 64))))
        names = sorted(headers)
        seed = self.signature("PUT", path, query, headers, date, payload, names)

        def sign(previous, piece):
            if previous is None:
                return seed
            if piece is None:
                line = f"{trailer[0]}:{trailer[1]}\n".encode()
                parts = (f"{ALGORITHM}-TRAILER", date, self.scope(date), previous, hashlib.sha256(line).hexdigest())
            else:
                content = hashlib.sha256(piece).hexdigest()
                parts = (f"{ALGORITHM}-PAYLOAD", date, self.scope(date), previous, EMPTY, content)
            return self.mac(date, "\n".join(parts))

        credential = f"{self.access_key}/{self.scope(date)}"
        headers["authorization"] = (
            f"{ALGORITHM} Credential={credential}, SignedHeaders={';'.join(names)}, Signature={seed}"
        )
        out = b"".join(framed(sign))
        if pieces > 1:
            out = [out[len(out) * n // pieces : len(out) * (n + 1) // pieces] for n in range(pieces)]
        return self.sent("PUT", path, query, headers, out)
