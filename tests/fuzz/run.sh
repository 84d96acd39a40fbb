#!/usr/bin/env bash
# run.sh [TARGET...]
#
# Builds the fuzz targets with the address sanitizer and runs each for FUZZ_SECONDS (default 60): all of them, or those
# that are named. Corpora and logs are kept under target/fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

seconds=${FUZZ_SECONDS:-60}
out=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
tools=$(.ci/tool cargo-fuzz 0.13.2)
# The stable compiler accepts the sanitizer's flags only with RUSTC_BOOTSTRAP.
export PATH="$tools:$PATH" RUSTC_BOOTSTRAP=1
targets=("$@")
if [ $# -eq 0 ]; then
    for file in tests/fuzz/targets/*.rs; do
        targets+=("$(basename "$file" .rs)")
    done
fi
options=(--fuzz-dir tests/fuzz --target-dir "$out")

echo '==> build the fuzz targets'
# cargo-fuzz has no --locked.
cargo metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml >/dev/null
for name in "${targets[@]}"; do
    cargo fuzz build "${options[@]}" "$name"
done

for name in "${targets[@]}"; do
    corpora=("$out/corpus/$name")
    mkdir -p "${corpora[0]}"
    if [ -d "tests/fuzz/seeds/$name" ]; then
        corpora+=("tests/fuzz/seeds/$name")
    fi
    echo "==> $name, $seconds s"
    cargo fuzz run "${options[@]}" "$name" "${corpora[@]}" -- "-max_total_time=$seconds" -print_final_stats=1 \
        >"$out/$name.log" 2>&1 || {
        tail -n 60 "$out/$name.log"
        exit 1
    }
    sed -n 's/^stat::number_of_executed_units: */executions: /p' "$out/$name.log"
done
