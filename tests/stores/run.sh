#!/usr/bin/env bash
# run.sh SEALWAX [STORE...]
#
# Runs the main commands against S3 stores that are not AWS (localstack, seaweedfs, moto, ministack, versitygw,
# s3proxy; by default all), with LocalStack as KMS, and writes the tables of docs/STORES.md. `make matrix` runs it under
# with-servers.sh. Everything is installed below target/stores. moto and MiniStack need Python, versitygw needs go, and
# s3proxy needs java and mvn. A store that cannot be installed is reported as not run.
set -euo pipefail
# shellcheck source=localstack/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../localstack/lib.sh"

here=$root/tests/stores
stores_dir=$root/target/stores
versitygw=v1.8.0
sealwax=$(realpath "$1")
shift
[ $# -gt 0 ] || set -- localstack seaweedfs moto ministack versitygw s3proxy

install_localstack() { :; }
install_seaweedfs() { :; }
install_moto() { (ensure_venv "$stores_dir/moto/venv" "$here/moto-requirements.txt") || { echo 'pip failed'; return 1; }; }
install_ministack() {
    (ensure_venv "$stores_dir/ministack/venv" "$here/ministack-requirements.txt") || { echo 'pip failed'; return 1; }
}
install_versitygw() {
    need go || return
    [ "$(cat "$stores_dir/versitygw/version" 2>/dev/null)" != "$versitygw" ] || return 0
    mkdir -p "$stores_dir/versitygw"
    say "installing versitygw $versitygw (some minutes)"
    (cd "$stores_dir/versitygw" && GOBIN=$stores_dir/versitygw \
        go install "github.com/versity/versitygw/cmd/versitygw@$versitygw") >&2 || { echo 'go install failed'; return 1; }
    echo "$versitygw" >"$stores_dir/versitygw/version"
}
install_s3proxy() {
    need java mvn || return
    mkdir -p "$stores_dir/s3proxy"
    ! cmp -s "$here/s3proxy.xml" "$stores_dir/s3proxy/pom.xml" || return 0
    say 'installing s3proxy'
    mvn -q -B -f "$here/s3proxy.xml" dependency:build-classpath \
        -Dmdep.outputFile="$stores_dir/s3proxy/classpath" >&2 || { echo 'mvn failed'; return 1; }
    cp "$here/s3proxy.xml" "$stores_dir/s3proxy/pom.xml"
}

mkdir -p "$stores_dir"
missing=()
for store in "$@"; do
    [ "$(type -t "install_$store")" = function ] || die "no such store: $store"
    reason=$("install_$store") || missing+=("$store=$reason")
done
exec "$servers_dir/localstack/venv/bin/python" -I "$here/matrix.py" \
    --command "$sealwax" --servers "$stores_dir" --document "$root/docs/STORES.md" \
    "${missing[@]/#/--missing=}" "$@"
