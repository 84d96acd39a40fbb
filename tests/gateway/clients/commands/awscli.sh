#!/usr/bin/env bash
# AWS CLI, version 1. Its configuration has nothing of the gateway but Signature Version 4 for presigned URLs.
# shellcheck source=tests/gateway/clients/commands/operations.sh
. "$(dirname "${BASH_SOURCE[0]}")/operations.sh"
printf '[default]\ns3 =\n  signature_version = s3v4\n' >"$AWS_CONFIG_FILE"
at=s3://$BUCKET/$PREFIX

check_put() {
    for name in empty one small; do
        aws s3 cp --quiet "$FILES/$name" "$at/files/$name"
    done
}
# From 8 MiB, in parts of 8 MiB, ten at a time.
check_multipart() { aws s3 cp --quiet "$FILES/large" "$at/files/large"; }
check_get() {
    for name in "${names[@]}"; do
        aws s3 cp --quiet "$at/files/$name" got
        cmp "$FILES/$name" got
    done
}
check_range() {
    aws s3api get-object --bucket "$BUCKET" --key "$PREFIX/files/large" --range bytes=8388000-8389000 got
    cmp got <(part "$FILES/large" 8388000 1001)
    aws s3api get-object --bucket "$BUCKET" --key "$PREFIX/files/small" --range bytes=-7 got
    cmp got <(tail -c 7 "$FILES/small")
}
check_list() {
    aws s3 ls "$at/files/" | awk '{ print $3, $4 }' | diff - <(sizes)
}
check_head() {
    for name in "${names[@]}"; do
        aws s3api head-object --bucket "$BUCKET" --key "$PREFIX/files/$name" --query ContentLength --output text |
            diff - <(wc -c <"$FILES/$name" | tr -d ' ')
    done
}
check_metadata() {
    aws s3 cp --quiet --metadata color=blue --content-type text/csv "$FILES/small" "$at/metadata"
    aws s3api head-object --bucket "$BUCKET" --key "$PREFIX/metadata" --query '[Metadata.color,ContentType]' \
        --output text | diff - <(printf 'blue\ttext/csv\n')
}
# The large one is copied in parts.
check_copy() {
    for name in small large; do
        aws s3 cp --quiet "$at/files/$name" "$at/copies/$name"
        aws s3 cp --quiet "$at/copies/$name" got
        cmp "$FILES/$name" got
    done
}
check_delete() {
    aws s3 cp --quiet "$FILES/small" "$at/deleted/a"
    aws s3 mv --quiet "$at/deleted/a" "$at/deleted/b"
    aws s3api put-object --bucket "$BUCKET" --key "$PREFIX/deleted/c" --body "$FILES/one"
    aws s3api delete-objects --bucket "$BUCKET" --delete "Objects=[{Key=$PREFIX/deleted/c}]"
    [ "$(aws s3 ls --recursive "$at/deleted/" | wc -l)" = 1 ]
    aws s3 rm --quiet --recursive "$at/deleted/"
    # SeaweedFS keeps the folder.
    { aws s3 ls --recursive "$at/deleted/" || true; } | awk '!/\/$/' | diff - /dev/null
}
check_presign() {
    curl -fsS "$(aws s3 presign "$at/files/large")" -o got
    cmp "$FILES/large" got
}
check_sealed() {
    aws s3 cp --quiet "$at/by-sealwax" got
    cmp "$FILES/by-sealwax" got
}
check_errors() {
    fails_with '(NoSuchKey)' aws s3api get-object --bucket "$BUCKET" --key "$PREFIX/missing" got
    fails_with '(404)' aws s3 cp "$at/missing" got
    fails_with '(AccessDenied)' aws s3 cp "$FILES/small" "s3://$FORBIDDEN/small"
    fails_with '(AccessDenied)' aws s3 ls "s3://$FORBIDDEN"
}
# A second synchronization transfers nothing, because listed lengths are those of the plaintext.
check_own() {
    folder up
    aws s3 sync --quiet up "$at/synced"
    aws s3 sync up "$at/synced" | diff - /dev/null
    aws s3 sync --quiet "$at/synced" down
    diff -r up down
}
check_rewrapped() { check_get; }

run_operations "$@"
