#!/usr/bin/env python3
"""demo.py SEALWAX: an application that knows nothing of encryption outlives a Region.

`make demo-gateway` starts LocalStack and runs this. `sealwax serve` stands between application.py and S3: what the
application stores is sealed, replicated and rewrapped, and after the loss of us-east-1 the same application reads it in
us-west-2. Each step prints what it did and how it was checked.
"""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3

HERE = Path(__file__).parent
EAST, WEST = "us-east-1", "us-west-2"
MARKER = b"INVOICE-LINE"
# Seconds for a gateway to begin or to end.
PATIENCE = 20


class Failed(Exception):
    """A check of the demonstration does not hold."""


def require(holds, what):
    if not holds:
        raise Failed(what)


class Demo:
    def __init__(self, sealwax, folder):
        self.sealwax, self.folder, self.steps, self.gateway = sealwax, folder, 0, None
        self.url = os.environ["SEALWAX_TEST_LOCALSTACK_URL"]
        self.keys = {EAST: os.environ["SEALWAX_EAST_KEY"], WEST: os.environ["SEALWAX_WEST_KEY"]}
        name = f"sealwax-demo-{secrets.token_hex(4)}"
        self.buckets = {EAST: name, WEST: f"{name}-west"}
        self.secret = secrets.token_hex(20)
        self.clients = folder / "clients.toml"
        self.clients.touch(mode=0o600)
        self.clients.write_text(
            '[[client]]\nname = "invoices"\naccess_key_id = "invoices-2026"\n'
            f'secret_access_key = "{self.secret}"\nbuckets = ["{name}", "{name}-west"]\n'
        )
        self.spool = folder / "spool"
        self.spool.mkdir(mode=0o700)

    def step(self, text):
        self.steps += 1
        print(f"{self.steps:2}. {text}", flush=True)

    def store_of(self, region):
        return ["--region", region, "--endpoint-url", self.url, "--kms-endpoint-url", self.url]

    def store(self, service, region):
        """Returns a client of the store itself."""
        return boto3.client(service, region_name=region, endpoint_url=self.url)

    def command(self, region, *words):
        """Runs the command on the store itself; returns its status, and all that it printed."""
        command = [self.sealwax, *self.store_of(region), *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, done.stdout.strip()

    def serve(self, region):
        """Starts a gateway to a Region, at the address of the last one if it has ended."""
        at = getattr(self, "address", "127.0.0.1:0")
        command = [self.sealwax, *self.store_of(region), "serve", "--listen", at]
        command += ["--clients", self.clients, "--spool", self.spool, "--key", self.keys[region]]
        log = self.folder / "gateway.log"
        with log.open("w") as output:
            self.gateway = subprocess.Popen(command, stderr=output)
        deadline = time.monotonic() + PATIENCE
        while "serving S3 at http://" not in (said := log.read_text()):
            require(self.gateway.poll() is None and time.monotonic() < deadline, f"the gateway did not start: {said}")
            time.sleep(0.05)
        self.address = said.split("serving S3 at http://")[1].split()[0]

    def end_gateway(self):
        gateway, self.gateway = self.gateway, None
        if gateway:
            gateway.send_signal(signal.SIGTERM)
            gateway.wait(PATIENCE)

    def application(self, action, region):
        """Runs the application with the gateway's endpoint and its own credentials; returns what it printed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SEALWAX_"))}
        environment |= {
            "AWS_ENDPOINT_URL_S3": f"http://{self.address}",
            "AWS_ACCESS_KEY_ID": "invoices-2026",
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": region,
            "AWS_CONFIG_FILE": os.devnull,
        }
        command = [sys.executable, HERE / "application.py", action, self.buckets[region]]
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        require(done.returncode == 0, f"the application failed:\n{done.stdout}")
        return done.stdout.strip()

    def objects(self, region):
        """Returns key, metadata and stored bytes of each object in the store."""
        s3, bucket = self.store("s3", region), self.buckets[region]
        for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]:
            stored = s3.get_object(Bucket=bucket, Key=entry["Key"])
            yield entry["Key"], stored["Metadata"], stored["Body"].read()

    def run(self):
        east, west = self.buckets[EAST], self.buckets[WEST]
        self.store("s3", EAST).create_bucket(Bucket=east)
        where = {"LocationConstraint": WEST}
        self.store("s3", WEST).create_bucket(Bucket=west, CreateBucketConfiguration=where)

        self.serve(EAST)
        self.step(f"started `sealwax serve` in front of {EAST}, at http://{self.address}")
        self.step(f"the application, through it: {self.application('store', EAST)}")
        report = self.application("report", EAST)
        self.step(f"the application reads: {report}")

        found = list(self.objects(EAST))
        require(len(found) > 40, "objects are missing")
        require(not any(MARKER in body for _, _, body in found), "plaintext was found in the stored bytes")
        require(all("sealwax-keys" in metadata for _, metadata, _ in found), "an object is not sealed")
        text = MARKER.decode()
        self.step(f'read the {len(found)} stored objects without the gateway: all are sealed, "{text}" occurs in none')

        for key, _, _ in found:
            copied = {"Bucket": east, "Key": key}
            self.store("s3", WEST).copy_object(Bucket=west, Key=key, CopySource=copied, MetadataDirective="COPY")
        self.step(f"copied them to {WEST} with their metadata, as S3 Replication does")
        rewrap = ["rewrap", f"s3://{west}/", "--recursive", "--replica-of", east, "--replace", self.keys[WEST]]
        status, said = self.command(WEST, *rewrap, "--apply")
        require(status == 0, f"the rewrap failed:\n{said}")
        self.step(f"`sealwax rewrap --replace` under a key of {WEST}: {said.splitlines()[-1]}")

        self.store("kms", EAST).disable_key(KeyId=self.keys[EAST])
        status, said = self.command(EAST, "cat", f"s3://{east}/{found[0][0]}")
        require(status != 0 and "disabled" in said, f"the source still opens, or fails for another reason:\n{said}")
        self.end_gateway()
        self.step(f"lost {EAST}: its KMS key is disabled, and its objects do not open")

        self.serve(WEST)
        again = self.application("report", WEST)
        require(again == report, f"the application reads something else: {again}")
        self.step(f"a gateway to {WEST}; the application reads the same: {again}")
        self.step(f"and works on: {self.application('correct', WEST)}")
        after = self.application("report", WEST)
        require(after != report, "the application's change has no effect")
        self.step(f"the application reads: {after}")
        self.end_gateway()
        status, said = self.command(WEST, "verify", f"s3://{west}/", "--full", "--keys-in", WEST)
        require(status == 0, f"the verification failed:\n{said}")
        self.step(f"`sealwax verify --full --keys-in {WEST}`: {said.splitlines()[-1]}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(sys.argv[1], Path(folder))
        try:
            demo.run()
        except Failed as failed:
            sys.exit(f"error: {failed}")
        finally:
            demo.end_gateway()
            # The seeded key serves the tests, too.
            demo.store("kms", EAST).enable_key(KeyId=demo.keys[EAST])


if __name__ == "__main__":
    main()
