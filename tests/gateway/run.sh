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
# shellcheck source=tests/gateway/gateway.sh
. "$root/tests/gateway/gateway.sh"

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

status=0
for server in "${servers[@]}"; do
    url=$(server_url "$server")
    "$python" "$here/conformance.py" prepare --endpoint "$url" "${buckets[@]}"
    rm -f "$output/$server-direct.json" "$output/$server-gateway.json"
    say "$server, directly"
    "$python" "$here/conformance.py" run --endpoint "$url" "${buckets[@]}" --json "$output/$server-direct.json" \
        "${checks[@]}" || status=1
    [ -n "$sealwax" ] || continue
    say "$server, through the gateway"
    start_gateway "$output/$server" "$url" \
        "[\"$bucket\", \"$bucket-other\", \"$bucket-versions\", \"$bucket-missing\"]" --key "$SEALWAX_EAST_KEY"
    "$python" "$here/conformance.py" run --endpoint "http://127.0.0.1:$port" "${buckets[@]}" --gateway \
        --access-key "$access_key" --secret-key "$secret_key" --upstream-endpoint "$url" \
        --json "$output/$server-gateway.json" "${checks[@]}" || status=1
    stop_gateway || status=1
    say "$server, compared"
    "$python" "$here/conformance.py" compare --server "$server" ${checks:+--partial} \
        "$output/$server-direct.json" "$output/$server-gateway.json" || status=1
done
exit "$status"
