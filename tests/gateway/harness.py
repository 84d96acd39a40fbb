"""Registry of checks, and what they share: bodies, answers and records."""

import base64
import hashlib
import signal
import time
import zlib

import awscrt.checksums
import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from wire import Wire

KIB, MIB = 1 << 10, 1 << 20
# Seconds that a check may take. A server that sends blanks for ever meets no other limit.
PATIENCE = 40
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
CHECKS = []


class Failed(Exception):
    """An assertion of a check does not hold."""


def check(function=None, *, needs=None):
    """Registers a check. `needs` is "gateway", "upstream" or "versions": the check is skipped without it."""

    def register(function):
        name = function.__name__.strip("_").replace("_", "-")
        assert all(name != other for other, _, _ in CHECKS), name
        CHECKS.append((name, function, needs))
        return function

    return register(function) if function else register


def body(length, seed="body"):
    """Returns bytes that are the same in each run."""
    return hashlib.shake_256(seed.encode()).digest(length)


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def checksum(algorithm, data):
    """Returns a checksum of S3 in base64."""
    match algorithm:
        case "CRC32":
            raw = zlib.crc32(data).to_bytes(4, "big")
        case "CRC32C":
            raw = awscrt.checksums.crc32c(data).to_bytes(4, "big")
        case "CRC64NVME":
            raw = awscrt.checksums.crc64nvme(data).to_bytes(8, "big")
        case _:
            raw = hashlib.new(algorithm.lower(), data).digest()
    return base64.b64encode(raw).decode()


def composite(algorithm, parts):
    """Returns the checksum of the parts' checksums."""
    inner = b"".join(base64.b64decode(checksum(algorithm, part)) for part in parts)
    return f"{checksum(algorithm, inner)}-{len(parts)}"


def client(endpoint, access_key, secret_key, region, **settings):
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name=region, aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(
            s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, max_pool_connections=20,
            connect_timeout=5, read_timeout=60, **settings,
        ),
    )  # fmt: skip


class Answer:
    """Response or error of a call."""

    def __init__(self, response):
        self.response = response
        self.status = response["ResponseMetadata"]["HTTPStatusCode"]
        self.headers = response["ResponseMetadata"]["HTTPHeaders"]
        self.code = response.get("Error", {}).get("Code")

    @property
    def outcome(self):
        """The status, and the error code if it says more."""
        return str(self.status) if self.code in (None, str(self.status)) else f"{self.status} {self.code}"

    def __getitem__(self, name):
        return self.response[name]

    def get(self, name, default=None):
        return self.response.get(name, default)

    def pick(self, *names):
        """The outcome with these fields of the response, as far as it has them."""
        return {"outcome": self.outcome, **{name: self.response[name] for name in names if name in self.response}}


def call(function, **parameters):
    """Makes a call of boto3. Bodies are read."""
    try:
        response = function(**parameters)
        if hasattr(response.get("Body"), "read"):
            response["Body"] = response["Body"].read()
    except ClientError as error:
        response = error.response
    except BotoCoreError as error:
        # The client refuses the request, or the response breaks off.
        response = {
            "ResponseMetadata": {"HTTPStatusCode": 0, "HTTPHeaders": {}},
            "Error": {"Code": type(error).__name__},
        }
    return Answer(response)


class Context:
    """What a check is given: clients, names of its own, and the record of its outcomes."""

    def __init__(self, settings, name):
        self.settings, self.name = settings, name
        self.s3, self.bucket, self.other_bucket = settings.s3, settings.bucket, settings.other_bucket
        self.prefix = f"{settings.run}/{name}/"
        self.outcomes, self.expected, self.failures = {}, {}, []

    def wire(self, access_key=None, secret_key=None, **changes):
        """Returns a client that sends crafted requests."""
        of = self.settings
        return Wire(of.endpoint, access_key or of.access_key, secret_key or of.secret_key, of.region, **changes)

    def key(self, name="object"):
        return self.prefix + name

    def record(self, name, value, s3=None):
        """Records an outcome. `s3` is what Amazon S3 does, if its documentation says so."""
        assert name not in self.outcomes, f"{self.name}: {name} is recorded twice"
        self.outcomes[name] = value
        if s3 is not None:
            self.expected[name] = s3

    def demand(self, name, value, expected):
        """Records an outcome on which the gateway must not differ: any other value fails the check."""
        self.record(name, value)
        if value != expected:
            self.failures.append(f"{name}: {value!r} instead of {expected!r}")

    # Calls of most checks.

    def at(self, function, name="object", **parameters):
        """Calls an operation of an object in the bucket."""
        return call(getattr(self.s3, function), Bucket=self.bucket, Key=self.key(name), **parameters)

    def put(self, data=b"content", name="object", **parameters):
        return self.at("put_object", name, Body=data, **parameters)

    def get(self, name="object", **parameters):
        return self.at("get_object", name, **parameters)

    def head(self, name="object", **parameters):
        return self.at("head_object", name, **parameters)

    def content(self, name="object", **parameters):
        """Returns the digest of an object's content, or the error."""
        answer = self.get(name, **parameters)
        return digest(answer["Body"]) if answer.status == 200 else answer.outcome

    def listed(self, prefix="", **parameters):
        """Returns the entries below the check's prefix."""
        answer = call(self.s3.list_objects_v2, Bucket=self.bucket, Prefix=self.prefix + prefix, **parameters)
        return answer.get("Contents", [])

    def short(self, key):
        """Returns a key without the check's prefix."""
        return key.removeprefix(self.prefix) if key is not None else None


class TooLong(BaseException):
    """A check takes too long. boto3 wraps exceptions that derive from Exception."""


def too_long(*_):
    raise TooLong


def run(settings, selected):
    """Runs the checks; yields the context of each, and the seconds it took."""
    signal.signal(signal.SIGALRM, too_long)
    for name, function, needs in CHECKS:
        if (needs and not settings.has[needs]) or not selected(name):
            continue
        context, began = Context(settings, name), time.monotonic()
        signal.alarm(PATIENCE)
        try:
            function(context)
        except Failed as error:
            context.failures.append(str(error))
        except TooLong:
            context.failures.append(f"no end after {PATIENCE} s, after {list(context.outcomes)[-1:]}")
        except Exception as error:  # A check must not end the others.
            line = error.__traceback__
            while line.tb_next and not line.tb_next.tb_frame.f_code.co_filename.startswith(settings.libraries):
                line = line.tb_next
            context.failures.append(f"{type(error).__name__}: {error} (line {line.tb_lineno})")
        finally:
            signal.alarm(0)
        yield context, time.monotonic() - began
