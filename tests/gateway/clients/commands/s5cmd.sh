#!/usr/bin/env bash
# s5cmd.
# shellcheck source=tests/gateway/clients/commands/operations.sh
. "$(dirname "${BASH_SOURCE[0]}")/operations.sh"
export S3_ENDPOINT_URL=$AWS_ENDPOINT_URL
at=s3://$BUCKET/$PREFIX

check_put() {
    for name in empty one small; do
        s5cmd cp "$FILES/$name" "$at/files/$name"
    done
}
check_multipart() { s5cmd cp --part-size 5 --concurrency 4 "$FILES/large" "$at/files/large"; }
# Large objects come in ranges.
check_get() {
    for name in "${names[@]}"; do
        s5cmd cp --part-size 5 --concurrency 4 "$at/files/$name" got
        cmp "$FILES/$name" got
    done
}
check_list() {
    s5cmd ls "$at/files/*" | awk '{ print $3, $4 }' | sort -k 2 | diff - <(sizes)
}
check_head() {
    for name in "${names[@]}"; do
        s5cmd head "$at/files/$name" | grep -F "\"size\":$(wc -c <"$FILES/$name" | tr -d ' '),"
    done
}
check_metadata() {
    s5cmd cp --metadata color=blue --content-type text/csv "$FILES/small" "$at/metadata"
    s5cmd head "$at/metadata" | grep -iF '"color":"blue"'
    s5cmd head "$at/metadata" | grep -F '"content_type":"text/csv"'
}
check_copy() {
    for name in small large; do
        s5cmd cp "$at/files/$name" "$at/copies/$name"
        s5cmd cat "$at/copies/$name" | cmp "$FILES/$name" -
    done
}
check_delete() {
    s5cmd cp "$FILES/small" "$at/deleted/a"
    s5cmd mv "$at/deleted/a" "$at/deleted/b"
    s5cmd cp "$FILES/one" "$at/deleted/c"
    [ "$(s5cmd ls "$at/deleted/*" | wc -l)" = 2 ]
    s5cmd rm "$at/deleted/*"
    fails_with 'no object found' s5cmd ls "$at/deleted/*"
}
check_presign() {
    curl -fsS "$(s5cmd presign "$at/files/large")" -o got
    cmp "$FILES/large" got
}
check_sealed() {
    s5cmd cp "$at/by-sealwax" got
    cmp "$FILES/by-sealwax" got
}
check_errors() {
    fails_with 'not found' s5cmd head "$at/missing"
    fails_with '404' s5cmd cp "$at/missing" got
    fails_with 'AccessDenied' s5cmd cp "$FILES/small" "s3://$FORBIDDEN/small"
    fails_with 'AccessDenied' s5cmd ls "s3://$FORBIDDEN/"
}
# A second synchronization transfers nothing, because listed lengths are those of the plaintext.
check_own() {
    folder up
    s5cmd sync up/ "$at/synced/"
    s5cmd sync --size-only up/ "$at/synced/" | diff - /dev/null
    s5cmd sync "$at/synced/*" down/
    diff -r up down
    s5cmd pipe "$at/piped" <"$FILES/large"
    s5cmd cat "$at/piped" | cmp "$FILES/large" -
}
check_rewrapped() { check_get; }

run_operations "$@"
