#!/usr/bin/env bash
# Runs LocalStack (S3, KMS, STS) without Docker on 127.0.0.1:${SEALWAX_LOCALSTACK_PORT:-4566}.
#
#   start     starts it unless it runs, and seeds it      stop      stops it
#   restart   stops and starts it, which empties it       status    exits 0 if it runs, 1 if not
#   seed      creates or repairs the buckets and keys     logs      prints its log
#
# `seed URL` seeds another server, such as the one that compose.yaml starts.
set -euo pipefail
# shellcheck source=localstack/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

port=${SEALWAX_LOCALSTACK_PORT:-4566}
check_port "$port" 65535
url=http://127.0.0.1:$port
state=$servers_dir/localstack
venv=$state/venv

healthy() {
    "$venv/bin/python" -I -c '
import json, sys, urllib.request
try:
    body = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=5).read()
except OSError as error:
    sys.exit(f"no answer yet ({error})")
services = json.loads(body)["services"]
waiting = [name for name in ("s3", "kms", "sts") if services.get(name) not in ("available", "running")]
sys.exit(f"not available: {waiting}" if waiting else 0)' "$url/_localstack/health"
}

seed() {
    ensure_venv "$venv" "$root/localstack/requirements.txt"
    "$venv/bin/python" -I "$root/localstack/seed.py" --endpoint "$1" --env-file "$state/seed.env"
    # For a shell in which a person tries the command.
    {
        sed 's/^/export /' "$state/seed.env"
        echo "export AWS_ENDPOINT_URL=$1 AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test"
        echo 'export SEALWAX_KEYS=$SEALWAX_EAST_KEY,$SEALWAX_WEST_KEY'
    } >"$state/try.env"
    say "seeded $1; the names are in ${state#"$root/"}/seed.env"
}

start() {
    if on_port "$state" "$port"; then
        say_running "$state"
        seed "$url"
        return
    fi
    require_free_port "$port" SEALWAX_LOCALSTACK_PORT
    ensure_venv "$venv" "$root/localstack/requirements.txt"
    rm -rf "$state/tmp" # objects; volume/ stays, which makes the next start faster
    mkdir -p "$state/volume" "$state/tmp"

    undo_start "$state"
    say "starting"
    # DNS_ADDRESS=0: no DNS server, which would rewrite the machine's resolver settings if permitted.
    # OVERRIDE_IN_DOCKER=0: inside a container, LocalStack would assume its own image and write to /var/lib and /etc.
    GATEWAY_LISTEN=127.0.0.1:$port SERVICES=s3,kms,sts EAGER_SERVICE_LOADING=1 \
        DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 DNS_ADDRESS=0 OVERRIDE_IN_DOCKER=0 \
        LOCALSTACK_VOLUME_DIR=$state/volume FILESYSTEM_ROOT=$state/volume TMPDIR=$state/tmp \
        launch "$state" "$port" "$venv/bin/python" -P "$root/localstack/serve.py"
    await_ready "$state" 120 healthy
    seed "$url"
    trap - EXIT INT TERM HUP
    say_running "$state"
}

stop() {
    if running_pid "$state" >/dev/null; then
        say "stopping"
        stop_server "$state" 10
        rm -rf "$state/tmp"
        say "stopped"
    else
        # The objects may be those of a server that another checkout started.
        rm -f "$state/pid" "$state/port"
        say "not running"
    fi
}

command=${1:-}
case $command in start | stop | restart | seed) lock "$state" ;; esac
case $command in
start) start ;;
stop) stop ;;
restart)
    stop
    start
    ;;
seed) seed "${2:-$url}" ;;
logs) cat "$state/log" ;;
status)
    say_running "$state" || {
        say "not running"
        exit 1
    }
    ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
