#!/usr/bin/env bash
# Times `sealwax sync` beside `s5cmd sync` and `aws s3 sync`: 20,000 files of 4 KiB to an S3 server and back, each run
# a process of its own. Prints the lines of docs/BENCHMARKS-SYNC.md.
#
#   localstack/with-servers.sh crates/bench/sync.sh SEALWAX S5CMD AWS DIRECTORY
#
# SEALWAX is a release build; S5CMD and AWS are the other commands (the Python packages s5cmd and awscli have them);
# DIRECTORY is an empty directory, which gets the files. The S3 server is SeaweedFS, and KMS is LocalStack.
set -euo pipefail
sealwax=$1 s5cmd=$2 aws=$3 work=$4
endpoint=$SEALWAX_TEST_SEAWEEDFS_URL kms=$SEALWAX_TEST_LOCALSTACK_URL
export XDG_CONFIG_HOME=/nonexistent
stamp=$(date +%s)
TIMEFORMAT='%R s wall, %U s user, %S s system'

of_s5() { "$s5cmd" --endpoint-url "$endpoint" --log error "$@"; }
of_aws() { "$aws" --endpoint-url "$endpoint" s3 sync "$@" --only-show-errors; }
of_local() { "$sealwax" --endpoint-url "$endpoint" --local-key "$work/key" --quiet sync "$@"; }
of_kms() { "$sealwax" --endpoint-url "$endpoint" --kms-endpoint-url "$kms" --quiet sync "$@" --key "$SEALWAX_EAST_KEY"; }
run() { echo -n "$1: "; shift; time "$@" >/dev/null; }

for folder in $(seq 200); do
    mkdir -p "$work/files/$folder"
    for file in $(seq 100); do head -c 4096 /dev/urandom >"$work/files/$folder/$file"; done
done
"$sealwax" keygen "$work/key" --name bench
for tool in sealwax s5cmd aws kms; do of_s5 mb "s3://sync-$stamp-$tool"; done
sleep 5 # Files that are as new as their objects would be compared by metadata.

uptime
run "sealwax up (local key)" of_local "$work/files" "s3://sync-$stamp-sealwax/"
run "s5cmd up" of_s5 sync "$work/files/" "s3://sync-$stamp-s5cmd/"
run "sealwax up, again" of_local "$work/files" "s3://sync-$stamp-sealwax/"
run "s5cmd up, again" of_s5 sync "$work/files/" "s3://sync-$stamp-s5cmd/"
run "sealwax down" of_local "s3://sync-$stamp-sealwax/" "$work/down-sealwax"
run "s5cmd down" of_s5 sync "s3://sync-$stamp-s5cmd/*" "$work/down-s5cmd/"
sleep 3
run "sealwax down, again" of_local "s3://sync-$stamp-sealwax/" "$work/down-sealwax"
run "s5cmd down, again" of_s5 sync "s3://sync-$stamp-s5cmd/*" "$work/down-s5cmd/"
run "sealwax up (KMS, --key-cache)" of_kms "$work/files" "s3://sync-$stamp-kms/" --key-cache
run "sealwax down (KMS)" of_kms "s3://sync-$stamp-kms/" "$work/down-kms"
uptime
run "aws up" of_aws "$work/files" "s3://sync-$stamp-aws/"
run "aws up, again" of_aws "$work/files" "s3://sync-$stamp-aws/"
run "aws down" of_aws "s3://sync-$stamp-aws/" "$work/down-aws"
run "aws down, again" of_aws "s3://sync-$stamp-aws/" "$work/down-aws"
uptime
for tool in sealwax s5cmd aws kms; do
    diff -r "$work/files" "$work/down-$tool" && echo "$tool: identical"
    of_s5 rm "s3://sync-$stamp-$tool/*" >/dev/null
    of_s5 rb "s3://sync-$stamp-$tool"
done
