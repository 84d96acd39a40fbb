#!/usr/bin/env bash
# run.sh [SEALWAX]
#
# Runs the conformance suite against LocalStack and SeaweedFS and, given the command, through `sealwax serve` in front of
# each, with LocalStack as KMS. Then compares the outcomes. Run it under localstack/with-servers.sh. Outcomes and logs are
# written to target/gateway.
#
# SEALWAX_CONFORMANCE_CHECKS names the checks to run (patterns, separated by blanks). SEALWAX_CONFORMANCE_SERVERS names the
# servers. SEALWAX_GATEWAY_PORT is the gateway's port.
set -euo pipefail
# shellcheck source=localstack/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../localstack/lib.sh"

here=$root/tests/gateway
output=$root/target/gateway
python=$output/venv/bin/python
port=${SEALWAX_GATEWAY_PORT:-9870}
read -ra checks <<<"${SEALWAX_CONFORMANCE_CHECKS:-}"
read -ra servers <<<"${SEALWAX_CONFORMANCE_SERVERS:-localstack seaweedfs}"
sealwax=${1:+$(realpath "$1")}
check_port "$port" 65535
ensure_venv "$output/venv" "$here/requirements.txt"

# The client of the suite, which may use the suite's buckets.
access_key=conformance-client secret_key=$("$python" -c 'import secrets; print(secrets.token_hex(20))')
bucket=sealwax-conformance
buckets=(--bucket "$bucket" --other-bucket "$bucket-other" --versioned-bucket "$bucket-versions")

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

# start_gateway SERVER URL: starts `sealwax serve` in front of the server.
start_gateway() {
    local state=$output/$1 deadline=$((SECONDS + 30))
    require_free_port "$port" SEALWAX_GATEWAY_PORT
    rm -rf "$state"
    mkdir -p "$state"
    mkdir -m 700 "$state/spool"
    (umask 077 && cat >"$state/clients.toml") <<TOML
[[client]]
name = "conformance"
access_key_id = "$access_key"
secret_access_key = "$secret_key"
buckets = ["$bucket", "$bucket-other", "$bucket-versions", "$bucket-missing"]
TOML
    "$sealwax" --endpoint-url "$2" --kms-endpoint-url "$SEALWAX_TEST_LOCALSTACK_URL" serve \
        --listen "127.0.0.1:$port" --clients "$state/clients.toml" --spool "$state/spool" --key "$SEALWAX_EAST_KEY" \
        --access-log >"$state/access.log" 2>"$state/log" &
    gateway=$!
    until port_open "$port"; do
        kill -0 "$gateway" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ] || {
            cat "$state/log" >&2
            die "the gateway does not answer at port $port"
        }
        sleep 0.2
    done
}

status=0
for server in "${servers[@]}"; do
    case $server in
    localstack) url=$SEALWAX_TEST_LOCALSTACK_URL ;;
    seaweedfs) url=$SEALWAX_TEST_SEAWEEDFS_URL ;;
    *) die "no such server: $server" ;;
    esac
    "$python" "$here/conformance.py" prepare --endpoint "$url" "${buckets[@]}"
    rm -f "$output/$server-direct.json" "$output/$server-gateway.json"
    say "$server, directly"
    "$python" "$here/conformance.py" run --endpoint "$url" "${buckets[@]}" --json "$output/$server-direct.json" \
        "${checks[@]}" || status=1
    [ -n "$sealwax" ] || continue
    say "$server, through the gateway"
    start_gateway "$server" "$url"
    "$python" "$here/conformance.py" run --endpoint "http://127.0.0.1:$port" "${buckets[@]}" --gateway \
        --access-key "$access_key" --secret-key "$secret_key" --upstream-endpoint "$url" \
        --json "$output/$server-gateway.json" "${checks[@]}" || status=1
    stop_gateway || status=1
    say "$server, compared"
    "$python" "$here/conformance.py" compare --server "$server" ${checks:+--partial} \
        "$output/$server-direct.json" "$output/$server-gateway.json" || status=1
done
exit "$status"
