#!/usr/bin/env bash
# rclone, with its settings in the environment. It compares lengths, modification times and, where it has them, digests.
# shellcheck source=tests/gateway/clients/commands/operations.sh
. "$(dirname "${BASH_SOURCE[0]}")/operations.sh"
export RCLONE_CONFIG=$WORK/rclone.conf RCLONE_RETRIES=1
export RCLONE_CONFIG_GATEWAY_TYPE=s3 RCLONE_CONFIG_GATEWAY_PROVIDER=Other RCLONE_CONFIG_GATEWAY_FORCE_PATH_STYLE=true
export RCLONE_CONFIG_GATEWAY_ENDPOINT=$AWS_ENDPOINT_URL RCLONE_CONFIG_GATEWAY_REGION=$AWS_REGION
export RCLONE_CONFIG_GATEWAY_ENV_AUTH=true
# Parts of 5 MiB, four at a time; copies inside S3 in parts as well.
export RCLONE_S3_CHUNK_SIZE=5Mi RCLONE_S3_UPLOAD_CUTOFF=6Mi RCLONE_S3_UPLOAD_CONCURRENCY=4 RCLONE_S3_COPY_CUTOFF=6Mi
touch "$RCLONE_CONFIG"
at=gateway:$BUCKET/$PREFIX

check_put() {
    for name in empty one small; do
        rclone copyto "$FILES/$name" "$at/files/$name"
    done
}
check_multipart() { rclone copyto "$FILES/large" "$at/files/large"; }
check_get() {
    for name in "${names[@]}"; do
        rclone copyto --ignore-times "$at/files/$name" got
        cmp "$FILES/$name" got
    done
}
check_range() {
    rclone cat --offset 8388000 --count 1001 "$at/files/large" | cmp - <(part "$FILES/large" 8388000 1001)
    rclone cat --tail 7 "$at/files/small" | cmp - <(tail -c 7 "$FILES/small")
}
check_list() {
    rclone lsf --format sp --separator ' ' "$at/files" | sort -k 2 | diff - <(sizes)
}
check_head() {
    for name in "${names[@]}"; do
        rclone lsjson --stat "$at/files/$name" | grep -E "\"Size\": ?$(wc -c <"$FILES/$name" | tr -d ' '),"
    done
}
check_metadata() {
    rclone copyto --metadata --metadata-set color=blue --metadata-set content-type=text/csv \
        "$FILES/small" "$at/metadata"
    rclone lsjson --stat --metadata "$at/metadata" >told
    grep -E '"color": ?"blue"' told
    grep -E '"content-type": ?"text/csv"' told
}
check_copy() {
    for name in small large; do
        rclone copyto "$at/files/$name" "$at/copies/$name"
        rclone cat "$at/copies/$name" | cmp "$FILES/$name" -
    done
}
check_delete() {
    rclone copyto "$FILES/small" "$at/deleted/a"
    rclone moveto "$at/deleted/a" "$at/deleted/b"
    rclone copyto "$FILES/one" "$at/deleted/c"
    rclone deletefile "$at/deleted/c"
    rclone lsf "$at/deleted" | diff - <(echo b)
    rclone delete "$at/deleted"
    rclone lsf "$at/deleted" | diff - /dev/null
}
check_presign() {
    curl -fsS "$(rclone link --expire 1h "$at/files/large")" -o got
    cmp "$FILES/large" got
}
check_sealed() {
    rclone copyto "$at/by-sealwax" got
    cmp "$FILES/by-sealwax" got
}
check_errors() {
    fails_with "doesn't exist" rclone copyto "$at/missing" got
    fails_with 'Forbidden' rclone copyto "$FILES/small" "gateway:$FORBIDDEN/small"
    fails_with 'AccessDenied' rclone lsf "gateway:$FORBIDDEN"
}
# A second synchronization transfers nothing, and each file reads back. The stream has no length.
check_own() {
    folder up
    rclone sync up "$at/synced"
    rclone sync --dry-run up "$at/synced" 2>&1 | { ! grep -F 'Skipped'; }
    rclone check --download up "$at/synced"
    rclone sync "$at/synced" down
    diff -r up down
    rclone rcat "$at/streamed" <"$FILES/large"
    rclone cat "$at/streamed" | cmp "$FILES/large" -
}
check_rewrapped() { check_get; }

run_operations "$@"
