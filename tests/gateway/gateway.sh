# shellcheck shell=bash
# Functions of the scripts that run clients through `sealwax serve`. Sourced after localstack/lib.sh, never run.
#
# `sealwax` is the command and `port` the gateway's port. The gateway's client has `access_key` and `secret_key`.

# server_url SERVER: prints the address of a test server.
server_url() {
    case $1 in
    localstack) printf '%s\n' "$SEALWAX_TEST_LOCALSTACK_URL" ;;
    seaweedfs) printf '%s\n' "$SEALWAX_TEST_SEAWEEDFS_URL" ;;
    *) die "no such server: $1" ;;
    esac
}

gateway=
# Fails if the gateway must be killed.
stop_gateway() {
    local deadline=$((SECONDS + 20)) pid=$gateway
    [ -n "$pid" ] || return 0
    gateway=
    kill "$pid" 2>/dev/null || return 0
    while kill -0 "$pid" 2>/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || {
            say "error: the gateway did not end within 20 s"
            kill -KILL "$pid"
            return 1
        }
        sleep 0.2
    done
}
trap stop_gateway EXIT

# start_gateway STATE URL BUCKETS OPTION...: starts `sealwax serve` in front of the server at URL, with LocalStack as KMS.
# STATE gets its files and logs. BUCKETS is the list of the client's buckets in TOML.
start_gateway() {
    local state=$1 url=$2 buckets=$3 deadline=$((SECONDS + 30))
    shift 3
    require_free_port "$port" SEALWAX_GATEWAY_PORT
    rm -rf "$state"
    mkdir -p "$state"
    mkdir -m 700 "$state/spool"
    (umask 077 && cat >"$state/clients.toml") <<TOML
[[client]]
name = "tests"
access_key_id = "$access_key"
secret_access_key = "$secret_key"
buckets = $buckets
TOML
    "$sealwax" --endpoint-url "$url" --kms-endpoint-url "$SEALWAX_TEST_LOCALSTACK_URL" serve \
        --listen "127.0.0.1:$port" --clients "$state/clients.toml" --spool "$state/spool" --access-log "$@" \
        >"$state/access.log" 2>"$state/log" &
    gateway=$!
    until port_open "$port"; do
        kill -0 "$gateway" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ] || {
            cat "$state/log" >&2
            die "the gateway does not answer at port $port"
        }
        sleep 0.2
    done
}
