#!/usr/bin/env python3
"""Conformance suite: the same checks against an S3 server and, through the gateway, against what it stores there.

`prepare` creates the buckets. `run` makes the checks and writes their outcomes. `compare` compares the outcomes of a direct run with those of a run
through the gateway: they are the same, except for the differences of differences.toml.
"""

import argparse
import fnmatch
import json
import os
import secrets
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import boto3
import harness

# Their checks register themselves, and run in this order.
import objects, integrity, listings, removals, copies, multipart, refusals, stored  # noqa: E401, F401 isort: skip

ABSENT = "(no such outcome)"
AS_S3 = "as S3"


def short(value):
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 300 else text[:297] + "..."


def run(options):
    def of(endpoint, access_key, secret_key):
        return harness.client(endpoint, access_key, secret_key, options.region)

    settings = SimpleNamespace(
        **vars(options),
        s3=of(options.endpoint, options.access_key, options.secret_key),
        upstream=of(options.upstream_endpoint, options.upstream_access_key, options.upstream_secret_key)
        if options.upstream_endpoint
        else None,
        # New in each run, so the server need not be fresh.
        run=f"conformance-{secrets.token_hex(4)}",
        libraries=str(Path(boto3.__file__).parent.parent),
        has={
            "gateway": options.gateway,
            "upstream": options.gateway and options.upstream_endpoint,
            "versions": options.versioned_bucket,
        },
    )
    patterns = options.checks or ["*"]
    results, failed, deviations = {}, 0, []
    for it, seconds in harness.run(settings, lambda name: any(fnmatch.fnmatchcase(name, of) for of in patterns)):
        # What is compared has passed through JSON.
        results[it.name] = json.loads(
            json.dumps({"outcomes": it.outcomes, "s3": it.expected, "failures": it.failures}, default=str)
        )
        failed += bool(it.failures)
        print(
            f"FAILED {it.name}" if it.failures else f"ok     {it.name} ({len(it.outcomes)} outcomes, {seconds:.1f} s)"
        )
        for failure in it.failures:
            print(f"       {failure}")
        outcomes, expected = results[it.name]["outcomes"], results[it.name]["s3"]
        deviations += [(it.name, name, outcomes[name], s3) for name, s3 in expected.items() if outcomes[name] != s3]
        sys.stdout.flush()
    if options.deviations:
        for name, outcome, value, s3 in deviations:
            print(f"not as S3: {name}: {outcome}: {short(value)} instead of {short(s3)}")
    count = sum(len(result["outcomes"]) for result in results.values())
    print(f"{len(results)} checks, {count} outcomes: {failed} checks failed, {len(deviations)} outcomes not as S3")
    if options.json:
        text = json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False)
        Path(options.json).write_text(text + "\n")
    return failed > 0


def prepare(options):
    """Creates the buckets that are missing."""
    s3 = harness.client(options.endpoint, options.access_key, options.secret_key, options.region)
    present = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for name in {options.bucket, options.other_bucket, options.versioned_bucket} - {None, *present}:
        s3.create_bucket(Bucket=name)
    if options.versioned_bucket:
        s3.put_bucket_versioning(Bucket=options.versioned_bucket, VersioningConfiguration={"Status": "Enabled"})


def listed(differences, check, outcome):
    """Yields the listed differences that name the outcome, with the pattern that does."""
    for difference in differences:
        if fnmatch.fnmatchcase(check, difference["check"]):
            for pattern in difference["outcomes"]:
                if fnmatch.fnmatchcase(outcome, pattern):
                    yield difference, pattern


def suggest(check, outcome, server, value, s3):
    """Prints an entry for differences.toml."""
    gateway = AS_S3 if value == s3 else value
    print(f'\n[[difference]]\ncheck = "{check}"\noutcomes = ["{outcome}"]\nservers = ["{server}"]')
    print(
        f'gateway = {json.dumps(gateway if isinstance(gateway, str) else short(gateway), ensure_ascii=False)}\nwhy = ""'
    )


def compare(options):
    direct, gateway = (json.loads(Path(path).read_text()) for path in (options.direct, options.gateway))
    with open(options.differences, "rb") as file:
        differences = tomllib.load(file).get("difference", [])
    differences = [it for it in differences if options.server in it.get("servers", [options.server])]
    seen, errors, same, differing = set(), [], 0, 0
    for check, result in gateway.items():
        errors += [f"{check}: {failure}" for failure in result["failures"]]
    # Checks that need the gateway have no direct outcomes.
    for check in direct:
        errors += [f"{check}, direct: {failure}" for failure in direct[check]["failures"]]
        if check not in gateway:
            errors.append(f"{check}: not run through the gateway")
            continue
        one, two, s3 = direct[check]["outcomes"], gateway[check]["outcomes"], gateway[check]["s3"]
        for outcome in {**one, **two}:
            a, b = one.get(outcome, ABSENT), two.get(outcome, ABSENT)
            if a == b:
                same += 1
                continue
            differing += 1
            reasons = []
            for difference, pattern in listed(differences, check, outcome):
                wanted = difference.get("gateway", b)
                if wanted == AS_S3:
                    wanted = s3.get(outcome, ABSENT)
                # Lists and maps are listed as JSON.
                if b == wanted or short(b) == wanted:
                    seen.add((difference["check"], pattern, id(difference)))
                    break
                if difference["check"] != "*":
                    reasons.append(f"; {short(wanted)} is listed")
            else:
                errors.append(f"{check}: {outcome}: {short(b)} instead of {short(a)}{''.join(reasons)}")
                if options.suggest:
                    suggest(check, outcome, options.server, b, s3.get(outcome))
    if not options.partial:
        for difference in differences:
            for pattern in difference["outcomes"]:
                if (difference["check"], pattern, id(difference)) not in seen:
                    errors.append(f"{difference['check']}: {pattern}: listed, but not found")
    for error in errors:
        print(f"FAILED {error}")
    print(f"{same} outcomes are the same, {differing} differ, {len(errors)} failures")
    return len(errors) > 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    server = argparse.ArgumentParser(add_help=False)
    server.add_argument("--endpoint", required=True)
    server.add_argument("--access-key", default="test")
    server.add_argument("--secret-key", default="test")
    server.add_argument("--region", default="us-east-1")
    server.add_argument("--bucket", required=True)
    server.add_argument("--other-bucket", required=True, help="target of copies")
    server.add_argument("--versioned-bucket", help="bucket with versions; without it, their checks are skipped")
    it = commands.add_parser("prepare", parents=[server], help="create the buckets")
    it.set_defaults(function=prepare)
    it = commands.add_parser("run", parents=[server], help="make the checks")
    it.set_defaults(function=run)
    it.add_argument("--gateway", action="store_true", help="the endpoint is a gateway: also check what it refuses")
    it.add_argument("--upstream-endpoint", help="server behind the gateway: also check what is stored there")
    it.add_argument("--upstream-access-key", default="test")
    it.add_argument("--upstream-secret-key", default="test")
    it.add_argument("--json", metavar="FILE", help="write the outcomes")
    it.add_argument("--deviations", action="store_true", help="print outcomes that differ from Amazon S3's")
    it.add_argument("checks", nargs="*", metavar="CHECK", help="names or patterns; default: all")
    it = commands.add_parser("compare", help="compare two runs")
    it.set_defaults(function=compare)
    it.add_argument("--server", required=True, choices=("localstack", "seaweedfs"))
    it.add_argument("--differences", default=Path(__file__).with_name("differences.toml"))
    it.add_argument("--suggest", action="store_true", help="print entries for unlisted differences")
    it.add_argument(
        "--partial", action="store_true", help="the runs are of some checks: listed differences may be missing"
    )
    it.add_argument("direct", metavar="DIRECT")
    it.add_argument("gateway", metavar="GATEWAY")
    options = parser.parse_args()
    # Settings of the developer's account and proxies must not matter.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_EC2_METADATA_DISABLED="true"
    )
    sys.exit(options.function(options))


if __name__ == "__main__":
    main()
