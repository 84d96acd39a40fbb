#!/usr/bin/env python3
"""The Lambda function under cargo-lambda's emulator, on LocalStack: S3 Batch Operations jobs and S3 events.

`make lambda-test` runs it with the servers in its environment: run.py CARGO-LAMBDA FUNCTION COMMAND.
"""

import contextlib
import csv
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from botocore.config import Config

import batch_operations

EAST, WEST = "us-east-1", "us-west-2"
ENDPOINT = os.environ["SEALWAX_TEST_LOCALSTACK_URL"]
SOURCE, REPLICA = os.environ["SEALWAX_EAST_BUCKET"], os.environ["SEALWAX_WEST_BUCKET"]
EAST_KEY, WEST_KEY = os.environ["SEALWAX_EAST_KEY"], os.environ["SEALWAX_WEST_KEY"]
OTHER_WEST_KEY = os.environ["SEALWAX_WEST_KEY_2"]
# Prefix of the key store, below the folder.
KEY_STORE = "keys/"
FOLDER = f"lambda/{uuid.uuid4()}/"
# Keys that must be encoded in requests.
NAMES = ["plain.txt", "a b+c.txt", "ü/100%.txt", "comma,quote\".txt", "slow down.txt"]
# Concurrent instances of the function. The emulator gives an instance one event at a time, as Lambda does.
INSTANCES = 3
# Seconds. The limit that catches a hang. On a working system nothing comes near it, however busy the machine.
PATIENCE = 600


def s3(region):
    config = Config(s3={"addressing_style": "path"}, retries={"mode": "standard"})
    return boto3.client("s3", region_name=region, endpoint_url=ENDPOINT, config=config)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Proxy(BaseHTTPRequestHandler):
    """A proxy to LocalStack that refuses the first requests for one object, as an overloaded S3 does."""

    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    refusals = 0

    def relay(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        with Proxy.lock:
            refuse = Proxy.refusals > 0 and self.command == "HEAD" and "slow" in self.path
            Proxy.refusals -= refuse
        if refuse:
            self.send_response(503)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        target = urllib.parse.urlsplit(ENDPOINT)
        server = http.client.HTTPConnection(target.hostname, target.port, timeout=PATIENCE)
        try:
            # Forward the request unchanged, except for hop-by-hop headers.
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                server.putheader(name, value)
            server.endheaders(body or None)
            answer = server.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            length = answer.getheader("content-length") if self.command == "HEAD" else len(content)
            self.send_header("content-length", str(length or 0))
            self.end_headers()
            self.wfile.write(content)
        finally:
            server.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def process(*arguments, **options):
    """A process that ends with the context."""
    child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, **options)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextlib.contextmanager
def function(cargo_lambda, program, proxy_port, scratch, **settings):
    """The function behind the emulator, with these settings. Gives the URL that invokes it."""
    port = free_port()
    project = os.path.join(os.path.dirname(__file__), "../../crates/lambda")
    watch = (cargo_lambda, "lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1")
    environment = os.environ | {
        "AWS_LAMBDA_RUNTIME_API": f"http://127.0.0.1:{port}/.rt",
        "AWS_REGION": WEST,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy_port}",
    }
    environment |= {f"SEALWAX_REWRAP_{name.upper()}": value for name, value in settings.items()}
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(open(os.path.join(scratch, "log"), "a"))
        output = {"stdout": log, "stderr": log}
        emulator = stack.enter_context(process(*watch, "--invoke-port", str(port), cwd=project, **output))
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert emulator.poll() is None and time.monotonic() < deadline, "the emulator did not start"
            time.sleep(0.2)
        for _ in range(INSTANCES):
            stack.enter_context(process(program, env=environment, **output))
        yield f"http://127.0.0.1:{port}/2015-03-31/functions/_/invocations"


def sealwax(command, *arguments, data=None, region=WEST):
    line = [command, *arguments, "--region", region]
    environment = os.environ | {"AWS_ENDPOINT_URL": ENDPOINT}
    return subprocess.run(line, input=data, env=environment, capture_output=True, check=True).stdout


def replicate(name):
    """Copies an object with its metadata, as S3 Replication does."""
    source = {"Bucket": SOURCE, "Key": FOLDER + name}
    return s3(WEST).copy_object(Bucket=REPLICA, Key=FOLDER + name, CopySource=source).get("VersionId")


def opens(command, name, key):
    """Reads the plaintext in us-west-2 with this key only."""
    uri = f"s3://{REPLICA}/{FOLDER}{name}"
    return sealwax(command, "get", uri, "-", "--key", key, "--replica-of", SOURCE)


def versions():
    listed = s3(WEST).list_object_versions(Bucket=REPLICA, Prefix=FOLDER)
    return len(listed["Versions"])


def job(url, scratch, lines, arguments=None):
    """Runs a job over these `(name, version)`. Returns status, error and text by line, and tries by task."""
    manifest, report = os.path.join(scratch, "manifest.csv"), os.path.join(scratch, "report.csv")
    with open(manifest, "w", newline="") as output:
        for name, version in lines:
            # Encoded as in S3 Inventory.
            csv.writer(output).writerow([REPLICA, urllib.parse.quote_plus(FOLDER + name, safe="/"), version or ""])
    tries = batch_operations.run(url, manifest, report, arguments)
    with open(report, newline="") as rows:
        done = [(row[3], row[5], row[6]) for row in csv.reader(rows)]
    assert len(done) == len(lines), done
    return done, tries


def expect(found, status, error, text):
    assert found[:2] == (status, error) and found[2].startswith(text), f"{found}, not {(status, error, text)}"


def main(cargo_lambda, program, command):
    for name in NAMES:
        sealwax(command, "put", "-", f"s3://{SOURCE}/{FOLDER}{name}", "--key", EAST_KEY, data=name.encode(), region=EAST)
    both = ("--key", EAST_KEY, "--key", WEST_KEY)
    sealwax(command, "put", "-", f"s3://{REPLICA}/{FOLDER}done.txt", *both, data=b"done.txt")
    sealwax(command, "put", "-", f"s3://{SOURCE}/{FOLDER}twice.txt", "--key", EAST_KEY, data=b"first", region=EAST)
    older = replicate("twice.txt")
    sealwax(command, "put", "-", f"s3://{SOURCE}/{FOLDER}twice.txt", "--key", EAST_KEY, data=b"twice.txt", region=EAST)
    newest = {name: replicate(name) for name in [*NAMES, "twice.txt"]}
    s3(WEST).put_object(Bucket=REPLICA, Key=FOLDER + "unsealed.txt", Body=b"unsealed")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    with tempfile.TemporaryDirectory() as scratch:
        try:
            run(cargo_lambda, program, command, port, scratch, newest, older)
            run_on_key_store(cargo_lambda, program, command, port, scratch)
        except BaseException as error:
            sys.stderr.write((getattr(error, "stderr", None) or b"").decode(errors="replace"))
            with open(os.path.join(scratch, "log")) as log:
                sys.stderr.write("".join(log.readlines()[-40:]))
            raise


def run(cargo_lambda, program, command, port, scratch, newest, older):
    common = {"keys": f"{EAST_KEY} {WEST_KEY} {OTHER_WEST_KEY}", "replicas": f"{REPLICA}={SOURCE}"}
    lines = [(name, None) for name in NAMES] + [("done.txt", None), ("unsealed.txt", None), ("missing.txt", None)]
    lines += [("twice.txt", newest["twice.txt"]), ("twice.txt", older)]

    with function(cargo_lambda, program, port, scratch, add=WEST_KEY, **common) as url:
        for name in NAMES:
            try:
                raise AssertionError(f"{name} opens before the job: {opens(command, name, WEST_KEY)}")
            except subprocess.CalledProcessError as error:
                # Exit code 5: no usable wrapping key.
                assert error.returncode == 5, error.stderr
        # The SDK makes three attempts in one invocation.
        Proxy.refusals = 4
        done, tries = job(url, scratch, lines)
        for found in done[: len(NAMES)]:
            expect(found, "succeeded", "", "rewrapped: generation 2")
        expect(done[5], "succeeded", "", "claimed")
        expect(done[6], "succeeded", "", "skipped: not-sealed")
        expect(done[7], "failed", "PermanentFailure", "not-found: ")
        expect(done[8], "succeeded", "", "rewrapped: generation 2")
        expect(done[9], "failed", "PermanentFailure", "unsupported: ")
        slow = NAMES.index("slow down.txt")
        assert tries == {f"task-{number}": 2 if number == slow else 1 for number in range(len(lines))}, tries
        for name in [*NAMES, "done.txt", "twice.txt"]:
            assert opens(command, name, WEST_KEY) == name.encode(), name
        print(f"schema 1.0: {len(lines)} tasks as expected, one of them on the second try; all sealed objects open")

        before = versions()
        done, _ = job(url, scratch, lines)
        for found in [*done[:6], done[8]]:
            expect(found, "succeeded", "", "claimed")
        assert versions() == before
        print("the same job again wrote nothing")

        replica = {"Records": [record("ObjectCreated:Put", "plain.txt", REPLICA)]}
        replicate("plain.txt")
        first, second = batch_operations.invoke(url, replica), batch_operations.invoke(url, replica)
        assert first["results"][0]["result"].startswith("rewrapped"), first
        assert second["results"][0]["result"].startswith("claimed"), second
        assert opens(command, "plain.txt", WEST_KEY) == b"plain.txt"
        replicate("plain.txt")
        late = record("Replication:OperationReplicatedAfterThreshold", "plain.txt", SOURCE)
        late["replicationEventData"] = {"destinationBucket": f"arn:aws:s3:::{REPLICA}"}
        answer = batch_operations.invoke(url, {"Records": [late]})
        assert answer["results"][0]["result"].startswith("rewrapped"), answer
        for event in ({"Records": [record("Replication:OperationFailedReplication", "plain.txt", SOURCE)]}, {"Other": 1}):
            try:
                raise AssertionError(f"{event} succeeded: {batch_operations.invoke(url, event)}")
            except urllib.error.HTTPError as error:
                assert error.code == 500 and b"errorMessage" in error.read()
        print("events: replicas are rewrapped once, other events are refused")

    with function(cargo_lambda, program, port, scratch, **common) as url:
        sealed = [(name, None) for name in [*NAMES, "done.txt", "twice.txt"]]
        done, _ = job(url, scratch, sealed, {"add": OTHER_WEST_KEY, "remove": EAST_KEY})
        for found in done:
            expect(found, "succeeded", "", "rewrapped")
        for name, _ in sealed:
            assert opens(command, name, OTHER_WEST_KEY) == opens(command, name, WEST_KEY) == name.encode(), name
            keys = sealwax(command, "inspect", f"s3://{REPLICA}/{FOLDER}{name}", "--json").decode()
            assert EAST_KEY not in keys and OTHER_WEST_KEY in keys, keys
        print(f"schema 2.0: {len(sealed)} tasks with the job's arguments; all open with the new key, none has the old one")

        for argument, value in (("keys", EAST_KEY), ("replicas", f"{REPLICA}=another")):
            done, _ = job(url, scratch, sealed[:1], {argument: value})
            expect(done[0], "failed", "PermanentFailure", f"a job cannot set {argument}")
        foreign = "arn:aws:kms:us-west-2:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab"
        done, _ = job(url, scratch, sealed[:1], {"add": foreign})
        expect(done[0], "failed", "PermanentFailure", "invalid add: a job can name keys of SEALWAX_REWRAP_KEYS only")
        print("a job cannot widen what the function trusts")

    # An instance without the replica in its environment, and a job that names the source: the copy stays unchanged.
    keys = {"keys": common["keys"], "replicas": ""}
    with function(cargo_lambda, program, port, scratch, **keys) as url:
        replicate("plain.txt")
        done, _ = job(url, scratch, [("plain.txt", None)], {"add": WEST_KEY, "replica_of": SOURCE})
        expect(done[0], "failed", "PermanentFailure", "there is no argument replica_of")
        done, _ = job(url, scratch, [("plain.txt", None)], {"add": WEST_KEY})
        expect(done[0], "failed", "PermanentFailure", "place-mismatch: ")
        print("a copy in a bucket that is no declared replica stays unchanged")


def key_objects():
    """Returns the names of the key objects in the replica."""
    listed = s3(WEST).list_objects_v2(Bucket=REPLICA, Prefix=FOLDER + KEY_STORE).get("Contents", [])
    return sorted(found["Key"][len(FOLDER) :] for found in listed)


def run_on_key_store(cargo_lambda, program, command, port, scratch):
    """Rewraps the keys of a replicated key store: one task for all objects under an intermediate key."""
    store = f"--key-store={FOLDER}{KEY_STORE}"
    folder = os.path.join(scratch, "folder")
    names = [f"shared/{name}" for name in ("1", "2", "3")]
    for name in names:
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        with open(os.path.join(folder, name), "w") as file:
            file.write(name)
    put = ("put", folder, f"s3://{SOURCE}/{FOLDER}", "--recursive", "--key", EAST_KEY, "--key-cache", store)
    sealwax(command, *put, region=EAST)
    listed = s3(EAST).list_objects_v2(Bucket=SOURCE, Prefix=FOLDER + KEY_STORE)["Contents"]
    for name in [*names, *(found["Key"][len(FOLDER) :] for found in listed)]:
        replicate(name)
    [key_object], stray = key_objects(), f"{KEY_STORE}stray"
    s3(WEST).put_object(Bucket=REPLICA, Key=FOLDER + stray, Body=b"no key object")
    before = versions()
    manifest = [(key_object, None), (stray, None), (f"{KEY_STORE}missing", None)]

    def opens_by_key_store(name, key):
        uri = f"s3://{REPLICA}/{FOLDER}{name}"
        return sealwax(command, "get", uri, "-", "--key", key, "--replica-of", SOURCE, store) == name.encode()

    common = {"keys": f"{EAST_KEY} {WEST_KEY}", "replicas": f"{REPLICA}={SOURCE}", "key_store": FOLDER + KEY_STORE}
    with function(cargo_lambda, program, port, scratch, add=WEST_KEY, **common) as url:
        done, _ = job(url, scratch, manifest)
        expect(done[0], "succeeded", "", "rewrapped: key objects: 1 added, 0 removed, 0 refreshed")
        expect(done[1], "succeeded", "", "skipped: not-sealed")
        expect(done[2], "failed", "PermanentFailure", "not-found: ")
        both = [name for name in key_objects() if name != stray]
        assert len(both) == 2 and versions() == before + 1, "one small object, and no version of another"
        assert all(opens_by_key_store(name, WEST_KEY) for name in names)
        done, _ = job(url, scratch, [(name, None) for name in both])
        for found in done:
            expect(found, "succeeded", "", "claimed: the key store names the wanted keys")
        event = {"Records": [record("ObjectCreated:Put", both[0], REPLICA)]}
        assert batch_operations.invoke(url, event)["results"][0]["result"].startswith("claimed")
        assert versions() == before + 1
    print(f"key store: one task gave another key access to {len(names)} objects, and touched none")

    with function(cargo_lambda, program, port, scratch, **common) as url:
        done, _ = job(url, scratch, [(both[0], None)], {"refresh": "true"})
        expect(done[0], "succeeded", "", "rewrapped: key objects: 0 added, 0 removed, 2 refreshed")
        done, _ = job(url, scratch, [(both[0], None)], {"remove": EAST_KEY})
        expect(done[0], "succeeded", "", "rewrapped: key objects: 0 added, 1 removed, 0 refreshed")
        assert len(key_objects()) == 2 and all(opens_by_key_store(name, WEST_KEY) for name in names)
        left = [name for name in key_objects() if name != stray]
        done, _ = job(url, scratch, [(left[0], None)], {"remove": WEST_KEY})
        expect(done[0], "failed", "PermanentFailure", "invalid-input: ")
        done, _ = job(url, scratch, [(left[0], None)], {"add": WEST_KEY, "key_store": "another/"})
        expect(done[0], "failed", "PermanentFailure", "a job cannot set key_store")
    print("key store: refreshed, and reduced to the key of its own Region, but never to none")


def record(event, name, bucket):
    key = urllib.parse.quote_plus(FOLDER + name, safe="/")
    return {"eventName": event, "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1}}}


if __name__ == "__main__":
    main(*map(os.path.abspath, sys.argv[1:]))
