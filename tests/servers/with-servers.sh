#!/usr/bin/env bash
# Forwards to localstack/with-servers.sh.
exec "$(dirname "${BASH_SOURCE[0]}")/../../localstack/with-servers.sh" "$@"
