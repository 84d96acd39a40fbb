#!/usr/bin/env bash
# with-servers.sh [--localstack-only] COMMAND...
#
# Runs COMMAND with LocalStack and SeaweedFS up, and exports their names and addresses to it. Starts the servers that
# aren't running and stops exactly those afterwards, however COMMAND ends. Exits with COMMAND's status.
#
# SEALWAX_TEST_LOCALSTACK_URL and SEALWAX_TEST_SEAWEEDFS_URL, if set, name running servers to use instead, such as the
# one that compose.yaml starts. LocalStack is seeded in either case.
set -euo pipefail
# shellcheck source=localstack/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

localstack=$root/localstack/localstack.sh
seaweedfs=$root/localstack/seaweedfs.sh

with_seaweedfs=yes
if [ "${1:-}" = --localstack-only ]; then
    with_seaweedfs=no
    shift
fi
if [ $# -eq 0 ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi

stop_localstack=no
stop_seaweedfs=no
command_pid=
interrupted=0

stop_started() {
    trap '' INT TERM HUP
    [ "$interrupted" = 0 ] || kill -s KILL -- "-$command_pid" 2>/dev/null || true
    [ "$stop_seaweedfs" = no ] || "$seaweedfs" stop || true
    [ "$stop_localstack" = no ] || "$localstack" stop || true
}

# forward SIGNAL NUMBER: passes the first signal on to the command. A second one kills the command.
forward() {
    if [ -z "$command_pid" ]; then
        exit "$((128 + $2))"
    fi
    local signal=$1
    [ "$interrupted" = 0 ] || signal=KILL
    kill -s "$signal" -- "-$command_pid" 2>/dev/null || true
    interrupted=$((interrupted + 1))
}

trap stop_started EXIT
trap 'forward INT 2' INT
trap 'forward TERM 15' TERM
trap 'forward HUP 1' HUP

if [ -n "${SEALWAX_TEST_LOCALSTACK_URL:-}" ]; then
    "$localstack" seed "$SEALWAX_TEST_LOCALSTACK_URL"
else
    "$localstack" status 2>/dev/null || stop_localstack=yes
    "$localstack" start
    SEALWAX_TEST_LOCALSTACK_URL=http://127.0.0.1:${SEALWAX_LOCALSTACK_PORT:-4566}
fi
export SEALWAX_TEST_LOCALSTACK_URL
# The AWS CLI, which the runbook's test uses; it is in LocalStack's environment.
export SEALWAX_TEST_AWS_CLI="$servers_dir/localstack/venv/bin/aws"

if [ "$with_seaweedfs" = yes ]; then
    if [ -z "${SEALWAX_TEST_SEAWEEDFS_URL:-}" ]; then
        "$seaweedfs" status 2>/dev/null || stop_seaweedfs=yes
        "$seaweedfs" start
        SEALWAX_TEST_SEAWEEDFS_URL=http://127.0.0.1:${SEALWAX_SEAWEEDFS_PORT:-8333}
    fi
    export SEALWAX_TEST_SEAWEEDFS_URL
    # Amazon's S3 Encryption Client for Python, which the interoperability tests drive.
    ensure_venv "$servers_dir/s3ec/venv" "$root/tests/interop/python/requirements.txt"
    export SEALWAX_TEST_S3EC_PYTHON="$servers_dir/s3ec/venv/bin/python $root/tests/interop/python/peer.py"
fi

set -a
# shellcheck disable=SC1091 # written by the seed
. "$servers_dir/localstack/seed.env"
set +a

# A separate process group lets a signal reach all of the command. Python starts it because a shell runs background
# commands with SIGINT ignored and without standard input.
exec 3<&0
"$servers_dir/localstack/venv/bin/python" -I -c '
import os, signal, sys
os.setpgid(0, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
try:
    os.execvp(sys.argv[1], sys.argv[1:])
except OSError as error:
    print(f"with-servers: error: {sys.argv[1]}: {error.strerror}", file=sys.stderr)
    sys.exit(127)' "$@" <&3 3<&- &
command_pid=$!
exec 3<&-

while :; do
    before=$interrupted
    status=0
    wait "$command_pid" 2>/dev/null || status=$?
    # A signal ends the wait before the command ends.
    [ "$interrupted" != "$before" ] || break
done
exit "$status"
