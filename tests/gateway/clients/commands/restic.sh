#!/usr/bin/env bash
# restic: a repository of backups. It encrypts, too; so what it stores has two layers.
# shellcheck source=tests/gateway/clients/commands/operations.sh
. "$(dirname "${BASH_SOURCE[0]}")/operations.sh"
export RESTIC_REPOSITORY=s3:$AWS_ENDPOINT_URL/$BUCKET/$PREFIX/repository RESTIC_PASSWORD=a-password
export RESTIC_CACHE_DIR=$WORK/cache RESTIC_PROGRESS_FPS=0.1

check_errors() {
    fails_with 'Access Denied' restic -r "s3:$AWS_ENDPOINT_URL/$FORBIDDEN/repository" init
    fails_with 'does not exist' restic -r "s3:$AWS_ENDPOINT_URL/$BUCKET/$PREFIX/missing" snapshots
}
# Two snapshots, of which one is removed with its data.
check_own() {
    restic init
    folder data
    head -c 3000000 /dev/urandom >data/removed
    restic backup data
    cp "$FILES/large" data/large
    rm data/removed
    restic backup data
    restic forget --keep-last 1 --prune
    restic check --read-data
    check_rewrapped
}
check_rewrapped() {
    restic check --read-data --no-cache
    rm -rf restored
    restic restore latest --no-cache --target restored
    diff -r data restored/data
}

run_operations "$@"
