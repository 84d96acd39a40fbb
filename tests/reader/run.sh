#!/usr/bin/env bash
# Checks the test vectors with the independent reader.
set -euo pipefail
# shellcheck source=localstack/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../localstack/lib.sh"
cd "$root"

venv=${CARGO_TARGET_DIR:-$root/target}/reader/venv
ensure_venv "$venv" tests/reader/requirements.txt
"$venv/bin/python" tests/reader/sealwax_reader.py tests/vectors
