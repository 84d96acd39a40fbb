#!/usr/bin/env bash
# Runs the Lambda function in cargo-lambda's emulator, on LocalStack: see run.py.
set -euo pipefail
# shellcheck source=localstack/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../localstack/lib.sh"
cd "$root"

target=${CARGO_TARGET_DIR:-$root/target}
echo '==> build the function and the command'
# With one of the tests, so that shared crates have the features of `make test` and aren't built again.
cargo build --locked --workspace --bin sealwax-lambda --bin sealwax --test policies
ensure_venv "$target/lambda-test/venv" tests/lambda/requirements.txt

echo '==> the function in the emulator'
exec localstack/with-servers.sh --localstack-only "$servers_dir/localstack/venv/bin/python" tests/lambda/run.py \
    "$target/lambda-test/venv/bin/cargo-lambda" "$target/debug/sealwax-lambda" "$target/debug/sealwax"
