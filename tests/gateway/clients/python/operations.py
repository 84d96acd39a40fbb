"""Settings of the clients in Python, and the record of their outcomes."""

import os
import sys
from pathlib import Path

ENDPOINT, REGION = os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_REGION"]
ACCESS_KEY, SECRET_KEY = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
BUCKET, FORBIDDEN, PREFIX = os.environ["BUCKET"], os.environ["FORBIDDEN"], os.environ["PREFIX"]
FILES, WORK = Path(os.environ["FILES"]), Path(os.environ["WORK"])
STORED = ("empty", "one", "small", "large")
MIB = 1 << 20
MARKER = "sealwax-plaintext-marker"


def file(name):
    return (FILES / name).read_bytes()


def equal(got, want, what=""):
    if got != want:
        shown = f"{len(got)} bytes that are not the expected" if isinstance(got, bytes) else f"{got!r:.200} instead of"
        raise AssertionError(f"{what}: {shown} {len(want) if isinstance(want, bytes) else repr(want)[:200]}")


def refused(kind, text, function, *arguments):
    """The call must raise `kind`, and say `text`."""
    try:
        function(*arguments)
    except kind as error:
        if text not in str(error):
            raise AssertionError(f"{error!r} instead of {text}") from error
    else:
        raise AssertionError(f"no {text}")


def run(operations):
    """Runs the operations that the arguments name, and prints the outcome of each as a line for clients.py."""
    for name in sys.argv[1:]:
        try:
            operations[name]()
            print(f"{name}\tok")
        except Exception as error:  # An operation must not end the others.
            told = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"{name}\tfailed\t{told}")
        sys.stdout.flush()
