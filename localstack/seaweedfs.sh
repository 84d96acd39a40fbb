#!/usr/bin/env bash
# Runs SeaweedFS, a second S3 implementation, on 127.0.0.1:${SEALWAX_SEAWEEDFS_PORT:-8333}. Unlike LocalStack, it checks
# signatures and honours If-Match on CopyObject's destination. It also uses the next three ports, and the four ports that
# are 10000 higher. Access key and secret: test, test. Each start creates an empty store.
#
#   start    starts it unless it runs           stop    stops it and deletes its data
#   status   exits 0 if it runs, 1 if not       logs    prints its log
set -euo pipefail
# shellcheck source=localstack/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

port=${SEALWAX_SEAWEEDFS_PORT:-8333}
check_port "$port" 55532
state=$servers_dir/seaweedfs
venv=$state/venv

stores_objects() {
    "$venv/bin/python" -I "$root/localstack/probe_s3.py" "127.0.0.1:$port"
}

forget_data() {
    rm -rf "$state/data" "$state/tmp"
    # Sockets whose path is not configurable.
    rm -f /tmp/seaweedfs-s3-grpc-"$((port + 10000))".sock /tmp/seaweedfs-master-grpc-"$((port + 10001))".sock \
        /tmp/seaweedfs-volume-grpc-"$((port + 10002))".sock /tmp/seaweedfs-filer-grpc-"$((port + 10003))".sock
}

start() {
    local offset
    if on_port "$state" "$port"; then
        say_running "$state"
        return
    fi
    for offset in 0 1 2 3; do
        require_free_port "$((port + offset))" SEALWAX_SEAWEEDFS_PORT
        require_free_port "$((port + offset + 10000))" SEALWAX_SEAWEEDFS_PORT
    done
    ensure_venv "$venv" "$root/localstack/seaweedfs-requirements.txt"
    forget_data
    mkdir -p "$state/data" "$state/tmp"
    cat >"$state/s3.json" <<'JSON'
{
  "identities": [
    {
      "name": "test",
      "credentials": [{ "accessKey": "test", "secretKey": "test" }],
      "actions": ["Admin", "Read", "Write", "List", "Tagging"]
    }
  ]
}
JSON

    undo_start "$state"
    say "starting"
    # A bucket takes seven volumes, so the default of eight volumes allows one bucket. Disk space is allocated on demand.
    # Socket paths are relative to the state directory, because absolute paths may exceed the length limit of sockets.
    local options=(
        -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir=data
        -master.port="$((port + 1))" -master.telemetry=false -master.volumeSizeLimitMB=64
        -volume.port="$((port + 2))" -volume.max=700 -volume.preStopSeconds=0
        -filer.port="$((port + 3))" -filer.localSocket=tmp/filer.sock
        -s3 -s3.port="$port" -s3.config=s3.json -s3.autoCreateBucket=false
        -s3.port.iceberg=0 -s3.port.lance=0 -s3.localSocket=tmp/s3.sock
    )
    TMPDIR=$state/tmp launch "$state" "$port" "$venv/bin/weed" -logtostderr=true server "${options[@]}"
    await_ready "$state" 60 stores_objects
    trap - EXIT INT TERM HUP
    say_running "$state"
}

stop() {
    if running_pid "$state" >/dev/null; then
        say "stopping"
        # A clean stop takes 15 seconds, to save data that is deleted anyway.
        stop_server "$state" 1
        forget_data
        say "stopped"
    else
        # The data may be that of a server that another checkout started.
        rm -f "$state/pid" "$state/port"
        say "not running"
    fi
}

command=${1:-}
case $command in start | stop) lock "$state" ;; esac
case $command in
start) start ;;
stop) stop ;;
logs) cat "$state/log" ;;
status)
    say_running "$state" || {
        say "not running"
        exit 1
    }
    ;;
*)
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
